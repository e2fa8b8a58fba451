"""What every test may ask for: a real Redis of our own, and a pair of logical databases for each test."""

from __future__ import annotations

import itertools
import random
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import structlog

# The program itself is imported where it is used: the process that shares out the tests has no use for it.
from ops.local.embedded import EmbeddedRedis, EmbeddedRedisError, find_server
from tests.sharing import Sharing, in_order, why_skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.world import Run, World

#: Logical databases of the tests' server. Each test takes two; after half as many tests a pair comes round again.
DATABASES = 1024

#: The stand-ins for Iron: the sandbox, and the second one by seed.
STAND_INS = ("sandbox", "second-1", "second-2", "second-3")

# Lines that a test causes are shown when it fails. In JSON they cost a tenth of pretty ones, and an exception, which
# structlog would draw with all the variables on its way, a thousandth.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]
)

# A shell starts what it runs in the background with Ctrl-C ignored, and that is handed on to every process we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_pairs = itertools.cycle(range(0, DATABASES, 2))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the fast tests first."""
    items[:] = in_order(items)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a stand-in for Iron on both, the second one by several seeds, unless it says why it cannot."""
    given = any("stand_in" in marker.args[0] for marker in metafunc.definition.iter_markers("parametrize"))
    if "stand_in" in metafunc.fixturenames and not given:
        alone = metafunc.definition.get_closest_marker("sandbox_only")
        metafunc.parametrize("stand_in", STAND_INS[:1] if alone else STAND_INS)


def pytest_report_header() -> str:
    """Say which server the tests run on."""
    try:
        return f"server: {find_server()}"
    except EmbeddedRedisError as error:
        return str(error)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing | None:
    """Share the tests out as tests/sharing.py says, unless another way is asked for with --dist."""
    return Sharing(config, log) if config.getoption("dist") == "load" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped and why: a reason a line."""
    terminalreporter.write_line(pytest_report_header())
    for line in why_skipped(terminalreporter.getreports("skipped")):
        terminalreporter.write_line(line)


class Server(EmbeddedRedis):
    """A server that listens on a Unix socket, too: a round trip takes two thirds of the time that it takes over TCP."""

    @property
    def socket(self) -> Path:
        """Relative to its folder, since the length of such an address is limited; absolute for whoever asks."""
        return self.folder / "s"

    def _write_configuration(self, port: int, password: str) -> Path:
        configuration = super()._write_configuration(port, password)
        with configuration.open("a", encoding="utf-8") as file:
            file.write("unixsocket s\n")
        return configuration

    def near(self, database: int) -> str:
        """The address of one logical database by the socket."""
        password = self.url.split(":")[2].partition("@")[0]
        return f"unix://:{password}@{self.socket}?db={database}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis server for all tests of this process, in a temporary folder, on a free port."""
    # Not in pytest's own folder, whose path would be too long for a socket's address.
    with tempfile.TemporaryDirectory(prefix="onboarding-") as folder, Server(Path(folder), databases=DATABASES) as made:
        yield made


@pytest.fixture(scope="session")
def facts(redis_server: Server) -> dict[str, Any]:
    """What the tests' server says of itself: Redis 6.2 and Valkey 9 are both right, and different."""
    with redis.Redis.from_url(redis_server.url) as client:
        told: dict[str, Any] = client.info()
    return told


@pytest.fixture
def waits_for_disk(facts: dict[str, Any]) -> None:
    """Only for a server that can say when something is on its disk."""
    from workers.operate.preflight import WAITAOF_RELEASE, product_of, release_of

    if release_of(facts) < WAITAOF_RELEASE:
        pytest.skip(f"WAITAOF came with Redis 7.2, and this is {product_of(facts)}")


@pytest.fixture(scope="session")
def broom(redis_server: Server) -> Iterator[redis.Redis]:
    """A client that empties databases."""
    with redis.Redis.from_url(redis_server.near(0)) as client:
        yield client


@pytest.fixture
def databases(broom: redis.Redis) -> tuple[int, int]:
    """Two neighbouring empty databases that no other running test uses."""
    pair = next(_pairs)
    with broom.pipeline(transaction=False) as both:
        for database in (pair, pair + 1):
            both.execute_command("SELECT", database)
            both.flushdb()
        both.execute()
    return pair, pair + 1


@pytest.fixture
def ledger_url(redis_server: Server, databases: tuple[int, int]) -> str:
    """Address of an empty database for the ledger of this test."""
    return redis_server.url_for(databases[0])


@pytest.fixture
def broker_url(redis_server: Server, databases: tuple[int, int]) -> str:
    """Address of an empty database for the broker of this test: the ledger's neighbour."""
    return redis_server.url_for(databases[1])


@pytest.fixture
def client(redis_server: Server, databases: tuple[int, int]) -> Iterator[redis.Redis]:
    """A client of this test's ledger database, as the program opens it, but by the server's socket."""
    from workers.ledger import connect

    with connect(redis_server.near(databases[0])) as opened:
        yield opened


@pytest.fixture
def run(world: World, ledger_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on this world's ledger, with the key that its input is sealed with."""
    from ops.cli import main

    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)
    monkeypatch.setenv("ONBOARDING_BROKER_URL", broker_url)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", world.key)
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, with a clock to turn."""
    from tests.world import World

    return World(client)


@pytest.fixture
def either(client: redis.Redis, stand_in: str, request: pytest.FixtureRequest) -> World:
    """A whole pipeline as above, on one of the stand-ins for Iron.

    A test may fix what the second one answers to some of its questions, by the marker `second`.
    """
    from tests.second_iron import SecondIron
    from tests.world import World

    if stand_in == "sandbox":
        return World(client)

    fixed = request.node.get_closest_marker("second")
    random.seed(stand_in)  # the pauses of the pipeline are the seed's, too
    seed, choices = int(stand_in.partition("-")[2]), fixed.kwargs if fixed else {}
    return World(client, second=partial(SecondIron, seed=seed, choices=choices))
