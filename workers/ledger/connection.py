"""Connections to Redis, and how safe a write must be before it is acknowledged."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from redis.backoff import ExponentialBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

#: Seconds without an answer after which a Redis call has failed.
REDIS_TIMEOUT_S = 5.0
#: Connections of one client: redis-py stops at 100, and a worker process may have 256 threads.
MOST_CONNECTIONS = 1_024
#: How long an acknowledgement may wait for the disk, in ms: three times what `appendfsync everysec` takes at most, and
#: less than a call may.
DURABLE_WITHIN_MS = 3_000


#: What redis-py tells each server of itself. Made once: it looks for its own version on the disk, which takes 1 ms.
_DRIVER = DriverInfo()


def connect(url: str) -> redis.Redis:
    """Open a client with few and short repetitions; every script is safe to repeat."""
    return redis.Redis.from_url(
        url,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        client_name="onboarding",
        max_connections=MOST_CONNECTIONS,
        driver_info=_DRIVER,
    )


class NotDurableError(redis.RedisError):
    """Redis has what it was sent, and has not made it as safe as it was asked to in time: send the same again."""


@dataclass(frozen=True, slots=True)
class Durability:
    """What is waited for before a job or an act of a person is acknowledged. Source: Redis' WAITAOF, since 7.2.

    `local`: 1 waits until the server's append-only file is synced to disk; `replicas`: until so many replicas' are.
    """

    local: int = 0
    replicas: int = 0

    @property
    def asked(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self.local or self.replicas)
