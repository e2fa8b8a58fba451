"""Reminders with the real steps, ledger and pulse: eight customers' sequences, races, policies that change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
import redis

from ops.sandbox.lab.faults import Fault
from pipelines.lifecycle import Phase
from pipelines.reidentification import Hours
from pipelines.reidentification.days import DAY_MS, places
from pipelines.reminders import ReminderPolicy, Rhythm
from pipelines.reminders.policy import HOUR_MS
from tests.chaos.reminders import Races
from tests.world import World
from workers.events.stream import EventStream
from workers.process.moving import PolicyChangedError
from workers.reconcile.sweep import Sweep
from workers.reminders import policy_store
from workers.reminders.policy_store import ReminderMover, proposed, store

DAY_S = 86_400
BERLIN = ZoneInfo("Europe/Berlin")
POLICY = ReminderPolicy(
    enabled=True,
    hours=Hours("Europe/Berlin", (time(20), time(9))),
    needs={
        "complete_identification": Rhythm(2 * DAY_MS, 3 * DAY_MS, 3),
        "complete_step_up": Rhythm(12 * HOUR_MS, DAY_MS, 2),
        "request_new_round": Rhythm(DAY_MS, DAY_MS, 2),
        "sign_document": Rhythm(DAY_MS, 2 * DAY_MS, 2),
    },
)
#: What is told is told so many seconds after it is due at most, in these tests.
LATE_S = 5


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, where it is 15 January 2026, 11:00 in Berlin."""
    world = World(client)
    world.shift_ms = round(world.clock.now() * 1000) - world.ledger.now_ms()
    return world


def put_in_force(world: World, policy: ReminderPolicy = POLICY) -> None:
    """Store a policy and move the due times of those it concerns."""
    store(world.ledger, proposed(world.ledger, policy, by="ada"))
    assert ReminderMover(world.ledger).run_through().done


