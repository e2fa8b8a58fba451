"""What the gateway reads by itself: strict JSON, cursors, and keys in addresses."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.gateway.api.paging import cursor_of, place_of
from ops.gateway.http.json_body import parse_json
from ops.gateway.http.path_keys import Segments
from ops.gateway.http.problems import ProblemError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_a_byte_order_mark_is_taken_away() -> None:
    """Editors write one, and no parser reads anything else for it. Source: RFC 8259, 8.1."""
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not text in UTF-8"),
        ('{"a": "é"}'.encode("latin-1"), "not text in UTF-8"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'[{"b": {"a": 1, "a": 2}}]', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b"1" * 5_000, "digits"),
        (b"[" * 200_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b'"\x00"', "not JSON"),
    ],
)
def test_what_is_no_strict_json_is_refused(body: bytes, words: str) -> None:
    """What is not JSON, or is read differently by different parsers, is refused with a sentence."""
    with pytest.raises(ProblemError) as raised:
        parse_json(body)
    assert raised.value.code == "not_json"
    assert words in raised.value.detail


@given(JSON, JSON)
def test_a_cursor_gives_its_place_back(place: Any, filters: Any) -> None:
    """A cursor leads to the very place it was made for."""
    assert place_of(cursor_of(place, filters), filters) == place


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "%", "é", "e30", base64.urlsafe_b64encode(b"[1,2,3]").decode(), base64.b64encode(b"[" * 3000).decode()],
)
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    """Whatever is no cursor of ours is told as one, and is no error."""
    with pytest.raises(ProblemError) as raised:
        place_of(cursor, {})
    assert raised.value.code == "cursor_malformed"


def test_a_cursor_belongs_to_its_filters() -> None:
    """A cursor of other filters would leave entries out: it is refused."""
    with pytest.raises(ProblemError, match="cursor_malformed"):
        place_of(cursor_of("k-1", {"phase": "active"}), {"phase": "failed"})


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/onboardings/k-1", "/as/it/was"),
        (b"/v1/onboardings/a%2Fb/history", "/v1/onboardings/a%2Fb/history"),
        (b"/v1/onboardings/a%2fb", "/v1/onboardings/a%2fb"),
        (b"/v1/onboardings/a%252Fb", "/v1/onboardings/a%252Fb"),
        (b"/v1/onboardings/%C3%A9%20?x=%2F", "/v1/onboardings/\u00e9 "),
    ],
)
def test_a_slash_in_a_key_ends_no_segment(raw: bytes, path: str) -> None:
    """An encoded slash or percent sign stays encoded until the route is found."""
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["path"])

    scope: Any = {"type": "http", "path": "/as/it/was", "raw_path": raw}
    asyncio.run(Segments(app)(scope, None, None))  # type: ignore[arg-type]
    assert seen == [path]
