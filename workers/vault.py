"""Encryption of the stored input and of evidence: Fernet with a key ring, the first key encrypts, all decrypt.

What is sealed names the record it belongs to, so that a ciphertext moved to another record does not open there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipelines.errors import InputLostError
from pipelines.keys import canonical_json


def new_key() -> str:
    """Make a key for the ring: URL-safe base64 of 32 random bytes."""
    return Fernet.generate_key().decode()


class Vault:
    """Seals JSON values for one record each."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the key ring, newest first. Raises ValueError when a key is not one."""
        self._ring = MultiFernet([Fernet(key) for key in keys])

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
