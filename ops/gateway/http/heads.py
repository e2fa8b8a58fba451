"""HEAD wherever GET is: answered as GET is, without the body. Source: RFC 9110, section 9.3.2.

Uptime monitors and balancers ask so. Middleware, so that no route has to say it.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Asks what is inside for GET, and keeps the body back."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope.get("method") != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inside = {**scope, "method": "GET"}
        try:
            await self._app(inside, receive, send_head)
        finally:
            if "route" in inside:  # for the request's line
                scope["route"] = inside["route"]
