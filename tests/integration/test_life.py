"""One customer's life on a real Redis and the sandbox: each tag of it, and whatever else Iron and others may do."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ops.sandbox import Fault
from pipelines.view import read_view
from tests.world import World, noted
from workers.ledger import POISON_CRASHES, Claim

FAULTS = "its faults are named after the sandbox's operations; the schedules put theirs before the second stand-in"


@pytest.fixture
def world(either: World) -> World:
    """A whole pipeline on each stand-in for Iron."""
    return either


def test_approved(world: World) -> None:
    """A customer whom Iron approves and who signs becomes active, with one effect of each kind."""
    record = world.onboard()
    assert record.phase == "active"
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}


@pytest.mark.parametrize(
    ("tag", "phase", "waiting_on", "identifications"),
    [
        ("decline", "declined", "customer", 1),
        ("decline-final", "declined", "operator", 1),
        ("expire", "on_hold", "operator", 3),
        ("manual", "identification_pending", "customer", 1),
    ],
)
@pytest.mark.parametrize("hears", [True, False])
def test_tags(world: World, hears: bool, tag: str, phase: str, waiting_on: str, identifications: int) -> None:
    """Each tag leads to its phase, with the identifications it needs and not one more, with webhooks and without."""
    world.hears = hears
    world.submit(tag=tag)
    world.run_until("k-1", phase, seconds=5 * 3600)
    world.run(until=lambda: world.shift_ms > 6 * 3600_000, seconds=7 * 3600)
    assert world.holds(lambda: (world.record().phase, view(world)["waiting_on"]) == (phase, waiting_on))
    assert world.effects() == {"k-1": {"customers": 1, "identifications": identifications, "signings": 0}}


def view(world: World) -> dict[str, Any]:
    """Show the record as everybody reads it."""
    read = world.read()
    return read_view(read.record, read.due_ms)


@pytest.mark.second(step_up=("Pending", "Approved"))
def test_step_up(world: World) -> None:
    """An active customer of whom Iron asks more gets link and reason, no new identification, and is active again."""
    first = world.onboard(tag="manual").identification_id
    world.move("k-1", "stepup")
    world.run_until("k-1", "step_up_required", seconds=3600)
    assert world.holds(lambda: {"link", "reasons"} <= view(world)["needs"][0].keys())
    need = view(world)["needs"][0]
    assert (need["code"], need["link"]) == ("complete_step_up", world.record().link)
    assert need["link"]
    world.move("k-1", "approve")
    world.run_until("k-1", "active", seconds=3600)
    assert world.record().identification_id == first
    assert world.effects()["k-1"]["identifications"] == 1


@pytest.mark.second(step_up=("new record",), list_lag_s=(0,))
def test_step_up_on_a_new_record(world: World) -> None:
    """Where Iron itself begins another identification the customer gets its link, and we begin none."""
    world.sandbox.switches.step_up = "new_record"
    first = world.onboard(tag="manual").identification_id
    world.move("k-1", "stepup")
    world.run_until("k-1", "step_up_required", seconds=3600)
    assert world.holds(lambda: bool(view(world)["needs"][0].get("link")))
    world.move("k-1", "approve")
    world.run_until("k-1", "active", seconds=3600)
    assert world.holds(lambda: world.record().identification_id != first)
    assert world.effects()["k-1"]["identifications"] == 1


@pytest.mark.second(new_terms_id=("new",))
def test_new_terms(world: World) -> None:
    """New terms bring an active customer back to signing: the new document alone, with a consent of its own."""
    world.onboard()
    signed = {signing.id for signing in world.record().signings}
    world.move("k-1", "newterms")
    world.run_until("k-1", "signings_required", seconds=3600)
    world.run(until=lambda: any(not signing.signed_ms for signing in world.record().signings))
    needs = view(world)["needs"]
    assert [need["code"] for need in needs] == ["sign_document"]
    assert needs[0]["document"] not in signed
    assert world.effects()["k-1"]["signings"] == 2
    world.run(until=lambda: world.agree() or world.record().phase == "active")
    assert world.effects()["k-1"]["signings"] == 3


@pytest.mark.sandbox_only("the second stand-in lags as it likes, so that no call can be counted")
def test_new_terms_are_read_at_once(world: World) -> None:
    """When a webhook tells of new terms their list is read with the customer, also where all known ones are signed."""
    world.onboard()
    world.advance(3600)
    world.hear()
    world.drain()
    asked, moved_ms = world.sandbox.traffic.total, world.shift_ms
    world.move(str(world.record().customer_id), "newterms")
    world.run(until=lambda: any(not signing.signed_ms for signing in world.record().signings), seconds=60)
    assert world.shift_ms - moved_ms <= 1_000
    assert world.sandbox.traffic.total - asked == 2


def test_suspended_and_back(world: World) -> None:
    """A suspension is told and watched, and ends when Iron lifts it."""
    world.onboard()
    world.move("k-1", "suspend")
    world.run_until("k-1", "suspended", seconds=3600)
    assert view(world)["waiting_on"] == "iron"
    world.move("k-1", "restore")
    world.run_until("k-1", "active", seconds=3600)


def test_archived(world: World) -> None:
    """An archived customer is final: nothing is due any more."""
    world.onboard()
    world.move("k-1", "archive")
    world.run_until("k-1", "archived", seconds=60)
    assert (view(world)["due"], view(world)["waiting_on"]) == (None, "nobody")


@pytest.mark.parametrize(("status", "code"), [("UserRequired", "user_required"), ("Frozen", "unknown_status")])
def test_held(world: World, status: str, code: str) -> None:
    """What the table does not know waits for an operator, says so, and goes on when Iron does."""
    world.onboard()
    world.move("k-1", "status", status=status)
    world.run_until("k-1", "on_hold", seconds=60)
    assert (view(world)["waiting_on"], view(world)["problem"]["code"]) == ("operator", code)
    world.move("k-1", "status", status="Active")
    record = world.run_until("k-1", "active", seconds=60)
    assert record.problem is None


def elsewhere(world: World) -> str:
    """Somebody else begins an identification of our customer."""
    key = str(uuid.uuid4())
    path = f"/customers/{world.record().customer_id}/identifications/v2"
    identification: str = world.request("POST", path, {"type": "Link"}, key=key)["id"]
    return identification


@pytest.mark.second(pending_identification=("superseded",))
def test_begun_elsewhere(world: World) -> None:
    """An identification begun by somebody else is adopted; we begin none beside it; an older approval means nothing."""
    world.sandbox.switches.pending_identification = "supersede"
    world.submit(tag="manual")
    first = world.run_until("k-1", "identification_pending").identification_id
    world.advance(10)
    theirs = elsewhere(world)
    world.run(until=lambda: world.record().identification_id == theirs, seconds=3600)
    world.move(str(first), "approve")
    world.run(until=lambda: world.shift_ms > 1_000_000)
    assert world.holds(lambda: world.record().phase == "identification_pending")
    assert world.record().identification_id == theirs
    world.move(theirs, "approve")
    world.run_until("k-1", "signings_required", seconds=3600)
    assert world.effects()["k-1"]["identifications"] == 2


@pytest.mark.second(list_lag_s=(0,))
def test_begun_elsewhere_before_us(world: World) -> None:
    """When somebody else begins between our customer and our identification, theirs is the one."""
    world.runner.going_on = False
    world.submit(tag="manual")
    nudge = world.queue.nudges.popleft()
    world.run_step(nudge.step, nudge.key, nudge.version)
    world.advance(300)
    theirs = elsewhere(world)
    world.run_until("k-1", "identification_pending")
    world.run(until=lambda: world.record().identification_id is not None, seconds=60)
    assert world.record().identification_id == theirs
    assert world.effects()["k-1"]["identifications"] == 1


def test_restart(world: World) -> None:
    """A declined customer who may try again gets one new identification when it is asked for, however often."""
    world.submit(tag="decline")
    world.run_until("k-1", "declined")
    world.run(until=lambda: bool(world.record().reasons))
    world.act("k-1", "restart", reason="the customer asked")
    world.act("k-1", "restart", reason="the customer asked twice")
    world.drain()
    assert world.holds(lambda: world.effects()["k-1"]["identifications"] == 2)
    notes = [entry.get("note", "") for entry in world.ledger.history("k-1")]
    assert any(noted("restart", "a test", "the customer asked") in note for note in notes)


def test_cancel(world: World) -> None:
    """A cancelled onboarding does nothing more, whatever Iron tells of the customer; a restart takes it up again."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    world.act("k-1", "cancel", reason="the customer left")
    world.drain()
    assert (view(world)["phase"], view(world)["due"]) == ("cancelled", None)
    world.move("k-1", "expire")
    world.hear()
    world.drain()
    assert world.record().phase == "cancelled"
    assert world.effects()["k-1"]["identifications"] == 1
    world.act("k-1", "restart", reason="the customer came back")
    world.run(until=lambda: world.record().phase in ("expired", "identification_pending"), seconds=60)


