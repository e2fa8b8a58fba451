"""API tokens in the ledger: made, listed and revoked while gateways run, with an end if wanted. Digests only.

A gateway asks again after some seconds, so that a token that was made is good, and one that was revoked is not, soon
after and without a restart. The tokens of the setting come first and need no ledger. Source: contract section 6.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from pipelines.keys import canonical_json
from workers.ledger import PREFIX, Ledger
from workers.secrets.tokens import ApiToken, Role, digest, find, new_token, setting_of

#: What is known of the stored tokens is asked for anew after so long, in seconds.
KNOWN_FOR_S = 5.0
#: The use of a token is noted to the hour, in ms: who looks wants to know whether anybody still uses it.
_HOUR_MS = 3_600_000


class TokenNameTakenError(Exception):
    """A token of this name is good now, and a second one would leave nobody able to tell who acted."""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it is kept. All times in ms; None: there is none."""

    name: str
    role: str
    digest: str
    created_ms: int
    created_by: str
    expires_ms: int | None = None
    revoked_ms: int | None = None
    revoked_by: str | None = None

    def state(self, now_ms: float) -> str:
        """Return what it is now: good, expired or revoked."""
        if self.revoked_ms is not None:
            return "revoked"
        return "good" if self.expires_ms is None or now_ms < self.expires_ms else "expired"

    def stored(self) -> bytes:
        """Write it as it is kept."""
        return canonical_json({name: value for name, value in asdict(self).items() if value is not None})


class TokenStore:
    """Makes, lists and revokes tokens."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that keeps them."""
        self._ledger = ledger

    def new(self, name: str, role: Role, *, by: str, expires_s: float | None = None) -> str:
        """Make a token and keep its digest; returns the token, which nobody can have again.

        Raises ValueError for a name that is none, and TokenNameTakenError.
        """
        token = new_token()
        setting_of(name, role, token)
        now_ms = self._ledger.now_ms()
        ends = None if expires_s is None else now_ms + int(expires_s * 1000)
        made = StoredToken(name, role.value, digest(token), now_ms, by, ends)

        def change(before: StoredToken | None) -> StoredToken:
            if before is not None and before.state(now_ms) == "good":
                raise TokenNameTakenError
            return made

        self._change(name, change)
        return token

    def revoke(self, name: str, *, by: str) -> bool:
        """End a token; returns False where there is none that is good."""
        now_ms = self._ledger.now_ms()
        ended = False

        def change(before: StoredToken | None) -> StoredToken | None:
            nonlocal ended
            ended = before is not None and before.state(now_ms) == "good"
            return replace(before, revoked_ms=now_ms, revoked_by=by) if before and ended else None

        self._change(name, change)
        return ended

    def all(self) -> list[StoredToken]:
        """Return every token, by name, also those that are over."""
        kept = self._ledger.client.hgetall(f"{PREFIX}tokens")
        return [StoredToken(**json.loads(text)) for _, text in sorted(kept.items())]

    def read(self) -> tuple[list[StoredToken], int]:
        """Return every token, and the ledger's time."""
        return self.all(), self._ledger.now_ms()

    def used_ms(self) -> dict[str, int]:
        """Return when each token was last used, by name, to the hour."""
        return {name.decode(): int(ms) for name, ms in self._ledger.client.hgetall(f"{PREFIX}tokens_used").items()}

    def note_use(self, name: str, hour_ms: int) -> None:
        """Note in which hour a token is used."""
        self._ledger.client.hset(f"{PREFIX}tokens_used", name, str(hour_ms))

    def _change(self, name: str, change: Callable[[StoredToken | None], StoredToken | None]) -> None:
        """Write what becomes of a token, from what it is; again where somebody else wrote meanwhile."""
        while True:
            before = self._ledger.client.hget(f"{PREFIX}tokens", name) or b""
            after = change(StoredToken(**json.loads(before)) if before else None)
            if after is None:
                return
            if self._ledger.call("token_put", name, before, after.stored(), durable=True) == b"put":
                return


class KnownTokens:
    """The tokens that are good now: those of the setting, and those of the ledger as they were seconds ago."""

    def __init__(
        self, store: TokenStore, fixed: Sequence[ApiToken] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take those of the setting. `clock` measures, in seconds, how long ago the ledger told its time."""
        self._store, self._fixed, self._clock = store, tuple(fixed), clock
        self._stored: tuple[tuple[ApiToken, int | None], ...] = ()
        self._read_at, self._read_ms = -math.inf, 0
        self._noted: dict[str, int] = {}
        self._loading = threading.Lock()

    def at_hand(self, presented: str) -> ApiToken | None:
        """Find whose token this is without asking the ledger; None: `find` may know more."""
        if found := find(self._fixed, presented):
            return found
        found = None if self._outdated() else find(self._good(), presented)
        return found if found and self._noted.get(found.name) == self._hour() else None

    def find(self, presented: str) -> ApiToken | None:
        """Find whose token this is, and note the use of a stored one. Raises what Redis raises."""
        return find(self._fixed, presented) or self._used(find(self._good(), presented))

    def holding(self, name: str, digits: str) -> ApiToken | None:
        """Return the token of this name whose digest begins so, if it is good. Raises what Redis raises."""

        def among(tokens: Iterable[ApiToken]) -> ApiToken | None:
            return next((one for one in tokens if one.name == name and one.digest.startswith(digits)), None)

        return among(self._fixed) or self._used(among(self._good()))

    def nobody(self) -> bool:
        """Return whether there is no token at all. Raises what Redis raises."""
        return not self._fixed and not self._good()

    def _outdated(self) -> bool:
        return self._clock() - self._read_at >= KNOWN_FOR_S

    def _hour(self) -> int:
        return int(self._now_ms() // _HOUR_MS)

    def _now_ms(self) -> float:
        """Return the ledger's time, as it was told and went on since."""
        return self._read_ms + (self._clock() - self._read_at) * 1000

    def _good(self) -> list[ApiToken]:
        if self._outdated():
            with self._loading:
                if self._outdated():
                    self._load()
        now_ms = self._now_ms()
        return [token for token, ends in self._stored if ends is None or now_ms < ends]

    def _load(self) -> None:
        """Read the stored tokens. One with the name of one of the setting is none: nobody could tell who acted."""
        names, read_at = {token.name for token in self._fixed}, self._clock()
        stored, now_ms = self._store.read()
        self._stored = tuple(
            (ApiToken(one.name, Role(one.role), one.digest), one.expires_ms)
            for one in stored
            if one.state(now_ms) == "good" and one.name not in names
        )
        self._read_at, self._read_ms = read_at, now_ms

    def _used(self, token: ApiToken | None) -> ApiToken | None:
        if token is not None and self._noted.get(token.name) != (hour := self._hour()):
            self._store.note_use(token.name, hour * _HOUR_MS)
            self._noted[token.name] = hour
        return token
