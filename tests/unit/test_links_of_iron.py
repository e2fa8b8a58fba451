"""Hosted links as Iron gives them: only what a browser may be sent to is kept."""

from __future__ import annotations

import httpx
import pytest

from pipelines.iron import Iron
from pipelines.iron.values import web_link


@pytest.mark.parametrize(
    ("text", "plain", "kept"),
    [
        ("https://verify.iron.xyz/start?token=a", False, True),
        ("https://in.sumsub.com/idensic/l/#/x", False, True),
        ("http://127.0.0.1:8701/hosted/x", True, True),
        ("http://verify.iron.xyz/start", False, False),
        ("javascript:alert(1)", True, False),
        ("JAVASCRIPT:alert(1)", True, False),
        ("data:text/html,x", True, False),
        ("//verify.iron.xyz/start", True, False),
        ("/start", True, False),
        ("https://", False, False),
        ("https://user@verify.iron.xyz/", False, False),
        ("https://verify.iron.xyz/\nSet-Cookie: a", False, False),
        ("https://verify iron.xyz/", False, False),
        ("https://[verify/", False, False),
        ("", False, False),
    ],
)
def test_what_a_browser_may_be_sent_to(text: str, plain: bool, kept: bool) -> None:
    """An address with a host, by https; by http only where Iron itself is reached so."""
    assert (web_link(text, plain=plain) == text) is kept
    assert web_link(text, plain=plain) in (text, None)


@pytest.mark.parametrize(("base", "link"), [("https://iron.test/api", None), ("http://iron.test/api", "http://v/1")])
def test_a_link_of_iron_is_read_so(base: str, link: str | None) -> None:
    """What is no link for a browser is as if there were none yet: it is read again, and leads nobody astray."""
    item = {"id": "i-1", "status": "Pending", "created_at": "2026-01-01T00:00:00Z", "url": "http://v/1"}
    page = {"items": [item], "cursor": None}
    iron = Iron(httpx.MockTransport(lambda _: httpx.Response(200, json=page)), base, "key")
    [found] = iron.identifications("c-1")
    assert found.url == link
