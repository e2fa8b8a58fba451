"""The sandbox's two notions of time, both in seconds since the epoch.

`now()` dates everything that the provider does and can be moved forward; `wall()` is what a caller's own clock shows,
and is what rate limits and webhook timestamps are measured with.
"""

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Protocol

#: 2026-01-15 10:00:00 UTC: a fixed start, so that two runs of one test give the same bytes.
MANUAL_START = 1_768_471_200.0


class Clock(Protocol):
    """What the sandbox needs to know about time."""

    def now(self) -> float:
        """Return the provider's time."""

    def wall(self) -> float:
        """Return the caller's time."""

    def advance(self, seconds: float) -> None:
        """Move the provider's time forward."""


class ManualClock:
    """Stand still until a test moves time; `wall()` moves along with `now()`."""

    def __init__(self, start: float = MANUAL_START) -> None:
        self._now = start

    def now(self) -> float:
        """Return the time a test has set."""
        return self._now

    def wall(self) -> float:
        """Return the same as `now()`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward; time never runs back."""
        if seconds < 0:
            raise ValueError("time cannot be moved back")
        self._now += seconds


class SystemClock:
    """Follow the machine's clock, plus whatever `advance()` has added."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def now(self) -> float:
        """Return the machine's time plus the seconds added."""
        return time.time() + self._ahead_s

    def wall(self) -> float:
        """Return the machine's time."""
        return time.time()

    def advance(self, seconds: float) -> None:
        """Put the provider's time ahead of the machine's."""
        if seconds < 0:
            raise ValueError("time cannot be moved back")
        self._ahead_s += seconds


#: Some offset that is not zero.
_ELSEWHERE = timezone(timedelta(hours=5, minutes=30))


def stamp(at: float, form: str = "z") -> str:
    """Write a time as RFC 3339, in UTC with `Z` or in another of the forms that the switch `times` has."""
    moment = datetime.fromtimestamp(at, UTC)
    match form:
        case "micros":
            return moment.isoformat(timespec="microseconds")[:-6] + "Z"
        case "offset":
            return moment.isoformat(timespec="seconds")
        case "micros_offset":
            return moment.isoformat(timespec="microseconds")
        case "elsewhere":
            return moment.astimezone(_ELSEWHERE).isoformat(timespec="milliseconds")
        case _:
            return moment.isoformat()[:-6] + "Z"
