"""Finding onboardings for somebody: by e-mail address for those who act and decide, at a measured pace, else by keys.

Whether somebody is a customer is personal, and an address can be guessed; a key or an id has to be known.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.gateway.http.access import FIND_BY_EMAIL, Caller
from ops.gateway.http.problems import ProblemError
from ops.gateway.http.windows import Windows
from workers.ledger import Ledger, Read
from workers.operate.search import by_email, by_key
from workers.secrets.vault import Vault

#: Searches by e-mail address with one token in a minute: more than a person makes.
BY_EMAIL = 60


class Searches:
    """Finds what a caller may find. Blocks."""

    def __init__(self, ledger: Ledger, vault: Vault, clock: Callable[[], float] = time.monotonic) -> None:
        """Take where to look. `clock` measures the pace."""
        self._ledger, self._vault = ledger, vault
        self._paces = Windows(BY_EMAIL, clock)

    def find(self, caller: Caller, text: str) -> list[Read]:
        """Return the onboardings that a text names. Raises ProblemError."""
        found = by_key(self._ledger, text)
        if "@" not in text or (found and caller.role not in FIND_BY_EMAIL):
            return found
        if caller.role not in FIND_BY_EMAIL:
            may = ", ".join(sorted(FIND_BY_EMAIL))
            text = f"The role {caller.role} finds by key, external id and Iron's id; by e-mail address: {may}."
            raise ProblemError("role_insufficient", text)
        pace = self._paces.count(caller.name)
        if pace.beyond:
            text = f"A token may search {BY_EMAIL} times a minute by e-mail address."
            raise ProblemError("too_many_searches", text, headers={"Retry-After": str(pace.left_s)})
        known = {read.record.key for read in found}
        return found + [read for read in by_email(self._ledger, self._vault, text) if read.record.key not in known]
