"""Wakes records from the event loop: the ledger is told and waited for, the nudge goes out beside the answer.

Only the first matters. A nudge that is not sent, because the broker is away or slow, is sent by the pulse seconds later
(ops/decisions/0001). The two have threads of their own, so that a broker which hangs does not hold up the ledger.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import redis
import structlog

from workers.ledger import Ledger, Nudge

log = structlog.get_logger()

#: Wakes at the same moment: each is one round trip of well below a millisecond, so this is for hundreds a second.
WAKE_THREADS = 8
#: Nudges sent at the same moment.
SEND_THREADS = 2
#: Nudges that wait to be sent; beyond it the pulse sends them. Some seconds' worth at hundreds a second.
NUDGES_WAITING = 1_000
#: A wake that takes longer has failed, in seconds: Iron waits for the answer, and asks again after a refusal.
WAKE_WITHIN_S = 3.0


class LedgerAwayError(Exception):
    """The ledger did not answer; the wake may or may not be stored, which is harmless."""


class WakeUps:
    """Stores wakes and sends their nudges."""

    def __init__(self, ledger: Ledger, send: Callable[[Nudge], None], within_s: float = WAKE_WITHIN_S) -> None:
        """`send` puts a nudge on the queue; both are called in threads."""
        self._ledger = ledger
        self._send = send
        self._within_s = within_s
        self._waking = ThreadPoolExecutor(WAKE_THREADS, "wake")
        self._sending = ThreadPoolExecutor(SEND_THREADS, "nudge")
        self._room = threading.Semaphore(NUDGES_WAITING)

    async def wake(self, customer_id: str) -> bool:
        """Store the wake; answers whether a nudge follows at once. Raises LedgerAwayError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._within_s):
                nudge = await loop.run_in_executor(self._waking, self._ledger.wake, customer_id)
        except (redis.RedisError, TimeoutError) as error:
            raise LedgerAwayError(type(error).__name__) from error
        if nudge is None or not self._room.acquire(blocking=False):
            return False
        self._sending.submit(self._send_one, nudge)
        return True

    def close(self) -> None:
        """Let go of the threads; nudges that still wait are left to the pulse."""
        self._waking.shutdown(cancel_futures=True)
        self._sending.shutdown(cancel_futures=True)

    def _send_one(self, nudge: Nudge) -> None:
        try:
            self._send(nudge)
        except Exception as error:  # noqa: BLE001 -- whatever the broker's trouble is, the pulse sends the nudge
            log.warning("nudge.unsent", error=type(error).__name__)
        finally:
            self._room.release()
