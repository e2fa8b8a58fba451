"""How long a summary takes, with so many records and every stage counted; and what the clocks cost a commit.

    python -m tests.bench.stages [records]

The records are written as the ledger has them, without steps: keys, phases, due times. Every stage that there is has
ended in each window, in twenty lengths, and has a limit. Processor time is printed too, which depends less on who else
works.
"""

from __future__ import annotations

import json
import random
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ops.local.embedded import EmbeddedRedis
from pipelines.begin import begin
from pipelines.job import parse_job
from pipelines.keys import canonical_json
from pipelines.lifecycle import TABLE, Actor, Phase
from pipelines.stages.percentiles import PER_DOUBLING
from pipelines.stages.policy import LimitPolicy
from tests.world import PLENTY, a_job
from workers.engine.inventory import Inventory
from workers.ledger import LANES, PREFIX, Ledger, connect
from workers.operate.summary import summarised
from workers.stages import ages

#: Looks of each kind.
LOOKS = 300
#: Target of the issue, in ms.
TARGET_MS = 5
PHASES = (Phase.IDENTIFICATION_PENDING, Phase.IN_REVIEW, Phase.SIGNINGS_REQUIRED, Phase.ACTIVE)
STAGES = sorted(
    {f"{row.phase.value} {row.who.value}" for row in TABLE if row.who is not Actor.NOBODY}
    | {f"{phase.value} operator" for phase in Phase}
)


def fill(ledger: Ledger, records: int) -> None:
    """Write so many records, and the counts of a month."""
    now_ms, dice = ledger.now_ms(), random.Random(1)
    record = begin(parse_job(a_job("k-1")).canonical())
    body = canonical_json({**record.stored(), "customer_id": "x" * 36, "identification_id": "x" * 36}).decode()
    for first in range(0, records, 5_000):
        with ledger.client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + 5_000, records)):
                key, phase, at = f"k-{number}", PHASES[number % len(PHASES)].value, now_ms - dice.randrange(10**9)
                header = f"1 5 x-y bulk/~ {phase} refresh {at} {at} {at}"
                pipeline.set(f"{PREFIX}record:{key}", f"{header}\n{body}")
                pipeline.zadd(f"{PREFIX}phase:{phase}", {key: at})
                pipeline.zadd(f"{PREFIX}due:bulk/~", {key: now_ms + 10**9})
            pipeline.execute()
    ages.store(ledger, ages.proposed(ledger, LimitPolicy(True, dict.fromkeys(STAGES, 3_600_000)), by="bench"))
    _count(ledger, now_ms)


def _count(ledger: Ledger, now_ms: int) -> None:
    """Let every stage have ended in each window, in twenty lengths from seconds to weeks."""
    counts = [1000 if bucket % PER_DOUBLING == 0 else 0 for bucket in range(20 * PER_DOUBLING + 1)]
    counted = dict.fromkeys(STAGES, struct.pack(f"<{len(counts)}I", *counts))
    with ledger.client.pipeline(transaction=False) as pipeline:
        for window, slot_ms in (("24h", 3_600_000), ("7d", 86_400_000), ("30d", 86_400_000)):
            pipeline.hset(f"{PREFIX}ages_in:{window}", mapping=counted)
            pipeline.hset(f"{PREFIX}ages", window, now_ms // slot_ms)
        for n in range(1, 31):
            pipeline.hset(f"{PREFIX}ages_day:{now_ms // 86_400_000 - n}", mapping=counted)
        pipeline.execute()


def measured(name: str, ledger: Ledger, look: Callable[[], object], target: float | None = None) -> None:
    """Print what a look takes: by the clock, and in processor time of this process and of Redis."""
    times_ms, used_s, redis_s = [], time.process_time(), _redis_s(ledger)
    for _ in range(LOOKS):
        before = time.perf_counter()
        look()
        times_ms.append((time.perf_counter() - before) * 1000)
    used_ms, redis_ms = (time.process_time() - used_s) * 1000 / LOOKS, (_redis_s(ledger) - redis_s) * 1000 / LOOKS
    median, best = statistics.median(times_ms), min(times_ms)
    told = f" (target {target:g} ms)" if target else ""
    print(
        f"{name:<24} median {median:6.2f} ms, best {best:6.2f} ms{told}; of the"
        f" processor {used_ms:.2f} + Redis {redis_ms:.2f} ms"
    )


def _redis_s(ledger: Ledger) -> float:
    """Give the processor time that Redis has used so far, in seconds."""
    used = ledger.client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def main(records: int = 1_000_000) -> None:
    """Fill, measure, print."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        ledger = Ledger(connect(server.url_for(0)), PLENTY)
        began = time.monotonic()
        fill(ledger, records)
        memory = ledger.client.info("memory")["used_memory"] / 1e6
        print(f"{records:,} records, {len(STAGES)} stages of 20 lengths each, {memory:,.0f} MB;"
              f" written in {time.monotonic() - began:.0f} s")  # fmt: skip
        queued = dict.fromkeys(LANES, 0)
        found = summarised(ledger, queued, Inventory(()))
        assert found["total"] == records
        print(f"the summary has {len(json.dumps(found)):,} characters")
        measured("summary", ledger, lambda: summarised(ledger, queued, Inventory(())), TARGET_MS)
        measured("of which: the stages", ledger, lambda: ages.summarised(ledger))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
