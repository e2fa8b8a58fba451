"""The sweep: compares Iron's customer list with the ledger, 100 at a time, and wakes the records that differ.

It is the guarantee behind every due time that is far away (design section 2, rule 2): with all webhooks lost, each
change
is found within one interval, at a hundredth of the price of reading customers one by one. One sweep runs at a time
in the
fleet, a page at a time; its place is kept in the ledger, so that any worker process goes on where another one ended.

The list is read without a status filter: a customer who became active, or was archived, would be missing from a
filtered list, and a missing customer cannot be told from one whose status is the same (ops/docs/decisions/0003).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
import structlog

from pipelines.errors import HeldBackError, IronError, RateLimitedError
from pipelines.iron import Customer, Iron
from pipelines.lifecycle import CustomerStatus
from pipelines.model import Record
from workers.budget.gate import Gate
from workers.budget.permits import tap_pause_s
from workers.budget.unbound_calls import LEAST_S, wait_for
from workers.ledger import Ledger, Lists
from workers.process.background import Background
from workers.reconcile.cursor import SweepCursor

log = structlog.get_logger()

#: A holder that reads no page for this long has lost the sweep to another process, in ms; longer than the slowest page.
LEASE_MS = 60_000
#: Longest pause between two questions whether there is something to sweep, in seconds.
LONGEST_PAUSE_S = 60.0
#: Pause after Iron or Redis did not answer, in seconds.
AWAY_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """What one page showed: customers read, records that differ and were woken, customers that no record knows."""

    read: int
    differ: int
    unknown: int
    last: bool


class Sweep(Background):
    """Reads Iron's list and wakes what differs."""

    def __init__(
        self, ledger: Ledger, iron: Iron, interval_s: float, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """Take the pause from one sweep to the next, in seconds; 0 switches it off. The thread starts with `start`.

        `sleep` waits for Iron's budget, this many seconds.
        """
        super().__init__("sweep")
        self._ledger = ledger
        self._iron = iron
        self._interval_s = interval_s
        self._sleep = sleep
        self._token = secrets.token_urlsafe(9)

    def start(self) -> None:
        """Start sweeping, unless it is switched off."""
        if self._interval_s > 0:
            super().start()

    def run_once(self) -> Page | float:
        """Read one page if it is time and this process's turn; else answer the seconds until it may be."""
        page = SweepCursor(self._ledger).next_page(self._token, LEASE_MS, self._interval_s)
        if isinstance(page, float):
            return page
        wait_for(self._ledger, page.permit, self._sleep)
        sub_partner, _, cursor = page.place.partition(" ")
        iron = self._iron.on_behalf_of(sub_partner or None, lambda _: None)  # the page came with its call
        customers, cursor_after = iron.customers(cursor=cursor or None)
        keys = Lists(self._ledger).keys_of_customers([customer.id for customer in customers])
        by_key = {key: customer for key, customer in zip(keys, customers, strict=True) if key is not None}
        found = self._ledger.read_many(list(by_key))
        differing = [by_key[read.record.key] for read in found if differs(read.record, by_key[read.record.key])]
        for customer in differing:
            self._ledger.wake(customer.id)  # the pulse sends the nudge: thousands at once must not fill the queues
        following = self._following(sub_partner, cursor_after)
        read = Page(len(customers), len(differing), keys.count(None), following is None)
        SweepCursor(self._ledger).page_read(
            self._token, following, read=read.read, differ=read.differ, unknown=read.unknown
        )
        return read

    def _following(self, sub_partner: str, cursor: str | None) -> str | None:
        """Return the place of the next page: of this sub-partner's list, or the beginning of the next one's."""
        if cursor:
            return f"{sub_partner} {cursor}"
        later = [name for name in SweepCursor(self._ledger).sub_partners() if name > sub_partner]
        return f"{later[0]} " if later else None

    def turn(self) -> float:
        """Read a page if it is time; the next one follows as soon as the budget allows."""
        try:
            page = self.run_once()
        except HeldBackError as error:
            return min(max(error.retry_after_s, LEAST_S), LONGEST_PAUSE_S)
        except (IronError, redis.RedisError) as error:
            log.warning("sweep.interrupted", error=type(error).__name__)
            if isinstance(error, RateLimitedError):
                Gate(self._ledger).close_tap(tap_pause_s(error))
            return AWAY_S
        if isinstance(page, float):
            return min(page, LONGEST_PAUSE_S)
        if page.last:
            state = SweepCursor(self._ledger).sweep_state()
            log.info("sweep.finished", **{name: state.get(f"last_{name}") for name in ("read", "differ", "unknown")})
        return 0.0


def differs(record: Record, customer: Customer) -> bool:
    """Return whether Iron's list shows something else than the record; what the list leaves out does not count."""
    if customer.status != record.customer_status:
        return True
    newest = customer.identification_status
    identifying = customer.status == CustomerStatus.IDENTIFICATION_REQUIRED
    return identifying and newest is not None and newest != record.identification_status
