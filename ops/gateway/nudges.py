"""Sends nudges beside the answer: whoever calls the gateway never waits for the queue.

A nudge that is not sent, because the broker is away or slow, or too many wait, is sent by the pulse seconds later
(ops/decisions/0001). The threads are this module's own, so that a broker which hangs does not hold up the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from workers.ledger import Nudge

log = structlog.get_logger()

#: Nudges sent at the same moment.
SEND_THREADS = 2
#: Nudges that wait to be sent; beyond it the pulse sends them. Some seconds' worth at hundreds a second.
NUDGES_WAITING = 1_000


class Nudges:
    """Puts nudges on the queue in threads."""

    def __init__(self, send: Callable[[Nudge], None]) -> None:
        """`send` puts a nudge on the queue; it may block and raise."""
        self._send = send
        self._threads = ThreadPoolExecutor(SEND_THREADS, "nudge")
        self._room = threading.Semaphore(NUDGES_WAITING)

    def send(self, nudge: Nudge) -> bool:
        """Send a nudge soon, from whatever thread; False: too many wait, so the pulse will."""
        if not self._room.acquire(blocking=False):
            return False
        self._threads.submit(self._send_one, nudge)
        return True

    def close(self) -> None:
        """Let go of the threads; nudges that still wait are left to the pulse."""
        self._threads.shutdown(cancel_futures=True)

    def _send_one(self, nudge: Nudge) -> None:
        try:
            self._send(nudge)
        except Exception as error:  # noqa: BLE001 -- whatever the broker's trouble is, the pulse sends the nudge
            log.warning("nudge.unsent", error=type(error).__name__)
        finally:
            self._room.release()
