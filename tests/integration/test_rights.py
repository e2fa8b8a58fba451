"""What a Redis user must be allowed to do: named exactly when it is missing, and enough when it is there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ops.cli import main
from ops.local.embedded import EmbeddedRedis
from tests.integration.test_endpoints import eventually
from tests.integration.test_queue import Floor, a_message, delayed, written
from tests.world import World, a_job
from workers.engine.inventory import look
from workers.ledger import PREFIX, connect, lua_parts
from workers.operate import rights
from workers.operate.audit import Auditor
from workers.operate.preflight import check_broker, check_ledger, release_of
from workers.secrets.vault import new_key

#: What a server's owner gives and security teams take away: everything that the server calls dangerous.
SAFE = ("~*", "&*", "+@all", "-@dangerous", "+info", "+client")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A server of these tests' own, whose users they make."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


User = Callable[..., Callable[[int], str]]


@pytest.fixture
def user(server: EmbeddedRedis, facts: dict[str, Any]) -> Iterator[User]:
    """Makes the user of a test, with these rules and no others; answers its address of a database."""
    with redis.Redis.from_url(server.url) as owner:
        owner.flushall()

        def make(*rules: str) -> Callable[[int], str]:
            if release_of(facts) < (7, 0) and any(
                rule.startswith("%") or (rule[0] == "-" and "|" in rule) for rule in rules
            ):
                pytest.skip("subcommands and keys to read only came with Redis 7.0")
            owner.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pass", *rules)
            return lambda database: f"redis://app:pass@127.0.0.1:{server.port}/{database}"

        yield make
        owner.execute_command("ACL", "DELUSER", "app")


def least(commands: frozenset[str], *more: str) -> list[str]:
    """The least rights: these commands on our keys, and no channel."""
    return ["resetchannels", "-@all", *(f"+{name.lower()}" for name in sorted(commands)), *more]


LEDGER = (*least(rights.of_the_ledger(), "+info"), f"~{PREFIX}*")
BROKER = (*least(rights.of_the_broker()), "~dramatiq*")


def test_the_table_has_every_command_of_the_scripts() -> None:
    """A command that a script calls, and of which the table knows nothing, would be asked of nobody."""
    root = Path(rights.__file__).parents[1]
    for file in (*root.rglob("*.lua"),):
        code = re.sub(r"--.*$", "", file.read_text("utf-8"), flags=re.MULTILINE)
        called = set(re.findall(r"redis\.p?call\('([A-Z]+)'", code))
        assert called <= set(rights.ARGUMENTS), file.name
        own = rights.of_the_broker() if file.name == "queues.lua" else rights.of_the_ledger()
        assert called <= own
    assert lua_parts()


def test_a_user_with_the_least_rights_lacks_nothing(user: User) -> None:
    """Nothing more than what is needed is asked for, no channel, and no key of others."""
    with connect(user(*LEDGER)(0)) as client:
        assert check_ledger(client) == ()
    with connect(user(*BROKER)(1)) as client:
        assert check_broker(client) == ()


@pytest.mark.parametrize("name", sorted(rights.of_the_ledger() - {"SELECT", "CLIENT|SETNAME"}))
def test_each_command_that_the_ledger_lacks_is_named(user: User, name: str) -> None:
    """It alone, and how to allow it."""
    with connect(user(*LEDGER, f"-{name.lower()}")(0)) as client:
        [sentence] = check_ledger(client)
    assert f"may not run {name.lower()}, which the ledger needs" in sentence
    assert f"`ACL SETUSER <name> +{name.lower()}`" in sentence


@pytest.mark.parametrize("name", sorted(rights.of_the_broker() - {"SELECT", "CLIENT|SETNAME"}))
def test_each_command_that_the_queues_lack_is_named(user: User, name: str) -> None:
    """It alone, and how to allow it."""
    with connect(user(*BROKER, f"-{name.lower()}")(1)) as client:
        [sentence] = check_broker(client)
    assert f"may not run {name.lower()}, which the queues need" in sentence


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        pytest.param(["-hset", "-zadd", "-lpop"], "hset, lpop, zadd", id="several"),
        pytest.param(["-client|setname"], "client|setname", id="the name of a connection"),
        pytest.param(["-select"], "select", id="another database than the first"),
        pytest.param(["-@scripting"], "eval, evalsha, script|exists, script|load", id="a category"),
        pytest.param(["resetkeys", "~other:*"], "use the keys dramatiq*", id="keys"),
        pytest.param(["resetkeys", "%R~dramatiq*"], "use the keys dramatiq*", id="keys to read only"),
    ],
)
def test_what_the_queues_lack(user: User, rules: list[str], named: str) -> None:
    """All of it at once, also where the connection itself needs it, without the user's name and password."""
    with connect(user(*BROKER, *rules)(1)) as client:
        [sentence] = check_broker(client)
    assert named in sentence
    assert "app" not in sentence
    assert "pass" not in sentence


