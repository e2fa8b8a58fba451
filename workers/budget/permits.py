"""The permits of a claim's calls, asked for one at a time, right before each call leaves. Source: decision 0014."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipelines.advance import RATE_LIMITED_PAUSE_S
from pipelines.errors import RateLimitedError
from pipelines.iron import CALL
from pipelines.pauses import spread
from workers.budget.gate import Gate
from workers.ledger import Claim, Ledger
from workers.ledger.limits import Permit

#: A call that has waited for longer than this, in seconds, asks once more whether it may leave.
ASK_AGAIN_S = 0.05
#: It asks so long before its slot, in seconds: about what the answer takes.
ASK_AHEAD_S = 0.004
#: So often a permit that has lapsed is asked for again. After that the call leaves all the same: one that is late is
#: better than one that never leaves.
ASKED_AGAIN = 2
#: The tap reopens up to this many seconds later than Iron asks for: those whom it sent away do not come all at once.
REOPENING_S = 0.25


class Permits:
    """The permits of a claim's calls: `before_call` waits until a call may leave."""

    def __init__(self, ledger: Ledger, claim: Claim, sleep: Callable[[float], object] = time.sleep) -> None:
        """Begin with what the claim brings. `sleep` waits for this many seconds."""
        self._ledger = ledger
        self._gate = Gate(ledger)
        self._claim = claim
        self._sleep = sleep
        #: The class of the latest call.
        self.latest = CALL

    def before_call(self, class_: str) -> None:
        """Wait until a call of this class may leave.

        Raises HeldBackError when none may for now, and StaleClaimError when the lease may be over.
        """
        for _ in range(1 + ASKED_AGAIN):
            permits = {one: self._slot(one) for one in _classes(class_)}
            now = self._claim.clock()
            self._ledger.lag.seen(now - permits[CALL].slot)
            if now <= min(permit.until for permit in permits.values()):
                break
        self.latest = class_
        self._claim.before_call()

    def _slot(self, class_: str) -> Permit:
        """Take the permit at hand, or ask for one, and wait for its slot."""
        lane, holder = self._claim.record.lane, self._claim.fence
        permit = self._claim.permits.pop(class_, None) or self._gate.permit(lane, holder, class_)
        pause_s = min(permit.slot - self._claim.clock(), permit.ahead_s)
        if pause_s > ASK_AGAIN_S:
            self._wait(pause_s - ASK_AHEAD_S)
            self._gate.allowed(lane, holder)
            pause_s = permit.slot - self._claim.clock()
        if 0 < pause_s <= ASK_AGAIN_S:
            self._wait(pause_s)
        return permit

    def _wait(self, seconds: float) -> None:
        self._claim.waited_s += seconds
        self._sleep(seconds)


def tap_pause_s(error: RateLimitedError) -> float:
    """Return for how long a 429 limits us: as long as Iron says, and a little more, so that not all come at once."""
    pause_s = RATE_LIMITED_PAUSE_S if error.retry_after_s is None else error.retry_after_s
    return pause_s + spread(REOPENING_S)


def _classes(class_: str) -> tuple[str, ...]:
    """Name the classes that a call counts in; the rarer slot is waited for first."""
    return (class_,) if class_ == CALL else (class_, CALL)
