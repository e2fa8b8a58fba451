"""The pulse: what is due goes to the queues, in bounded batches, and a nudge that nobody takes goes out again."""

from __future__ import annotations

import pytest

from tests.world import World, a_job
from workers.engine.pulse import QUEUE_DEPTH
from workers.ledger import Lists


@pytest.fixture
def backlog(world: World) -> World:
    """More bulk records that are due than a queue may hold."""
    for number in range(3 * QUEUE_DEPTH):
        world.submit(f"b-{number}", "manual", lane="bulk")
    return world


def test_queues_stay_short(backlog: World) -> None:
    """However much is due, a lane's queue holds no more than its depth; the rest waits in the ledger."""
    assert backlog.pulse.run_once().nudges == QUEUE_DEPTH
    assert backlog.pulse.run_once().nudges == 0
    assert backlog.queue.depths() == {"interactive": 0, "bulk": QUEUE_DEPTH, "reidentify": 0}
    for _ in range(10):
        nudge = backlog.queue.nudges.popleft()
        backlog.run_step(nudge.step, nudge.key, nudge.version)
    backlog.queue.nudges = type(backlog.queue.nudges)(list(backlog.queue.nudges)[: QUEUE_DEPTH - 10])
    assert backlog.pulse.run_once().nudges == 10


def test_lanes_do_not_wait_for_each_other(backlog: World) -> None:
    """A full bulk queue does not keep an interactive record from its own."""
    backlog.pulse.run_once()
    backlog.submit("i-1", "manual")
    backlog.queue.nudges = type(backlog.queue.nudges)(n for n in backlog.queue.nudges if n.lane == "bulk")
    backlog.advance(5.1)
    assert backlog.pulse.run_once().nudges == 1
    assert backlog.queue.nudges[-1].key == "i-1"


def test_sent_again(world: World) -> None:
    """A nudge that nobody claimed is sent again some seconds later, not before and not by another process's pulse."""
    world.door.submit(a_job("b-1", "manual", lane="bulk"))
    assert world.pulse.run_once().nudges == 1
    world.queue.nudges.clear()
    world.advance(4)
    assert world.pulse.run_once().nudges == 0
    world.advance(1.1)
    assert world.pulse.run_once().nudges == 1


def test_everything_arrives(backlog: World) -> None:
    """A backlog of several queues is worked off completely."""
    backlog.run(until=lambda: Lists(backlog.ledger).phases().keys() == {"identification_pending"}, seconds=600)
    assert all(counts["customers"] == counts["identifications"] == 1 for counts in backlog.effects().values())
