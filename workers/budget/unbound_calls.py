"""Calls to Iron that belong to no record: those of the sweep, and of a person's command that reads customers.

They come out of the same budget as all, in a lane behind the records': such a call takes a slot that nobody wants, or
the floor's. The tap, the breaker and a pause hold it back like any other (decision 0014).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pipelines.errors import HeldBackError, RateLimitedError
from pipelines.iron import Iron
from workers.budget.gate import Gate
from workers.budget.permits import ASK_AGAIN_S, ASKED_AGAIN, tap_pause_s
from workers.ledger import Ledger
from workers.ledger.limits import Permit

if TYPE_CHECKING:
    from workers.ledger import Ledger

Found = TypeVar("Found")

#: The lane of these calls: while it is paused, nothing reads Iron's list.
LANE = "sweep"
#: So long, in seconds, a command waits while Iron wants no call or is in trouble: longer than the usual Retry-After,
#: shorter than the patience of the user.
PATIENCE_S = 120.0
#: A wait for the budget is told when it gets longer than this, in seconds.
WORTH_TELLING_S = 2.0
#: The shortest pause before a call that was held back asks again, in seconds.
LEAST_S = 0.05


def wait_for(ledger: Ledger, permit: Permit, sleep: Callable[[float], object]) -> None:
    """Wait for a slot. Raises HeldBackError when it was so far that the call may not leave any more."""
    pause_s = min(permit.slot - ledger.clock(), permit.ahead_s)
    if pause_s > 0:
        sleep(pause_s)
    if pause_s > ASK_AGAIN_S:
        Gate(ledger).allowed(LANE, "")


class Aside:
    """Asks Iron for a command, when the fleet's budget allows it."""

    def __init__(
        self,
        ledger: Ledger,
        iron: Iron,
        sub_partner_id: str | None = None,
        *,
        say: Callable[[str], object] = lambda _: None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`say` hears in plain words what is waited for; `sleep` waits for this many seconds."""
        self._ledger = ledger
        self._iron = iron.on_behalf_of(sub_partner_id, self._before_call)
        self._say = say
        self._sleep = sleep
        self._said: str | None = None
        #: How long it has been held back, in seconds: by the tap or the breaker since Iron last answered; in all by the
        #: budget for the call that is to leave.
        self._away_s = self._short_s = 0.0

    def ask(self, call: Callable[[Iron], Found]) -> Found:
        """Make a call when it may leave. A 429 closes the tap for the fleet, and the call is made again after it.

        Raises HeldBackError when a person has paused such calls, or the wait gets too long; nothing was asked then.
        """
        while True:
            try:
                found = call(self._iron)
            except RateLimitedError as error:
                Gate(self._ledger).close_tap(tap_pause_s(error))
            else:
                self._away_s = 0.0
                return found

    def _before_call(self, _class: str) -> None:
        """Wait until a call may leave; a permit that lapses on the way is asked for again, as for a step."""
        lapses = 0
        self._short_s = 0.0
        while lapses <= ASKED_AGAIN:
            try:
                permit = Gate(self._ledger).permit_aside()
                wait_for(self._ledger, permit, self._sleep)
            except HeldBackError as error:
                self._hold(error)
                continue
            now = self._ledger.clock()
            self._ledger.lag.seen(now - permit.slot)
            if now <= permit.until:
                break
            lapses += 1
        self._said = None

    def _hold(self, error: HeldBackError) -> None:
        """Wait as long as a call is held back at least, and say so once for each reason; or give up."""
        pause_s = max(error.retry_after_s, LEAST_S)
        if error.reason == "budget":  # it has its floor: its turn comes
            self._short_s += pause_s
            if self._short_s > WORTH_TELLING_S:
                self._tell(error, "This one waits for its turn.")
        elif error.reason == "paused" or self._away_s + pause_s > PATIENCE_S:
            raise error
        else:
            self._away_s += pause_s
            self._tell(error, f"Waiting {pause_s:,.0f} s." if error.reason == "closed" else "Waiting for that.")
        self._sleep(pause_s)

    def _tell(self, error: HeldBackError, what: str) -> None:
        if self._said != error.reason:
            self._say(f"{error} {what}")
        self._said = error.reason
