"""The auditor on a real Redis: each kind is planted by hand in a healthy ledger, found under its code, and mended."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from pipelines.lifecycle import Phase
from tests.world import PLENTY, World
from workers.budget.gate import Gate
from workers.ledger import LANES, PREFIX, Claim, Ledger
from workers.operate.audit import KINDS, Auditor, Finding
from workers.operate.audit.seen import RARELY_MS

DAY_MS = 86_400_000
#: Where everybody stands when something is broken.
STAGE = {"away": "approve", "waits": "manual", "other": "manual", "gone": "manual", "new": "approve"}


def auditor(world: World, **options: Any) -> Auditor:
    """An auditor with the world's clock, which lets no time pass between its looks."""
    settings = {"wait": lambda: None, "shift_ms": lambda: world.shift_ms} | options
    return Auditor(world.ledger, world.policy, **settings)


def audited(world: World, **options: Any) -> list[Finding]:
    return list(auditor(world, **options).run())


def codes(findings: list[Finding]) -> list[str]:
    return sorted({finding.code for finding in findings})


@pytest.fixture
def staged(world: World) -> World:
    """A healthy ledger: `away` is active, `gone` cancelled, `new` not begun, `waits` and `other` have a link each."""
    for key in ("away", "waits", "other", "gone"):
        world.submit(key, STAGE[key], sub_partner_id=SUB_PARTNER if key == "waits" else None)
    world.run_until("away", "signings_required")
    world.run(until=lambda: bool(world.record("away").signings))
    world.consent("away")
    world.run_until("away", "active")
    world.act("gone", "cancel", reason="a test")
    world.run_until("gone", "cancelled")
    world.submit("new", STAGE["new"])
    world.queue.nudges.clear()
    world.advance(RARELY_MS / 1000 + 1)  # the pulse has been quiet for long enough to be missed
    assert audited(world) == []
    return world


SUB_PARTNER = "6f0f4c1e-6a3a-4a8e-9a52-3a4b5c6d7e8f"


# --- ways of breaking ------------------------------------------------------------------------------------------------


def header(world: World, key: str, **changes: Any) -> None:
    """Write another first line of a record."""
    names = ("format", "version", "token", "lane", "phase", "step", "created", "since", "updated")
    line, _, body = raw(world, key).partition(b"\n")
    values = dict(zip(names, line.decode().split(" "), strict=True)) | {k: str(v) for k, v in changes.items()}
    world.client.set(f"{PREFIX}record:{key}", " ".join(values.values()).encode() + b"\n" + body)


def body(world: World, key: str, **changes: Any) -> None:
    """Write other fields of a record."""
    line, _, stored = raw(world, key).partition(b"\n")
    world.client.set(f"{PREFIX}record:{key}", line + b"\n" + json.dumps(json.loads(stored) | changes).encode())


def raw(world: World, key: str) -> bytes:
    found = world.client.get(f"{PREFIX}record:{key}")
    assert isinstance(found, bytes)
    return found


def rephased(world: World, key: str, phase: str) -> None:
    """Move a record to another phase, index and all."""
    record = world.record(key)
    header(world, key, phase=phase)
    world.client.zrem(f"{PREFIX}phase:{record.phase.value}", key)
    world.client.zadd(f"{PREFIX}phase:{phase}", {key: record.since_ms})


def claim(
    world: World, key: str, *, version: int | None = None, lane: str = "interactive", ends_ms: int = 3000
) -> None:
    """Put a claim that ends so many ms from now."""
    now, version = now_ms(world), version or world.record(key).version
    due(world, key, 60_000)
    world.client.hset(f"{PREFIX}claims", key, f"{version}-x {now + ends_ms} {now + ends_ms - 6000} 0 0 {lane}")


def due(world: World, key: str, in_ms: float, lane: str = "interactive") -> None:
    world.client.zadd(f"{PREFIX}due:{lane}", {key: now_ms(world) + in_ms})


