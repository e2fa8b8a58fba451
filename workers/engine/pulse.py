"""The pulse: moves what is due from the ledger to the queues, in bounded batches, in every worker process.

It is what makes nudges dispensable: retries, polls, human waits and crashed claims are all due times, and a queue that
lost everything is filled again. The queues stay short, so that bulk work waits in the ledger and not in the broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import redis
import structlog

from pipelines.pauses import around
from workers.ledger import LANES, Ledger, Nudge, Taken
from workers.process.background import Background

log = structlog.get_logger()

#: Messages a lane's queue may hold before the pulse adds no more: enough for all threads, little to wait behind.
QUEUE_DEPTH = 64
#: Pause between two looks while nothing is due, in seconds; spread, so that processes do not look at the same moment.
IDLE_S = 0.25
#: Pause while there was something, in seconds, and the shortest while Iron's budget is what there is too little of.
BUSY_S = 0.02
#: Pause after Redis did not answer, in seconds.
AWAY_S = 1.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What one look did: nudges sent, and the seconds until Iron's budget lets more follow (None: it stops none)."""

    nudges: int
    again_s: float | None = None


class Queues(Protocol):
    """Where nudges go: the broker's queues, one a lane."""

    def send_many(self, nudges: Sequence[Nudge]) -> None:
        """Put nudges on their lanes' queues."""

    def depths(self) -> dict[str, int]:
        """Count for each lane the nudges that nobody has fetched yet."""


class Pulse(Background):
    """Sends nudges for what is due."""

    def __init__(self, ledger: Ledger, broker: Queues) -> None:
        """Take the ledger and the queues; the thread starts with `start`."""
        super().__init__("pulse")
        self._ledger = ledger
        self._broker = broker

    def run_once(self) -> Beat:
        """Move what is due, as far as there is room in each lane's queue."""
        depths = self._broker.depths()
        room = {lane: QUEUE_DEPTH - depths[lane] for lane in LANES if depths[lane] < QUEUE_DEPTH}
        taken = self._ledger.take(room) if room else Taken()
        if taken.nudges:
            self._broker.send_many(taken.nudges)
        return Beat(len(taken.nudges), taken.again_s)

    def turn(self) -> float:
        """Move what is due; soon again while there is something, later while Redis is away."""
        try:
            pause_s = _pause_s(self.run_once())
        except redis.RedisError as error:
            log.warning("pulse.interrupted", error=type(error).__name__)
            pause_s = AWAY_S
        return around(pause_s)


def _pause_s(beat: Beat) -> float:
    """Return the pause after a look: until the budget allows more, but no longer than an idle one."""
    if beat.again_s is not None:
        return min(max(beat.again_s, BUSY_S), IDLE_S)
    return BUSY_S if beat.nudges else IDLE_S
