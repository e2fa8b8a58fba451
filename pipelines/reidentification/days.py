"""Days and hours of a time zone: calendar intervals, days of 23 and 25 hours, and the hours in which nothing starts.

Instants are milliseconds since the epoch. A local time that the clocks skip counts as the end of the gap; of one that
comes twice, quiet hours take the first as their beginning and the second as their end, so that they are never too
short. Source: PEP 495 (fold), the tz database.
"""

from __future__ import annotations

import calendar
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
ONE_DAY = timedelta(days=1)
MIDNIGHT = time()

#: What is decided so long before quiet hours or midnight may still take effect in them, in ms: longer than a step may
#: take from its decision to its call, and a call to its effect. Nothing is decided in it.
MARGIN_MS = 120_000

#: Nothing is decided in the first moments of open hours and of a day, in ms: for a clock that is fast, they come early.
EARLY_MS = 10_000

#: Those who are late all at once, after a downtime or quiet hours, are spread over this many ms.
LATE_SPREAD_MS = 3_600_000

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of time on the calendar: this many months, or this many days."""

    months: int = 0
    days: int = 0

    @classmethod
    def read(cls, text: str) -> Interval | None:
        """Read 5y, 18mo, 26w or 90d; None: it is none of these, or not between a day and fifty years."""
        found = re.fullmatch(r"([1-9]\d{0,4})(y|mo|w|d)", text.strip())
        if not found:
            return None
        number = int(found[1])
        match found[2]:
            case "y":
                interval = cls(months=12 * number)
            case "mo":
                interval = cls(months=number)
            case unit:
                interval = cls(days=number * (7 if unit == "w" else 1))
        return interval if interval.shortest_days <= 50 * 366 else None

    @property
    def shortest_days(self) -> int:
        """The fewest days that this can be: February is short."""
        return self.days + self.months * 28 + self.months // 12 * 29

    def after(self, day: date) -> date:
        """Return the day so long after another; where the month has no such day, its last one: never a day too late."""
        month = day.month - 1 + self.months
        year, month = day.year + month // 12, month % 12 + 1
        last = calendar.monthrange(year, month)[1]
        return date(year, month, min(day.day, last)) + timedelta(days=self.days)

    def before(self, day: date) -> date:
        """Return the latest day from which this interval does not lead past another."""
        month = day.year * 12 + day.month - 1 - self.months
        first = date(month // 12, month % 12 + 1, 1) - timedelta(days=self.days)
        latest = first + timedelta(days=31 + ONE_DAY.days)
        while self.after(latest) > day:
            latest -= ONE_DAY
        return latest

    def __str__(self) -> str:
        """Write it for people."""
        number, unit = (self.days, "day") if self.days else (self.months, "month")
        if self.months and self.months % 12 == 0:
            number, unit = self.months // 12, "year"
        return f"{number} {unit}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of a zone in which identifications may start. `quiet`: from and to on the wall clock, or None."""

    zone: str = "UTC"
    quiet: tuple[time, time] | None = None

    def day(self, at_ms: int) -> date:
        """Return the day of an instant."""
        day = _wall(self.zone, at_ms).date()
        return day + ONE_DAY if at_ms >= day_start(self.zone, day + ONE_DAY) else day

    def is_open(self, at_ms: int) -> bool:
        """Return whether something may start now, with time enough for it to take effect."""
        return any(begin <= at_ms < end for begin, end in open_spans(self, self.day(at_ms)))

    def next_open(self, at_ms: int) -> int:
        """Return the first instant from here on at which something may start."""
        day = self.day(at_ms)
        while True:
            for begin, end in open_spans(self, day):
                if at_ms < end:
                    return max(begin, at_ms)
            day += ONE_DAY

    def moment(self, day: date, place: float) -> int:
        """Return the instant of a day at a place between 0 and 1 of its open hours; the next day if it has none."""
        while not (spans := open_spans(self, day)):
            day += ONE_DAY
        rest = int(place * sum(end - begin for begin, end in spans))
        for begin, end in spans:
            if rest < end - begin:
                return begin + rest
            rest -= end - begin
        return spans[-1][1] - 1

    def soon(self, at_ms: int, place: float) -> int:
        """Return an instant from here on, in open hours, for who is late: at once, or an hour's spread after."""
        opens = self.next_open(at_ms)
        return at_ms if opens == at_ms else self.next_open(opens + int(place * LATE_SPREAD_MS))


@lru_cache(maxsize=8192)
def open_spans(hours: Hours, day: date) -> tuple[Span, ...]:
    """Return the spans of a day in which something may be decided, each without the margins at its ends."""
    begin, end = day_start(hours.zone, day), day_start(hours.zone, day + ONE_DAY)
    spans = []
    for quiet_from, quiet_to in _quiet_spans(hours, day):
        if quiet_to <= begin or quiet_from >= end:
            continue
        spans.append((begin, quiet_from))
        begin = max(begin, quiet_to)
    spans.append((begin, end))
    return tuple((first + EARLY_MS, last - MARGIN_MS) for first, last in spans if last - MARGIN_MS > first + EARLY_MS)


@lru_cache(maxsize=8192)
def day_start(zone: str, day: date) -> int:
    """Return the first instant of a day."""
    return _instant(zone, day, MIDNIGHT)


@lru_cache(maxsize=65_536)
def places(key: str) -> tuple[float, float, float]:
    """Return three numbers from 0 up to 1 that a key always has: where it stands wherever many are spread."""
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=24).digest()
    first, second, third = (int.from_bytes(digest[i : i + 6], "big") / 2**48 for i in (0, 8, 16))
    return first, second, third


def _quiet_spans(hours: Hours, day: date) -> list[Span]:
    """Return the quiet hours that begin on the day before and on this one."""
    if hours.quiet is None:
        return []
    begin, end = hours.quiet
    over_midnight = ONE_DAY if end <= begin else timedelta()
    return [
        (_instant(hours.zone, first, begin), _instant(hours.zone, first + over_midnight, end, fold=1))
        for first in (day - ONE_DAY, day)
    ]


def _wall(zone: str, at_ms: int) -> datetime:
    """Return what the clocks of a zone show, without the zone."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def _instant(zone: str, day: date, at: time, fold: int = 0) -> int:
    """Return the instant of a local time; `fold` 1: the second one where it comes twice. A skipped one ends its gap."""
    wanted = datetime.combine(day, at)
    found = _ms(wanted, zone, fold)
    if _wall(zone, found) == wanted:
        return found
    before, after = _ms(wanted, zone, 1), _ms(wanted, zone, 0)  # on either side of the gap
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _wall(zone, middle) >= wanted else (middle, after)
    return after


def _ms(wall: datetime, zone: str, fold: int) -> int:
    return round(wall.replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)
