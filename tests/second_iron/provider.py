"""Iron's API over an httpx transport: routes, idempotency keys, lists, and the spells in which an answer is wrong."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

import httpx

from tests.second_iron.life import IN_FLIGHT, Customer, Identification, Life, Signing, Traced
from tests.second_iron.questions import NONE, Draw
from tests.second_iron.views import Views, shown
from tests.second_iron.webhooks import Hook, Webhooks

R = TypeVar("R", bound=Traced)

#: Values of X-API-Version that are known. Source: iron-api 1.2, iron-conformance 2.
VERSIONS = ("2025-03-13", "2026-07-01", "2026-08-01", "2026-10-15")
#: How long a key's result is kept, in seconds. Source: iron-api 1.3.
KEPT_S = 86_400.0
#: The window of the limit on new identifications, in seconds, and how many of one customer it lets through.
LIMITED_S, LIMIT = 3_600.0, 5
#: Reads that a spell lasts at most, seconds that it lasts at most, and reads that are spared after it.
SPELL_READS, SPELL_S, SPARED = 4, 600.0, 8
#: Faults of Iron's own, or of what stands before it.
FAULTS = (500, 502, 503, 504)
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

#: Handlers by method and template. Every POST needs a key. Source: iron-api section 3.
ROUTES = {
    "POST /customers": "create_customer",
    "GET /customers": "list_customers",
    "GET /customers/{id}": "read_customer",
    "PUT /customers/{id}": "update_customer",
    "GET /customers/{external_id}/external": "find_customer",
    "PUT /customers/{id}/archive": "archive_customer",
    "POST /customers/{id}/identifications/v2": "create_identification",
    "GET /customers/{id}/identifications": "list_identifications",
    "GET /identifications/{id}": "read_identification",
    "PUT /identifications/{id}/archive": "archive_identification",
    "GET /customers/{id}/requirements": "read_requirements",
    "GET /customers/{id}/required-signings": "read_required_signings",
    "POST /customers/{id}/signings": "create_signing",
    "GET /customers/{id}/signings": "list_signings",
    "POST /sandbox/identification/{id}": "decide_in_sandbox",
}


class RefusedError(Exception):
    """Iron refuses a request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True)
class Call:
    """A request, taken apart."""

    method: str
    template: str
    path: str
    of: Mapping[str, str]
    query: httpx.QueryParams
    headers: httpx.Headers
    content: bytes

    @classmethod
    def read(cls, request: httpx.Request) -> Call:
        """Take a request apart; a path of no route has an empty template."""
        path = request.url.raw_path.decode().partition("?")[0].partition("/api")[2]
        segments = [unquote(segment) for segment in path.split("/")]
        for route in ROUTES:
            method, _, template = route.partition(" ")
            of = _matched(template.split("/"), segments)
            if method == request.method and of is not None:
                return cls(method, template, path, of, request.url.params, request.headers, request.read())
        return cls(request.method, "", path, {}, request.url.params, request.headers, request.read())


