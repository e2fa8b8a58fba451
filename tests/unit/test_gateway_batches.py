"""How the gateway hands jobs in and sends nudges: together what comes together, and nobody waits for a slow batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import cast

import pytest

from ops.gateway.api.batching import BATCH, HEAVY_BYTES, Submissions
from ops.gateway.nudges import Nudges
from pipelines.model import Record
from workers.intake.submit import FrontDoor, Submitted
from workers.ledger import New, Nudge

DEADLINE_S = 10.0


class Door:
    """A front door that remembers what came together, and may be held shut."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def hand_in(self, new: Sequence[New]) -> list[Submitted]:
        keys = [one.record.key for one in new]
        self.batches.append(keys)
        self.entered.set()
        if "slow" in keys:
            assert self.open.wait(DEADLINE_S)
        if "broken" in keys:
            raise ConnectionError
        return [Submitted("created", one.record) for one in new]


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def submissions(door: Door) -> Iterator[Submissions]:
    made = Submissions(cast("FrontDoor", door))
    yield made
    door.open.set()
    made.close()


def a_new(key: str, size: int = 0) -> New:
    return New(Record(key=key), {"customer": b"x" * size})


def test_what_comes_together_goes_together(door: Door, submissions: Submissions) -> None:
    """The first job leaves alone and at once, those that come meanwhile share a batch, and each has its own answer."""

    async def all_at_once() -> list[Submitted]:
        return await asyncio.gather(*(submissions.submit(a_new(f"k-{number}")) for number in range(BATCH)))

    answers = asyncio.run(all_at_once())
    assert [answer.record.key for answer in answers if answer.record] == [f"k-{number}" for number in range(BATCH)]
    assert list(chain(*door.batches)) == [f"k-{number}" for number in range(BATCH)]
    assert len(door.batches) <= 3


def test_heavy_jobs_do_not_travel_by_the_hundred(door: Door, submissions: Submissions) -> None:
    """A job with documents counts for as many as its size is worth."""

    async def all_at_once() -> None:
        heavy = HEAVY_BYTES * BATCH // 2
        await asyncio.gather(*(submissions.submit(a_new(f"k-{number}", heavy)) for number in range(12)))

    asyncio.run(all_at_once())
    assert list(chain(*door.batches)) == [f"k-{number}" for number in range(12)]
    assert max(map(len, door.batches)) <= 2


def test_nobody_waits_for_a_slow_batch(door: Door, submissions: Submissions) -> None:
    """A batch that takes long, say because it waits for the disk, holds up nobody but its own jobs."""
    door.open.clear()

    async def beside_a_slow_one() -> None:
        slow = asyncio.create_task(submissions.submit(a_new("slow")))
        await asyncio.to_thread(door.entered.wait, DEADLINE_S)
        answer = await asyncio.wait_for(submissions.submit(a_new("quick")), DEADLINE_S)
        assert answer.record == Record(key="quick")
        assert not slow.done()
        door.open.set()
        await slow

    asyncio.run(beside_a_slow_one())


def test_a_batch_that_fails_is_told_to_its_own(door: Door, submissions: Submissions) -> None:
    """What the ledger raises reaches whoever waits for that batch, and the next one is handed in as ever."""

    async def one_after_the_other() -> None:
        with pytest.raises(ConnectionError):
            await submissions.submit(a_new("broken"))
        assert (await submissions.submit(a_new("k-1"))).accepted

    asyncio.run(one_after_the_other())


def test_nudges_gather() -> None:
    """The first nudge is sent at once; those that come until it is through share a round trip."""
    sent: list[list[str]] = []
    let_go, all_sent = threading.Event(), threading.Event()

    def send_many(nudges: Sequence[Nudge]) -> None:
        sent.append([nudge.key for nudge in nudges])
        assert let_go.wait(DEADLINE_S)
        if sum(map(len, sent)) == 31:
            all_sent.set()

    nudges = Nudges(send_many)
    try:
        for number in range(31):
            assert nudges.send(Nudge("interactive", "create_customer", f"k-{number}", 1))
        let_go.set()
        assert all_sent.wait(DEADLINE_S)
    finally:
        let_go.set()
        nudges.close()
    assert list(chain(*sent)) == [f"k-{number}" for number in range(31)]
    assert len(sent) <= 3


def test_nudges_gather_for_a_while() -> None:
    """After a round trip nothing is sent for a moment, so that nudges come together; an end does not wait for it."""
    sent: list[str] = []
    first, second = threading.Event(), threading.Event()

    def send_many(nudges: Sequence[Nudge]) -> None:
        sent.extend(nudge.key for nudge in nudges)
        (second if first.is_set() else first).set()

    nudges = Nudges(send_many, gather_s=1_000)
    nudges.send(Nudge("interactive", "create_customer", "k-1", 1))
    assert first.wait(DEADLINE_S)
    nudges.send(Nudge("interactive", "create_customer", "k-2", 1))
    assert not second.wait(0.2)
    nudges.close()
    assert sent == ["k-1"]