@pytest.mark.sandbox_only("the second stand-in takes every e-mail address")
def test_refused_and_corrected(world: World) -> None:
    """What Iron refuses fails with the reason; corrected input is a new revision under a new generation of the key."""
    world.submit(customer={"customer_type": "Person", "email": "ada@example.local", "name": "Ada Example"})
    record = world.run_until("k-1", "failed")
    assert (view(world)["waiting_on"], record.problem and record.problem.code) == ("operator", "request_refused")
    assert "local" not in str(view(world))
    world.correct({"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "ada@example.com"}})
    assert world.run_until("k-1", "signings_required").revision == 1
    assert world.effects()["k-1"]["customers"] == 1


def test_corrected_on_iron(world: World) -> None:
    """A correction of a customer who exists goes out by PUT, and again when a late one brought the old e-mail back."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    world.correct({"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "new@example.com"}})
    world.drain()
    assert world.holds(lambda: world.email_of("k-1") == "new@example.com")
    world.request("PUT", f"/customers/{world.record().customer_id}", {"email": "old@example.com"})
    world.run(until=lambda: world.record().updates == 2, seconds=86_400)
    world.drain()
    assert world.holds(lambda: world.email_of("k-1") == "new@example.com")


@pytest.mark.second(documents_replaced=("no",))
def test_partial_consent(world: World) -> None:
    """Consent to one of two documents signs that one; the other is still asked for."""
    world.submit()
    world.run_until("k-1", "signings_required")
    world.run(until=lambda: bool(world.record().signings))
    first, second = (signing.id for signing in world.record().signings)
    world.act("k-1", "sign", documents=[first])
    world.run(until=lambda: world.effects()["k-1"]["signings"] == 1)
    assert [need["document"] for need in view(world)["needs"]] == [second]
    world.act("k-1", "sign", documents=[second])
    world.run_until("k-1", "active")
    assert world.effects()["k-1"]["signings"] == 2


def test_sub_partner(world: World) -> None:
    """A sub-partner's customer is onboarded with its header on every call that takes it."""
    record = world.onboard(sub_partner_id="6f2d7d0e-0b51-4c1e-9a51-0f4a3d0c8e11")
    assert record.phase == "active"


def refuse_once(world: World, operation: str) -> None:
    """Iron refuses the next such request, and remembers that under its key."""
    world.sandbox.faults.add(Fault(operation=operation, status=422, stored="injected", times=1))


@pytest.mark.sandbox_only(FAULTS)
def test_identification_refused_and_corrected(world: World) -> None:
    """A refused identification goes out again under the next generation after a correction, also by way of the PUT."""
    refuse_once(world, "create_identification")
    world.submit(tag="manual")
    world.run_until("k-1", "failed")
    world.correct({"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "k+manual@example.com"}})
    assert world.run_until("k-1", "identification_pending", seconds=60).revision == 1
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 0}}


@pytest.mark.sandbox_only(FAULTS)
@pytest.mark.parametrize("status", ["Active", "Suspended"])
def test_what_was_refused_matters_no_more(world: World, status: str) -> None:
    """Who failed here and went on elsewhere is shown as Iron shows them, with nothing left to correct."""
    refuse_once(world, "create_identification")
    world.submit(tag="manual")
    world.run_until("k-1", "failed")
    world.move("k-1", "status", status=status)
    record = world.run_until("k-1", status.lower(), seconds=60)
    assert record.problem is None
    assert view(world)["waiting_on"] != "operator"


@pytest.mark.sandbox_only(FAULTS)
def test_cancelled_after_a_refusal(world: World) -> None:
    """A cancelled onboarding that is taken up again does not meet the old refusal."""
    refuse_once(world, "create_customer")
    world.submit(tag="manual")
    world.run_until("k-1", "failed")
    world.act("k-1", "cancel", reason="a mistake")
    world.drain()
    world.act("k-1", "restart", reason="the other mistake")
    world.drain()
    assert world.run_until("k-1", "identification_pending", seconds=60).customer_id
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 0}}


