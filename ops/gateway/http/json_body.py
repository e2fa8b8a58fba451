"""Reading a JSON body strictly: UTF-8, no name twice, no number that is none, nothing nested without end.

What two parsers could read in two ways is refused, and so is what would be stored without anybody being able to see it.
Source: RFC 8259, RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Request

from ops.gateway.http.body_limits import BODY_WITHIN_S, read_body
from ops.gateway.http.problems import ProblemError

#: What a JSON body of ours may hold at most, in bytes: room for the documents of a company, base64-encoded.
LIMIT_BYTES = 32 * 1024 * 1024
#: The refusals of `json_body`, for a route's documentation.
REFUSALS = ("not_json", "body_too_slow", "body_too_large", "media_type_unsupported")


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
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProblemError("not_json", "The body is not text in UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ProblemError("not_json", f"The body is not JSON ({where}).") from None
    except RecursionError:
        raise ProblemError("not_json", "The body is nested too deeply.") from None
    except _StrictError as error:
        raise ProblemError("not_json", str(error)) from None
    except ValueError:  # Python converts no number of thousands of digits
        raise ProblemError("not_json", "The body holds a number with too many digits.") from None


class _StrictError(Exception):
    """It is JSON, and not clear what it says."""


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _StrictError("An object holds the same name twice.")
        found[name] = value
    return found


def _constant(_: str) -> NoReturn:
    raise _StrictError("NaN and Infinity are not JSON numbers.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
