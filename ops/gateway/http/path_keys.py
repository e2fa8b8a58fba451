"""Idempotency keys in addresses: a key may hold any printable character, also `/` and `%`.

A server decodes an address before it looks for the route, and an encoded slash would then end a segment. So the two
are kept encoded until the route is found, and decoded where the key is read.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.keys import composed


class Segments:
    """Middleware that keeps `%2F` and `%25` of an address encoded until its route is found."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        raw = scope.get("raw_path", b"")
        if b"%" in raw:
            path = raw.partition(b"?")[0].decode("latin-1")
            for code in ("%25", "%2F", "%2f"):
                path = path.replace(code, "%25" + code[1:])
            scope = {**scope, "path": unquote(path)}
        await self._app(scope, receive, send)


def key_of(segment: str) -> str:
    """Read the key from a segment of an address, in the form in which keys are stored."""
    return composed(unquote(segment))


#: What a route with `{key}` in its path writes to have the key: `def route(key: Key) -> ...`.
Key = Annotated[
    str,
    AfterValidator(key_of),
    Path(description="The customer's idempotency key, percent-encoded.", min_length=1),
]


def address_of(key: str) -> str:
    """Write the address of an onboarding."""
    return f"/v1/onboardings/{quote(key, safe='')}"
