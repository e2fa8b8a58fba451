"""Webhooks: what is told to the partner, how it is signed, and when it arrives. Source: iron-api section 6."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.second_iron.questions import NONE, Draw


@dataclass(frozen=True, slots=True)
class Hook:
    """A delivery to the partner's URL."""

    customer_id: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Pending:
    due_at: float
    id: str
    customer_id: str
    body: bytes


class Webhooks:
    """Deliveries on their way. Each may be lost or doubled, with the odds given."""

    def __init__(self, draw: Draw, secret: str, *, lost: float, doubled: float) -> None:
        self.draw, self.secret, self.lost, self.doubled = draw, secret, lost, doubled
        self._pending: list[_Pending] = []

    def tell(self, at: float, customer_id: str, type_: str, wrapper: str, message: Mapping[str, str]) -> None:
        """Send an event off, seldom with one beside it whose type nobody documented."""
        self._send(at, customer_id, type_, {wrapper: message} if self.draw("webhook_message") == "wrapped" else message)
        if self.draw("webhook_unknown") != NONE:
            self._send(at, customer_id, "customer_risk", {"CustomerRisk": {"id": customer_id, "level": "low"}})

    def _send(self, at: float, customer_id: str, type_: str, message: Mapping[str, Any]) -> None:
        envelope = {
            "type": type_,
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds"),
            "data": {"customer_id": customer_id, "message": message},
        }
        body = json.dumps(envelope).encode()
        if self.draw.random.random() < self.lost:
            return
        id_ = self._new_id()
        self._pending.append(_Pending(at + self._delay_s(), id_, customer_id, body))
        if self.draw.random.random() < self.doubled:
            id_ = id_ if self.draw("webhook_id") == "same" else self._new_id()
            self._pending.append(_Pending(at + self._delay_s(), id_, customer_id, body))

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self.draw.random.getrandbits(128), version=4))

    def _delay_s(self) -> float:
        return self.draw.between(0, self.draw("webhook_delay_s"))

    def next_at(self, now: float) -> float | None:
        """Say when the next delivery is due that is not due yet."""
        return min((one.due_at for one in self._pending if one.due_at > now), default=None)

    def take(self, now: float) -> list[Hook]:
        """Take the deliveries that are due, signed now."""
        due = sorted((one for one in self._pending if one.due_at <= now), key=lambda one: one.due_at)
        self._pending = [one for one in self._pending if one.due_at > now]
        return [Hook(one.customer_id, one.body, self._headers(one, str(int(now)))) for one in due]

    def _headers(self, one: _Pending, timestamp: str) -> dict[str, str]:
        secret = self.secret.encode()
        if self.draw("webhook_secret") == "base64":
            secret = base64.b64decode(self.secret.removeprefix("whsec_"))
        right, wrong = (_signature(key, timestamp, one.body) for key in (secret, b"the next secret"))
        several = {"one": right, "comma": f"{wrong},{right}", "space": f"{right} {wrong}"}
        return {
            "content-type": "application/json",
            "user-agent": "iron-webhooks/1.0",
            "webhook-id": one.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": several[self.draw("webhook_signatures")],
        }


def _signature(key: bytes, timestamp: str, body: bytes) -> str:
    """Sign the timestamp directly followed by the body. Source: iron-api 6.3."""
    return "v1=" + hmac.new(key, timestamp.encode() + body, hashlib.sha256).hexdigest()
