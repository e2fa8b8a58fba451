"""How long an audit of many records takes, and what memory: 100,000 in at most 60 s on 2 cores, by the issue.

Customers of every way are really onboarded, then their keys are copied under other names until there are enough, so
that records, histories and indexes have their true sizes.

    python -m tests.bench.audit [records]
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from pipelines.reidentification.policy import TIERS
from tests.bench.rebuild import TAGS, settle
from tests.world import World
from workers.ledger import PREFIX, Lists, connect
from workers.logs import configure_logs
from workers.operate.audit import Auditor

#: Customers that are really onboarded.
MODELS = 200


def copied(world: World, number: int) -> None:
    """Copy every model under another key, with an external id and a customer of its own."""
    source = world.client
    with source.pipeline(transaction=False) as pipeline:
        for record in [read.record for read in world.ledger.read_many([f"k-{model}" for model in range(MODELS)])]:
            key, customer = f"{record.key}-{number}", f"{record.customer_id}-{number}"
            header, _, body = source.get(f"{PREFIX}record:{record.key}").partition(b"\n")
            changed = json.loads(body) | {"external_id": key, "customer_id": customer}
            pipeline.set(f"{PREFIX}record:{key}", header + b"\n" + json.dumps(changed).encode())
            for kind in ("input", "history", "acts", "evidence"):
                pipeline.copy(f"{PREFIX}{kind}:{record.key}", f"{PREFIX}{kind}:{key}")
            pipeline.hset(f"{PREFIX}external", key, key)
            pipeline.hset(f"{PREFIX}customer", customer, key)
            pipeline.zadd(f"{PREFIX}phase:{record.phase.value}", {key: record.since_ms})
            for place in [f"due:{place}" for place in Lists(world.ledger).places()] + [
                f"identified:{tier}" for tier in TIERS
            ]:
                at = source.zscore(f"{PREFIX}{place}", record.key)
                if at is not None:
                    pipeline.zadd(f"{PREFIX}{place}", {key: at})
        pipeline.execute()


def main(records: int = 100_000) -> None:
    """Fill, audit and print."""
    configure_logs("json", logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        world = World(connect(server.url_for(0)))
        for number in range(MODELS):
            world.submit(f"k-{number}", TAGS[number % len(TAGS)])
        settle(world, 600)
        for number in range(1, max(1, records // MODELS)):
            copied(world, number)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name in ("check", "verify"):
            auditor = Auditor(world.ledger, world.policy, shift_ms=lambda: world.shift_ms)
            started, cpu = time.monotonic(), time.process_time()
            found = Counter(one.code for one in (auditor.run() if name == "check" else auditor.verify()))
            took_s, cpu_s = time.monotonic() - started, time.process_time() - cpu
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
            print(f"{name}: {auditor.records:,} records, {auditor.entries:,} entries in {took_s:.1f} s", end="")
            print(f" ({cpu_s:.1f} s of our CPU); memory grew by {grown:.0f} MB; findings: {dict(found)}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
