"""The counterexamples of the protocol's model, told against the real code: each broke the first draft of the design.

The numbers are those of the model's findings. Iron's look-ups lag behind by 30 s in nearly all of them, so that only
keys, fences and patience protect, and not a look that happens to be right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis

from ops.sandbox import Fault
from pipelines.errors import StaleClaimError
from pipelines.iron import Iron
from tests.world import API_KEY, BASE_URL, World
from workers.ledger import LEASE_MS, PREFIX, Claim
from workers.reconcile.sweep import Page, Sweep

RETENTION_S = 86_400


@pytest.fixture
def lagging(client: redis.Redis) -> World:
    """A pipeline whose Iron shows new things 30 seconds late, and whose webhooks are lost."""
    world = World(client, lookup_lag_s=30, record_lag_s=30)
    world.hears = False
    return world


def claim(world: World, step: str, key: str = "k-1") -> Claim:
    """A worker takes the record in hand and gets no further."""
    claimed = world.ledger.claim(key, world.record(key).version, step)
    assert isinstance(claimed, Claim)
    return claimed


def snapshot(world: World) -> dict[bytes, bytes]:
    """The ledger as it is durable now."""
    return {key: world.client.dump(key) or b"" for key in world.client.scan_iter()}


def roll_back(world: World, past: dict[bytes, bytes]) -> None:
    """The ledger forgets what came after."""
    world.client.flushdb()
    for key, value in past.items():
        world.client.restore(key, 0, value)


def lost(world: World, operation: str) -> None:
    """Iron executes the next such request, and its answer is lost."""
    world.sandbox.faults.add(Fault(operation=operation, when="after", lost="timeout", times=1))


def one_of_each(world: World, key: str = "k-1", signings: int = 0) -> None:
    """Iron has one customer and one identification of this external id."""
    assert world.effects()[key] == {"customers": 1, "identifications": 1, "signings": signings}


def test_1_a_fence_never_comes_twice(lagging: World) -> None:
    """A ledger rolled back to before a claim gives the record away again; the first claimer's commit is refused."""
    lagging.submit(tag="manual")
    past = snapshot(lagging)
    sleeper = claim(lagging, "create_customer")
    following = lagging.runner._attempt(sleeper)
    roll_back(lagging, past)
    claim(lagging, "create_customer")
    with pytest.raises(StaleClaimError):
        lagging.ledger.commit(sleeper, following)


