"""Iron's budget as values: the ceilings, a permit for a call, how late this process is. No Redis here.

The limits, the lanes' shares, the tap, the breaker and the pauses are kept in Redis and judged there (lua/pace.lua).
Decision 0014 tells why it is so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from pipelines.iron import CALL, IDENTIFICATION

#: Margin of a class: the part of its window by which a call may be late without any window holding too many. It costs
#: as much of the budget. A minute forgives far more than a second, so identifications need the smaller part.
MARGIN = {CALL: 0.043, IDENTIFICATION: 0.03}
#: Part of the margin by which a slot may be past when it is given.
GIVEN_LATE = 0.4
#: Part of the margin by which a call may leave after its slot; the rest is for the way to Iron.
LEAVES_LATE = 0.6


#: A process that is late says so with all that it asks for, in steps of this many seconds, at most N, and for so
#: long: the slots are then as much farther apart as its calls are late.
LAG_STEP_S = 0.025
LAG_MOST_S = 0.3
LAG_KEPT_S = 5.0
#: It says this many times the delay that it has just seen: the next may be longer.
LAG_AMPLE = 1.5


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call. Both times are on this process's own clock, in seconds."""

    #: The call leaves no earlier than this.
    slot: float
    #: After this the permit has lapsed.
    until: float
    #: How far ahead the slot was when it was asked for, in seconds: nobody waits longer, wherever the clock jumps.
    ahead_s: float


@dataclass(frozen=True)
class Budget:
    """Calls to Iron that the fleet may make: the ceilings, as they are set."""

    rate_per_second: float = 10.0
    identifications_per_minute: float = 60.0
    #: By how much more than usual a call of this process may be late after its slot; see Lag.
    lag_s: float = 0.0

    def interval_ms(self, class_: str) -> float:
        """Return the spacing of a class's slots at its ceiling: that of its limit, and the usual margin."""
        per_second = self.rate_per_second if class_ == CALL else self.identifications_per_minute / 60
        return 1000 / per_second * (1 + MARGIN[class_])

    def window_ms(self, class_: str) -> float:
        """Return the time in which a class's limit is counted: longer where less than one call is allowed in it."""
        return max(1000.0 if class_ == CALL else 60_000.0, self.interval_ms(class_) / (1 + MARGIN[class_]))

    def margin_ms(self, class_: str) -> float:
        """Return by how much a call of a class may be late."""
        return self.window_ms(class_) * MARGIN[class_]

    def leaves_late_s(self, class_: str) -> float:
        """Return by how much a call of a class may leave after its slot."""
        return max(self.margin_ms(class_) * LEAVES_LATE / 1000, self.lag_s)

    def spread(self, class_: str) -> float:
        """Return by how much farther apart than usual the slots of a class must be where its calls are so late."""
        window_s, margin = self.window_ms(class_) / 1000, MARGIN[class_]
        return (1 + max(margin, self.leaves_late_s(class_) / LEAVES_LATE / window_s)) / (1 + margin)

    @cached_property
    def stated(self) -> str:
        """What the script is told: for each class its spacing, how late a slot is given, its window, its spread."""
        return "".join(
            f"{class_} {self.interval_ms(class_):.4f} {self.margin_ms(class_) * GIVEN_LATE:.4f}"
            f" {self.window_ms(class_):.4f} {self.spread(class_):.4f} "
            for class_ in (CALL, IDENTIFICATION)
        )

    def permit(self, class_: str, asked: float, wait_ms: int) -> Permit:
        """Make the permit that was asked for at this time and answered with the ms until its slot."""
        slot = asked + wait_ms / 1000
        return Permit(slot, slot + self.leaves_late_s(class_), max(0.0, wait_ms / 1000))


class Lag:
    """How late the calls of this process have left of late: with more work than its machine can do, all of them are.

    A call that is later than its permit allows has to ask for another slot, which on such a machine only makes more
    work. So the process says with its next question how late it is, and gets slots that allow for it.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        """Begin on time."""
        self._budgets = [
            replace(budget, lag_s=steps * LAG_STEP_S) for steps in range(round(LAG_MOST_S / LAG_STEP_S) + 1)
        ]
        self._clock = clock
        self._steps = 0
        self._ends = 0.0

    def budget(self) -> Budget:
        """Return the budget with the lag as it is now."""
        if self._steps and not 0 < self._ends - self._clock() <= LAG_KEPT_S:
            self._steps = 0
        return self._budgets[self._steps]

    def seen(self, late_s: float) -> None:
        """Take note of how long after its slot a call was about to leave."""
        tolerated_s = self.budget().leaves_late_s(CALL)
        if late_s <= tolerated_s / 2:
            return
        if late_s > tolerated_s:
            self._steps = min(math.ceil(LAG_AMPLE * late_s / LAG_STEP_S), len(self._budgets) - 1)
        self._ends = self._clock() + LAG_KEPT_S
