"""What every test may ask for: a real Redis of our own, and a pair of logical databases for each test."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import redis

from ops.cli import main
from ops.embedded import EmbeddedRedis
from tests.support import Run, World
from workers.ledger import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Logical databases of the tests' server. Each test takes two; after half as many tests a pair comes round again.
DATABASES = 1024

_pairs = itertools.cycle(range(0, DATABASES, 2))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis server for the whole run, in a temporary folder, on a free port."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), databases=DATABASES) as server:
        yield server


@pytest.fixture
def database_pair(redis_server: EmbeddedRedis) -> tuple[str, str]:
    """Addresses of two neighbouring empty databases that no other running test uses."""
    ledger = next(_pairs)
    urls = redis_server.url_for(ledger), redis_server.url_for(ledger + 1)
    for url in urls:
        with redis.Redis.from_url(url) as client:
            client.flushdb()
    return urls


@pytest.fixture
def ledger_url(database_pair: tuple[str, str]) -> str:
    """Address of an empty database for the ledger of this test."""
    return database_pair[0]


@pytest.fixture
def broker_url(database_pair: tuple[str, str]) -> str:
    """Address of an empty database for the broker of this test: the ledger's neighbour."""
    return database_pair[1]


@pytest.fixture
def client(ledger_url: str) -> Iterator[redis.Redis]:
    """A client of this test's ledger database, as the program opens it."""
    with connect(ledger_url) as opened:
        yield opened


@pytest.fixture
def run(world: World, ledger_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on this world's ledger, with the key that its input is sealed with."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)
    monkeypatch.setenv("ONBOARDING_BROKER_URL", broker_url)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", world.key)
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, with a clock to turn."""
    return World(client)
