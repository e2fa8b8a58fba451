"""Re-identification with the real steps, ledger and pulse: notice, start, outcome, cap, quiet hours, and its guards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
import redis

from ops.sandbox.lab.faults import Fault
from pipelines.acts import IN_PROGRESS
from pipelines.iron import Iron
from pipelines.lifecycle import Phase
from pipelines.model import Next, Policy
from pipelines.reidentification import Hours, Interval, ReidentificationPolicy
from pipelines.reidentification.days import DAY_MS
from tests.world import API_KEY, BASE_URL, World
from workers.events.stream import EventStream
from workers.ledger import PREFIX
from workers.process.moving import PolicyChangedError
from workers.reconcile.adopt import adopt
from workers.reidentification import policy_store
from workers.reidentification.policy_store import Mover, proposed, store

DAY_S = 86_400
BERLIN = Hours("Europe/Berlin", (time(22), time(7)))
POLICY = ReidentificationPolicy(
    enabled=True, max_per_day=5, hours=BERLIN, tiers={"high": Interval(months=12), "standard": Interval(months=60)}
)


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, whose ledger and Iron agree about the time."""
    return in_time(World(client))


def in_time(world: World) -> World:
    world.shift_ms = round(world.clock.now() * 1000) - world.ledger.now_ms()
    return world


def put_in_force(world: World, policy: ReidentificationPolicy = POLICY) -> None:
    """Store a policy and move the due times of those it concerns."""
    store(world.ledger, proposed(world.ledger, policy, by="ada"))
    mover = Mover(world.ledger, world.policy.poll_far_s)
    while not mover.run_once().done:
        pass


def ask(world: World, key: str = "k-1", **details: Any) -> None:
    """Somebody names a customer who is to be identified again."""
    world.act(key, "reidentify", **({"run": "r-1", "reason": "a changed name"} | details))


def told(world: World, key: str = "k-1") -> list[str]:
    """What upstream was told of an onboarding, in order."""
    return [event.name for event in EventStream(world.ledger).after() if event.key == key]


def hear(world: World, notices: int = 1) -> None:
    """Let time pass until upstream has heard so many notices."""
    world.run(until=lambda: told(world).count("reidentification_due") >= notices, seconds=370 * DAY_S)


def again(world: World, key: str = "k-1", years: float = 1.1) -> None:
    """Let time pass until the customer is asked to identify again."""
    world.run_until(key, "identification_pending", seconds=years * 366 * DAY_S)


def now(world: World) -> datetime:
    return datetime.fromtimestamp(world.ledger.now_ms() / 1000, UTC)


def test_a_customer_is_told_identified_again_and_active_until_the_next_time(world: World) -> None:
    """The notice in time, the start before the date, the link, and the same a year after that."""
    put_in_force(world)
    record = world.onboard(risk_tier="high")
    first = record.identified_ms
    assert first is not None
    for _ in range(2):
        before = world.record()
        hear(world, told(world).count("reidentification_due") + 1)
        told_ms = world.ledger.now_ms()
        again(world)
        begun = world.record()
        assert begun.again is not None
        assert world.ledger.now_ms() - told_ms >= 14 * DAY_MS
        assert BERLIN.day(world.ledger.now_ms()) <= Interval(months=12).after(BERLIN.day(before.identified_ms or 0))
        assert (begun.round, begun.was_active, begun.lane, bool(begun.link)) == (1, False, "interactive", True)
        assert begun.identification_id != before.identification_id
        world.run_until("k-1", "active")
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 3, "signings": 2}}
    names = told(world)
    assert names.count("reidentification_due") == 2
    assert names[names.index("reidentification_due") + 1] == "identification_pending"


