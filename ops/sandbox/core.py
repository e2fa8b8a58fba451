"""The sandbox itself: one request in, one answer out, no server, no sleep, no randomness but the seeded one.

The order of the checks is the provider's as far as it can be seen: key, route, version, headers, then the stored
answer, then the endpoint. Source: sections 1 and 8 of the fact sheet.
"""

from collections.abc import Mapping
from threading import RLock
from urllib.parse import unquote

from ops.sandbox import control, hosted
from ops.sandbox.answers import Answer, RefusalError, encode, refuse
from ops.sandbox.calls import Call
from ops.sandbox.clock import Clock, ManualClock
from ops.sandbox.effects import Effects
from ops.sandbox.faults import Fault, Faults
from ops.sandbox.idempotency import IdempotencyStore, digest, replay
from ops.sandbox.ids import is_uuid
from ops.sandbox.moves import move
from ops.sandbox.provider import Provider
from ops.sandbox.routes import Route, find_route
from ops.sandbox.switches import Switches
from ops.sandbox.traffic import Traffic
from ops.sandbox.webhooks import Outbox, WebhookRequest

VERSIONS = frozenset({"", "2025-03-13", "2026-07-01", "2026-08-01"})
SHORTEST_KEY = 8
#: The documentation gives no length; this is what a database column would hold.
LONGEST_IDEMPOTENCY_KEY = 255
API = "/api"


