"""Customers that exist on Iron and not here: adopted, followed, and joined by the job that knows them."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
import redis

from ops.sandbox import Fault
from pipelines.errors import HeldBackError, StaleClaimError
from pipelines.iron import Customer, Iron
from pipelines.model import Next
from pipelines.retention import INPUT_KEPT_MS
from tests.chaos.simulator import BEGINNING_MS, on_time_of
from tests.world import API_KEY, BASE_URL, World, a_job, contents
from workers.budget.gate import HELD_BACK, Gate
from workers.budget.unbound_calls import PATIENCE_S
from workers.ledger import LEASE_MS, PREFIX, Claim, New
from workers.ledger.limits import Budget
from workers.operate.search import find
from workers.reconcile.adopt import adopt, adopt_these


def iron(world: World) -> Iron:
    return Iron(world.transport, BASE_URL, API_KEY)


def test_lost_ledger(world: World) -> None:
    """An emptied ledger is rebuilt from Iron, and sending all jobs again creates nothing there."""
    tags = {"a": "approve", "d": "decline", "m": "manual", "x": "decline-final"}
    for key, tag in tags.items():
        world.submit(key, tag)
    world.run_until("a", "signings_required")
    world.consent("a")
    world.run(until=lambda: {r.key: r.phase.value for r in world.records()}["a"] == "active")
    world.run_until("d", "declined")
    before = {record.key: (record.phase, record.customer_id) for record in world.records()}
    effects = world.effects()
    world.client.flushdb()
    world.queue.nudges.clear()
    found = list(adopt(world.ledger, iron(world)))
    assert Counter(one.result for one in found) == {"adopted": 4}
    assert {record.key: record.phase for record in world.records()} == {
        key: phase for key, (phase, _) in before.items()
    }
    for key, tag in tags.items():
        assert world.submit(key, tag).status == "created"
    world.run(until=lambda: world.next_due_s() is None or world.next_due_s() > 60)
    assert {record.key: (record.phase, record.customer_id) for record in world.records()} == before
    assert world.effects() == effects
    assert [record.adopted for record in world.records()] == [False] * 4


def test_joined_under_another_key(world: World) -> None:
    """A job with the external id of an adopted customer takes the record over, under the job's own key."""
    world.onboard("k-1", external_id="e-1")
    world.client.flushdb()
    list(adopt(world.ledger, iron(world)))
    assert [record.key for record in world.records()] == ["e-1"]
    again = world.submit("k-1", external_id="e-1")
    assert (again.status, again.record and again.record.phase) == ("created", "active")
    assert world.ledger.read("e-1") is None
    assert [entry["note"] for entry in world.ledger.history("k-1")][-2:] == ["adopted", "joined by a job"]
    assert world.submit("k-1", external_id="e-1").status == "unchanged"
    assert world.submit("k-2", external_id="e-1").holder == "k-1"
    assert world.effects()["e-1"] == {"customers": 1, "identifications": 1, "signings": 2}


@pytest.mark.parametrize("answer", ["404", "null", "missing_member"])
def test_an_odd_list_is_no_date(world: World, answer: Any) -> None:
    """Since when an adopted customer is identified is read until Iron says it: re-identification counts from it."""
    known = world.onboard()
    world.client.flushdb()
    world.advance(86_400)
    world.sandbox.faults.add(Fault(operation="list_identifications", odd=answer, times=3))
    list(adopt(world.ledger, iron(world)))
    world.run(until=lambda: world.record().identified_ms is not None, seconds=60)
    record = world.record()
    assert (record.identified_ms, record.identification_id) == (known.identified_ms, known.identification_id)


def test_nothing_begun_for_a_stranger(world: World) -> None:
    """For a customer made elsewhere no identification is begun before a job joins; then it is, once."""
    body = {"customer_type": "Person", "email": "ada@example.com", "external_id": "e-1"}
    world.sandbox.request("POST", "/api/customers", body, key="made-elsewhere")
    list(adopt(world.ledger, iron(world)))
    world.run(until=lambda: world.shift_ms > 86_400_000, seconds=2 * 86_400)
    assert world.record("e-1").phase == "customer_created"
    assert world.effects()["e-1"]["identifications"] == 0
    world.submit("k-1", "manual", external_id="e-1")
    world.run_until("k-1", "identification_pending")
    assert world.effects()["e-1"] == {"customers": 1, "identifications": 1, "signings": 0}