class Play:
    """Lets time pass to whatever comes next, and notes each reminder as it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.script: list[tuple[int, Callable[[], object]]] = []
        self.told: list[tuple[str, str, int, datetime]] = []
        self.cursor = "0-0"

    def at(self, after_s: float, act: Callable[[], object]) -> None:
        """Let something happen so many seconds from now."""
        self.script.append((self.world.ledger.now_ms() + round(after_s * 1000), act))
        self.script.sort(key=lambda one: one[0])

    def until(self, seconds: float) -> None:
        """Play so many seconds."""
        world, end_ms = self.world, self.world.ledger.now_ms() + seconds * 1000
        while (now_ms := world.ledger.now_ms()) < end_ms:
            while self.script and self.script[0][0] <= now_ms:
                self.script.pop(0)[1]()
            world.hear()
            world.pulse.run_once()
            world.drain()
            self._note()
            waits = [world.next_due_s(), world.next_event_s(), (end_ms - now_ms) / 1000]
            waits += [(at_ms - now_ms) / 1000 for at_ms, _ in self.script[:1]]
            world.advance(max(0.0, min(wait for wait in waits if wait is not None)) + 0.002)

    def _note(self) -> None:
        at = datetime.fromtimestamp(self.world.ledger.now_ms() / 1000, BERLIN)
        for event in EventStream(self.world.ledger).after(self.cursor):
            self.cursor = event.id
            if event.name == "reminder_due":
                need, count = event.about
                self.told.append((event.key, need, int(count), at))

    def of(self, key: str) -> list[tuple[str, int, str]]:
        """The reminders of one customer, to the hour."""
        return [(need, count, f"{at:%d %H}") for told, need, count, at in self.told if told == key]


def pending(world: World, key: str) -> None:
    """Bring a customer to whom nothing happens by itself to the hosted link."""
    world.submit(key, tag="manual")
    world.run_until(key, Phase.IDENTIFICATION_PENDING, seconds=60)


def test_eight_customers_are_reminded_of_what_is_due_and_of_nothing_else(world: World) -> None:
    """The exact sequence for each, to the hour: nobody hears of what is done, everybody of what is not, so often."""
    put_in_force(world)
    play, move = Play(world), world.move
    names = ["silent", "after-one", "in-time", "signer", "declined", "step-up", "cancelled", "expired"]
    for key in names:
        pending(world, key)
    play.at(3 * DAY_S, lambda: move("after-one", "approve"))
    play.at(3 * DAY_S + 60, lambda: world.agree("after-one"))
    play.at(2 * DAY_S - 300, lambda: move("in-time", "approve"))
    play.at(2 * DAY_S - 200, lambda: world.agree("in-time"))
    play.at(3600, lambda: move("signer", "approve"))
    play.at(3 * 3600, lambda: move("declined", "decline"))
    play.at(30, lambda: move("step-up", "approve"))
    play.at(90, lambda: world.agree("step-up"))
    play.at(12 * 3600, lambda: move("step-up", "stepup"))
    play.at(3 * DAY_S, lambda: world.act("cancelled", "cancel", reason="a test"))
    play.at(3 * DAY_S, lambda: move("expired", "expire"))
    play.until(20 * DAY_S)
    need = "complete_identification"
    # 15 January is a Thursday, 11:00 when all of them begin. Open from 9 to 20.
    assert play.of("silent") == [(need, 1, "17 11"), (need, 2, "20 11"), (need, 3, "23 11")]
    assert play.of("after-one") == [(need, 1, "17 11")]
    assert play.of("in-time") == []
    assert play.of("signer") == [("sign_document", 1, "16 12"), ("sign_document", 2, "18 12")]
    assert play.of("declined") == [("request_new_round", 1, "16 14"), ("request_new_round", 2, "17 14")]
    assert play.of("step-up") == [("complete_step_up", 1, "16 11"), ("complete_step_up", 2, "17 11")]
    assert play.of("cancelled") == [(need, 1, "17 11")]
    again = [(need, 1, "20 11"), (need, 2, "23 11"), (need, 3, "26 11")]  # the new link is another wait
    assert play.of("expired") == [(need, 1, "17 11"), *again]
    assert all(9 <= at.hour < 20 for *_, at in play.told)


def test_due_at_night_it_comes_in_the_morning_at_the_customers_own_minute(world: World) -> None:
    """Two who are due at the same moment of the night are reminded between nine and ten, each at a place of its own."""
    put_in_force(world)
    world.advance(11 * 3600)  # 22:00
    for key in ("k-1", "k-2"):
        pending(world, key)
    play = Play(world)
    play.until(3 * DAY_S)
    found = {key: at for key, _, _, at in play.told}
    for key, at in found.items():
        opens = at.replace(hour=9, minute=0, second=10, microsecond=0)
        assert 0 <= (at - opens).total_seconds() - places(key)[2] * 3600 < LATE_S
    assert len(found) == 2


def test_the_event_is_thin(world: World) -> None:
    """The need's code and the count beside what every event says, and nothing of the person."""
    put_in_force(world)
    pending(world, "k-1")
    Play(world).until(2.5 * DAY_S)
    [event] = [event for event in EventStream(world.ledger).after() if event.name == "reminder_due"]
    told = event.cloud_event("urn:onboarding:default")
    assert told["type"] == "onboarding.reminder_due"
    version = world.record("k-1").version
    assert told["data"] == {
        "idempotency_key": "k-1",
        "phase": "identification_pending",
        "waiting_on": "customer",
        "version": version,
        "need": "complete_identification",
        "count": 1,
    }
    assert world.ledger.history("k-1")[-1]["note"].endswith("reminder 1 of 3: complete_identification")


def test_without_a_policy_nobody_is_reminded_and_nobody_is_read_more_often(world: World) -> None:
    """Off by default: no event and not one call to Iron more, for two months."""
    pending(world, "k-1")
    play = Play(world)
    play.until(2 * DAY_S)
    calls = world.calls
    play.until(60 * DAY_S)
    assert (play.told, world.calls) == ([], calls)


def test_a_new_policy_moves_due_times_and_one_in_hand_gets_its_own(world: World) -> None:
    """Who waits far away is due by the new policy at once; a commit by the old one looks again a second later."""
    for key in ("k-1", "k-2"):
        pending(world, key)
    Play(world).until(1.5 * DAY_S)
    far_ms = world.read("k-1").due_ms or 0
    assert far_ms > world.ledger.now_ms() + 200 * DAY_MS  # a year, spread
    record = world.record("k-2")
    claim = world.ledger.claim("k-2", record.version, "refresh")
    put_in_force(world)
    due_ms = world.read("k-1").due_ms or 0
    assert 0 <= due_ms - (world.record("k-1").since_ms + 2 * DAY_MS) < DAY_MS
    following = replace(world.runner._attempt(claim), reminders=0)  # type: ignore[arg-type]
    world.ledger.commit(claim, following)  # type: ignore[arg-type]
    assert (world.read("k-2").due_ms or 0) <= world.ledger.now_ms() + 1000
    play = Play(world)
    play.until(DAY_S)
    assert {key for key, *_ in play.told} == {"k-1", "k-2"}


