"""An answer of Iron as it came, and what a status, a header or a lost answer means. Source: iron-api 1.4 to 1.6."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

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
from pipelines.iron.values import optional
from pipelines.pauses import retry_after_s

#: Characters that are kept of what Iron says with a refusal.
LONGEST_SAID = 500
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


class Answer(NamedTuple):
    """An answer that was read to its end."""

    status: int
    headers: httpx.Headers
    content: bytes


def transport_error(error: Exception) -> Exception:
    """Translate what the transport raised; anything that is not httpx's is not ours to judge."""
    for kind, meaning in TRANSPORT_ERRORS:
        if isinstance(error, kind):
            return meaning(_sentence(meaning, type(error).__name__))
    return error


def status_error(answer: Answer) -> IronError:
    """Return the error that a status is."""
    status = answer.status
    meaning = STATUS_ERRORS.get(status) or (
        ServerFaultError if status >= 500 else RequestRefusedError if status >= 400 else AnswerUnreadableError  # noqa: PLR2004
    )
    if meaning is RateLimitedError:
        headers = answer.headers
        return RateLimitedError(retry_after_s=retry_after_s(headers.get("retry-after"), headers.get("date")))
    said, code = said_with(answer), code_with(answer)
    text = f"HTTP {status}{code and f', {code}'}{_trace(answer)}"
    error = meaning(_sentence(meaning, text), status=status, said=said)
    error.iron_code = code
    return error


def _sentence(meaning: type[Exception], detail: str) -> str:
    """Return the message of an error, with a detail in brackets at the end of its first sentence."""
    first, _, rest = (meaning.__doc__ or "").strip().partition(". ")
    return f"{first.rstrip('.')} ({detail}). {rest}".rstrip()


def answered_by(answer: Answer) -> str:
    """Return the API version that an answer names; "" where it names none, or nothing like a version."""
    named = answer.headers.get("x-api-version", "")
    return named if VERSION.fullmatch(named) else ""


def said_with(answer: Answer) -> str:
    """Return the text of a refusal. It may hold personal data; what is given as a code and is none is text too."""
    code, text = _refusal(answer)
    return ": ".join(part for part in ("" if is_code(code) else code, text) if part)[:LONGEST_SAID]


def code_with(answer: Answer) -> str:
    """Return the code of a refusal, which says nothing about a person; "" where there is none."""
    code, text = _refusal(answer)
    return code if is_code(code) else text if is_code_alone(text) else ""


def _refusal(answer: Answer) -> tuple[str, str]:
    """Return what a refusal calls its code, and its text: a JSON string, members of an object, or plain text.

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
    """Return a text on one line. An HTML page, of a proxy, says nothing that is worth keeping."""
    text = " ".join(optional(value).split())
    return "" if text.startswith("<") else text


def _trace(answer: Answer) -> str:
    """Return Iron's trace id of a fault, which its support asks for; nothing else of the body is shown."""
    try:
        trace = json.loads(answer.content)["trace_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    known = isinstance(trace, str) and len(trace) <= 64 and trace.replace("-", "").isalnum()  # noqa: PLR2004
    return f", trace {trace}" if known else ""


def content_of(answer: Answer) -> Any:
    """Return the JSON of an answer. Raises AnswerUnreadableError."""
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        raise AnswerUnreadableError(status=answer.status) from None
