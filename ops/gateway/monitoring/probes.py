"""`GET /healthz` and `GET /readyz`: whether the process lives, and whether it can do its work now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ops.gateway.http.problems import ProblemError, documented
from ops.gateway.http.request_log import note

#: A part that takes longer to answer is away, in seconds: shorter than the caller's time limit.
ANSWER_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Something without which the gateway cannot work."""

    name: str
    #: Raises redis.RedisError when the part is away. Called in a thread.
    ask: Callable[[], object]
    remedy: str


def routes(parts: tuple[Part, ...], within_s: float = ANSWER_WITHIN_S) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["probes"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        """Answer. Asks nothing of anybody: a restart repairs no Redis."""
        return {"status": "alive"}

    @router.get("/readyz", summary="Whether requests can be served", responses=documented("not_ready"))
    async def readyz(request: Request) -> JSONResponse:
        """Ask every part at once."""
        checks = await asyncio.gather(*(_check(part, within_s) for part in parts))
        away = [check for check in checks if not check["ok"]]
        if away:
            note(request, reason=",".join(check["name"] for check in away))
            raise ProblemError(
                "not_ready", " ".join(f"{check['text']} {check['remedy']}" for check in away), checks=checks
            )
        return JSONResponse({"status": "ready", "checks": checks})

    return router


async def _check(part: Part, within_s: float) -> Mapping[str, Any]:
    """Ask one part; the text names the kind of error only, because its own text holds the address."""
    try:
        async with asyncio.timeout(within_s):
            await asyncio.to_thread(part.ask)
    except TimeoutError:
        text = f"The {part.name} did not answer within {within_s:g} seconds."
    except redis.RedisError as error:
        text = f"The {part.name} does not answer ({type(error).__name__})."
    else:
        return {"name": part.name, "ok": True}
    return {"name": part.name, "ok": False, "text": text, "remedy": part.remedy}