def test_who_is_late_when_the_policy_comes_is_reminded_once(world: World) -> None:
    """Ten days of waiting are one reminder within the day of the backlog, and not four."""
    pending(world, "k-1")
    play = Play(world)
    play.until(10 * DAY_S)
    put_in_force(world)
    play.until(2 * DAY_S)
    assert [(need, count) for _, need, count, _ in play.told] == [("complete_identification", 1)]


def test_a_downtime_makes_up_for_nothing(world: World) -> None:
    """Workers were away for nine days: one reminder then, the next three days after it."""
    put_in_force(world)
    pending(world, "k-1")
    play = Play(world)
    world.advance(9 * DAY_S)
    play.until(4 * DAY_S)
    assert play.of("k-1") == [("complete_identification", 1, "24 11"), ("complete_identification", 2, "27 11")]


def test_switched_off_nothing_more_is_told_and_on_again_the_count_goes_on(world: World) -> None:
    """The first under one policy, none while it is off, the second and third under the next; never more than three."""
    put_in_force(world)
    pending(world, "k-1")
    play = Play(world)
    play.until(2.5 * DAY_S)
    put_in_force(world, replace(POLICY, enabled=False))
    play.until(9 * DAY_S)
    assert len(play.told) == 1
    put_in_force(world)
    play.until(20 * DAY_S)
    assert [count for _, _, count, _ in play.told] == [1, 2, 3]


def test_while_iron_is_away_nobody_is_reminded(world: World) -> None:
    """The customer cannot be read, so that nobody knows whether it is still needed; it comes when Iron is back."""
    put_in_force(world)
    pending(world, "k-1")
    play = Play(world)
    play.until(2 * DAY_S - 3600)
    world.sandbox.faults.add(Fault(operation="get_customer", status=503))
    play.until(3 * 3600)
    assert play.told == []
    assert world.record("k-1").reminded is None
    world.sandbox.faults.clear()
    play.until(3600)
    assert [count for _, _, count, _ in play.told] == [1]


def test_a_sweep_reminds_nobody(world: World) -> None:
    """The list says nothing of the due time, and what it finds is read as ever."""
    put_in_force(world)
    pending(world, "k-1")
    play = Play(world)
    play.until(DAY_S)
    Sweep(world.ledger, world.runner.iron, 1.0).turn()
    play.until(3600)
    assert play.told == []


@pytest.mark.parametrize("what", ["consent", "webhook"])
def test_what_comes_while_it_is_about_to_be_told_withholds_it(world: World, what: str) -> None:
    """The worker has read and is about to commit: the customer's consent, or Iron's webhook, comes first."""
    put_in_force(world)
    pending(world, "k-1")
    if what == "consent":
        world.move("k-1", "approve")
        world.run(until=lambda: bool(world.record("k-1").signings))
    world.advance(3 * DAY_S)
    record = world.record("k-1")
    claim = world.ledger.claim("k-1", record.version, "refresh")
    following = world.runner._attempt(claim)  # type: ignore[arg-type]
    assert following.event.startswith("reminder_due/")
    if what == "consent":
        world.consent("k-1")
    else:
        world.move("k-1", "process")
        world.hear()
    with world.leases.hold(claim):  # type: ignore[arg-type]
        committed, _ = world.runner._committed(claim, following, 0.0)  # type: ignore[arg-type]
    assert committed.event == ""
    Play(world).until(3600)
    assert world.record("k-1").reminded is None
    assert "reminder_due" not in {event.name for event in EventStream(world.ledger).after()}


def test_none_after_completion_in_racing_schedules(client: redis.Redis) -> None:
    """Workers, customers, webhooks and crashes in any order: none after it was told or could be read, none twice."""
    races = Races(client, seed=5)
    for _ in range(80):
        races.play()
    assert races.broken == []
    assert races.counts["reminders"] > 40
    assert races.counts["withheld"] > 3
    assert races.counts["crashes"] > 20


def test_two_who_change_the_policy_at_once(world: World) -> None:
    """The second hears that it is another policy than the one that was looked at, and nothing is overwritten."""
    first, second = proposed(world.ledger, POLICY, by="ada"), proposed(world.ledger, POLICY, by="bob")
    store(world.ledger, first)
    with pytest.raises(PolicyChangedError):
        store(world.ledger, second)
    assert policy_store.in_force(world.ledger).by == "ada"
    assert [entry["by"] for entry in policy_store.past_policies(world.ledger)] == ["ada"]
