"""No answer of Iron's is a dead end: the customer is read, and the table decides. Source: design section 2, rule 6.

Each read in each phase is in test_reads.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import redis

from ops.sandbox import Fault
from tests.second_iron import SecondIron
from tests.world import API_KEY, BASE_URL, World
from workers.budget.gate import Gate
from workers.operate.doctor import Check, examined

#: What the list of documents may answer where nothing is to be signed.
ANSWERS: dict[str, dict[str, Any]] = {
    **{str(status): {"status": status} for status in (404, 409, 422, 500)},
    "empty list": {"status": 200, "body": []},
}


def to_pending(world: World) -> None:
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")


def to_documents(world: World) -> None:
    to_pending(world)
    world.sandbox.move("k-1", "approve")


def to_consent(world: World) -> None:
    to_documents(world)
    world.run(until=lambda: bool(world.record().signings), seconds=60)


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_documents_are_gone_because_the_customer_is_active(world: World, answer: str) -> None:
    """Who was signed elsewhere meanwhile is active here too, whatever the list of documents answers from then on."""
    world.hears = False
    to_consent(world)
    customer = str(world.record().customer_id)
    for number, signing in enumerate(world.record().signings):
        body = {"signed": True, "content_id": signing.id}
        world.sandbox.request("POST", f"/api/customers/{customer}/signings", body, key=f"dashboard-{number}")
    world.sandbox.faults.add(Fault(operation="get_required_signings", **ANSWERS[answer]))
    world.consent()
    assert world.run_until("k-1", "active", seconds=60).problem is None


def test_the_webhook_of_the_last_signature_is_lost(world: World) -> None:
    """A customer who has signed is active in the record within 15 s, also days after the documents came."""
    to_consent(world)
    world.hears = False
    world.advance(3 * 86_400)
    world.consent()
    world.run(until=lambda: world.effects()["k-1"]["signings"] == 2, seconds=60)
    signed_ms = world.shift_ms
    world.run_until("k-1", "active", seconds=60)
    assert world.shift_ms - signed_ms <= 15_000


Doctor = Callable[..., dict[str, Check]]


@pytest.fixture
def doctor(world: World, ledger_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Make the checks of `onboarding doctor` with one API version, on this world's ledger and Iron."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)
    monkeypatch.setenv("ONBOARDING_BROKER_URL", broker_url)
    monkeypatch.setenv("IRON_BASE_URL", BASE_URL.replace("http:", "https:"))
    monkeypatch.setenv("IRON_API_KEY", API_KEY)

    def examine(api_version: str) -> dict[str, Check]:
        monkeypatch.setenv("IRON_API_VERSION", api_version)
        return {check.name: check for check in examined(world.transport)}

    return examine


def test_a_refused_api_version_fails_nobody(world: World, doctor: Doctor) -> None:
    """20 jobs with a wrong IRON_API_VERSION: none fails, doctor names it, and with the right one all become active."""
    right = world.runner.iron
    world.runner.iron = replace(right, api_version="2020-01-01")
    for number in range(20):
        world.submit(f"k-{number}")
    asked = world.sandbox.traffic.total
    world.run(until=lambda: world.shift_ms > 600_000, seconds=900)
    assert world.sandbox.traffic.total - asked < 400
    assert (Gate(world.ledger).standing().breaker, Gate(world.ledger).standing().refusal) == ("open", 400)
    assert {(record.phase.value, record.attempts) for record in world.records()} == {("received", 0)}
    found = doctor("2020-01-01")
    for name in ("iron", "calls"):  # its own call, and what the breaker knows of the workers'
        assert (found[name].state, "Check IRON_API_VERSION first" in found[name].text) == ("broken", True)
    found = doctor(right.api_version)
    assert (found["iron"].state, found["calls"].state) == ("ok", "broken")
    world.runner.iron = right

    def active() -> bool:
        for record in world.records():
            if any(not signing.consented_ms for signing in record.signings):
                world.consent(record.key)
        return {record.phase.value for record in world.records()} == {"active"}

    world.run(until=active, seconds=1_800)
    assert Gate(world.ledger).standing().refusal is None
    assert doctor(right.api_version)["calls"].state == "ok"
    assert {tuple(seen.values()) for seen in world.effects().values()} == {(1, 1, 2)}


def test_an_answer_that_grants_nothing_does_not_close_the_breaker(world: World) -> None:
    """A wrong base address answers 404 to all: the look-up's 404 is no sign that Iron takes our calls."""
    world.sandbox.faults.add(Fault(name="elsewhere", path="*", status=404))
    for number in range(5):
        world.submit(f"k-{number}", "manual")
    world.run(until=lambda: world.shift_ms > 120_000, seconds=300)
    assert Gate(world.ledger).standing().refusal == 404
    world.sandbox.faults.clear("elsewhere")
    world.run(until=lambda: {record.phase.value for record in world.records()} == {"identification_pending"})


def test_the_happy_path_takes_at_most_ten_calls(world: World) -> None:
    """With two documents and a webhook for each status, ten calls bring a customer from the job to active."""
    world.onboard()
    world.advance(60)
    world.hear()
    world.pulse.run_once()
    world.drain()
    assert world.sandbox.traffic.total <= 10


@pytest.mark.parametrize("hears", [True, False])
@pytest.mark.parametrize("seed", range(25))
def test_the_second_stand_in(client: redis.Redis, seed: int, hears: bool) -> None:
    """On an Iron that others wrote from the documents a customer becomes active, with each effect once."""
    world = World(client, second=partial(SecondIron, seed=seed))
    world.hears = hears
    world.submit()

    def active() -> bool:
        record = world.record()
        if record.phase == "signings_required" and any(not signing.consented_ms for signing in record.signings):
            world.consent()
        return record.phase == "active"

    world.run(until=active, seconds=2 * 86_400)
    assert world.shift_ms <= 2 * 86_400_000
    assert world.effects()["k-1"] == {"customers": 1, "identifications": 1, "signings": 2}
