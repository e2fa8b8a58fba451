r"""Iron's signature scheme, against values that another program computed.

Provenance, with OpenSSL 3 (`TS` and `BODY` as below; the second line's key is the base64 of the secret, decoded):

    printf '%s%s' "$TS" "$BODY" | openssl dgst -sha256 -hmac 'whsec_c2FuZGJveC1rZXktZm9yLXRlc3Rz'
    printf '%s%s' "$TS" "$BODY" | openssl dgst -sha256 -mac HMAC -macopt \
        hexkey:$(printf c2FuZGJveC1rZXktZm9yLXRlc3Rz | base64 -d | xxd -p | tr -d '\n')
    printf '%s%s' "$TS" "$BODY" | openssl dgst -sha256 -hmac 'plain secret'
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox import sign
from workers.secrets.signature import Verdict, split_secrets, verify

TS, BODY = "1764000000", b'{"type":"ping"}'
NOW_S = 1764000000.0
SECRET = "whsec_c2FuZGJveC1rZXktZm9yLXRlc3Rz"
BY_TEXT = "v1=2ca23e5696c351660646f25586068cd7eb66a87426b0d7fd16226da9619a4859"
BY_BASE64 = "v1=aafdd7cc02306e5e8762967d318a0005579dd5261cf688f9b3b77c6def5c23a4"
BY_PLAIN = "v1=74eac794b3c84e636b2fe039f3c1e2e14d4f3ca3da44742056be6fd1b0984075"


def judge(timestamp: str | None = TS, *signatures: str, body: bytes = BODY, **changes: Any) -> Verdict:
    """Judge the example, or a change of it."""
    settings = {"secrets": [SECRET], "now_s": NOW_S, "tolerance_s": 300.0, **changes}
    return verify(timestamp, signatures, body, **settings)


@pytest.mark.parametrize(
    ("secret", "signature"),
    [(SECRET, BY_TEXT), (SECRET, BY_BASE64), (SECRET[6:], BY_BASE64), ("plain secret", BY_PLAIN)],
)
def test_vectors(secret: str, signature: str) -> None:
    """What OpenSSL signs by either derivation of the key is genuine."""
    assert judge(TS, signature, secrets=[secret]) is Verdict.GENUINE


def test_sandbox_agrees() -> None:
    """The sandbox signs as OpenSSL does."""
    assert sign(SECRET, TS, BODY) == BY_TEXT


@pytest.mark.parametrize(
    "signatures",
    [
        (f"v1={'0' * 64},{BY_TEXT}",),
        (f"v1={'0' * 64} {BY_TEXT}",),
        (f"{BY_TEXT} , v1=short",),
        ("v1=wrong", BY_TEXT),
        (f"v2=abc, {BY_TEXT}",),
        (BY_TEXT.upper().replace("V1", "v1"),),
    ],
)
def test_several_signatures(signatures: tuple[str, ...]) -> None:
    """One genuine signature among others is enough, separated by comma or space or in headers of their own."""
    assert judge(TS, *signatures) is Verdict.GENUINE


def test_rotation() -> None:
    """While one secret replaces another, both verify."""
    secrets = split_secrets(f" plain secret , {SECRET},, ")
    assert list(secrets) == ["plain secret", SECRET]
    assert judge(TS, BY_TEXT, secrets=secrets) is judge(TS, BY_PLAIN, secrets=secrets) is Verdict.GENUINE


@pytest.mark.parametrize(
    ("age_s", "verdict"),
    [(300, Verdict.GENUINE), (301, Verdict.STALE), (-300, Verdict.GENUINE), (-301, Verdict.FUTURE)],
)
def test_tolerance(age_s: int, verdict: Verdict) -> None:
    """A delivery is good for the tolerance, both ways."""
    assert judge(TS, BY_TEXT, now_s=NOW_S + age_s) is verdict


def test_tolerance_is_a_parameter() -> None:
    """Another tolerance moves the limit."""
    assert judge(TS, BY_TEXT, now_s=NOW_S + 11, tolerance_s=10) is Verdict.STALE


@pytest.mark.parametrize("signatures", [(), ("",), ("v1",), ("v1,abc",), ("sha256=abc",), (BY_TEXT[3:],)])
def test_missing(signatures: tuple[str, ...]) -> None:
    """Without a signature of Iron's form there is nothing to verify."""
    assert judge(TS, *signatures) is Verdict.MISSING


@pytest.mark.parametrize("timestamp", [None, ""])
def test_no_timestamp(timestamp: str | None) -> None:
    """Without a timestamp there is nothing to verify."""
    assert judge(timestamp, BY_TEXT) is Verdict.MISSING


@pytest.mark.parametrize(
    "timestamp", ["now", "1764000000.0", "-1764000000", "+1764000000", "١٧٦", "²", " 1", "9" * 5000]
)
def test_malformed_timestamp(timestamp: str) -> None:
    """A timestamp is a number of seconds in ASCII digits."""
    assert judge(timestamp, BY_TEXT) is Verdict.MALFORMED


def test_wrong_key() -> None:
    """Another secret does not verify."""
    assert judge(TS, BY_TEXT, secrets=["another"]) is Verdict.WRONG


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_altered_byte(position: int, change: int) -> None:
    """Whichever byte is altered, in whatever way, the signature no longer fits."""
    altered = bytearray(BODY)
    altered[position] ^= change
    assert judge(TS, BY_TEXT, BY_BASE64, body=bytes(altered)) is Verdict.WRONG


def test_altered_timestamp() -> None:
    """The timestamp is signed as well: a recorded delivery cannot be made young again."""
    assert judge("1764000001", BY_TEXT) is Verdict.WRONG


@pytest.mark.parametrize("secret", ["", "whsec_", "=", "whsec_=="])
def test_no_empty_key(secret: str) -> None:
    """A secret that stands for no bytes at all lets nobody in."""
    forged = "v1=" + hmac.new(b"", TS.encode() + BODY, hashlib.sha256).hexdigest()
    assert judge(TS, forged, secrets=[secret]) is Verdict.WRONG


@given(
    st.one_of(st.none(), st.text()), st.lists(st.text()), st.binary(), st.lists(st.text()), st.floats(allow_nan=False)
)
def test_never_raises(
    timestamp: str | None, signatures: list[str], body: bytes, secrets: list[str], now_s: float
) -> None:
    """Whatever comes in, there is a verdict, and it is not that it is genuine."""
    assert verify(timestamp, signatures, body, secrets=secrets, now_s=now_s, tolerance_s=300) is not Verdict.GENUINE
