"""What importing costs, and how imports share: rows a second, memory, shares, and how true the finish estimate is.

    python -m tests.bench.imports                  # all of the following but the million
    python -m tests.bench.imports load 100000      # JSONL rows to durable records, in a process of its own
    python -m tests.bench.imports load 1000000     # the same memory, linear time
    python -m tests.bench.imports rubbish 10000000 # lines that are no job at all
    python -m tests.bench.imports shares           # two imports of very different size, over every five minutes
    python -m tests.bench.imports estimate         # the estimate at a fifth of the way, and the truth

Loading runs in real time against a Redis that writes to disk every second; shares and estimates in simulated time, with
the real ledger, pulse and steps, and the sandbox in process.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from ops.local.embedded import EmbeddedRedis
from tests.chaos.simulator import BEGINNING_MS, on_time_of
from tests.world import World, a_job
from workers.imports.imports import Imports
from workers.ledger import PREFIX, connect
from workers.ledger.limits import Budget
from workers.logs import configure_logs
from workers.secrets.vault import new_key

#: Targets: seconds for 100,000 rows, and megabytes of the importer's memory at its peak.
SECONDS, MEGABYTES = 30, 150

#: Runs one import and prints its result and the peak of its memory, in KiB, as Linux counts.
IMPORTER = """
import json, pathlib, resource, sys
from ops.cli import main
status = main(sys.argv[1:])
used, own = resource.getrusage(resource.RUSAGE_SELF), pathlib.Path("/proc/self/status")
# ru_maxrss begins with what the parent process had; Linux tells this process's own peak as well.
told = dict(line.split(":", 1) for line in own.read_text().splitlines()) if own.exists() else {}
peak_kb = int(told["VmHWM"].split()[0]) if "VmHWM" in told else used.ru_maxrss
print(json.dumps({"status": status, "peak_kb": peak_kb, "cpu_s": used.ru_utime + used.ru_stime}))
"""


def write(path: Path, lines: Iterator[str]) -> None:
    """Write a file, line by line."""
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")


def valid(count: int, name: str) -> Iterator[str]:
    """Jobs as an upstream system writes them."""
    for number in range(count):
        job = a_job(f"{name}-2026-{number:08d}", external_id=f"{name}-{number:08d}", labels={"source": name})
        yield json.dumps(job)


def nonsense(count: int) -> Iterator[str]:
    """Lines that are no jobs, each another one."""
    return (f"rubbish {number} = not, a; job" for number in range(count))


def load(rows: int = 100_000, lines: Callable[[int, str], Iterator[str]] = valid) -> None:
    """Import a file in a process of its own and print what it took."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        file = Path(folder) / "jobs.jsonl"
        write(file, lines(rows, "crm"))
        env = {**os.environ, "ONBOARDING_REDIS_URL": server.url, "ONBOARDING_ENCRYPTION_KEYS": new_key()}
        started = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-c", IMPORTER, "import", str(file), "--json"],
            env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        took_s = time.monotonic() - started
        result, used = (json.loads(line) for line in ran.stdout.splitlines())
        with redis.Redis.from_url(server.url) as client:
            records = client.hlen(f"{PREFIX}external")
            stored_mb = client.info("memory")["used_memory"] / 1e6
            redis_cpu_s = client.info("cpu")["used_cpu_user"] + client.info("cpu")["used_cpu_sys"]
    busy, _, _ = os.getloadavg()
    print(f"{rows:,} rows: {took_s:.1f} s (target for 100,000: {SECONDS}), {rows / took_s:,.0f} rows a second;")
    print(f"  importer: {used['cpu_s']:.1f} s of CPU, peak {used['peak_kb'] / 1024:.0f} MB (target: {MEGABYTES})")
    print(
        f"  Redis: {redis_cpu_s:.1f} s of CPU, {stored_mb:.0f} MB; {records:,} records; load of the machine: {busy:.1f}"
    )
    print(f"  {result}")


def rubbish(rows: int = 1_000_000) -> None:
    """Import lines that are no jobs."""
    load(rows, lambda count, _: nonsense(count))


