"""Calls of one Lua script with as little ceremony as redis-py allows: a connection a thread, one packet, one answer.

A step is little else than such calls, and the client's own way, a pool with its locks and looks for each of them, takes
twice the CPU time (ops/measurements.md). Kept of it are the connections with all their settings, and their retry
policy: a call whose answer was lost is sent again, so every operation of the script has to be safe to repeat.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError

Argument = str | bytes | float


class Script:
    """A script with one key, on one database."""

    def __init__(self, client: redis.Redis, text: bytes, key: str) -> None:
        """Take the client whose settings are used. Nothing is sent yet."""
        self._client = client
        self._text = text
        self._key = key
        self._registered: Any = client.register_script(text)
        self._encode: Callable[[float], bytes] = client.connection_pool.get_encoder().encode
        sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        self._head = b"".join(_bulk(part.encode()) for part in ("EVALSHA", sha, "1", key))
        self._own = threading.local()

    def __call__(self, arguments: Sequence[Argument]) -> Any:
        """Run it; answers what it returns. Raises what redis-py raises."""
        packet, connection = self.packet(arguments), self._connection()
        return connection.retry.call_with_retry(
            lambda: self._ask(connection, packet), lambda _: connection.disconnect()
        )

    def queue(self, pipeline: Any, arguments: Sequence[Argument]) -> None:
        """Add a call to a pipeline of the client."""
        self._registered(keys=[self._key], args=arguments, client=pipeline)

    def _connection(self) -> Any:
        """Give this thread's connection to where the client's pool leads. It is closed when the thread ends."""
        pool = self._client.connection_pool
        if getattr(self._own, "pool", None) is not pool:
            self._own.pool, self._own.connection = pool, pool.make_connection()
        return self._own.connection

    def _ask(self, connection: Any, packet: bytes) -> Any:
        connection.send_packed_command([packet])
        try:
            return connection.read_response()
        except NoScriptError:
            connection.send_command("SCRIPT", "LOAD", self._text)
            connection.read_response()
            connection.send_packed_command([packet])
            return connection.read_response()

    def packet(self, arguments: Sequence[Argument]) -> bytes:
        """Write a call as Redis reads it; a server that does not know the script refuses it."""
        parts = [b"*%d\r\n" % (4 + len(arguments)), self._head]
        for argument in arguments:
            if isinstance(argument, str):
                parts.append(_bulk(argument.encode()))
            else:
                parts.append(_bulk(argument if isinstance(argument, bytes) else self._encode(argument)))
        return b"".join(parts)


def _bulk(part: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(part), part)
