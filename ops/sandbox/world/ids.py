"""Identifiers shaped like UUIDv7: ordered by creation, the same for the same seed and clock."""

import hashlib
import random
import re
import uuid

UUID_FORM = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Ids:
    """Draw ids from a seeded source."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # must be repeatable; nothing here is secret
        self._last_ms = 0
        self._sequence = 0

    def new(self, at: float) -> str:
        """Return an id that sorts after every earlier one."""
        ms = int(at * 1000)
        if ms > self._last_ms:
            self._last_ms, self._sequence = ms, 0
        else:
            self._sequence += 1
            if self._sequence > 0xFFF:
                self._last_ms, self._sequence = self._last_ms + 1, 0
        head = (self._last_ms & 0xFFFFFFFFFFFF) << 16 | 0x7000 | self._sequence
        tail = 0b10 << 62 | self._random.getrandbits(62)
        digits = f"{head:016x}{tail:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def attempt(self) -> str:
        """Return a UUIDv4 for one delivery attempt of a webhook."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID in its usual form."""
    return UUID_FORM.fullmatch(text) is not None


def token_of(identification_id: str) -> str:
    """Return the token of an identification's link: the same for a step-up, which goes on with the same record."""
    return hashlib.blake2b(identification_id.encode(), digest_size=16).hexdigest()