def undue(world: World, key: str, lane: str = "interactive") -> None:
    world.client.zrem(f"{PREFIX}due:{lane}", key)


def unheard(world: World) -> None:
    """A row of an import waits, and the import does not take its turns."""
    header(world, "new", lane="bulk/customers")
    undue(world, "new")
    due(world, "new", 0, "bulk/customers")


def now_ms(world: World) -> int:
    return world.ledger.now_ms()


def effect(world: World, age_ms: int) -> dict[str, Any]:
    return {"step": "create_customer", "subject": ["new"], "first_ms": now_ms(world) - age_ms, "last_ms": now_ms(world)}


def without_record(world: World, kind: str) -> None:
    """Leave the one key that a record had, and take away everything else of it."""
    client: Any = world.client
    name = f"{PREFIX}{kind}:lost"
    if kind == "input":
        client.hset(name, "customer", "sealed")
    else:
        client.rpush(name, "{}")


def shadow(world: World) -> None:
    """Let a corrected record keep the id that another one has now."""
    body(world, "other", revision=1)
    world.client.hset(f"{PREFIX}external", "waits", "other")


def twice(world: World, index: str, field: str) -> None:
    """Give `other` the id that `waits` has, and nobody the one that `other` had."""
    world.client.hdel(f"{PREFIX}{index}", getattr(world.record("other"), field))
    body(world, "other", **{field: getattr(world.record("waits"), field)})


def stray(world: World) -> None:
    """Let the webhooks of one customer wake another record."""
    world.client.hset(f"{PREFIX}customer", str(world.record("waits").customer_id), "other")


def overdue(world: World) -> None:
    due(world, "waits", -3_600_000)


def tampered(world: World) -> None:
    entry = json.loads(world.client.lindex(f"{PREFIX}history:waits", 1))
    world.client.lset(f"{PREFIX}history:waits", 1, json.dumps(entry | {"note": "nothing happened"}))


def lane_moved(world: World) -> None:
    """Write a lane that nobody serves into a record that is due in it."""
    header(world, "waits", lane="express")
    undue(world, "waits")
    due(world, "waits", 60_000, "express")


def in_wrong_phase(world: World) -> None:
    world.client.zrem(f"{PREFIX}phase:identification_pending", "waits")
    world.client.zadd(f"{PREFIX}phase:active", {"waits": 1})


def a_list_instead(world: World) -> None:
    world.client.rpush(f"{PREFIX}record:waits", "no string")


def in_strange_phase(world: World) -> None:
    world.client.zadd(f"{PREFIX}phase:dancing", {"waits": 1})


@dataclass(frozen=True)
class Plant:
    """One thing broken by hand. `ends`: where the customer arrives all the same, once it is mended."""

    code: str
    break_: Callable[[World], object]
    key: str = "waits"
    ends: str | None = "identification_pending"


