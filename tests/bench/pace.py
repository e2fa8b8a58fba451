"""Iron's budget, kept by four worker processes: how much of it is used, and that it is never overdrawn.

Real processes, a real Redis, and the sandbox's own log of arrivals; what comes from the workers' own lines is marked.

    python -m tests.bench.pace [limits] [tap] [lanes] [pause] [outage [MINUTES]]
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.lifecycle import Phase
from tests.chaos.fleet import Fleet, until
from workers.budget.gate import Gate
from workers.ledger import Lists

#: Limits that Iron is thought to have.
RATE, A_MINUTE = 40, 60
SETTINGS = {
    "IRON_RATE_PER_SECOND": str(RATE),
    "IRON_IDENTIFICATIONS_PER_MINUTE": str(A_MINUTE),
    "ONBOARDING_POLL_MIN_S": "5",
}
#: Jobs handed in with one round trip.
BATCH = 500
#: Seconds until a fleet that has just got its work uses the whole budget.
WARM_S = 8


@contextmanager
def fleet(bulk: int, **settings: str) -> Iterator[Fleet]:
    """Four workers, one process each, and so many bulk jobs that wait."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(Path(folder), services=4, settings=SETTINGS | settings) as started,
    ):
        submit(started, "b", bulk, "bulk")
        time.sleep(WARM_S)
        yield started


def submit(started: Fleet, name: str, count: int, lane: str) -> list[str]:
    """Hand in so many jobs whose customers then wait for good."""
    keys = [f"{name}-{number}" for number in range(count)]
    for first in range(0, count, BATCH):
        started.submit(keys[first : first + BATCH], tag="manual", lane=lane)
    return keys


def arrivals(started: Fleet, since: float = 0.0, endpoint: str = "") -> list[float]:
    """Arrival times of the calls whose endpoint ends like this, in Unix seconds."""
    times = started.ask(f"requests?log=times&since={since}")["times"]
    return sorted(at for name, some in times.items() if name.endswith(endpoint) for at in some)


def creations(started: Fleet, since: float = 0.0) -> list[float]:
    """Those that create an identification."""
    return arrivals(started, since, "/identifications/v2")


