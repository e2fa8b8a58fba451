"""Encryption of what is personal or secret: AES-256-GCM under a ring of keys, of which the first seals and all open.

A sealed value is `0x02 | id of the key, 4 bytes | nonce, 12 | ciphertext and tag`. It opens only for this installation
and at its own place: the kind of value, its owner, and its part. Each place has a key of its own, derived from the
ring's, so that no number of values comes near the limit of a nonce. What was sealed before in the form of Fernet is
read for as long as its key is on the ring. Source: ops/docs/decisions/0020.

Also the keyed digests by which an e-mail address is found and a job recognised without being stored. They have keys of
their own, which are not rotated with the ring.
"""

from __future__ import annotations

import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from pipelines.errors import InputLostError, KeyMissingError
from pipelines.keys import canonical_json, composed

#: Bytes of the digest of an e-mail address: among a billion addresses no two meet, and an index entry stays small.
EMAIL_DIGEST_BYTES = 12
#: Bytes of a fingerprint's digest, as long as the fingerprint itself.
MARK_BYTES = 16

#: First byte of a sealed value. A Fernet value begins with "g".
FORM = b"\x02"
#: Bytes of a key's id.
ID_BYTES = 4
#: Bytes of a sealed value that say which key sealed it.
HEAD_BYTES = len(FORM) + ID_BYTES
#: Bytes of a nonce, as GCM wants it.
NONCE_BYTES = 12
#: How the values of the form before are called where ids of keys are shown; they do not name their key.
FERNET = "fernet"


class Place(NamedTuple):
    """Where a sealed value belongs: at any other place it does not open."""

    kind: Literal["input", "evidence", "report", "endpoint"]
    #: The record's idempotency key, or the name of an import or of an endpoint.
    owner: str
    part: str = ""

    @property
    def former(self) -> str:
        """The owner as a Fernet value names it, which knew no kind and no part."""
        return self.owner if self.kind in ("input", "evidence") else f"{self.kind}:{self.owner}"


def new_key() -> str:
    """Make a key for a ring: URL-safe base64 of 32 random bytes."""
    return Fernet.generate_key().decode()


def derived(key: str, purpose: str, length: int) -> bytes:
    """Derive this many bytes of another key from a key of a ring; each purpose has its own. Source: RFC 5869."""
    return HKDF(SHA256(), length, salt=None, info=f"onboarding {purpose}".encode()).derive(urlsafe_b64decode(key))


def key_id(key: str) -> str:
    """Name a key of the ring in hexadecimal digits that tell nothing about it."""
    return derived(key, "key id", ID_BYTES).hex()


def sealed_with(sealed: bytes) -> str:
    """Name the key that sealed a value, of which the head is enough: an id, or `fernet` for the form before."""
    return sealed[len(FORM) : HEAD_BYTES].hex() if sealed[: len(FORM)] == FORM else FERNET


def as_text(sealed: bytes) -> str:
    """Write a sealed value where only text can stand."""
    return urlsafe_b64encode(sealed).decode() if sealed[: len(FORM)] == FORM else sealed.decode()


def of_text(text: str) -> bytes:
    """Read back what `as_text` wrote. No Fernet value begins with A, and each of ours does."""
    return urlsafe_b64decode(text) if text.startswith("A") else text.encode()


class Vault:
    """Seals JSON values, each for its place."""

    def __init__(self, keys: Sequence[str], installation: str = "default", lookup: Sequence[str] = ()) -> None:
        """Take the key ring, newest first, and the keys of the digests; without these the ring's are taken.

        Raises ValueError when a key is not one, or when two have the same id.
        """
        self._former = MultiFernet([Fernet(key) for key in dict.fromkeys(keys)])
        #: The ids of the keys on the ring, the one that seals first.
        self.ids = tuple(key_id(key) for key in dict.fromkeys(keys))
        if len(set(self.ids)) < len(self.ids):
            raise ValueError
        self._bases = {id_: derived(key, "seal", 32) for id_, key in zip(self.ids, dict.fromkeys(keys), strict=True)}
        #: How every value begins that is sealed from now on.
        self.head = FORM + bytes.fromhex(self.ids[0])
        self._installation = installation
        self._email_keys = [derived(key, "index of e-mail addresses", 32) for key in lookup or keys]
        self._mark_keys = [derived(key, "fingerprint of a job", 32) for key in lookup or keys]

    def seal(self, place: Place, value: Any) -> bytes:
        """Encrypt a value for this place."""
        nonce, bound = os.urandom(NONCE_BYTES), self._bound(place)
        return self.head + nonce + self._cipher(self.ids[0], bound).encrypt(nonce, canonical_json(value), bound)

    def open(self, place: Place, sealed: bytes | None) -> Any:
        """Decrypt what was sealed for this place.

        Raises InputLostError when that is not possible, and KeyMissingError when it is for whoever has the key.
        """
        if sealed is None:
            raise InputLostError
        if sealed[: len(FORM)] != FORM:
            return self._open_former(place, sealed)
        if (id_ := sealed_with(sealed)) not in self._bases:
            raise KeyMissingError.of(id_)
        bound, ends = self._bound(place), HEAD_BYTES + NONCE_BYTES
        try:
            return json.loads(self._cipher(id_, bound).decrypt(sealed[HEAD_BYTES:ends], sealed[ends:], bound))
        except (InvalidTag, ValueError):
            raise InputLostError from None

    def email_digests(self, address: str) -> list[bytes]:
        """Digest an e-mail address with each lookup key; the first is the one to store.

        Neither case nor Unicode's forms make a difference. Source: RFC 6532, section 3.1.
        """
        plain = composed(composed(address.strip()).lower()).encode()
        return [hmac.digest(key, plain, "sha256")[:EMAIL_DIGEST_BYTES] for key in self._email_keys]

    def marks(self, fingerprint: str) -> tuple[str, ...]:
        """Give what stands in a record for a job with this fingerprint, by each lookup key; the first is stored.

        The last is the fingerprint itself, as records of before hold it: whoever reads it can try out guesses.
        """
        digests = (hmac.digest(key, fingerprint.encode(), "sha256")[:MARK_BYTES] for key in self._mark_keys)
        return (*(urlsafe_b64encode(digest).decode().rstrip("=") for digest in digests), fingerprint)

    def _cipher(self, id_: str, bound: bytes) -> AESGCM:
        """Make the cipher of a place."""
        return AESGCM(HKDFExpand(SHA256(), 32, info=bound).derive(self._bases[id_]))

    def _bound(self, place: Place) -> bytes:
        """Write what a value is bound to: its key is derived from it, and it is authenticated with the value."""
        return canonical_json([self._installation, *place])

    def _open_former(self, place: Place, sealed: bytes) -> Any:
        """Decrypt what Fernet sealed; it holds its owner beside the value."""
        try:
            owner, value = json.loads(self._former.decrypt(sealed))
        except InvalidToken:
            raise InputLostError from None
        if owner != place.former:
            raise InputLostError
        return value
