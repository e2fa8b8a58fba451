"""The limits of stages as people write them, and as they are in force: read strictly, refused with the reason.

Source: contract section 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.lifecycle import Actor, Phase
from pipelines.reidentification.policy import PolicyInvalidError, read_section

#: Length of each unit in which a limit may be written, in ms.
UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_NAMES = {"m": "minute", "h": "hour", "d": "day", "w": "week"}
#: The longest limit, in ms: a year.
LONGEST_MS = 366 * 86_400_000
#: Who may have a limit.
ACTORS = tuple(actor.value for actor in Actor if actor is not Actor.NOBODY)


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """How long a stage may take. Off until somebody decides."""

    enabled: bool = False
    #: "<phase> <actor>" -> ms.
    stages: Mapping[str, int] = field(default_factory=dict)

    @property
    def limits(self) -> Mapping[str, int]:
        """The limits that hold: none while it is off."""
        return self.stages if self.enabled else {}


@dataclass(frozen=True, slots=True)
class LimitsInForce:
    """A policy as the ledger holds it: since when, and by whom."""

    policy: LimitPolicy = field(default_factory=LimitPolicy)
    version: int = 0
    at_ms: int = 0
    by: str = ""


def read_policy(text: str) -> LimitPolicy:
    """Read a policy from TOML. Raises PolicyInvalidError with every problem."""
    return policy_of(read_section(text, "limits"))


def policy_of(given: Mapping[str, Any]) -> LimitPolicy:
    """Read a policy from its fields. Raises PolicyInvalidError with every problem."""
    problems: list[str] = []
    enabled = given.get("enabled", False)
    if not isinstance(enabled, bool):
        problems.append("enabled is true or false.")
    stages: dict[str, int] = {}
    for phase, limits in given.items():
        if phase == "enabled":
            continue
        if phase not in set(Phase) or not isinstance(limits, dict):
            problems.append(f"{phase} is no phase with a table of limits; the phases are {', '.join(Phase)}.")
            continue
        stages |= {f"{phase} {actor}": length for actor, length in _limits(phase, limits, problems)}
    if enabled is True and not stages and not problems:
        problems.append("No stage has a limit: write one under [limits.<phase>], or set enabled to false.")
    if problems:
        raise PolicyInvalidError(problems)
    return LimitPolicy(enabled, stages)


def stored(rule: LimitsInForce) -> dict[str, Any]:
    """Write a policy in force as a JSON object."""
    return {"policy": fields_of(rule.policy), "at_ms": rule.at_ms, "by": rule.by}


def restored(found: Mapping[str, Any], version: int) -> LimitsInForce:
    """Read `stored()` back."""
    return LimitsInForce(policy_of(found["policy"]), version, found["at_ms"], found["by"])


def fields_of(policy: LimitPolicy) -> dict[str, Any]:
    """Write a policy as its fields stand in TOML."""
    written: dict[str, Any] = {"enabled": policy.enabled}
    for stage, length_ms in policy.stages.items():
        phase, actor = stage.split(" ")
        written.setdefault(phase, {})[actor] = _written(length_ms)
    return written


def explained(policy: LimitPolicy) -> Iterator[str]:
    """Say what a policy does, a sentence each."""
    if not policy.enabled:
        yield "The policy is off: no stage has a limit."
        return
    for stage, length_ms in policy.stages.items():
        phase, actor = stage.split(" ")
        yield f"Upstream hears when a customer has been {phase}, waiting on {actor}, for {in_words(length_ms)}."
    yield "Each is an event, onboarding.overdue, once for each stage. What is over its limit now is reported at once."


def changes(before: LimitPolicy, after: LimitPolicy) -> list[str]:
    """Name what differs, with both values."""
    old, new = _flat(before), _flat(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name, 'nothing')} becomes {new.get(name, 'nothing')}" for name in names]


def in_words(length_ms: int) -> str:
    """Write a length of time for people."""
    unit = _written(length_ms)[-1]
    number = length_ms // UNITS[unit]
    return f"{number} {_NAMES[unit]}{'' if number == 1 else 's'}"


def _flat(policy: LimitPolicy) -> dict[str, str]:
    flat = {"enabled": str(policy.enabled).lower()}
    return flat | {stage.replace(" ", "."): _written(length_ms) for stage, length_ms in policy.stages.items()}


def _limits(phase: str, given: Mapping[str, Any], problems: list[str]) -> Iterator[tuple[str, int]]:
    for actor, text in given.items():
        found = re.fullmatch(r"([1-9]\d{0,3})([mhdw])", text) if isinstance(text, str) else None
        length_ms = int(found[1]) * UNITS[found[2]] if found else LONGEST_MS + 1
        if actor not in ACTORS:
            problems.append(f"{phase}.{actor} names nobody who must act: it is one of {', '.join(ACTORS)}.")
        elif length_ms > LONGEST_MS:
            problems.append(f"{phase}.{actor} is written as 30m, 12h, 3d or 2w, and is at most a year.")
        else:
            yield actor, length_ms


def _written(length_ms: int) -> str:
    unit = next(unit for unit in reversed(UNITS) if length_ms % UNITS[unit] == 0)
    return f"{length_ms // UNITS[unit]}{unit}"
