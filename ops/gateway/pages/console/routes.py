"""All routes of the console, and the guard before them: who is signed in, and that forms are our own."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from ops.gateway import pages
from ops.gateway.http.request_log import note
from ops.gateway.pages.console import acting, imports, looking
from ops.gateway.pages.console.desk import Desk
from ops.gateway.pages.console.page import Page, PageError, SignInError, asset, fields_of, local, rendered
from ops.gateway.pages.console.session import Sessions, from_here

#: What the form of the sign-in may be, in bytes: anybody may send it.
LOGIN_BYTES = 8 * 1024


def routes(desk: Desk, sessions: Sessions) -> APIRouter:
    """Make the routes."""

    async def let_in(request: Request) -> None:
        signed_in = sessions.of(request)
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
    async def login(request: Request) -> Response:
        following = local(request.query_params.get("next", ""))
        return rendered(request, "login.html", next=following, wrong=False, nobody=sessions.nobody)

    @outside.post("/console/login")
    async def enter(request: Request) -> Response:
        form = await fields_of(request, LOGIN_BYTES)
        following = local(form.get("next", ""))
        answer = pages.see(following)
        token = sessions.open(form.get("token", ""), answer) if from_here(request) else None
        if token is None:
            note(request, outcome="refused", reason="token_unknown")
            return rendered(request, "login.html", status=401, next=following, wrong=True, nobody=sessions.nobody)
        note(request, name=token.name, role=token.role.value, outcome="signed_in")
        return answer

    @inside.post("/console/logout")
    async def leave() -> Response:
        answer = pages.see("/console/login")
        sessions.close(answer)
        return answer
