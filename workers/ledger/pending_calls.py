"""Calls of the ledger's script that are sent now and answered later, so that the caller can work meanwhile.

In one thread: reading a file and storing its rows in two threads would take turns at the interpreter's lock, which
costs a quarter of the time on a quiet machine and most of it on a busy one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import redis

#: What says that an answer is lost, or that the server does not know the script (any more).
_LOST = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.NoScriptError)


class PendingCalls:
    """Commands on their way. Each is safe to repeat: where its answer is lost it is made again in the ordinary way."""

    def __init__(self, client: redis.Redis, packets: Sequence[bytes], again: Sequence[Callable[[], Any]]) -> None:
        """Send commands, as Redis reads them, each with what makes the same call in the ordinary way."""
        self._pool = client.connection_pool
        self._again = again
        self._connection: Any = None  # redis-py's connections are typed for every kind at once
        try:
            self._connection = self._pool.get_connection()
            for packet in packets:
                self._connection.send_packed_command([packet])
        except _LOST:
            self.abandon()

    def answers(self) -> list[Any]:
        """Wait for all answers. Raises redis.RedisError as the calls do."""
        found: list[Any] = []
        try:
            while self._connection and len(found) < len(self._again):
                found.append(self._connection.read_response())
        except _LOST:
            self.abandon()
        except BaseException:
            self.abandon()
            raise
        if self._connection:
            self._pool.release(self._connection)
            self._connection = None
        return [*found, *(call() for call in self._again[len(found) :])]

    def abandon(self) -> None:
        """Let go of the connection without waiting; what was sent may have its effect."""
        if self._connection:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None
