"""`onboarding doctor`: everything well, and each thing that is not, with what it endangers and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ops.cli import main
from ops.local.embedded import EmbeddedRedis
from ops.sandbox import SandboxTransport
from pipelines.job import Problem
from pipelines.reidentification import ReidentificationPolicy
from pipelines.reidentification.days import Interval
from tests.integration.test_reidentify import in_time
from tests.receivers import Post
from tests.world import API_KEY, BASE_URL, World, notifying
from workers.budget.gate import Gate
from workers.intake.rejections import Refusals
from workers.ledger import PREFIX
from workers.operate.doctor import examined
from workers.operate.doctor.outward import FAILING_S, MOVING_S, endpoints, links, refused, reidentification
from workers.operate.preflight import WAITAOF_RELEASE, product_of, release_of
from workers.reidentification.policy_store import Mover, proposed, store
from workers.secrets.tokens import Role, setting_of
from workers.secrets.vault import new_key

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
            "IRON_BASE_URL": BASE_URL.replace("http:", "https:"),
            "IRON_API_KEY": API_KEY,
            "IRON_WEBHOOK_SECRET": "whsec_ZG9jdG9ycy10ZXN0LXNlY3JldA",
            "ONBOARDING_PUBLIC_URL": "https://onboarding.example.com",
        }
        for name, value in (right | settings).items():
            monkeypatch.setenv(name, value)
        found: dict[str, list[Any]] = {}
        for check in examined(transport or SandboxTransport(notifying())):
            found.setdefault(check.name, []).append(check)
        return found

    return one


def test_all_is_well(look: Look) -> None:
    """With everything right, every check is well, and what an acknowledged job survives is told."""
    found = look()
    assert {check.state for checks in found.values() for check in checks} == {"ok"}
    assert set(found) >= {
        *(
            "settings",
            "redis",
            "durability",
            "memory",
            "clocks",
            "queue",
            "workers",
            "calls",
            "sweep",
            "iron",
            "webhooks",
        ),
        *("tokens", "endpoints", "refused", "reidentification", "links"),
    }
    assert "survives a crash of Redis" in found["durability"][0].text
    assert "1 submitter" in found["tokens"][0].text


@pytest.mark.parametrize(
    ("settings", "name", "state", "words"),
    [
        ({"ONBOARDING_REDIS_URL": "redis://127.0.0.1:1/0"}, "redis", "broken", "Start it"),
        ({"ONBOARDING_BROKER_URL": "redis://127.0.0.1:1/1"}, "queue", "broken", "Start it"),
        ({"ONBOARDING_REDIS_URL": ""}, "settings", "broken", "ONBOARDING_REDIS_URL is not set"),
        ({"ONBOARDING_SETTLE_S": "soon"}, "settings", "broken", "ONBOARDING_SETTLE_S is malformed"),
        ({"ONBOARDING_ENCRYPTION_KEYS": ""}, "settings", "warning", "no worker and no gateway starts here"),
        ({"ONBOARDING_API_TOKENS": ""}, "tokens", "warning", "lets nobody in"),
        ({"IRON_WEBHOOK_SECRET": ""}, "webhooks", "warning", "refuses Iron's webhooks"),
        ({"ONBOARDING_SWEEP_INTERVAL_S": "0"}, "sweep", "warning", "goes unnoticed"),
        ({"IRON_API_KEY": ""}, "iron", "warning", "not asked"),
        ({"IRON_BASE_URL": "http://iron.example/api"}, "settings", "broken", "in the clear"),
    ],
)
def test_a_setting_that_is_not_right(settings: dict[str, str], name: str, state: str, words: str, look: Look) -> None:
    """What is wrong with the settings is told by name, with what it endangers."""
    [check, *_] = [one for one in look(**settings)[name] if one.state != "ok"]
    assert check.state == state
    assert words in check.text


def test_the_server_is_named(look: Look, facts: dict[str, Any]) -> None:
    """Product and release of the server, as it says itself."""
    [check] = look()["redis"]
    assert check.text.startswith(f"{product_of(facts)} at redis://127.0.0.1:")
    assert ("Valkey" in check.text) == (facts.get("server_name") == "valkey")


def test_waiting_for_the_disk(look: Look, facts: dict[str, Any]) -> None:
    """A server older than WAITAOF is told before it is relied on; on any other the setting is as good as it says."""
    found = look(ONBOARDING_WAITAOF="local")
    checks = found["redis"] + found["durability"]
    states = {check.state for check in checks}
    if release_of(facts) < WAITAOF_RELEASE:
        assert "broken" in states
        assert any("needs Redis 7.2" in check.text for check in checks)
    else:
        assert states == {"ok"}
    broken = look(ONBOARDING_WAITAOF="replica")["redis"]
    assert any("asks for a replica, and the server at" in check.text for check in broken)


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


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Check IRON_API_KEY: the API key"),
        (403, "Check IRON_API_KEY: the API key"),
        (400, "Check IRON_API_VERSION first"),
        (404, "Check IRON_BASE_URL"),
        (302, "Check IRON_BASE_URL"),
        (200, "Check IRON_BASE_URL"),
        (500, "does not answer properly"),
        (429, "does not answer properly"),
    ],
)
def test_iron_that_does_not_answer(status: int, words: str, look: Look) -> None:
    """Iron's refusals name the setting that they are likely about; its faults are told; nothing is lost by either."""
    [check] = look(httpx.MockTransport(lambda _: httpx.Response(status, text="<html>")))["iron"]
    assert check.state == "broken"
    assert words in check.text
    assert "nothing is lost" in check.text


