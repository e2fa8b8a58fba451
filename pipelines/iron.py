"""Typed client for the part of Iron's API that onboarding needs: one method an endpoint.

A method either returns what Iron said or raises an error that tells what is then known about the effect (errors.py);
nothing is repeated in here. Answers are read leniently (unknown fields and statuses are kept or ignored), requests are
written as canonical JSON so that a repetition sends the same bytes. Bodies, links and keys are never put into messages.

Requests go straight to an httpx transport, which costs little more than half of what a full httpx client costs for
each call, and is the one seam for tests. Source: iron-api sections 1 to 3.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import version
from typing import Any, NamedTuple, Self, TypeVar, cast
from urllib.parse import quote, urlencode

import httpx

from pipelines.codes import is_code, is_code_alone
from pipelines.errors import (
    AccessRefusedError,
    AnswerLostError,
    AnswerUnreadableError,
    ConflictError,
    IronError,
    NotFoundError,
    RateLimitedError,
    RequestRefusedError,
    ServerFaultError,
    UnreachableError,
)
from pipelines.keys import canonical_json

T = TypeVar("T")

#: Classes of calls that Iron limits: all of them together, and the creation of identifications by itself. Iron 1.4.
CALL, IDENTIFICATION = "call", "identification"

#: Who calls. Some proxies refuse requests that do not say so. Source: iron-conformance, row 2.
USER_AGENT = f"iron-onboarding/{version('iron-onboarding')}"
#: Characters that are kept of what Iron says with a refusal.
LONGEST_SAID = 500

#: Largest page that Iron serves. Source: iron-api 1.5.
PAGE_SIZE = 100
#: Pages read of one customer's lists; more than this many identifications of one person is a fault, not a case.
MAX_PAGES = 20

#: A pause that Iron asks for is honoured up to this, in seconds: a slip of its hand must not stop the fleet for years.
LONGEST_RETRY_AFTER_S = 3_600.0
#: Bytes of an answer that are read at most: a page of 100 customers takes less than a tenth of this.
LONGEST_ANSWER = 4_000_000

#: Stands for a time that an answer does not say: it sorts before all others.
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

#: An API version as Iron writes it.
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")

#: From an HTTP status to the error it means. Other 5xx are faults of Iron, other 4xx are refused requests.
STATUS_ERRORS: Mapping[int, type[IronError]] = {
    401: AccessRefusedError,
    403: AccessRefusedError,
    404: NotFoundError,
    408: AnswerLostError,
    409: ConflictError,
    429: RateLimitedError,
}

#: From an httpx exception to the error it means, the most special first; every exception of httpx has a row.
TRANSPORT_ERRORS: tuple[tuple[type[Exception], type[IronError]], ...] = (
    (httpx.ConnectTimeout, UnreachableError),
    (httpx.PoolTimeout, UnreachableError),
    (httpx.ConnectError, UnreachableError),
    (httpx.ProxyError, UnreachableError),
    (httpx.UnsupportedProtocol, UnreachableError),
    (httpx.InvalidURL, UnreachableError),
    (httpx.TooManyRedirects, AnswerUnreadableError),
    (httpx.DecodingError, AnswerUnreadableError),
    (httpx.CookieConflict, AnswerUnreadableError),
    (httpx.HTTPStatusError, AnswerUnreadableError),
    (httpx.StreamError, AnswerLostError),
    (httpx.HTTPError, AnswerLostError),
)


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as Iron shows it. `identification_ids` is None where the answer does not say."""

    id: str
    status: str
    external_id: str | None = None
    identification_ids: tuple[str, ...] | None = None
    #: Status of the newest identification, where the answer says it.
    identification_status: str | None = None
    email: str | None = field(default=None, repr=False)
    #: The API version that Iron says it answered by; "": it does not say.
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that Iron still wants, or why it declined. The texts may be personal, code and labels are not.

    What Iron gives as a code or a label and is none is one of `texts`.
    """

    code: str
    labels: tuple[str, ...] = ()
    #: None: Iron does not say.
    retryable: bool | None = None
    description: str = field(default="", repr=False)
    #: Iron's reasons, each a code and a text.
    reasons: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: Titles of the questions that are not answered.
    questions: tuple[str, ...] = field(default=(), repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)

    def said(self) -> dict[str, Any]:
        """Give all of it as JSON, without what is empty."""
        given = {
            "code": self.code,
            "labels": list(self.labels),
            "retryable": self.retryable,
            "description": self.description,
            "reasons": [{"code": code, "text": text} for code, text in self.reasons],
            "questions": list(self.questions),
            "texts": list(self.texts),
        }
        return {name: value for name, value in given.items() if value not in (None, "", [])}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What Iron still wants of a customer, or why it declined, and whether the customer may try again."""

    open: tuple[Requirement, ...]
    may_retry: bool

    @property
    def codes(self) -> tuple[str, ...]:
        """Name what is open, each code once."""
        return tuple(sorted({item.code for item in self.open}))

    @property
    def labels(self) -> tuple[str, ...]:
        """Name the labels of all that is open, each once."""
        return tuple(sorted({label for item in self.open for label in item.labels}))


