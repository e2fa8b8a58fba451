"""The outbox: webhook events of section 6 of the fact sheet, signed, at least once, and spoiled on request.

Nothing is sent from here. A test takes what is due and delivers it itself; the server does the same with a client.
Times of delivery follow the caller's clock (`wall`), since receivers compare timestamps with their own.
"""

import contextlib
import hashlib
import hmac
import random
import uuid
from base64 import b64decode
from binascii import Error as Base64Error
from collections import deque
from dataclasses import dataclass, replace
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from ops.sandbox.wire.answers import encode
from ops.sandbox.wire.enums import Topic
from ops.sandbox.world.clock import stamp
from ops.sandbox.world.ids import Ids
from ops.sandbox.world.records import Customer, Identification
from ops.sandbox.world.switches import Switches

#: Events kept for a replay: enough for any test, small beside 100,000 customers.
HISTORY = 10_000
#: Longest pause between two attempts, in seconds: a receiver that comes back hears within five minutes.
LONGEST_BACKOFF_S = 300.0


class WebhookSettings(BaseModel):
    """Where webhooks go, and what is wrong with them. Chances are from 0 to 1."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    url: str | None = None
    secret: str = Field(default="whsec_sandbox", min_length=1)
    unwrapped: bool = False
    drop: float = Field(default=0, ge=0, le=1)
    duplicate: float = Field(default=0, ge=0, le=1)
    bad_signature: float = Field(default=0, ge=0, le=1)
    reorder: bool = False
    delay_s: float = Field(default=0, ge=0)
    stale_s: float = Field(default=0, ge=0)
    backoff_s: float = Field(default=1, gt=0)
    max_attempts: int = Field(default=12, ge=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way. `number` names the event, `kind` is its type, `attempt` counts from 1."""

    number: int
    customer_id: str
    body: bytes
    due: float
    kind: str
    #: What `webhook-id` says where it names the event.
    id: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One attempt, ready to be posted."""

    url: str | None
    headers: dict[str, str]
    body: bytes
    delivery: Delivery


@dataclass(slots=True, eq=False)
class Hook:
    """The webhook as its administration shows it; address and secret are in the settings."""

    id: str
    created_at: float
    updated_at: float
    label: str = "Webhook of the sandbox"
    topics: tuple[Topic, ...] = get_args(Topic)
    enabled: bool = True
    #: When it last failed, and why.
    last_failure: float | None = None
    last_failure_reason: str | None = None


def sign(secret: str, timestamp: str, body: bytes, *, decoded: bool = False) -> str:
    """Return the signature header: hex HMAC-SHA256 over the timestamp directly followed by the raw body.

    `decoded`: the key is what the secret's base64 says after `whsec_`; where it is none, the secret as it is.
    """
    key = secret.encode()
    if decoded:
        with contextlib.suppress(Base64Error):
            key = b64decode(secret.removeprefix("whsec_"), validate=True)
    return "v1=" + hmac.new(key, timestamp.encode() + body, hashlib.sha256).hexdigest()


def _uuid(content: bytes) -> str:
    """Return a UUID that depends on the content alone."""
    return str(uuid.UUID(bytes=hashlib.blake2b(content, digest_size=16).digest(), version=4))


class Outbox:
    """Events that wait to be delivered. Off until configured, so that nothing piles up."""

    def __init__(self, ids: Ids, seed: int, switches: Switches) -> None:
        self.settings: WebhookSettings | None = None
        self._switches = switches
        self._ids = ids
        self._random = random.Random(seed)
        self._hook_id = _uuid(f"webhook {seed}".encode())
        self._hook: Hook | None = None
        self._number = 0
        self._waiting: list[Delivery] = []
        self._history: deque[Delivery] = deque(maxlen=HISTORY)

    def __len__(self) -> int:
        return len(self._waiting)

    # Administration

    def hook(self, at: float) -> Hook | None:
        """Return the one webhook, which begins to exist when it is first looked at; None without an address."""
        if self.url is None:
            return None
        if self._hook is None:
            self._hook = Hook(self._hook_id, at, at)
        return self._hook

    @property
    def url(self) -> str | None:
        """Where webhooks go."""
        return self.settings.url if self.settings else None

    def move_to(self, url: str) -> None:
        """Send them elsewhere from now on."""
        self._configured().url = url

    # Events

    def customer_created(self, customer: Customer, at: float) -> None:
        """Tell that a customer exists."""
        if self.settings is not None:
            self._emit("customer_created", "Event", {"id": customer.id, "kind": "CustomerCreated"}, customer, at)

    def customer_status(self, customer: Customer, at: float) -> None:
        """Tell a customer's status."""
        if self.settings is not None:
            self._emit(
                "customer_status", "CustomerStatus", {"id": customer.id, "status": customer.status}, customer, at
            )

    def identification_status(self, identification: Identification, at: float) -> None:
        """Tell an identification's status."""
        if self.settings is not None:
            message = {"id": identification.id, "status": identification.status}
            self._emit("identification_status", "IdentificationStatus", message, identification.customer, at)

    def ping(self, customer: Customer, at: float) -> None:
        """Send a ping."""
        if self.settings is not None:
            self._emit("ping", "Ping", {"id": self._ids.attempt()}, customer, at)

    def _emit(self, kind: str, wrapper: str, message: dict[str, str], customer: Customer, at: float) -> None:
        """Put one event into the outbox, unless it is to be dropped."""
        settings = self._configured()
        if kind != "ping" and not self._wants(kind):
            return
        unwrapped = settings.unwrapped or self._switches.webhook_message == "unwrapped"
        content = {"customer_id": customer.id, "message": message if unwrapped else {wrapper: message}}
        timestamp = stamp(at).removesuffix("Z") + "+00:00"
        body = encode({"type": kind, "timestamp": timestamp, "data": content}).encode()
        self._number += 1
        delivery = Delivery(self._number, customer.id, body, at + settings.delay_s, kind, _uuid(body))
        self._history.append(delivery)
        if self._chance(settings.drop):
            return
        self._waiting.append(delivery)
        if self._chance(settings.duplicate):
            self._waiting.append(delivery)

    # Delivery

    def take(self, now: float, wall: float) -> list[WebhookRequest]:
        """Take out what is due, signed. Report each with `report` if it is to be repeated after a failure."""
        settings = self.settings
        if settings is None or not self._waiting:
            return []
        off = self._hook is not None and not self._hook.enabled
        due = [one for one in self._waiting if one.due <= now and (one.kind == "ping" or not off)]
        if not due:
            return []
        self._waiting = (
            [one for one in self._waiting if one not in due] if off else [one for one in self._waiting if one.due > now]
        )
        if settings.reorder:
            self._random.shuffle(due)
        return [self._request(one, settings, wall) for one in due]

    def report(self, request: WebhookRequest, status: int | None, now: float) -> None:
        """Say how an attempt ended (None: no answer); anything but 2xx is tried again, later and later."""
        settings = self.settings
        if settings is None or (status is not None and 200 <= status < 300):
            return
        if hook := self.hook(now):
            hook.last_failure = now
            hook.last_failure_reason = "no answer" if status is None else f"HTTP status {status}"
        delivery = request.delivery
        if delivery.attempt < settings.max_attempts:
            pause_s = min(settings.backoff_s * 2 ** (delivery.attempt - 1), LONGEST_BACKOFF_S)
            self._waiting.append(replace(delivery, due=now + pause_s, attempt=delivery.attempt + 1))

    def _wants(self, kind: str) -> bool:
        """Return whether the webhook is on, and is told of such events."""
        hook = self._hook
        return hook is None or (hook.enabled and "".join(part.title() for part in kind.split("_")) in hook.topics)

    def _request(self, delivery: Delivery, settings: WebhookSettings, wall: float) -> WebhookRequest:
        """Sign one attempt; its id is new each time."""
        timestamp = str(int(wall - settings.stale_s))
        switches = self._switches
        spoiled = b"x" if self._chance(settings.bad_signature) else b""
        decoded = switches.webhook_key == "decoded"
        signature = sign(settings.secret, timestamp, delivery.body + spoiled, decoded=decoded)
        attempt = self._ids.attempt()
        headers = {
            "content-type": "application/json",
            "webhook-id": attempt if switches.webhook_id == "attempt" else delivery.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature,
        }
        if switches.webhook_agent is not None:
            headers["user-agent"] = switches.webhook_agent
        return WebhookRequest(settings.url, headers, delivery.body, delivery)

    def _configured(self) -> WebhookSettings:
        """Return the settings; only called while there are some."""
        if self.settings is None:
            raise ValueError("webhooks are not configured")
        return self.settings

    def _chance(self, chance: float) -> bool:
        """Throw the seeded dice."""
        return chance > 0 and self._random.random() < chance

    # Control

    def replay(self, now: float, *, customer_id: str | None = None, last: int | None = None) -> int:
        """Send past events again: of one customer, or the last ones; return how many."""
        chosen = [one for one in self._history if customer_id is None or one.customer_id == customer_id]
        if last is not None:
            chosen = chosen[-last:] if last else []
        self._waiting += [replace(one, due=now, attempt=1) for one in chosen]
        return len(chosen)

    def shuffle(self) -> int:
        """Bring what waits into another order; return how many."""
        self._random.shuffle(self._waiting)
        return len(self._waiting)

    def drop(self, *, customer_id: str | None = None) -> int:
        """Throw away what waits, of one customer or all; return how many."""
        before = len(self._waiting)
        self._waiting = [one for one in self._waiting if customer_id is not None and one.customer_id != customer_id]
        return before - len(self._waiting)

    def waiting(self) -> list[Delivery]:
        """Return what waits, in its order."""
        return list(self._waiting)
