"""Reading a body within a limit of size and one of time: no caller fills the memory or holds a place for long.

Every body is read here. One that is compressed is refused before its first byte: what it becomes has no limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from ops.gateway.http.problems import ProblemError

#: A whole body is to arrive within this time, in seconds: a megabyte over a poor link, and no more patience than that.
BODY_WITHIN_S = 10.0

#: What is left of a refused body is not read: the connection ends with the answer.
_CLOSE = {"Connection": "close"}


async def read_body(request: Request, limit_bytes: int, within_s: float = BODY_WITHIN_S) -> bytes:
    """Read the whole body.

    Raises ProblemError: body_encoded, or body_too_large, also before the first byte; or body_too_slow.
    """
    parts: list[bytes] = []
    await receive(request, parts.append, limit_bytes, within_s)
    return b"".join(parts)


async def receive(request: Request, keep: Callable[[bytes], object], limit_bytes: int, within_s: float) -> None:
    """Hand the body on part by part as it arrives. Raises as `read_body` does."""
    _refuse_encoded(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    size = 0
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                size += len(part)
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                keep(part)
    except TimeoutError:
        detail = f"The whole body must arrive within {within_s:g} seconds."
        raise ProblemError("body_too_slow", detail, headers=_CLOSE) from None


def _refuse_encoded(request: Request) -> None:
    """Refuse what is compressed; the answer says what is taken. Source: RFC 9110, sections 12.5.3 and 15.5.16."""
    codings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    if any(coding.strip() not in ("", "identity") for coding in codings):
        text = "Send the body as it is, without Content-Encoding."
        raise ProblemError("body_encoded", text, headers={"Accept-Encoding": "identity", **_CLOSE})


def _too_large(limit_bytes: int) -> ProblemError:
    return ProblemError("body_too_large", f"The limit is {limit_bytes // 1024} KB.", headers=_CLOSE)
