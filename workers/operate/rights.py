"""What a Redis user must be allowed to do for us, and what of it a user is not allowed to.

Nothing is done to find that out. Redis judges a command when it is queued in a transaction, and the transaction is
thrown away. `ACL DRYRUN` would say the same to administrators only. We use no channels: a user needs none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from workers.ledger import PREFIX, Durability, lua_parts

#: Every command that we use -> how many arguments it has at least.
ARGUMENTS = {
    "DEL": 1, "EVAL": 3, "EVALSHA": 3, "EXEC": 0, "EXISTS": 1, "GET": 1, "HDEL": 2, "HEXISTS": 2,
    "HGET": 2, "HGETALL": 1, "HINCRBY": 3, "HKEYS": 1, "HLEN": 1, "HMGET": 2, "HSCAN": 2, "HSET": 3, "HSETNX": 3,
    "HSTRLEN": 2, "HVALS": 1, "LLEN": 1, "LPOP": 1, "LPOS": 2, "LRANGE": 3, "LREM": 3, "LSET": 3, "LTRIM": 3, "MGET": 1,
    "MULTI": 0, "PERSIST": 1, "PEXPIRE": 2, "PING": 0, "PTTL": 1, "RENAME": 2, "RPUSH": 2, "SADD": 2, "SCAN": 1,
    "SCARD": 1, "SCRIPT|EXISTS": 1, "SCRIPT|LOAD": 1, "SELECT": 1, "SET": 2, "SMEMBERS": 1, "SREM": 2, "TIME": 0,
    "TYPE": 1, "WAITAOF": 3, "XADD": 4, "XLEN": 1, "XRANGE": 3, "XREVRANGE": 3, "XTRIM": 3, "ZADD": 3, "ZCARD": 1,
    "ZCOUNT": 3, "ZRANGE": 3, "ZRANGEBYSCORE": 3, "ZRANK": 2, "ZREM": 2, "ZREVRANGE": 3, "ZSCAN": 2, "ZSCORE": 2,
    "CLIENT|SETNAME": 1,
}  # fmt: skip
#: What our modules call beside the scripts, and the look itself.
_EVERYWHERE = ("CLIENT|SETNAME", "EVAL", "EVALSHA", "MULTI", "PING", "SCAN", "SCRIPT|EXISTS", "SCRIPT|LOAD", "SELECT")
_LEDGER = (
    *_EVERYWHERE,
    *("DEL", "EXEC", "EXISTS", "GET", "HDEL", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HSCAN", "HSET", "HSETNX"),
    *(
        "LLEN",
        "LRANGE",
        "PEXPIRE",
        "SET",
        "SMEMBERS",
        "TIME",
        "XRANGE",
        "XREVRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZRANGE",
        "ZRANGEBYSCORE",
    ),
    *("ZREVRANGE", "ZSCAN"),
)
_BROKER = (*_EVERYWHERE, "LLEN", "SMEMBERS", "ZRANGEBYSCORE")
#: Arguments of those for which a key in each place will not do.
_GIVEN = {"EVAL": ("return 1", "1"), "EVALSHA": ("0" * 40, "1"), "SELECT": ("0",), "SCRIPT|LOAD": ("return 1",)}

#: What an error says of the command that it is about, where a connection cannot even be opened.
_ABOUT = re.compile(r"the '([^']+)' command")


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a user may not do: commands, as ACL rules name them, and keys, as a pattern."""

    commands: tuple[str, ...] = ()
    keys: str = ""

    def __bool__(self) -> bool:
        return bool(self.commands or self.keys)

    def rules(self) -> str:
        """Return what to add to the user, as `ACL SETUSER` takes it."""
        return " ".join([*(f"+{command}" for command in self.commands), *([f"~{self.keys}"] if self.keys else [])])


@cache
def of_the_ledger() -> frozenset[str]:
    """Name the commands that the ledger's user needs."""
    audit = (files("workers.operate.audit") / "audit.lua").read_text("utf-8")
    return frozenset(_LEDGER) | _in_scripts(audit, *lua_parts().values())


@cache
def of_the_broker() -> frozenset[str]:
    """Name the commands that the broker's user needs: what producers send with is part of it."""
    return frozenset(_BROKER) | _in_scripts((files("workers.engine") / "queues.lua").read_text("utf-8"))


def _in_scripts(*scripts: str) -> set[str]:
    return {word for script in scripts for word in re.findall(r"'([A-Z]+)'", script)} & set(ARGUMENTS)


def lacking_for_the_ledger(client: redis.Redis, durability: Durability | None = None) -> Lacking:
    """Return what the client's user lacks for the ledger. Raises redis.RedisError where nobody answers."""
    more = {"WAITAOF"} if durability and durability.asked else set()
    return _lacking(client, of_the_ledger() | more, PREFIX, f"{PREFIX}preflight")


def lacking_for_the_broker(client: redis.Redis) -> Lacking:
    """Return what the client's user lacks for the queues. Raises redis.RedisError where nobody answers."""
    return _lacking(client, of_the_broker(), "dramatiq", "dramatiq:preflight")


def _lacking(client: redis.Redis, needed: frozenset[str], prefix: str, key: str) -> Lacking:
    """Queue each command and throw all away. `prefix`: how all keys begin, and the one that scripts are given."""
    connection = _bare(client)
    try:
        connection.connect()
        if _refused(_answer(connection, "MULTI")):  # outside of a transaction each command would be done
            return Lacking(("multi",))
        answers = {name: _answer(connection, *_call(name, prefix, key)) for name in sorted(needed - {"MULTI", "EXEC"})}
        if "EXEC" in needed:  # of a transaction that holds nothing
            connection.disconnect()
            _answer(connection, "MULTI")
            answers["EXEC"] = _answer(connection, "EXEC")
    except redis.exceptions.NoPermissionError as error:
        about = _ABOUT.search(str(error))
        return Lacking((about[1] if about else "hello",))
    finally:
        connection.disconnect()
    if not isinstance(answers.get("WAITAOF"), redis.exceptions.NoPermissionError):
        answers.pop("WAITAOF", None)  # a server that does not know it is told of by its release
    commands = tuple(name.lower() for name, answer in answers.items() if _refused(answer) and not _is_key(answer))
    return Lacking(commands, f"{prefix}*" if any(map(_is_key, answers.values())) else "")


def _bare(client: redis.Redis) -> Any:
    """Make a connection that asks for nothing but to be let in."""
    pool = client.connection_pool
    return pool.connection_class(**{**pool.connection_kwargs, "client_name": None, "driver_info": None, "db": 0})


def _call(name: str, prefix: str, key: str) -> Iterator[str]:
    """Return a command with as many arguments as it needs."""
    yield from name.split("|")
    given = _GIVEN.get(name, ())
    yield from given
    yield from [prefix if name in ("EVAL", "EVALSHA") else key] * (ARGUMENTS[name] - len(given))


def _answer(connection: Any, *command: str) -> object:
    """Send a command; answers what came, an error too."""
    connection.send_command(*command)
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _refused(answer: object) -> bool:
    """Return whether the user may not, or the server does not know the command; full memory is another matter."""
    unknown = isinstance(answer, redis.ResponseError) and "unknown" in str(answer).lower()
    return unknown or isinstance(answer, redis.exceptions.NoPermissionError) or "NOPERM" in str(answer)


def _is_key(answer: object) -> bool:
    """Return whether it is the key that the user may not use, and not the command."""
    return isinstance(answer, redis.exceptions.NoPermissionError) and " key" in str(answer)
