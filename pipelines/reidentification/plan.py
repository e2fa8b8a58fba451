"""Who is identified again, and when: the date, the planned start some days before it, the notice before that.

Pure: a record's own data, the policy in force and the time in, a plan out. Dates are days in the policy's zone. Each
customer has fixed places in every spread, drawn from the idempotency key, so that everybody computes the same plan.
Counted from: the beginning of the newest identification that Iron lists (its created_at), which a lost ledger finds
again, which no clock of ours enters, and which is never later than the approval.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Protocol

from pipelines.model import Again
from pipelines.reidentification.days import DAY_MS, ONE_DAY, places
from pipelines.reidentification.policy import MARGIN_DAYS, NOTICE_MARGIN_DAYS, InForce


class Doing(StrEnum):
    """What a plan says is to be done now."""

    WAIT = "wait"
    NOTICE = "notice"
    START = "start"


class Planned(Protocol):
    """What of a record a plan needs."""

    @property
    def key(self) -> str:
        """Idempotency key."""

    @property
    def risk_tier(self) -> str:
        """Tier of the policy."""

    @property
    def identified_ms(self) -> int | None:
        """When the newest identification began."""

    @property
    def again(self) -> Again | None:
        """What is known of the next identification."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, or when next. `at_ms` None: not before somebody asks for it.

    `date`: the day by which the customer is to be identified again; None for one whom only a person asked for.
    """

    doing: Doing
    at_ms: int | None
    date: date | None = None
    why: str = ""


def plan(record: Planned, rule: InForce, now_ms: int) -> Plan | None:
    """Return what is to be done about an active customer's next identification; None: nothing, ever, by this policy."""
    again = record.again
    if again is not None and again.asked and again.by_hand:
        return _start(record, rule, now_ms, None, now_ms, "requested by a person")
    day = date_of(record, rule)
    if day is None:
        return None
    start_ms = announced_start(record, rule)
    if start_ms is not None:
        plan = _start(record, rule, now_ms, day, start_ms, f"due by {day}")
        asked = again is not None and again.asked
        waits = plan.doing is Doing.START and not rule.policy.automatic and not asked
        return Plan(Doing.WAIT, None, day, "due; the policy leaves the start to a run") if waits else plan
    start_ms = planned_start(record, rule)
    if rule.policy.notice_days == 0:
        return _start(record, rule, now_ms, day, start_ms, f"due by {day}")
    notice_ms = _moment(record, rule, rule.policy.hours.day(start_ms) - _notice(rule))
    return Plan(Doing.NOTICE if now_ms >= notice_ms else Doing.WAIT, notice_ms, day, f"due by {day}")


def date_of(record: Planned, rule: InForce) -> date | None:
    """Return the day by which a customer is to be identified again; None: the policy says nothing about it."""
    interval = rule.policy.tiers.get(record.risk_tier)
    if not rule.policy.enabled or interval is None or record.identified_ms is None:
        return None
    return interval.after(rule.policy.hours.day(record.identified_ms))


def announced(record: Planned, rule: InForce, now_ms: int) -> int:
    """Return the start to be named in a notice that goes out now: not before the whole time of notice has passed."""
    soonest = rule.policy.hours.next_open(now_ms + rule.policy.notice_days * DAY_MS)
    return max(planned_start(record, rule), soonest)


def announced_start(record: Planned, rule: InForce) -> int | None:
    """Return the start that a notice named, while it still stands.

    It does not once the date has moved away from it: the customer was identified meanwhile, or the policy wants it
    later. Where the policy wants it earlier it stands, because that is what upstream was told.
    """
    again = record.again
    if again is None or again.announced_ms is None or again.begun_ms is not None:
        return None
    moved = planned_start(record, rule, noticed=True) > again.announced_ms + DAY_MS
    return None if moved else again.announced_ms


def planned_start(record: Planned, rule: InForce, *, noticed: bool = False) -> int:
    """Return the instant at which a customer with a date would start; `noticed`: no time for a notice is needed."""
    return _moment(record, rule, planned_day(record, rule, noticed=noticed))


def planned_day(record: Planned, rule: InForce, *, noticed: bool = False) -> date:
    """Return the day of the start: some days before the date, or as soon after it as the policy allows.

    Where the usual day is before the first one that the policy allows, the start is spread over what is left until the
    date; where the date itself is before it, over the days of the backlog.
    """
    day = date_of(record, rule)
    if day is None:
        raise ValueError(record.risk_tier)
    spread, late, _ = places(record.key)
    policy = rule.policy
    usual = day - timedelta(days=MARGIN_DAYS + int(spread * (policy.spread_days + 1)))
    earliest = (policy.start or usual) if noticed else rule.earliest
    if usual >= earliest:
        return usual
    return earliest + timedelta(days=int(late * days_left(day, earliest, rule)))


def days_left(day: date, earliest: date, rule: InForce) -> int:
    """Return over how many days to spread those who cannot start on the usual day: until the date, if it is to come."""
    return max((day - earliest).days, 1) if day >= earliest else rule.backlog_days


def turn_ms(rule: InForce, now_ms: int, position: int) -> int:
    """Return the instant at which this position (from 0) of the queue for the days to come has its turn."""
    days, place = divmod(max(position, 0), rule.policy.max_per_day)
    day = rule.policy.hours.day(now_ms) + timedelta(days=1 + days)
    return rule.policy.hours.moment(day, (place + 0.5) / rule.policy.max_per_day)


def _start(record: Planned, rule: InForce, now_ms: int, day: date | None, start_ms: int, why: str) -> Plan:
    """Start when the moment has come and the hours are open."""
    hours = rule.policy.hours
    at_ms = start_ms if now_ms < start_ms else hours.soon(now_ms, places(record.key)[2])
    return Plan(Doing.START if at_ms <= now_ms else Doing.WAIT, at_ms, day, why)


def _moment(record: Planned, rule: InForce, day: date) -> int:
    return rule.policy.hours.moment(day, places(record.key)[2])


def _notice(rule: InForce) -> timedelta:
    return timedelta(days=rule.policy.notice_days) + NOTICE_MARGIN_DAYS * ONE_DAY
