"""Encryption of what is stored: the key ring, where a ciphertext opens, and what is found without being stored."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputLostError, KeyMissingError
from pipelines.keys import canonical_json, fingerprint
from workers.secrets.vault import FERNET, Place, Vault, as_text, key_id, new_key, of_text, sealed_with

JOB = {"email": "marker@example.com", "name": "Zoë 王"}
HERE = Place("input", "k-1", "customer")
#: Anything that JSON can hold.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


def former(key: str, owner: str, value: Any) -> bytes:
    """A value as it was sealed before: a Fernet token of its owner and itself."""
    return Fernet(key).encrypt(canonical_json([owner, value]))


@given(value=JSON)
def test_round_trip(value: object) -> None:
    """What is sealed for a place opens there, unchanged, also when it stood in a text meanwhile."""
    vault = Vault([new_key()])
    sealed = vault.seal(HERE, value)
    assert vault.open(HERE, sealed) == value
    assert of_text(as_text(sealed)) == sealed


def test_nothing_can_be_read_from_what_is_sealed() -> None:
    """The ciphertext shows neither the value nor the record, and no two are alike."""
    vault, place = Vault([new_key()]), Place("input", "k-marker", "customer")
    one, other = vault.seal(place, JOB), vault.seal(place, JOB)
    assert b"marker" not in one
    assert one != other


def test_rotation() -> None:
    """After a new key was put first it encrypts, and what the old one sealed still opens."""
    old, new = new_key(), new_key()
    before = Vault([old]).seal(HERE, JOB)
    ring = Vault([new, old])
    assert ring.open(HERE, before) == JOB
    after = ring.seal(HERE, JOB)
    assert Vault([new]).open(HERE, after) == JOB
    with pytest.raises(InputLostError):
        Vault([old]).open(HERE, after)


def test_a_value_names_its_key() -> None:
    """The head of a value is its form and the id of the key, which is the same everywhere and tells nothing of it."""
    key = new_key()
    sealed = Vault([key, new_key()]).seal(HERE, JOB)
    assert sealed[:5] == b"\x02" + bytes.fromhex(key_id(key))
    assert sealed_with(sealed[:5]) == key_id(key) == Vault([key]).ids[0]
    assert bytes.fromhex(key_id(key)) not in urlsafe_b64decode(key)


@pytest.mark.parametrize("sealed", [None, b"", b"\x02", b"\x02abc", b"nonsense", b"\xff\xfe"])
def test_what_is_not_a_ciphertext_is_lost(sealed: bytes | None) -> None:
    """Input that is gone or damaged is told as lost, not as a fault of the program."""
    with pytest.raises(InputLostError):
        Vault([new_key()]).open(HERE, sealed)


def test_a_damaged_ciphertext_is_lost() -> None:
    """One changed bit anywhere, or one byte less, and nothing opens."""
    vault = Vault([new_key()])
    sealed = vault.seal(HERE, JOB)
    damaged = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for one in [*damaged, *(sealed[:length] for length in range(len(sealed)))]:
        with pytest.raises(InputLostError):
            vault.open(HERE, one)


def test_a_missing_key_is_named() -> None:
    """A ring without the key says which it is, holds nothing of what was sealed, and may have it again later."""
    key = new_key()
    sealed = Vault([key]).seal(HERE, JOB)
    with pytest.raises(KeyMissingError, match=key_id(key)) as raised:
        Vault([new_key()]).open(HERE, sealed)
    assert "marker" not in repr(raised.value)
    assert raised.value.retryable


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place("input", "k-2", "customer"),
        Place("input", "k-1", "identification"),
        Place("evidence", "k-1"),
        Place("report", "k-1", "customer"),
        Place("endpoint", "k-1", "customer"),
    ],
    ids=str,
)
def test_a_value_opens_at_its_place_alone(elsewhere: Place) -> None:
    """A ciphertext that was moved to another record, part or kind does not open there."""
    vault = Vault([new_key()])
    with pytest.raises(InputLostError):
        vault.open(elsewhere, vault.seal(HERE, JOB))


def test_a_value_opens_in_its_installation_alone() -> None:
    """Two installations with one ring do not open each other's values."""
    key = new_key()
    with pytest.raises(InputLostError):
        Vault([key], "staging").open(HERE, Vault([key], "production").seal(HERE, JOB))


@pytest.mark.parametrize(
    ("place", "owner"),
    [
        (HERE, "k-1"),
        (Place("evidence", "k-1"), "k-1"),
        (Place("report", "spring", "0"), "report:spring"),
        (Place("endpoint", "crm"), "endpoint:crm"),
    ],
    ids=str,
)
def test_what_was_sealed_before_is_read(place: Place, owner: str) -> None:
    """A Fernet value opens with any key of the ring, as bytes and out of a text, for its owner alone."""
    old = new_key()
    sealed = former(old, owner, JOB)
    ring = Vault([new_key(), old])
    assert ring.open(place, of_text(as_text(sealed))) == JOB
    assert sealed_with(sealed[:5]) == FERNET
    for wrong in (lambda: ring.open(place._replace(owner="x"), sealed), lambda: Vault([new_key()]).open(place, sealed)):
        with pytest.raises(InputLostError):
            wrong()


@pytest.mark.parametrize("ring", [[], ["short"], [new_key(), "short"]])
def test_a_ring_that_is_none_is_refused(ring: list[str]) -> None:
    """A vault cannot be made without a proper key."""
    with pytest.raises(ValueError, match=r".+"):
        Vault(ring)


def test_a_key_that_is_there_twice_is_one() -> None:
    """A ring that has a key twice is the ring that has it once."""
    key = new_key()
    assert Vault([key, key]).open(HERE, Vault([key]).seal(HERE, JOB)) == JOB


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


def test_lookup_keys_of_their_own_outlive_the_ring() -> None:
    """With lookup keys the digests are theirs, whatever the ring; set to the ring's, they are those of before."""
    ring, lookup = new_key(), new_key()
    assert Vault([new_key()], lookup=[ring]).email_digests("a@b.c") == Vault([ring]).email_digests("a@b.c")
    assert Vault([new_key()], lookup=[lookup]).marks("f") == Vault([ring], lookup=[lookup]).marks("f")
    assert Vault([ring], lookup=[lookup]).marks("f")[0] != Vault([ring]).marks("f")[0]


def test_a_stored_mark_tells_nothing_without_the_key() -> None:
    """What a record holds of a job is keyed: nobody can try out guesses; the form of before is only compared."""
    key, mark = new_key(), fingerprint(JOB)
    stored, *others = Vault([key]).marks(mark)
    assert others == [mark]
    assert len(stored) == len(mark)
    assert stored != mark
    assert stored not in Vault([new_key()]).marks(mark)
    assert stored == Vault([key]).marks(mark)[0]
