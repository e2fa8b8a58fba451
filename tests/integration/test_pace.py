"""Iron's budget on a real Redis: slots, lanes, the tap, learned limits, the breaker, and pauses."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import httpx
import pytest
import redis

from ops.sandbox import SandboxTransport
from ops.sandbox.lab.faults import Fault
from pipelines.errors import HeldBackError
from pipelines.iron import CALL, IDENTIFICATION
from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from tests.chaos.simulator import BEGINNING_MS, on_time_of
from tests.world import PLENTY, World
from workers.budget.gate import PAUSABLE, Gate
from workers.budget.permits import ASKED_AGAIN, Permits
from workers.ledger import PREFIX, Claim, Ledger, Lists, New, NotClaimed
from workers.ledger.limits import LAG_KEPT_S, LAG_MOST_S, Budget, Lag, Permit
from workers.operate.audit import Auditor
from workers.reconcile.cursor import SweepCursor

#: A limit like those of the table of figures.
FORTY = Budget(rate_per_second=40, identifications_per_minute=60)


class Clock:
    """A clock that stands still: what to add to the server's clock, which is this machine's, so that it shows `ms`."""

    def __init__(self) -> None:
        self.start_ms = time.time() * 1000
        self.ms = 0

    def __call__(self) -> int:
        return round(self.start_ms + self.ms - time.time() * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(client: redis.Redis, clock: Clock) -> Ledger:
    return Ledger(client, FORTY, clock)


def at_ms(ledger: Ledger) -> float:
    """The ledger's time now, as its script sees it."""
    return time.time() * 1000 + ledger._shift_ms()


def slot_ms(ledger: Ledger, lane: str = "interactive", class_: str = CALL) -> float:
    """Take a permit for a step in hand; answers when its slot is, by the ledger's time."""
    answer = ledger._call("permit", lane, "", class_)
    assert answer[0] == b"granted", answer
    following = float(ledger.client.hget(f"{PREFIX}pace", f"{class_}.free"))
    return following - ledger.budget.interval_ms(class_)


def busiest(times: list[float], span_ms: float) -> int:
    """The largest number of times in any stretch of that length."""
    times = sorted(times)
    return max(sum(begin <= at < begin + span_ms for at in times) for begin in times)


def records(ledger: Ledger, lane: str, count: int, step: str = "create_customer") -> list[Record]:
    """Store so many new records in a lane."""
    made = [Record(f"{lane}-{n}", lane=lane, external_id=f"{lane}-{n}", step=step) for n in range(count)]
    ledger.create([New(record, {}) for record in made])
    return made


def claim(ledger: Ledger, record: Record) -> Claim | NotClaimed:
    return ledger.claim(record.key, 1, record.step)


def wait_ms(permit: Permit, claim: Claim) -> float:
    return (permit.slot - claim.started) * 1000


