"""The calendar: how many fall due by week and tier, where the cap makes a queue, and who would pass the date in it.

Computed from counts (tier, day of the identification, customers) and not customer by customer, so that a million cost
as much as a thousand: within such a cohort the spread is even, so that a day may have parts of customers.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from pipelines.reidentification.days import ONE_DAY
from pipelines.reidentification.plan import days_left
from pipelines.reidentification.policy import MARGIN_DAYS, InForce

#: A cohort: tier and the day on which its identifications began.
Cohort = tuple[str, date]
#: The date, the cohort, and how many of it wait.
Queued = tuple[date, Cohort, float]


@dataclass(slots=True)
class Week:
    """A week of the calendar, or a day of it."""

    begins: date
    #: Customers whose date is in it, by tier.
    due: Counter[str] = field(default_factory=Counter)
    starts: float = 0.0
    #: Who waits for the cap at the end of it.
    queue: float = 0.0
    #: Who passes the date in it without a start, by tier.
    passing: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the policy will do. `overdue`: customers whose date is over on the first day.

    `passing`: cohorts of which customers pass their date because of the cap, each with its number.
    """

    days: tuple[Week, ...]
    overdue: int
    passing: Mapping[Cohort, float]

    @property
    def weeks(self) -> list[Week]:
        """The same by week, each beginning on a Monday."""
        weeks: dict[date, Week] = {}
        for day in self.days:
            monday = day.begins - timedelta(days=day.begins.weekday())
            week = weeks.setdefault(monday, Week(monday))
            week.due.update(day.due)
            for tier, count in day.passing.items():
                week.passing[tier] = week.passing.get(tier, 0.0) + count
            week.starts += day.starts
            week.queue = day.queue
        return list(weeks.values())

    @property
    def longest_queue(self) -> float:
        """How long the queue gets."""
        return max((day.queue for day in self.days), default=0.0)


def forecast(cohorts: Iterable[tuple[Cohort, int]], rule: InForce, today: date, length: int = 365) -> Forecast:
    """Play the policy day by day: who is planned queues up by date, and each day takes as many as the cap allows."""
    days = [Week(today + n * ONE_DAY) for n in range(length)]
    arriving, overdue = _arrivals(cohorts, rule, days)
    queue: list[Queued] = []
    passing: dict[Cohort, float] = defaultdict(float)
    waiting = 0.0
    for number, day in enumerate(days):
        for item in arriving[number]:
            heapq.heappush(queue, item)
            waiting += item[2]
        room = float(rule.policy.max_per_day)
        while queue and room:
            due, cohort, count = heapq.heappop(queue)
            taken = min(count, room)
            room, waiting, day.starts = room - taken, waiting - taken, day.starts + taken
            if count > taken:
                heapq.heappush(queue, (due, cohort, count - taken))
        day.queue = waiting
        for cohort, count in _passing(queue, day.begins):
            passing[cohort] += count
            day.passing[cohort[0]] = day.passing.get(cohort[0], 0.0) + count
    return Forecast(tuple(days), overdue, passing)


def _passing(queue: list[Queued], today: date) -> Iterable[tuple[Cohort, float]]:
    """Name those in the queue whose date is today: tomorrow it is over."""
    return ((cohort, count) for due, cohort, count in queue if due == today)


def _arrivals(
    cohorts: Iterable[tuple[Cohort, int]], rule: InForce, days: list[Week]
) -> tuple[dict[int, list[Queued]], int]:
    """Return who is planned for which day, counting from the first, and how many are over their date on it."""
    arriving: dict[int, list[Queued]] = defaultdict(list)
    first, overdue = days[0].begins, 0
    for cohort, count in cohorts:
        interval = rule.policy.tiers.get(cohort[0])
        if interval is None or not rule.policy.enabled:
            continue
        due = interval.after(cohort[1])
        overdue += count if due < first else 0
        if 0 <= (number := (due - first).days) < len(days):
            days[number].due[cohort[0]] += count
        for day, planned in _spread(due, count, rule, first):
            number = (day - first).days
            if number < len(days):
                arriving[number].append((due, cohort, planned))
    return arriving, overdue


def _spread(due: date, count: int, rule: InForce, today: date) -> list[tuple[date, float]]:
    """Spread a cohort as the plan does: evenly over the days before the date, or over those of the backlog.

    A customer who is still counted has not started, so days that are over have no part in it.
    """
    policy, earliest = rule.policy, rule.earliest
    usual = [due - timedelta(days=MARGIN_DAYS + n) for n in range(policy.spread_days + 1)]
    too_early = sum(day < earliest for day in usual) / len(usual)
    shares = [(day, (1 - too_early) / len(usual)) for day in usual if day >= earliest]
    if too_early:
        late = [earliest + n * ONE_DAY for n in range(days_left(due, earliest, rule))]
        shares += [(day, too_early / len(late)) for day in late]
    coming = [(day, share) for day, share in shares if day >= today]
    whole = sum(share for _, share in coming)
    return [(day, count * share / whole) for day, share in coming] if whole else [(today, float(count))]
