"""Who is signed in: a session in the ledger that names an API token, and a token in each form that only our pages have.

The browser has a random id, the ledger its digest. A session ends at sign-out, when nobody used it for half an hour,
after a working day, or with its API token. A request that changes something must come from a page of ours: the cookie
is SameSite=Strict, the browser's word on where the request comes from is checked, and so is the form's token.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response

from ops.gateway.http.access import Caller, Door
from pipelines.keys import canonical_json
from workers.ledger import PREFIX, Ledger
from workers.production import is_loopback
from workers.secrets.tokens import ApiToken

#: The cookie. Browsers take one with the prefix only over https, for this host alone and all its paths (RFC 6265bis).
COOKIE = "onboarding_console"
SECURE_COOKIE = f"__Host-{COOKIE}"
#: A session ends after a working day, in seconds, whatever is done in it.
LASTS_S = 10 * 3600
#: It ends when nobody did anything in it for so long, in seconds. That a page keeps itself fresh is nothing done.
IDLE_S = 30 * 60
#: Characters of a token's digest that a session holds: enough to tell that the token has been replaced.
_DIGITS = 16
#: Longest id that is looked for, in characters.
_LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in. `csrf` goes into each form."""

    caller: Caller
    csrf: str


class Sessions:
    """Opens sessions, recognises and ends them. All of it blocks."""

    def __init__(self, ledger: Ledger, door: Door, *, secure: bool) -> None:
        """Take where sessions are kept and who tells tokens. `secure`: the console is reached by https alone."""
        self._ledger, self._door, self._secure = ledger, door, secure

    def open(self, presented: str, request: Request, response: Response) -> ApiToken | None:
        """Sign in the holder of this API token, by a cookie in the response; None: nobody has it."""
        token = self._door.tokens.find(presented.strip())
        if token is None:
            return None
        id_ = secrets.token_urlsafe(32)
        kept = {"name": token.name, "digits": token.digest[:_DIGITS], "ends_ms": self._ledger.now_ms() + LASTS_S * 1000}
        self._ledger.client.set(_place(id_), canonical_json(kept), px=IDLE_S * 1000)
        name, secure = self._cookie(request)
        response.set_cookie(name, id_, max_age=LASTS_S, httponly=True, samesite="strict", secure=secure)
        return token

    def close(self, request: Request, response: Response) -> None:
        """End the session, and take the cookie away."""
        name, secure = self._cookie(request)
        self._ledger.client.delete(_place(request.cookies.get(name, "")))
        response.delete_cookie(name, httponly=True, samesite="strict", secure=secure)

    def of(self, request: Request, *, used: bool = True) -> SignedIn | None:
        """Return who is signed in. `used`: somebody does something, so that the session is not idle."""
        id_ = request.cookies.get(self._cookie(request)[0], "")
        kept = self._ledger.client.get(_place(id_)) if 0 < len(id_) <= _LONGEST_ID else None
        if kept is None:
            return None
        session = json.loads(kept)
        left_ms = session["ends_ms"] - self._ledger.now_ms()
        token = self._door.tokens.holding(session["name"], session["digits"])
        if token is None or left_ms <= 0:
            return None
        if used:
            self._ledger.client.pexpire(_place(id_), min(left_ms, IDLE_S * 1000))
        return SignedIn(Caller(token.name, token.role), _digest("form", id_))

    @property
    def nobody(self) -> bool:
        """Whether there is no API token at all, so that nobody can sign in."""
        return self._door.tokens.nobody()

    def refused(self, request: Request) -> int | None:
        """Count a wrong token; returns the seconds to wait where there were too many."""
        return self._door.attempts.refused(request, "console")

    def genuine(self, request: Request, signed_in: SignedIn, form: Mapping[str, str]) -> bool:
        """Return whether a form was sent by a page of this session."""
        same = hmac.compare_digest(form.get("csrf", "").encode(), signed_in.csrf.encode())
        return from_here(request) and same

    def _cookie(self, request: Request) -> tuple[str, bool]:
        """Name the cookie, and say whether it goes over https alone: everywhere but on this machine."""
        secure = self._secure or not is_loopback(request.url.hostname or "")
        return (SECURE_COOKIE, True) if secure else (COOKIE, False)


def _place(id_: str) -> str:
    return f"{PREFIX}session:{_digest('session', id_)}"


def _digest(purpose: str, id_: str) -> str:
    return hashlib.sha256(f"{purpose} {id_}".encode("utf-8", "surrogateescape")).hexdigest()


def from_here(request: Request) -> bool:
    """Return whether a request comes from a page of ours, as the browser tells: no page can write these headers itself.

    A browser that tells nothing is believed: its requests need the form's token all the same. Source: Fetch Metadata.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