def test_without_a_policy_and_with_one_that_is_off_nothing_starts(world: World) -> None:
    """Whatever the dates are: five years and a day, and nobody was called."""
    world.onboard(risk_tier="high")
    with pytest.raises(AssertionError):
        again(world, years=3)
    put_in_force(world, replace(POLICY, enabled=False))
    with pytest.raises(AssertionError):
        again(world, years=3)
    assert world.effects()["k-1"]["identifications"] == 1
    assert "reidentification_due" not in told(world)


def test_switched_off_between_the_notice_and_the_start_nothing_starts(world: World) -> None:
    """Who was told already stays as they are, and when it is switched on again they hear of it anew or start."""
    put_in_force(world)
    world.onboard(risk_tier="high")
    hear(world)
    put_in_force(world, replace(POLICY, enabled=False))
    with pytest.raises(AssertionError):
        again(world, years=1)
    assert world.effects()["k-1"]["identifications"] == 1
    put_in_force(world)
    again(world, years=0.2)
    assert world.effects()["k-1"]["identifications"] == 2


def test_by_hand_the_cap_holds_and_the_rest_comes_in_order_the_next_days(world: World) -> None:
    """Twelve at once with five a day: five today, five tomorrow, two the day after, none in quiet hours."""
    put_in_force(world, replace(POLICY, enabled=False))
    keys = [f"k-{n:02}" for n in range(12)]
    for key in keys:
        world.onboard(key)
    while not BERLIN.is_open(world.ledger.now_ms()):
        world.advance(600)
    for key in keys:
        ask(world, key)
    begun: dict[str, int] = {}

    def all_begun() -> bool:
        for record in world.records():
            if record.again and record.again.begun_ms:
                begun.setdefault(record.key, record.again.begun_ms)
        return len(begun) == 12

    world.run(until=all_begun, seconds=5 * DAY_S)
    days = [BERLIN.day(at_ms) for at_ms in sorted(begun.values())]
    assert [days.count(day) for day in dict.fromkeys(days)] == [5, 5, 2]
    assert all(BERLIN.is_open(at_ms) for at_ms in begun.values())
    assert sorted(begun, key=lambda key: begun[key]) == keys
    assert world.client.zcard(f"{PREFIX}waiting:start") == 0


@pytest.mark.parametrize("lag_s", [0, 30])
def test_a_lost_answer_begins_nothing_twice_and_is_no_step_up(client: redis.Redis, lag_s: float) -> None:
    """Iron began it, we never heard: it is found and taken as ours, link and all."""
    world = in_time(World(client, record_lag_s=lag_s))
    world.onboard()
    world.sandbox.faults.add(Fault(operation="create_identification", when="after", lost="reset", times=1))
    ask(world)
    again(world)
    record = world.record()
    assert (record.was_active, bool(record.link), record.effect) == (False, True, None)
    world.run_until("k-1", "active")
    assert world.effects()["k-1"]["identifications"] == 2


def test_a_status_that_nobody_knows_ends_no_request(world: World) -> None:
    """What somebody asked for happens when Iron shows again what it means."""
    world.onboard()
    world.sandbox.faults.add(Fault(operation="get_customer", odd="unknown_status", times=2))
    ask(world)
    world.run_until("k-1", "on_hold", seconds=60)
    world.run_until("k-1", "identification_pending", seconds=DAY_S)
    assert world.effects()["k-1"]["identifications"] == 2


def test_who_is_shown_active_late_is_not_active_again(client: redis.Redis) -> None:
    """While Iron's look-ups show the customer as they were, nobody is told that the new identification is through."""
    world = in_time(World(client, status_lag_s=30))
    world.hears = False
    world.onboard()
    ask(world)
    again(world)
    world.act("k-1", "read")
    world.run(until=lambda: not world.read().acts_waiting)
    world.run_step("refresh", "k-1", world.record().version)
    assert (world.record().phase, told(world).count("active")) == (Phase.IDENTIFICATION_PENDING, 1)
    world.run_until("k-1", "active")
    assert told(world).count("active") == 2


