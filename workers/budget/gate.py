"""Whether a call to Iron may leave: permits, the tap, the breaker, pauses, and how all of them stand.

Each method is one round trip. Source: decision 0014.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import HeldBackError
from pipelines.iron import CALL, IDENTIFICATION
from pipelines.keys import canonical_json
from workers.ledger import Ledger
from workers.ledger.limits import Permit

#: What can be paused: the lanes of records, and the sweep.
PAUSABLE = ("interactive", "bulk", "reidentify", "sweep")

BreakerState = Literal["closed", "open", "half_open"]


#: Why a call may not leave, for people.
HELD_BACK = {
    "paused": "The {lane} lane is paused. Resume it with `onboarding resume {lane} --yes`.",
    "closed": "Iron asked us to wait with all calls (429).",
    "open": (
        "Iron is not answering, or rejects all calls. Calls go on as soon as a test call succeeds. `onboarding doctor`"
        " says what is wrong."
    ),
    "budget": "The call limit is used up. The next call goes out shortly.",
}


def held_back(lane: str, why: str, back_ms: int) -> HeldBackError:
    """Make the error for a call that may not leave now."""
    return HeldBackError(HELD_BACK[why].format(lane=lane), reason=why, retry_after_s=back_ms / 1000)


@dataclass(frozen=True, slots=True)
class Pause:
    """A lane that a person has paused."""

    at_ms: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How the budget stands at one moment."""

    now_ms: int
    #: Until when Iron wants no call; None: it takes them.
    closed_until_ms: int | None
    breaker: BreakerState
    #: Since when the breaker is not closed.
    opened_ms: int | None
    #: The status with which Iron refuses all calls; None: it does not, and an open breaker means that it is in trouble.
    refusal: int | None
    #: What part of its ceiling each class has now.
    parts: Mapping[str, float]
    paused: Mapping[str, Pause]


class Gate:
    """Asks for calls to Iron, and lets operators stop them."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that the fleet shares."""
        self._ledger = ledger

    def permit(self, lane: str, holder: str, class_: str = CALL) -> Permit:
        """Ask for leave to make one call. Raises HeldBackError when none may leave."""
        asked, budget = self._ledger.clock(), self._ledger.lag.budget()
        answer = self._ledger.call("permit", lane, holder, class_, budget=budget)
        if answer[0] == b"held":
            raise held_back(lane, answer[1].decode(), answer[2])
        return budget.permit(class_, asked, answer[1])

    def permit_aside(self) -> Permit:
        """Ask for leave to make one call that belongs to no record. Raises HeldBackError when none may leave."""
        asked, budget = self._ledger.clock(), self._ledger.lag.budget()
        answer = self._ledger.call("aside", budget=budget)
        if answer[0] == b"held":
            raise held_back("sweep", answer[1].decode(), answer[2])
        return budget.permit(CALL, asked, answer[1])

    def allowed(self, lane: str, holder: str) -> None:
        """Raise HeldBackError unless a call that has its permit may still leave."""
        answer = self._ledger.call("allowed", lane, holder)
        if answer[0] == b"held":
            raise held_back(lane, answer[1].decode(), answer[2])

    def close_tap(self, pause_s: float, class_: str = CALL) -> None:
        """Keep the whole fleet from calling Iron for this long, and halve the rate of the class that met a 429."""
        self._ledger.call("close", int(pause_s * 1000), class_)

    def pause(self, lanes: Sequence[str], *, by: str, reason: str = "") -> list[str]:
        """Let no call to Iron leave for these lanes until they are resumed; answers those that were not paused yet."""
        done = self._ledger.call("pause_lanes", canonical_json({"by": by, "reason": reason}), *lanes)
        return [lane.decode() for lane in done]

    def resume(self, lanes: Sequence[str]) -> list[str]:
        """Let calls for these lanes leave again; answers those that were paused."""
        return [lane.decode() for lane in self._ledger.call("resume_lanes", *lanes)]

    def standing(self) -> BudgetStatus:
        """Return how Iron's budget stands: tap, breaker, learned rates and pauses."""
        found = json.loads(self._ledger.call("standing", CALL, IDENTIFICATION))
        opened = found["opened"]
        return BudgetStatus(
            now_ms=int(found["now"]),
            closed_until_ms=int(found["closed"]) if found["closed"] > found["now"] else None,
            breaker="closed" if not opened else "half_open" if found["probing"] else "open",
            opened_ms=int(opened) or None,
            refusal=int(found["refusal"]) or None,
            parts=found["parts"],
            paused={lane: _paused(entry) for lane, entry in sorted(found["paused"].items())},
        )


def _paused(entry: str) -> Pause:
    at_ms, _, who = entry.partition(" ")
    return Pause(int(at_ms), **json.loads(who))