# --- slots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "class_", "limit", "window_ms"),
    [
        (FORTY, CALL, 40, 1000),
        (Budget(10, 60), CALL, 10, 1000),
        (Budget(0.5, 60), CALL, 1, 2000),
        (FORTY, IDENTIFICATION, 60, 60_000),
        (Budget(40, 0.5), IDENTIFICATION, 1, 120_000),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_window_holds_too_many(
    client: redis.Redis, clock: Clock, budget: Budget, class_: str, limit: int, window_ms: float, seed: int
) -> None:
    """Whoever asks when, and however late within its permit each call leaves, no window holds more than the limit."""
    ledger, draw = Ledger(client, budget, clock), random.Random(seed)
    interval_ms = budget.interval_ms(class_)
    left: list[float] = []
    for _ in range(3 * limit + 20):
        lane = draw.choice(["interactive", "bulk", "reidentify"])
        try:
            slot = slot_ms(ledger, lane, class_)
        except AssertionError:  # too far ahead even for a step in hand
            clock.ms += round(3 * interval_ms)
            continue
        given = max(slot, at_ms(ledger))  # a slot that is past is for now
        left.append(draw.uniform(given, max(given, slot + budget.margin_ms(class_) * 0.6)))
        if draw.random() < 0.3:
            clock.ms += round(draw.uniform(0, 4 * interval_ms))
    assert len(left) > limit
    assert busiest(left, window_ms) <= limit


def test_at_least_95_in_100_are_used(ledger: Ledger, clock: Clock) -> None:
    """Where enough is asked for, slots follow each other so closely that nearly all of the limit is used."""
    for class_, per_ms in ((CALL, 40 / 1000), (IDENTIFICATION, 60 / 60_000)):
        slots = []
        for _ in range(100):
            slots.append(slot_ms(ledger, class_=class_))
            clock.ms += round(FORTY.interval_ms(class_) * 0.9)
        assert 99 / (slots[-1] - slots[0]) >= 0.95 * per_ms


def test_a_small_delay_costs_no_slot(ledger: Ledger, clock: Clock) -> None:
    """A slot that is just past is still given; one that is long past is lost."""
    first = slot_ms(ledger)
    clock.ms += 12
    assert slot_ms(ledger) - first == pytest.approx(26, abs=4)
    clock.ms += 10_000
    assert slot_ms(ledger) > first + 9_900


def test_a_clock_set_back_stops_nothing(ledger: Ledger, clock: Clock) -> None:
    """Slots noted by a clock that was an hour ahead are forgotten."""
    clock.ms = 3_600_000
    slot_ms(ledger)
    bulk = records(ledger, "bulk", 1)
    clock.ms += 1_000
    assert len(ledger.take({"bulk": 10}).nudges) == 1
    clock.ms = 0
    assert slot_ms(ledger) < at_ms(ledger) + 100
    assert isinstance(claim(ledger, bulk[0]), Claim)


def test_a_repeated_claim_brings_no_slot(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim whose answer was lost is given again without its slot: when that is, nobody knows any more."""
    monkeypatch.setattr("workers.ledger.ledger.call_token", lambda: "the-token-of-one-call")
    [record] = records(ledger, "interactive", 1)
    first, again = claim(ledger, record), claim(ledger, record)
    assert isinstance(first, Claim)
    assert isinstance(again, Claim)
    assert (set(first.permits), again.fence, set(again.permits)) == ({CALL}, first.fence, set())


# --- permits ----------------------------------------------------------------------------------------------------------


def permits_of(ledger: Ledger, sleep: Callable[[float], object]) -> tuple[Permits, Claim]:
    """The permits of a claim just made."""
    claimed = claim(ledger, records(ledger, "interactive", 1)[0])
    assert isinstance(claimed, Claim)
    return Permits(ledger, claimed, sleep), claimed


@pytest.fixture
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permits that do not lapse, however busy the machine is."""
    monkeypatch.setattr("workers.ledger.limits.LEAVES_LATE", 1_000.0)


@pytest.mark.usefixtures("no_haste")
def test_one_permit_a_call(ledger: Ledger, clock: Clock) -> None:
    """The first call comes with the claim, each further one takes a slot when it is about to leave, and not before."""
    waits: list[float] = []
    permits, claimed = permits_of(ledger, waits.append)
    permits.before_call(CALL)
    assert not waits
    clock.ms += 5_000
    permits.before_call(CALL)
    assert not waits, "five seconds later there is a slot at once"
    permits.before_call(CALL)
    assert claimed.calls == 3
    assert claimed.waited_s == sum(waits) > 0


@pytest.mark.usefixtures("no_haste")
def test_who_waited_asks_again(ledger: Ledger) -> None:
    """A 429 during the wait keeps the call from leaving, though it had its slot, until Iron takes calls again."""
    on_time_of(ledger, lambda: BEGINNING_MS)  # to the millisecond: `Clock` is off by as much as a call takes
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        Gate(ledger).close_tap(5)

    permits, claimed = permits_of(ledger, sleep)
    for _ in range(10):
        slot_ms(ledger)
    permits.before_call(CALL)
    with pytest.raises(HeldBackError) as caught:
        permits.before_call(CALL)
    assert len(slept) == 1
    assert caught.value.reason == "closed"
    assert caught.value.retry_after_s == 5
    assert claimed.calls == 1


def test_a_permit_that_lapsed_is_asked_for_again(ledger: Ledger) -> None:
    """Who comes too late for its slot takes the next one, and the row of slots goes on from there for all others."""
    waits: list[float] = []
    permits, claimed = permits_of(ledger, waits.append)
    first = slot_ms(ledger)
    claimed.permits[CALL] = Permit(0.0, 0.0, 0.0)
    permits.before_call(CALL)
    assert claimed.calls == 1
    assert slot_ms(ledger) - first < 4 * 26 * (1 + LAG_MOST_S / 0.6)


def test_who_is_always_late_leaves_in_the_end(ledger: Ledger) -> None:
    """On a machine that comes too late for every slot a call asks so often and no more, and leaves."""
    permits, claimed = permits_of(ledger, lambda _: None)
    claimed.clock = lambda: ledger.clock() + 1.0
    ledger.client.config_resetstat()
    permits.before_call(CALL)
    assert claimed.calls == 1
    assert ledger.client.info("commandstats")["cmdstat_evalsha"]["calls"] == ASKED_AGAIN


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_window_holds_too_many_of_those_who_are_late(client: redis.Redis, clock: Clock, seed: int) -> None:
    """Where workers say that their calls are late, slots are so far apart that no window holds more than the limit."""
    draw = random.Random(seed)
    ledger = Ledger(client, FORTY, clock, clock=lambda: clock.ms / 1000)
    left: list[float] = []
    for _ in range(400):
        if draw.random() < 0.02:
            ledger.lag.seen(draw.uniform(0.0, 0.25))
        budget = ledger.lag.budget()
        answer = ledger._call("permit", "interactive", "", CALL, budget=budget)
        if answer[0] == b"held":
            clock.ms += 300
            continue
        slot = at_ms(ledger) + max(answer[1], 0)
        left.append(draw.uniform(slot, slot + budget.leaves_late_s(CALL) * 1000))
        if draw.random() < 0.3:
            clock.ms += round(draw.uniform(0, 100))
    assert busiest(left, 1000) <= 40
    assert len(left) / (max(left) - min(left)) * 1000 > 20, "and they are no farther apart than that"


def test_slots_that_are_farther_apart_are_told(ledger: Ledger, clock: Clock) -> None:
    """The rate that is used now is told with what late calls take off it, until two windows later."""
    slot_ms(ledger)
    assert Gate(ledger).standing().parts[CALL] == 1
    ledger.lag.seen(0.1)
    Gate(ledger).permit("interactive", "")
    assert Gate(ledger).standing().parts[CALL] == pytest.approx(1 / ledger.lag.budget().spread(CALL), rel=0.001)
    assert Gate(ledger).standing().parts[IDENTIFICATION] == 1
    clock.ms += 2_100
    assert Gate(ledger).standing().parts[CALL] == 1


def test_who_is_on_time_again_says_so() -> None:
    """A lag is believed for some seconds after it was last seen; a clock that falls back does not prolong it."""
    now = [100.0]
    lag = Lag(FORTY, lambda: now[0])
    usual = lag.budget().leaves_late_s(CALL)
    lag.seen(usual * 0.9)
    assert lag.budget().lag_s == 0.0
    lag.seen(0.1)
    assert 0.1 < lag.budget().leaves_late_s(CALL) <= 0.2
    assert lag.budget().spread(CALL) > 1.1
    assert lag.budget().spread(IDENTIFICATION) == 1.0, "a minute forgives it"
    now[0] += LAG_KEPT_S + 0.1
    assert lag.budget().leaves_late_s(CALL) == usual
    lag.seen(0.1)
    now[0] -= 3_600
    assert lag.budget().leaves_late_s(CALL) == usual


def test_a_clock_that_jumps_keeps_nobody_waiting(ledger: Ledger) -> None:
    """A worker's own clock that falls back an hour makes no call wait longer than its slot was ahead."""
    waits: list[float] = []
    permits, claimed = permits_of(ledger, waits.append)
    claimed.permits[CALL] = Permit(claimed.clock() + 3_600, claimed.clock() + 3_601, 0.03)
    permits.before_call(CALL)
    assert waits == [0.03]


def test_an_identification_is_secured_with_the_claim(ledger: Ledger, clock: Clock) -> None:
    """Of many records that wait for an identification one is claimed a second: no look-up is spent on the others."""
    made = records(ledger, "bulk", 4, "create_identification")
    begun = [claim(ledger, record) for record in made]
    assert [isinstance(one, Claim) for one in begun] == [True, False, False, False]
    assert set(begun[0].permits) == {CALL, IDENTIFICATION}  # type: ignore[union-attr]
    due = sorted(score for _, score in ledger.client.zrange(f"{PREFIX}due:bulk", 0, -1, withscores=True))[:3]
    assert due[0] - at_ms(ledger) < 900
    assert [later - earlier for earlier, later in pairwise(due)] == [pytest.approx(1030, abs=10)] * 2
    clock.ms += 1030
    assert isinstance(claim(ledger, made[3]), Claim)


def test_who_must_wait_for_an_identification_takes_no_call_yet(ledger: Ledger) -> None:
    """A slot for the call is not taken far ahead of the one for the identification: it would have lapsed by then."""
    slot_ms(ledger, class_=IDENTIFICATION)
    [record] = records(ledger, "interactive", 1, "create_identification")
    claimed = ledger.claim(record.key, 1, record.step)
    if isinstance(claimed, Claim):
        assert set(claimed.permits) == {IDENTIFICATION}
    else:
        pytest.fail(f"an interactive job may wait for a second: {claimed}")


def test_those_who_wait_for_an_identification_keep_nobody_waiting(ledger: Ledger, clock: Clock) -> None:
    """A thousand records that wait for an identification are passed over in the due set; what needs none goes on."""
    records(ledger, "bulk", 300, "create_identification")
    other = [Record(f"new-{n}", lane="bulk", external_id=f"new-{n}") for n in range(5)]
    ledger.create([New(record, {}) for record in other])
    clock.ms += 50
    steps = [nudge.step for nudge in ledger.take({"bulk": 5}).nudges]
    steps += [nudge.step for nudge in ledger.take({"bulk": 5}).nudges]
    assert Counter(steps)["create_customer"] >= 4
    assert Counter(steps)["create_identification"] <= 2


# --- lanes ------------------------------------------------------------------------------------------------------------


def test_how_far_ahead_a_lane_reserves(ledger: Ledger) -> None:
    """Bulk work reserves a quarter of a second, interactive work a second, whoever else waits."""
    waits = {lane: [] for lane in ("reidentify", "bulk", "interactive")}
    for lane, found in waits.items():
        for record in records(ledger, lane, 60):
            claimed = claim(ledger, record)
            if isinstance(claimed, NotClaimed):
                assert claimed.reason == "paced"
                continue
            found.append(wait_ms(claimed.permits[CALL], claimed))
    assert max(waits["reidentify"]) <= 150
    assert 150 < max(waits["bulk"]) <= 250 + 3 * 26, "and somewhat more while it is below its floor"
    assert 900 < max(waits["interactive"]) <= 1000


def test_those_refused_come_back_one_by_one(ledger: Ledger) -> None:
    """Who was refused a slot comes back when it is its turn, not all at once."""
    for record in records(ledger, "bulk", 60):
        claim(ledger, record)
    now = at_ms(ledger)
    due = sorted(score for _, score in ledger.client.zrange(f"{PREFIX}due:bulk", 0, -1, withscores=True))
    refused = [at - now for at in due if now < at < now + 4_000]
    gaps = [later - earlier for earlier, later in pairwise(refused)]
    assert len(refused) > 30
    assert 20 < min(gaps) <= max(gaps) < 40


@pytest.mark.parametrize(("lane", "least"), [("bulk", 0.2), ("reidentify", 0.05)])
def test_no_lane_starves(client: redis.Redis, lane: str, least: float) -> None:
    """However much interactive work there is, the lanes behind it keep their part of the calls."""
    clock = Clock()
    ledger = Ledger(client, FORTY, clock)
    waiting = {name: records(ledger, name, 900) for name in ("interactive", lane)}
    granted: Counter[str] = Counter()
    for _ in range(500):
        for name, some in waiting.items():
            for record in some[:3]:
                if isinstance(claim(ledger, record), Claim):
                    granted[name] += 1
                    some.remove(record)
        clock.ms += 20
    assert granted[lane] / granted.total() >= least
    assert granted["interactive"] / granted.total() >= 0.6
    assert granted.total() >= 0.95 * 400


def test_the_sweep_gets_its_turn(client: redis.Redis) -> None:
    """The sweep comes last, but also while bulk work could use every call it reads a page now and then."""
    clock = Clock()
    ledger = Ledger(client, FORTY, clock)
    some, pages = records(ledger, "bulk", 900), 0
    for _ in range(500):
        for record in some[:3]:
            if isinstance(claim(ledger, record), Claim):
                some.remove(record)
        if not isinstance(SweepCursor(ledger).next_page("me", 60_000, 60.0), float):
            pages += 1
            SweepCursor(ledger).page_read("me", "on", read=100, differ=0, unknown=0)
        clock.ms += 20
    assert 4 <= pages <= 40, "a fiftieth of the calls at the least, a tenth at most"


def test_no_more_is_nudged_than_finds_a_slot(ledger: Ledger, clock: Clock) -> None:
    """However many pulses look, the queues get no more than the budget lets start soon, and hear when to look again."""
    records(ledger, "bulk", 900)
    clock.ms += 5_000
    first, second = ledger.take({"bulk": 64}), ledger.take({"bulk": 64})
    assert 1 <= len(first.nudges) <= 9
    assert not second.nudges
    assert second.again_s is not None
    assert second.again_s < 0.1
    nudged = 0
    for _ in range(100):
        clock.ms += 50
        nudged += len(ledger.take({"bulk": 64}).nudges)
    assert nudged <= 5.2 * 40


def test_a_plentiful_budget_stops_nobody(client: redis.Redis) -> None:
    """Where there are more slots than work, nothing waits, whatever the lane."""
    ledger = Ledger(client, PLENTY)
    for lane in ("reidentify", "bulk", "interactive"):
        made = records(ledger, lane, 64)
        taken = ledger.take({lane: 64})
        assert (len(taken.nudges), taken.again_s) == (0 if lane == "interactive" else 64, None)
        for record in made:
            claimed = claim(ledger, record)
            assert isinstance(claimed, Claim)
            assert wait_ms(claimed.permits[CALL], claimed) <= 1


# --- 429 --------------------------------------------------------------------------------------------------------------


def part(ledger: Ledger, class_: str = CALL) -> float:
    return round(Gate(ledger).standing().parts[class_], 2)


def test_a_429_halves_the_rate_of_its_class(ledger: Ledger, clock: Clock) -> None:
    """At most once a window, not for calls that were under way; it grows again by and by up to the ceiling."""
    assert part(ledger) == 1
    Gate(ledger).close_tap(2)
    Gate(ledger).close_tap(2)
    assert (part(ledger), part(ledger, IDENTIFICATION)) == (0.5, 1)
    clock.ms += 2_500
    assert part(ledger) == pytest.approx(0.55)
    Gate(ledger).close_tap(1)
    assert part(ledger) == pytest.approx(0.275, abs=0.01)
    clock.ms += 10_000
    assert part(ledger) == pytest.approx(0.48, abs=0.02)
    clock.ms += 60_000
    assert part(ledger) == 1


def test_slots_follow_the_learned_rate(ledger: Ledger, clock: Clock) -> None:
    """After a 429 calls are twice as far apart."""
    Gate(ledger).close_tap(0.001)
    clock.ms += 400
    first = slot_ms(ledger)
    assert slot_ms(ledger) - first == pytest.approx(2 * FORTY.interval_ms(CALL), abs=5)


def test_an_unknown_limit_is_learned(client: redis.Redis) -> None:
    """With a ceiling of twice what Iron allows, one call in some fifty meets a 429, and most of the limit is used."""
    clock = Clock()
    ledger = Ledger(client, FORTY, clock)
    arrived: list[float] = []
    refused = 0
    while clock.ms < 120_000:
        try:
            at = max(slot_ms(ledger), at_ms(ledger))
        except AssertionError:
            clock.ms += 250
            continue
        clock.ms += max(0, round(at - at_ms(ledger)))
        if sum(at - 1000 < one for one in arrived[-20:]) >= 20:
            refused += 1
            Gate(ledger).close_tap(1)
        else:
            arrived.append(at)
    assert refused <= len(arrived) / 50
    assert len(arrived) >= 0.6 * 20 * 120


# --- the breaker ------------------------------------------------------------------------------------------------------

STORM = Fault(name="storm", status=503)


@pytest.fixture
def stormy(client: redis.Redis) -> World:
    """Forty bulk records, and then Iron answers nothing but 503."""
    world = World(client)
    for number in range(40):
        world.submit(f"b-{number}", "manual", lane="bulk")
    world.sandbox.faults.add(STORM)
    return world


def let_pass(world: World, seconds: float) -> None:
    """Let time pass, in small steps, whatever happens."""
    end_ms = world.shift_ms + seconds * 1000
    while world.shift_ms < end_ms:
        world.pulse.run_once()
        world.drain()
        world.advance(0.25)


def breaker(world: World) -> str:
    return Gate(world.ledger).standing().breaker


def test_trouble_in_numbers_opens_the_breaker(stormy: World) -> None:
    """Ten faults and nothing good beside them: then no call leaves but a probe now and then."""
    let_pass(stormy, 0.5)
    assert breaker(stormy) == "open"
    assert stormy.sandbox.traffic.total == 10
    let_pass(stormy, 60)
    assert stormy.sandbox.traffic.total <= 10 + 15, "a probe every five seconds, and some at the beginning"
    assert breaker(stormy) == "open"


def test_ten_minutes_of_trouble_burn_nothing(stormy: World) -> None:
    """Nobody fails, no attempt is burnt, no operator is called; afterwards all go on, each effect once."""
    let_pass(stormy, 600)
    found = stormy.records()
    assert {record.phase for record in found} == {Phase.RECEIVED}
    assert {record.attempts for record in found} == {0}
    assert not [record.key for record in found if record.problem and record.problem.operator]
    stormy.sandbox.faults.clear("storm")
    stormy.run(until=lambda: Lists(stormy.ledger).phases().keys() == {Phase.IDENTIFICATION_PENDING}, seconds=30)
    assert breaker(stormy) == "closed"
    assert all(counts["customers"] == counts["identifications"] == 1 for counts in stormy.effects().values())


def test_an_end_of_the_trouble_is_noticed(stormy: World) -> None:
    """Within seconds of its end the breaker is closed, and the rate grows from a tenth to its whole."""
    let_pass(stormy, 120)
    stormy.sandbox.faults.clear("storm")
    before_ms = stormy.shift_ms
    while breaker(stormy) != "closed":
        stormy.pulse.run_once()
        stormy.drain()
        stormy.advance(0.1)
    assert stormy.shift_ms - before_ms <= 6_000
    assert part(stormy.ledger) <= 0.15
    stormy.advance(6)
    assert 0.5 <= part(stormy.ledger) <= 0.65
    stormy.advance(7)
    assert part(stormy.ledger) == 1


def test_one_probe_at_a_time(stormy: World) -> None:
    """While a probe is under way nobody else gets in; one that never comes back is given up."""
    let_pass(stormy, 0.5)
    ledger = stormy.ledger
    stormy.advance(2)
    claims = [ledger.claim(f"b-{n}", stormy.record(f"b-{n}").version, "create_customer") for n in range(40)]
    [probe] = [one for one in claims if isinstance(one, Claim)]
    assert probe.probe
    assert breaker(stormy) == "half_open"
    Gate(ledger).permit("bulk", probe.fence)
    with pytest.raises(HeldBackError, match="test call"):
        Gate(ledger).permit("interactive", "another")
    stormy.advance(16)
    assert breaker(stormy) == "open"
    assert isinstance(ledger.claim("b-39", stormy.record("b-39").version, "create_customer"), Claim | NotClaimed)
    assert breaker(stormy) == "half_open" or len(ledger.take({"bulk": 5}).nudges) == 1


def test_a_fault_of_its_own(world: World) -> None:
    """One record that always meets a fault while others do well: the breaker stays closed, an operator is told."""
    world.submit("sick", "manual")
    world.drain()
    customer = world.record("sick").customer_id
    world.sandbox.faults.add(Fault(path=f"/customers/{customer}", status=500))
    for number in range(60):
        world.submit(f"k-{number}", "manual")
        let_pass(world, 5)
        world.advance(20)
        assert breaker(world) == "closed"
    sick = world.record("sick")
    assert sick.problem is not None
    assert (sick.problem.code, sick.problem.operator, sick.attempts) == ("iron_fault", True, 0)
    assert 10 <= sick.problem.count <= 14, "the pauses between its attempts have grown"


# --- the breaker for refusals -----------------------------------------------------------------------------------------


def answered(ledger: Ledger, record: Record, *, refusal: int | None = None, granted: bool = False) -> None:
    """Let a claim of a record make a call that Iron refuses to whoever calls, grants, or just answers."""
    found = ledger.read(record.key)
    assert found is not None
    held = ledger.claim(record.key, found.record.version, record.step)
    assert isinstance(held, Claim), held
    held.calls, held.refusal, held.granted = 1, refusal, granted
    ledger.commit(held, Next(held.record, 60))


#: Who is answered one after the other, how, and after how many ms; and whether that opens the breaker.
ANSWERED = {
    "three are refused": ([(0, 400, 0), (1, 400, 0), (2, 400, 0)], "open"),
    "in various ways": ([(0, 400, 0), (1, 403, 0), (2, 404, 0)], "open"),
    "within a minute": ([(0, 400, 0), (1, 400, 29_000), (2, 400, 29_000)], "open"),
    "in more than a minute": ([(0, 400, 0), (1, 400, 31_000), (2, 400, 31_000)], "closed"),
    "one is, again and again": ([(0, 400, 0)] * 9, "closed"),
    "two are, again and again": ([(0, 400, 0), (1, 400, 0)] * 5, "closed"),
    "one is granted its call": ([(0, 400, 0), (1, 400, 0), (3, None, 0), (2, 400, 0)], "closed"),
}


@pytest.mark.parametrize(("answers", "then"), ANSWERED.values(), ids=ANSWERED)
def test_refusals_open_the_breaker(
    ledger: Ledger, clock: Clock, answers: list[tuple[int, int | None, int]], then: str
) -> None:
    """Three onboardings refused within a minute, and nothing granted in between, mean that Iron refuses everybody."""
    made = records(ledger, "interactive", 4)
    for number, refusal, after_ms in answers:
        clock.ms += after_ms
        answered(ledger, made[number], refusal=refusal, granted=refusal is None)
    standing = Gate(ledger).standing()
    assert (standing.breaker, standing.refusal) == (then, answers[-1][1] if then == "open" else None)


@pytest.mark.parametrize(
    ("refusal", "granted", "then"), [(None, False, "open"), (400, False, "open"), (None, True, "closed")]
)
def test_what_a_granted_call_alone_closes(
    ledger: Ledger, clock: Clock, refusal: int | None, granted: bool, then: str
) -> None:
    """Where Iron refuses everybody, an answer that grants nothing, such as a look's 404, does not say it is over."""
    made = records(ledger, "interactive", 4)
    for record in made[:3]:
        answered(ledger, record, refusal=400)
    clock.ms += 1_500
    answered(ledger, made[3], refusal=refusal, granted=granted)
    assert Gate(ledger).standing().breaker == then


# --- pauses -----------------------------------------------------------------------------------------------------------


def test_a_paused_lane_calls_nobody(world: World) -> None:
    """Neither what is due nor what was nudged already, until it is resumed; the others go on."""
    for number in range(5):
        world.submit(f"b-{number}", "manual", lane="bulk")
    world.pulse.run_once()
    assert Gate(world.ledger).pause(["bulk"], by="ada", reason="a talk with Iron") == ["bulk"]
    assert Gate(world.ledger).pause(["bulk"], by="bob") == []
    world.drain()
    let_pass(world, 30)
    assert world.sandbox.traffic.total == 0
    world.submit("i-1", "manual")
    let_pass(world, 1)
    assert world.record("i-1").phase is Phase.IDENTIFICATION_PENDING
    standing = Gate(world.ledger).standing()
    assert {lane: (pause.by, pause.reason) for lane, pause in standing.paused.items()} == {
        "bulk": ("ada", "a talk with Iron")
    }
    world.advance(3_600)
    found = Auditor(world.ledger, wait=lambda: None, shift_ms=lambda: world.shift_ms).run()
    assert [finding.key for finding in found] == ["i-1"], "only whom nobody has paused is overdue"
    assert Gate(world.ledger).resume(["bulk", "sweep"]) == ["bulk"]
    let_pass(world, 1)
    assert {world.record(f"b-{n}").phase for n in range(5)} == {Phase.IDENTIFICATION_PENDING}


def test_a_pause_stops_a_step_in_hand(world: World) -> None:
    """A step that has made its first call makes no second one; what people do takes effect, without a call."""
    total = world.sandbox.traffic

    class Pausing(SandboxTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            Gate(world.ledger).pause(PAUSABLE, by="ada")
            return answer

    world.transport = Pausing(world.sandbox)
    world.run_step = world.worker().run
    world.submit(tag="manual")
    world.drain()
    assert total.total == 1
    record = world.record()
    assert (record.phase, record.attempts, record.problem) == (Phase.RECEIVED, 0, None)
    world.act("k-1", "cancel")
    let_pass(world, 20)
    assert (total.total, world.record().phase) == (1, Phase.CANCELLED)
    world.act("k-1", "restart", reason="")
    let_pass(world, 20)
    assert (total.total, world.record().phase) == (1, Phase.RECEIVED)
    Gate(world.ledger).resume(PAUSABLE)
    world.run_step = world.runner.run
    let_pass(world, 10)
    assert world.record().phase is Phase.IDENTIFICATION_PENDING
    assert world.effects()["k-1"] == {"customers": 1, "identifications": 1, "signings": 0}


def test_a_paused_sweep_reads_no_page(ledger: Ledger) -> None:
    """The sweep, too, can be paused."""
    Gate(ledger).pause(["sweep"], by="ada")
    assert isinstance(SweepCursor(ledger).next_page("me", 60_000, 60.0), float)
    Gate(ledger).resume(["sweep"])
    page = SweepCursor(ledger).next_page("me", 60_000, 60.0)
    assert not isinstance(page, float)
    assert page.place == ""
