"""Webhooks from the sandbox: envelope, signature, repetition, and all that can be wrong with them (section 6)."""

import json
from typing import Any

import pytest

from ops.sandbox import Sandbox, WebhookSettings, sign
from ops.sandbox.world.outbox import WebhookRequest

ADA = {"customer_type": "Person", "email": "ada@example.com"}


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox with webhooks switched on."""
    sandbox = Sandbox()
    sandbox.webhooks.settings = WebhookSettings(url="https://here.invalid/webhooks", secret="secret")
    return sandbox


def onboard(sandbox: Sandbox, key: str = "k") -> str:
    """Take a customer to SigningsRequired."""
    customer_id = str(sandbox.request("POST", "/api/customers", ADA, key=key).json()["id"])
    sandbox.request("POST", f"/api/customers/{customer_id}/identifications/v2", {"type": "Link"}, key=key)
    sandbox.advance(10)
    return customer_id


def told(requests: list[WebhookRequest]) -> list[str]:
    """Return what each webhook says, in short."""
    found = []
    for request in requests:
        event = json.loads(request.body)
        ((_, inner),) = event["data"]["message"].items()
        found.append(f"{event['type']} {inner.get('status', '-')}")
    return found


USUAL = [
    "customer_created -",
    "identification_status Pending",
    "identification_status Processed",
    "identification_status PendingReview",
    "identification_status Approved",
    "customer_status SigningsRequired",
]


def test_signature_vector() -> None:
    """v1= and hex HMAC-SHA256 over timestamp and raw body without a separator.

    Source: computed with `printf '1700000000{"a":1}' | openssl dgst -sha256 -hmac secret`.
    """
    expected = "v1=f3a15680551495e7d27302c4d19e4cbedc650f19fa5b40373c00cbea52a64406"
    assert sign("secret", "1700000000", b'{"a":1}') == expected


def test_the_whole_way_is_told_in_order(sandbox: Sandbox) -> None:
    """Every change of a status is told once, in the documented envelope, dated when it happened."""
    customer_id = onboard(sandbox)
    requests = sandbox.take_webhooks()
    assert told(requests) == USUAL
    event = json.loads(requests[-1].body)
    assert set(event) == {"type", "timestamp", "data"}
    assert event["timestamp"].endswith("+00:00")
    assert event["data"] == {
        "customer_id": customer_id,
        "message": {"CustomerStatus": {"id": customer_id, "status": "SigningsRequired"}},
    }
    assert sandbox.take_webhooks() == []


def test_headers(sandbox: Sandbox) -> None:
    """Each attempt has an id of its own, the caller's time, and a signature that holds for the raw body."""
    onboard(sandbox)
    requests = sandbox.take_webhooks()
    assert len({request.headers["webhook-id"] for request in requests}) == len(requests)
    for request in requests:
        timestamp = request.headers["webhook-timestamp"]
        assert timestamp == str(int(sandbox.clock.wall()))
        assert request.headers["webhook-signature"] == sign("secret", timestamp, request.body)
        assert request.headers["content-type"] == "application/json"
        assert request.url == "https://here.invalid/webhooks"


def test_off_until_configured() -> None:
    """Without settings nothing is collected."""
    sandbox = Sandbox()
    onboard(sandbox)
    assert sandbox.take_webhooks() == []
    assert len(sandbox.webhooks) == 0


def test_failures_are_repeated_later_and_later(sandbox: Sandbox) -> None:
    """After anything but 2xx the same body comes again under a new id, at doubling pauses, up to a last attempt."""
    assert sandbox.webhooks.settings
    sandbox.webhooks.settings.max_attempts = 4
    sandbox.request("POST", "/api/customers", ADA, key="k")
    (first,) = sandbox.take_webhooks()
    request, seen = first, {first.headers["webhook-id"]}
    for pause_s, status in ((1, 500), (2, None), (4, 302)):
        sandbox.webhooks.report(request, status, sandbox.clock.now())
        sandbox.advance(pause_s - 0.1)
        assert sandbox.take_webhooks() == []
        sandbox.advance(0.2)
        (request,) = sandbox.take_webhooks()
        assert request.body == first.body
        seen.add(request.headers["webhook-id"])
    assert len(seen) == 4
    sandbox.webhooks.report(request, 500, sandbox.clock.now())
    sandbox.advance(3600)
    assert sandbox.take_webhooks() == []


def test_success_is_final(sandbox: Sandbox) -> None:
    """A 2xx ends the matter."""
    sandbox.request("POST", "/api/customers", ADA, key="k")
    (request,) = sandbox.take_webhooks()
    sandbox.webhooks.report(request, 204, sandbox.clock.now())
    sandbox.advance(3600)
    assert sandbox.take_webhooks() == []


@pytest.mark.parametrize(
    ("spoiled", "count"),
    [({"drop": 1}, 0), ({"duplicate": 1}, 12), ({"drop": 0}, 6), ({"delay_s": 60}, 0)],
)
def test_dropped_doubled_delayed(sandbox: Sandbox, spoiled: dict[str, Any], count: int) -> None:
    """Webhooks can be lost, doubled and late."""
    sandbox.webhooks.settings = WebhookSettings.model_validate({"secret": "secret", **spoiled})
    onboard(sandbox)
    assert len(sandbox.take_webhooks()) == count
    sandbox.advance(60)
    assert len(sandbox.take_webhooks()) == (6 if "delay_s" in spoiled else 0)


def test_reordered(sandbox: Sandbox) -> None:
    """In another order, but all of them."""
    sandbox.webhooks.settings = WebhookSettings(reorder=True)
    onboard(sandbox)
    told_now = told(sandbox.take_webhooks())
    assert told_now != USUAL
    assert sorted(told_now) == sorted(USUAL)


def test_bad_signature_and_stale_timestamp(sandbox: Sandbox) -> None:
    """A bad signature does not verify; a stale timestamp is signed well and is old."""
    sandbox.webhooks.settings = WebhookSettings(secret="secret", bad_signature=1, stale_s=600)
    sandbox.request("POST", "/api/customers", ADA, key="k")
    (request,) = sandbox.take_webhooks()
    timestamp = request.headers["webhook-timestamp"]
    assert timestamp == str(int(sandbox.clock.wall()) - 600)
    assert request.headers["webhook-signature"] != sign("secret", timestamp, request.body)


def test_unwrapped(sandbox: Sandbox) -> None:
    """The message can be the inner object itself."""
    sandbox.webhooks.settings = WebhookSettings(unwrapped=True)
    customer_id = sandbox.request("POST", "/api/customers", ADA, key="k").json()["id"]
    (request,) = sandbox.take_webhooks()
    assert json.loads(request.body)["data"]["message"] == {"id": customer_id, "kind": "CustomerCreated"}


def test_control_of_the_outbox(sandbox: Sandbox) -> None:
    """What waits can be shuffled and thrown away, what is past can be replayed, by customer or by number."""
    first, second = onboard(sandbox, "one"), onboard(sandbox, "two")
    assert sandbox.webhooks.shuffle() == 12
    assert sandbox.webhooks.drop(customer_id=first) == 6
    assert len(sandbox.take_webhooks()) == 6
    now = sandbox.clock.now()
    assert sandbox.webhooks.replay(now, customer_id=second) == 6
    assert told(sandbox.take_webhooks()) == USUAL
    assert sandbox.webhooks.replay(now, last=2) == 2
    assert sandbox.webhooks.drop() == 2
