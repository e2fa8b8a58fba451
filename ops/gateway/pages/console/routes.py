"""All routes of the console, and the guard before them: who is signed in, and that forms are our own."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from ops.gateway import pages
from ops.gateway.http.request_log import note
from ops.gateway.pages.console import acting, imports, looking
from ops.gateway.pages.console.desk import Desk
from ops.gateway.pages.console.page import Page, PageError, SignInError, asset, fields_of, local, rendered
from ops.gateway.pages.console.session import Sessions, from_here

#: What the console's script says of its requests.
SCRIPTED = "x-requested-with"
#: What the form of the sign-in may be, in bytes: anybody may send it.
LOGIN_BYTES = 8 * 1024


def routes(desk: Desk, sessions: Sessions) -> APIRouter:
    """Make the routes."""

    async def let_in(request: Request) -> None:
        used = request.headers.get(SCRIPTED) is None  # a page that keeps itself fresh is nobody who does something
        signed_in = await run_in_threadpool(sessions.of, request, used=used)
        if signed_in is None:
            raise SignInError
        request.state.signed_in = signed_in
        note(request, name=signed_in.caller.name, role=signed_in.caller.role.value)
        if request.method == "POST":
            request.state.form = await fields_of(request)
            if not sessions.genuine(request, signed_in, request.state.form):
                raise PageError(403, "This form has expired", "Nothing was changed. Open the page again and repeat.")

    router = APIRouter(route_class=Page, include_in_schema=False)
    inside = APIRouter(route_class=Page, include_in_schema=False, dependencies=[Depends(let_in)])
    _signing_in(router, inside, sessions)
    for part in (looking, acting, imports):
        part.add(inside, desk)
    router.routes.extend(inside.routes)  # as app.py does it
    return router


def _signing_in(outside: APIRouter, inside: APIRouter, sessions: Sessions) -> None:
    @outside.get("/console/static/{version}/{name}")
    async def static(version: str, name: str) -> Response:  # noqa: ARG001 -- the version makes the address a new one
        return asset(name)

    @outside.get("/console/login")
    def login(request: Request) -> Response:
        following = local(request.query_params.get("next", ""))
        return rendered(request, "login.html", next=following, wrong=False, nobody=sessions.nobody)

    @outside.post("/console/login")
    async def enter(request: Request) -> Response:
        form = await fields_of(request, LOGIN_BYTES)
        following = local(form.get("next", ""))
        answer = pages.see(following)
        given = form.get("token", "") if from_here(request) else ""
        token = await run_in_threadpool(sessions.open, given, request, answer)
        if token is None:
            return await run_in_threadpool(_not_let_in, request, sessions, following)
        note(request, name=token.name, role=token.role.value, outcome="signed_in")
        return answer

    @inside.post("/console/logout")
    def leave(request: Request) -> Response:
        answer = pages.see("/console/login")
        sessions.close(request, answer)
        return answer


def _not_let_in(request: Request, sessions: Sessions, following: str) -> Response:
    """Refuse a token that is none; too many of them are slowed down."""
    wait_s = sessions.refused(request)
    note(request, outcome="refused", reason="too_many_attempts" if wait_s else "token_unknown")
    status, nobody = 429 if wait_s else 401, sessions.nobody
    answer = rendered(request, "login.html", status=status, next=following, wrong=True, nobody=nobody)
    if wait_s:
        answer.headers["Retry-After"] = str(wait_s)
    return answer
