"""Stored answers by idempotency key, as in section 1.3 of the fact sheet.

A key is scoped by API key and path, or by API key alone. Another body under a known key is refused, and so is a second
request while the first has not been answered yet.
"""

import hashlib
from dataclasses import dataclass

from ops.sandbox.api.calls import Call
from ops.sandbox.wire.answers import Answer, RefusalError
from ops.sandbox.world.effects import Effect
from ops.sandbox.world.switches import Switches


@dataclass(slots=True, eq=False)
class Stored:
    """One remembered answer. `busy_until` is when its first request is through."""

    fingerprint: bytes
    at: float
    busy_until: float
    status: int
    body: bytes
    content_type: str
    effect: Effect | None


def scope_of(call: Call) -> tuple[bytes, bytes]:
    """Return what a request's key belongs to, and the fingerprint that tells its twins from others."""
    caller, path, key = call.api_key.encode(), call.path.encode(), (call.idempotency_key or "").encode()
    if call.switches.key_scope == "everywhere":
        return digest(caller, key), digest(path, call.body)
    return digest(caller, path, key), digest(call.body)


def retention_s(switches: Switches, operation: str) -> float:
    """Return how long an endpoint remembers keys, in seconds."""
    if operation == "create_identification" or switches.retention_elsewhere_s is None:
        return switches.retention_s
    return switches.retention_elsewhere_s


def remembers(switches: Switches, status: int) -> bool:
    """Return whether an answer of this status is stored under its key."""
    if status < 400:
        return True
    return switches.stored_errors == "all" or (switches.stored_errors == "4xx" and status < 500)


def digest(*parts: bytes) -> bytes:
    """Return a short fingerprint; the parts are told apart by their length."""
    sum_ = hashlib.blake2b(digest_size=16)
    for part in parts:
        sum_.update(len(part).to_bytes(8, "big"))
        sum_.update(part)
    return sum_.digest()


class IdempotencyStore:
    """Remember answers for the retention time."""

    def __init__(self) -> None:
        self._stored: dict[bytes, Stored] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def find(
        self, scope: bytes, fingerprint: bytes, at: float, retention_s: float, *, waits: bool = False
    ) -> Stored | None:
        """Return what is stored for this request, None if nothing is (any more).

        Raises RefusalError 409 for another body, and while the first request is in flight, unless its twin waits.
        """
        stored = self._stored.get(scope)
        if stored is None:
            return None
        if at >= stored.at + retention_s:
            del self._stored[scope]
            return None
        if stored.fingerprint != fingerprint:
            raise RefusalError(409, "idempotency key was already used with a different request")
        if at < stored.busy_until and not waits:
            raise RefusalError(409, "a request with this idempotency key is in progress")
        return stored

    def keep(
        self,
        scope: bytes,
        fingerprint: bytes,
        answer: Answer,
        *,
        at: float,
        busy_s: float = 0.0,
        effect: Effect | None = None,
    ) -> None:
        """Remember an answer."""
        self._stored[scope] = Stored(
            fingerprint, at, at + busy_s, answer.status, answer.body, answer.content_type, effect
        )

    def forget(self, scope: bytes) -> None:
        """Drop one key."""
        self._stored.pop(scope, None)

    def purge(self, at: float, retention_s: float) -> None:
        """Drop what has outlived the retention."""
        self._stored = {scope: one for scope, one in self._stored.items() if at < one.at + retention_s}


def replay(stored: Stored, *, bare: bool = False) -> Answer:
    """Return a stored answer again, with its headers or bare of them, and count that."""
    if stored.effect is not None:
        stored.effect.replays += 1
    return Answer(stored.status, stored.body, stored.content_type, bare=bare)
