"""A request's id, its one log line, and the answer when something unforeseen happens. The outermost middleware.

The line holds the route's pattern and never the address itself, which may hold a secret (`/go/{token}`). A route adds
to it by `note`; only fields on the list in workers/logs.py ever pass.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.gateway.http.problems import ProblemError, answer

log = structlog.get_logger()

REQUEST_ID = "X-Request-ID"
#: An id that a caller may choose: nothing that could be an address, a name or a line break.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Asked for every few seconds by whatever watches us: logged only when they fail.
_PROBES = frozenset({"/healthz", "/readyz"})
#: In the line where there was nobody left to answer. Known from nginx.
CLIENT_GONE = 499


def note(request: Request, **fields: object) -> None:
    """Add fields to the request's line."""
    request.scope["state"]["line"].update(fields)


#: Hears of every answer: route or None, method, status, seconds.
Answered = Callable[[str | None, str, int, float], object]


class RequestLines:
    """Gives every request an id, writes its line, and tells of the answer."""

    def __init__(self, app: ASGIApp, answered: Answered = lambda *_: None) -> None:
        """Wrap the application."""
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(REQUEST_ID, "")
        line: dict[str, Any] = {"request_id": asked if _SANE.fullmatch(asked) else uuid.uuid4().hex}
        scope.setdefault("state", {})["line"] = line
        started = time.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = line["request_id"]
                if scope["path"].startswith("/v1/"):  # what is said of customers is kept in no cache
                    headers["Cache-Control"] = "no-store"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=line["request_id"]):
            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                status = CLIENT_GONE
            except Exception:
                log.exception("request.failed", route=_route(scope))
                if status:
                    raise  # half an answer is out: the connection must end
                await answer(Request(scope), ProblemError("unexpected"))(scope, receive, send_with_id)
            _write(scope, line, status, started)
            self._answered(_route(scope), scope["method"], status, time.monotonic() - started)


def _route(scope: Scope) -> str | None:
    """Return the pattern of the route that was found, never the address."""
    return getattr(scope.get("route"), "path", None)


def _write(scope: Scope, line: dict[str, Any], status: int, started: float) -> None:
    route = _route(scope)
    quiet = route in _PROBES and status < 400  # noqa: PLR2004 -- HTTP: nothing went wrong
    write = log.debug if quiet else log.info
    write("request.answered", route=route, status=status, step_ms=round((time.monotonic() - started) * 1000, 1), **line)
