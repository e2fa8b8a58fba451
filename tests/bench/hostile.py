"""Thousands of random and hostile submissions: never a 5xx, and never anything stored by one that is refused.

python -m tests.bench.hostile [requests] [first seed]
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from tests.gateway import Gateway, harm
from tests.world import World
from workers.ledger import connect
from workers.logs import configure_logs


def main(requests: int = 10_000, first: int = 0) -> None:
    """Send, count and print; ends with status 1 when one did harm."""
    configure_logs("json", logging.CRITICAL)
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        gateway = Gateway(World(connect(server.url_for(0))), server.url_for(1))
        found = [(seed, what) for seed in range(first, first + requests) if (what := harm(gateway, seed, statuses))]
        gateway.close()
    print(f"{requests:,} requests: statuses {dict(sorted(statuses.items()))}; harmful: {found or 'none'}")
    if found:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
