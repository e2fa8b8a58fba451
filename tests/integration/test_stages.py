"""How long stages take, counted by the commits, and what is over its limit: with the real steps, ledger and pulse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis

from ops.sandbox.lab.faults import Fault
from pipelines.lifecycle import Phase
from pipelines.stages.policy import LimitPolicy
from tests.world import World
from workers.budget.gate import Gate
from workers.events.stream import EventStream
from workers.ledger import PREFIX
from workers.process.moving import PolicyChangedError
from workers.stages import ages
from workers.stages.ages import ClockMover, Overdue, over_now, proposed, store

HOUR_S, DAY_S = 3600, 86_400
LIMITS = LimitPolicy(
    enabled=True,
    stages={
        "identification_pending customer": 2 * DAY_S * 1000,
        "in_review iron": DAY_S * 1000,
        "failed operator": 60_000,
    },
)


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, whose ledger and Iron agree about the time."""
    world = World(client)
    world.shift_ms = round(world.clock.now() * 1000) - world.ledger.now_ms()
    return world


def put_in_force(world: World, policy: LimitPolicy = LIMITS) -> None:
    """Store limits and begin the clocks of those they concern."""
    store(world.ledger, proposed(world.ledger, policy, by="ada"))
    assert ClockMover(world.ledger).run_through().done


def pending(world: World, key: str = "k-1") -> None:
    """Bring a customer to whom nothing happens by itself to the hosted link."""
    world.submit(key, tag="manual")
    world.run_until(key, Phase.IDENTIFICATION_PENDING, seconds=60)


def after(world: World, seconds: float, key: str, step: str) -> None:
    """Let a customer be moved at Iron so many seconds from now, and everybody hear of it."""
    world.advance(seconds)
    before = world.record(key).phase
    world.move(key, step)
    world.run(until=lambda: world.record(key).phase is not before, seconds=60)


def stage(world: World, name: str) -> dict[str, Any]:
    """What the summary says of a stage."""
    phase, actor = name.split(" ")
    found = [one for one in ages.summarised(world.ledger) if (one["phase"], one["waiting_on"]) == (phase, actor)]
    return found[0] if found else {"last_24h": None, "last_7d": None, "last_30d": None, "overdue": 0}


def told(world: World) -> list[tuple[str, str, tuple[str, ...]]]:
    """What upstream was told to be over its limit: key, who must act, the limit."""
    found = EventStream(world.ledger).after()
    return [(event.key, event.waiting_on, event.about) for event in found if event.name == "overdue"]


def end_of_bucket(seconds: float) -> float:
    """What a length is read as."""
    return float(f"{2 ** (math.ceil(4 * math.log2(seconds) - 1e-9) / 4):.3g}")


def test_percentiles_of_hand_computed_lengths(world: World) -> None:
    """Ten customers take 1 to 10 hours at their links: the 5th, 9th and 10th of them are the percentiles."""
    keys = [f"k-{n:02}" for n in range(1, 11)]
    for key in keys:
        pending(world, key)
    for key in keys:  # an hour after the one before
        after(world, HOUR_S, key, "process")
    found = stage(world, "identification_pending customer")["last_24h"]
    # 5 h are 18,000 s: 2^(56.5/4), so bucket 57. 9 h: 59.9 -> 60. 10 h: 60.5 -> 61. Each is at most a minute longer.
    assert found == {"count": 10, "p50_s": 19500.0, "p90_s": 32800.0, "p99_s": 39000.0}
    assert stage(world, "identification_pending customer")["last_30d"] == found


def test_what_is_old_leaves_each_window_in_its_time(world: World) -> None:
    """One that ended is in the last day, in the last week, in the last month, and then in none."""
    pending(world)
    after(world, HOUR_S, "k-1", "process")
    seen = []
    for days in (0, 0.9, 0.2, 5, 2, 21.5, 2):
        world.advance(days * DAY_S)
        found = stage(world, "identification_pending customer")
        seen.append("".join("x" if found[name] else "-" for name in ages.WINDOWS))
    assert seen == ["xxx", "xxx", "-xx", "-xx", "--x", "--x", "---"]


