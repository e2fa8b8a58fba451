"""Answers and refusals in the provider's forms (its error bodies: JSON string, plain text for 401, an object for 500).

A refusal is raised anywhere below the core and becomes an answer in one place.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html"

#: How a connection may end without an answer: closed at once, or silent until the caller gives up.
Lost = Literal["reset", "timeout"]

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(slots=True)
class Answer:
    """One HTTP answer, and what happens to it on its way back.

    `delay_s` and `lost` are for the edges: the core itself neither sleeps nor closes anything.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    extra_headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    lost: Lost | None = None
    #: Comes without the headers that an answer has otherwise.
    bare: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """All headers of the answer, names in lower case."""
        headers = {} if self.bare else dict(self.extra_headers)
        if self.body and not self.bare:
            headers["content-type"] = self.content_type
        headers["content-length"] = str(len(self.body))
        return headers

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


class RefusalError(Exception):
    """The request is refused. Raised before any effect, so nothing has changed."""

    def __init__(self, status: int, text: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


def answer_json(status: int, value: object) -> Answer:
    """Answer with a JSON value."""
    return Answer(status, encode(value).encode())


def refuse(
    status: int,
    text: str,
    *,
    form: str = "string",
    unauthorized: str = "text",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Answer an error in the form the provider uses for its status, or in the `form` a switch asks for.

    `unauthorized`: the form of a 401 where the others are strings.
    """
    answer = Answer(status, extra_headers=dict(headers or {}))
    if form == "empty":
        return answer
    if status == 401 and form == "string":
        form = unauthorized
    if form == "text":
        answer.body, answer.content_type = text.encode(), TEXT
    elif status == 500 or form == "object":
        answer.body = encode({"message": text, "trace_id": "00-sandbox-00"}).encode()
    elif status in {502, 503, 504}:
        answer.body, answer.content_type = _page(status).encode(), HTML
    else:
        answer.body = encode(text).encode()
    return answer


def _page(status: int) -> str:
    """Write what a proxy in front of the provider would say."""
    title = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}[status]
    return f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>"
