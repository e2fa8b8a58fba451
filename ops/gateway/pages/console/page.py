"""What all pages of the console share: how they are written, how a form is read, and refusals that are pages too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

import redis
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from ops.gateway import pages
from ops.gateway.http.access import ACCESS, Caller
from ops.gateway.http.body_limits import BODY_WITHIN_S, read_body
from ops.gateway.http.problems import PROBLEMS, ProblemError
from ops.gateway.http.request_log import note
from ops.gateway.pages.console.session import SignedIn
from ops.gateway.pages.console.words import ago, span
from pipelines.times import timestamp

#: A form is at most so large, in bytes: room for a corrected job with some documents.
FORM_BYTES = 4 * 1024 * 1024
#: Fields that a form may have.
FIELDS = 20

_PACKAGE = "ops.gateway.pages.console"
_TEMPLATES = pages.templates(_PACKAGE)
_TYPES = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}
_TEXTS = {name: pages.text_of(_PACKAGE, name) for name in _TYPES}
#: Addresses of what never changes while it is called so.
_ASSETS = {
    name.partition(".")[2]: f"/console/static/{hashlib.sha256(text.encode()).hexdigest()[:12]}/{name}"
    for name, text in _TEXTS.items()
}
#: With no referrer at all a browser hides from us, too, that a form comes from our own page.
_HEADERS = {"Referrer-Policy": "same-origin"}
_POLICY = pages.policy(style_src="'self'", script_src="'self'", connect_src="'self'", form_action="'self'")


class PageError(Exception):
    """There is no such page, or it is not for this role; `text` says it to the person who asked."""

    def __init__(self, status: int, heading: str, text: str) -> None:
        """Take the HTTP status, and what the page says."""
        super().__init__(heading)
        self.status = status
        self.heading = heading
        self.text = text


class SignInError(Exception):
    """Nobody is signed in."""


class Page(APIRoute):
    """A route whose refusals are pages, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInError:
                return _to_sign_in(request)
            except (PageError, ProblemError, RequestValidationError, redis.RedisError) as error:
                return _refused(request, _page_of(error))

        return handled


async def _present(request: Request) -> SignedIn:
    signed_in: SignedIn = request.state.signed_in  # put there by the guard of the router
    return signed_in


async def _form(request: Request) -> dict[str, str]:
    form: dict[str, str] = request.state.form
    return form


#: What a page writes to know who is signed in, and to have the fields of a form that one of our own pages sent.
Present = Annotated[SignedIn, Depends(_present)]
Form = Annotated[dict[str, str], Depends(_form)]


def rendered(
    request: Request, template: str, present: SignedIn | None = None, *, status: int = 200, **values: Any
) -> Response:
    """Write a page."""
    html = _TEMPLATES.get_template(template).render(
        assets=_ASSETS, present=present, path=request.url.path, ago=ago, span=span, utc=timestamp, **values
    )
    return pages.page(html, _POLICY, status, _HEADERS)


def asset(name: str) -> Response:
    """Return the style or the script."""
    if name not in _TEXTS:
        raise PageError(404, "No such page", "Use the menu above.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(_TEXTS[name], headers=headers, media_type=_TYPES[name])


async def fields_of(request: Request, limit_bytes: int = FORM_BYTES) -> dict[str, str]:
    """Read a form. Raises ProblemError."""
    body = await read_body(request, limit_bytes, BODY_WITHIN_S)
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError:
        raise ProblemError("bad_request", "The form is malformed. Nothing was changed.") from None


def must(caller: Caller, route: str) -> None:
    """Refuse who may not use this route. Raises PageError."""
    if not caller.may(route):
        may = ", ".join(sorted(ACCESS[route]))
        text = f"You are signed in as {caller.name}, role {caller.role}; allowed: {may}. Nothing was changed."
        raise PageError(403, "Your role cannot do this", text)


def local(address: str) -> str:
    """Take an address only where it is one of the console's own pages."""
    inside = address.startswith("/console/") and "\\" not in address and address.isprintable()
    return address if inside and not address.startswith("/console/log") else "/"


def _to_sign_in(request: Request) -> Response:
    """Let somebody sign in, and then see the page that was asked for."""
    wanted = local(f"{request.url.path}?{request.url.query}".rstrip("?")) if request.method == "GET" else "/"
    return pages.see("/console/login" + (f"?{urlencode({'next': wanted})}" if wanted != "/" else ""))


def _page_of(error: Exception) -> PageError:
    """Turn what is raised below a page into what it says."""
    match error:
        case PageError():
            return error
        case ProblemError():
            return PageError(PROBLEMS[error.code][0], "This is not possible", error.detail)
        case redis.RedisError():
            text = "Redis is not reachable. Nothing was changed and nothing is lost. Reload in a minute."
            return PageError(503, "The ledger does not answer", text)
        case _:
            return PageError(400, "This address is invalid", "Use the menu above.")


def _refused(request: Request, error: PageError) -> Response:
    note(request, outcome="refused", reason=error.heading)
    present = getattr(request.state, "signed_in", None)
    return rendered(request, "refused.html", present, status=error.status, heading=error.heading, text=error.text)