def test_iron_that_cannot_be_reached(look: Look) -> None:
    """An address that nobody answers at is told with its setting, and without a password that stands in it."""
    with httpx.HTTPTransport() as transport:
        [check] = look(transport, IRON_BASE_URL="http://ada:marker@127.0.0.1:1/api")["iron"]
    assert check.state == "broken"
    assert check.text.startswith("Iron at http://127.0.0.1:1/api takes no call of ours")
    assert "Check IRON_BASE_URL, and the network" in check.text
    assert "marker" not in check.text


def test_iron_that_answers_by_another_version(look: Look) -> None:
    """A version that Iron echoes and nobody set is a warning with both; one that it does not say is well."""
    for echoed, state in (("2025-03-13", "warning"), ("2026-07-01", "ok"), ("", "ok"), ("none of these", "ok")):
        answer = httpx.Response(200, json={"items": []}, headers={"X-API-Version": echoed})
        [check] = look(httpx.MockTransport(lambda _, answer=answer: answer))["iron"]
        assert check.state == state
        assert ("IRON_API_VERSION is 2026-07-01, and Iron answers by 2025-03-13" in check.text) == (state == "warning")


@pytest.mark.parametrize(
    ("breaker", "state", "words"),
    [
        ({}, "ok", "is closed"),
        ({"opened": 1, "retry_at": 1}, "broken", "5xx"),
        ({"opened": 1, "retry_at": 1, "refusal": 403}, "broken", "rejects every call (HTTP 403). Check IRON_API_KEY"),
    ],
)
def test_workers_calls(breaker: dict[str, int], state: str, words: str, look: Look, client: redis.Redis) -> None:
    """What the breaker knows of the workers' calls is told, also where the settings here are right."""
    if breaker:
        client.hset(f"{PREFIX}pace", mapping=breaker)
    found = look()
    [check] = found["calls"]
    assert check.state == state
    assert words in check.text
    assert found["iron"][0].state == "ok"


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


# --- what others get -------------------------------------------------------------------------------------------------


@pytest.fixture
def timed(client: redis.Redis) -> World:
    """A whole pipeline in this process, whose ledger and Iron agree about the time."""
    return in_time(World(client))


@pytest.fixture
def post(client: redis.Redis) -> Post:
    return Post(client)


def texts(post: Post, kept_s: float = 30 * 86_400) -> list[str]:
    """What is wrong with the endpoints, at the test's time."""
    return [check.text for check in endpoints(post.ledger, kept_s) if check.state == "warning"]


def test_an_endpoint_that_is_paused(look: Look, post: Post) -> None:
    """It is told with who and why, what that endangers, and the command that resumes it."""
    assert "No endpoint" in look()["endpoints"][0].text
    post.endpoint("crm")
    post.endpoint("other")
    assert look()["endpoints"][0].text == "Events are delivered to 2 endpoints."
    post.endpoints.pause("crm", by="bob", reason="it moves")
    [check] = look()["endpoints"]
    assert check.state == "warning"
    for words in ("crm is paused (by bob: it moves)", "older than 30 days", "`onboarding endpoints resume crm`"):
        assert words in check.text


def test_an_endpoint_that_fails(post: Post) -> None:
    """A failure is told when it lasts, with what the receiver answers; a short one is not."""
    receiver = post.endpoint("crm", answers=lambda _: httpx.ConnectError("refused"))
    post.tell("k-1")
    dispatcher = post.dispatcher(receiver)
    post.run(dispatcher, seconds=FAILING_S / 2)
    assert texts(post) == []
    post.run(dispatcher, seconds=3 * 3_600)
    [text] = texts(post)
    assert "has accepted nothing for 3.1 hours (ConnectError)" in text
    assert "`onboarding endpoints resume crm`" in text


def test_an_endpoint_that_is_behind(post: Post) -> None:
    """Events that nobody delivers are told after some minutes; one whose events are refused, with their number."""
    receiver = post.endpoint("crm", answers=lambda told: 400 if told["subject"] == "k-1" else 200)
    post.tell("k-1", "k-2")
    post.shift_ms += 60_000
    assert texts(post) == []
    post.shift_ms += 600_000
    [text] = texts(post)
    assert "are 11 minutes late" in text
    post.run(post.dispatcher(receiver))
    [text] = texts(post)
    assert "refuses events of 1 onboarding;" in text