def test_job_for_a_customer_in_hand(world: World) -> None:
    """A job takes over no record that a worker has in hand: what the worker finds out is committed first."""
    world.onboard("k-1", external_id="e-1")
    world.client.flushdb()
    list(adopt(world.ledger, iron(world)))
    found = world.record("e-1")
    claim = world.ledger.claim("e-1", found.version, found.step)
    assert isinstance(claim, Claim)
    wanted = found.evolve(key="k-1", adopted=False, step="refresh")
    assert world.ledger.join(found, New(wanted, {})) is None
    world.ledger.commit(claim, Next(claim.record, 60.0, "seen by the worker"))
    assert world.ledger.join(found, New(wanted, {})) is None
    assert world.ledger.join(world.record("e-1"), New(wanted, {})) is not None
    assert [entry["note"] for entry in world.ledger.history("k-1")] == ["adopted", "seen by the worker", "submitted"]


def test_job_after_a_worker_that_sleeps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that takes over from a worker who may still call knows of the call: no new generation follows it."""
    world.submit("k-1", "decline", external_id="e-1")
    world.run_until("k-1", "declined")
    world.client.flushdb()
    list(adopt(world.ledger, iron(world)))
    asleep: list[Claim] = []

    def run_step(step: str, key: str, version: int) -> None:
        if step == "create_identification":
            claim = world.ledger.claim(key, version, step)
            assert isinstance(claim, Claim)
            asleep.append(claim)
        else:
            world.worker().run(step, key, version)

    with monkeypatch.context() as patched:
        patched.setattr(world, "run_step", run_step)
        world.act("e-1", "restart")
        world.run(until=lambda: bool(asleep), seconds=3600)
    world.advance(LEASE_MS / 1000 + 1)
    world.submit("k-1", "decline", external_id="e-1")
    effect = world.record("k-1").effect
    assert effect is not None
    assert (effect.step, effect.abandoned, effect.first_ms) == ("create_identification", True, asleep[0].now_ms)
    with pytest.raises(StaleClaimError):
        world.ledger.commit(asleep[0], Next(asleep[0].record, 60.0))
    world.run(until=lambda: world.effects()["e-1"]["identifications"] == 2)
    world.run_until("k-1", "declined")
    assert world.record("k-1").effect is None


def test_dry_run(world: World) -> None:
    """A dry run says what would be adopted and writes nothing but the budget's marks."""
    world.onboard()
    world.client.flushdb()
    found = list(adopt(world.ledger, iron(world), dry_run=True))
    assert [(one.result, one.key) for one in found] == [("would_adopt", "k-1")]
    assert contents(world.client) == {}


def test_known_ones_stay(world: World) -> None:
    """Customers that have a record are left as they are."""
    world.onboard()
    before = world.record()
    assert [one.result for one in adopt(world.ledger, iron(world))] == ["known"]
    assert world.record() == before


def test_input_of_a_joined_customer_expires(world: World) -> None:
    """What a job brings to a customer who is active already is dropped after a week, like that of any other."""
    world.onboard("k-1", external_id="e-1")
    world.client.flushdb()
    world.queue.nudges.clear()
    list(adopt(world.ledger, iron(world)))
    world.submit("k-1", external_id="e-1")
    world.drain()
    assert 0 < world.client.pttl(f"{PREFIX}input:k-1") <= INPUT_KEPT_MS


def test_personal_data_after_a_join(world: World) -> None:
    """What was sealed for the adopted record is gone with its key; what the job brought can be read."""
    world.submit("x", "decline", external_id="e-1")
    world.run_until("x", "identification_pending")
    world.client.flushdb()
    world.queue.nudges.clear()
    list(adopt(world.ledger, iron(world)))
    world.run_until("e-1", "declined", 90_000)
    world.submit("k-1", "decline", external_id="e-1")
    assert set(world.door.personal("k-1", by="a test")) == {"customer"}


def test_an_adopted_customer_is_found_by_email(world: World) -> None:
    """The address that Iron shows is indexed, and leads to the job's record once one has joined."""

    def found() -> list[str]:
        return [one.record.key for one in find(world.ledger, world.vault, "A@example.com")]

    stranger = Customer("0b8f3a52-63e8-4a8b-9d4f-0f6a3e0c7c11", "Active", "e-1", email="a@example.com")
    list(adopt_these(world.ledger, [stranger], email_digest=lambda address: world.vault.email_digests(address)[0]))
    assert found() == ["e-1"]
    job = a_job("k-1", external_id="e-1", customer={"customer_type": "Person", "email": "a@example.com"})
    assert world.door.submit(job).status == "created"
    assert found() == ["k-1"]


# --- Iron's budget ----------------------------------------------------------------------------------------------------


