"""Which keys have sealed what the ledger holds, by their ids: so that no process starts that could not read it."""

from __future__ import annotations

from typing import Any

from pipelines.times import timestamp
from workers.ledger import PREFIX, Ledger
from workers.secrets.vault import Vault


class KeyIds:
    """The ids of keys that seal or once sealed here, as processes note them at their start."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that keeps them."""
        self._ledger = ledger
        self._client: Any = ledger.client

    def all(self) -> dict[str, int]:
        """Give each id with the time since when its key seals, in ms; the newest is the last."""
        found = ((id_.decode(), int(ms)) for id_, ms in self._client.hgetall(f"{PREFIX}key_ids").items())
        return dict(sorted(found, key=lambda pair: (pair[1], pair[0])))

    def problems(self, vault: Vault) -> tuple[str, ...]:
        """Say what is wrong with a ring: it lacks the key that was the last to begin sealing. Nothing when all is well.

        A ring that lacks an older one is accepted: `keys status` says what cannot be read because of it.
        """
        known = self.all()
        newest = next(reversed(known), None)
        if newest is None or newest in vault.ids:
            return ()
        text = (
            f"ONBOARDING_ENCRYPTION_KEYS lacks the key {newest}, which seals what is stored since"
            f" {timestamp(known[newest])}: without it that cannot be read. Put it back. If it is lost for good, run"
            f" `onboarding keys forget {newest}`."
        )
        return (text,)

    def begin(self, vault: Vault) -> tuple[str, ...]:
        """Note that the first key of a ring seals from now on, unless something is wrong with it: that is answered."""
        if problems := self.problems(vault):
            return problems
        self._client.hsetnx(f"{PREFIX}key_ids", vault.ids[0], self._ledger.now_ms())
        return ()

    def forget(self, key_id: str) -> bool:
        """Ask no process for this key any more; False: it is not known."""
        return bool(self._client.hdel(f"{PREFIX}key_ids", key_id))
