"""Whole lives of a customer, and a witness who knows which read each phase and step makes and can spoil some of them.

A life drives one customer, k-1, to its end, whatever a read answers meanwhile for a spell: it waits for what Iron's
books say, and ends when the record says the same. Source: design section 2, rule 6.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import time
from typing import Any, NamedTuple

import httpx
import redis

from ops.sandbox import Fault, SandboxTransport
from ops.sandbox.api.routes import find_route
from ops.sandbox.world.records import Customer
from pipelines.advance import POLL_GROWTH
from pipelines.iron import Iron
from pipelines.lifecycle import Phase
from pipelines.model import Policy, Record
from pipelines.reidentification import Hours, Interval, ReidentificationPolicy
from tests.world import API_KEY, BASE_URL, World, a_job
from workers.reconcile.adopt import adopt
from workers.reconcile.sweep import Page, Sweep
from workers.reidentification.policy_store import Mover, proposed, store

DAY_S = 86_400.0
#: For how long a life may wait for what comes next, in seconds.
LONG_S = 10 * DAY_S
#: From one sweep to the next, in seconds.
SWEEP_S = 2 * DAY_S
#: A step of the world's clock, in seconds, by which a read may be late.
TICK_S = 0.1
#: The sandbox's name of the read that follows whatever was not foreseen.
CUSTOMER = "GET /customers/{id}"
EVERY_YEAR = ReidentificationPolicy(
    enabled=True, max_per_day=5, hours=Hours("Europe/Berlin", (time(22), time(7))), tiers={"high": Interval(months=12)}
)


class Read(NamedTuple):
    """A read: which endpoint, by which step, in which phase, and whether its call had been tried."""

    operation: str
    step: str
    phase: str
    doubtful: bool = False

    def __str__(self) -> str:
        return f"{self.operation}-{self.step}-{self.phase}{'-doubtful' if self.doubtful else ''}"


class Spoilt(NamedTuple):
    """A read that was answered oddly: when, how many reads of the customer there were by then, and of which record."""

    at: float
    reads: int
    record: Record


@dataclass
class Witness(httpx.BaseTransport):
    """Between a world's worker and the sandbox. Notes each read, and has those of `target` spoilt, so many times."""

    world: World
    target: Read | None = None
    fault: dict[str, Any] = field(default_factory=dict)
    times: int = 1
    seen: set[Read] = field(default_factory=set)
    spoilt: list[Spoilt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inner = self.world.transport
        self.world.runner.iron = replace(self.world.runner.iron, transport=self)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return self.inner.handle_request(request)
        [claim] = self.world.leases._claims.values()
        record, path = claim.record, request.url.path.removeprefix("/api")
        operation = find_route("GET", path.strip("/").split("/")).operation
        effect = record.effect
        called = effect is not None and effect.step == record.step and effect.first_ms is not None
        read = Read(operation, record.step, record.phase.value, called)
        self.seen.add(read)
        if read != self.target or len(self.spoilt) == self.times:
            return self.inner.handle_request(request)
        return self.spoil(request, path, record)

    def spoil(self, request: httpx.Request, path: str, record: Record) -> httpx.Response:
        """Answer a read oddly; where the true answer cannot be spoilt so, it stays, and another read is waited for."""
        truth = self.inner.handle_request(request)
        self.world.sandbox.faults.add(Fault(name="spoilt", path=path, times=1, **self.fault))
        response = self.inner.handle_request(request)
        if (response.status_code, response.content) != (truth.status_code, truth.content):
            self.spoilt.append(Spoilt(self.world.clock.wall(), len(self.customer_read()), record))
        return response

    def customer_read(self) -> list[float]:
        """When the customer was read, as the sandbox's log of calls has it."""
        return self.world.sandbox.traffic.times().get(CUSTOMER, [])

    def late(self) -> list[str]:
        """What was spoilt and not followed by a read of the customer within one poll pause."""
        times = self.customer_read()
        found = []
        for one in self.spoilt:
            after_s = times[one.reads] - one.at if len(times) > one.reads else None
            if after_s is None or after_s > self.pause_s(one.record) + TICK_S:
                found.append(f"{one.record.phase.value}: {after_s} s, not {self.pause_s(one.record)} s")
        return found

    def pause_s(self, record: Record) -> float:
        """The longest pause between two reads of a customer in this state, in seconds."""
        policy, reads = self.world.policy, max(record.reads + 1, 0)
        return min(policy.poll_min_s * POLL_GROWTH**reads, policy.poll_for_s)


# --- what Iron's books say -----------------------------------------------------------------------------------------


def on_iron(world: World) -> Customer:
    """Iron's own record of the customer."""
    found = world.sandbox.provider.store.with_external_id("k-1")
    assert len(found) == 1
    return found[0]


def told(world: World) -> dict[str, Any]:
    """What a record that is right says of the customer, by Iron's books: the link while it is of use, for one."""
    customer, record = on_iron(world), world.record()
    newest, of_use = customer.newest, record.phase in (Phase.IDENTIFICATION_PENDING, Phase.STEP_UP_REQUIRED)
    return {
        "customer_id": customer.id,
        "customer_status": customer.status,
        "identification": newest and (newest.id, newest.status),
        "link": newest.url if newest and of_use else None,
        "to sign": {document.id for document in customer.due},
        "signed": {signing.content_id for signing in customer.signings} if record.signings else None,
    }


def known(world: World) -> dict[str, Any]:
    """What the record says of the same; one that was adopted does not know who signed what before."""
    record = world.record()
    of_use = record.phase in (Phase.IDENTIFICATION_PENDING, Phase.STEP_UP_REQUIRED)
    return {
        "customer_id": record.customer_id,
        "customer_status": record.customer_status,
        "identification": record.identification_id and (record.identification_id, record.identification_status),
        "link": record.link if of_use else None,
        "to sign": {signing.id for signing in record.signings if not signing.signed_ms},
        "signed": {signing.id for signing in record.signings if signing.signed_ms} if record.signings else None,
    }


def is_right(world: World, phase: str) -> bool:
    """Say whether the record says what Iron's books say, and nothing troubles it any more."""
    record = world.record()
    calm = record.attempts == 0 and not record.effect and (record.problem is None or phase == "on_hold")
    explained = bool(record.reasons) or phase not in ("declined", "step_up_required")
    done = calm and explained and not world.read().acts_waiting
    return record.phase == phase and done and known(world) == told(world)


def wait(world: World, until: Callable[[], bool], seconds: float = LONG_S, *, signs: bool = True) -> None:
    """Let time pass until the condition holds; meanwhile the customer agrees to whatever document is asked for.

    Where no webhook arrives the sweep reads Iron's list every few hours. Raises AssertionError when it takes too long.
    """
    end_ms = world.shift_ms + seconds * 1000
    sweep = Sweep(world.ledger, Iron(SandboxTransport(world.sandbox), BASE_URL, API_KEY), SWEEP_S)
    while True:
        world.hear()
        swept_s = None if world.hears else _swept(sweep)
        again_s = world.pulse.run_once().again_s or 0.0
        world.drain()
        record = world.record()
        if signs and record.phase == "signings_required" and any(not one.consented_ms for one in record.signings):
            world.consent()
            world.drain()
        if until():
            return
        assert world.shift_ms <= end_ms, f"after {seconds} s: {world.record().phase}"
        soon = [one for one in (world.next_due_s(), world.next_event_s(), swept_s) if one is not None]
        wait_s = min(soon, default=SWEEP_S)
        world.advance(max(wait_s, again_s if wait_s == 0 else 0.0) + 0.002)


def _swept(sweep: Sweep) -> float:
    """Read Iron's list if it is time; give the seconds until it may be again."""
    page = sweep.run_once()
    while isinstance(page, Page) and not page.last:
        page = sweep.run_once()
    return SWEEP_S if isinstance(page, Page) else page


def comes_to(world: World, phase: str, seconds: float = LONG_S, *, signs: bool = True) -> None:
    """Let time pass until the record is right and in this phase, and nothing is to come on Iron's side."""
    try:
        wait(world, lambda: world.next_event_s() is None and is_right(world, phase), seconds, signs=signs)
    except AssertionError as error:
        record, right = world.record(), told(world)
        wrong = {name: (fact, right[name]) for name, fact in known(world).items() if fact != right[name]}
        state = (record.step, record.tried, record.attempts, record.effect, record.problem, record.reasons)
        message = f"{error}, not {phase}; wrong: {wrong}; {state}"
        raise AssertionError(message) from None


def passes(world: World, seconds: float) -> None:
    """Let so much time pass, with whatever happens meanwhile."""
    end_ms = world.shift_ms + seconds * 1000
    while world.shift_ms < end_ms:
        left_s = (end_ms - world.shift_ms) / 1000
        wait(world, lambda: True, signs=False)
        soon = (world.next_due_s(), world.next_event_s(), left_s)
        world.advance(min(one for one in soon if one is not None) + 0.002)


def moves(world: World, step: str, **details: Any) -> None:
    """Something happens on Iron's side, which the sweep finds where no webhook arrives."""
    world.sandbox.move("k-1", step, **details)
    if not world.hears:
        world.advance(0.01)
        _swept(Sweep(world.ledger, Iron(SandboxTransport(world.sandbox), BASE_URL, API_KEY), 0.001))


def made(world: World, identifications: int, signings: int) -> None:
    """Check that Iron has each effect once."""
    seen = {"customers": 1, "identifications": identifications, "signings": signings}
    assert world.effects()["k-1"] == seen


# --- lives ---------------------------------------------------------------------------------------------------------


def approved(world: World) -> None:
    world.submit()
    comes_to(world, "active")
    made(world, 1, 2)


def reviewed_slowly(world: World) -> None:
    world.submit(tag="manual")
    comes_to(world, "identification_pending")
    moves(world, "process")
    comes_to(world, "in_review")
    moves(world, "review")
    comes_to(world, "in_review")
    passes(world, 120)
    moves(world, "approve")
    comes_to(world, "active")
    made(world, 1, 2)


def signs_one_by_one(world: World) -> None:
    world.submit()
    comes_to(world, "signings_required", signs=False)
    passes(world, 300)
    for left in (1, 0):
        world.act("k-1", "sign", documents=[next(one.id for one in world.record().signings if not one.consented_ms)])
        wait(world, lambda left=left: len(on_iron(world).due) == left, signs=False)  # type: ignore[misc]
        passes(world, 120)
    comes_to(world, "active", signs=False)
    made(world, 1, 2)


def _lost(world: World, operation: str, **fault: Any) -> None:
    world.sandbox.faults.add(Fault(operation=operation, when="after", times=1, **(fault or {"lost": "reset"})))


def loses_answers(world: World) -> None:
    for operation in ("create_customer", "create_identification", "create_signing"):
        _lost(world, operation)
    approved(world)


def meets_conflicts(world: World) -> None:
    for operation in ("create_customer", "create_identification", "create_signing"):
        _lost(world, operation, status=409)
    approved(world)


def meets_stored_faults(world: World) -> None:
    for operation in ("create_customer", "create_identification", "create_signing"):
        world.sandbox.faults.add(Fault(operation=operation, status=500, stored="injected", times=1))
    approved(world)


def declined(world: World) -> None:
    world.submit(tag="decline")
    comes_to(world, "declined")
    passes(world, 120)
    comes_to(world, "declined")
    world.act("k-1", "restart", reason="the customer asked")
    wait(world, lambda: world.effects()["k-1"]["identifications"] == 2)
    comes_to(world, "declined")
    made(world, 2, 0)


def declined_for_good(world: World) -> None:
    world.submit(tag="decline-final")
    comes_to(world, "declined")
    made(world, 1, 0)


def expired(world: World) -> None:
    world.submit(tag="expire")
    comes_to(world, "on_hold")
    passes(world, 120)
    comes_to(world, "on_hold")
    made(world, 3, 0)
    world.act("k-1", "restart", reason="the customer is back")
    wait(world, lambda: world.effects()["k-1"]["identifications"] > 3)
    comes_to(world, "on_hold")
    made(world, 6, 0)


def put_away(world: World) -> None:
    """The identification is archived on Iron's side, and an operator has another one begun."""
    world.sandbox.faults.add(Fault(operation="create_identification", status=409, skip=1, times=1))
    world.submit(tag="manual")
    comes_to(world, "identification_pending")
    moves(world, "archive-identification")
    comes_to(world, "on_hold")
    world.act("k-1", "restart", reason="Iron archived it by mistake")
    comes_to(world, "identification_pending")
    made(world, 2, 0)


def asked_for_more(world: World) -> None:
    world.submit()
    comes_to(world, "active")
    moves(world, "stepup")
    comes_to(world, "step_up_required")
    passes(world, 120)
    moves(world, "approve")
    comes_to(world, "active")
    made(world, 1, 2)


def asked_for_more_on_a_new_record(world: World) -> None:
    world.sandbox.switches.step_up = "new_record"
    asked_for_more(world)


def asked_for_more_and_still_approved(world: World) -> None:
    world.sandbox.switches.step_up = "approved"
    asked_for_more(world)


def new_terms(world: World) -> None:
    approved(world)
    moves(world, "newterms")
    comes_to(world, "active")
    made(world, 1, 3)


def suspended(world: World) -> None:
    world.submit()
    comes_to(world, "active")
    moves(world, "suspend")
    comes_to(world, "suspended")
    passes(world, 120)
    moves(world, "restore")
    comes_to(world, "active")
    made(world, 1, 2)


def archived(world: World) -> None:
    world.submit()
    comes_to(world, "active")
    moves(world, "archive")
    comes_to(world, "archived")
    made(world, 1, 2)


def held(world: World) -> None:
    world.submit()
    comes_to(world, "active")
    moves(world, "userrequired")
    comes_to(world, "on_hold")
    passes(world, 120)
    moves(world, "status", status="Active")
    comes_to(world, "active")
    made(world, 1, 2)


def corrected(world: World) -> None:
    world.submit(tag="manual")
    comes_to(world, "identification_pending")
    world.correct(a_job(customer={"customer_type": "Person", "email": "new@example.com"}))
    wait(world, lambda: on_iron(world).email == "new@example.com")
    comes_to(world, "identification_pending")
    moves(world, "approve")
    comes_to(world, "active")
    made(world, 1, 2)


def cancelled(world: World) -> None:
    world.submit(tag="manual")
    comes_to(world, "identification_pending")
    world.act("k-1", "cancel", reason="the customer left")
    wait(world, lambda: world.record().phase == "cancelled")
    moves(world, "approve")
    passes(world, 120)
    assert world.record().phase == "cancelled"
    world.act("k-1", "restart", reason="the customer is back")
    comes_to(world, "active")
    made(world, 1, 2)


def refused(world: World) -> None:
    """Iron refuses the identification, and suspends the customer for a while before somebody corrects the job."""
    _refuse(world)
    moves(world, "suspend")
    passes(world, 120)
    moves(world, "status", status="IdentificationRequired")
    passes(world, 120)
    world.correct(a_job(customer={"customer_type": "Person", "email": "k+manual@example.com"}))
    comes_to(world, "identification_pending")
    made(world, 1, 0)


def refused_and_begun_elsewhere(world: World) -> None:
    """Iron refuses the identification, and somebody begins another one in the dashboard."""
    _refuse(world)
    _elsewhere(world, "dashboard")
    moves(world, "review")
    comes_to(world, "in_review")
    made(world, 1, 0)


def _refuse(world: World) -> None:
    world.sandbox.faults.add(Fault(operation="create_identification", status=422, stored="injected", times=1))
    world.submit(tag="manual")
    wait(world, lambda: world.record().phase == "failed")


def _elsewhere(world: World, key: str) -> None:
    path = f"/api/customers/{on_iron(world).id}/identifications/v2"
    assert world.sandbox.request("POST", path, {"type": "Link"}, key=key).status == 201


def _adopt(world: World) -> None:
    [found] = adopt(world.ledger, Iron(SandboxTransport(world.sandbox), BASE_URL, API_KEY))
    assert (found.result, found.key) == ("adopted", "k-1")


def adopted(world: World) -> None:
    """A customer of the dashboard is adopted, identifies, and is declined before a job joins."""
    body = {"customer_type": "Person", "email": "ada+manual@example.com", "external_id": "k-1"}
    world.sandbox.request("POST", "/api/customers", body, key="dashboard")
    _adopt(world)
    passes(world, 120)
    assert world.record().phase == "customer_created"
    _elsewhere(world, "dashboard-1")
    comes_to(world, "identification_pending")
    moves(world, "expire")
    comes_to(world, "expired")
    passes(world, 120)
    _elsewhere(world, "dashboard-2")
    comes_to(world, "identification_pending")
    moves(world, "decline")
    comes_to(world, "declined")
    world.submit(tag="manual")
    comes_to(world, "declined")
    world.act("k-1", "restart", reason="the customer asked")
    comes_to(world, "identification_pending")
    moves(world, "approve")
    comes_to(world, "active")
    made(world, 3, 2)


def found_again(world: World) -> None:
    """The ledger is lost while the customer is active, and the record is made of what Iron says."""
    approved(world)
    world.client.flushdb()
    _adopt(world)
    comes_to(world, "active")
    world.submit()
    comes_to(world, "active")
    made(world, 1, 2)


def identified_again(world: World) -> None:
    """A notice, and a start a fortnight later whose answer is lost."""
    store(world.ledger, proposed(world.ledger, EVERY_YEAR, by="ada"))
    mover = Mover(world.ledger, world.policy.poll_far_s)
    while not mover.run_once().done:
        pass
    world.submit(risk_tier="high")
    for number in (1, 2):
        wait(world, lambda number=number: world.effects().get("k-1", {}).get("identifications") == number, 400 * DAY_S)  # type: ignore[misc]
        comes_to(world, "active")
        _lost(world, "create_identification")
    made(world, 2, 2)


def identified_again_by_hand(world: World) -> None:
    approved(world)
    world.act("k-1", "reidentify", run="r-1", reason="a changed name")
    wait(world, lambda: world.effects()["k-1"]["identifications"] == 2)
    comes_to(world, "active")
    made(world, 2, 2)


def meets_conflicts_later(world: World) -> None:
    """Iron refuses the first try of each further identification with 409, and has done nothing."""

    def conflict() -> None:
        world.sandbox.faults.add(Fault(operation="create_identification", status=409, times=1))

    world.submit(tag="manual")
    comes_to(world, "identification_pending")
    for number, (step, phase) in enumerate((("decline", "declined"), ("expire", "expired"), ("approve", "active")), 2):
        conflict()
        world.sandbox.move("k-1", step)
        world.hear()
        wait(world, lambda phase=phase: world.record().phase == phase)  # type: ignore[misc]
        if phase == "declined":
            comes_to(world, phase)
            world.act("k-1", "restart", reason="the customer asked")
        elif phase == "active":
            world.act("k-1", "reidentify", run="r-1", reason="a changed name")
        wait(world, lambda number=number: world.effects()["k-1"]["identifications"] == number)  # type: ignore[misc]
        comes_to(world, "identification_pending")
    made(world, 4, 2)


Life = Callable[[World], None]
LIVES: dict[str, Life] = {
    life.__name__: life
    for life in (
        approved,
        reviewed_slowly,
        signs_one_by_one,
        loses_answers,
        meets_conflicts,
        meets_conflicts_later,
        meets_stored_faults,
        declined,
        declined_for_good,
        expired,
        put_away,
        asked_for_more,
        asked_for_more_on_a_new_record,
        asked_for_more_and_still_approved,
        new_terms,
        suspended,
        archived,
        held,
        corrected,
        cancelled,
        refused,
        refused_and_begun_elsewhere,
        adopted,
        found_again,
        identified_again,
        identified_again_by_hand,
    )
}


def a_world(client: redis.Redis, *, hears: bool) -> World:
    """A world whose ledger and Iron agree about the time, always with the same pauses."""
    random.seed(1)
    world = World(client, policy=Policy(round_spacing_s=60))
    world.shift_ms = round(world.clock.now() * 1000) - world.ledger.now_ms()
    world.hears = hears
    return world
