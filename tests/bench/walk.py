"""Which files one step of a customer goes through, as it runs: entered how often, and left for others and come back to.

    python -m tests.bench.walk

Runs one `refresh` of a waiting customer in this process, on a real Redis, against the sandbox, and follows every call
below `pipelines/` and `workers/`. A stay is a row of calls in one file. A good figure is about ten files that a reader
has to know, each entered once or nearly so; values and codecs come on top.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import Counter
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

from ops.local.embedded import EmbeddedRedis
from tests.world import World
from workers.ledger import connect
from workers.logs import configure_logs

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(f"{ROOT / top}/" for top in ("pipelines", "workers"))


def walked(world: World) -> list[str]:
    """Run one step and name the files of its calls, in their order, each row of calls in one file once."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (file := frame.f_code.co_filename).startswith(OURS):
            files.append(str(Path(file).relative_to(ROOT)))

    [nudge, *_] = world.ledger.take({"interactive": 5}).nudges
    sys.setprofile(note)
    try:
        world.runner.run(nudge.step, nudge.key, nudge.version)
    finally:
        sys.setprofile(None)
    return [file for file, _ in groupby(files)]


def main() -> None:
    """Prepare a waiting customer, run one step, print."""
    argparse.ArgumentParser(
        prog="python -m tests.bench.walk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    configure_logs("json", logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        world = World(connect(server.url_for(0)), going_on=False)
        world.submit(tag="manual")
        world.run_until("k-1", "identification_pending")
        world.move("k-1", "approve")
        world.advance(60)
        stays = walked(world)
    counts = Counter(stays)
    print(f"refresh: {len(counts)} files, {len(stays)} stays, {len(stays) - len(counts)} returns")
    for file, count in counts.most_common():
        print(f"{count:4} {file}")


if __name__ == "__main__":
    main()