def test_nobody_has_to_look_for_the_counts_to_be_right(world: World) -> None:
    """Without a look for weeks the next count takes out what is old: of two far apart one is in the last day."""
    pending(world, "k-1")
    pending(world, "k-2")
    after(world, HOUR_S, "k-1", "process")
    after(world, 10 * DAY_S, "k-2", "process")
    found = stage(world, "identification_pending customer")
    assert [found[name]["count"] for name in ages.WINDOWS] == [1, 1, 2]


def test_another_actor_in_the_same_phase_is_another_stage(world: World) -> None:
    """The documents are ours to fetch, then the customer's to accept, then Iron's: three stages of one phase."""
    pending(world)
    after(world, HOUR_S, "k-1", "approve")
    world.run(until=lambda: bool(world.record().signings))
    world.advance(2 * HOUR_S)
    world.agree()
    world.run_until("k-1", Phase.ACTIVE)
    lengths = {who: stage(world, f"signings_required {who}")["last_24h"] for who in ("us", "customer", "iron")}
    assert all(found is not None for found in lengths.values())
    assert lengths["customer"]["p50_s"] == pytest.approx(end_of_bucket(2 * HOUR_S), rel=0.2)
    assert lengths["us"]["p99_s"] < 60
    assert world.record().turn_ms is None
    assert stage(world, "active nobody")["last_24h"] is None


@pytest.mark.parametrize("again", [True, False])
def test_a_stage_in_which_the_lane_was_paused_is_left_out(world: World, again: bool) -> None:
    """Still paused, or resumed meanwhile: it says nothing of how long anybody took. The next one counts."""
    pending(world)
    world.advance(HOUR_S)
    Gate(world.ledger).pause(["interactive"], by="ada", reason="a test")
    world.advance(HOUR_S)
    if not again:
        world.act("k-1", "cancel", reason="a test")
        world.run_until("k-1", Phase.CANCELLED)
    else:
        Gate(world.ledger).resume(["interactive"])
        after(world, HOUR_S, "k-1", "process")
        after(world, HOUR_S, "k-1", "approve")
        assert stage(world, "in_review iron")["last_24h"]["count"] == 1
    assert stage(world, "identification_pending customer")["last_24h"] is None


def test_a_repeated_commit_counts_once(world: World) -> None:
    """redis-py repeats a call whose answer was lost: the same commit again adds nothing."""
    pending(world)
    world.advance(HOUR_S)
    call = world.ledger._call

    def twice(operation: str, *arguments: Any, **options: Any) -> Any:
        answer = call(operation, *arguments, **options)
        return call(operation, *arguments, **options) if operation in ("commit", "onward") else answer

    world.ledger._call = twice  # type: ignore[method-assign]
    after(world, 1, "k-1", "process")
    assert stage(world, "identification_pending customer")["last_24h"]["count"] == 1


def test_the_counts_expire_by_themselves(world: World) -> None:
    """Each hour and day has its end; only the three windows stay."""
    pending(world)
    after(world, HOUR_S, "k-1", "process")
    slots = [key for key in world.client.scan_iter(f"{PREFIX}ages_*") if b":24h" not in key and key[-1:] != b"d"]
    assert len(slots) >= 2
    assert all(world.client.ttl(key) > 0 for key in slots)


def test_what_is_over_its_limit_is_told_once(world: World) -> None:
    """Who waits longer than the limit, once, with the limit; who was in time never; gone when the stage ends."""
    put_in_force(world)
    for key in ("late", "in-time"):
        pending(world, key)
    overdue = Overdue(world.ledger)
    after(world, DAY_S, "in-time", "process")
    after(world, HOUR_S, "in-time", "approve")
    assert overdue.run_once() == 0
    world.advance(DAY_S)
    assert [overdue.run_once(), overdue.run_once()] == [1, 0]
    assert told(world) == [("late", "customer", ("172800",))]
    found = stage(world, "identification_pending customer")
    assert (found["limit_s"], found["overdue"]) == (172_800, 1)
    [event] = [event for event in EventStream(world.ledger).after() if event.name == "overdue"]
    assert event.cloud_event("urn:onboarding:default")["data"]["limit_s"] == 172_800
    after(world, HOUR_S, "late", "process")
    assert stage(world, "identification_pending customer")["overdue"] == 0
    world.advance(2 * DAY_S)
    assert overdue.run_once() == 1
    assert told(world)[1:] == [("late", "iron", ("86400",))]