class Sandbox:
    """A simulated provider. Threads may share it: one call is answered at a time."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        speed: float = 1.0,
        seed: int = 0,
        switches: Switches | None = None,
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be above zero")
        self.clock: Clock = clock or ManualClock()
        self.speed = speed
        self.seed = seed
        self.switches = switches or Switches()
        self._initial = self.switches.model_copy(deep=True)
        self._lock = RLock()
        self._start()

    def _start(self) -> None:
        """Begin with nothing."""
        self.provider = Provider(self.switches, self.seed, self.speed)
        self.faults = Faults(self.seed)
        self.stored = IdempotencyStore()
        self.traffic = Traffic(self.switches)

    # What tests and the control interface use

    @property
    def effects(self) -> Effects:
        """The meter of executed effects."""
        return self.provider.effects

    @property
    def webhooks(self) -> Outbox:
        """The outbox."""
        return self.provider.outbox

    def advance(self, seconds: float) -> None:
        """Move the sandbox clock forward and let happen what is due."""
        with self._lock:
            self.clock.advance(seconds)
            self.run_due()
            self.stored.purge(self.clock.now(), self.switches.retention_s)

    def run_due(self) -> None:
        """Let everything happen that is due."""
        with self._lock:
            self.provider.lifecycle.run_due(self.clock.now())

    def move(self, subject: str, step: str, *, status: str | None = None, comment: str | None = None) -> None:
        """Move a customer or identification (by id, or the customer by external id); see `moves` for the steps."""
        with self._lock:
            self.run_due()
            move(self.provider, subject, step, self.clock.now(), status=status, comment=comment)

    def take_webhooks(self) -> list[WebhookRequest]:
        """Take the webhooks that are due, signed, out of the outbox."""
        with self._lock:
            self.run_due()
            return self.webhooks.take(self.clock.now(), self.clock.wall())

    def reset(self) -> None:
        """Forget everything and put the switches back as they were at the start; the clock goes on."""
        with self._lock:
            for name in Switches.model_fields:
                setattr(self.switches, name, getattr(self._initial, name))
            self._start()

    # The provider's interface

    def handle(
        self, method: str, path: str, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Answer one request. The path is percent-encoded, as it stands in the request line."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        with self._lock:
            self.run_due()
            if path.startswith("/_sandbox"):
                return control.handle(self, method, path, query, body)
            if path == hosted.PATH:
                return hosted.handle(self, method, query, body)
            return self._api(method, path, query, lowered, body)

    def _api(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request of the provider's API, count it, and let a fault strike."""
        label = f"{method} (unknown)"
        wall = self.clock.wall()
        fault: Fault | None = None
        try:
            parts = [unquote(part) for part in path.removeprefix(API + "/").split("/")]
            route = find_route(method, parts if path.startswith(API + "/") else [])
            label = f"{method} {route.template}"
            self.traffic.arrived(label, wall)
            fault = self.faults.strike(method, path[len(API) :], route.operation, headers.get("idempotency-key"))
            call = self._call(route, path, parts, query, headers, body)
            self.traffic.limit(route.operation, wall)
            answer = self._struck(fault, route, call) if fault else self._answer(route, call)
        except RefusalError as refusal:
            if label.endswith("(unknown)"):
                self.traffic.arrived(label, wall)
            answer = self._refused(refusal)
        self.traffic.answered(label, 0 if answer.lost else answer.status)
        return answer

    def _call(
        self, route: Route, path: str, parts: list[str], query: str, headers: dict[str, str], body: bytes
    ) -> Call:
        """Check what every endpoint asks of the headers."""
        api_key = headers.get("x-api-key", "")
        if len(api_key) < SHORTEST_KEY:
            raise RefusalError(401, "authorization error")
        if headers.get("x-api-version", "") not in VERSIONS:
            raise RefusalError(400, "unsupported X-API-Version")
        sub_partner = headers.get("x-sub-partner-id") if route.scoped else None
        if sub_partner is not None and not is_uuid(sub_partner):
            raise RefusalError(400, "failed to parse header `X-SUB-PARTNER-ID`: not a UUID")
        key = headers.get("idempotency-key") if route.keyed else None
        if route.keyed and not (key and len(key) <= LONGEST_IDEMPOTENCY_KEY):
            raise RefusalError(400, "failed to parse header `IDEMPOTENCY-KEY`: missing, empty or too long")
        now = self.clock.now()
        partner = sub_partner.lower() if sub_partner else None
        return Call(route.method, path, parts, query, headers, body, now, api_key, key, partner)

    def _answer(self, route: Route, call: Call, fault: Fault | None = None) -> Answer:
        """Execute a request, or give the stored answer of its key again."""
        if call.idempotency_key is None:
            return self._executed(route, call)
        scope = digest(call.api_key.encode(), call.path.encode(), call.idempotency_key.encode())
        fingerprint = digest(call.body)
        known = self.stored.find(scope, fingerprint, call.at, self.switches.retention_s)
        if known is not None:
            self.traffic.replays += 1
            return replay(known)
        answer = self._executed(route, call)
        busy_s = fault.delay_s if fault else 0.0
        remembered: Answer | None = answer
        if fault is not None and fault.stored is not None:
            remembered = {"true": answer, "injected": fault.answer() or answer, "nothing": None}[fault.stored]
        elif not self._remembers(answer.status):
            remembered = None
        if remembered is not None:
            self.stored.keep(scope, fingerprint, remembered, at=call.at, busy_s=busy_s, effect=call.effect)
        return answer

    def _executed(self, route: Route, call: Call) -> Answer:
        """Run the endpoint; a refusal is an answer like any other."""
        try:
            return route.endpoint(self.provider, call)
        except RefusalError as refusal:
            return self._refused(refusal)

    def _remembers(self, status: int) -> bool:
        """Tell whether an answer of this status is stored under its key."""
        if status < 400:
            return True
        return self.switches.stored_errors == "all" or (self.switches.stored_errors == "4xx" and status < 500)

    def _refused(self, refusal: RefusalError) -> Answer:
        """Write a refusal in the form the switches ask for."""
        return refuse(refusal.status, refusal.text, form=self.switches.error_bodies, headers=refusal.headers)

    # Faults

    def _struck(self, fault: Fault, route: Route, call: Call) -> Answer:
        """Answer a request that a fault has hit."""
        if fault.late_s:
            self.provider.lifecycle.at(call.at + fault.late_s, lambda due: self._arrive_late(route, call, due))
            return fault.spoil(Answer(202))
        if fault.executes:
            answer = self._answer(route, call, fault)
            return fault.spoil(fault.answer() or answer)
        injected = fault.answer() or Answer(500)
        if fault.stored == "injected" and call.idempotency_key is not None:
            return fault.spoil(self._injected(call, injected))
        return fault.spoil(injected)

    def _injected(self, call: Call, injected: Answer) -> Answer:
        """Store an answer without an effect, unless the key has one already."""
        scope = digest(call.api_key.encode(), call.path.encode(), (call.idempotency_key or "").encode())
        fingerprint = digest(call.body)
        known = self.stored.find(scope, fingerprint, call.at, self.switches.retention_s)
        if known is not None:
            self.traffic.replays += 1
            return replay(known)
        self.stored.keep(scope, fingerprint, injected, at=call.at)
        return injected

    def _arrive_late(self, route: Route, call: Call, at: float) -> None:
        """Execute a request whose caller has long given up."""
        call.at = at
        try:
            self._answer(route, call)
        except RefusalError:
            return

    def request(
        self,
        method: str,
        path: str,
        payload: object = None,
        *,
        key: str | None = None,
        api_key: str = "sandbox-key",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a JSON request, with the query in the path: the short form for tests and the control interface."""
        sent = {"X-API-Key": api_key, "Content-Type": "application/json", **(headers or {})}
        if key is not None:
            sent["IDEMPOTENCY-KEY"] = key
        body = b"" if payload is None else encode(payload).encode()
        bare, _, query = path.partition("?")
        return self.handle(method, bare, query, sent, body)
