"""How far the sweep has come: the one cursor that the fleet shares."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.iron import CALL
from workers.ledger import Ledger
from workers.ledger.limits import Permit
from workers.ledger.values import PREFIX


class NextPage(NamedTuple):
    """A page of Iron's list that the sweep reads next, and leave for the call."""

    #: Where it is; "" is the beginning.
    place: str
    permit: Permit


class SweepCursor:
    """The place of the sweep in Iron's list, and what it has found."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that keeps it."""
        self._ledger = ledger
        self._client = ledger.client

    def next_page(self, token: str, lease_ms: int, interval_s: float) -> NextPage | float:
        """Ask for the next page of the sweep, or the seconds to wait."""
        asked = self._ledger.clock()
        answer = self._ledger.call("sweep", token, lease_ms, int(interval_s * 1000))
        if answer[0] != b"place":
            return int(answer[1]) / 1000
        return NextPage(answer[1].decode(), self._ledger.budget.permit(CALL, asked, answer[2]))

    def page_read(self, token: str, place: str | None, *, read: int, differ: int, unknown: int) -> bool:
        """Note a page as read, and where the next one is (None: none). False: the sweep is not ours any more."""
        return bool(self._ledger.call("swept", token, "-" if place is None else place, read, differ, unknown))

    def sweep_state(self) -> dict[str, str]:
        """Show the sweep under way and the counts of the last one."""
        state = self._client.hgetall(f"{PREFIX}sweep")
        return {name.decode(): value.decode() for name, value in state.items()}

    def sub_partners(self) -> list[str]:
        """Name the sub-partners that any record has."""
        return sorted(member.decode() for member in self._client.smembers(f"{PREFIX}sub_partners"))
