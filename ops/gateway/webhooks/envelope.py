"""What a webhook of Iron says: its type, which customer it concerns, and the status, as a hint whether it is news.

Pure. Source: iron-api 6.2. The message is wrapped in some of Iron's documents and bare in others. What it says is never
taken for true: it decides whether the customer is read, and the read decides everything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from workers.ledger.hints import UNCLEAR, hint

#: Types after which a customer is read again. Payments bring others by the thousand; they say nothing of onboarding.
WAKING: dict[str, Literal["created", "customer", "identification"]] = {
    "customer_created": "created",
    "customer_status": "customer",
    "identification_status": "identification",
}

_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Meaning = Literal["wake", "ping", "unknown_type", "ignored"]


class NotJsonError(ValueError):
    """The body is not JSON in UTF-8."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is to be done about a webhook. `customer_id` is there to be woken, `reason` says why one is ignored."""

    meaning: Meaning
    #: The type, fit for a log; None: there is none, or it is nothing like a type.
    type: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    #: What it says of the customer, as the ledger compares it.
    hint: str = UNCLEAR


def read_envelope(body: bytes) -> Envelope:
    """Read a body. Raises NotJsonError; every other oddity is a value."""
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NotJsonError from None
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(kind, str):
        return Envelope("ignored", reason="not_an_envelope")
    name = kind if _TYPE.fullmatch(kind) else None
    if kind == "ping":
        return Envelope("ping", name)
    if kind not in WAKING:
        return Envelope("unknown_type", name)
    customer_id = _customer_id(content)
    if customer_id is None:
        return Envelope("ignored", name, reason="no_customer_id")
    return Envelope("wake", name, customer_id, hint=_hint(kind, content["data"]))


def _hint(kind: str, inner: dict[str, Any]) -> str:
    """Read what a webhook says, whether its message is wrapped in the name of its type or not."""
    message = inner.get("message")
    if isinstance(message, dict) and len(message) == 1:
        [wrapped] = message.values()
        message = wrapped if isinstance(wrapped, dict) else message
    told = message if isinstance(message, dict) else {}
    id_, status = (value if isinstance(value := told.get(name), str) else None for name in ("id", "status"))
    return hint(WAKING[kind], id_, status)


def _customer_id(content: dict[str, Any]) -> str | None:
    """Find the customer's id, as Iron writes it: the ledger's index has it in the same form."""
    inner = content.get("data")
    found = inner.get("customer_id") if isinstance(inner, dict) else None
    return found if isinstance(found, str) and _UUID.fullmatch(found) else None