@dataclass(frozen=True, slots=True)
class Identification:
    """An identification as Iron shows it. `may_retry` is False once any of its steps is declined for good."""

    id: str
    status: str
    url: str | None = None
    created_at: datetime = BEFORE_ALL
    may_retry: bool = True
    review_comment: str | None = field(default=None, repr=False)
    #: Comments on the steps of the identification, by step.
    comments: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that the customer must sign now."""

    id: str
    display_name: str
    url: str


class Answer(NamedTuple):
    """An answer that was read to its end."""

    status: int
    headers: httpx.Headers
    content: bytes


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
    ) -> Self:
        """Give the client for one attempt: its sub-partner, and what runs before each call and after each answer."""
        return replace(self, sub_partner_id=sub_partner_id, before_call=before_call, heard=heard)

    # --- customers -----------------------------------------------------------------------------------------------

    def create_customer(self, body: Mapping[str, Any], key: str) -> Customer:
        """POST /customers. Iron 3.1."""
        try:
            answer = self._send("POST", "/customers", body, key)
        except NotFoundError as error:  # it names nothing that might be missing: this is not Iron's API
            raise RequestRefusedError(str(error), status=error.status, said=error.said) from None
        return replace(_customer(_mapping(_content(answer))), api_version=answered_by(answer))

    def customer(self, customer_id: str) -> Customer:
        """GET /customers/{id}. Iron 3.2."""
        return _customer(self._object("GET", f"/customers/{_segment(customer_id)}"))

    def customer_by_external_id(self, external_id: str) -> Customer | None:
        """GET /customers/{external_id}/external. Iron 3.3. None: not there, or not there yet."""
        try:
            found = _customer(self._object("GET", f"/customers/{_segment(external_id)}/external"))
        except NotFoundError:
            return None
        return found if found.external_id in (None, external_id) else None

    def update_customer(self, customer_id: str, *, email: str, external_id: str) -> None:
        """PUT /customers/{id}. Iron 3.5. The answer's body contradicts itself in the documents, so it is not read."""
        self._send("PUT", f"/customers/{_segment(customer_id)}", {"email": email, "external_id": external_id}, None)

    def customers(
        self, *, statuses: Iterable[str] = (), cursor: str | None = None, page_size: int = PAGE_SIZE
    ) -> tuple[list[Customer], str | None]:
        """GET /customers, one page, newest first. Iron 3.4. Answers the customers and the cursor of the next page."""
        query: dict[str, Any] = {"page_size": page_size}
        if wanted := ",".join(statuses):
            query["status"] = wanted
        if cursor:
            query["cursor"] = cursor
        page = self._object("GET", f"/customers?{urlencode(query)}")
        if not isinstance(page.get("items"), list):
            raise AnswerUnreadableError
        return [_customer(_mapping(item)) for item in page["items"]], page.get("cursor") or None

    def requirements(self, customer_id: str) -> Requirements:
        """GET /customers/{id}/requirements. Iron 3.10."""
        found = self._object("GET", f"/customers/{_segment(customer_id)}/requirements")
        open_ = [_requirement(item) for name in ("missing", "issues") for item in _objects(found.get(name))]
        final = bool(found.get("issues")) or any(item.retryable is False for item in open_)
        return Requirements(tuple(open_), may_retry=not final)

    # --- identifications -----------------------------------------------------------------------------------------

    def create_identification(self, customer_id: str, body: Mapping[str, Any], key: str) -> Identification:
        """POST /customers/{id}/identifications/v2. Iron 3.7."""
        path = f"/customers/{_segment(customer_id)}/identifications/v2"
        return _identification(self._object("POST", path, body=body, key=key, class_=IDENTIFICATION))

    def identifications(self, customer_id: str) -> list[Identification]:
        """GET /customers/{id}/identifications, all pages, oldest first. Iron 3.8."""
        items = self._pages(f"/customers/{_segment(customer_id)}/identifications")
        return sorted(map(_identification, items), key=lambda item: (item.created_at, item.id))

    # --- signings ------------------------------------------------------------------------------------------------

    def required_signings(self, customer_id: str) -> list[Document]:
        """GET /customers/{id}/required-signings. Iron 3.11. ConflictError: read the customer again."""
        items = self._call("GET", f"/customers/{_segment(customer_id)}/required-signings")
        if not isinstance(items, list):
            raise AnswerUnreadableError
        return [
            Document(_text(item, "id"), str(item.get("display_name") or ""), str(item.get("url") or ""))
            for item in map(_mapping, items)
        ]

    def create_signing(self, customer_id: str, content_id: str, key: str) -> str:
        """POST /customers/{id}/signings. Iron 3.12. Returns the id of the signature."""
        body = {"content_id": content_id, "signed": True}
        return _text(self._object("POST", f"/customers/{_segment(customer_id)}/signings", body=body, key=key), "id")

    # --- one call ------------------------------------------------------------------------------------------------

    def _object(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return _mapping(self._call(method, path, **request))

    def _pages(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            query = {"page_size": PAGE_SIZE} | ({"cursor": cursor} if cursor else {})
            page = self._object("GET", f"{path}?{urlencode(query)}")
            if not isinstance(page.get("items"), list):
                raise AnswerUnreadableError
            items.extend(map(_mapping, page["items"]))
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
        return _content(self._send(method, path, body, key, class_))

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, key: str | None, class_: str = CALL
    ) -> Answer:
        request = self._request(method, path, body, key)
        self.before_call(class_)
        ends = time.monotonic() + self.timeout_s
        try:
            answer = _read(self.transport.handle_request(request), ends)
        except Exception as error:  # noqa: BLE001 -- the table below says what is httpx's; the rest goes on as it is
            raise _transport_error(error) from None
        self.heard(answer)
        if answer.status >= 300:  # noqa: PLR2004 -- a redirect is nothing that Iron's API describes
            raise _status_error(answer)
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
    """Give the headers of every request."""
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


def _transport_error(error: Exception) -> Exception:
    """Translate what the transport raised; anything that is not httpx's is not ours to judge."""
    for kind, meaning in TRANSPORT_ERRORS:
        if isinstance(error, kind):
            return meaning(f"{(meaning.__doc__ or '').strip()} ({type(error).__name__})")
    return error


def _status_error(answer: Answer) -> IronError:
    status = answer.status
    meaning = STATUS_ERRORS.get(status) or (
        ServerFaultError if status >= 500 else RequestRefusedError if status >= 400 else AnswerUnreadableError  # noqa: PLR2004
    )
    if meaning is RateLimitedError:
        headers = answer.headers
        return RateLimitedError(retry_after_s=retry_after_s(headers.get("retry-after"), headers.get("date")))
    said, code = said_with(answer), code_with(answer)
    text = f"{(meaning.__doc__ or '').strip()} (HTTP {status}{code and f', {code}'}{_trace(answer)})"
    error = meaning(text, status=status, said=said)
    error.iron_code = code
    return error


def answered_by(answer: Answer) -> str:
    """Give the API version that an answer names; "" where it names none, or nothing like a version."""
    named = answer.headers.get("x-api-version", "")
    return named if VERSION.fullmatch(named) else ""


def said_with(answer: Answer) -> str:
    """Give the text of a refusal. It may hold personal data; what is given as a code and is none is text too."""
    code, text = _refusal(answer)
    return ": ".join(part for part in ("" if is_code(code) else code, text) if part)[:LONGEST_SAID]


def code_with(answer: Answer) -> str:
    """Give the code of a refusal, which says nothing about a person; "" where there is none."""
    code, text = _refusal(answer)
    return code if is_code(code) else text if is_code_alone(text) else ""


def _refusal(answer: Answer) -> tuple[str, str]:
    """Give what a refusal calls its code, and its text: a JSON string, members of an object, or plain text.

    Source: iron-api 1.6.
    """
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        found = answer.content.decode("utf-8", "replace")
    if not isinstance(found, dict):
        return "", _words(found)
    code, error, message = (_words(found.get(name)) for name in ("code", "error", "message"))
    return code or (error if is_code_alone(error) else ""), message or error


def _words(value: Any) -> str:
    """Give a text on one line. An HTML page, of a proxy, says nothing that is worth keeping."""
    text = " ".join(_optional(value).split())
    return "" if text.startswith("<") else text


def retry_after_s(value: str | None, sent: str | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now. Source: RFC 9110, 10.2.3.

    `sent`: the answer's Date header. A date counts from there, by Iron's own clock, and without it for nothing.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(sent or "")).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) else None


