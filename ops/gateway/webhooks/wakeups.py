"""Wakes records from the event loop: the ledger is told and waited for, the nudge goes out beside the answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import redis

from ops.gateway.nudges import Nudges
from workers.ledger import Ledger

#: Wakes at the same moment: each is one round trip of well below a millisecond, so this is for hundreds a second.
WAKE_THREADS = 8
#: A wake that takes longer has failed, in seconds: Iron waits for the answer, and asks again after a refusal.
WAKE_WITHIN_S = 3.0


class LedgerAwayError(Exception):
    """The ledger did not answer; the wake may or may not be stored, which is harmless."""


class WakeUps:
    """Stores wakes and lets their nudges go."""

    def __init__(self, ledger: Ledger, nudges: Nudges, within_s: float = WAKE_WITHIN_S) -> None:
        """Take the ledger, which is called in threads of our own."""
        self._ledger = ledger
        self._nudges = nudges
        self._within_s = within_s
        self._threads = ThreadPoolExecutor(WAKE_THREADS, "wake")

    async def wake(self, customer_id: str, hint: str) -> bool:
        """Store the wake and what the webhook says; answers whether a nudge follows at once. Raises LedgerAwayError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._within_s):
                nudge = await loop.run_in_executor(self._threads, self._ledger.wake, customer_id, hint)
        except (redis.RedisError, TimeoutError) as error:
            raise LedgerAwayError(type(error).__name__) from error
        return nudge is not None and self._nudges.send(nudge)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(cancel_futures=True)
