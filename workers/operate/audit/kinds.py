"""What a kind of finding is, and the registry of all of them.

A rule of records is one small function of what was seen; its name is the kind's code and its docstring the sentence. It
answers None while all is well, else words to go with the sentence: ids and names of places, never personal data.
Kinds without a rule are found on the way through the indexes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getdoc

from pipelines.lifecycle import FINISHED, Phase
from pipelines.model import Policy
from workers.ledger.limits import Budget
from workers.operate.audit.seen import Seen, Traffic


@dataclass(frozen=True, slots=True)
class Kind:
    """One invariant that may be broken.

    `mend`: name of the operation in audit.lua that puts it right; `remedy`: what that does, or what a person can do.
    `information`: nothing is broken, but somebody should know.
    """

    code: str
    sentence: str
    remedy: str
    mend: str | None = None
    information: bool = False


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Beside what a rule judges.

    `traffic` now, and `earlier` when the walk began; the policy and budget of the fleet.
    """

    traffic: Traffic
    earlier: Traffic
    policy: Policy
    budget: Budget

    def stands(self, lane: str) -> bool:
        """Return whether nothing moves in a lane."""
        return self.traffic.stands(lane, self.earlier)

    def put_off_ms(self, seen: Seen, class_: str, ms: int) -> float:
        """Return how far away a due time may be that only waits for its turn: `ms`, and the line for Iron's budget."""
        ends_ms = self.traffic.line_ms.get(seen.header.lane, 0.0) if seen.header else 0.0
        line_ms = max(0.0, ends_ms - self.traffic.now_ms)
        return ms + line_ms + 2 * self.budget.interval_ms(class_)


Rule = Callable[[Seen, Circumstances], str | None]

#: Every kind by its code, in the order in which they are told.
KINDS: dict[str, Kind] = {}
#: The rules of records by their code.
RULES: dict[str, Rule] = {}


def rule(remedy: str, mend: str | None = None, *, information: bool = False) -> Callable[[Rule], Rule]:
    """Note a rule of records under its name; its docstring is the sentence."""

    def note(judge: Rule) -> Rule:
        code = judge.__name__
        KINDS[code] = Kind(code, getdoc(judge) or "", remedy, mend, information)
        RULES[code] = judge
        return judge

    return note


def kind(code: str, sentence: str, remedy: str, mend: str | None = None) -> None:
    """Note a kind that is found on the way through the indexes."""
    KINDS[code] = Kind(code, sentence, remedy, mend)


def in_known_phase(seen: Seen) -> bool:
    """Return whether the record is in a phase of this release."""
    return seen.header is not None and seen.header.phase in _PHASES


def finished(seen: Seen) -> bool:
    """Return whether there is nothing left to do or to watch."""
    return seen.header is not None and seen.header.phase in FINISHED


_PHASES = frozenset(phase.value for phase in Phase)
