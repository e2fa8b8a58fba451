"""What an idle worker process costs: its CPU time while nothing is due, with customers who wait.

python -m tests.bench.idle [seconds] [processes] [waiting]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from tests.bench.peers.field import Field

#: Share of a core that an idle process may take.
TARGET = 0.02


def main(seconds: int = 20, processes: int = 2, crowd: int = 10_000) -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis(Path(folder) / "redis") as server,
        Field(Path(folder), server, processes=processes, threads=16) as field,
    ):
        shares, redis_share = field.idle(seconds, crowd)
    print(f"{processes} idle worker processes, {crowd:,} customers waiting, {seconds} s:", end=" ")
    print(f"{', '.join(f'{share:.1%}' for share in shares)} of a core each (target: {TARGET:.0%});", end=" ")
    print(f"Redis for all of them {redis_share:.1%}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