def _matched(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    pairs = list(zip(template, segments, strict=True))
    if any(part != segment for part, segment in pairs if not part.startswith("{")):
        return None
    return {part[1:-1]: segment for part, segment in pairs if part.startswith("{")}


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

    def act(self, external_id: str, what: str) -> None:
        """Do what people at Iron do, or the customer, or the partner in the dashboard; see Life.act."""
        self.run_due()
        self.life.act(self.life.named(external_id), what)

    def add_customer(self, external_id: str, email: str, *, status: str = "IdentificationRequired") -> str:
        """Make a customer in the dashboard, with all that belongs to the status; give Iron's id."""
        life = self.life
        customer = life.enrol(kind="Person", email=email, name=None, external_id=external_id, by_api=False)
        if status in ("SigningsRequired", "Active"):
            made = Identification(id=life.new_id(), made_at=life.time(), by_api=False, customer=customer, kind="Link")
            made.history.append((life.time(), "Approved"))
            customer.identifications.append(made)
            life.identifications[made.id] = made
        customer.was_active = status == "Active"
        for document in customer.due if status == "Active" else ():
            life.sign(customer, document.id, by_api=False)
        customer.forced = None if status in ("SigningsRequired", "Active", "IdentificationRequired") else status
        life.settle(customer)
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
        version = call.headers.get("X-API-Version") or VERSIONS[0]
        if self.draw("version_echo") == "echoed" and "bare" not in response.extensions:
            response.headers["X-API-Version"] = version
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
            return self._limited()
        if fault == "before":
            response = self.views.fault(self.draw.random.choice(FAULTS))
            if call.method == "POST":
                self._kept.setdefault(self._place(call), self._to_keep(call, response))
            return response
        response = {"POST": self._once, "GET": self._read, "PUT": self._handle}[call.method](call)
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

    def _limited(self) -> httpx.Response:
        response, now = self.views.refusal(429, "too many requests"), datetime.fromtimestamp(self.now(), UTC)
        said = self.draw("retry_after")
        if said != "absent":
            at = format_datetime(now + timedelta(seconds=2), usegmt=True)
            sent = format_datetime(now, usegmt=True)
            response.headers.update({"Date": sent, "Retry-After": "2" if said == "seconds" else at})
        return response

    def _handle(self, call: Call) -> httpx.Response:
        return getattr(self, f"_{ROUTES[f'{call.method} {call.template}']}")(call)

    # --- idempotency keys ----------------------------------------------------------------------------------------

    def _place(self, call: Call) -> Hashable:
        key = call.headers.get("IDEMPOTENCY-KEY", "")
        return (key, call.path) if self.draw("key_scope") == "key and path" else key

    def _to_keep(self, call: Call, response: httpx.Response) -> Kept:
        return Kept(self.now(), call.path, call.content, response)

    def _once(self, call: Call) -> httpx.Response:
        """Execute a POST, or answer again what its key got."""
        key = call.headers.get("IDEMPOTENCY-KEY", "")
        if not key:
            if self.draw("missing_key") != "executed":
                raise RefusedError(self.draw("missing_key"), "failed to parse parameter `IDEMPOTENCY-KEY`")
            return self._handle(call)
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
        response = self._guarded(call, self._handle)
        self._kept[place] = self._to_keep(call, response)
        return response

    def _differs(self, one: bytes, other: bytes) -> bool:
        if self.draw("body_compared") == "bytes":
            return one != other
        return _json(one) != _json(other)

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

    def _status(self, record: Customer | Identification) -> str | None:
        """Give a status that nobody documented in place of the true one, for a few reads."""
        unknown = self._spell("unknown_status", record.id)
        return None if unknown == NONE else unknown

    def _read(self, call: Call) -> httpx.Response:
        """Answer a GET; now and then, for a few reads, with something else.

        A 404 of the look-up by external id would be a well-formed "no", which must be true: see the package.
        """
        spell = self._spell("read_spell", (call.template, *call.of.values()))
        if spell == NONE or (spell == 404 and "external_id" in call.of):
            return self._handle(call)
        if isinstance(spell, int):
            raise RefusedError(spell, "something is wrong here")
        if spell != "member missing":
            return shown(200, json.loads(spell))
        response = self._handle(call)
        value = _json(response.content)
        if isinstance(value, dict):
            value.pop("items" if "items" in value else "status", None)
        return shown(response.status_code, value)

    # --- requests ------------------------------------------------------------------------------------------------

    def _body(self, call: Call, known: Sequence[str] | None) -> dict[str, Any]:
        """Read a body; `known` are the members it may have, None for any."""
        named = "json" in call.headers.get("content-type", "")
        if not named and self.draw("content_type") != "taken":
            raise RefusedError(self.draw("content_type"), "the content type is not supported")
        body = _json(call.content)
        if not isinstance(body, dict):
            raise self._bad_request("expected an object")
        if known and not set(body) <= set(known) and self.draw("unknown_body_member") != "ignored":
            raise RefusedError(self.draw("unknown_body_member"), "unknown member")
        return body

    def _bad_request(self, text: str) -> RefusedError:
        return RefusedError(self.draw("bad_request"), f"parse request payload error: {text}")

    def _customer(self, call: Call) -> Customer:
        customer = self.life.customers.get(call.of["id"].lower())
        if customer is None:
            raise RefusedError(404, "customer not found")
        if not self._is_of(customer, call):
            raise RefusedError(self.draw("sub_partner"), "customer not found")
        return customer

    def _is_of(self, customer: Customer, call: Call) -> bool:
        """Say whether the caller may see a customer, who may be of another sub-partner."""
        return customer.sub_partner == call.headers.get("X-SUB-PARTNER-ID") or self.draw("sub_partner") == "found"

    def _identification(self, call: Call) -> Identification:
        identification = self.life.identifications.get(call.of["id"].lower())
        if identification is None:
            raise RefusedError(self.draw("foreign_identification"), "identification not found")
        return identification

    # --- customers -----------------------------------------------------------------------------------------------

    def _create_customer(self, call: Call) -> httpx.Response:
        body = self._body(call, ("customer_type", "email", "name", "external_id"))
        if body.get("customer_type") not in ("Person", "Business"):
            raise self._bad_request("customer_type")
        email, external_id = self._contact(body)
        self._refuse_taken(external_id, None)
        taken = any(customer.email == email for customer in self.life.customers.values())
        if taken and self.draw("second_email") != "created":
            raise RefusedError(self.draw("second_email"), "this e-mail is taken")
        version = call.headers.get("X-API-Version") or VERSIONS[0]
        first = version == VERSIONS[0] and self.draw("onboarding_order", len(self.life.customers)) == "sign first"
        customer = self.life.enrol(
            kind=body["customer_type"],
            email=email,
            name=body.get("name"),
            external_id=external_id,
            sub_partner=call.headers.get("X-SUB-PARTNER-ID"),
            sign_first=first,
            by_api=True,
        )
        return shown(201, self.views.customer(customer))

    def _contact(self, body: Mapping[str, Any]) -> tuple[str, str | None]:
        email, external_id = body.get("email"), body.get("external_id")
        if not isinstance(email, str) or "@" not in email or not isinstance(external_id, str | None):
            raise self._bad_request("email or external_id")
        if len(external_id or "") > 255 and self.draw("long_external_id") != "taken":
            raise RefusedError(self.draw("long_external_id"), "external_id is too long")
        return email, external_id

    def _same(self, customer: Customer, external_id: str) -> bool:
        folded = self.draw("external_id_case") == "folded"
        one = customer.external_id or ""
        return one.casefold() == external_id.casefold() if folded else one == external_id

    def _refuse_taken(self, external_id: str | None, but: Customer | None) -> None:
        """Perhaps refuse an external id that another customer has."""
        others = [one for one in self.life.customers.values() if one is not but and not one.archived]
        if external_id and any(self._same(one, external_id) for one in others):
            answer = self.draw("second_customer")
            if answer != "created":
                raise RefusedError(answer, "this external_id is taken")

    def _read_customer(self, call: Call) -> httpx.Response:
        customer = self._customer(call)
        return shown(200, self.views.customer(customer, self._status(customer)))

    def _find_customer(self, call: Call) -> httpx.Response:
        wanted = call.of["external_id"]
        found = [one for one in self._findable(call) if self._same(one, wanted) and self._caught_up("lookup", one)]
        if not found:
            raise RefusedError(404, "customer not found")
        customer = found[0 if self.draw("found_among") == "first" else -1]
        return shown(200, self.views.customer(customer, self._status(customer)))

    def _findable(self, call: Call) -> list[Customer]:
        """Give the customers that look-up and list may show to a caller, oldest first."""
        seen = [one for one in self.life.customers.values() if self._is_of(one, call)]
        return [one for one in seen if not one.archived or self.draw("archived_found") == "found"]

    def _update_customer(self, call: Call) -> httpx.Response:
        try:
            customer = self._customer(call)
        except RefusedError as error:
            raise RefusedError(self.draw("put_unknown"), error.text) from None
        body = self._body(call, ("email", "external_id"))
        email, external_id = self._contact(body)
        self._refuse_taken(external_id, customer)
        customer.email, customer.external_id = email, external_id or customer.external_id
        if self.draw("put_answer") == 200:
            return shown(200, self.views.customer(customer))
        return httpx.Response(204)

    def _archive_customer(self, call: Call) -> httpx.Response:
        customer = self._customer(call)
        if customer.archived:
            answer = self.draw("archive_again")
            if answer != 200:
                raise RefusedError(answer, "the customer is archived")
        else:
            self.life.archive(customer)
        return shown(200, self.views.customer(customer))

    def _list_customers(self, call: Call) -> httpx.Response:
        customers = self._findable(call)
        if term := call.query.get("search_term"):
            customers = [one for one in customers if self._matches(one, term)]
        listed = [
            (one, status)
            for one, status in self._listed(customers)
            if _chosen(call, "status", status)
            and _chosen(call, "customer_type", one.kind)
            and _chosen(call, "identification_status", one.identifications[-1].status if one.identifications else "")
        ]
        if call.query.get("sort_order") != "asc":
            listed.reverse()
        return self._page(call, listed, self.views.customer)

    def _matches(self, customer: Customer, term: str) -> bool:
        fields = [(one or "").casefold() for one in (customer.name, customer.id, customer.email, customer.external_id)]
        if self.draw("search_match") == "whole":
            return term.casefold() in fields
        return any(term.casefold() in one for one in fields)

    # --- lists ---------------------------------------------------------------------------------------------------

    def _lag_s(self, what: str, record: Traced) -> float:
        return self.draw(f"{what}_lag_s") * self.draw("lag_share", (what, record.id))

    def _caught_up(self, what: str, record: Traced) -> bool:
        return record.status_at(self.now() - self._lag_s(what, record)) is not None

    def _listed(self, records: Sequence[R]) -> list[tuple[R, str]]:
        """Give the records that a list shows by now, each with its status there."""
        behind = self.draw("listed_status") == "behind"
        old = [(one, one.status_at(self.now() - self._lag_s("list", one))) for one in records]
        return [(one, status if behind else one.status) for one, status in old if status is not None]

    def _of_customer(self, call: Call, records: Sequence[R]) -> list[tuple[R, str]]:
        """Give a customer's records in the order in which they are listed."""
        order = self.draw("list_order", call.path)
        listed = self._listed(records)
        if order == "by id":
            return sorted(listed, key=lambda one: one[0].id)
        return listed if order == "oldest" else listed[::-1]

    def _page(
        self, call: Call, listed: Sequence[tuple[R, str]], view: Callable[[Any, str], dict[str, Any]]
    ) -> httpx.Response:
        size, ids = self._page_size(call), [record.id for record, _ in listed]
        begin, cursor = 0, call.query.get("cursor")
        if cursor and cursor in ids:
            begin = ids.index(cursor) + 1
        elif cursor:
            if self.draw("stale_cursor") != "empty":
                raise RefusedError(self.draw("stale_cursor"), "unknown cursor")
            begin = len(ids)
        page = listed[begin : begin + size]
        items = [view(record, self._shown_status(record, status)) for record, status in page]
        return shown(200, self.views.page(items, ids[begin + size - 1] if begin + size < len(ids) else None))

    def _shown_status(self, record: Traced, status: str) -> str:
        return status if isinstance(record, Signing) else self._status(record) or status

    def _page_size(self, call: Call) -> int:
        text = call.query.get("page_size", "10")
        if not text.isdecimal() or int(text) < 1:
            raise self._bad_request("page_size")
        if int(text) > 100 and self.draw("page_too_long") != "cut":
            raise RefusedError(self.draw("page_too_long"), "page_size is above 100")
        return min(int(text), 100)

    # --- identifications -----------------------------------------------------------------------------------------

    def _create_identification(self, call: Call) -> httpx.Response:
        customer, body = self._customer(call), self._body(call, None)
        kind = body.get("type")
        if kind not in ("Link", "Token", "Person", "Business"):
            raise self._bad_request("type")
        wrong = kind != "Link" and (kind == "Business") != (customer.kind == "Business")
        if wrong and self.draw("wrong_type") != "taken":
            raise RefusedError(self.draw("wrong_type"), "not for this type of customer")
        if customer.status in ("Suspended", "Archived"):
            raise RefusedError(self.draw("closed_customer"), "the customer is closed")
        hour = [one for one in customer.identifications if one.by_api and self.now() - one.made_at < LIMITED_S]
        if len(hour) >= LIMIT and self.draw("creation_limit") != NONE:
            return self._limited()
        if self._is_pending(customer) and self.draw("pending_identification") == "conflict":
            raise RefusedError(409, "customer has a pending identification")
        given = kind != "Link" and (kind != "Business" or body.get("company_data", {}).get("documents") != [])
        about = (customer.id, len(customer.identifications))
        complete = given and self.draw("data_complete", about) == "Processed"
        edd = bool(body.get("with_edd") or body.get("edd_questionnaire"))
        begun = self.life.begin(customer, kind, by_api=True, edd=edd, complete=complete)
        return shown(201, self.views.identification(begun))

    def _is_pending(self, customer: Customer) -> bool:
        newest = self.life.counting(customer)
        pending = IN_FLIGHT if self.draw("pending_means") == "in flight" else IN_FLIGHT[:1]
        return newest is not None and (newest.asked or newest.status in pending)

    def _list_identifications(self, call: Call) -> httpx.Response:
        listed = self._of_customer(call, self._customer(call).identifications)
        return self._page(call, listed, self.views.identification)

    def _read_identification(self, call: Call) -> httpx.Response:
        identification = self._identification(call)
        return shown(200, self.views.identification(identification, self._status(identification)))

    def _archive_identification(self, call: Call) -> httpx.Response:
        identification = self._identification(call)
        self.life.put_away(identification)
        return shown(200, self.views.identification(identification))

    def _read_requirements(self, call: Call) -> httpx.Response:
        return shown(200, self.views.requirements(self._customer(call)))

    def _decide_in_sandbox(self, call: Call) -> httpx.Response:
        identification, body = self._identification(call), self._body(call, ("approved",))
        if not isinstance(body.get("approved"), bool):
            raise self._bad_request("approved")
        if not identification.open:
            answer = self.draw("sandbox_decided")
            if answer != 201:
                raise RefusedError(answer, "identification is not pending")
        decide = self.life.approve if body["approved"] else self.life.decline
        decide(identification)
        return shown(201, self.views.identification(identification))

    # --- signings ------------------------------------------------------------------------------------------------

    def _read_required_signings(self, call: Call) -> httpx.Response:
        customer = self._customer(call)
        lag_s, now = self.draw("required_signings_lag_s", customer.id), self.now()
        ready = customer.status == "SigningsRequired"
        due = [one for one in customer.due if ready and one.due_since + lag_s <= now]
        listed = [one for one in customer.documents if one in due or self._is_listed_by_mistake(customer, one)]
        if listed:
            return shown(200, [self.views.document(one) for one in listed])
        outside = self.draw("required_signings_outside")
        if outside == "empty":
            return shown(200, [])
        if outside == "not_found":
            raise RefusedError(404, "no required signings")
        known = {"not in status": "customer is not in status SigningsRequired"}
        raise RefusedError(409, known.get(outside, "customer does not require signings"))

    def _is_listed_by_mistake(self, customer: Customer, document: Any) -> bool:
        """Say whether required-signings still list what is signed or replaced."""
        lag_s = self.draw("required_signings_lag_s", customer.id)
        return document.gone_at is not None and self.now() < document.gone_at + lag_s

    def _create_signing(self, call: Call) -> httpx.Response:
        customer, body = self._customer(call), self._body(call, ("signed", "content_id", "content_type"))
        content_id, signed = body.get("content_id"), body.get("signed")
        if not isinstance(signed, bool) or not isinstance(content_id, str) or not UUID.fullmatch(content_id):
            raise self._bad_request("signed or content_id")
        if not signed:
            raise RefusedError(self.draw("not_signed"), "must be signed")
        if customer.status == "SigningsRequired" and any(one.id == content_id for one in customer.due):
            return shown(201, self.views.signing(self.life.sign(customer, content_id)))
        return shown(201, self.views.signing(self._sign_what_is_not_due(customer, content_id)))

    def _sign_what_is_not_due(self, customer: Customer, content_id: str) -> Signing:
        """Answer a signature that exists, record a second one, or refuse."""
        before = [one for one in customer.signings if one.content_id == content_id]
        if not before:
            raise RefusedError(self.draw("unknown_content"), "no such document to sign")
        of_this = [one for one in customer.documents if one.id == content_id]
        if any(self._is_listed_by_mistake(customer, one) for one in of_this):
            return before[-1]
        answer = self.draw("signing_again")
        if answer == "same":
            return before[-1]
        if answer == "second":
            return self.life.sign(customer, content_id)
        raise RefusedError(answer, "already signed")

    def _list_signings(self, call: Call) -> httpx.Response:
        return self._page(call, self._of_customer(call, self._customer(call).signings), self.views.signing)


def _chosen(call: Call, name: str, value: str) -> bool:
    """Say whether a list's filter lets a value through: repeated, or with commas."""
    wanted = [one for text in call.query.get_list(name) for one in text.split(",") if one]
    return not wanted or value in wanted


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
