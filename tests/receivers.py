"""Events on a real Redis, endpoints whose receivers are behind an httpx transport, and a clock to turn.

The receiver checks every signature with the official package, and writes down what it accepted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis
from standardwebhooks import Webhook

from tests.world import PLENTY
from workers.events.courier import LEASE_MS
from workers.events.dispatcher import Dispatcher, Held
from workers.events.endpoints import Endpoints, EndpointStatus
from workers.events.sender import MEDIA_TYPE, Sender
from workers.events.stream import OLDEST, STREAM, EventStream
from workers.ledger import Ledger
from workers.secrets.vault import Vault, new_key

SOURCE = "urn:onboarding:test"


@dataclass
class Receiver(httpx.BaseTransport):
    """An endpoint's server. `answers` says what it does with a delivery: a status, or an error to raise."""

    secret: str = ""
    answers: Callable[[dict[str, Any]], int | Exception] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.requests.append(request)
        told = json.loads(body)
        answer = self.answers(told)
        if isinstance(answer, Exception):
            raise answer
        assert request.headers["Content-Type"] == MEDIA_TYPE
        assert request.headers["webhook-id"] == told["id"]
        Webhook(self.secret).verify(body, dict(request.headers))
        if 200 <= answer < 300:
            self.accepted.append(told)
        return httpx.Response(answer, headers=self.headers)

    def ids(self) -> list[str]:
        return [told["id"] for told in self.accepted]

    def of(self, key: str) -> list[str]:
        return [told["id"] for told in self.accepted if told["subject"] == key]


class Post:
    """A ledger with events, endpoints with their receivers, and a clock."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.shift_ms = 0
        self.ledger = Ledger(client, PLENTY, lambda: self.shift_ms)
        self.vault = Vault([new_key()])
        self.endpoints = Endpoints(self.ledger, self.vault)
        self.stream = EventStream(self.ledger)
        self.resolved: Sequence[str] = ["93.184.215.14"]

    def tell(self, *keys: str) -> list[str]:
        """Add an event for each key; answers their ids."""
        ids = (self.client.xadd(STREAM, {"key": key, "what": "in_review in_review iron 4"}) for key in keys)
        return [id_.decode() for id_ in ids]

    def endpoint(
        self, name: str = "crm", *, types: Sequence[str] = (), after: str = OLDEST, **receiver: Any
    ) -> Receiver:
        url = f"https://{name}.example.com/events?token=t"
        secret = self.endpoints.add(name, url, types=types, after=after, by="a test", private=False)
        return Receiver(secret, **receiver)

    def held(self, token: str = "a") -> dict[str, Held]:
        _, pairs = self.ledger.call("courier_hold", token, LEASE_MS, 32)
        return {
            name.decode(): Held(name.decode(), epoch.decode()) for name, epoch in zip(*[iter(pairs)] * 2, strict=True)
        }

    def dispatcher(self, receiver: Receiver, name: str = "crm", *, token: str = "a", **options: Any) -> Dispatcher:
        held = self.held(token)[name]
        sender = Sender(receiver, private=False, resolve=lambda host, port: self.resolved)
        standing = self.endpoints.find(name)
        known = {"token": token, "sender": sender, "source": SOURCE}
        return Dispatcher(self.ledger, self.vault, held, standing, **known, **options)

    def standing(self, name: str = "crm") -> EndpointStatus:
        return self.endpoints.find(name)

    def run(self, dispatcher: Dispatcher, seconds: float = 0.0) -> None:
        """Let time pass: turn after turn, the clock going on by the pauses; at least until nothing is left to do."""
        end_ms = self.shift_ms + seconds * 1000
        while True:
            before = dispatcher._progress
            pause_s = dispatcher.run_once()
            idle = pause_s <= 0.1 and dispatcher._progress == before
            if pause_s > 0.1 or idle:
                if self.shift_ms >= end_ms:
                    return
                due_ms = [parked.next_ms for parked in dispatcher._parked.values()]
                waits_s = [pause_s] if pause_s > 0.1 else [(due - self.ledger.now_ms()) / 1000 for due in due_ms]
                self.shift_ms += int(1000 * max(0.001, min([*waits_s, (end_ms - self.shift_ms) / 1000]))) + 1
