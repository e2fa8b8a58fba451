"""What must be true of Redis before anything is entrusted to it; what is not is said in one sentence each.

A sentence names what is wrong, what that endangers and how to fix it, and never holds a password.
Source: design section 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from workers.ledger import Durability, NotDurableError
from workers.operate.rights import Lacking, lacking_for_the_broker, lacking_for_the_ledger

#: The oldest release with all commands that the ledger uses (design, section 7).
OLDEST_RELEASE = (6, 2)

#: The one policy that drops nothing. The `volatile-*` policies spare the records, which have no expiry, but would drop
#: the budget's marks, so that calls go out over Iron's limits, and wakes that wait for their record; besides, one rule
#: is easier to keep than two.
SAFE_POLICY = "noeviction"

_LEDGER = "ONBOARDING_REDIS_URL"
_BROKER = "ONBOARDING_BROKER_URL"

#: The release in which WAITAOF came.
WAITAOF_RELEASE = (7, 2)

#: What each of redis-py's errors means for the person who runs the program. The first that fits counts.
_ANSWERS: dict[type[redis.RedisError], str] = {
    NotDurableError: "Redis at {where} has it, but did not confirm it on disk in time (ONBOARDING_WAITAOF)."
    " Do the same again; it is safe to repeat. Check the disk of the server and its replicas.",
    redis.AuthenticationError: "Redis at {where} does not accept the user or password, so nothing can be read or"
    " stored. Correct {setting}.",
    redis.exceptions.AuthorizationError: "Redis at {where} lets this user do nothing. Correct {setting}.",
    redis.exceptions.NoPermissionError: "Redis at {where} does not permit this user the command."
    " Allow the user in {setting} all commands on all keys.",
    redis.BusyLoadingError: "Redis at {where} is still loading its data. Try again when it is done.",
    redis.ReadOnlyError: "Redis at {where} is a replica and takes no writes, so nothing could be stored."
    " Name its primary in {setting}.",
    redis.exceptions.OutOfMemoryError: "Redis at {where} has no memory left and stores nothing more."
    " Give it more, then try again.",
    redis.TimeoutError: "Redis at {where} does not answer in time. Without it nothing is stored and nothing moves."
    " Check the server, or correct {setting}.",
    redis.ConnectionError: "No Redis answers at {where} ({reason}). Without it nothing is stored and nothing moves."
    " Start it, or correct {setting}.",
    redis.RedisError: "Redis at {where} refuses a command ({reason}). Correct the server, or {setting}.",
}


def check_ledger(client: redis.Redis, durability: Durability | None = None) -> tuple[str, ...]:
    """Look at the server that is to hold the ledger; answers what is wrong with it, nothing when all is well.

    `durability`: what it is to be asked for before anything is acknowledged.

    With commands that managed servers allow too: INFO tells the eviction policy without CONFIG.
    """
    problems: tuple[str, ...] = ()
    try:
        if lacks := lacking_for_the_ledger(client, durability):
            problems = (_may_not(client, lacks, "the ledger needs", "onboardings stand still where it is needed"),)
        return (*problems, *problems_of(client.info(), address(client), durability))
    except redis.exceptions.NoPermissionError as error:
        if "info" not in str(error).lower() and problems:  # the client cannot even connect
            return problems
        text = (
            f"The user of {address(client)} may not run INFO, so it cannot be seen whether records are safe there:"
            " allow it with `ACL SETUSER <name> +info`."
        )
        return (*problems, text)
    except redis.RedisError as error:
        return (unanswered(client, error),)


def check_broker(client: redis.Redis) -> tuple[str, ...]:
    """Look at the server that is to hold the queues; answers what is wrong with it. It has to do as it is asked."""
    try:
        if lacks := lacking_for_the_broker(client):
            return (_may_not(client, lacks, "the queues need", "messages would stay where they are"),)
        client.ping()
    except redis.RedisError as error:
        return (unanswered(client, error, _BROKER),)
    return ()


def _may_not(client: redis.Redis, lacks: Lacking, needs: str, endangers: str) -> str:
    """Return what a user may not do, what that endangers, and how to allow exactly that."""
    commands = f"run {', '.join(lacks.commands)}" if lacks.commands else ""
    what = " or ".join(filter(None, (commands, lacks.keys and f"use the keys {lacks.keys}")))
    return (
        f"The user of {address(client)} may not {what}, which {needs}: {endangers};"
        f" allow it with `ACL SETUSER <name> {lacks.rules()}`. No channel is used."
    )


def release_of(facts: Mapping[str, Any]) -> tuple[int, int]:
    """Read the server's release; (0, 0) where it cannot be read."""
    found = re.match(r"(\d+)\.(\d+)", str(facts.get("redis_version", "")))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def product_of(facts: Mapping[str, Any]) -> str:
    """Name the server by product and release. Valkey says beside its own which release of Redis it is like."""
    if release := facts.get("valkey_version"):
        return f"Valkey {release}"
    return f"Redis {facts.get('redis_version', 'of an unknown release')}"


