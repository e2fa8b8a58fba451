"""Calls of Lua scripts with as little ceremony as redis-py allows: one packet, one answer.

A step is little else than such calls, and the client's own way, a pool with its locks and looks for each of them, takes
twice the CPU time (ops/docs/measurements.md). Kept of it are the connections with all their settings, and their retry
policy: a call whose answer was lost is sent again, so every operation has to be safe to repeat.

The Lua code is in parts. Redis runs a script from its first line at each call, definitions and all, so each operation
has a script of its own part and of those that this one needs, and of no more. Each part is a function inside the one
before it: what a function uses of its own part Lua looks for among all that is defined there, one after the other, and
what it uses of an outer one it takes from a fixed place.
"""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from hiredis import pack_command
from redis.exceptions import NoScriptError

Argument = str | bytes | float

#: What a part says of the parts that it needs, in its head, and how it begins an operation.
_NEEDS = re.compile(r"^-- needs: (.+)$", re.MULTILINE)
_OPERATION = re.compile(r"^function operations\.(\w+)", re.MULTILINE)
#: What stands between two parts, at the end of the last, and once more for each part before it.
_INSIDE, _CALL, _OUT = "return (function()", "return operations[operation](unpack(ARGV, 4))", "end)()"


class Scripts:
    """All operations, on one database, with one key. An operation's name is the first argument of its call."""

    def __init__(self, client: redis.Redis, parts: Mapping[str, str], key: str) -> None:
        """Take the client whose settings are used, and the Lua code by the names of its parts. Nothing is sent yet."""
        connections = _Connections(client)
        self._of: dict[str, Script] = {}
        for name, text in parts.items():
            if operations := _OPERATION.findall(text):
                script = Script(client, connections, whole(name, parts).encode(), key)
                self._of |= dict.fromkeys(operations, script)

    def __getitem__(self, operation: str) -> Script:
        """Return the script that an operation is in."""
        return self._of[operation]


def whole(name: str, parts: Mapping[str, str]) -> str:
    """Join a part with all that it needs, each inside what it needs itself."""
    ordered: dict[str, str] = {}

    def add(one: str) -> None:
        needs = _NEEDS.search(parts[one])
        for needed in needs[1].split() if needs else ():
            add(needed)
        ordered.setdefault(one, parts[one])

    add(name)
    return "\n".join([f"\n{_INSIDE}\n".join(ordered.values()), _CALL, *[_OUT] * (len(ordered) - 1)])


class Script:
    """A script with one key."""

    def __init__(self, client: redis.Redis, connections: _Connections, text: bytes, key: str) -> None:
        """Make ready to call it."""
        self._connections = connections
        self._text = text
        self._key = key
        self._registered: Any = client.register_script(text)
        self._sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()

    def __call__(self, arguments: Sequence[Argument]) -> Any:
        """Run it; answers what it returns. Raises what redis-py raises."""
        packet, free = self.packet(arguments), self._connections.free()
        try:
            connection = free.pop()
        except IndexError:
            connection = self._connections.new()
        try:
            return connection.retry.call_with_retry(
                lambda: self._ask(connection, packet, arguments), lambda _: connection.disconnect()
            )
        finally:
            free.append(connection)

    def queue(self, pipeline: Any, arguments: Sequence[Argument]) -> None:
        """Add a call to a pipeline of the client."""
        self._registered(keys=[self._key], args=arguments, client=pipeline)

    def packet(self, arguments: Sequence[Argument]) -> bytes:
        """Write a call as Redis reads it; a server that does not know the script refuses it."""
        command: Any = ("EVALSHA", self._sha, 1, self._key, *arguments)  # hiredis declares tuples of one
        packed: bytes = pack_command(command)
        return packed

    def _ask(self, connection: Any, packet: bytes, arguments: Sequence[Argument]) -> Any:
        connection.send_packed_command([packet])
        try:
            return connection.read_response()
        except NoScriptError:  # from now on the server knows it
            connection.send_command("EVAL", self._text, 1, self._key, *arguments)
            return connection.read_response()


class _Connections:
    """Connections to where a client's pool leads that nobody uses now, without the pool's locks and looks."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._pool: Any = None
        self._process = 0
        self._free: deque[Any] = deque()
        self._close = weakref.finalize(self, _close, self._free)

    def free(self) -> deque[Any]:
        """Return those that are free: one is taken from it, or made if there is none, and put back after its use."""
        pool, process = self._client.connection_pool, os.getpid()
        if self._pool is not pool or self._process != process:
            self._close()
            self._pool, self._process, self._free = pool, process, deque()
            self._close = weakref.finalize(self, _close, self._free)
        return self._free

    def new(self) -> Any:
        """Make one, as the pool does, which does not count it."""
        return self._pool.connection_class(**self._pool.connection_kwargs)


def _close(connections: deque[Any]) -> None:
    """Close connections that nobody will use any more; those of another process go on there."""
    while connections:
        connections.pop().disconnect()
