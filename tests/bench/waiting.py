"""What waiting costs: calls to Iron for each customer and day, while customers do nothing and no webhook arrives.

Simulated time, the real ledger, pulse, steps and sweep, the sandbox in process.

    python -m tests.bench.waiting [customers] [days]
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from tests.integration.test_sweep import calls_while_waiting
from tests.world import World
from workers.ledger import connect
from workers.logs import configure_logs


def main(customers: int = 1000, days: int = 30) -> None:
    """Measure and print."""
    configure_logs("json", logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        calls = calls_while_waiting(World(connect(server.url_for(0))), customers, days)
    print(f"{customers} customers wait {days} days: {calls[0]:.1f} calls each on the first day,", end=" ")
    print(f"then at most {max(calls[1:]):.3f} a day (target: 0.05)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
