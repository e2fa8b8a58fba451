"""Who is signed in: a signed cookie that names an API token, and a token in each form that only our own pages have.

Nothing is stored: a session ends with its time, with its API token, or when its key leaves the ring. A request that
changes something must come from a page of ours: the cookie is SameSite=Strict, the browser's word on where the request
comes from is checked, and so is the form's token.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from ops.gateway.http.access import Caller
from workers.secrets.tokens import ApiToken, find
from workers.secrets.vault import derived

COOKIE = "onboarding_console"
#: A session ends after a working day, in seconds, whatever is done in it.
LASTS_S = 10 * 3600
#: Characters of a token's digest that a session holds: enough to tell that the token has been replaced.
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in. `csrf` goes into each form."""

    caller: Caller
    csrf: str


class Sessions:
    """Opens sessions and recognises them."""

    def __init__(self, ring: Sequence[str], tokens: Sequence[ApiToken], *, secure: bool) -> None:
        """Take the encryption keys, newest first, and the API tokens. `secure`: customers reach us by https."""
        # itsdangerous wants the newest last: it signs, all of them verify.
        keys = [urlsafe_b64encode(derived(key, "console session", 32)) for key in reversed(ring)]
        self._cookies = URLSafeTimedSerializer(keys, salt="session")
        self._forms = URLSafeSerializer(keys, salt="form")
        self._tokens = tokens
        self._secure = secure

    def open(self, presented: str, response: Response) -> ApiToken | None:
        """Sign in the holder of this API token, by a cookie in the response; None: nobody has it."""
        token = find(self._tokens, presented.strip())
        if token is None:
            return None
        value = self._cookies.dumps([token.name, token.digest[:_DIGITS], secrets.token_urlsafe(12)])
        response.set_cookie(
            COOKIE,
            str(value),
            max_age=LASTS_S,
            httponly=True,
            samesite="strict",
            secure=self._secure,
        )
        return token

    def close(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._secure)

    def of(self, request: Request) -> SignedIn | None:
        """Return who is signed in."""
        try:
            name, digits, drawn = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=LASTS_S)
        except (BadData, ValueError, TypeError):
            return None
        token = next((token for token in self._tokens if (token.name, token.digest[:_DIGITS]) == (name, digits)), None)
        return SignedIn(Caller(token.name, token.role), str(self._forms.dumps(drawn))) if token else None

    @property
    def nobody(self) -> bool:
        """Whether there is no API token at all, so that nobody can sign in."""
        return not self._tokens

    def genuine(self, request: Request, signed_in: SignedIn, form: Mapping[str, str]) -> bool:
        """Return whether a form was sent by a page of this session."""
        same = secrets.compare_digest(form.get("csrf", "").encode(), signed_in.csrf.encode())
        return from_here(request) and same


def from_here(request: Request) -> bool:
    """Return whether a request comes from a page of ours, as the browser tells: no page can write these headers itself.

    A browser that tells nothing is believed: its requests need the form's token all the same. Source: Fetch Metadata.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
