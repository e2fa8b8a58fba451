"""This pipeline beside the same onboarding written plainly on Dramatiq, Celery, taskiq, SAQ and DBOS.

Each gets the same jobs, the same calls to the same stand-in for Iron, the same Redis, and as many calls at a time. The
runs are interleaved, so that whatever else the machine does strikes all alike. Needs the packages of
ops/locks/requirements-peers.lock, which `make bench` installs.

    python -m tests.bench.compare [--rounds 3] [--latency 0 20 200] [--jobs 400] [--only dramatiq pipeline] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.local.embedded import EmbeddedRedis
from tests.bench.peers.field import PEERS, Field
from tests.bench.peers.table import show


def main() -> None:
    """Measure in rounds; print the table; write the figures as JSON."""
    options = _options()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        field = Field(Path(folder), server, processes=options.processes, threads=options.threads)
        with field:
            for number in range(options.rounds):
                for latency_ms in options.latency:
                    for name in _turned(options.only, number):
                        run = field.run(name, options.jobs, latency_ms)
                        runs.append(run)
                        print(_line(run), file=sys.stderr, flush=True)
    result = {"machine": _machine(), "options": vars(options) | {"out": None}, "runs": runs}
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(show(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 20, 200], help="of Iron's answers, in ms")
    parser.add_argument("--jobs", type=int, default=400, help="in one run; a fourth of them goes before, to warm up")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=32, help="or tasks at a time, in each process")
    parser.add_argument("--only", nargs="+", choices=sorted(PEERS), default=list(PEERS))
    parser.add_argument("--out", help="file for the figures, as JSON")
    return parser.parse_args()


def _turned(names: list[str], by: int) -> Iterator[str]:
    """Begin each round with another one."""
    for place in range(len(names)):
        yield names[(place + by) % len(names)]


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def _line(run: dict[str, Any]) -> str:
    return (
        f"{run['name']:>9} {run['latency_ms']:>4} ms: {run['per_second']:7.1f}/s, CPU ms each: workers"
        f" {run['workers_ms']:6.2f}, handing in {run['submit_ms']:.2f}, people {run['people_ms']:.2f},"
        f" Redis {run['redis_ms']:.2f}, Iron {run['iron_ms']:.2f}; {run['calls']:.1f} calls,"
        f" {run['commands']:.0f} commands, {run['bytes']:.0f} bytes, {run['peak_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
