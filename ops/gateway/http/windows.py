"""Counts by name in windows of a minute: how often, and how long to wait when it was too often."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Length of a window in seconds. It begins with the first that is counted.
WINDOW_S = 60.0
#: Names that are counted at a time; beyond it the ones that began first are forgotten.
NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Count:
    """How often something has happened in this window, and how often it may."""

    count: int
    most: int
    left_s: int

    @property
    def beyond(self) -> bool:
        """Whether it was too often."""
        return self.count > self.most

    @property
    def first_beyond(self) -> bool:
        """Whether it is the first that was too often."""
        return self.count == self.most + 1


class Windows:
    """Counts in this process. Calls come from several threads; one that is lost is not missed."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how often something may happen in a window."""
        self._most, self._clock = most, clock
        self._windows: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        """Return how many names are counted."""
        return len(self._windows)

    def count(self, name: str) -> Count:
        """Count one more."""
        now = self._clock()
        ends, count = self._windows.get(name, (now, 0))
        if ends <= now:
            self._windows.pop(name, None)
            while len(self._windows) >= NAMES:
                self._windows.pop(next(iter(self._windows)), None)
            ends, count = now + WINDOW_S, 0
        self._windows[name] = ends, count + 1
        return Count(count + 1, self._most, math.ceil(ends - now))