def test_what_iron_refuses_leaves_the_customer_active(world: World) -> None:
    """The customer stays what Iron says; an operator hears of it, nothing is tried again until somebody says so."""
    world.onboard()
    world.sandbox.faults.add(Fault(operation="create_identification", status=422, times=2))
    ask(world)
    world.run(until=lambda: world.read().record.problem is not None and world.record().problem.operator)
    record = world.record()
    assert (record.phase, record.step, record.lane) == (Phase.ACTIVE, "refresh", "interactive")
    world.act("k-1", "read")
    world.run(until=lambda: not world.read().acts_waiting)
    assert world.record().problem is not None
    ask(world)
    again(world)
    assert world.effects()["k-1"]["identifications"] == 2


def test_an_identification_elsewhere_moves_the_date(world: World) -> None:
    """Somebody had the customer identified in the dashboard after the notice: nothing begins for another year."""
    put_in_force(world)
    world.onboard(risk_tier="high")
    hear(world)
    path = f"/api/customers/{world.record().customer_id}/identifications/v2"
    assert world.sandbox.request("POST", path, {"type": "Link"}, key="dashboard").status == 201
    world.run(until=lambda: world.record().phase is not Phase.ACTIVE, seconds=DAY_S)
    world.run_until("k-1", "active", seconds=DAY_S)
    with pytest.raises(AssertionError):
        again(world, years=0.9)
    assert world.effects()["k-1"]["identifications"] == 2


@pytest.mark.parametrize(("move", "ends"), [("decline", "declined"), ("expire", "identification_pending")])
def test_an_end_that_is_no_approval_follows_the_rules_of_any_round(client: redis.Redis, move: str, ends: str) -> None:
    """A decline is told, and a link that runs out is followed by the next one."""
    world = in_time(World(client, policy=Policy(round_spacing_s=60)))
    world.onboard()
    ask(world)
    again(world)
    world.sandbox.move("k-1", move)
    world.run_until("k-1", "declined" if move == "decline" else "expired")
    world.run_until("k-1", ends)
    assert world.record().round == (1 if move == "decline" else 2)