def problems_of(facts: Mapping[str, Any], where: str, durability: Durability | None = None) -> tuple[str, ...]:
    """Judge what INFO says of the server at `where`."""
    problems = []
    release = str(facts.get("redis_version", "0"))
    if release_of(facts) < OLDEST_RELEASE:
        problems.append(
            f"Redis at {where} is release {release}. The ledger needs commands of 6.2."
            " Update it to Redis 6.2 or later, or Valkey."
        )
    policy = facts.get("maxmemory_policy", SAFE_POLICY)
    if policy != SAFE_POLICY:
        problems.append(
            f"Redis at {where} has maxmemory-policy {policy}: it drops keys when its memory is full."
            " Customers could be forgotten or created twice, and Iron's limits broken."
            f" Set `maxmemory-policy {SAFE_POLICY}` in its configuration, or name another server in {_LEDGER}."
        )
    if facts.get("role") == "slave":
        problems.append(_ANSWERS[redis.ReadOnlyError].format(where=where, setting=_LEDGER))
    if durability and durability.asked:
        problems += _not_durable(facts, where, durability)
    return tuple(problems)


def _not_durable(facts: Mapping[str, Any], where: str, durability: Durability) -> Iterator[str]:
    """Return why a server cannot do what ONBOARDING_WAITAOF asks of it."""
    ends = "or set ONBOARDING_WAITAOF to off and know that the last second of acknowledged jobs may be lost."
    if release_of(facts) < WAITAOF_RELEASE:
        release = facts.get("redis_version", "unknown")
        yield f"ONBOARDING_WAITAOF needs Redis 7.2, and the one at {where} is release {release}: update it, {ends}"
    elif not facts.get("aof_enabled"):
        yield f"ONBOARDING_WAITAOF needs an append-only file at {where}: set `appendonly yes` there, {ends}"
    if durability.replicas > int(facts.get("connected_slaves", 0)):
        yield f"ONBOARDING_WAITAOF asks for a replica, and the server at {where} has none: connect one, {ends}"


def unanswered(client: redis.Redis, error: redis.RedisError, setting: str = _LEDGER) -> str:
    """Return in one sentence why a call to Redis failed, and what to do."""
    text = next(text for kind, text in _ANSWERS.items() if isinstance(error, kind))
    return text.format(where=address(client), setting=setting, reason=_reason(error))


def address(client: redis.Redis) -> str:
    """Write where a client connects to, without user and password."""
    place = client.connection_pool.connection_kwargs
    if "path" in place:
        return f"unix://{place['path']}?db={place.get('db', 0)}"
    scheme = "rediss" if issubclass(client.connection_pool.connection_class, redis.SSLConnection) else "redis"
    return f"{scheme}://{place.get('host', 'localhost')}:{place.get('port', 6379)}/{place.get('db') or 0}"


def _reason(error: redis.RedisError) -> str:
    """Take the system's own words where there are any; redis-py's repeat the address."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).strip().rstrip(".") or type(error).__name__