PLANTS = [
    Plant("record_malformed", lambda w: w.client.set(f"{PREFIX}record:waits", "1 2 3\n{}")),
    Plant("record_unreadable", lambda w: w.client.set(f"{PREFIX}record:waits", raw(w, "waits")[:-1])),
    Plant("format_newer", lambda w: header(w, "waits", format=9, phase="dancing", step="dance")),
    Plant("phase_unknown", lambda w: rephased(w, "waits", "dancing")),
    Plant("step_unknown", lambda w: header(w, "waits", step="dance")),
    Plant("lane_unknown", lane_moved),
    Plant("step_misfit", lambda w: header(w, "waits", step="submit_signings")),
    Plant("phase_misfit", lambda w: body(w, "waits", identification_status="Processed")),
    Plant("times_backwards", lambda w: header(w, "waits", created=now_ms(w) + 1)),
    Plant("times_ahead", lambda w: header(w, "waits", updated=now_ms(w) + 3_600_000)),
    Plant("effect_old", lambda w: body(w, "new", effect=effect(w, 2 * DAY_MS)), "new"),
    Plant("sub_partner_missing", lambda w: w.client.srem(f"{PREFIX}sub_partners", SUB_PARTNER)),
    Plant("due_missing", lambda w: undue(w, "waits")),
    Plant("due_finished", lambda w: due(w, "gone", 60_000), "gone", "cancelled"),
    Plant("due_wrong_lane", lambda w: (undue(w, "waits"), due(w, "waits", 60_000, "bulk"))),
    Plant("due_two_lanes", lambda w: due(w, "waits", 60_000, "bulk")),
    Plant("due_nowhere", lambda w: due(w, "lost", 60_000), "lost", None),
    Plant("due_far", lambda w: due(w, "waits", 400 * DAY_MS)),
    Plant("overdue", overdue),
    Plant("turn_missing", unheard, "new", "signings_required"),
    Plant("lease_over", lambda w: claim(w, "waits", ends_ms=-3_600_000)),
    Plant("claim_other_version", lambda w: claim(w, "waits", version=1, ends_ms=-3_600_000)),
    Plant("claim_other_lane", lambda w: claim(w, "waits", lane="bulk", ends_ms=-3_600_000)),
    Plant("claim_malformed", lambda w: w.client.hset(f"{PREFIX}claims", "waits", "mine!")),
    Plant("schedule_wrong", lambda w: w.client.zadd(f"{PREFIX}identified:low", {"away": 5}), "away", None),
    Plant("identified_nowhere", lambda w: w.client.zadd(f"{PREFIX}identified:high", {"lost": 5}), "lost", None),
    Plant("waiting_nowhere", lambda w: w.client.zadd(f"{PREFIX}waiting:start", {"lost": 5}), "lost", None),
    Plant("claim_nowhere", lambda w: w.client.hset(f"{PREFIX}claims", "lost", "1-x 1 1 0 0 bulk"), "lost", None),
    Plant("link_nowhere", lambda w: w.client.hset(f"{PREFIX}links", "lost", "1 x"), "lost", None),
    Plant("phase_missing", lambda w: w.client.zrem(f"{PREFIX}phase:identification_pending", "waits")),
    Plant("phase_wrong", in_wrong_phase),
    Plant("phase_twice", lambda w: w.client.zadd(f"{PREFIX}phase:active", {"waits": 1})),
    Plant("phase_score", lambda w: w.client.zadd(f"{PREFIX}phase:identification_pending", {"waits": 1})),
    Plant("phase_nowhere", lambda w: w.client.zadd(f"{PREFIX}phase:active", {"lost": 1}), "lost", None),
    Plant("external_missing", lambda w: w.client.hdel(f"{PREFIX}external", "waits")),
    Plant("external_shadowed", shadow),
    Plant("external_stray", lambda w: w.client.hset(f"{PREFIX}external", "of-nobody", "waits")),
    Plant("email_nowhere", lambda w: w.client.hset(f"{PREFIX}email", b"digest", "lost"), "lost", None),
    Plant("external_nowhere", lambda w: w.client.hset(f"{PREFIX}external", "of-nobody", "lost"), "lost", None),
    Plant("external_twice", lambda w: twice(w, "external", "external_id"), "other"),
    Plant("customer_missing", lambda w: w.client.hdel(f"{PREFIX}customer", str(w.record("waits").customer_id))),
    Plant("customer_stray", stray, "other"),
    Plant("customer_nowhere", lambda w: w.client.hset(f"{PREFIX}customer", "c-lost", "lost"), "lost", None),
    Plant("customer_twice", lambda w: twice(w, "customer", "customer_id"), "other"),
    Plant("input_missing", lambda w: w.client.delete(f"{PREFIX}input:new"), "new"),
    Plant("input_kept", lambda w: w.client.persist(f"{PREFIX}input:away"), "away", "active"),
    Plant("input_expiring", lambda w: w.client.pexpire(f"{PREFIX}input:new", DAY_MS), "new", "signings_required"),
    Plant("endpoint_nowhere", lambda w: w.client.hset(f"{PREFIX}parked:lost", "k-1", "{}"), "lost", None),
    Plant("input_nowhere", lambda w: without_record(w, "input"), "lost", None),
    Plant("acts_stranded", lambda w: (w.ledger.act("gone", READ), undue(w, "gone")), "gone", "cancelled"),
    Plant("acts_nowhere", lambda w: without_record(w, "acts"), "lost"),
    Plant("evidence_nowhere", lambda w: without_record(w, "evidence"), "lost"),
    Plant("history_missing", lambda w: w.client.delete(f"{PREFIX}history:waits")),
    Plant("history_broken", tampered),
    Plant("history_head", lambda w: w.client.rpop(f"{PREFIX}history:waits")),
    Plant("history_phase", lambda w: (rephased(w, "waits", "failed"), undue(w, "waits"))),
    Plant("history_length", lambda w: header(w, "waits", version=40)),
    Plant("history_nowhere", lambda w: without_record(w, "history"), "lost"),
]