class Timed(httpx.BaseTransport):
    """Iron as the world has it, with the time of each call; answers of its own first, where it is given any."""

    def __init__(self, world: World, *answers: httpx.Response) -> None:
        self.world, self.answers, self.at_ms = world, list(answers), []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.at_ms.append(self.world.shift_ms)
        return self.answers.pop(0) if self.answers else self.world.transport.handle_request(request)


class Command:
    """`adopt` as a person runs it, in simulated time, with a budget of ten calls a second."""

    def __init__(self, client: redis.Redis, strangers: int, *answers: httpx.Response) -> None:
        self.world = world = World(client, budget=Budget(rate_per_second=10))
        on_time_of(world.ledger, lambda: BEGINNING_MS + world.shift_ms)
        world.ledger.clock = lambda: world.shift_ms / 1000
        for number in range(strangers):
            body = {"customer_type": "Person", "email": f"c{number}@example.com", "external_id": f"e-{number}"}
            world.sandbox.request("POST", "/api/customers", body, key=f"made-{number}")
        self.transport = Timed(world, *answers)
        self.iron = Iron(self.transport, BASE_URL, API_KEY)
        self.said: list[str] = []
        #: What happens while the command sleeps, by the second in which it does.
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.world.advance(seconds + 0.001)
        self.meanwhile()

    def run(self) -> Counter[str]:
        found = adopt(self.world.ledger, self.iron, say=self.said.append, sleep=self.sleep)
        return Counter(one.result for one in found)


def test_pages_keep_to_the_budget(client: redis.Redis) -> None:
    """The pages of a long list are as far apart as the budget has it, and nothing is said about that."""
    command = Command(client, 420)
    assert command.run() == {"adopted": 420}
    gaps = [after - before for before, after in pairwise(command.transport.at_ms)]
    assert len(gaps) == 4
    assert all(100 <= gap <= 300 for gap in gaps)
    assert command.said == []


def test_records_come_first(client: redis.Redis) -> None:
    """While bulk work wants every slot, a page waits for its turn, which comes, and says so once."""
    command = Command(client, 110)
    ledger, world = command.world.ledger, command.world

    def busy() -> None:
        with contextlib.suppress(HeldBackError):
            for number in range(4):
                ledger.claim(f"b-{number + world.shift_ms}", 1, "create_customer")
                ledger._call("permit", "bulk", "", "call", "")

    command.meanwhile = busy
    busy()
    assert command.run() == {"adopted": 110}
    assert len(command.said) == 1
    assert command.said[0].endswith("This one waits for its turn.")


def test_a_pause_stops_it(client: redis.Redis) -> None:
    """While a person has paused the sweep's lane nothing is read, and it is said how to go on."""
    command = Command(client, 1)
    Gate(command.world.ledger).pause(["sweep"], by="ada")
    with pytest.raises(HeldBackError, match="onboarding resume sweep"):
        command.run()
    assert command.transport.at_ms == []


def test_a_429_is_waited_for(client: redis.Redis) -> None:
    """A 429 closes the tap for the whole fleet; the page is read after it, and the wait is told."""
    command = Command(client, 1, httpx.Response(429, headers={"retry-after": "30"}))
    closed: list[bool] = []
    command.meanwhile = lambda: closed.append(Gate(command.world.ledger).standing().closed_until_ms is not None)
    command.sleep(1)
    command.transport.at_ms.clear()
    assert command.run() == {"adopted": 1}
    first, second = command.transport.at_ms
    assert 30_000 <= second - first <= 31_500
    assert command.said == [f"{HELD_BACK['closed']} Waiting 30 s."]


@pytest.mark.parametrize(("trouble", "sentence"), [("closed", HELD_BACK["closed"]), ("open", HELD_BACK["open"])])
def test_it_gives_up(client: redis.Redis, trouble: str, sentence: str) -> None:
    """A tap or a breaker that stays shut ends the command after some minutes, without a call."""
    command = Command(client, 1)
    ledger, started_ms = command.world.ledger, command.world.shift_ms
    if trouble == "closed":
        command.meanwhile = lambda: Gate(ledger).close_tap(30.0)
        Gate(ledger).close_tap(30.0)
    else:
        ledger.client.hset(f"{PREFIX}pace", mapping={"opened": BEGINNING_MS, "retry_at": BEGINNING_MS})
    with pytest.raises(HeldBackError, match=re.escape(sentence)):
        command.run()
    assert command.transport.at_ms == []
    assert 60_000 <= command.world.shift_ms - started_ms <= PATIENCE_S * 1000 + 1_000
    assert len(command.said) == 1
