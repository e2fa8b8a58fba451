"""What every page for people has in common: templates that escape, and headers that let nothing else in.

No page loads anything from another host, runs a script that stands in it, may be framed, or is kept by a cache.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

#: On every page and every redirection from one. The address of a page may be a secret, hence no referrer.
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def text_of(package: str, name: str) -> str:
    """Read a file that ships with a package."""
    return (files(package) / name).read_text(encoding="utf-8")


def templates(package: str) -> Environment:
    """Make the environment for the templates in a package. A value that a template misses is an error."""
    return Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: text_of(package, name)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def policy(**sources: str) -> str:
    """Write a Content-Security-Policy that allows these sources and nothing else; `style_src` is style-src."""
    allowed = {"img_src": "data:", **sources, "base_uri": "'none'", "frame_ancestors": "'none'"}
    return "; ".join(["default-src 'none'", *(f"{name.replace('_', '-')} {value}" for name, value in allowed.items())])


def source_of(text: str) -> str:
    """Name a style or script that stands in a page by its digest, as a policy does."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(html: str, csp: str, status: int = 200, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """Answer with a page."""
    return HTMLResponse(html, status, {**HEADERS, "Content-Security-Policy": csp, **(headers or {})})


def see(address: str) -> RedirectResponse:
    """Answer a form: the browser goes on with GET."""
    return RedirectResponse(address, 303, HEADERS)