READ = {"act": "read", "by": "a test"}


#: More ways of coming about, where one is not all: the code, and what is broken.
MORE = [
    Plant("history_broken", lambda w: w.client.lpop(f"{PREFIX}history:waits")),
    Plant("history_broken", lambda w: w.client.lset(f"{PREFIX}history:waits", 0, b"\xff\x00 no JSON")),
    Plant("history_missing", lambda w: w.client.set(f"{PREFIX}history:waits", "no list")),
    Plant("record_malformed", lambda w: (w.client.delete(f"{PREFIX}record:waits"), a_list_instead(w))),
    Plant(
        "record_unreadable", lambda w: w.client.set(f"{PREFIX}record:waits", raw(w, "waits").split(b"\n")[0] + b"\n7")
    ),
    Plant("due_far", lambda w: w.client.zadd(f"{PREFIX}due:interactive", {"waits": "inf"})),
    Plant("claim_other_version", lambda w: (claim(w, "waits", version=1), due(w, "waits", 3000))),
    Plant("lease_over", lambda w: (claim(w, "waits", ends_ms=-3_600_000), overdue(w))),
    Plant("lease_over", lambda w: (claim(w, "gone", ends_ms=-3_600_000), undue(w, "gone")), "gone"),
    Plant(
        "phase_wrong", lambda w: (w.client.zrem(f"{PREFIX}phase:identification_pending", "waits"), in_strange_phase(w))
    ),
    Plant("customer_twice", lambda w: twice(w, "customer", "customer_id"), "other"),
]


def named(plant: Plant) -> str:
    return plant.code


# --- each kind -------------------------------------------------------------------------------------------------------


def test_every_kind_is_planted() -> None:
    """No kind is without a test that plants it."""
    assert [plant.code for plant in PLANTS if plant.code not in KINDS] == []
    assert set(KINDS) == {plant.code for plant in PLANTS}


@pytest.mark.parametrize("plant", [*PLANTS, *MORE], ids=named)
def test_found(staged: World, plant: Plant) -> None:
    """What is broken is found under its code and key, once, and nothing else is."""
    plant.break_(staged)
    findings = audited(staged)
    assert [(finding.code, finding.key) for finding in findings] == [(plant.code, plant.key)]
    assert findings[0].mended is None
    assert findings[0].counts != KINDS[plant.code].information


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if KINDS[plant.code].mend], ids=named)
def test_mended(staged: World, plant: Plant) -> None:
    """What can be mended is: after that the ledger is clean, no record was written, and the customer arrives."""
    plant.break_(staged)
    before = {name: staged.client.dump(name) for name in untouchable(staged)}
    findings = audited(staged, mend=True)
    assert plant.code in codes(findings)
    assert [finding.code for finding in findings if not finding.mended] == []
    assert {name: staged.client.dump(name) for name in untouchable(staged)} == before
    assert audited(staged) == []
    if plant.ends:
        staged.run(until=lambda: staged.record(plant.key).phase == plant.ends and settled(staged, plant.key))
        assert audited(staged) == []


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if not KINDS[plant.code].mend], ids=named)
def test_left_alone(staged: World, plant: Plant) -> None:
    """What cannot be mended safely is left as it is."""
    plant.break_(staged)
    before = dumped(staged)
    assert [finding.mended for finding in audited(staged, mend=True)] == [None]
    assert dumped(staged) == before


