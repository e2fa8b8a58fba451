"""The policy of re-identification as people write it, and as it is in force: read strictly, refused with the reason.

Nothing here knows where it is kept. Source: contract section 8, extended by `start`, `backlog_days`, `spread_days` and
`automatic`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.reidentification.days import MARGIN_MS, Hours, Interval

#: Days between the last planned start and the date: a day of downtime, and the pause of a night after it.
MARGIN_DAYS = 2
#: A notice goes out this many days earlier than it must, so that a day of downtime delays no start.
NOTICE_MARGIN_DAYS = 1
#: Starts on a day when no policy says otherwise, for identifications that people ask for. Source: contract section 8.
MAX_PER_DAY = 500

TIERS = ("low", "standard", "high")

#: The largest value that each number may have, and the smallest.
NUMBERS = {"max_per_day": (1, 1_000_000), "notice_days": (0, 365), "spread_days": (0, 365), "backlog_days": (1, 3_650)}
_FLAGS = ("enabled", "automatic")
_FIELDS = (*_FLAGS, *NUMBERS, "quiet_hours", "time_zone", "start", "tiers")


class PolicyInvalidError(Exception):
    """This is no policy that could be kept; `problems` has a sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the sentences."""
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ReidentificationPolicy:
    """How often customers are identified again, and how gently. Off until somebody decides."""

    enabled: bool = False
    #: Workers start what is due by themselves; else only `reidentify --due` does.
    automatic: bool = True
    max_per_day: int = MAX_PER_DAY
    notice_days: int = 14
    #: Planned starts are spread over this many days before the date, less the margin.
    spread_days: int = 7
    hours: Hours = field(default_factory=Hours)
    #: No scheduled start before this day.
    start: date | None = None
    #: Those past their date when the policy comes into force are spread over this many days; None: as the cap allows.
    backlog_days: int | None = None
    tiers: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def lead_days(self) -> int:
        """Days between the earliest notice and the date."""
        return self.notice_days + NOTICE_MARGIN_DAYS + self.spread_days + MARGIN_DAYS


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy as the ledger holds it: since when, by whom, and how its backlog is spread."""

    policy: ReidentificationPolicy = field(default_factory=ReidentificationPolicy)
    version: int = 0
    at_ms: int = 0
    by: str = ""
    #: Since when its dates hold: a change of the cap or the hours alone moves nobody's date.
    since_ms: int = 0
    #: Days over which those are spread whose date was over already.
    backlog_days: int = 1

    @property
    def earliest(self) -> date:
        """The first day on which somebody may start who had no notice before this policy came into force."""
        policy = self.policy
        noticed = policy.hours.day(self.since_ms) + timedelta(days=policy.notice_days + NOTICE_MARGIN_DAYS)
        return max(noticed, policy.start) if policy.start else noticed

    def spread_over(self, backlog: int) -> InForce:
        """Choose over how many days so many are spread, unless the policy says it: four fifths of each day's starts."""
        chosen = self.policy.backlog_days or max(1, -(-backlog * 5 // (self.policy.max_per_day * 4)))
        return replace(self, backlog_days=chosen)

    def changed_to(self, policy: ReidentificationPolicy, *, at_ms: int, by: str) -> InForce:
        """Return the rule with another policy: the next version. Dates that it does not concern stay as they are."""
        following = InForce(policy, self.version + 1, at_ms, by, since_ms=at_ms)
        if self.policy.enabled and _dates(policy) == _dates(self.policy):
            return replace(following, since_ms=self.since_ms, backlog_days=self.backlog_days)
        return following


def read_section(text: str, name: str) -> Mapping[str, Any]:
    """Read the one section of a policy from TOML. Raises PolicyInvalidError."""
    try:
        given = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalidError([f"The policy is not TOML: {error}."]) from None
    except (RecursionError, ValueError):  # what tomllib leaves to Python
        raise PolicyInvalidError(["The policy is nested too deeply, or holds a number that is too long."]) from None
    section = given.get(name)
    others = sorted(set(given) - {name})
    if not isinstance(section, dict) or others:
        named = f" It holds {', '.join(others)} besides." if others else ""
        raise PolicyInvalidError([f"The policy needs one section, [{name}], and no other.{named}"])
    return section


def read_policy(text: str) -> ReidentificationPolicy:
    """Read a policy from TOML. Raises PolicyInvalidError with every problem."""
    return policy_of(read_section(text, "reidentification"))


def policy_of(given: Mapping[str, Any]) -> ReidentificationPolicy:
    """Read a policy from its fields. Raises PolicyInvalidError with every problem."""
    problems = [
        f"{name} is no field of a policy; the fields are {', '.join(_FIELDS)}." for name in given if name not in _FIELDS
    ]
    values: dict[str, Any] = {}
    for name in _FLAGS:
        if name in given and not isinstance(given[name], bool):
            problems.append(f"{name} is true or false.")
        values[name] = given.get(name, name == "automatic")
    values |= {name: _number(given, name, problems) for name in NUMBERS if name in given}
    values["hours"] = Hours(read_zone(given, problems), read_quiet(given, problems))
    values["start"] = _day(given, problems)
    values["tiers"] = _tiers(given, problems)
    if not problems:
        policy = ReidentificationPolicy(**values)
        problems = unsafe(policy)
    if problems:
        raise PolicyInvalidError(problems)
    return policy


def unsafe(policy: ReidentificationPolicy) -> list[str]:
    """Return why a policy that can be read could not be kept."""
    problems = []
    if policy.enabled and not policy.tiers:
        problems.append("No tier has an interval: name one in [reidentification.tiers], or set enabled to false.")
    for tier, interval in policy.tiers.items():
        if interval.shortest_days <= policy.lead_days:
            problems.append(
                f"The interval of {tier} is {interval}, and notice and spread together take {policy.lead_days} days"
                f" (notice_days {policy.notice_days}, spread_days {policy.spread_days}, and"
                f" {MARGIN_DAYS + NOTICE_MARGIN_DAYS} to be safe): the notice would come before the identification."
            )
    return problems


def stored(rule: InForce) -> dict[str, Any]:
    """Write a policy in force as a JSON object."""
    return {
        "policy": fields_of(rule.policy),
        "at_ms": rule.at_ms,
        "by": rule.by,
        "since_ms": rule.since_ms,
        "backlog_days": rule.backlog_days,
    }


def restored(found: Mapping[str, Any], version: int) -> InForce:
    """Read `stored()` back; a field of a newer release is left out."""
    known = {name: value for name, value in found["policy"].items() if name in _FIELDS}
    names = ("at_ms", "by", "since_ms", "backlog_days")
    return InForce(policy_of(known), version, **{name: found[name] for name in names})


def fields_of(policy: ReidentificationPolicy) -> dict[str, Any]:
    """Write a policy as its fields stand in TOML, those left out that say nothing."""
    quiet = policy.hours.quiet
    written = {
        "enabled": policy.enabled,
        "automatic": policy.automatic,
        "max_per_day": policy.max_per_day,
        "notice_days": policy.notice_days,
        "spread_days": policy.spread_days,
        "time_zone": policy.hours.zone,
        "quiet_hours": f"{quiet[0]:%H:%M}-{quiet[1]:%H:%M}" if quiet else None,
        "start": policy.start.isoformat() if policy.start else None,
        "backlog_days": policy.backlog_days,
        "tiers": {tier: _written(interval) for tier, interval in policy.tiers.items()},
    }
    return {name: value for name, value in written.items() if value is not None}


def _dates(policy: ReidentificationPolicy) -> tuple[object, ...]:
    """Return what decides anybody's date."""
    spread = (policy.notice_days, policy.spread_days, policy.start, policy.backlog_days)
    return policy.enabled, dict(policy.tiers), policy.hours.zone, *spread


def _written(interval: Interval) -> str:
    return f"{interval.days}d" if interval.days else f"{interval.months}mo"


def _number(given: Mapping[str, Any], name: str, problems: list[str]) -> int:
    value, (least, most) = given[name], NUMBERS[name]
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    reason = " With 0 nothing could ever start; to start nothing set enabled to false." if value == 0 else ""
    problems.append(f"{name} is a whole number from {least} to {most:,}.{reason if name == 'max_per_day' else ''}")
    return least


def read_zone(given: Mapping[str, Any], problems: list[str]) -> str:
    """Read the time zone; a problem is added where there is none of this name."""
    name = given.get("time_zone", "UTC")
    try:
        return ZoneInfo(name).key
    except (TypeError, ValueError, OSError, KeyError, AttributeError):
        problems.append(f"time_zone {name!r} is no zone of the tz database; write it as Europe/Berlin or UTC.")
        return "UTC"


def read_quiet(given: Mapping[str, Any], problems: list[str]) -> tuple[time, time] | None:
    """Read the quiet hours; a problem is added where they cannot be."""
    value = given.get("quiet_hours")
    if value is None:
        return None
    found = (
        re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    )
    if not found:
        problems.append("quiet_hours is written as 22:00-07:00; leave it out where there are none.")
        return None
    hours = [int(part) for part in found.groups()]
    begin, end = time(hours[0], hours[1]), time(hours[2], hours[3])
    quiet_min = ((hours[2] - hours[0]) * 60 + hours[3] - hours[1]) % 1440
    if quiet_min == 0 or 1440 - quiet_min < LEAST_OPEN_MIN:
        problems.append(
            f"quiet_hours {value} leave less than {LEAST_OPEN_MIN} minutes of a day: nothing could ever start."
        )
        return None
    return begin, end


#: A day must have this many minutes that are not quiet: at the change of the clocks an hour of them may be missing.
LEAST_OPEN_MIN = 120 + MARGIN_MS // 60_000


def _day(given: Mapping[str, Any], problems: list[str]) -> date | None:
    value = given.get("start")
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        problems.append("start is a day, such as 2027-01-01.")
        return None


def _tiers(given: Mapping[str, Any], problems: list[str]) -> dict[str, Interval]:
    value = given.get("tiers", {})
    if not isinstance(value, dict):
        problems.append("[reidentification.tiers] is a table of tiers with an interval each.")
        return {}
    found = {}
    for tier, text in value.items():
        interval = Interval.read(text) if isinstance(text, str) else None
        if tier not in TIERS:
            problems.append(f"{tier} is no risk tier; the tiers are {', '.join(TIERS)}.")
        elif interval is None:
            problems.append(f"The interval of {tier} is written as 5y, 18mo, 26w or 90d, and is at most fifty years.")
        else:
            found[tier] = interval
    return found
