"""The reminders of the days to come, if no customer does anything: the most that there will be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from pipelines.model import Record, Reminded
from pipelines.reidentification.days import DAY_MS
from pipelines.reminders.plan import Due, due_of
from pipelines.reminders.policy import RemindersInForce


def to_come(record: Record, rule: RemindersInForce, now_ms: int, until_ms: int) -> Iterator[Due]:
    """Give the reminders of one customer until then, if nothing changes; one that is late comes now."""
    due = due_of(record, rule, now_ms)
    while due is not None and due.at_ms < until_ms:
        yield due
        since_ms = record.reminded.since_ms if record.reminded else record.since_ms
        record = record.evolve(reminded=Reminded(due.need, since_ms, due.count, due.at_ms))
        due = due_of(record, rule, due.at_ms)


def forecast(
    records: Iterable[Record], rule: RemindersInForce, now_ms: int, days: int = 30
) -> dict[date, Counter[str]]:
    """Count the reminders of each day by need, beginning with today; days without any are there too."""
    hours = rule.policy.hours
    counts: dict[date, Counter[str]] = {hours.day(now_ms + n * DAY_MS): Counter() for n in range(days)}
    for record in records:
        for due in to_come(record, rule, now_ms, now_ms + days * DAY_MS):
            counts.setdefault(hours.day(due.at_ms), Counter())[due.need] += 1
    return counts