def test_what_ended_is_not_told(world: World) -> None:
    """The stage ended before anybody looked: nothing is over its limit."""
    put_in_force(world)
    pending(world)
    after(world, 3 * DAY_S, "k-1", "process")
    assert Overdue(world.ledger).run_once() == 0


def test_a_clock_that_was_left_behind_tells_nothing(world: World) -> None:
    """A worker of an older release ended the stage, and the customer is back in the phase: it is another stage."""
    put_in_force(world)
    pending(world)
    timed = f"{PREFIX}timed:identification_pending customer"
    [(key, since)] = world.client.zrange(timed, 0, -1, withscores=True)
    world.client.zadd(timed, {key: since - 3 * DAY_S * 1000})
    assert Overdue(world.ledger).run_once() == 0
    assert world.client.zcard(timed) == 0


def test_what_is_finished_for_us_has_its_clock_too(world: World) -> None:
    """A failed job has no due time, and is over its limit all the same: an operator has to look."""
    put_in_force(world)
    world.submit("k-1")
    world.sandbox.faults.add(Fault(operation="create_customer", status=422))
    world.run_until("k-1", Phase.FAILED)
    world.advance(61)
    assert Overdue(world.ledger).run_once() == 1
    assert told(world) == [("k-1", "operator", ("60",))]


def test_new_limits_concern_those_who_wait_already(world: World) -> None:
    """Who is over a new limit is told at once; a limit that was raised is told again when it is passed."""
    pending(world)
    world.advance(3 * DAY_S)
    overdue = Overdue(world.ledger)
    assert overdue.run_once() == 0
    assert over_now(world.ledger, LIMITS)["identification_pending customer"] == 1
    put_in_force(world)
    assert overdue.run_once() == 1
    put_in_force(world, LimitPolicy(enabled=True, stages={**LIMITS.stages, "on_hold operator": 60_000}))
    assert overdue.run_once() == 0
    assert stage(world, "identification_pending customer")["overdue"] == 1
    put_in_force(world, LimitPolicy(enabled=True, stages={"identification_pending customer": 5 * DAY_S * 1000}))
    assert overdue.run_once() == 0
    assert stage(world, "identification_pending customer")["overdue"] == 0
    world.advance(3 * DAY_S)
    assert overdue.run_once() == 1
    put_in_force(world, LimitPolicy())
    assert (overdue.run_once(), len(told(world))) == (0, 2)
    assert "limit_s" not in stage(world, "identification_pending customer")


def test_a_new_job_has_its_clock_from_the_beginning(world: World) -> None:
    """Nobody takes it in hand: it is over its limit all the same, also a row of an import."""
    put_in_force(world, LimitPolicy(enabled=True, stages={"received us": 60_000}))
    world.submit("k-1")
    world.advance(61)
    assert Overdue(world.ledger).run_once() == 1


def test_two_who_change_the_limits_at_once(world: World) -> None:
    """The second hears that it is another policy than the one that was looked at, and nothing is overwritten."""
    first, second = proposed(world.ledger, LIMITS, by="ada"), proposed(world.ledger, LimitPolicy(), by="bob")
    store(world.ledger, first)
    with pytest.raises(PolicyChangedError):
        store(world.ledger, second)
    assert ages.in_force(world.ledger).by == "ada"
    assert world.client.hlen(f"{PREFIX}limited") == 3


def test_the_figures_are_read_where_nothing_can_be_written(world: World) -> None:
    """A replica, or a server whose disk is full: they are a little old then."""
    pending(world)
    after(world, HOUR_S, "k-1", "process")
    world.advance(2 * DAY_S)
    world.client.replicaof("127.0.0.1", 1)
    try:
        found = stage(world, "identification_pending customer")["last_24h"]
    finally:
        world.client.replicaof("NO", "ONE")
    assert found["count"] == 1
    assert stage(world, "identification_pending customer")["last_24h"] is None
