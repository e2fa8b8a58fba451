"""Iron's webhook signature: hex HMAC-SHA256 over the timestamp directly followed by the raw body.

Not the Standard Webhooks scheme, though it borrows its header names: libraries for that refuse every delivery of
Iron's. Pure: no clock, no settings, no log. Source: iron-api 6.3.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

#: Stands before each signature.
VERSION = "v1="
#: Stands before a secret in the form of Standard Webhooks; the rest is then base64.
SECRET_PREFIX = "whsec_"  # noqa: S105 -- not a secret

#: Seconds since 1970 in ASCII digits: enough for some thousand years, too few for a slow conversion.
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SEPARATORS = re.compile(r"[,\s]+")


class Verdict(StrEnum):
    """What is the case with a delivery's signature. All but GENUINE are refused."""

    GENUINE = "genuine"
    #: No signature of our version, or no timestamp.
    MISSING = "signature_missing"
    #: The timestamp is not a number of seconds.
    MALFORMED = "timestamp_malformed"
    #: Signed longer ago than the tolerance allows: perhaps recorded and sent again by somebody else.
    STALE = "timestamp_stale"
    #: Signed further in the future than the tolerance allows: one of the two clocks is wrong.
    FUTURE = "timestamp_future"
    #: No key of ours makes any of the signatures over this body.
    WRONG = "signature_wrong"


def verify(
    timestamp: str | None,
    signatures: Iterable[str],
    body: bytes,
    *,
    secrets: Iterable[str],
    now_s: float,
    tolerance_s: float,
) -> Verdict:
    """Judge one delivery. `signatures` are the values of all `webhook-signature` headers; one genuine is enough."""
    given = [part for value in signatures for part in _SEPARATORS.split(value) if part.startswith(VERSION)]
    if not timestamp or not given:
        return Verdict.MISSING
    if not _TIMESTAMP.fullmatch(timestamp):
        return Verdict.MALFORMED
    age_s = now_s - int(timestamp)
    if abs(age_s) > tolerance_s:
        return Verdict.STALE if age_s > 0 else Verdict.FUTURE
    genuine = False
    for key in _keys(secrets):
        digest = hmac.new(key, timestamp.encode("ascii") + body, hashlib.sha256).hexdigest().encode("ascii")
        for signature in given:
            # Bytes, because compare_digest refuses text beyond ASCII. No early end: it would tell which key is in use.
            wanted = signature.removeprefix(VERSION).lower().encode("utf-8")
            genuine = hmac.compare_digest(digest, wanted) or genuine
    return Verdict.GENUINE if genuine else Verdict.WRONG


def split_secrets(setting: str) -> Sequence[str]:
    """Take a setting apart that holds the new and the old secret while one replaces the other."""
    return tuple(part.strip() for part in setting.split(",") if part.strip())


def _keys(secrets: Iterable[str]) -> list[bytes]:
    """Derive the keys of each secret: its text, and what its base64 stands for.

    Iron's documentation does not say which of the two it means (iron-api 6.3). An empty key would let anybody sign.
    """
    keys = []
    for secret in secrets:
        keys.append(secret.encode("utf-8"))
        if (decoded := key_of(secret)) is not None:
            keys.append(decoded)
    return [key for key in keys if key]


def key_of(secret: str) -> bytes | None:
    """Return what a secret's base64 stands for; None: it is none."""
    text = secret.removeprefix(SECRET_PREFIX).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
