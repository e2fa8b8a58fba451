"""Encryption of the stored input and of evidence: Fernet with a key ring, the first key encrypts, all decrypt.

What is sealed names the record it belongs to, so that a ciphertext moved to another record does not open there. Keys
for other purposes are derived from those of the ring, so that there is one ring to keep and to rotate.

Also the keyed digest by which an e-mail address is found without being stored. A digest is made with the first key and
looked for with all, so taking a key off the ring gives up finding the addresses that it indexed.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipelines.errors import InputLostError
from pipelines.keys import canonical_json, composed

#: Bytes of the digest of an e-mail address: among a billion addresses no two meet, and an index entry stays small.
EMAIL_DIGEST_BYTES = 12


def new_key() -> str:
    """Make a key for the ring: URL-safe base64 of 32 random bytes."""
    return Fernet.generate_key().decode()


def derived(key: str, purpose: str, length: int) -> bytes:
    """Derive this many bytes of another key from a key of the ring; each purpose has its own. Source: RFC 5869."""
    return HKDF(SHA256(), length, salt=None, info=f"onboarding {purpose}".encode()).derive(urlsafe_b64decode(key))


class Vault:
    """Seals JSON values for one record each."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the key ring, newest first. Raises ValueError when a key is not one."""
        self._ring = MultiFernet([Fernet(key) for key in keys])
        self._email_keys = [derived(key, "index of e-mail addresses", 32) for key in keys]

    def seal(self, key: str, value: Any) -> bytes:
        """Encrypt a value for the record with this idempotency key."""
        return self._ring.encrypt(canonical_json([key, value]))

    def open(self, key: str, sealed: bytes | None) -> Any:
        """Decrypt what was sealed for this record. Raises InputLostError when that is not possible."""
        if sealed is None:
            raise InputLostError
        try:
            owner, value = json.loads(self._ring.decrypt(sealed))
        except InvalidToken:
            raise InputLostError from None
        if owner != key:
            raise InputLostError
        return value

    def email_digests(self, address: str) -> list[bytes]:
        """Digest an e-mail address with each key of the ring; the first is the one to store.

        Neither case nor Unicode's forms make a difference. Source: RFC 6532, section 3.1.
        """
        plain = composed(composed(address.strip()).lower()).encode()
        return [hmac.digest(key, plain, "sha256")[:EMAIL_DIGEST_BYTES] for key in self._email_keys]
