"""Jobs as messages of every form and place, mixed with what is no job, while workers are killed.

    python -m tests.chaos.messages [jobs] [bad] [workers killed]

Prints the seconds until every job had its record and everything else was listed. `make test` runs it small.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from ops.local.processes import terminable
from tests.chaos.fleet import Fleet, Service
from tests.odd_messages import a_message, forms, written
from workers.engine.inventory import Inventory, look
from workers.intake.rejections import Refusals
from workers.ledger import LANES, Lists

#: A full run.
FULL = (10_000, 1_000, 2)
#: Seconds within which every job has its record and all else is listed. Source: the promise of contract section 6.
WITHIN_S = 60.0
#: Messages that are sent in one packet.
AT_ONCE = 500
#: Iron's budget as it is by default: what matters here is how jobs come in.
SETTINGS = {"IRON_RATE_PER_SECOND": "10", "IRON_IDENTIFICATIONS_PER_MINUTE": "60"}
#: A worker that nobody has heard of.
NOBODY = "0b3ccf0c-ded0-4f0c-8d9f-2f1d3a3c5c11"

#: Puts a message, by its id, somewhere; the first argument is a pipeline.
Put = Callable[[Any, str, bytes], object]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run showed."""

    jobs: int
    bad: int
    killed: int
    #: Seconds from the first message on until every job had its record, and all else was listed too.
    recorded_s: float
    listed_s: float
    #: Jobs without a record, messages that are not listed, and listed ones that were jobs.
    missing: int
    unlisted: int
    listed_wrongly: int
    #: What lies in the broker at the end.
    left: Inventory

    def well(self) -> bool:
        """Say whether nothing was lost, and all was in time."""
        lost = self.missing or self.unlisted or self.listed_wrongly or self.left.stuck()
        return not lost and self.listed_s <= WITHIN_S


def on(queue: str) -> Put:
    """Put on a queue, as Dramatiq's script does."""

    def put(pipeline: Any, id_: str, data: bytes) -> None:
        pipeline.hset(f"dramatiq:{queue}.msgs", id_, data)
        pipeline.rpush(f"dramatiq:{queue}", id_)

    return put


def dead(pipeline: Any, id_: str, data: bytes) -> None:
    """Put among the dead letters."""
    pipeline.hset("dramatiq:interactive.XQ.msgs", id_, data)
    pipeline.zadd("dramatiq:interactive.XQ", {id_: time.time() * 1000})


def unlisted(pipeline: Any, id_: str, data: bytes) -> None:
    """Put where no list names it."""
    pipeline.hset("dramatiq:interactive.msgs", id_, data)


def at_nobody(pipeline: Any, id_: str, data: bytes) -> None:
    """Put into the hands of a worker that is gone."""
    pipeline.hset("dramatiq:interactive.msgs", id_, data)
    pipeline.sadd(f"dramatiq:__acks__.{NOBODY}.interactive", id_)


#: Where messages are put, by turns; most of them where they belong.
PLACES: tuple[Put, ...] = (
    *[on("interactive")] * 12,
    *(on(lane) for lane in LANES[1:]),
    *(on(f"{lane}.DQ") for lane in LANES),
    *(dead, unlisted, at_nobody),
)


def jobs(number: int) -> list[tuple[str, bytes]]:
    """Make jobs, by key: one in ten of an odd form, one in ten with a delay of up to five seconds."""
    odd = cycle(name for name, (_, code) in forms("k").items() if code is None)
    made = []
    for key in (f"job-{at}" for at in range(number)):
        data = written(a_message(key))
        if len(made) % 10 == 3:
            data = forms(key)[next(odd)][0]
        elif len(made) % 10 == 7:
            later_ms = int(time.time() * 1000) + random.randrange(5_000)
            data = written(a_message(key, options={"eta": later_ms}))
        made.append((key, data))
    return made


def bad_ones() -> Iterator[bytes]:
    """Make messages that are no jobs, of every form by turns."""
    for at in count():
        yield from (data for data, code in forms(f"bad-{at}").values() if code is not None)


def run(fleet: Fleet, number: int, bad: int, kills: int) -> Seen:
    """Send all of it, kill workers meanwhile, and see what comes of it."""
    wanted, rest = jobs(number), list(islice(bad_ones(), bad))
    mixed = [*(data for _, data in wanted), *rest]
    random.shuffle(mixed)
    refusals, keys = Refusals(fleet.ledger), [key for key, _ in wanted]
    before = refusals.count()
    started = time.monotonic()
    victims = cycle(fleet.services)
    for at in range(0, len(mixed), AT_ONCE):
        with fleet.broker.client.pipeline(transaction=False) as pipeline:
            for place, data in zip(cycle(PLACES), mixed[at : at + AT_ONCE], strict=False):
                place(pipeline, str(uuid4()), data)
            pipeline.execute()
        fleet.supervise()
    killed = sum(_kill(fleet, next(victims)) for _ in range(kills))
    missing = _until(fleet, lambda: _without_record(fleet, keys), WITHIN_S)
    recorded_s = time.monotonic() - started
    _until(fleet, lambda: [1] * (bad - refusals.count() + before), max(1.0, WITHIN_S - recorded_s))
    listed_s = time.monotonic() - started
    _until(fleet, lambda: look(fleet.broker).stuck(), 10)
    listed = refusals.count() - before
    wrongly = sum(one.key in set(keys) for one in refusals.newest(bad))
    return Seen(
        *(number, bad, killed, recorded_s, listed_s),
        *(len(missing), bad - listed, wrongly, look(fleet.broker)),
    )


def _kill(fleet: Fleet, victim: Service) -> int:
    """Kill a worker process when it, or the other, has messages in hand; answers 1."""
    pattern = "dramatiq:__acks__.*.interactive"
    fleet.until(lambda: bool(victim.workers()) and any(fleet.broker.client.scan_iter(pattern)), what="nobody fetches")
    os.kill(victim.workers()[0], signal.SIGKILL)
    return 1


def _without_record(fleet: Fleet, keys: list[str]) -> list[str]:
    """Name the jobs without a record; they are read one by one only when there are as many records as jobs."""
    there = sum(number for number, _ in Lists(fleet.ledger).phases().values())
    if there < len(keys):
        return keys[there:]
    found = fleet.read(keys)
    return [key for key in keys if key not in found]


def _until(fleet: Fleet, left: Callable[[], list[Any]], seconds: float) -> list[Any]:
    """Wait until nothing is left; answers what is after so many seconds."""
    found: list[Any] = []

    def none() -> bool:
        found[:] = left()
        return not found

    try:
        fleet.until(none, seconds)
    except AssertionError:
        return found
    return []


def main(number: int, bad: int, kills: int) -> int:
    """Run, print, and say with the exit status whether all went well."""
    with (
        terminable(),
        tempfile.TemporaryDirectory() as folder,
        Fleet(Path(folder), services=2, settings=SETTINGS) as fleet,
    ):
        seen = run(fleet, number, bad, kills)
    for name in ("jobs", "bad", "killed", "missing", "unlisted", "listed_wrongly"):
        print(f"{name:<20}{getattr(seen, name):>10,}")
    print(f"{'recorded_s':<20}{seen.recorded_s:>10.1f}\n{'listed_s':<20}{seen.listed_s:>10.1f}")
    print(f"{'stuck at the end':<20}{sum(one.count for one in seen.left.stuck()):>10,}")
    return 0 if seen.well() else 1


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + list(FULL[len(given) :]))))
