"""What a ledger full of waiting customers costs: memory, the pulse, the summary, searches, and the work beside them.

python -m tests.bench.growth [--sizes 1000 10000 100000 1000000] [--jobs 300] [--processes 2] [--rounds 1] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.local.embedded import EmbeddedRedis
from tests.bench.peers.crowd import KEY, fill, waiting
from tests.bench.peers.field import Field
from workers.engine.broker import NudgeBroker
from workers.engine.pulse import Pulse
from workers.ledger import PREFIX, Ledger, Lists, connect
from workers.logs import configure_logs

#: Entries of a long history.
LONG = 12
#: Looks of each kind; the median counts.
LOOKS = 25


def main() -> None:
    """Measure each size and print it."""
    configure_logs("json", logging.WARNING)
    options = _options()
    rows = []
    for size in options.sizes:
        row = {"waiting": size} | _looks(size) | _work(size, options)
        rows.append(row)
        print(json.dumps({name: round(value, 3) for name, value in row.items()}), flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--processes", type=int, nargs="+", default=[2], help="of workers, one number after the other")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", help="file for the figures, as JSON")
    return parser.parse_args()


def _looks(size: int) -> dict[str, float]:
    """Measure what a look costs, in ms, and what a record takes, in bytes."""
    if not size:
        return {}
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        client: Any = connect(server.url_for(0))
        ledger, broker = Ledger(client), NudgeBroker(server.url_for(1))
        customer_id = waiting(client)
        before = client.info("memory")["used_memory"]
        fill(client, customer_id, 1, size)
        each = (client.info("memory")["used_memory"] - before) / size
        history = client.memory_usage(f"{PREFIX}history:{KEY}")
        return {
            "record_bytes": each - history,
            "record_and_history_bytes": each + _longer(client, history),
            "pulse_ms": _median_ms(Pulse(ledger, broker).run_once),
            "summary_ms": _median_ms(lambda: (Lists(ledger).phases(), Lists(ledger).lanes())),
            "find_ms": _median_ms(lambda: (Lists(ledger).holders([KEY]), ledger.read(KEY))),
            "page_ms": _median_ms(lambda: next(iter(Lists(ledger).in_phase(ledger.read(KEY).record.phase, batch=100)))),  # type: ignore[union-attr] -- it is there
        }


def _longer(client: Any, history: int) -> float:
    """Give the bytes that a history of LONG entries takes more than the one that the copies have."""
    entries = client.lrange(f"{PREFIX}history:{KEY}", 0, -1)
    client.rpush("longer", *(entries[min(number, len(entries) - 1)] for number in range(LONG)))
    return float(client.memory_usage("longer", samples=0) - history)


def _median_ms(look: Callable[[], object]) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _work(size: int, options: argparse.Namespace) -> dict[str, float]:
    """Measure onboardings beside those who wait: how many a second, and the memory of the workers."""
    row = {}
    for processes in options.processes:
        with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
            field = Field(Path(folder), server, processes=processes, threads=32)
            with field:
                runs = [field.run("pipeline", options.jobs, 20, crowd=size) for _ in range(options.rounds)]
        for name in ("per_second", "workers_ms", "peak_mb"):
            row[f"{name}_{processes}"] = statistics.median(run[name] for run in runs)
            print(f"{size:,} waiting, {processes} processes: {name} {row[f'{name}_{processes}']:.1f}", file=sys.stderr)
    return row


if __name__ == "__main__":
    main()
