"""The routes of the customer's page. GET and HEAD read one record and change nothing; POST is the button.

The button leads to the hosted page, after a look at Iron where the record's last one is some time ago; or it asks for a
new round, which is an act like every other: a worker decides and does it. Nothing here calls Iron.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import redis
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from ops.gateway import pages
from ops.gateway.http.request_log import note
from ops.gateway.pages.customer.situation import Name, Situation, situation
from ops.gateway.pages.customer.texts import LANGUAGES, NOBODY, PHRASES, SITUATIONS, language
from pipelines.iron.values import web_link
from pipelines.plain_reasons import for_customer
from workers.ledger import Ledger, Nudge, Read
from workers.secrets.links import CustomerLinks, LinkRevokedError, LinkUnknownError

T = TypeVar("T")

#: Pauses after which a page whose situation is changing looks again, in seconds; after the last a person has to ask.
AGAIN_S = (2, 2, 3, 3, 5, 5, 8, 8, 13, 13, 20, 20, 30, 30)
#: A record written so recently is taken as it is; one that is older is read again at Iron first, in milliseconds. This
#: also bounds what pressing the button can cost: one look at Iron in so much time.
FRESH_MS = 30_000
#: How long the button waits for that look, in seconds; then it leads to the page that is known.
LOOK_WITHIN_S = 2.5
#: Pause between two looks at the record meanwhile, in seconds.
LOOK_EVERY_S = 0.1
#: A ledger that takes longer to answer is away, in seconds.
ANSWER_WITHIN_S = 3.0

#: Who did it, for the history.
BY = "The customer"

_STATUS: dict[str, int] = {"closed": 410, "revoked": 410, "unknown": 404, "away": 503}
_PAGE: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such link: changed or cut off.", "content": {"text/html": {}}},
    410: {
        "description": "The link was revoked, or the customer was cancelled or closed.",
        "content": {"text/html": {}},
    },
    503: {"description": "The database is not reachable.", "content": {"text/html": {}}},
}

_TEMPLATES = pages.templates("ops.gateway.pages.customer")
_CSS = pages.text_of("ops.gateway.pages.customer", "page.css")
_STYLE = pages.source_of(_CSS)

#: Nothing that a customer's browser sends is refused: an unknown language counts as none.
Asked = Annotated[str | None, Query(alias="lang", description="`en` or `de`; else what the browser prefers.")]


@dataclass(frozen=True, slots=True)
class Visits:
    """What the page needs. The ledger and `send` are called in threads."""

    ledger: Ledger
    links: CustomerLinks
    #: Puts a nudge on the queue; raises redis.RedisError when the broker is away, and then the pulse sends it.
    send: Callable[[Nudge], None]
    #: The company's name as its customers know it.
    company: str | None = None
    look_within_s: float = LOOK_WITHIN_S

    def read(self, token: str) -> Read:
        """Read the record of a link. Raises LinkUnknownError, LinkRevokedError or redis.RedisError."""
        return self.links.read(self.ledger, token)

    def renew(self, key: str) -> None:
        """Ask for a new round in the customer's name."""
        self._send(self.ledger.act(key, {"act": "renew", "by": BY}))

    def wake(self, customer_id: str) -> None:
        """Let a worker read this customer at Iron now."""
        self._send(self.ledger.wake(customer_id))

    def _send(self, nudge: Nudge | None) -> None:
        if nudge is not None:
            try:
                self.send(nudge)
            except redis.RedisError:
                return  # what was stored is due within seconds


def routes(visits: Visits) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["customer's link"], default_response_class=HTMLResponse)

    async def look(request: Request, token: str, lang: Asked = None) -> Response:
        """Return the page with the customer's status."""
        return _page(request, visits, await _situation(request, visits, token), lang)

    router.get(
        "/go/{token}",
        summary="The customer's page: shows the status, and changes nothing",
        responses={200: {"content": {"text/html": {}}}, **_PAGE},
    )(look)

    @router.post(
        "/go/{token}",
        summary="Go on to the hosted page, or ask for a new round",
        status_code=303,
        responses={303: {"description": "To the hosted page, or back to this one.", "content": {}}, **_PAGE},
    )
    async def press(request: Request, token: str, lang: Asked = None) -> Response:
        """Do what the button says."""
        try:
            found = await _pressed(visits, token)
        except _REFUSED as error:
            return _page(request, visits, _refused(request, error), lang)
        note(request, outcome="led" if found.button == "open" else found.button or found.name)
        if found.link is not None and web_link(found.link, plain=True):
            return pages.see(found.link)
        return pages.see(f"?lang={_language(request, lang)}")

    return router