class Clocked:
    """A world in which the budget holds in simulated time: whoever must wait for it is due again later."""

    def __init__(self, folder: str, client: redis.Redis, budget: Budget) -> None:
        self.world = World(client, budget=budget)
        self.imports = Imports(self.world.ledger, self.world.vault)
        self.folder = Path(folder)
        self.began: list[tuple[float, str]] = []
        self.world.runner.sleep = self.world.advance
        self.world.shift_ms = BEGINNING_MS
        on_time_of(self.world.ledger, lambda: self.world.shift_ms)
        self.world.ledger.clock = lambda: self.world.shift_ms / 1000

    def start(self, name: str, count: int) -> None:
        """Load an import of so many customers who then do nothing."""
        file = self.folder / f"{name}.jsonl"
        write(file, (json.dumps(a_job(f"{name}-{number}", "manual")) for number in range(count)))
        self.imports.load(file, by="bench")

    def pass_time(self, step_s: float = 0.25) -> None:
        """Let a moment pass: what is due is taken and run."""
        self.world.pulse.run_once()
        while self.world.queue.nudges:
            nudge = self.world.queue.nudges.popleft()
            following = self.world.runner.run(nudge.step, nudge.key, nudge.version)
            if following and nudge.step == "create_identification" and following.record.identification_id:
                self.began.append(((self.world.shift_ms - BEGINNING_MS) / 1000, nudge.key.rpartition("-")[0]))
        self.world.advance(step_s)


def shares(minutes: int = 12) -> None:
    """Load a large and a small import together; print each one's share over every five minutes."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        run = Clocked(folder, connect(server.url_for(0)), Budget(rate_per_second=40, identifications_per_minute=60))
        run.start("large", 5_000)
        run.start("small", minutes * 40)
        while run.world.shift_ms < BEGINNING_MS + minutes * 60_000:
            run.pass_time()
        worst, windows = 0.0, 0
        for first in range(0, (minutes - 5) * 60, 10):
            counts = Counter(name for at, name in run.began if first <= at < first + 300)
            worst = max(worst, abs(counts["large"] - counts["small"]) / max(1, sum(counts.values())))
            windows += 1
        print(f"shares of two imports, 5,000 and {minutes * 40} rows, over {windows} windows of five minutes:", end=" ")
        print(f"differ by at most {worst:.1%} (target: 10 %); {len(run.began):,} identifications in {minutes} min")


def estimate(rows: int = 600) -> None:
    """Print how far the estimate at a fifth of the way is from the truth, alone and beside a smaller import."""
    for others in (0, rows // 3):
        with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
            run = Clocked(folder, connect(server.url_for(0)), Budget(rate_per_second=40, identifications_per_minute=60))
            run.start("list", rows)
            if others:
                run.start("other", others)
            began_ms, said_ms, at_ms = run.world.ledger.now_ms(), None, 0
            while (one := run.imports.get("list")).state != "finished":
                if said_ms is None and one.finished >= rows / 5:
                    said_ms, at_ms = one.expected_ms, run.world.ledger.now_ms()
                run.pass_time()
            truth_ms = (one.finished_ms or 0) - began_ms
            error = abs((said_ms or 0) - (one.finished_ms or 0)) / truth_ms
            beside = f" beside one of {others}" if others else ""
            print(f"estimate for {rows} rows{beside}, after {(at_ms - began_ms) / 60000:.1f} min:", end=" ")
            print(f"{((said_ms or 0) - began_ms) / 60000:.1f} min; the truth: {truth_ms / 60000:.1f} min;", end=" ")
            print(f"off by {error:.1%} (target: 10 %)")


def main(arguments: list[str]) -> None:
    """Run what is asked for."""
    configure_logs("json", logging.ERROR)
    known = {"load": load, "rubbish": rubbish, "shares": shares, "estimate": estimate}
    name, *numbers = arguments or [""]
    if name in known:
        known[name](*(int(number) for number in numbers if re.fullmatch(r"\d+", number)))
        return
    for program in known.values():
        program()


if __name__ == "__main__":
    main(sys.argv[1:])
