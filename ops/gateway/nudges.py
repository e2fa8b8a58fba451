"""Sends nudges beside the answer: a caller of the gateway never waits for the queue.

Those that come at the same time go in one round trip. A nudge that is not sent, because the broker is away or slow, or
too many wait, is sent by the pulse seconds later (ops/docs/decisions/0001). The thread is this module's own, so that a
broker which hangs does not hold up the ledger.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from workers.ledger import Nudge

log = structlog.get_logger()

#: Nudges that wait to be sent; beyond it the pulse sends them. Some seconds' worth at hundreds a second.
NUDGES_WAITING = 1_000
#: Nudges sent in one round trip, at most: a few milliseconds of Redis.
TOGETHER = 100
#: Pause after each round trip, in seconds, in which others gather: a round trip for one costs as much as one for ten,
#: and a worker looks at an idle queue no more often than that either.
GATHER_S = 0.01


class Nudges:
    """Puts nudges on the queue in a thread."""

    def __init__(self, send_many: Callable[[Sequence[Nudge]], None], gather_s: float = GATHER_S) -> None:
        """`send_many` puts nudges on the queue; it may block and raise."""
        self._send_many = send_many
        self._thread = ThreadPoolExecutor(1, "nudge")
        self._waiting: deque[Nudge] = deque()
        self._lock = threading.Lock()
        self._sending = False
        self._gather_s = gather_s
        self._closed = threading.Event()

    def send(self, nudge: Nudge) -> bool:
        """Send a nudge soon, from whatever thread; False: too many wait, so the pulse will."""
        with self._lock:
            if len(self._waiting) >= NUDGES_WAITING:
                return False
            self._waiting.append(nudge)
            if not self._sending:
                self._sending = True
                self._thread.submit(self._send_all)
        return True

    def close(self) -> None:
        """Let go of the thread; nudges that still wait are left to the pulse."""
        with self._lock:
            self._waiting.clear()
        self._closed.set()
        self._thread.shutdown(cancel_futures=True)

    def _send_all(self) -> None:
        while nudges := self._taken():
            try:
                self._send_many(nudges)
            except Exception as error:  # noqa: BLE001 -- whatever the broker's trouble is, the pulse sends them
                log.warning("nudge.unsent", error=type(error).__name__, count=len(nudges))
            self._closed.wait(self._gather_s)

    def _taken(self) -> list[Nudge]:
        with self._lock:
            nudges = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            self._sending = bool(nudges)
            return nudges