def busiest(times: Sequence[float], span_s: float) -> int:
    """The largest number of arrivals in any stretch of that length."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - span_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def committed(started: Fleet) -> list[dict[str, Any]]:
    """What the workers have logged of steps."""
    logs = sorted((started.folder / "logs").glob("worker-*.log"))
    texts = (line for log in logs for line in log.read_text(encoding="utf-8", errors="replace").splitlines())
    return [json.loads(text) for text in texts if '"step.committed"' in text and text.endswith("}")]


def spread(numbers: Sequence[float], unit: str) -> str:
    ordered = sorted(numbers)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"p50 {p50:.2f}{unit}, p99 {p99:.2f}{unit}, max {ordered[-1]:.2f}{unit}"


def limits(seconds: float = 130.0) -> None:
    """Four processes against 40 calls a second and 60 identifications a minute."""
    with fleet(4000) as started:
        begin = time.time()
        time.sleep(seconds)
        calls, created = arrivals(started, begin), creations(started, begin)
        most, most_created = busiest(arrivals(started), 1), busiest(creations(started), 60)
        print(
            f"  {len(calls)} calls in {seconds:.0f} s: {len(calls) / seconds / RATE:.1%} used; busiest second: {most}"
        )
        used = len(created) / seconds * 60 / A_MINUTE
        print(f"  {len(created)} identifications: {used:.1%} used; busiest minute: {most_created}")
        closest = min(later - first for first, later in zip(calls, itertools.islice(calls, RATE, None), strict=False))
        print(f"  {RATE + 1} calls in a row took {closest * 1000:.0f} ms at the least")


def tap(pause_s: float = 5.0) -> None:
    """One 429 with Retry-After: 5 while the budget is fully used, three times."""
    with fleet(2000) as started:
        for turn in range(3):
            before = time.time()
            started.ask("faults", {"status": 429, "retry_after": pause_s, "times": 1, "name": f"limit-{turn}"})
            time.sleep(pause_s + 3)
            met, *later = arrivals(started, before)
            still = [at - met for at in later if at < met + pause_s]
            again = min(at for at in later if at >= met + pause_s) - met
            late = sum(at > 0.1 for at in still)
            print(f"  {late} calls left after 100 ms, {len(still) - late} before; the first after {again:.2f} s")


def lanes(bulk: int = 100_000, probes: int = 100) -> None:
    """Interactive jobs beside a hundred thousand bulk records; then more interactive jobs than the budget allows."""
    with fleet(0) as started:
        began = time.monotonic()
        submit(started, "b", bulk, "bulk")
        print(f"  {bulk:,} bulk records handed in, {time.monotonic() - began:.0f} s")
        begin, took = time.time(), []
        for number in range(probes):
            [key] = submit(started, f"i{number}", 1, "interactive")
            sent = time.time()
            until(lambda key=key: started.ask(f"effects?external_id={key}")["total"])  # type: ignore[misc]
            took.append(time.time() - sent)
            time.sleep(0.2)
        calls = arrivals(started, begin)
        print(f"  budget used meanwhile: {len(calls) / (calls[-1] - calls[0]) / RATE:.1%}")
        print(f"  from an interactive job to its customer on Iron, which is its second call: {spread(took, ' s')}")
        submit(started, "flood", 3000, "interactive")
        time.sleep(5)
        begin, before = time.time(), len(committed(started))
        time.sleep(30)
        used = len(arrivals(started, begin)) / 30 / RATE
        lines = sorted(committed(started), key=lambda line: line["timestamp"])[before:]
        made: Counter[str] = Counter()
        for line in lines:
            made[line["lane"]] += line["calls"]
        shares = ", ".join(f"{lane} {count / made.total():.1%}" for lane, count in made.items())
        print(
            f"  more interactive jobs than the budget allows: {shares} of the calls (workers' lines); {used:.1%} used"
        )
        print(f"  busiest second of all: {busiest(arrivals(started), 1)}")


def pause() -> None:
    """A person pauses everything, and lets it go on."""
    with fleet(2000) as started:
        before = time.time()
        Gate(started.ledger).pause(["interactive", "bulk", "reidentify", "sweep"], by="bench")
        time.sleep(6)
        calls = arrivals(started, before)
        last = max((at - before for at in calls), default=0.0)
        print(f"  last call {last * 1000:.0f} ms after the pause; {sum(at > before + 2 for at in calls)} after 2 s")
        resumed = time.time()
        Gate(started.ledger).resume(["interactive", "bulk", "reidentify", "sweep"])
        until(lambda: bool(arrivals(started, resumed)))
        print(f"  first call {(arrivals(started, resumed)[0] - resumed) * 1000:.0f} ms after it was resumed")


def outage(minutes: float = 1.0, bulk: int = 10_000) -> None:
    """503 from Iron for so long with ten thousand records due."""
    with fleet(bulk) as started:
        started.ask("faults", {"status": 503, "name": "outage"})
        begin = time.time()
        time.sleep(minutes * 60)
        during = len(arrivals(started, begin))
        started.ask("faults/outage", method="DELETE")
        ended = time.time()
        time.sleep(45)
        after = arrivals(started, ended)
        seconds = Counter(int(at - ended) for at in after)
        full = next((second for second in range(45) if seconds[second] >= RATE * 0.9), None)
        records = [read.record for phase in Phase for read in Lists(started.ledger).in_phase(phase)]
        failed = sum(record.phase is Phase.FAILED for record in records)
        burnt = sum(record.attempts for record in records)
        told = sum(record.problem is not None and record.problem.operator for record in records)
        print(f"  {minutes:g} minutes, {len(records):,} records: {during} calls meanwhile")
        print(f"  {failed} failed, {burnt} attempts burnt, {told} call an operator")
        print(f"  first call {after[0] - ended:.1f} s after its end, 90 % of the budget used from second {full} on")


PARTS: dict[str, Callable[..., None]] = {
    "limits": limits,
    "tap": tap,
    "pause": pause,
    "lanes": lanes,
    "outage": outage,
}


def main(*words: str) -> None:
    """Run the parts that are named, or all; a number is the outage's minutes."""
    minutes = [float(word) for word in words if word not in PARTS]
    for name in [word for word in words if word in PARTS] or PARTS:
        print(f"{name}: {PARTS[name].__doc__}", flush=True)
        PARTS[name](*minutes if name == "outage" else ())


if __name__ == "__main__":
    main(*sys.argv[1:])
