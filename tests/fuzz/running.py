"""How a fuzz is run from the command line: so many inputs from a seed on, a server of its own, findings and counts."""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from tests.gateway import Gateway
from tests.world import World
from workers.ledger import connect
from workers.logs import configure_logs

#: Tries the input of a seed and counts what came of it; gives what is wrong, if anything is.
Try = Callable[[int, Counter[str]], str | None]


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """Let this process's temporary files be in a folder of their own."""
    folder.mkdir(exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before


def main(name: str, made: Callable[[Gateway, Path], Try]) -> None:
    """Run what the command line says; ends with status 1 when something was found."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.fuzz.{name}")
    parser.add_argument("--inputs", type=int, default=10_000, help="how many inputs (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first; the others follow (default: 0)")
    given = parser.parse_args()
    configure_logs("json", logging.CRITICAL)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        gateway = Gateway(World(connect(server.url_for(0))), server.url_for(1))
        with temporary(Path(folder) / "temporary") as own:
            once = made(gateway, own)
            seeds = range(given.seed, given.seed + given.inputs)
            found = [(seed, what) for seed in seeds if (what := once(seed, counts))]
        gateway.close()
    print(f"{given.inputs:,} inputs from seed {given.seed}: {dict(sorted(counts.items()))}")
    for seed, what in found[:20]:
        print(f"seed {seed}: {what}")
    print(f"{len(found)} findings")
    if found:
        raise SystemExit(1)