def dumped(world: World) -> dict[bytes, bytes | None]:
    """Everything but the budget, which moves on by itself."""
    return {name: world.client.dump(name) for name in world.client.scan_iter() if not name.endswith(b":pace")}


def untouchable(world: World) -> list[bytes]:
    """Names of what no mend may write."""
    return [name for name in world.client.scan_iter() if re.search(rb":(record|history|acts|evidence):", name)]


def settled(world: World, key: str) -> bool:
    """Whether a worker has taken up what was left behind, and nothing is overdue."""
    read = world.read(key)
    late = read.due_ms is not None and read.due_ms < read.now_ms
    return not read.acts_waiting and not world.client.hexists(f"{PREFIX}claims", key) and not late


def test_due_again_when_the_claim_ends(staged: World) -> None:
    """A record without due time that is in a worker's hands becomes due at the end of its lease, not before."""
    held = staged.ledger.claim("waits", staged.record("waits").version, "refresh")
    assert isinstance(held, Claim)
    undue(staged, "waits")
    assert [finding.mended for finding in audited(staged, mend=True)] == [True]
    read = staged.read("waits")
    assert read.due_ms is not None
    assert read.due_ms > read.now_ms + 4000


def test_an_alias_is_no_error(staged: World) -> None:
    """A corrected customer is known under the old external id too, and that is as it should be."""
    staged.correct({**a_job_of("waits"), "external_id": "a-better-id"})
    staged.run(until=lambda: staged.record("waits").external_id == "a-better-id" and settled(staged, "waits"))
    assert staged.client.hget(f"{PREFIX}external", "waits") == b"waits"
    assert audited(staged) == []


def a_job_of(key: str) -> dict[str, Any]:
    from tests.world import a_job

    return a_job(key, STAGE[key], sub_partner_id=SUB_PARTNER)


# --- no false alarms -------------------------------------------------------------------------------------------------

TAGS = ("approve", "manual", "decline", "decline-final", "expire", "stepup", "newterms", "suspend", "slow")


def test_a_busy_ledger_is_clean(client: redis.Redis) -> None:
    """While records are created, claimed, committed and woken between any two reads, an audit finds nothing."""
    world = World(client)
    story = stirring(world)
    watching = Watched(client, lambda: next(story, None))
    while next(story, "over") != "over":
        busy = Auditor(
            watching, world.policy, wait=lambda: [next(story, None) for _ in range(5)],
            shift_ms=lambda: world.shift_ms, batch=1,
        )  # fmt: skip
        assert list(busy.run()) == []
    assert {record.phase for record in world.records()} >= {Phase.ACTIVE, Phase.DECLINED, Phase.CANCELLED}


def test_mending_a_busy_ledger_changes_nothing(client: redis.Redis) -> None:
    """An audit that may mend finds nothing to mend while the fleet works, and everybody arrives."""
    world = World(client)
    story = stirring(world, 300)
    while next(story, "over") != "over":
        assert audited(world, mend=True, batch=3, progress=lambda *_: next(story, None)) == []


def test_confirmed_by_a_second_look(staged: World) -> None:
    """What is over by the second look is not reported."""
    undue(staged, "waits")
    assert audited(staged, wait=lambda: due(staged, "waits", 60_000)) == []