def _trace(answer: Answer) -> str:
    """Give Iron's trace id of a fault, which its support asks for; nothing else of the body is shown."""
    try:
        trace = json.loads(answer.content)["trace_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    known = isinstance(trace, str) and len(trace) <= 64 and trace.replace("-", "").isalnum()  # noqa: PLR2004
    return f", trace {trace}" if known else ""


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AnswerUnreadableError
    return value


def _content(answer: Answer) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        raise AnswerUnreadableError(status=answer.status) from None


def _objects(value: Any) -> list[dict[str, Any]]:
    """Read a list of objects; what is missing or null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnswerUnreadableError
    return list(map(_mapping, value))


def _strings(value: Any) -> tuple[str, ...]:
    """Read the texts of a list, whatever else is in it."""
    return tuple(item for item in value if isinstance(item, str) and _is_text(item)) if isinstance(value, list) else ()


def _optional(value: Any) -> str:
    return value if isinstance(value, str) and _is_text(value) else ""


def _requirement(item: dict[str, Any]) -> Requirement:
    """Read one requirement. Only its code is needed; whatever else is odd is left out. Source: iron-api 3.10."""
    reasons, questions = item.get("reject_reasons"), item.get("missing_questions")
    told = [one for one in reasons if isinstance(one, dict)] if isinstance(reasons, list) else []
    asked = [one for one in questions if isinstance(one, dict)] if isinstance(questions, list) else []
    retryable, code, labels = item.get("retryable"), _optional(item.get("code")), _strings(item.get("reject_labels"))
    return Requirement(
        code=code if is_code(code) else "unknown",
        labels=tuple(filter(is_code, labels)),
        retryable=retryable if isinstance(retryable, bool) else None,
        description=_optional(item.get("description")),
        reasons=tuple((_optional(one.get("code")), _optional(one.get("description"))) for one in told),
        questions=tuple(title for one in asked if (title := _optional(one.get("title")))),
        texts=tuple(text for text in (code, *labels) if text and not is_code(text)),
    )


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text or not _is_text(text):
        message = f"Iron's answer has no {name}."
        raise AnswerUnreadableError(message)
    return text


def _is_text(text: str) -> bool:
    """Say whether a string can be written as UTF-8: JSON can name halves of characters, which nothing can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _instant(value: object) -> datetime:
    """Read an RFC 3339 time, whatever its precision and offset; what cannot be read sorts first."""
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        return BEFORE_ALL
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _customer(value: dict[str, Any]) -> Customer:
    ids = value.get("identification_ids")
    return Customer(
        id=_text(value, "id"),
        status=_text(value, "status"),
        external_id=_optional(value.get("external_id")) or None,
        identification_ids=tuple(map(str, ids)) if isinstance(ids, list) else None,
        identification_status=_optional(value.get("identification_status")) or None,
        email=_optional(value.get("email")) or None,
    )


def _identification(value: dict[str, Any]) -> Identification:
    steps = value.get("step_status")
    results = {name: step for name, step in steps.items() if isinstance(step, dict)} if isinstance(steps, dict) else {}
    final = any(step.get("result") == "Declined" and step.get("retry") is False for step in results.values())
    comments = {name: comment for name, step in results.items() if (comment := _optional(step.get("comment")))}
    return Identification(
        id=_text(value, "id"),
        status=_text(value, "status"),
        url=_optional(value.get("url")) or None,
        created_at=_instant(value.get("created_at")),
        may_retry=not final,
        review_comment=_optional(value.get("review_comment")) or None,
        comments=comments,
    )
