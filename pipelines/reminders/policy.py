"""The policy of reminders as people write it, and as it is in force: read strictly, refused with the reason.

Nothing here knows where it is kept, nor how anybody is reminded: upstream is told when, and sends what it likes.
Source: contract section 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.reidentification.days import Hours
from pipelines.reidentification.policy import PolicyInvalidError, read_quiet, read_section, read_zone

HOUR_MS = 3_600_000
#: Length of each unit in which a policy may be written, in ms.
UNITS = {"h": HOUR_MS, "d": 24 * HOUR_MS, "w": 7 * 24 * HOUR_MS}
#: The longest time that a policy may name, in ms: a year.
LONGEST_MS = 366 * 24 * HOUR_MS
#: Reminders of one need when the policy does not say how many, and the most that it may say.
AT_MOST, MOST = 3, 50
#: Days over which those are spread at most who are late when a policy comes into force.
MOST_BACKLOG_DAYS = 30

#: What a customer may be reminded of: the codes of needs. Source: contract section 4.
NEEDS = ("complete_identification", "complete_step_up", "request_new_round", "sign_document")

_FIELDS = ("enabled", "time_zone", "quiet_hours", "backlog_days", "needs")
_RHYTHM = ("after", "every", "at_most")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """After how long of waiting a customer is reminded, how often, and how often at most. Times in ms."""

    after_ms: int
    every_ms: int
    at_most: int = AT_MOST


@dataclass(frozen=True, slots=True)
class ReminderPolicy:
    """Which needs customers are reminded of. Off until somebody decides."""

    enabled: bool = False
    hours: Hours = field(default_factory=Hours)
    #: Those who are late already when the policy comes into force are spread over so many days.
    backlog_days: int = 1
    needs: Mapping[str, Rhythm] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemindersInForce:
    """A policy as the ledger holds it: since when, and by whom."""

    policy: ReminderPolicy = field(default_factory=ReminderPolicy)
    version: int = 0
    at_ms: int = 0
    by: str = ""


def read_policy(text: str) -> ReminderPolicy:
    """Read a policy from TOML. Raises PolicyInvalidError with every problem."""
    return policy_of(read_section(text, "reminders"))


def policy_of(given: Mapping[str, Any]) -> ReminderPolicy:
    """Read a policy from its fields. Raises PolicyInvalidError with every problem."""
    problems = [
        f"{name} is no field of [reminders]; the fields are {', '.join(_FIELDS)}."
        for name in given
        if name not in _FIELDS
    ]
    enabled = given.get("enabled", False)
    if not isinstance(enabled, bool):
        problems.append("enabled is true or false.")
    hours = Hours(read_zone(given, problems), read_quiet(given, problems))
    backlog_days = _number(given, "backlog_days", 1, MOST_BACKLOG_DAYS, "", problems)
    needs = _needs(given, problems)
    if enabled is True and not needs and not problems:
        problems.append("No need has a rhythm: write one under [reminders.needs.<need>], or set enabled to false.")
    if problems:
        raise PolicyInvalidError(problems)
    return ReminderPolicy(enabled, hours, backlog_days, needs)


def stored(rule: RemindersInForce) -> dict[str, Any]:
    """Write a policy in force as a JSON object."""
    return {"policy": fields_of(rule.policy), "at_ms": rule.at_ms, "by": rule.by}


def restored(found: Mapping[str, Any], version: int) -> RemindersInForce:
    """Read `stored()` back; a field of a newer release is left out."""
    known = {name: value for name, value in found["policy"].items() if name in _FIELDS}
    return RemindersInForce(policy_of(known), version, found["at_ms"], found["by"])


def fields_of(policy: ReminderPolicy) -> dict[str, Any]:
    """Write a policy as its fields stand in TOML, those left out that say nothing."""
    quiet = policy.hours.quiet
    written = {
        "enabled": policy.enabled,
        "time_zone": policy.hours.zone,
        "quiet_hours": f"{quiet[0]:%H:%M}-{quiet[1]:%H:%M}" if quiet else None,
        "backlog_days": policy.backlog_days,
        "needs": {
            need: {"after": duration(one.after_ms), "every": duration(one.every_ms), "at_most": one.at_most}
            for need, one in policy.needs.items()
        },
    }
    return {name: value for name, value in written.items() if value is not None}


def duration(length_ms: int) -> str:
    """Write a length of time as a policy has it, in the longest unit that divides it."""
    unit = next(unit for unit in reversed(UNITS) if length_ms % UNITS[unit] == 0)
    return f"{length_ms // UNITS[unit]}{unit}"


def read_duration(text: object) -> int | None:
    """Read 12h, 3d or 2w, in ms; None: it is none of these, or longer than a year."""
    found = re.fullmatch(r"([1-9]\d{0,3})([hdw])", text) if isinstance(text, str) else None
    length_ms = int(found[1]) * UNITS[found[2]] if found else None
    return length_ms if length_ms is not None and length_ms <= LONGEST_MS else None


def _needs(given: Mapping[str, Any], problems: list[str]) -> dict[str, Rhythm]:
    value = given.get("needs", {})
    if not isinstance(value, dict):
        problems.append("[reminders.needs] is a table of needs with a rhythm each.")
        return {}
    return {need: rhythm for need, fields in value.items() if (rhythm := _rhythm(need, fields, problems)) is not None}


def _rhythm(need: str, given: object, problems: list[str]) -> Rhythm | None:
    """Read the rhythm of one need; None where there is a problem."""
    before = len(problems)
    if need not in NEEDS:
        problems.append(f"{need} is no need of a customer; the needs are {', '.join(NEEDS)}.")
        return None
    if not isinstance(given, dict):
        problems.append(f"[reminders.needs.{need}] is a table with {', '.join(_RHYTHM)}.")
        return None
    problems += [
        f"{need}.{name} is no field; the fields are {', '.join(_RHYTHM)}." for name in given if name not in _RHYTHM
    ]
    after_ms, every_ms = (_length(given, need, name, problems) for name in ("after", "every"))
    at_most = _number(given, "at_most", AT_MOST, MOST, f"{need}.", problems)
    return None if len(problems) > before else Rhythm(after_ms, every_ms, at_most)


def _length(given: Mapping[str, Any], need: str, name: str, problems: list[str]) -> int:
    length_ms = read_duration(given.get(name))
    if length_ms is None:
        problems.append(f"{need}.{name} is written as 12h, 3d or 2w, and is at most a year.")
    return length_ms or HOUR_MS


def _number(given: Mapping[str, Any], name: str, usual: int, most: int, where: str, problems: list[str]) -> int:
    value = given.get(name, usual)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    problems.append(f"{where}{name} is a whole number from 1 to {most}.")
    return usual
