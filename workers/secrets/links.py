"""The customer's link: an address that stays the same while the hosted pages of Iron behind it come and go.

Its token is the record's key, encrypted and authenticated in one (AES-SIV, RFC 5297), so that it says nothing, cannot
be altered, and needs no storage. The encryption is deterministic: asked twice, a link is the same link. It holds until
it is revoked, which raises the record's serial, or until the key of the ring that made it is gone.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from workers.ledger import Ledger, Lists, Read
from workers.secrets.vault import derived

#: Longest token that is looked at, in characters: that of a key of 255 characters of four bytes each is shorter.
LONGEST_TOKEN = 1_500
#: Where links begin, below the gateway's public address.
PATH = "/go/"


class LinkUnknownError(Exception):
    """The token is not one of ours: altered, cut off, or made under a key that is no longer in the ring."""


class LinkRevokedError(Exception):
    """The token was one of ours and was revoked since; `key` is its record's."""

    def __init__(self, key: str) -> None:
        """Keep the record's key."""
        super().__init__(key)
        self.key = key


class CustomerLinks:
    """Makes the links of records and finds the records of links."""

    def __init__(self, ring: Sequence[str], installation: str, public_url: str | None = None) -> None:
        """Take the encryption keys, newest first: it makes links, all of them open links.

        `public_url` is the gateway's address as customers reach it; without it there are tokens but no links.
        """
        self._ciphers = [AESSIV(derived(key, "customer link", 64)) for key in ring]
        self._context = [installation.encode()]
        self._public_url = public_url

    def token(self, key: str, serial: int = 0) -> str:
        """Make the token of a record's key, good while its links were revoked this many times."""
        sealed = self._ciphers[0].encrypt(f"{serial} {key}".encode(), self._context)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def link(self, read: Read) -> str | None:
        """Return the link of a record; None: nobody has said at which address customers reach the gateway."""
        return self.link_to(read.record.key, read.link_serial)

    def link_to(self, key: str, serial: int) -> str | None:
        """Return the link of the record with this key, whose links were revoked this many times."""
        return None if self._public_url is None else f"{self._public_url}{PATH}{self.token(key, serial)}"

    def open(self, token: str) -> tuple[str, int]:
        """Return the record's key and the serial that a token was made for. Raises LinkUnknownError."""
        sealed = _bytes(token)
        for cipher in self._ciphers:
            try:
                serial, _, key = cipher.decrypt(sealed, self._context).decode().partition(" ")
            except InvalidTag:
                continue
            return key, int(serial)
        raise LinkUnknownError

    def read(self, ledger: Ledger, token: str) -> Read:
        """Read the record of a token; one round trip. Raises LinkUnknownError or LinkRevokedError."""
        key, serial = self.open(token)
        read = ledger.read(key)
        if read is None:  # an adopted record that a job took over under its own key: its external id leads there
            [holder] = Lists(ledger).holders([key])
            read = ledger.read(holder) if holder else None
        if read is None:
            raise LinkUnknownError
        if read.link_serial != serial:
            raise LinkRevokedError(read.record.key)
        return read


def _bytes(token: str) -> bytes:
    """Decode a token that is written as we write it and in no other way."""
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4)) if len(token) <= LONGEST_TOKEN else b""
    except (binascii.Error, ValueError):
        raise LinkUnknownError from None
    if not sealed or urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
        raise LinkUnknownError
    return sealed