def test_a_moving_lane_is_not_overdue(staged: World) -> None:
    """A long queue is no fault while somebody takes from it."""
    overdue(staged)
    due(staged, "other", -7_200_000)
    assert codes(audited(staged)) == ["overdue"]
    assert audited(staged, wait=lambda: due(staged, "other", 5000)) == []


def test_a_lane_at_work_is_not_overdue(staged: World) -> None:
    """A long queue is no fault while one of its records is in a worker's hands."""
    overdue(staged)
    claim(staged, "other")
    due(staged, "other", 3000)
    assert audited(staged) == []


def test_nothing_is_overdue_while_iron_wants_no_call(staged: World) -> None:
    """While Iron's tap is closed nobody is expected to move."""
    overdue(staged)
    claim(staged, "other", ends_ms=-3_600_000)
    Gate(staged.ledger).close_tap(60)
    assert audited(staged) == []


def test_a_crash_is_not_reported_while_it_heals(staged: World) -> None:
    """A claim whose worker died is found by the pulse when its lease is over; until then there is nothing to say."""
    held = staged.ledger.claim("waits", staged.record("waits").version, "refresh")
    assert isinstance(held, Claim)
    assert audited(staged) == []
    staged.shift_ms += 7000
    assert audited(staged) == []


@pytest.mark.parametrize("act", ["wake", "act"])
def test_a_finished_record_that_is_woken_is_not_reported(staged: World, act: str) -> None:
    """A webhook and an act make a finished record due for a moment."""
    if act == "wake":
        staged.ledger.wake(str(staged.record("gone").customer_id))
    else:
        staged.ledger.act("gone", READ)
    assert audited(staged) == []


def test_mends_look_again(staged: World) -> None:
    """A record that moved on between the finding and its mend keeps what the fleet gave it."""
    claim(staged, "waits", ends_ms=-3_600_000)
    racing = auditor(staged, mend=True)
    script = racing._script

    def raced(*, args: list[Any], **arguments: Any) -> Any:
        if args[0] == "due":
            staged.client.hdel(f"{PREFIX}claims", "waits")
            due(staged, "waits", 50_000)
        return script(args=args, **arguments)

    racing._script = raced
    assert [finding.mended for finding in racing.run()] == [True]
    read = staged.read("waits")
    assert read.due_ms is not None
    assert read.due_ms > read.now_ms + 40_000


class Watched(Ledger):
    """A ledger whose auditor's script calls each give the fleet a turn first."""

    def __init__(self, client: redis.Redis, turn: Callable[[], object]) -> None:
        super().__init__(client, PLENTY)
        register = self.client.register_script

        class Client:
            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def register_script(self, script: bytes) -> Any:
                registered = register(script)

                def call(**arguments: Any) -> Any:
                    turn()
                    return registered(**arguments)

                return call

        self.client = Client()


def stirring(world: World, turns: int = 1200) -> Iterator[None]:
    """Play many customers' lives in small pieces: a nudge, a wake, an act, a leap in time."""
    for number, tag in enumerate(TAGS * 2):
        world.submit(f"k-{number}", tag, lane=LANES[number % 2])
        yield
    for turn in range(turns):
        world.hear()
        yield
        world.pulse.run_once()
        yield
        if world.queue.nudges:
            nudge = world.queue.nudges.popleft()
            if turn % 50 == 7:
                world.ledger.claim(nudge.key, nudge.version, nudge.step)  # and its worker dies
            else:
                world.run_step(nudge.step, nudge.key, nudge.version)
            yield
        else:
            waits = [wait for wait in (world.next_due_s(), world.next_event_s()) if wait is not None]
            world.advance(min(waits) + 0.002)
        if turn % 20 == 3:
            people_act(world, turn)
        yield


def people_act(world: World, turn: int) -> None:
    for record in world.records():
        if record.phase is Phase.SIGNINGS_REQUIRED:
            world.consent(record.key)
    if turn == 403:
        world.act("k-1", "cancel", reason="a test")
        world.act("k-2", "restart", reason="a test")