@pytest.mark.parametrize("operation", ["create_customer", "create_identification"])
def test_2_a_correction_makes_no_second_key(lagging: World, operation: str) -> None:
    """The answer is lost, a person corrects, look-ups lag: the same key goes out until Iron's answer is certain."""
    lost(lagging, operation)
    lagging.submit(tag="manual")
    lagging.drain()
    lagging.correct(
        {"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "k+manual@example.com"}}
    )
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    lagging.run(until=lambda: lagging.record().revision == 1 and lagging.record().step == "refresh", seconds=3600)
    one_of_each(lagging)


def test_3_an_act_and_a_lost_second(lagging: World) -> None:
    """Create executed, the ledger rolls back by seconds, the person corrects what seems never sent: one customer."""
    lagging.submit(tag="manual")
    past = snapshot(lagging)
    lagging.drain()
    roll_back(lagging, past)
    lagging.correct(
        {"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "other+manual@example.com"}}
    )
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    one_of_each(lagging)


@pytest.mark.parametrize("after_s", [60, RETENTION_S + 60])
def test_4_a_lost_record_looks_like_a_new_one(lagging: World, after_s: float) -> None:
    """Everything is lost, upstream sends the job again, even after Iron's retention: the customer is found."""
    lagging.submit(tag="manual")
    lagging.drain()
    lagging.client.flushdb()
    lagging.queue.nudges.clear()
    lagging.advance(after_s)
    lagging.submit(tag="manual")
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    one_of_each(lagging)


def test_5_two_jobs_one_external_id_and_a_loss(lagging: World) -> None:
    """The job that had been refused comes first after a loss: its create meets the first one's key."""
    lagging.submit("k-1", "manual", external_id="e-1")
    assert lagging.submit("k-2", "manual", external_id="e-1").status == "external_id_taken"
    lagging.drain()
    lagging.client.flushdb()
    lagging.queue.nudges.clear()
    email = {"customer_type": "Person", "email": "k-1+manual@example.com", "name": "Ada Example"}
    lagging.submit("k-2", "manual", external_id="e-1", customer=email)
    lagging.run_until("k-2", "identification_pending", seconds=3600)
    one_of_each(lagging, "e-1")


def test_6_no_new_generation_while_a_worker_sleeps(lagging: World) -> None:
    """A claim that ended without a commit may call yet: a stored fault then waits for the end of the retention."""
    lagging.sandbox.faults.add(Fault(operation="create_customer", status=500, stored="injected", times=1))
    lagging.submit(tag="manual")
    claim(lagging, "create_customer")
    lagging.queue.nudges.clear()
    lagging.advance(LEASE_MS / 1000 + 1)
    lagging.run(until=lambda: lagging.shift_ms > 6 * 3600_000, seconds=7 * 3600)
    record = lagging.record()
    assert record.effect is not None
    assert (record.phase, record.effect.generation, record.effect.abandoned) == ("received", 0, True)
    lagging.run_until("k-1", "identification_pending", seconds=2 * RETENTION_S)
    one_of_each(lagging)


def test_6_a_stored_fault_is_overcome(lagging: World) -> None:
    """A fault that Iron replays for a day is overcome by one new generation: settled, repeated, looked, told."""
    lagging.sandbox.faults.add(Fault(operation="create_customer", status=500, stored="injected", times=1))
    lagging.submit(tag="manual")
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    one_of_each(lagging)
    assert any("new generation" in entry.get("note", "") for entry in lagging.ledger.history("k-1"))


def test_6_a_fault_after_the_effect(lagging: World) -> None:
    """A stored fault whose effect took place is found by the look that a new generation needs: no second customer."""
    lagging.sandbox.faults.add(Fault(operation="create_customer", when="after", status=500, stored="injected", times=1))
    lagging.submit(tag="manual")
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    one_of_each(lagging)


def test_7_generations_end_with_the_retention(lagging: World) -> None:
    """Generation 1 answered nothing either; a day later everything is looked up and begun at generation 0."""
    requests = watched(lagging)
    lagging.sandbox.faults.add(Fault(name="broken", operation="create_customer", status=500, stored="injected"))
    lagging.submit(tag="manual")
    lagging.run(until=lambda: len(set(keys_of_creations(requests))) == 2, seconds=3600)
    lagging.sandbox.faults.clear("broken")
    lagging.run_until("k-1", "identification_pending", seconds=2 * RETENTION_S)
    assert lagging.shift_ms > RETENTION_S * 1000
    one_of_each(lagging)
    keys = keys_of_creations(requests)
    assert len(set(keys)) == 2
    assert keys[0] == keys[-1]


def watched(world: World) -> list[httpx.Request]:
    """Note each request that leaves for Iron from now on."""
    requests: list[httpx.Request] = []
    inner = world.transport

    class Watching(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return inner.handle_request(request)

    world.transport = Watching()
    world.run_step = world.worker().run
    return requests


def keys_of_creations(requests: list[httpx.Request]) -> list[str]:
    """Give the key of each request that creates a customer."""
    creations = (one for one in requests if one.method == "POST" and one.url.path.endswith("/customers"))
    return [one.headers["IDEMPOTENCY-KEY"] for one in creations]


def test_8_an_act_is_not_overwritten(lagging: World) -> None:
    """A person cancels while a worker sleeps past its lease: whatever that worker commits then is refused."""
    lagging.submit(tag="manual")
    lagging.run_until("k-1", "identification_pending")
    sleeper = claim(lagging, "refresh")
    following = lagging.runner._attempt(sleeper)
    lagging.advance(LEASE_MS / 1000 + 1)
    lagging.act("k-1", "cancel")
    lagging.pulse.run_once()
    lagging.drain()
    assert lagging.record().phase == "cancelled"
    with pytest.raises(StaleClaimError):
        lagging.ledger.commit(sleeper, following)
    assert lagging.record().phase == "cancelled"


def test_9_two_documents_have_two_keys(lagging: World) -> None:
    """Two documents of one round are both signed, each under its own key, also when an answer is lost."""
    lost(lagging, "create_signing")
    lagging.onboard()
    one_of_each(lagging, signings=2)


def test_10_a_signed_document_required_again(client: redis.Redis) -> None:
    """A signed document that is required again after the settle time is a new occasion: consent is asked anew."""
    world = World(client, signing_again="accept")
    world.onboard()
    customer = world.sandbox.provider.store.customers[str(world.record().customer_id)]
    world.advance(600)
    customer.status, customer.due = "SigningsRequired", world.sandbox.provider.lifecycle.terms
    world.ledger.wake(customer.id)
    world.run_until("k-1", "signings_required", seconds=60)
    world.run(until=lambda: [s.occasion for s in world.record().signings] == [1, 1], seconds=60)
    assert all(signing.consented_ms is None for signing in world.record().signings)
    one_of_each(world, signings=2)
    world.consent()
    world.run_until("k-1", "active", seconds=600)
    one_of_each(world, signings=4)


def test_11_a_round_is_named_by_what_it_follows(lagging: World) -> None:
    """Round 2 began, the ledger rolls back to before it: the same round is found again, and none is skipped."""
    lagging.submit(tag="expire")
    lagging.run_until("k-1", "expired")
    past = snapshot(lagging)
    lagging.run(until=lambda: lagging.record().round == 2, seconds=2 * 3600)
    second = lagging.record().identification_id
    roll_back(lagging, past)
    lagging.queue.nudges.clear()
    lagging.run(until=lambda: lagging.record().round == 2, seconds=2 * 3600)
    assert lagging.record().identification_id == second
    assert lagging.effects()["k-1"]["identifications"] == 2


def test_12_far_due_dates_need_the_sweep(lagging: World) -> None:
    """A customer who is active and due next in a year, whose one webhook is lost, is found by the sweep in hours."""
    lagging.onboard()
    sweep = Sweep(lagging.ledger, Iron(lagging.transport, BASE_URL, API_KEY), 6 * 3600.0)
    lagging.run(until=lambda: (lagging.next_due_s() or 0.0) > 86_400)
    lagging.sandbox.move("k-1", "suspend")
    lagging.drain()
    assert lagging.record().phase == "active"
    lagging.advance(6 * 3600)
    while isinstance(sweep.run_once(), Page):
        pass
    lagging.run_until("k-1", "suspended", seconds=60)


def test_13_consent_does_not_wait_for_another_documents_doubt(lagging: World) -> None:
    """While the signature of one document is in doubt, consent to another is taken, and a cancellation waits."""
    lagging.runner.going_on = False  # between the two is what this looks at
    lagging.submit()
    lagging.run_until("k-1", "signings_required")
    lagging.run(until=lambda: bool(lagging.record().signings))
    first, second = (signing.id for signing in lagging.record().signings)
    lost(lagging, "create_signing")
    lagging.act("k-1", "sign", documents=[first])
    lagging.drain()
    assert lagging.record().effect is not None
    lagging.act("k-1", "cancel")
    lagging.act("k-1", "sign", documents=[second])
    nudge = lagging.queue.nudges.popleft()
    lagging.queue.nudges.clear()
    lagging.run_step(nudge.step, nudge.key, nudge.version)
    record = lagging.record()
    assert [bool(signing.consented_ms) for signing in record.signings] == [True, True]
    assert record.phase == "signings_required"
    lagging.run_until("k-1", "cancelled", seconds=600)
    assert lagging.effects()["k-1"]["signings"] == 1


@pytest.mark.parametrize("ending", ["refused", "active"])
def test_14_acts_are_applied_when_the_doubt_is_over(lagging: World, ending: str) -> None:
    """A cancellation that waited for a call in doubt is applied when Iron's answer is certain, not a year later."""
    operation = "create_customer" if ending == "refused" else "create_signing"
    if ending == "active":
        lagging.submit()
        lagging.run_until("k-1", "signings_required")
        lagging.run(until=lambda: bool(lagging.record().signings))
        documents = [signing.id for signing in lagging.record().signings]
        lagging.act("k-1", "sign", documents=documents[:1])
        lagging.run(until=lambda: lagging.effects()["k-1"]["signings"] == 1, seconds=60)
        lost(lagging, operation)
        lagging.act("k-1", "sign", documents=documents[1:])
        lagging.drain()
    else:
        lagging.sandbox.faults.add(Fault(operation=operation, lost="timeout", times=1))
        lagging.sandbox.faults.add(Fault(operation=operation, status=422))
        lagging.submit()
        lagging.drain()
    assert lagging.record().effect is not None
    lagging.act("k-1", "cancel")
    lagging.run_until("k-1", "cancelled", seconds=600)


@pytest.mark.parametrize("news", ["webhook", "act"])
def test_15_news_between_a_lease_and_a_late_commit(lagging: World, news: str) -> None:
    """A lease ends, news comes, nobody has claimed, and the late worker commits a due time far away: it is due now."""
    lagging.onboard()
    lagging.run(until=lambda: lagging.record().step == "refresh" and not lagging.queue.nudges)
    late = claim(lagging, "refresh")
    following = lagging.runner._attempt(late)
    lagging.advance(LEASE_MS / 1000 + 1)
    if news == "act":
        lagging.act("k-1", "cancel")
    else:
        lagging.ledger.wake(str(lagging.record().customer_id))
    lagging.queue.nudges.clear()
    lagging.ledger.commit(late, following)
    lagging.advance(6)
    assert lagging.pulse.run_once().nudges == 1


def test_16_a_late_generation_and_a_worker_asleep_with_it(lagging: World) -> None:
    """Generation 1 sleeps in a worker's hands when the retention is nearly over: 0 is not begun beside it."""
    lagging.sandbox.faults.add(Fault(name="broken", operation="create_customer", status=500, stored="nothing"))
    lagging.submit(tag="manual")
    lagging.run(until=lambda: (effect := lagging.record().effect) is not None and effect.generation == 1, seconds=3600)
    lagging.sandbox.faults.clear("broken")
    first_ms = lagging.record().effect.first_ms  # type: ignore[union-attr]
    lagging.advance((first_ms + 0.8 * RETENTION_S * 1000 - lagging.ledger.now_ms()) / 1000 - 1)
    lagging.queue.nudges.clear()
    sleeper = claim(lagging, "create_customer")
    lagging.run(until=lambda: lagging.ledger.now_ms() > first_ms + 1.7 * RETENTION_S * 1000, seconds=RETENTION_S)
    assert lagging.effects() == {}
    sleeper.holds_until = sleeper.clock() + LEASE_MS / 1000  # it had looked at its clock before it fell asleep
    lagging.runner._attempt(sleeper)
    lagging.run_until("k-1", "identification_pending", seconds=2 * RETENTION_S)
    one_of_each(lagging)


def test_a_409_that_shows_nothing(lagging: World) -> None:
    """409 and nothing to be found: the same key again and again, an operator is told, and in the end it goes on."""
    requests = watched(lagging)
    lagging.sandbox.faults.add(Fault(name="conflict", operation="create_customer", status=409, stored="nothing"))
    lagging.submit(tag="manual")
    lagging.run(until=lambda: lagging.shift_ms > 3600_000, seconds=2 * 3600)
    record = lagging.record()
    assert (record.phase, record.problem and record.problem.operator) == ("received", True)
    assert len(set(keys_of_creations(requests))) == 1
    lagging.sandbox.faults.clear("conflict")
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    one_of_each(lagging)


@pytest.mark.parametrize("part", [0.0, 0.8, 1.0, 1.01])
@pytest.mark.parametrize("executed", [True, False])
def test_looked_up_around_the_retention(lagging: World, part: float, executed: bool) -> None:
    """A call in doubt goes out again at any age of its key: once, and after a look where the key may be forgotten."""
    when: dict[str, Any] = {"when": "after" if executed else "before", "lost": "timeout"}
    lagging.sandbox.faults.add(Fault(operation="create_customer", times=1, **when))
    lagging.submit(tag="manual")
    lagging.drain()
    lagging.queue.nudges.clear()
    lagging.advance(part * RETENTION_S)
    requests = watched(lagging)
    lagging.run_until("k-1", "identification_pending", seconds=3600)
    one_of_each(lagging)
    paths = [f"{request.method} {request.url.path}" for request in requests]
    looked, created = "GET /api/customers/k-1/external", "POST /api/customers"
    assert (looked in paths) == (part >= 0.8)
    if created in paths and looked in paths:
        assert paths.index(looked) < paths.index(created)


def test_no_first_call_without_a_look(lagging: World) -> None:
    """The first call of every key looks first, also for a record that seems new."""
    requests = watched(lagging)
    lagging.onboard()
    paths = [f"{request.method} {request.url.path.rpartition('/')[2]}" for request in requests]
    assert paths[:2] == ["GET external", "POST customers"]
    assert [path for path in paths if "sign" in path] == [
        *("GET required-signings", "GET required-signings", "POST signings", "POST signings"),
    ]


def test_races_are_told_apart(lagging: World) -> None:
    """A claim of a newer release's record, a stale version and a lease are answered without a call to Iron."""
    lagging.submit(tag="manual")
    before = lagging.sandbox.traffic.total
    key = f"{PREFIX}record:k-1"
    raw = lagging.client.get(key)
    assert isinstance(raw, bytes)
    lagging.client.set(key, b"9" + raw[1:])
    lagging.drain()
    lagging.client.set(key, raw)
    claim(lagging, "create_customer")
    lagging.run_step("create_customer", "k-1", 1)
    lagging.run_step("refresh", "k-1", 1)
    lagging.run_step("create_customer", "k-1", 7)
    assert lagging.sandbox.traffic.total == before
    assert replace(lagging.record(), updated_ms=0).version == 1
