"""Encryption of the stored input: the key ring, and whose ciphertext opens where."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputLostError
from workers.secrets.vault import Vault, new_key

JOB = {"email": "marker@example.com", "name": "Zoë 王"}
#: Anything that JSON can hold.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(value=JSON)
def test_round_trip(value: object) -> None:
    """What is sealed for a record opens for it, unchanged."""
    vault = Vault([new_key()])
    assert vault.open("k-1", vault.seal("k-1", value)) == value


def test_nothing_can_be_read_from_what_is_sealed() -> None:
    """The ciphertext shows neither the value nor the record, and no two are alike."""
    vault = Vault([new_key()])
    one, other = vault.seal("k-marker", JOB), vault.seal("k-marker", JOB)
    assert b"marker" not in one
    assert one != other


def test_rotation() -> None:
    """After a new key was put first it encrypts, and what the old one sealed still opens."""
    old, new = new_key(), new_key()
    before = Vault([old]).seal("k-1", JOB)
    ring = Vault([new, old])
    assert ring.open("k-1", before) == JOB
    after = ring.seal("k-1", JOB)
    assert Vault([new]).open("k-1", after) == JOB
    with pytest.raises(InputLostError):
        Vault([old]).open("k-1", after)


@pytest.mark.parametrize("sealed", [None, b"", b"nonsense", b"\xff\xfe"])
def test_what_is_not_a_ciphertext_is_lost(sealed: bytes | None) -> None:
    """Input that is gone or damaged is told as lost, not as a fault of the program."""
    with pytest.raises(InputLostError):
        Vault([new_key()]).open("k-1", sealed)


def test_a_damaged_ciphertext_is_lost() -> None:
    """One changed byte, and nothing opens."""
    vault = Vault([new_key()])
    sealed = bytearray(vault.seal("k-1", JOB))
    sealed[len(sealed) // 2] ^= 1
    with pytest.raises(InputLostError):
        vault.open("k-1", bytes(sealed))


def test_a_wrong_key_is_lost_input() -> None:
    """A ring without the key says so, and the message does not hold what was sealed."""
    sealed = Vault([new_key()]).seal("k-1", JOB)
    with pytest.raises(InputLostError) as raised:
        Vault([new_key()]).open("k-1", sealed)
    assert "marker" not in repr(raised.value)
    assert raised.value.__suppress_context__


def test_another_records_ciphertext_is_refused() -> None:
    """A ciphertext that was moved to another record does not open there."""
    vault = Vault([new_key()])
    with pytest.raises(InputLostError):
        vault.open("k-2", vault.seal("k-1", JOB))


@pytest.mark.parametrize("ring", [[], ["short"], [new_key(), "short"]])
def test_a_ring_that_is_none_is_refused(ring: list[str]) -> None:
    """A vault cannot be made without a proper key."""
    with pytest.raises(ValueError, match=r".+"):
        Vault(ring)


def test_new_keys_are_keys_and_differ() -> None:
    """Each key is one that the ring takes, and no two are the same."""
    assert len({new_key() for _ in range(10)}) == 10
    Fernet(new_key())


def test_an_address_is_found_by_its_digest() -> None:
    """A digest says nothing without the key, is the same in whatever case, and another one for another address."""
    key, other = new_key(), new_key()
    [digest] = Vault([key]).email_digests("Ada@Example.com")
    assert Vault([key]).email_digests(" ada@example.COM ") == [digest]
    assert Vault([key]).email_digests("bob@example.com") != [digest]
    assert Vault([other]).email_digests("ada@example.com") != [digest]
    assert len(digest) == 12


def test_an_address_is_found_after_a_rotation() -> None:
    """While the old key is in the ring, what it indexed is looked for as well; new entries are the new key's."""
    old, new = new_key(), new_key()
    before, after = Vault([old]).email_digests("a@b.c"), Vault([new, old]).email_digests("a@b.c")
    assert after == [*Vault([new]).email_digests("a@b.c"), *before]