def test_jobs_that_were_refused(look: Look, world: World) -> None:
    """Refusals of the last day are counted; a day later they are history."""
    for number in range(2):
        Refusals(world.ledger).note(f"m-{number}", {"idempotency_key": "k"}, [Problem("/customer", "missing", "x")])
    [check] = look()["refused"]
    assert (check.state, "2 jobs that came as messages were refused" in check.text) == ("warning", True)
    assert "`onboarding refused`" in check.text
    world.advance(86_401)
    assert refused(world.ledger).state == "ok"


@pytest.mark.parametrize(
    ("url", "waiting", "state", "words"),
    [
        (None, False, "ok", "no customer waits"),
        (None, True, "warning", "1 customer has something to do"),
        ("https://go.example.com/x", True, "ok", "lead to go.example.com, by https"),
        ("http://127.0.0.1:8700", True, "ok", "this machine alone"),
        ("http://localhost:8700", True, "ok", "this machine alone"),
        ("http://[::1]:8700", True, "ok", "this machine alone"),
    ],
)
def test_where_customers_links_lead(world: World, url: str | None, waiting: bool, state: str, words: str) -> None:
    """A public address is wanted once a customer has something to do, and https wherever it leaves the machine."""
    if waiting:
        world.submit(tag="manual")
        world.run_until("k-1", "identification_pending")
    check = links(world.ledger, url)
    assert check.state == state
    assert words in check.text


POLICY = ReidentificationPolicy(enabled=True, max_per_day=5, notice_days=0, tiers={"standard": Interval(months=12)})


def in_force(world: World, **changes: Any) -> None:
    """Put a policy in force, and move the due times of those it concerns."""
    store(world.ledger, proposed(world.ledger, replace(POLICY, **changes), by="ada"))
    mover = Mover(world.ledger, world.policy.poll_far_s)
    while not mover.run_once().done:
        pass


def behind(world: World) -> list[str]:
    """What is wrong with re-identification, at the test's time."""
    return [check.text for check in reidentification(world.ledger) if check.state == "warning"]


def test_a_policy_that_is_kept(timed: World) -> None:
    """With everybody in time, the policy and the day's starts are told."""
    in_force(timed)
    timed.onboard()
    [check] = reidentification(timed.ledger)
    assert check.state == "ok"
    assert "0 of at most 5 started today" in check.text


def test_nobody_starts_what_is_due(timed: World) -> None:
    """A year on, with no worker in all the time: who is past the date and how to find out."""
    in_force(timed)
    timed.onboard()
    timed.advance(380 * 86_400)
    [text] = behind(timed)
    assert text.startswith("1 customer is past the date of the policy")
    assert "`onboarding worker`" in text


def test_a_backlog_that_is_being_worked_off(timed: World) -> None:
    """Whose date was over when the policy came is spread over some days, and is told when these are over."""
    timed.onboard()
    timed.advance(380 * 86_400)
    in_force(timed, backlog_days=10)
    assert behind(timed) == []
    timed.advance(5 * 86_400)
    assert behind(timed) == []
    timed.advance(10 * 86_400)
    [text] = behind(timed)
    assert text.startswith("1 customer is past the date")


def test_nobody_asks_for_what_is_due(timed: World) -> None:
    """Where the policy leaves starts to a scheduler, its command is named."""
    in_force(timed, automatic=False)
    timed.onboard()
    timed.advance(380 * 86_400)
    [text] = behind(timed)
    assert "`onboarding reidentify --due`" in text


def test_the_cap_is_too_low(timed: World) -> None:
    """Where more fall due than may start, the cap is named."""
    in_force(timed)
    timed.onboard()
    timed.advance(380 * 86_400)
    timed.client.zadd(f"{PREFIX}waiting:start", {"k-1": 1})
    [text] = behind(timed)
    assert "more fall due than the 5 that may start in a day" in text
    assert "max_per_day" in text


def test_the_lane_does_not_move(timed: World) -> None:
    """A start that is due and not taken is told; a paused lane with who paused it, whatever is due."""
    in_force(timed)
    timed.client.zadd(f"{PREFIX}due:reidentify", {"k-1": timed.ledger.now_ms() - 2 * 3_600_000})
    [text] = behind(timed)
    assert "has been due for 2.0 hours" in text
    Gate(timed.ledger).pause(["reidentify"], by="ada")
    [text] = behind(timed)
    assert "ada has paused the lane reidentify" in text


def test_a_policy_whose_dates_are_not_entered(timed: World) -> None:
    """A policy that no worker has carried through is told once that should have happened."""
    store(timed.ledger, proposed(timed.ledger, POLICY, by="ada"))
    assert behind(timed) == []
    timed.advance(MOVING_S + 1)
    [text] = behind(timed)
    assert "dates are not entered" in text


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
