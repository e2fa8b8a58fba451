"""Reading a JSON body strictly, as every door reads JSON, within limits of size and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from ops.gateway.http.body_limits import BODY_WITHIN_S, read_body
from ops.gateway.http.problems import ProblemError
from pipelines import strict_json
from pipelines.strict_json import StrictJsonError

#: What a JSON body of ours may hold at most, in bytes: room for the documents of a company, base64-encoded.
LIMIT_BYTES = 32 * 1024 * 1024
#: The refusals of `json_body`, for a route's documentation.
REFUSALS = ("not_json", "body_encoded", "body_too_slow", "body_too_large", "media_type_unsupported")


def json_body(limit_bytes: int = LIMIT_BYTES, within_s: float = BODY_WITHIN_S) -> Callable[[Request], Awaitable[Any]]:
    """Make the dependency that gives a route the value of its body."""

    async def read(request: Request) -> Any:
        must_be_json(request)
        return parse_json(await read_body(request, limit_bytes, within_s))

    return read


#: A strict JSON body as a route writes it: `def route(body: JsonBody) -> ...`.
JsonBody = Annotated[Any, Depends(json_body())]


def must_be_json(request: Request) -> None:
    """Refuse a body that says it is something else. Raises ProblemError."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ProblemError("media_type_unsupported", "Send JSON with the header `Content-Type: application/json`.")


def parse_json(body: bytes) -> Any:
    """Read a value. Raises ProblemError saying what is wrong, never what was sent."""
    try:
        return strict_json.parse(body)
    except StrictJsonError as error:
        text = f"The body {error.predicate}"
        errors = [{"pointer": "", "code": error.code, "text": text}]
        raise ProblemError("not_json", text, errors=errors) from None
