"""What webhooks say, wrapped and bare, whole and odd."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.gateway.webhooks.envelope import WAKING, Envelope, NotJsonError, read_envelope
from ops.sandbox import ManualClock, Sandbox, WebhookSettings
from workers.ledger.hints import UNCLEAR

ID = "0b8f3a52-63e8-4a8b-9d4f-0f6a3e0c7c11"


def envelope(type_: Any = "customer_status", **inner: Any) -> bytes:
    """A body as Iron writes it."""
    return json.dumps({"type": type_, "timestamp": "2026-06-02T14:59:26+00:00", "data": inner}).encode()


#: Types with a status, and the hint that it makes.
HINTS = {
    ("customer_created", "Active"): "created - - -",
    ("customer_status", "Active"): f"customer {ID} Active active",
    ("customer_status", "IdentificationRequired"): (
        f"customer {ID} IdentificationRequired customer_created,declined,expired,identification_pending,in_review,"
        "on_hold,step_up_required"
    ),
    ("customer_status", "Frozen"): UNCLEAR,
    ("identification_status", "Processed"): f"identification {ID} Processed in_review",
    ("identification_status", "Approved"): f"identification {ID} Approved in_review,step_up_required",
    ("identification_status", "Odd"): UNCLEAR,
}


@pytest.mark.parametrize("wrapper", ["Event", "CustomerStatus", "IdentificationStatus", None])
@pytest.mark.parametrize(("type_", "status"), HINTS)
def test_wakes(type_: str, status: str, wrapper: str | None) -> None:
    """Whatever the form of the message, the customer in the envelope is woken, with what the message says of it."""
    said = {"id": ID, "status": status}
    body = envelope(type_, customer_id=ID, message={wrapper: said} if wrapper else said)
    assert read_envelope(body) == Envelope("wake", type_, ID, hint=HINTS[type_, status])


@pytest.mark.parametrize(
    "message", [None, {}, [], "x", {"id": ID}, {"status": "Active"}, {"id": "a b", "status": "Active"}]
)
def test_an_unclear_message_wakes_all_the_same(message: Any) -> None:
    """A message that nobody understands is a reason to read the customer."""
    assert read_envelope(envelope(customer_id=ID, message=message)).hint == UNCLEAR


def test_each_type_that_wakes_has_its_hints() -> None:
    """No type is left out of the table."""
    assert {type_ for type_, _ in HINTS} == set(WAKING)


@pytest.mark.parametrize("unwrapped", [True, False])
def test_sandbox(unwrapped: bool) -> None:
    """What the sandbox sends is understood."""
    sandbox = Sandbox(ManualClock())
    sandbox.webhooks.settings = WebhookSettings(url="http://gateway.test", unwrapped=unwrapped)
    sandbox.request(
        "POST", "/api/customers", {"customer_type": "Person", "email": "a@example.com", "name": "A"}, key="k-1"
    )
    (customer,) = sandbox.provider.store.customers.values()
    sandbox.webhooks.customer_status(customer, sandbox.clock.now())
    sandbox.webhooks.ping(customer, sandbox.clock.now())
    read = [read_envelope(request.body) for request in sandbox.take_webhooks()]
    assert [(one.meaning, one.type) for one in read] == [
        ("wake", "customer_created"),
        ("wake", "customer_status"),
        ("ping", "ping"),
    ]
    assert {one.customer_id for one in read} == {customer.id, None}


@pytest.mark.parametrize("type_", ["transaction", "transaction_status", "register_autoramp_status", "tomorrow.s-news"])
def test_other_types(type_: str) -> None:
    """Types that say nothing of onboarding, and types nobody knows, wake nobody."""
    assert read_envelope(envelope(type_, customer_id=ID)) == Envelope("unknown_type", type_)


@pytest.mark.parametrize("type_", ["", "a b", "ada@example.com", "x" * 65, "\ud800", "\n"])
def test_odd_types(type_: str) -> None:
    """A type that is nothing like one does not reach the log."""
    assert read_envelope(envelope(type_)) == Envelope("unknown_type", None)


@pytest.mark.parametrize("customer_id", [None, "", 7, [ID], "crm-1", ID + "x", "{" + ID + "}", "x" * 100_000])
def test_odd_customer(customer_id: Any) -> None:
    """Without a usable customer id a known type is ignored."""
    expected = Envelope("ignored", "customer_status", reason="no_customer_id")
    assert read_envelope(envelope(customer_id=customer_id)) == expected


@pytest.mark.parametrize("body", [b"null", b"[]", b"7", b'"x"', b"{}", b'{"type": 7}', b'{"type": null}'])
def test_not_an_envelope(body: bytes) -> None:
    """JSON of another shape is ignored, with the reason."""
    assert read_envelope(body) == Envelope("ignored", reason="not_an_envelope")


@pytest.mark.parametrize("inner", [b"", b', "data": null', b', "data": []', b', "data": "x"'])
def test_odd_inside(inner: bytes) -> None:
    """An envelope without its inside is ignored."""
    assert read_envelope(b'{"type": "customer_status"' + inner + b"}").reason == "no_customer_id"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"hello", b"\xff\xfe{\x00", b"[" * 200_000, b'{"a":' * 50_000, b"9" * 10_000, b"\x00"]
)
def test_not_json(body: bytes) -> None:
    """What is not JSON in UTF-8 is told from what is only odd."""
    with pytest.raises(NotJsonError):
        read_envelope(body)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(
        st.none() | st.text() | st.integers() | st.floats() | st.just(ID),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["type", "data", "customer_id"]) | st.text(), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_never_raises_otherwise(body: bytes) -> None:
    """Any body is either not JSON or has a meaning."""
    try:
        read = read_envelope(body)
    except NotJsonError:
        return
    assert (read.meaning == "wake") == (read.customer_id is not None)
