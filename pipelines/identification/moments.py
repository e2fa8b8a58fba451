"""Times and days that a job may name: not in the future, where they have happened, and not before anybody alive.

Pure: whoever asks says what the time is. Without it only the past is looked at.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

#: A moment may be so far ahead of our clock, which need not be the sender's.
CLOCKS_APART: Final = timedelta(minutes=1)

#: A day begins so much earlier in the easternmost time zone than in UTC.
EASTERNMOST: Final = timedelta(hours=14)

#: The year before which no customer was born and nothing about one was collected: spreadsheets begin here with a day 0.
FIRST_YEAR: Final = 1900

#: The year before which no company that still exists was founded as one.
FIRST_COMPANY: Final = 1000


def wrong_moment(at: datetime, now_ms: int | None) -> str | None:
    """Give the code of what is wrong with a moment that has happened; None: nothing. `now_ms` since the epoch."""
    if at.year < FIRST_YEAR:
        return "too_long_ago"
    if now_ms is not None and at > _moment(now_ms) + CLOCKS_APART:
        return "in_the_future"
    return None


def wrong_day(day: date, now_ms: int | None, first_year: int = FIRST_YEAR) -> str | None:
    """Give the code of what is wrong with a day that has begun somewhere on Earth; None: nothing."""
    if day.year < first_year:
        return "too_long_ago"
    if now_ms is not None and day > (_moment(now_ms) + CLOCKS_APART + EASTERNMOST).date():
        return "in_the_future"
    return None


def _moment(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC)
