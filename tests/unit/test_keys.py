"""Idempotency keys, fingerprints and canonical JSON against vectors that were computed without this code.

A digest here is what a shell prints for the material beside it:

    printf '%s' '["default",null,"create_customer",["crm-000123"],0]' | sha256sum | cut -c1-32

The key is that digest with its 13th digit set to 4 and the two highest bits of its 17th set to 10 (RFC 9562, section
5.4). A fingerprint is `printf '%s' ... | openssl dgst -sha256 -binary | head -c 16 | basenc --base64url` without `==`.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job import JobInvalidError, parse_job
from pipelines.keys import canonical_json, chained, fingerprint, idempotency_key

CUSTOMER = "0199aaaa-0000-7000-8000-000000000001"
SUB_PARTNER = "0199c0de-0000-4000-8000-000000000001"

#: Arguments, digest as the shell prints it, key.
KEYS = [
    (
        ("default", None, "create_customer", ("crm-000123",), 0),
        "0a6a0ffb99a56640681cd2967031ab5b",
        "0a6a0ffb-99a5-4640-a81c-d2967031ab5b",
    ),
    (
        ("eu-1", SUB_PARTNER, "create_identification", (CUSTOMER, ""), 0),
        "9d8009ae8b5f4c852e3a208dd78aa2e0",
        "9d8009ae-8b5f-4c85-ae3a-208dd78aa2e0",
    ),
    (
        ("default", None, "submit_signings", (CUSTOMER, "0199bbbb-0000-7000-8000-000000000002", "1"), 1),
        "79a604d2642f38754e890c5a9ba2fb2f",
        "79a604d2-642f-4875-8e89-0c5a9ba2fb2f",
    ),
    (
        ("default", None, "create_customer", ("Kundin/Ä 7",), 0),
        "544f3db1858c3c2c5b99e335912e427e",
        "544f3db1-858c-4c2c-9b99-e335912e427e",
    ),
]

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
SUBJECTS = st.tuples(TEXT) | st.tuples(TEXT, TEXT) | st.tuples(TEXT, TEXT, TEXT)


def key(installation: str, sub_partner_id: str | None, step: str, subject: tuple[str, ...], generation: int) -> str:
    """The key of these arguments, in the order in which the material has them."""
    return idempotency_key(
        installation=installation, sub_partner_id=sub_partner_id, step=step, subject=subject, generation=generation
    )


def shuffled(value: Any) -> Any:
    """The same JSON value with the names of each object in the opposite order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("arguments", "digest", "expected"), KEYS)
def test_vectors(arguments: tuple[Any, ...], digest: str, expected: str) -> None:
    """Each key is the one that the shell's digest gives."""
    assert key(*arguments) == expected
    plain = expected.replace("-", "")
    assert (plain[:12], plain[13:16], plain[17:]) == (digest[:12], digest[13:16], digest[17:])
    assert int(plain[16], 16) == int(digest[16], 16) & 3 | 8


@given(subject=SUBJECTS, generation=st.integers(0, 5))
def test_a_key_has_the_shape_of_a_uuid_4(subject: tuple[str, ...], generation: int) -> None:
    """Whatever the subject is, version and variant are those of a random UUID, and the same key comes again."""
    derived = key("default", None, "create_customer", subject, generation)
    assert (UUID(derived).version, UUID(derived).variant) == (4, RFC_4122)
    assert str(UUID(derived)) == derived
    assert key("default", None, "create_customer", subject, generation) == derived


@pytest.mark.parametrize(
    "other",
    [
        ("b", None, "s", ("x", "y"), 0),
        ("a", SUB_PARTNER, "s", ("x", "y"), 0),
        ("a", "", "s", ("x", "y"), 0),
        ("a", None, "t", ("x", "y"), 0),
        ("a", None, "s", ("x", "z"), 0),
        ("a", None, "s", ("y", "x"), 0),
        ("a", None, "s", ("xy",), 0),
        ("a", None, "s", ("x", "y", ""), 0),
        ("a", None, "s", ('x","y',), 0),
        ("a", None, "s", ("x", "y"), 1),
    ],
)
def test_each_argument_makes_another_key(other: tuple[Any, ...]) -> None:
    """Two things that differ in one argument never share a key, however their texts are cut."""
    assert key(*other) != key("a", None, "s", ("x", "y"), 0)


@given(value=JSON)
def test_canonical_json_is_json(value: Any) -> None:
    """The bytes say what the value says."""
    assert json.loads(canonical_json(value)) == value


@given(value=JSON)
def test_the_order_of_names_does_not_matter(value: Any) -> None:
    """Two equal values have the same bytes, in whatever order their names were given, at any depth."""
    assert canonical_json(shuffled(value)) == canonical_json(value)


def test_canonical_json_is_written_in_one_way() -> None:
    """Sorted names, no spaces, UTF-8 and no escapes."""
    assert canonical_json({"ü": "€ 😀", "a": [1, True, None]}) == '{"a":[1,true,null],"ü":"€ 😀"}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [{"a": float("-inf")}]])
def test_what_is_no_json_is_refused(value: Any) -> None:
    """A number that JSON cannot write is an error, not a word that no parser takes."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_fingerprint_vector() -> None:
    """The fingerprint is 16 bytes of the digest, as the shell prints them."""
    assert fingerprint({"ü": "€", "a": [1, True, None]}) == "sv_8Cu2KMtuRCt0BUuDEnA"


@given(one=JSON, other=JSON)
def test_fingerprints_tell_values_apart(one: Any, other: Any) -> None:
    """Values with the same bytes, and only they, share a fingerprint of 22 characters."""
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))
    assert len(fingerprint(one)) == 22


@given(text=st.text(max_size=6) | st.text(st.characters(categories=["Cs", "Cc", "Co"]), min_size=1, max_size=2))
@pytest.mark.parametrize("place", ["key", "external_id", "name", "email", "label"])
def test_every_job_has_a_fingerprint_and_keys(place: str, text: str) -> None:
    """What the door lets in can be written as JSON: a text that UTF-8 cannot hold is refused there."""
    customer = {"customer_type": "Person", "email": "ada@example.com"}
    job: dict[str, Any] = {"idempotency_key": "k-1", "customer": customer}
    match place:
        case "key":
            job["idempotency_key"] = text
        case "label":
            job["labels"] = {"source": text}
        case "external_id":
            job["external_id"] = text
        case _:
            customer[place] = text
    try:
        taken = parse_job(job).canonical()
    except JobInvalidError:
        return
    assert len(fingerprint(taken)) == 22
    assert key("default", None, "create_customer", (taken["external_id"],), 0)


def test_chained_vector() -> None:
    """A digest of the history covers the one before it and the entry."""
    assert chained("", {"phase": "received", "at_ms": 1}) == "mC_86HJbVnuN2pfKdXSiIw"


def test_a_chain_shows_every_change() -> None:
    """Changed, left out, doubled or in another order: the head of the chain differs."""

    def head(*entries: str) -> str:
        digest = ""
        for entry in entries:
            digest = chained(digest, {"note": entry})
        return digest

    assert len({head(*entries) for entries in ("abc", "abd", "ac", "acb", "abbc", "")}) == 6
