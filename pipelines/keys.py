"""Idempotency keys, fingerprints and canonical forms: what makes two calls the same call.

A key names what must be unique on Iron, never the input, so that a correction, a roll-back of the ledger or a second
job cannot make a second key for one thing. Nothing here reads a clock or draws a random number.
Source: design section 2, rule 4; the shape of a UUIDv4 because Iron describes the header as a UUID.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from base64 import urlsafe_b64encode
from uuid import UUID

#: How a customer of Iron without an external id is called here. Source: contract section 5, `adopt`.
_NAMED = re.compile(r"iron-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def name_of(customer_id: str) -> str:
    """Return the external id of a customer to whom nobody gave one at Iron."""
    return f"iron-{customer_id}"


def iron_id(external_id: str) -> str | None:
    """Return the id of Iron that such a name holds; None: it is a name like any other."""
    named = _NAMED.fullmatch(external_id)
    return named[1] if named else None


def composed(text: str) -> str:
    """Write a text in Unicode's composed form (NFC), in which every text is compared and stored."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def canonical_json(value: object) -> bytes:
    """Write a JSON value as the one sequence of bytes that stands for it: sorted names, no spaces, UTF-8."""
    return _CANONICAL.encode(value).encode()


def idempotency_key(
    *, installation: str, sub_partner_id: str | None, step: str, subject: tuple[str, ...], generation: int
) -> str:
    """Derive the key of one effect on Iron; the same arguments give the same key for ever.

    `subject` is what must be unique: for a customer (external id,); for an identification (Iron's customer id, id of
    the identification it follows or ""); for a signature (customer id, content id, occasion).
    """
    material = canonical_json([installation, sub_partner_id, step, list(subject), generation])
    return str(UUID(bytes=hashlib.sha256(material).digest()[:16], version=4))


def fingerprint(value: object) -> str:
    """Digest a JSON value to 22 characters: equal values, and only they, have equal fingerprints."""
    return urlsafe_b64encode(hashlib.sha256(canonical_json(value)).digest()[:16]).decode().rstrip("=")


def chained(head: str, entry: object) -> str:
    """Digest a history entry together with the digest of the one before it, so that none can be changed unseen."""
    return fingerprint([head, entry])
