"""What people ask Iron for: sandboxes told from production, faults of webhooks, personal data left out."""

from __future__ import annotations

import httpx
import pytest

from pipelines.errors import RateLimitedError, UnreachableError
from pipelines.iron import Iron
from pipelines.iron.looking import Webhook, decide, faults, held, is_sandbox, webhooks

OURS = "https://onboarding.example.com/webhooks/iron"
GOOD = Webhook("h-1", OURS, enabled=True, topics=("CustomerStatus", "IdentificationStatus", "Ping"))


@pytest.mark.parametrize(
    ("url", "sandbox"),
    [
        ("https://api.sandbox.iron.xyz/api", True),
        ("http://127.0.0.1:8701/api", True),
        ("http://[::1]:8701/api", True),
        ("http://localhost:8701/api", True),
        ("http://sandbox:8701/api", True),
        ("https://api.iron.xyz/api", False),
        ("https://api.iron.xyz/sandbox/api", False),
        ("https://mysandbox.iron.xyz/api", False),
        ("https://10.0.0.7/api", False),
        ("https://sandbox@api.iron.xyz/api", False),
        ("", False),
    ],
)
def test_what_is_a_sandbox(url: str, sandbox: bool) -> None:
    """A host has the label `sandbox`, or is this machine; a path or a user's name makes none."""
    assert is_sandbox(url) is sandbox


def test_no_decision_without_a_sandbox() -> None:
    """The function itself refuses another address, before any request."""

    def reached(_: httpx.Request) -> httpx.Response:
        raise AssertionError

    iron = Iron(httpx.MockTransport(reached), "https://api.iron.xyz/api", "key")
    with pytest.raises(ValueError, match="not a sandbox"):
        decide(iron, "i-1", "key-1", approved=True)


def answering(*answers: tuple[int, object]) -> Iron:
    """An Iron that gives these answers, one after the other, and the last one for ever."""
    left = list(answers)

    def handle(_: httpx.Request) -> httpx.Response:
        status, body = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(status, json=body)

    return Iron(httpx.MockTransport(handle), "http://127.0.0.1:1/api", "key")


def test_members_of_a_webhook_may_be_missing() -> None:
    """Only its id is needed: optional members may be missing or null, and it counts as enabled unless it says no."""
    page = {"items": [{"id": "h-1", "url": None, "topics": None}, {"id": "h-2", "enabled": False}]}
    one, two = webhooks(answering((200, page)))
    assert (one.enabled, one.url, one.topics, one.last_failure) == (True, "", (), "")
    assert two.enabled is False


@pytest.mark.parametrize(
    ("found", "ours", "said"),
    [
        ([GOOD], OURS, ""),
        ([GOOD], None, ""),
        ([], OURS, "no webhook registered"),
        ([Webhook("h", "https://other.example.com/x", enabled=True, topics=GOOD.topics)], OURS, "None of the 1"),
        ([Webhook("h", f"{OURS}/", enabled=True, topics=GOOD.topics)], OURS, ""),
        ([Webhook("h", OURS, enabled=False, topics=GOOD.topics)], OURS, "switched off"),
        ([Webhook("h", OURS, enabled=True, topics=("Ping",))], OURS, "CustomerStatus and IdentificationStatus"),
        ([Webhook("h", OURS, enabled=True, topics=GOOD.topics, last_failure="2026-11-01")], OURS, "at 2026-11-01."),
        ([Webhook("h", "", enabled=False, topics=GOOD.topics)], None, "an address without a host"),
    ],
)
def test_what_keeps_news_from_us(found: list[Webhook], ours: str | None, said: str) -> None:
    """Each fault is a sentence with the remedy; a good webhook has none."""
    sentences = list(faults(found, ours))
    assert bool(sentences) == bool(said)
    assert said in " ".join(sentences)


def test_personal_members_are_left_out_at_any_depth() -> None:
    """Whatever part they come with: names, addresses, links, comments, descriptions."""
    secret = {"name": "Marker", "deep": [{"email": "marker@example.com", "url": "https://v/Marker", "status": "x"}]}
    iron = answering((200, secret | {"items": [secret], "cursor": None}))
    parts = {part.name: part.value for part in held(lambda call: call(iron), "c-1")}
    assert "arker" not in str(parts)
    assert parts["customer"]["deep"] == [{"status": "x"}]
    assert "questionnaire" not in parts


def test_a_part_that_is_not_there_says_so() -> None:
    """An answer of Iron's about one part ends nothing; no answer at all, or a 429, ends the command."""
    iron = answering((404, "no"), (200, {"items": []}), (422, {"error": "odd"}), (200, {"items": []}), (200, {}))
    parts = {part.name: part for part in held(lambda call: call(iron), "c-1")}
    assert [name for name, part in parts.items() if part.why] == ["customer", "requirements"]
    with pytest.raises(RateLimitedError):
        list(held(lambda call: call(answering((429, "slow"))), "c-1"))

    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with pytest.raises(UnreachableError):
        list(held(lambda call: call(Iron(httpx.MockTransport(away), "http://127.0.0.1:1/api", "key")), "c-1"))
