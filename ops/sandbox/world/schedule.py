"""What is going to happen, and when: one heap of events, dated by the sandbox clock.

They run when the next request (or `run_due`) comes by; each then happens at the time it was due, not at the time it was
noticed.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from ops.sandbox.world.records import Customer, Identification

Subject = Customer | Identification
#: Due time, order, the move, what it moves, and the number of the script it belongs to (None: it happens in any case).
Event = tuple[float, int, Callable[[Any, float], None], Any, int | None]


class Schedule:
    """Events to come. `speed` divides the delays of scripts."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._events: list[Event] = []
        self._order = count()

    def at(self, at: float, event: Callable[[float], None]) -> None:
        """Schedule anything for a time of the sandbox clock."""
        heapq.heappush(self._events, (at, next(self._order), lambda _, due: event(due), None, None))

    def _later(self, at: float, delay_s: float, move: Callable[[Any, float], None], subject: Subject) -> None:
        """Schedule a step of a script, with the delay at speed 1; it is dropped if a hand moves the subject first."""
        event = (at + delay_s / self.speed, next(self._order), move, subject, subject.script)
        heapq.heappush(self._events, event)

    def _anyway(self, at: float, delay_s: float, move: Callable[[Any, float], None], subject: Subject) -> None:
        """Schedule what happens whatever a hand does meanwhile, with the delay at speed 1."""
        heapq.heappush(self._events, (at + delay_s / self.speed, next(self._order), move, subject, None))

    def run_due(self, now: float) -> None:
        """Let everything happen that is due."""
        events = self._events
        while events and events[0][0] <= now:
            at, _, move, subject, script = heapq.heappop(events)
            if script is None or subject.script == script:
                move(subject, at)

    def forget(self) -> None:
        """Drop whatever is scheduled."""
        self._events.clear()

    @property
    def next_event_at(self) -> float | None:
        """When the next event is due."""
        return self._events[0][0] if self._events else None
