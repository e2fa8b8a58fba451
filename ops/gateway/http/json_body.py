"""Reading a JSON body strictly, as every door reads JSON, within limits of size and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from ops.gateway.http.body_limits import BODY_WITHIN_S, read_body
from ops.gateway.http.problems import ProblemError
from pipelines import strict_json
from pipelines.strict_json import StrictJsonError

#: What a job may hold at most, in bytes: room for the documents of a company, base64-encoded.
LIMIT_BYTES = 32 * 1024 * 1024
#: What any other JSON body of ours may hold at most, in bytes.
SMALL_BYTES = 64 * 1024
#: Values in one body at most: a company with all its documents has some thousand.
MOST_VALUES = 100_000
#: A body above this is read in a thread, in bytes: answers beside it go on.
IN_A_THREAD_BYTES = 64 * 1024
#: Bodies above that size which are in memory at a time; further ones wait, unread.
LARGE_AT_ONCE = 8
#: The refusals of `json_body`, for a route's documentation.
REFUSALS = ("not_json", "body_encoded", "body_too_slow", "body_too_large", "media_type_unsupported")


def json_body(limit_bytes: int = SMALL_BYTES, within_s: float = BODY_WITHIN_S) -> Callable[[Request], Awaitable[Any]]:
    """Make the dependency that gives a route the value of its body."""

    async def read(request: Request) -> Any:
        must_be_json(request)
        async with room_for(request):
            body = await read_body(request, limit_bytes, within_s)
            return parse_json(body) if len(body) <= IN_A_THREAD_BYTES else await run_in_threadpool(parse_json, body)

    return read


#: A strict JSON body as a route writes it: `def route(body: JsonBody) -> ...`.
JsonBody = Annotated[Any, Depends(json_body())]
#: The same for a body that holds a whole job.
JobBody = Annotated[Any, Depends(json_body(LIMIT_BYTES))]


@contextlib.asynccontextmanager
async def room_for(request: Request) -> AsyncIterator[None]:
    """Wait for a place in memory where a body says that it is large, or does not say how long it is."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) <= IN_A_THREAD_BYTES:
        yield
        return
    state = request.app.state
    if not hasattr(state, "large_bodies"):
        state.large_bodies = asyncio.Semaphore(LARGE_AT_ONCE)
    async with state.large_bodies:
        yield


def must_be_json(request: Request) -> None:
    """Refuse a body that says it is something else. Raises ProblemError."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ProblemError("media_type_unsupported", "Send JSON with the header `Content-Type: application/json`.")


def parse_json(body: bytes) -> Any:
    """Read a value. Raises ProblemError saying what is wrong, never what was sent.

    Every value after the first of an object or a list has a comma before it: so many are refused before any is made.
    """
    if body.count(b",") > MOST_VALUES:
        raise ProblemError("body_too_large", f"A body holds at most {MOST_VALUES:,} values.")
    try:
        return strict_json.parse(body)
    except StrictJsonError as error:
        text = f"The body {error.predicate}"
        errors = [{"pointer": "", "code": error.code, "text": text}]
        raise ProblemError("not_json", text, errors=errors) from None