async def _situation(request: Request, visits: Visits, token: str) -> Situation:
    """Read what is the case; a link that leads nowhere is a case as well."""
    try:
        read = await _asked(visits.read, token)
    except _REFUSED as error:
        return _refused(request, error)
    found = situation(read)
    note(request, key=read.record.key, outcome=found.name)
    return found


async def _pressed(visits: Visits, token: str) -> Situation:
    """Do what the button says; answers what was the case."""
    read = await _asked(visits.read, token)
    found = situation(read)
    if found.button == "renew":
        await _asked(visits.renew, read.record.key)
    if found.button == "open" and read.now_ms - read.record.updated_ms > FRESH_MS and read.record.customer_id:
        await _asked(visits.wake, read.record.customer_id)
        return situation(await _newer(visits, token, read))
    return found


async def _newer(visits: Visits, token: str, read: Read) -> Read:
    """Wait for what a worker finds out; after some time, or when the ledger is away, give what is known."""
    newer = read
    try:
        async with asyncio.timeout(visits.look_within_s):
            while newer.record.version == read.record.version:
                await asyncio.sleep(LOOK_EVERY_S)
                newer = await asyncio.to_thread(visits.read, token)
    except (TimeoutError, redis.RedisError):
        return read
    return newer


async def _asked(function: Callable[..., T], *arguments: object) -> T:
    """Call something of the ledger's in a thread. Raises TimeoutError when it takes too long."""
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return await asyncio.to_thread(function, *arguments)


_REFUSED = (LinkUnknownError, LinkRevokedError, redis.RedisError, TimeoutError)


def _refused(request: Request, error: Exception) -> Situation:
    """Turn a refusal into what the page says, and note it without the token."""
    name: Name = "away"
    if isinstance(error, LinkUnknownError):
        name = "unknown"
        note(request, outcome="refused", reason="link_unknown")
    elif isinstance(error, LinkRevokedError):
        name = "revoked"
        note(request, outcome="refused", reason="link_revoked", key=error.key)
    else:
        note(request, outcome="refused", reason="ledger_away", error=type(error).__name__)
    return Situation(name)


def _language(request: Request, asked: str | None) -> str:
    return language(asked, request.headers.get("accept-language", ""))


def _looked(request: Request) -> int:
    """Return how often the page has looked again by itself."""
    again = request.query_params.get("again", "")
    return int(again) if re.fullmatch(r"[0-9]{1,3}", again) else 0


def _page(request: Request, visits: Visits, found: Situation, asked: str | None) -> Response:
    lang, again = _language(request, asked), _looked(request)
    names = {"company": visits.company or NOBODY[lang], "host": urlsplit(found.link or "").hostname or ""}

    def phrase(name: str) -> str:
        return PHRASES[name][lang].format_map(names)

    heading, *paragraphs = (text.format_map(names) for text in SITUATIONS[found.name][lang])
    lists = [
        (phrase("reasons"), for_customer(found.reasons, lang)),
        (phrase("documents"), list(found.documents)),
    ]
    again_s = AGAIN_S[again] if found.changing and again < len(AGAIN_S) else None
    html = _TEMPLATES.get_template("page.html").render(
        lang=lang,
        languages=LANGUAGES,
        languages_label=phrase("languages"),
        company=visits.company,
        heading=heading,
        paragraphs=paragraphs,
        lists=[(title, items) for title, items in lists if items],
        button=phrase("try_again" if found.name == "declined" else found.button) if found.button else None,
        where=phrase("where") if found.button == "open" else None,
        by_itself=phrase("by_itself") if again_s is not None else None,
        slow=phrase("slow") if found.changing and again_s is None else None,
        look_again=phrase("again") if found.changing or found.name == "away" else None,
        promise=phrase("promise"),
        here=f"?lang={lang}",
        again=again,
        again_s=again_s,
        css=Markup(_CSS),  # noqa: S704 -- ours, and named by its digest in the policy
    )
    csp = pages.policy(style_src=_STYLE, form_action=_form_action(found.link))
    headers = {"Content-Language": lang, "Vary": "Accept-Language"}
    if found.name == "away":
        headers["Retry-After"] = "30"
    return pages.page(html, csp, _STATUS.get(found.name, 200), headers)


def _form_action(link: str | None) -> str:
    """Let the button lead to us and from here to wherever the hosted page is: some browsers check redirections too."""
    insecure = link is not None and urlsplit(link).scheme == "http"  # a sandbox on this machine
    return "'self' https: http:" if insecure else "'self' https:"
