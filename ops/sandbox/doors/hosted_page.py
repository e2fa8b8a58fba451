"""The page behind a hosted link: whoever plays the customer says there how the identification ends.

Iron's own page asks for documents and a selfie; this one asks for the outcome. It is no part of the API: it needs no
key, and counts as no effect. Source: section 3.7 of the fact sheet for the link; the page itself is ours.
"""

import hashlib
from base64 import b64encode
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import parse_qs

from ops.sandbox.core import Core
from ops.sandbox.wire.answers import Answer
from ops.sandbox.world.ids import token_of
from ops.sandbox.world.records import Identification

#: Where hosted links lead, below the sandbox's own address.
PATH = "/start"
#: What the customer can press: the step that follows, and its words.
CHOICES = {"approve": "Approve", "decline": "Decline, may try again", "decline-final": "Decline for good"}

_HTML = (files("ops.sandbox.doors") / "hosted.html").read_text(encoding="utf-8")
_PAGE = Template(_HTML)
_STYLE = b64encode(hashlib.sha256(_HTML.partition("<style>")[2].partition("</style>")[0].encode()).digest()).decode()
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_STYLE}'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def prefix(host: str, port: int) -> str:
    """Return what hosted links begin with when the sandbox listens here. All addresses of a machine: its own."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}{PATH}?token="


def handle(sandbox: Core, method: str, query: str, body: bytes) -> Answer:
    """Show the page, or do what was pressed and lead back: to the page, or to where a switch says."""
    identification = _found(sandbox, parse_qs(query).get("token", [""])[0])
    if identification is None:
        return _page(404, "This link is not known", "It is not of this sandbox, or the sandbox has been reset.")
    if method in {"GET", "HEAD"}:
        return _shown(identification)
    if method != "POST":
        return Answer(405, extra_headers={"allow": "GET, HEAD, POST"})
    step = parse_qs(body.decode("latin-1")).get("step", [""])[0]
    if step not in CHOICES:
        return _page(400, "Nothing was changed", "The form did not say how the identification ends.")
    if _open(identification):
        for move in ("process", "review", step):
            sandbox.move(identification.id, move)
    back = sandbox.switches.return_url or f"{PATH}?{query}"
    return Answer(303, extra_headers={"location": back, **_HEADERS})


def _found(sandbox: Core, token: str) -> Identification | None:
    """Find an identification by its token, the newest first: a look at all, which only a person's click asks for."""
    identifications = sandbox.provider.store.identifications.values()
    bare = token.partition("-")[0]  # what follows tells apart links that rotate
    return next((one for one in reversed(identifications) if token_of(one.id) == bare), None)


def _open(identification: Identification) -> bool:
    """Return whether there is something for the customer to do."""
    return identification.status == "Pending" or identification.asked


def _shown(identification: Identification) -> Answer:
    """Return how it stands, with the buttons while there is something to decide."""
    customer = identification.customer
    who = escape(customer.external_id or customer.id)
    if not _open(identification):
        text = f"The identification of {who} is {escape(identification.status)}. You may close this page."
        return _page(200, "There is nothing left to do here", text)
    buttons = "\n".join(f'<button name="step" value="{step}">{words}</button>' for step, words in CHOICES.items())
    text = f"The identification of {who} is pending. How does it end?"
    return _page(200, "Identify yourself", text, f'<form method="post">\n{buttons}\n</form>\n')


def _page(status: int, heading: str, text: str, form: str = "") -> Answer:
    """Write the page; the text is HTML."""
    html = _PAGE.substitute(heading=heading, text=text, form=form)
    return Answer(status, html.encode(), "text/html; charset=utf-8", dict(_HEADERS))