def test_looked_at_soon_after_an_act(world: World) -> None:
    """Whoever acts on a customer who has waited for weeks sees within seconds what Iron says now."""
    world.hears = False
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    world.run(until=lambda: (world.next_due_s() or 0) > 86_400, seconds=3 * 86_400)
    world.move("k-1", "approve")
    world.act("k-1", "sign", documents=[])
    world.run_until("k-1", "signings_required", seconds=60)


@pytest.mark.sandbox_only(FAULTS)
def test_decline_explained_in_spite_of_acts(world: World) -> None:
    """What Iron declined for is read also when the first reading failed and somebody acts meanwhile."""
    world.sandbox.faults.add(Fault(path="/customers/*/requirements", status=503, times=1))
    world.submit(tag="decline")
    world.run_until("k-1", "declined")
    world.act("k-1", "sign", documents=[])
    world.run(until=lambda: bool(world.record().reasons), seconds=60)


@pytest.mark.sandbox_only(FAULTS)
def test_corrections_do_not_count(world: World) -> None:
    """After a correction took a generation, a fault that Iron repeats for ever may still take one of its own."""
    refuse_once(world, "create_customer")
    world.submit(tag="manual")
    world.run_until("k-1", "failed")
    world.sandbox.faults.add(Fault(operation="create_customer", status=500, stored="injected", times=1))
    world.correct({"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "k+manual@example.com"}})
    world.run_until("k-1", "identification_pending", seconds=3 * 3600)
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 0}}


def test_poisonous(world: World) -> None:
    """A record that kills its worker each time is left to an operator after a few, and tried again slowly."""
    world.submit(tag="manual")
    deaths = 0

    def die_on_it(step: str, key: str, version: int) -> None:
        nonlocal deaths
        claim = world.ledger.claim(key, version, step)
        if not isinstance(claim, Claim):
            return
        following = world.runner._attempt(claim)
        if following.note == "poisonous":
            world.ledger.commit(claim, following)
        else:
            deaths += 1

    world.run_step = die_on_it
    world.run(until=lambda: world.record().problem is not None, seconds=600)
    assert deaths == POISON_CRASHES
    assert (view(world)["waiting_on"], view(world)["problem"]["code"]) == ("operator", "poisonous")
    assert 2000 < (world.next_due_s() or 0) <= 3600
    world.run_step = world.runner.run
    world.run_until("k-1", "identification_pending", seconds=2 * 3600)
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 0}}
