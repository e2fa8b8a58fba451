"""Plays many schedules of the fault simulator on all cores and prints what came of them.

    python -m tests.chaos.run [first:last] [--second]

With --second, Iron is the second stand-in (tests/second_iron) in the sandbox's place.

A seed that fails is named, and playing it alone fails the same way. Exit status 1 when any did.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from tests.chaos.figures import keep
from tests.chaos.simulator import play
from workers.ledger import connect
from workers.logs import configure_logs

#: Seeds that one process plays in a row on one Redis.
CHUNK = 50
#: Schedules of a full run. Source: design section 9.
FULL = (0, 10_000)


def play_some(seeds: range, *, second: bool = False) -> tuple[Counter[str], list[str]]:
    """Play these seeds on a Redis of their own; answers the counts and what failed."""
    configure_logs("json", logging.CRITICAL)
    counts: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        client = connect(server.url_for(0))
        for seed in seeds:
            client.flushdb()
            counts["schedules"] += 1
            try:
                schedule = play(client, seed, second=second)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the seed is what matters
                failures.append(f"seed {seed}: {type(error).__name__} {str(error)[:400]}")
                continue
            counts["customers"] += len(schedule.jobs)
            counts["faults"] += schedule.faults
            counts["roll-backs of the ledger"] += schedule.rollbacks
            counts["jumps of a worker's clock"] += schedule.jumps
            counts["acts of people"] += len(schedule.done)
            counts["stale commits attempted"] += schedule.stale
            counts["stale commits accepted"] += schedule.accepted
    return counts, failures


def main(first: int, last: int, *, second: bool = False) -> int:
    """Play, print, and say with the exit status whether all went well."""
    started = time.monotonic()
    chunks = [range(begin, min(begin + CHUNK, last)) for begin in range(first, last, CHUNK)]
    totals: Counter[str] = Counter()
    failures: list[str] = []
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for counts, failed in pool.imap_unordered(partial(play_some, second=second), chunks):
            totals.update(counts)  # unlike +=, it keeps what is 0
            failures += failed
            for failure in failed:
                print(f"\r{failure}", file=sys.stderr)
            print(f"\r{totals['schedules']:,} of {last - first:,}, {len(failures)} failed", end="", file=sys.stderr)
    print(file=sys.stderr)
    keep(
        "second" if second else "run",
        {
            "schedules": totals["schedules"],
            "failed": len(failures),
            "stale": totals["stale commits attempted"],
            "accepted": totals["stale commits accepted"],
        },
    )
    totals["duplicate effects, lost or stuck onboardings"] = len(failures)
    totals["seconds"] = round(time.monotonic() - started)
    for name, count in totals.items():
        print(f"{name:<48}{count:>12,}")
    for failure in failures:
        seed = int(failure.split()[1].rstrip(":"))
        again = f"python -m tests.chaos.run {seed}:{seed + 1}{' --second' if second else ''}"
        print(f"{failure}\n    again: {again}")
    return 1 if failures else 0


if __name__ == "__main__":
    seeds = [argument for argument in sys.argv[1:] if argument != "--second"]
    begin, _, end = (seeds[0] if seeds else ":".join(map(str, FULL))).partition(":")
    sys.exit(main(int(begin), int(end), second="--second" in sys.argv))
