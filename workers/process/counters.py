"""What workers count for those who watch them: steps, calls, nudges. Kept in memory, and added up in the ledger.

A step costs no round trip for it: each process adds what it counted every two seconds, in one call. A process that is
killed loses the counts of its last two seconds and nothing else, so nothing may ever hang on a counter.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis
import structlog

from workers.ledger import Ledger
from workers.process.background import Background

log = structlog.get_logger()

#: Pause between two additions, in seconds: a scrape every 15 s sees nearly all.
ADD_EVERY_S = 2.0
#: Upper ends of the buckets in which durations are counted, in seconds: a hop takes milliseconds, a call to Iron up to
#: its time limit, a step up to its own.
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Between the name of a counter and its labels; it stands in no value of a label, which are all from closed sets.
_MARK = "|"


class Counters:
    """Counts of this process, by name and labels. Any thread may count."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, n: int = 1, **labels: str) -> None:
        """Count something this many times."""
        with self._lock:
            self._counts[_field(name, labels)] += n

    def took(self, name: str, seconds: float, **labels: str) -> None:
        """Count something that took so long, in its bucket."""
        bucket = str(bisect_left(BUCKETS_S, seconds))
        with self._lock:
            self._counts[_field(name, {**labels, "bucket": bucket})] += 1
            self._counts[_field(f"{name}_us", labels)] += round(seconds * 1_000_000)

    def drained(self) -> Mapping[str, int]:
        """Return what was counted since the last time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts


class Tally(Background):
    """Adds what this process counted to the ledger."""

    def __init__(self, ledger: Ledger, counters: Counters) -> None:
        """Take the ledger and the counts; the thread starts with `start`."""
        super().__init__("tally")
        self._ledger = ledger
        self._counters = counters
        #: A call whose answer was lost: it is sent again as it was, and recognised.
        self._unsure: tuple[str, Mapping[str, int]] | None = None

    def run_once(self) -> int:
        """Add what is there; answers how many counters that were. Raises redis.RedisError, and then it is not lost."""
        token, counts = self._unsure or (secrets.token_urlsafe(9), self._counters.drained())
        if counts:
            self._unsure = (token, counts)
            self._ledger.count(token, counts)
        self._unsure = None
        return len(counts)

    def turn(self) -> float:
        """Add; while Redis is away it waits here."""
        try:
            self.run_once()
        except redis.RedisError as error:
            log.warning("tally.interrupted", error=type(error).__name__)
        return ADD_EVERY_S

    def stop(self) -> None:
        """Add the rest."""
        super().stop()
        self.turn()


@dataclass(slots=True)
class Durations:
    """A counter of durations: how many in each bucket, the last one being without end, and all together in seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    seconds: float = 0.0


Labels = tuple[tuple[str, str], ...]


def told(counts: Mapping[str, int]) -> tuple[dict[str, dict[Labels, int]], dict[str, dict[Labels, Durations]]]:
    """Take stored counters apart: plain ones and durations, each by name and then by labels."""
    plain: dict[str, dict[Labels, int]] = {}
    durations: dict[str, dict[Labels, Durations]] = {}
    for stored, n in counts.items():
        name, *pairs = stored.split(_MARK)
        labels = tuple((label, value) for label, _, value in (pair.partition("=") for pair in pairs))
        if labels and labels[-1][0] == "bucket":
            found = durations.setdefault(name, {}).setdefault(labels[:-1], Durations())
            found.buckets[min(int(labels[-1][1]), len(BUCKETS_S))] += n
        elif name.endswith("_us"):
            durations.setdefault(name.removesuffix("_us"), {}).setdefault(labels, Durations()).seconds += n / 1_000_000
        else:
            plain.setdefault(name, {})[labels] = n
    return plain, durations


def _field(name: str, labels: Mapping[str, str]) -> str:
    return _MARK.join([name, *(f"{label}={value}" for label, value in labels.items())])
