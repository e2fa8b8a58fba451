"""Typed client for the part of Iron's API that onboarding needs: one method an endpoint.

A method either returns what Iron said or raises an error that tells what is then known about the effect (errors.py);
nothing is repeated in here. Answers are read leniently (unknown fields and statuses are kept or ignored), requests are
written as canonical JSON so that a repetition sends the same bytes. Bodies, links and keys are never put into messages.

Requests go straight to an httpx transport, which costs little more than half of what a full httpx client costs for
each call, and is the one seam for tests. Source: iron-api sections 1 to 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote, urlencode

import httpx

from pipelines.errors import (
    AnswerUnreadableError,
    NotFoundError,
    RequestRefusedError,
)
from pipelines.iron.answers import (
    Answer,
    answered_by,
    content_of,
    status_error,
    transport_error,
)
from pipelines.iron.values import (
    NO_FILTERS,
    Customer,
    Document,
    Filters,
    Identification,
    Requirements,
    customer_of,
    identification_of,
    mapping_of,
    objects,
    requirement,
    text_of,
)
from pipelines.keys import canonical_json

T = TypeVar("T")

#: Classes of calls that Iron limits: all of them together, and the creation of identifications by itself. Iron 1.4.
CALL, IDENTIFICATION = "call", "identification"

#: Who calls. Some proxies refuse requests that do not say so. Source: iron-conformance, row 2.
USER_AGENT = f"iron-onboarding/{version('iron-onboarding')}"

#: Largest page that Iron serves. Source: iron-api 1.5.
PAGE_SIZE = 100
#: Pages read of one customer's lists; more than this many identifications of one person is a fault, not a case.
MAX_PAGES = 20

#: Bytes of an answer that are read at most: a page of 100 customers takes less than a tenth of this.
LONGEST_ANSWER = 4_000_000


def _nothing(class_: str) -> None:
    """Check nothing before a call."""


def _not_heard(answer: Answer) -> None:
    """Take no note of an answer."""


@dataclass(frozen=True, slots=True)
class Iron:
    """Iron's API under one API key. Cheap to copy; the transport and its connections are shared."""

    transport: httpx.BaseTransport
    base_url: str
    api_key: str = field(repr=False)
    api_version: str = "2026-07-01"
    timeout_s: float = 10.0
    sub_partner_id: str | None = None
    #: Called before each request leaves, with the class of the call; may wait, or raise to stop it.
    before_call: Callable[[str], None] = _nothing
    #: Called with each answer.
    heard: Callable[[Answer], None] = _not_heard

    def on_behalf_of(
        self,
        sub_partner_id: str | None,
        before_call: Callable[[str], None],
        heard: Callable[[Answer], None] = _not_heard,
        api_version: str = "",
    ) -> Self:
        """Return the client for one attempt: its sub-partner, and what runs before each call and after each answer.

        `api_version`: the version that its calls name, where that is not the usual one.
        """
        version_ = api_version or self.api_version
        return replace(self, sub_partner_id=sub_partner_id, before_call=before_call, heard=heard, api_version=version_)

    # --- customers -----------------------------------------------------------------------------------------------

    def create_customer(self, body: Mapping[str, Any], key: str) -> Customer:
        """POST /customers. Iron 3.1."""
        try:
            answer = self._send("POST", "/customers", body, key)
        except NotFoundError as error:  # it names nothing that might be missing: this is not Iron's API
            raise RequestRefusedError(str(error), status=error.status, said=error.said) from None
        return replace(customer_of(mapping_of(content_of(answer))), api_version=answered_by(answer))

    def customer(self, customer_id: str) -> Customer:
        """GET /customers/{id}. Iron 3.2."""
        return customer_of(self._object("GET", f"/customers/{_segment(customer_id)}"))

    def customer_by_external_id(self, external_id: str) -> Customer | None:
        """GET /customers/{external_id}/external. Iron 3.3. None: not there, or not there yet."""
        try:
            found = customer_of(self._object("GET", f"/customers/{_segment(external_id)}/external"))
        except NotFoundError:
            return None
        return found if found.external_id in (None, external_id) else None

    def update_customer(self, customer_id: str, *, email: str, external_id: str) -> None:
        """PUT /customers/{id}. Iron 3.5. The answer's body contradicts itself in the documents, so it is not read."""
        self._send("PUT", f"/customers/{_segment(customer_id)}", {"email": email, "external_id": external_id}, None)

    def archive_customer(self, customer_id: str) -> None:
        """PUT /customers/{id}/archive, for good, with all identifications. Iron 3.6. A repetition changes nothing."""
        self._send("PUT", f"/customers/{_segment(customer_id)}/archive", None, None)

    def customers(
        self, *, filters: Filters = NO_FILTERS, cursor: str | None = None, page_size: int = PAGE_SIZE
    ) -> tuple[list[Customer], str | None]:
        """GET /customers, one page, newest first. Iron 3.4. Answers the customers and the cursor of the next page."""
        query: dict[str, Any] = {"page_size": page_size, **filters.query()}
        if cursor:
            query["cursor"] = cursor
        page = self._object("GET", f"/customers?{urlencode(query)}")
        if not isinstance(page.get("items"), list):
            raise AnswerUnreadableError
        return [customer_of(mapping_of(item)) for item in page["items"]], page.get("cursor") or None

    def requirements(self, customer_id: str) -> Requirements:
        """GET /customers/{id}/requirements. Iron 3.10."""
        found = self._object("GET", f"/customers/{_segment(customer_id)}/requirements")
        open_ = [requirement(item) for name in ("missing", "issues") for item in objects(found.get(name))]
        final = bool(found.get("issues")) or any(item.retryable is False for item in open_)
        return Requirements(tuple(open_), may_retry=not final)

    # --- identifications -----------------------------------------------------------------------------------------

    def create_identification(self, customer_id: str, body: Mapping[str, Any], key: str) -> Identification:
        """POST /customers/{id}/identifications/v2. Iron 3.7."""
        path = f"/customers/{_segment(customer_id)}/identifications/v2"
        return self._identification(self._object("POST", path, body=body, key=key, class_=IDENTIFICATION))

    def archive_identification(self, identification_id: str) -> None:
        """PUT /identifications/{id}/archive, for good. Iron 3.9b. The customer's status after it is not documented."""
        self._send("PUT", f"/identifications/{_segment(identification_id)}/archive", None, None)

    def identifications(self, customer_id: str) -> list[Identification]:
        """GET /customers/{id}/identifications, all pages, oldest first. Iron 3.8."""
        items = self._pages(f"/customers/{_segment(customer_id)}/identifications")
        return sorted(map(self._identification, items), key=lambda item: (item.created_at, item.id))

    def _identification(self, value: dict[str, Any]) -> Identification:
        return identification_of(value, plain=self.base_url.startswith("http:"))

    # --- signings ------------------------------------------------------------------------------------------------

    def required_signings(self, customer_id: str) -> list[Document]:
        """GET /customers/{id}/required-signings. Iron 3.11. ConflictError: read the customer again."""
        items = self._call("GET", f"/customers/{_segment(customer_id)}/required-signings")
        if not isinstance(items, list):
            raise AnswerUnreadableError
        return [
            Document(text_of(item, "id"), str(item.get("display_name") or ""), str(item.get("url") or ""))
            for item in map(mapping_of, items)
        ]

    def create_signing(self, customer_id: str, content_id: str, key: str) -> str:
        """POST /customers/{id}/signings. Iron 3.12. Returns the id of the signature."""
        body = {"content_id": content_id, "signed": True}
        return text_of(self._object("POST", f"/customers/{_segment(customer_id)}/signings", body=body, key=key), "id")

    # --- for people ----------------------------------------------------------------------------------------------

    def shown(self, path: str) -> Any:
        """GET a path, as Iron shows it. For people who look; no step decides by it (pipelines/iron/looking.py)."""
        return self._call("GET", path)

    def listed(self, path: str) -> list[dict[str, Any]]:
        """GET all pages of a list, as Iron shows them."""
        return self._pages(path)

    def asked(self, method: str, path: str, body: Mapping[str, Any] | None, key: str | None) -> Any:
        """Ask Iron to do something that a person wants now, once. Answers what Iron shows then."""
        return self._call(method, path, body=body, key=key)

    # --- one call ------------------------------------------------------------------------------------------------

    def _object(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return mapping_of(self._call(method, path, **request))

    def _pages(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            query = {"page_size": PAGE_SIZE} | ({"cursor": cursor} if cursor else {})
            page = self._object("GET", f"{path}?{urlencode(query)}")
            if not isinstance(page.get("items"), list):
                raise AnswerUnreadableError
            items.extend(map(mapping_of, page["items"]))
            cursor = page.get("cursor")
            if not cursor:
                return items
        message = "Iron's list does not end."
        raise AnswerUnreadableError(message)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        class_: str = CALL,
    ) -> Any:
        return content_of(self._send(method, path, body, key, class_))

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, key: str | None, class_: str = CALL
    ) -> Answer:
        request = self._request(method, path, body, key)
        self.before_call(class_)
        ends = time.monotonic() + self.timeout_s
        try:
            answer = _read(self.transport.handle_request(request), ends)
        except Exception as error:  # noqa: BLE001 -- the table below says what is httpx's; the rest goes on as it is
            raise transport_error(error) from None
        self.heard(answer)
        if answer.status >= 300:  # noqa: PLR2004 -- a redirect is nothing that Iron's API describes
            raise status_error(answer)
        return answer

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, key: str | None) -> httpx.Request:
        headers = _headers(self.api_key, self.api_version).copy()
        if key is not None:
            headers["IDEMPOTENCY-KEY"] = key
        if self.sub_partner_id:
            headers["X-SUB-PARTNER-ID"] = self.sub_partner_id
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
            content = canonical_json(body)
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_s)
        return httpx.Request(
            method, _url(self.base_url + path), headers=headers, content=content, extensions={"timeout": limits}
        )


@lru_cache(maxsize=16)
def _headers(api_key: str, api_version: str) -> httpx.Headers:
    """Return the headers of every request."""
    given = {"X-API-Key": api_key, "X-API-Version": api_version, "Accept": "application/json"}
    return httpx.Headers({**given, "User-Agent": USER_AGENT})


@lru_cache(maxsize=1024)
def _url(address: str) -> httpx.URL:
    """Read an address; httpx takes as long for it as the whole call takes to send, and a customer's come back soon."""
    return httpx.URL(address)


def _read(response: httpx.Response, ends: float) -> Answer:
    """Read the whole answer. httpx's limits hold for each piece; an answer that trickles must end in time as well."""
    pieces: list[bytes] = []
    try:
        for piece in cast("httpx.SyncByteStream", response.stream):
            pieces.append(piece)
            if time.monotonic() > ends or sum(map(len, pieces)) > LONGEST_ANSWER:
                message = "the answer is too slow or too long"
                raise httpx.ReadTimeout(message)
    finally:
        response.close()
    return Answer(response.status_code, response.headers, b"".join(pieces))


def _segment(value: str) -> str:
    """Quote a value for use as one segment of a path."""
    return quote(value, safe="")
