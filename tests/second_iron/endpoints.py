"""Iron's endpoints: what each does, and what it answers where the sheets say so, and as drawn where they do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import httpx

from tests.second_iron.calls import ROUTES, UUID, VERSIONS, Call, RefusedError, as_json
from tests.second_iron.life import IN_FLIGHT, Customer, Document, Identification, Life, Signing, Traced
from tests.second_iron.questions import NONE, Draw
from tests.second_iron.views import Views, shown

R = TypeVar("R", bound=Traced)

#: The window of the limit on new identifications, in seconds, and how many of one customer it lets through.
LIMITED_S, LIMIT = 3_600.0, 5


class Endpoints:
    """Executes calls. `status` gives the status that a read shows in place of a record's true one, if any."""

    def __init__(self, life: Life, draw: Draw, views: Views, status: Callable[[Traced], str | None]) -> None:
        self.life, self.draw, self.views, self._status = life, draw, views, status

    def handle(self, call: Call) -> httpx.Response:
        """Execute a call, or raise RefusedError."""
        return getattr(self, f"_{ROUTES[f'{call.method} {call.template}']}")(call)

    def limited(self) -> httpx.Response:
        """Answer that there are too many calls, with or without saying how long to wait."""
        response, now = self.views.refusal(429, "too many requests"), datetime.fromtimestamp(self.life.time(), UTC)
        said = self.draw("retry_after")
        if said != "absent":
            at = format_datetime(now + timedelta(seconds=2), usegmt=True)
            sent = format_datetime(now, usegmt=True)
            response.headers.update({"Date": sent, "Retry-After": "2" if said == "seconds" else at})
        return response

    # --- requests ------------------------------------------------------------------------------------------------

    def _body(self, call: Call, known: Sequence[str] | None) -> dict[str, Any]:
        """Read a body; `known` are the members it may have, None for any."""
        named = "json" in call.headers.get("content-type", "")
        if not named and self.draw("content_type") != "taken":
            raise RefusedError(self.draw("content_type"), "the content type is not supported")
        body = as_json(call.content)
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
        version = call.version
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
            if call.chosen("status", status)
            and call.chosen("customer_type", one.kind)
            and call.chosen("identification_status", one.identifications[-1].status if one.identifications else "")
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
        return record.status_at(self.life.time() - self._lag_s(what, record)) is not None

    def _listed(self, records: Sequence[R]) -> list[tuple[R, str]]:
        """Give the records that a list shows by now, each with its status there."""
        behind = self.draw("listed_status") == "behind"
        old = [(one, one.status_at(self.life.time() - self._lag_s("list", one))) for one in records]
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
        hour = [one for one in customer.identifications if one.by_api and self.life.time() - one.made_at < LIMITED_S]
        if len(hour) >= LIMIT and self.draw("creation_limit") != NONE:
            return self.limited()
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
        lag_s, now = self.draw("required_signings_lag_s", customer.id), self.life.time()
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

    def _is_listed_by_mistake(self, customer: Customer, document: Document) -> bool:
        """Say whether required-signings still list what is signed or replaced."""
        lag_s = self.draw("required_signings_lag_s", customer.id)
        return document.gone_at is not None and self.life.time() < document.gone_at + lag_s

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