def test_requests_without_sense_are_passed_over_with_the_reason(world: World) -> None:
    """In flight, in step-up, or not active: the history says why, and Iron is not called."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    ask(world)
    world.run(until=lambda: not world.read().acts_waiting)
    world.onboard("k-2", tag="stepup")
    world.run_until("k-2", "step_up_required")
    ask(world, "k-2")
    world.run(until=lambda: not world.read("k-2").acts_waiting)
    notes = [entry.get("note", "") for key in ("k-1", "k-2") for entry in world.ledger.history(key)]
    refused = [note.partition(". ")[2] for note in notes if note.startswith("Not done: ")]
    assert refused == [IN_PROGRESS] * 2
    assert [effects["identifications"] for effects in world.effects().values()] == [1, 1]


def test_a_new_policy_moves_due_times_and_one_in_hand_gets_its_own(world: World) -> None:
    """Whoever waits is due by the new policy at once; a worker who knew only the old one looks again a second later."""
    world.onboard("k-1", risk_tier="high")
    world.onboard("k-2", risk_tier="high")
    world.run_step("refresh", "k-2", world.record("k-2").version)  # knows of no policy
    far_ms = world.read("k-1").due_ms
    claim = world.ledger.claim("k-2", world.record("k-2").version, "refresh")
    put_in_force(world, replace(POLICY, tiers={"high": Interval(months=6)}))
    assert (world.read("k-1").due_ms or 0) < (far_ms or 0)
    world.ledger.commit(claim, Next(replace(claim.record), 300 * DAY_S, rule=0))  # type: ignore[arg-type,union-attr]
    assert (world.read("k-2").due_ms or 0) <= world.ledger.now_ms() + 1_000
    world.run(until=lambda: (world.read("k-2").due_ms or 0) > world.ledger.now_ms() + DAY_MS, seconds=60)


def test_two_who_change_the_policy_at_once(world: World) -> None:
    """The second hears that it is another policy than the one that was looked at, and nothing is overwritten."""
    first, second = proposed(world.ledger, POLICY, by="ada"), proposed(world.ledger, POLICY, by="bob")
    store(world.ledger, first)
    with pytest.raises(PolicyChangedError):
        store(world.ledger, second)
    assert policy_store.in_force(world.ledger).by == "ada"
    assert [entry["by"] for entry in policy_store.past_policies(world.ledger)] == ["ada"]


def test_who_is_active_and_since_when_is_always_known(world: World) -> None:
    """The schedule holds whoever is active, by tier, and nobody else: through step-ups, cancels and adoption."""

    def scheduled() -> dict[str, dict[bytes, float]]:
        tiers = ("low", "standard", "high")
        return {tier: dict(world.client.zrange(f"{PREFIX}identified:{tier}", 0, -1, withscores=True)) for tier in tiers}

    record = world.onboard("k-1", risk_tier="high")
    assert scheduled() == {"low": {}, "standard": {}, "high": {b"k-1": record.identified_ms}}
    world.onboard("k-2", tag="stepup")
    world.run_until("k-2", "step_up_required")
    assert scheduled()["standard"] == {}
    world.run_until("k-2", "active")
    assert list(scheduled()["standard"]) == [b"k-2"]
    world.act("k-2", "cancel", reason="a test")
    world.run_until("k-2", "cancelled")
    assert scheduled()["standard"] == {}


def test_an_adopted_customer_counts_from_the_identification_on_iron(world: World) -> None:
    """A ledger that was lost finds the same dates again."""
    known = world.onboard()
    world.client.flushdb()
    world.advance(DAY_S)
    list(adopt(world.ledger, Iron(world.transport, BASE_URL, API_KEY)))
    world.run(until=lambda: world.record().identified_ms is not None)
    assert world.record().identified_ms == known.identified_ms
    assert world.record().identification_id == known.identification_id


def test_a_start_that_would_fall_into_the_night_waits_for_the_morning(world: World) -> None:
    """Asked for at night, begun after seven; the customer of the policy's zone sleeps on."""
    put_in_force(world, replace(POLICY, enabled=False))
    world.onboard()
    while BERLIN.is_open(world.ledger.now_ms()):
        world.advance(1_200)
    ask(world)
    again(world)
    begun = world.record().again
    assert begun is not None
    assert BERLIN.is_open(begun.begun_ms or 0)


def test_a_place_that_was_not_used_on_its_day_is_asked_for_again(world: World) -> None:
    """Iron was away until the next day: the start counts for the day on which it happens."""
    put_in_force(world, replace(POLICY, enabled=False))
    world.onboard()
    while not BERLIN.is_open(world.ledger.now_ms()) or BERLIN.is_open(world.ledger.now_ms() + 3_600_000):
        world.advance(600)
    world.sandbox.faults.add(Fault(operation="create_identification", status=503))
    ask(world)
    world.run(until=lambda: world.record().tried == "create_identification", seconds=60)
    day = BERLIN.day(world.ledger.now_ms())
    world.run(until=lambda: BERLIN.day(world.ledger.now_ms()) > day, seconds=2 * DAY_S)
    world.sandbox.faults.clear()
    again(world)
    begun = world.record().again
    assert begun is not None
    assert BERLIN.is_open(begun.begun_ms or 0)
    assert world.effects()["k-1"]["identifications"] == 2


def test_the_policy_that_no_one_changed_since_the_beginning_of_time_is_off(world: World) -> None:
    """A fresh ledger has no policy: version 0, off, nothing to move, no start of any day."""
    rule = policy_store.in_force(world.ledger)
    assert (rule.version, rule.policy.enabled) == (0, False)
    assert Mover(world.ledger, DAY_S).run_once().done
    assert policy_store.summarised(world.ledger)["started_today"] == 0
    assert now(world).date() >= date(2026, 1, 1)
