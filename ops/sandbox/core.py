"""The sandbox itself: one request in, one answer out, no server, no sleep, no randomness but the seeded one.

The order of the checks is the provider's as far as it can be seen: key, route, version, headers, then the stored
answer, then the endpoint. Source: sections 1 and 8 of the fact sheet.
"""

import random
from collections.abc import Collection, Mapping
from threading import RLock
from urllib.parse import unquote

from ops.sandbox.api import spec
from ops.sandbox.api.answers import Answer, RefusalError, encode, refuse
from ops.sandbox.api.calls import Call
from ops.sandbox.api.idempotency import IdempotencyStore, remembers, replay, retention_s, scope_of
from ops.sandbox.api.routes import Route, find_route
from ops.sandbox.lab import control, hosted_page
from ops.sandbox.lab.drawing import CHOICES, Dice, draw
from ops.sandbox.lab.faults import Fault, Faults
from ops.sandbox.lab.oddities import odd
from ops.sandbox.lab.traffic import Traffic
from ops.sandbox.world.clock import Clock, ManualClock
from ops.sandbox.world.effects import Effects
from ops.sandbox.world.ids import is_uuid
from ops.sandbox.world.moves import move
from ops.sandbox.world.outbox import Outbox, WebhookRequest
from ops.sandbox.world.provider import Provider
from ops.sandbox.world.switches import Switches

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
        dice: random.Random | None = None,
        keep: Collection[str] = (),
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be above zero")
        self.clock: Clock = clock or ManualClock()
        self.speed = speed
        self.seed = seed
        self.switches = switches or Switches()
        self._initial = self.switches.model_copy(deep=True)
        #: Draws what each request meets; None: the switches stay as they are.
        self.dice = self._first_dice = Dice(self.switches, dice, keep) if dice else None
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
            longest_s = max(self.switches.retention_s, self.switches.retention_elsewhere_s or 0)
            self.stored.purge(self.clock.now(), longest_s)

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

    def draw(self, seed: int, keep: Collection[str] = ()) -> None:
        """Become the provider of a seed, with dice of that seed; switches to be kept stay as they are."""
        with self._lock:
            self.calm()
            dice = random.Random(seed)
            drawn = draw(self.switches, dice, keep=keep)
            for name in CHOICES:
                setattr(self.switches, name, getattr(drawn, name))
            self.dice = Dice(self.switches, dice, keep)

    def calm(self) -> None:
        """Let the provider be as it was drawn from now on, and nothing odd happen any more."""
        with self._lock:
            if self.dice:
                self.dice.calm()

    def reset(self) -> None:
        """Forget everything and put the switches back as they were at the start; the clock goes on."""
        with self._lock:
            if self.dice:
                self.dice.end_spells()
            self.dice = self._first_dice
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
            if path == spec.PATH or path.startswith(spec.PATH + "/"):
                return spec.handle(self, method, path)
            if path == hosted_page.PATH:
                return hosted_page.handle(self, method, query, body)
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
            if self.dice:
                self.dice.throw(self.clock.now(), route.operation)
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
        if self.switches.version_echo:
            answer.extra_headers["x-api-version"] = headers.get("x-api-version") or spec.DEFAULT_VERSION
        return answer

    def _call(
        self, route: Route, path: str, parts: list[str], query: str, headers: dict[str, str], body: bytes
    ) -> Call:
        """Check what every endpoint asks of the headers."""
        switches = self.switches
        if switches.refuse_all is not None:
            raise RefusalError(switches.refuse_all, "authorization error")
        api_key = headers.get("x-api-key", "")
        if len(api_key) < SHORTEST_KEY:
            raise RefusalError(401, "authorization error")
        version = headers.get("x-api-version", "")
        if version and version not in switches.known_versions:
            raise RefusalError(switches.bad_version, "unsupported X-API-Version")
        sub_partner = headers.get("x-sub-partner-id") if route.scoped else None
        if sub_partner is not None and not is_uuid(sub_partner):
            raise RefusalError(switches.bad_request, "failed to parse header `X-SUB-PARTNER-ID`: not a UUID")
        key = headers.get("idempotency-key") if route.keyed else None
        if route.keyed and not (key and len(key) <= LONGEST_IDEMPOTENCY_KEY):
            text = "failed to parse header `IDEMPOTENCY-KEY`: missing, empty or too long"
            raise RefusalError(switches.bad_request, text)
        if key and switches.key_form == "uuid" and not is_uuid(key):
            raise RefusalError(switches.bad_request, "failed to parse header `IDEMPOTENCY-KEY`: not a UUID")
        now = self.clock.now()
        partner = sub_partner.lower() if sub_partner else None
        return Call(route.method, path, parts, query, headers, body, now, api_key, key, partner, switches)

    def _answer(self, route: Route, call: Call, fault: Fault | None = None) -> Answer:
        """Execute a request, or give the stored answer of its key again."""
        if call.idempotency_key is None:
            return self._executed(route, call)
        scope, fingerprint, known = self._known(route, call)
        if known is not None:
            return known
        answer = self._executed(route, call)
        busy_s = fault.delay_s if fault else 0.0
        remembered: Answer | None = answer
        if fault is not None and fault.stored is not None:
            remembered = {"true": answer, "injected": fault.answer() or answer, "nothing": None}[fault.stored]
        elif not remembers(self.switches, answer.status):
            remembered = None
        if remembered is not None:
            self.stored.keep(scope, fingerprint, remembered, at=call.at, busy_s=busy_s, effect=call.effect)
        return answer

    def _executed(self, route: Route, call: Call) -> Answer:
        """Run the endpoint; a refusal is an answer like any other."""
        self.provider.rendering.at = call.at
        try:
            answer = route.endpoint(self.provider, call)
        except RefusalError as refusal:
            answer = self._refused(refusal)
        kind = self.switches.odd_reads.get(route.operation) if route.method == "GET" else None
        return odd(answer, kind, self._refused) if kind else answer

    def _known(self, route: Route, call: Call) -> tuple[bytes, bytes, Answer | None]:
        """Return a request's scope and fingerprint, and the stored answer of its key."""
        switches = self.switches
        scope, fingerprint = scope_of(call)
        span_s = retention_s(switches, route.operation)
        found = self.stored.find(scope, fingerprint, call.at, span_s, waits=switches.in_flight == "replay")
        if found is None:
            return scope, fingerprint, None
        self.traffic.replays += 1
        return scope, fingerprint, replay(found, bare=not switches.replay_headers)

    def _refused(self, refusal: RefusalError) -> Answer:
        """Write a refusal in the form the switches ask for."""
        switches = self.switches
        forms = {"form": switches.error_bodies, "unauthorized": switches.unauthorized_body}
        return refuse(refusal.status, refusal.text, **forms, headers=refusal.headers)

    # Faults

    def _struck(self, fault: Fault, route: Route, call: Call) -> Answer:
        """Answer a request that a fault has hit."""
        if fault.late_s:
            self.provider.lifecycle.at(call.at + fault.late_s, lambda due: self._arrive_late(route, call, due))
            return fault.spoil(Answer(202))
        if fault.executes:
            answer = self._answer(route, call, fault)
            if fault.odd and route.method == "GET":
                answer = odd(answer, fault.odd, self._refused)
            return fault.spoil(fault.answer() or answer)
        injected = fault.answer() or Answer(500)
        if fault.stored == "injected" and call.idempotency_key is not None:
            return fault.spoil(self._injected(route, call, injected))
        return fault.spoil(injected)

    def _injected(self, route: Route, call: Call, injected: Answer) -> Answer:
        """Store an answer without an effect, unless the key has one already."""
        scope, fingerprint, known = self._known(route, call)
        if known is not None:
            return known
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
