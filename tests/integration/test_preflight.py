"""What is wrong with a Redis server is said before anything is entrusted to it, by real servers that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ops.local.embedded import EmbeddedRedis
from workers.ledger import connect
from workers.operate.preflight import address, check_broker, check_ledger, problems_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, whose settings it may spoil."""
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


def spoil(server: EmbeddedRedis, *command: str) -> None:
    """Run a command as the server's owner."""
    with redis.Redis.from_url(server.url) as owner:
        owner.execute_command(*command)


def check(url: str) -> tuple[str, ...]:
    """Look at a server as the program does."""
    with connect(url) as client:
        return check_ledger(client)


def test_our_own_server_has_nothing_wrong(ledger_url: str, broker_url: str) -> None:
    """The embedded server is fit for the ledger and for the queue."""
    assert check(ledger_url) == ()
    with connect(broker_url) as client:
        assert check_broker(client) == ()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru"])
def test_a_policy_that_drops_keys_is_refused(server: EmbeddedRedis, policy: str) -> None:
    """The sentence names the policy, what it endangers, and the one that is right."""
    spoil(server, "CONFIG", "SET", "maxmemory-policy", policy)
    [sentence] = check(server.url)
    assert f"maxmemory-policy {policy}" in sentence
    assert "Customers could be forgotten or created twice" in sentence
    assert "Set `maxmemory-policy noeviction`" in sentence


def test_config_need_not_be_allowed(server: EmbeddedRedis) -> None:
    """A managed server that forbids CONFIG is looked at all the same."""
    spoil(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    spoil(server, "ACL", "SETUSER", "managed", "on", ">pass", "~*", "&*", "+@all", "-config")
    [sentence] = check(f"redis://managed:pass@127.0.0.1:{server.port}/0")
    assert "maxmemory-policy allkeys-lru" in sentence


def test_a_user_who_may_not_look_is_told_so(server: EmbeddedRedis) -> None:
    """Not to know is not to be safe."""
    spoil(server, "ACL", "SETUSER", "blind", "on", ">pass", "~*", "+@all", "-info")
    [sentence] = check(f"redis://blind:pass@127.0.0.1:{server.port}/0")
    assert "may not run INFO" in sentence
    assert "+info" in sentence


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:wrong@"])
def test_a_wrong_password_is_told_without_it(server: EmbeddedRedis, credentials: str) -> None:
    """The sentence has the address, and neither the user nor the password."""
    [sentence] = check(f"redis://{credentials}127.0.0.1:{server.port}/0")
    assert f"redis://127.0.0.1:{server.port}/0 does not accept the user or password" in sentence
    assert "wrong" not in sentence
    assert "nobody" not in sentence


def test_a_server_that_is_not_there_is_told_with_its_address(server: EmbeddedRedis) -> None:
    """The system's reason stands in it, the password does not."""
    url = server.url
    server.stop()
    [sentence] = check(url)
    place = url.rpartition("@")[2]
    assert sentence.startswith(f"No Redis answers at redis://{place} (Connection refused)")
    assert "Start it, or correct ONBOARDING_REDIS_URL." in sentence
    assert url not in sentence


def test_a_missing_database_of_the_queue_names_its_setting(server: EmbeddedRedis) -> None:
    """Some servers have one logical database only; the queue then needs another server."""
    with connect(server.url_for(99)) as client:
        [sentence] = check_broker(client)
    assert "ONBOARDING_BROKER_URL" in sentence
    assert "out of range" in sentence


def test_a_replica_is_refused(server: EmbeddedRedis) -> None:
    """It would take no writes."""
    spoil(server, "REPLICAOF", "127.0.0.1", "1")
    [sentence] = check(server.url)
    assert "replica" in sentence
    assert "primary" in sentence


@pytest.mark.parametrize(
    ("release", "problems"),
    [("2.8.24", 1), ("6.0.16", 1), ("6.2.0", 0), ("7.4.1", 0), ("10.0.0", 0), ("255.255.255", 0), ("unknown", 1)],
)
def test_releases(release: str, problems: int) -> None:
    """6.2 and later is enough, compared as numbers."""
    found = problems_of({"redis_version": release, "maxmemory_policy": "noeviction", "role": "master"}, "here")
    assert len(found) == problems
    assert all("6.2" in sentence for sentence in found)


def test_all_problems_are_told_at_once() -> None:
    """Whoever mends a server mends it once."""
    found = problems_of({"redis_version": "6.0.1", "maxmemory_policy": "allkeys-lru", "role": "slave"}, "here")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("redis://:pass@127.0.0.1:6390/3", "redis://127.0.0.1:6390/3"),
        ("rediss://user:pass@cache.example:6390", "rediss://cache.example:6390/0"),
        ("unix://user:pass@/run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_an_address_is_written_without_secrets(url: str, written: str) -> None:
    """Scheme, host, port and database."""
    with connect(url) as client:
        assert address(client) == written
