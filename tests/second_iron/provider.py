"""Iron behind an httpx transport: idempotency keys, faults, and the spells in which an answer is wrong."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from tests.second_iron.calls import UUID, VERSIONS, Call, RefusedError, as_json
from tests.second_iron.endpoints import Endpoints
from tests.second_iron.life import Life, Traced
from tests.second_iron.questions import NONE, Draw
from tests.second_iron.views import Views, shown
from tests.second_iron.webhooks import Hook, Webhooks

#: How long a key's result is kept, in seconds. Source: iron-api 1.3.
KEPT_S = 86_400.0
#: Reads that a spell lasts at most, seconds that it lasts at most, and reads that are spared after it.
SPELL_READS, SPELL_S, SPARED = 4, 600.0, 8
#: Faults of Iron's own, or of what stands before it.
FAULTS = (500, 502, 503, 504)


class Kept(NamedTuple):
    """What a key got."""

    at: float
    path: str
    content: bytes
    response: httpx.Response


@dataclass
class Spell:
    """A run of wrong answers, and the right ones that must follow."""

    answer: Any
    left: int
    until: float
    spared: int = SPARED


class SecondIron(httpx.BaseTransport):
    """Iron behind an httpx transport. `now` gives unix seconds; one thread at a time."""

    def __init__(
        self,
        now: Callable[[], float],
        seed: int = 0,
        *,
        choices: Mapping[str, Sequence[Any]] | None = None,
        lost: float = 0.0,
        doubled: float = 0.1,
        faults: bool = False,
        secret: str = "whsec_c2Vjb25kLWlyb24td2ViaG9vay1zZWNyZXQ=",
    ) -> None:
        """Fix answers with `choices`; lose or double webhooks with these odds; `faults` adds some 429 and 5xx."""
        self.now, self.faults = now, faults
        self.draw = Draw(seed, choices)
        self.webhooks = Webhooks(self.draw, secret, lost=lost, doubled=doubled)
        self.life = Life(now, self.draw, self.webhooks)
        self.views = Views(self.life, self.draw)
        self.endpoints = Endpoints(self.life, self.draw, self.views, self._status)
        self.calls: Counter[str] = Counter()
        self._kept: dict[Hashable, Kept] = {}
        self._spells: dict[Hashable, Spell] = {}

    # --- what tests and people do --------------------------------------------------------------------------------

    def run_due(self) -> None:
        """Let everything happen that is due by now."""
        self.life.run_due()

    def next_event_s(self) -> float | None:
        """Give the seconds until something happens by itself, or a webhook arrives; None if nothing will."""
        at = [at for at in (self.life.next_at(), self.webhooks.next_at(self.now())) if at is not None]
        return max(0.0, min(at) - self.now()) if at else None

    def take_webhooks(self) -> list[Hook]:
        """Take the deliveries that are due."""
        self.run_due()
        return self.webhooks.take(self.now())

    def act(self, subject: str, what: str) -> None:
        """Do what people at Iron do, or the customer, or the partner in the dashboard; see Life.act.

        `subject`: an external id, or the id of an identification, which need not be the newest.
        """
        self.run_due()
        identification = self.life.identifications.get(subject)
        if identification is None:
            self.life.act(self.life.named(subject), what)
        else:
            getattr(self.life, what)(identification)

    def add_customer(self, external_id: str, email: str, *, status: str = "IdentificationRequired") -> str:
        """Make a customer in the dashboard, with all that belongs to the status; give Iron's id."""
        customer = self.life.enrol(kind="Person", email=email, name=None, external_id=external_id, by_api=False)
        self.life.bring_to(customer, status)
        return customer.id

    def status_of(self, external_id: str) -> str:
        """Give a customer's true status."""
        return self.life.named(external_id).status

    def effects(self) -> dict[str, dict[str, int]]:
        """Count what was made over the API, by external id."""
        books: dict[str, dict[str, int]] = defaultdict(lambda: {"customers": 0, "identifications": 0, "signings": 0})
        for customer in self.life.customers.values():
            book = books[customer.external_id or ""]
            book["customers"] += customer.by_api
            book["identifications"] += sum(one.by_api for one in customer.identifications)
            book["signings"] += sum(one.by_api for one in customer.signings)
        return dict(books)

    # --- one call ------------------------------------------------------------------------------------------------

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.run_due()
        call = Call.read(request)
        self.calls[f"{call.method} {call.template or call.path}"] += 1
        response = self._guarded(call, self._answer)
        if self.draw("version_echo") == "echoed" and "bare" not in response.extensions:
            response.headers["X-API-Version"] = call.version
        return response

    def _guarded(self, call: Call, answer: Callable[[Call], httpx.Response]) -> httpx.Response:
        try:
            return answer(call)
        except RefusedError as error:
            return self.views.refusal(error.status, error.text)

    def _answer(self, call: Call) -> httpx.Response:
        self._check(call)
        fault = NONE
        if self.faults or "fault" in self.draw.choices:
            fault = self._spell("fault", call.path, reads=1)
        if fault == "429":
            return self.endpoints.limited()
        if fault == "before":
            response = self.views.fault(self.draw.random.choice(FAULTS))
            if call.method == "POST":
                self._kept.setdefault(self._place(call), self._to_keep(call, response))
            return response
        response = {"POST": self._once, "GET": self._read, "PUT": self.endpoints.handle}[call.method](call)
        return self.views.fault(self.draw.random.choice(FAULTS)) if fault == "after" else response

    def _check(self, call: Call) -> None:
        """Refuse who has no key, an unknown version, or a path of no route."""
        key, draw = call.headers.get("X-API-Key", ""), self.draw
        if not key:
            raise RefusedError(401, "authorization error")
        if call.headers.get("X-API-Version") not in (None, "", *VERSIONS):
            raise RefusedError(draw("bad_version"), "unsupported API version")
        if not call.template:
            raise RefusedError(404, "not found")
        if key.startswith("read-only") and call.method != "GET":
            raise RefusedError(draw("read_only_write"), "authorization error")
        if "id" in call.of and not UUID.fullmatch(call.of["id"]):
            raise RefusedError(draw("bad_id"), "failed to parse parameter `id`")

    # --- idempotency keys ----------------------------------------------------------------------------------------

    def _place(self, call: Call) -> Hashable:
        return (call.key, call.path) if self.draw("key_scope") == "key and path" else call.key

    def _to_keep(self, call: Call, response: httpx.Response) -> Kept:
        return Kept(self.now(), call.path, call.content, response)

    def _once(self, call: Call) -> httpx.Response:
        """Execute a POST, or answer again what its key got."""
        key = call.key
        if not key:
            if self.draw("missing_key") != "executed":
                raise RefusedError(self.draw("missing_key"), "failed to parse parameter `IDEMPOTENCY-KEY`")
            return self.endpoints.handle(call)
        if self.draw("odd_key") != "taken" and not UUID.fullmatch(key):
            raise RefusedError(self.draw("odd_key"), "the idempotency key is no UUID")
        place = self._place(call)
        kept = self._kept.get(place)
        if kept and self.now() - kept.at < KEPT_S:
            if kept.path != call.path or self._differs(kept.content, call.content):
                raise RefusedError(409, "this idempotency key was used for another request")
            status = kept.response.status_code
            question = "stored_fault" if status >= 500 else "stored_error"
            if status < 400 or self.draw(question, key) == "replayed":
                return self._replay(kept.response)
        response = self._guarded(call, self.endpoints.handle)
        self._kept[place] = self._to_keep(call, response)
        return response

    def _differs(self, one: bytes, other: bytes) -> bool:
        if self.draw("body_compared") == "bytes":
            return one != other
        return as_json(one) != as_json(other)

    def _replay(self, response: httpx.Response) -> httpx.Response:
        how = self.draw("replay_headers")
        if how == "bare":
            return httpx.Response(response.status_code, content=response.content, extensions={"bare": True})
        marked = {"Idempotent-Replayed": "true"} if how == "marked" else {}
        kind = {"content-type": response.headers["content-type"]} if "content-type" in response.headers else {}
        return httpx.Response(response.status_code, content=response.content, headers=kind | marked)

    # --- spells --------------------------------------------------------------------------------------------------

    def _spell(self, question: str, about: Hashable, *, reads: int = SPELL_READS) -> Any:
        """Go on with a run of wrong answers about an object, or perhaps begin one."""
        spell = self._spells.get((question, about))
        if spell and spell.left > 0 and self.now() < spell.until:
            spell.left -= 1
            return spell.answer
        if spell and spell.spared > 0:
            spell.left, spell.spared = 0, spell.spared - 1
            return NONE
        answer = self.draw(question)
        if answer != NONE:
            left = self.draw.random.randrange(reads)
            self._spells[question, about] = Spell(answer, left, self.now() + SPELL_S)
        return answer

    def _status(self, record: Traced) -> str | None:
        """Give a status that nobody documented in place of the true one, for a few reads."""
        unknown = self._spell("unknown_status", record.id)
        return None if unknown == NONE else unknown

    def _read(self, call: Call) -> httpx.Response:
        """Answer a GET; now and then, for a few reads, with something else.

        A 404 of the look-up by external id would be a well-formed "no", which must be true: see the package.
        """
        spell = self._spell("read_spell", (call.template, *call.of.values()))
        if spell == NONE or (spell == 404 and "external_id" in call.of):
            return self.endpoints.handle(call)
        if isinstance(spell, int):
            raise RefusedError(spell, "something is wrong here")
        if spell != "member missing":
            return shown(200, json.loads(spell))
        response = self.endpoints.handle(call)
        value = as_json(response.content)
        if isinstance(value, dict):
            value.pop("items" if "items" in value else "status", None)
        return shown(response.status_code, value)
