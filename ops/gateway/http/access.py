"""Who may use which route: the one table of roles and routes, and the guard in front of every route below /v1.

Every route below /v1/ is guarded, wherever it is declared, and one that is not in the table answers nobody.
Source: contract section 6; RFC 6750 for the bearer token and its refusals.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from ops.gateway.http.attempts import Attempts, too_many
from ops.gateway.http.problems import ProblemError, documented
from ops.gateway.http.request_log import note
from workers.secrets.stored_tokens import KnownTokens
from workers.secrets.tokens import ApiToken, Role

#: Below this, every route wants a token.
GUARDED = "/v1/"

_EVERYBODY = frozenset(Role)
_SUBMIT = frozenset({Role.SUBMITTER, Role.OPERATOR, Role.ADMIN})
_OPERATE = frozenset({Role.OPERATOR, Role.ADMIN})
_PERSONAL = frozenset({Role.COMPLIANCE, Role.ADMIN})

#: Method and path of each route -> the roles that may use it.
ACCESS: Mapping[str, frozenset[Role]] = {
    "POST /v1/onboardings": _SUBMIT,
    "GET /v1/onboardings": _EVERYBODY,
    "GET /v1/onboardings/{key}": _EVERYBODY,
    "GET /v1/onboardings/{key}/history": _EVERYBODY,
    "GET /v1/onboardings/{key}/personal": _PERSONAL,
    "POST /v1/onboardings/{key}/signings": _SUBMIT,
    "POST /v1/onboardings/{key}/actions/retry": _OPERATE,
    "POST /v1/onboardings/{key}/actions/correct": _OPERATE,
    "POST /v1/onboardings/{key}/actions/restart": _OPERATE,
    "POST /v1/onboardings/{key}/actions/cancel": _OPERATE,
    "POST /v1/onboardings/{key}/actions/reidentify": _OPERATE | _PERSONAL,
    "POST /v1/onboardings/{key}/actions/revoke-links": _OPERATE,
    "POST /v1/onboardings/{key}/actions/archive": _PERSONAL,
    "POST /v1/find": _EVERYBODY,
    "GET /v1/summary": _EVERYBODY,
    "GET /v1/events": _EVERYBODY,
    "GET /v1/refused": _EVERYBODY,
    "POST /v1/imports": _SUBMIT,
    "GET /v1/imports": _EVERYBODY,
    "GET /v1/imports/{name}": _EVERYBODY,
    "GET /v1/imports/{name}/report": _SUBMIT | _PERSONAL,
    "POST /v1/imports/{name}/actions/pause": _OPERATE,
    "POST /v1/imports/{name}/actions/resume": _OPERATE,
}

#: Who may find a customer by e-mail address.
FIND_BY_EMAIL = frozenset({Role.OPERATOR, Role.COMPLIANCE, Role.ADMIN})

#: What any guarded route may answer with.
_REFUSALS = (
    "token_missing",
    "token_unknown",
    "too_many_attempts",
    "role_insufficient",
    "ledger_away",
    "api_tokens_missing",
)

_CREDENTIALS = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_CHALLENGE = 'Bearer realm="onboarding"'

_NO_TOKENS = (
    "There is no API token, so nobody can use the API. Make one with `onboarding tokens new NAME --role R --store`: it"
    " is good within seconds."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: the token's name, which goes into histories as who acted, and its role."""

    name: str
    role: Role

    def may(self, route: str) -> bool:
        """Return whether this role may use a route, named as in ACCESS."""
        return self.role in ACCESS[route]


@dataclass(frozen=True, slots=True)
class Door:
    """What tells who is calling: the tokens that are good, and what counts those that are not."""

    tokens: KnownTokens
    attempts: Attempts


#: Lets a request through to its route, or raises ProblemError.
Guard = Callable[[Request], Awaitable[None]]


def guard(door: Door) -> Guard:
    """Make what lets a request through to its route, or raises ProblemError."""

    async def check(request: Request) -> None:
        path: str = request.scope["route"].path
        if not path.startswith(GUARDED):
            return
        caller, route = await _recognised(request, door), f"{request.method} {path}"
        if not caller.may(route):
            may = ", ".join(sorted(ACCESS[route]))
            raise ProblemError(
                "role_insufficient",
                f"Role {caller.role}; allowed: {may}.",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope"'},
            )
        request.state.caller = caller

    return check


def behind(check: Guard, app: ASGIApp) -> ASGIApp:
    """Put the guard in front of what answers for a route."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        await check(Request(scope, receive, send))
        await app(scope, receive, send)

    return answered


async def _recognised(request: Request, door: Door) -> Caller:
    """Find out who is calling: at once where the token is at hand, else in a thread, since that asks the ledger."""
    given = _given(request)
    token = door.tokens.at_hand(given) if given else None
    return _noted(request, token) if token else await run_in_threadpool(identified, request, door)


def identified(request: Request, door: Door) -> Caller:
    """Find out who is calling, and note it in the request's line. Blocks. Raises ProblemError."""
    given = _given(request)
    if token := door.tokens.find(given) if given else None:
        return _noted(request, token)
    if door.tokens.nobody():
        raise ProblemError("api_tokens_missing", _NO_TOKENS)
    if given is None:
        text = "Send the header `Authorization: Bearer <token>`."
        raise ProblemError("token_missing", text, headers={"WWW-Authenticate": _CHALLENGE})
    if wait_s := door.attempts.refused(request, "api"):
        raise too_many(wait_s)
    raise ProblemError("token_unknown", headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'})


def _given(request: Request) -> str | None:
    found = _CREDENTIALS.fullmatch(request.headers.get("authorization", ""))
    return found[1] if found else None


def _noted(request: Request, token: ApiToken) -> Caller:
    note(request, name=token.name, role=token.role.value)
    return Caller(token.name, token.role)


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller  # put there by the guard
    return caller


#: What a route writes to learn who is calling: `def route(caller: Who) -> ...`.
Who = Annotated[Caller, Depends(_caller)]


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals of a guarded route for OpenAPI: those of the guard, and these of its own."""
    return documented(*_REFUSALS, *codes)