def test_a_look_changes_nothing(user: User, server: EmbeddedRedis) -> None:
    """Commands are judged and not done."""
    with connect(user("~*", "+@all")(0)) as client, redis.Redis.from_url(server.url) as owner:
        check_ledger(client)
        check_broker(client)
        assert owner.dbsize() == 0


def test_the_least_rights_are_enough_for_the_ledger(
    user: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole onboarding, acts of people, the audit and the commands that look need no more than what is asked for."""
    url = user(*LEDGER)(0)
    with connect(url) as client:
        world = World(client)
        world.onboard("k-1")
        world.submit("k-2", lane="bulk")
        world.act("k-2", "cancel", reason="a test")
        world.drain()
        assert list(Auditor(world.ledger, world.policy, wait=lambda: None, shift_ms=lambda: world.shift_ms).run()) == []
    monkeypatch.setenv("ONBOARDING_REDIS_URL", url)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", world.key)
    for words in ("list", "status k-1", "history k-1", "find k-1", "imports", "events", "refused", "audit k-1"):
        assert main(words.split()) == 0, capsys.readouterr().err


@pytest.mark.parametrize("rules", [BROKER, SAFE], ids=["the least rights", "nothing dangerous"])
def test_g11_a_restricted_user(user: User, server: EmbeddedRedis, rules: tuple[str, ...], client: redis.Redis) -> None:
    """G11: jobs, delays, refusals, dead workers and the inventory do without KEYS and whatever else is forbidden."""
    url = user(*rules)(1)
    owner = redis.Redis.from_url(server.url_for(1))
    owner.config_resetstat()
    floor = Floor(client, url)
    try:
        floor.send(a_job("k-1"))
        delayed(floor, "k-2", delay_ms=10)
        floor.put(b"\x80pickle")
        owner.hset("dramatiq:bulk.msgs", "x", written(a_message()))  # type: ignore[arg-type]
        owner.sadd("dramatiq:__acks__.somebody.bulk", "x")
        owner.zadd("dramatiq:__heartbeats__", {"somebody": int(time.time() * 1000) - 31_000})
        owner.set("of another program", 1)
        floor.start()
        floor.accepted("k-1", "k-2", "odd")
        eventually(lambda: floor.refusals.count() == 1)
        found = look(floor.workers[0].broker)  # type: ignore[arg-type]
        assert (found.stuck(), found.keys) == ([], 1)
        assert "cmdstat_keys" not in owner.info("commandstats")
        with connect(url) as asked:
            assert check_broker(asked) == ()
    finally:
        floor.stop()
        floor.producer.close()
        floor.producer.client.close()
        owner.close()


def test_a_worker_does_not_start_with_a_user_who_lacks_something(
    user: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """G11: `onboarding worker` says at its start, and `doctor` at any time, what is missing."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", user("~*", "+@all", "-zadd", "-hkeys")(0))
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", new_key())
    monkeypatch.setenv("IRON_BASE_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("IRON_API_KEY", "sandbox-key")
    run = subprocess.run([sys.executable, "-m", "ops.cli", "worker"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "may not run hkeys, zadd" in run.stderr
    monkeypatch.setenv("ONBOARDING_REDIS_URL", user("~*", "+@all")(0))
    monkeypatch.setenv("ONBOARDING_BROKER_URL", user("~*", "+@all", "-hstrlen")(1))
    for part in ("worker", "gateway"):  # in a process each: they set up logs for good
        run = subprocess.run(
            [sys.executable, "-m", "ops.cli", part], capture_output=True, text=True, check=False, timeout=60
        )
        assert run.returncode in {1, 2}
        assert "may not run hstrlen, which the queues need" in run.stderr
    user("~*", "+@all", "-zadd", "-hkeys")
    assert main(["doctor", "--json"]) == 1
    said = capsys.readouterr().out
    assert '"check": "redis", "state": "broken"' in said
    assert said.count("may not run hkeys, zadd") == 2
