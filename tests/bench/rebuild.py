"""How a lost ledger comes back.

Customers are onboarded, the ledger is emptied, `adopt` rebuilds it from Iron's list, and upstream sends every job
again. Nothing may be created on Iron.

    python -m tests.bench.rebuild [customers]
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ops.local.embedded import EmbeddedRedis
from pipelines.iron import Iron
from pipelines.lifecycle import Phase
from tests.world import API_KEY, BASE_URL, World
from workers.ledger import Lists, connect
from workers.logs import configure_logs
from workers.reconcile.adopt import adopt

#: Where customers stand when the ledger is lost.
TAGS = ("approve", "manual", "decline", "decline-final", "suspend")


def settle(world: World, seconds: float) -> None:
    """Let so much time pass, and every customer agree to what is asked."""
    end_ms = world.shift_ms + seconds * 1000
    look_ms = 0
    while world.shift_ms < end_ms:
        world.hear()
        world.pulse.run_once()
        world.drain()
        waits = [wait for wait in (world.next_due_s(), world.next_event_s()) if wait is not None]
        world.advance(min([*waits, 60.0]) + 1.0)
        if world.shift_ms < look_ms:
            continue
        look_ms = world.shift_ms + 10_000
        for read in list(Lists(world.ledger).in_phase(Phase.SIGNINGS_REQUIRED)):
            if any(not signing.consented_ms for signing in read.record.signings):
                world.consent(read.record.key)


def differences(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Count the customers that are not the same in both."""
    return sum(one.get(key) != other.get(key) for key in one.keys() | other.keys())


def main(customers: int = 10_000) -> None:
    """Onboard, lose, rebuild, send again, compare and print."""
    configure_logs("json", logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        world = World(connect(server.url_for(0)))
        jobs = {f"k-{number}": TAGS[number % len(TAGS)] for number in range(customers)}
        for key, tag in jobs.items():
            world.submit(key, tag)
        settle(world, 600)
        before = {record.key: (record.phase, record.customer_id) for record in world.records()}
        effects = world.effects()
        world.client.flushdb()
        world.queue.nudges.clear()
        started = time.monotonic()
        found = Counter(one.result for one in adopt(world.ledger, Iron(world.transport, BASE_URL, API_KEY)))
        adopted_s = time.monotonic() - started
        back = {record.key: (record.phase, record.customer_id) for record in world.records()}
        for key, tag in jobs.items():
            world.submit(key, tag)
        settle(world, 600)
        after = {record.key: (record.phase, record.customer_id) for record in world.records()}
    print(f"{customers} customers in {dict(Counter(phase.value for phase, _ in before.values()))}")
    print(f"adopted in {adopted_s:.1f} s: {dict(found)}; in another phase than before: {differences(before, back)}")
    created = sum(sum(world.effects()[key].values()) - sum(effects[key].values()) for key in jobs)
    print(f"every job sent again: {differences(before, after)} changed, {created} effects more on Iron")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
