"""The customer's links: stable, silent, not to be altered, and good for as long as their key is in the ring."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.model import Record
from workers.ledger import Read
from workers.secrets.links import CustomerLinks, LinkUnknownError
from workers.secrets.vault import new_key

RING = [new_key(), new_key()]
KEYS = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1, max_size=255)
ALPHABET = string.ascii_letters + string.digits + "-_"


def links(*ring: str, installation: str = "default", public: str | None = "https://go.example.com") -> CustomerLinks:
    """Links of a ring."""
    return CustomerLinks(ring or RING, installation, public)


@given(key=KEYS, serial=st.integers(0, 10**6))
def test_a_token_leads_back_and_is_always_the_same(key: str, serial: int) -> None:
    """Whatever the key, its token gives it back, fits into an address as it is, and does not change."""
    token = links().token(key, serial)
    assert links().open(token) == (key, serial)
    assert links().token(key, serial) == token
    assert set(token) <= set(ALPHABET)


def test_a_token_says_nothing() -> None:
    """A key that happens to be an e-mail address stands in the token neither in clear nor in base64."""
    token = links().token("ada@example.com")
    assert b"ada" not in urlsafe_b64decode(token + "=" * (-len(token) % 4))


@given(place=st.integers(0, 200), letter=st.sampled_from(ALPHABET))
def test_an_altered_token_is_none(place: int, letter: str) -> None:
    """No letter of a token can be another one, the last included, some of whose bits mean nothing to a decoder."""
    token = links().token("crm-2026-000123", 3)
    place %= len(token)
    altered = token[:place] + letter + token[place + 1 :]
    if altered != token:
        with pytest.raises(LinkUnknownError):
            links().open(altered)


@pytest.mark.parametrize(
    "token",
    [*("", "x", "====", "ä" * 30, "a b", "A" * 40, "A" * 100_000), pytest.param(links().token("k") + "=", id="padded")],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """Nothing that is not a token of ours opens, however it looks."""
    with pytest.raises(LinkUnknownError):
        links().open(token)


def test_rotation_keeps_links_while_the_old_key_is_in_the_ring() -> None:
    """A link of the old key opens under the new ring, new ones come from the new key, and in the end it is over."""
    old, new = RING
    token = links(old).token("k-1")
    assert links(new, old).open(token) == ("k-1", 0)
    assert links(new, old).token("k-1") == links(new).token("k-1") != token
    with pytest.raises(LinkUnknownError):
        links(new).open(token)


def test_a_link_belongs_to_its_installation() -> None:
    """Two installations with one ring do not open each other's links."""
    with pytest.raises(LinkUnknownError):
        links(installation="staging").open(links().token("k-1"))


def test_the_address_is_the_settings() -> None:
    """A link begins with the public address; without one there is none, because nobody could follow it."""
    read = Read(Record("k-1"), None, 0, claimed=False, now_ms=0, link_serial=2)
    assert links().link(read) == f"https://go.example.com/go/{links().token('k-1', 2)}"
    assert links(public=None).link(read) is None
