"""`onboarding doctor`: everything well, and each thing that is not, with what it endangers and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ops.cli import main
from ops.embedded import EmbeddedRedis
from ops.sandbox import ManualClock, Sandbox, SandboxTransport
from tests.support import API_KEY, BASE_URL, World
from workers.checkup import examined
from workers.ledger import PREFIX
from workers.tokens import Role, setting_of
from workers.vault import new_key

Look = Callable[..., dict[str, list[Any]]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, whose settings it may spoil."""
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def look(ledger_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Make all checks with settings that are right but for these; gives the checks by name."""

    def one(transport: httpx.BaseTransport | None = None, **settings: str) -> dict[str, list[Any]]:
        right = {
            "ONBOARDING_REDIS_URL": ledger_url,
            "ONBOARDING_BROKER_URL": broker_url,
            "ONBOARDING_ENCRYPTION_KEYS": new_key(),
            "ONBOARDING_API_TOKENS": setting_of("crm", Role.SUBMITTER, "t"),
            "IRON_BASE_URL": BASE_URL,
            "IRON_API_KEY": API_KEY,
            "IRON_WEBHOOK_SECRET": "whsec_x",
        }
        for name, value in (right | settings).items():
            monkeypatch.setenv(name, value)
        found: dict[str, list[Any]] = {}
        for check in examined(transport or SandboxTransport(Sandbox(ManualClock()))):
            found.setdefault(check.name, []).append(check)
        return found

    return one


def test_all_is_well(look: Look) -> None:
    """With everything right, every check is well, and what an acknowledged job survives is told."""
    found = look()
    assert {check.state for checks in found.values() for check in checks} == {"ok"}
    assert set(found) >= {
        *("settings", "redis", "durability", "memory", "clocks", "queue", "workers", "sweep", "iron", "webhooks"),
        "tokens",
    }
    assert "survives a crash of Redis" in found["durability"][0].text
    assert "1 submitter" in found["tokens"][0].text


@pytest.mark.parametrize(
    ("settings", "name", "state", "words"),
    [
        ({"ONBOARDING_REDIS_URL": "redis://127.0.0.1:1/0"}, "redis", "broken", "start it"),
        ({"ONBOARDING_BROKER_URL": "redis://127.0.0.1:1/1"}, "queue", "broken", "start it"),
        ({"ONBOARDING_REDIS_URL": ""}, "settings", "broken", "ONBOARDING_REDIS_URL is not set"),
        ({"ONBOARDING_SETTLE_S": "soon"}, "settings", "broken", "ONBOARDING_SETTLE_S is malformed"),
        ({"ONBOARDING_ENCRYPTION_KEYS": ""}, "settings", "warning", "no worker and no gateway starts here"),
        ({"ONBOARDING_API_TOKENS": ""}, "tokens", "warning", "lets nobody in"),
        ({"IRON_WEBHOOK_SECRET": ""}, "webhooks", "warning", "refuses Iron's webhooks"),
        ({"ONBOARDING_SWEEP_INTERVAL_S": "0"}, "sweep", "warning", "goes unnoticed"),
        ({"IRON_API_KEY": ""}, "iron", "warning", "not asked"),
        ({"ONBOARDING_WAITAOF": "local"}, "redis", "broken", "needs Redis 7.2"),
    ],
)
def test_a_setting_that_is_not_right(settings: dict[str, str], name: str, state: str, words: str, look: Look) -> None:
    """What is wrong with the settings is told by name, with what it endangers."""
    [check, *_] = [one for one in look(**settings)[name] if one.state != "ok"]
    assert check.state == state
    assert words in check.text


@pytest.mark.parametrize(
    ("command", "name", "state", "words"),
    [
        (["CONFIG", "SET", "appendonly", "no"], "durability", "broken", "appendonly yes"),
        (["CONFIG", "SET", "appendfsync", "no"], "durability", "warning", "half minute"),
        (["CONFIG", "SET", "appendfsync", "always"], "durability", "ok", "power cut (`appendfsync always`)"),
        (["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"], "redis", "broken", "noeviction"),
        (["CONFIG", "SET", "maxmemory", "500000"], "memory", "broken", "no job is accepted"),
    ],
)
def test_a_server_that_is_not_right(
    command: list[str], name: str, state: str, words: str, server: EmbeddedRedis, look: Look
) -> None:
    """What is wrong with Redis is told, with what would be lost and what to set."""
    with redis.Redis.from_url(server.url) as owner:
        owner.execute_command(*command)
    found = look(ONBOARDING_REDIS_URL=server.url_for(0), ONBOARDING_BROKER_URL=server.url_for(1))
    assert [check for check in found[name] if check.state == state and words in check.text], found[name]


@pytest.mark.parametrize(("status", "words"), [(401, "API key"), (500, "no answer of use"), (429, "no answer of use")])
def test_iron_that_does_not_answer(status: int, words: str, look: Look) -> None:
    """Iron's refusals and faults are told, and that nothing is lost by them."""
    [check] = look(httpx.MockTransport(lambda _: httpx.Response(status)))["iron"]
    assert check.state == "broken"
    assert words in check.text


def test_clocks_that_differ(look: Look) -> None:
    """The date of Iron's answer is compared with the clock here."""
    late = {"date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    found = look(httpx.MockTransport(lambda _: httpx.Response(200, json={"items": []}, headers=late)))
    [check] = [one for one in found["clocks"] if one.state == "warning"]
    assert "Iron" in check.text
    assert "behind" in check.text


def test_nobody_works(look: Look, world: World) -> None:
    """What is due and not taken for long says that no worker runs."""
    world.submit()
    world.client.zadd(f"{PREFIX}due:interactive", {"k-1": world.ledger.now_ms() - 120_000})
    [check] = look()["workers"]
    assert check.state == "warning"
    assert "onboarding worker" in check.text


def test_a_sweep_that_does_not_come(look: Look, world: World) -> None:
    """A sweep that should have come long ago is told."""
    world.client.hset(f"{PREFIX}sweep", "finished", world.ledger.now_ms() - 86_400_000)
    [check] = look()["sweep"]
    assert check.state == "warning"
    assert "24.0 hours ago" in check.text


def test_the_command(look: Look, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json one object a line on standard output alone; the status is 1 when something is broken."""
    look()
    assert main(["doctor", "--json"]) == 1  # there is no Iron at the test's address
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert all(set(line) == {"check", "state", "text"} for line in lines)
    assert [line["check"] for line in lines if line["state"] == "broken"] == ["iron"]
    assert main(["doctor"]) == 1
    assert "BROKEN  iron" in capsys.readouterr().err
    assert err == ""
