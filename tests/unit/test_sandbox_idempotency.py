"""Idempotency keys in the sandbox: replay, other bodies, scope, retention, what is stored (section 1.3)."""

from typing import Any

import pytest

from ops.sandbox import Answer, Fault, Sandbox

ADA: dict[str, Any] = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm-1"}
RETENTION_S = 24 * 3600


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still."""
    return Sandbox()


def create(sandbox: Sandbox, key: str = "key", body: object = ADA, **options: Any) -> Answer:
    """Ask for a customer."""
    return sandbox.request("POST", "/api/customers", body, key=key, **options)


def test_the_same_request_is_replayed(sandbox: Sandbox) -> None:
    """The same key and bytes give the stored answer, whatever has happened since, and no second effect."""
    first = create(sandbox)
    sandbox.request("PUT", f"/api/customers/{first.json()['id']}", {"email": "new@example.com"})
    sandbox.advance(RETENTION_S - 1)
    again = create(sandbox)
    assert (again.status, again.body) == (first.status, first.body)
    (effect,) = [one for one in sandbox.effects if one.operation == "create_customer"]
    assert (effect.idempotency_key, effect.external_id, effect.replays) == ("key", "crm-1", 1)


def test_another_body_conflicts(sandbox: Sandbox) -> None:
    """The same key with other bytes gives 409 and changes neither the records nor what is stored."""
    first = create(sandbox)
    answer = create(sandbox, body={**ADA, "name": "Ada"})
    assert answer.status == 409
    assert isinstance(answer.json(), str)
    assert create(sandbox).body == first.body
    assert sandbox.effects.totals() == {"create_customer": 1}


@pytest.mark.parametrize("body", [ADA, {**ADA, "name": "Ada"}])
def test_after_the_retention_a_key_is_new(sandbox: Sandbox, body: dict[str, Any]) -> None:
    """24 hours later the key is forgotten: the same request, or another one, has an effect of its own."""
    first = create(sandbox)
    sandbox.clock.advance(RETENTION_S)
    second = create(sandbox, body=body)
    assert second.status == 201
    assert second.json()["id"] != first.json()["id"]
    assert sandbox.effects.group()["crm-1"]["customers"] == 2


def test_the_scope_is_key_path_and_caller(sandbox: Sandbox) -> None:
    """One key may be used on two paths and by two API keys; each remembers its own answer."""
    customer_id = create(sandbox).json()["id"]
    path = f"/api/customers/{customer_id}/identifications/v2"
    assert sandbox.request("POST", path, {"type": "Link"}, key="key").status == 201
    assert create(sandbox, api_key="another-key").json()["id"] != customer_id


def test_refusals_are_replayed(sandbox: Sandbox) -> None:
    """A stored 4xx comes again although its cause is gone; a fresh key gets through."""
    customer_id = create(sandbox, body={**ADA, "email": "ada+manual@example.com"}).json()["id"]
    path = f"/api/customers/{customer_id}/identifications/v2"
    first = sandbox.request("POST", path, {"type": "Link"}, key="first").json()["id"]
    assert sandbox.request("POST", path, {"type": "Link"}, key="second").status == 409
    sandbox.move(first, "expire")
    assert sandbox.request("POST", path, {"type": "Link"}, key="second").status == 409
    assert sandbox.request("POST", path, {"type": "Link"}, key="third").status == 201
    sandbox.switches.stored_errors = "none"
    assert create(sandbox, key="bad", body={}).status == 400
    assert create(sandbox, key="bad").status == 201


def test_a_request_in_flight_conflicts(sandbox: Sandbox) -> None:
    """While the first request is on its way, a second one with its key gets 409; afterwards it is replayed."""
    sandbox.faults.add(Fault(operation="create_customer", delay_s=5, times=1))
    first = create(sandbox)
    assert (first.status, first.delay_s) == (201, 5)
    assert create(sandbox).status == 409
    sandbox.advance(5)
    assert create(sandbox).body == first.body
    assert sandbox.effects.totals() == {"create_customer": 1}


@pytest.mark.parametrize(
    ("fault", "then", "customers"),
    [
        (Fault(status=500), 201, 1),
        (Fault(status=500, stored="injected"), 500, 0),
        (Fault(status=500, when="after"), 201, 1),
        (Fault(status=500, when="after", stored="injected"), 500, 1),
        (Fault(status=500, when="after", stored="nothing"), 201, 2),
        (Fault(lost="reset"), 201, 1),
        (Fault(lost="reset", when="after"), 201, 1),
        (Fault(status=429), 201, 1),
        (Fault(malformed=True), 201, 1),
    ],
)
def test_what_a_retry_finds_after_a_fault(sandbox: Sandbox, fault: Fault, then: int, customers: int) -> None:
    """The effect and the memory of the key are as the fault says, for the same request sent again."""
    sandbox.faults.add(fault.model_copy(update={"times": 1}))
    create(sandbox)
    assert create(sandbox).status == then
    assert sandbox.effects.totals().get("create_customer", 0) == customers


def test_a_stored_error_ends_with_the_retention(sandbox: Sandbox) -> None:
    """A stored 500 is replayed for a day, also without the fault, and then no more."""
    sandbox.faults.add(Fault(status=500, stored="injected", times=1))
    assert [create(sandbox).status for _ in range(3)] == [500, 500, 500]
    sandbox.advance(RETENTION_S)
    assert create(sandbox).status == 201
