"""The first call: a worker says at its start how Iron takes our calls, and which setting is likely wrong."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from structlog.testing import capture_logs

from pipelines.iron import Iron
from tests.integration.test_cli_parts import PATIENCE_S, lines, started, until
from tests.world import API_KEY, BASE_URL, World, cut_off
from workers.budget.gate import HELD_BACK, Gate
from workers.ledger import PREFIX
from workers.logs import ALLOWED
from workers.operate.first_call import ASKED_S, AWAY_S, FirstCall
from workers.secrets.vault import new_key

Answers = Callable[[httpx.Request], httpx.Response]
#: A customer in an answer, of whom nothing may be told.
PERSON = {"id": "c-1", "status": "Active", "email": "ada-marker@example.com"}
NO_ECHO = httpx.Response(200, json={"items": [PERSON]})
#: A key that no line may show.
KEY = "a-secret-marker"


def raises(error: type[httpx.RequestError]) -> Answers:
    """Fail as a transport does."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise error("ada-marker", request=request)

    return answer


def first_call(world: World, answer: Answers | httpx.Response, **changes: str) -> tuple[FirstCall, list[httpx.Request]]:
    """A first call to an Iron that answers so, and the requests that it gets; waits turn this world's clock."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer if isinstance(answer, httpx.Response) else answer(request)

    iron = replace(Iron(httpx.MockTransport(handle), BASE_URL, KEY), **changes)
    return FirstCall(world.ledger, iron, sleep=world.advance), asked


def said(call: FirstCall) -> list[dict[str, Any]]:
    """Make the call; answers the log's lines."""
    with capture_logs() as written:
        call.run_once()
    assert "marker" not in str(written)
    assert {name.removeprefix("log_") for line in written for name in line} <= ALLOWED
    return [dict(line) for line in written]


@pytest.mark.parametrize(
    ("answer", "event", "level", "setting"),
    [
        (httpx.Response(401, text="authorization error: marker"), "iron.refused", "error", "IRON_API_KEY"),
        (httpx.Response(403), "iron.refused", "error", "IRON_API_KEY"),
        (httpx.Response(400, json="unsupported marker"), "iron.refused", "error", "IRON_API_VERSION"),
        (httpx.Response(422), "iron.refused", "error", "IRON_API_VERSION"),
        (httpx.Response(404), "iron.refused", "error", "IRON_BASE_URL"),
        (httpx.Response(405), "iron.refused", "error", "IRON_BASE_URL"),
        (httpx.Response(302, headers={"location": "/marker"}), "iron.refused", "error", "IRON_BASE_URL"),
        (httpx.Response(200, text="<html>marker"), "iron.refused", "error", "IRON_BASE_URL"),
        (httpx.Response(200, json={"hello": "marker"}), "iron.refused", "error", "IRON_BASE_URL"),
        (raises(httpx.ConnectError), "iron.unreachable", "error", "IRON_BASE_URL"),
        (raises(httpx.ReadTimeout), "iron.away", "warning", None),
        (httpx.Response(503, text="marker"), "iron.away", "warning", None),
    ],
)
def test_what_is_wrong(
    world: World, answer: Answers | httpx.Response, event: str, level: str, setting: str | None
) -> None:
    """One call, one line: Iron's status, the setting that it is likely about and the remedy, and nothing else of it."""
    call, asked = first_call(world, answer)
    [line] = said(call)
    assert len(asked) == 1
    assert (line["event"], line["log_level"], line.get("setting")) == (event, level, setting)
    assert line["status"] == (answer.status_code if isinstance(answer, httpx.Response) else None)
    assert (f"Check {setting}" in line.get("remedy", "")) == (setting is not None)


def test_all_is_well(world: World) -> None:
    """The line of a call that Iron accepts has the version that Iron names; the call asks for one customer at most."""
    call, asked = first_call(world, httpx.Response(200, json={"items": []}, headers={"X-API-Version": "2026-07-01"}))
    assert said(call) == [{"event": "iron.accepted", "log_level": "info", "api_version": "2026-07-01"}]
    assert [request.url.path for request in asked] == ["/api/customers"]
    assert dict(asked[0].url.params) == {"page_size": "1"}
    call, _ = first_call(world, NO_ECHO, api_key="b-marker")
    assert said(call) == [{"event": "iron.accepted", "log_level": "info", "api_version": None}]


def test_another_version_answers(world: World) -> None:
    """Where Iron answers by another version than the one that is set, a warning names both."""
    call, _ = first_call(world, httpx.Response(200, json={"items": []}, headers={"X-API-Version": "2025-03-13"}))
    accepted, differs = said(call)
    assert (accepted["event"], accepted["api_version"]) == ("iron.accepted", "2025-03-13")
    assert (differs["event"], differs["log_level"]) == ("iron.version_differs", "warning")
    assert (differs["setting"], differs["api_version"]) == ("IRON_API_VERSION", "2025-03-13")
    assert "IRON_API_VERSION is 2026-07-01, and Iron answers by 2025-03-13" in differs["remedy"]


def test_one_process_of_many_asks(world: World) -> None:
    """Of all that start together one asks; one with another setting asks too, and the key is nowhere in Redis."""
    first, asked = first_call(world, NO_ECHO)
    other, asked_again = first_call(world, NO_ECHO)
    assert [len(said(call)) for call in (first, other)] == [1, 0]
    assert (len(asked), len(asked_again)) == (1, 0)
    for change in ({"api_key": "b-marker"}, {"api_version": "2026-08-01"}, {"base_url": "http://iron.test/other"}):
        call, asked = first_call(world, NO_ECHO, **change)
        said(call)
        assert len(asked) == 1
    names = list(world.client.scan_iter(f"{PREFIX}first_call:*"))
    assert len(names) == 4
    assert not [name for name in names if b"marker" in name or b"iron" in name]
    assert all(0 < world.client.ttl(name) <= ASKED_S for name in names)


def test_under_the_pace(world: World) -> None:
    """A 429 closes the tap for the fleet, and the call comes again when Iron wants it."""
    answers = iter([httpx.Response(429, headers={"Retry-After": "30"}), NO_ECHO])
    call, asked = first_call(world, lambda _: next(answers))
    assert [line["event"] for line in said(call)] == ["iron.accepted"]
    assert len(asked) == 2
    assert 30_000 <= world.shift_ms <= 31_500


def test_the_last_answer_counts(world: World) -> None:
    """A call that comes again after a 429 and gets no answer has no status."""
    answers: list[Answers] = [raises(httpx.ReadTimeout), lambda _: httpx.Response(429)]

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.pop()(request)

    call, _ = first_call(world, answer)
    [line] = said(call)
    assert (line["event"], line["status"], line["code"]) == ("iron.away", None, "answer_lost")


@pytest.mark.parametrize("reason", ["paused", "closed", "open"])
def test_held_back(world: World, reason: str) -> None:
    """While no call may leave none is made, and the log says so once and why."""
    assert reason in HELD_BACK
    call, asked = first_call(world, NO_ECHO)
    if reason == "paused":
        Gate(world.ledger).pause(["sweep"], by="ada-marker")
    elif reason == "closed":
        Gate(world.ledger).close_tap(3_600)
    else:
        world.client.hset(f"{PREFIX}pace", mapping={"opened": 1, "retry_at": 1})
    assert said(call) == [{"event": "first_call.held_back", "log_level": "warning", "reason": reason}]
    assert asked == []


def test_while_iron_rejects_all(world: World) -> None:
    """Where the breaker knows of a refusal, its status and the likely setting are said at once, without a call."""
    call, asked = first_call(world, NO_ECHO)
    world.client.hset(f"{PREFIX}pace", mapping={"opened": 1, "retry_at": 1, "refusal": 401})
    [line] = said(call)
    assert (line["event"], line["status"], line["setting"]) == ("first_call.held_back", 401, "IRON_API_KEY")
    assert asked == []


def test_redis_away(world: World) -> None:
    """While Redis is away the call waits for it, and is made when it is back."""
    call, asked = first_call(world, NO_ECHO)
    back = cut_off(world.ledger)
    assert call.turn() == AWAY_S
    back()
    assert call.turn() == 0.0
    assert len(asked) == 1


def test_redis_goes_away_meanwhile(world: World) -> None:
    """A process that has begun to ask goes on itself when Redis is back."""
    back: list[Callable[[], None]] = []

    def answer(_: httpx.Request) -> httpx.Response:
        if back:
            return NO_ECHO
        back.append(cut_off(world.ledger))
        return httpx.Response(429)

    call, asked = first_call(world, answer)
    assert call.turn() == AWAY_S
    back[0]()
    assert call.turn() == 0.0
    assert len(asked) == 2


def test_it_delays_no_start(world: World) -> None:
    """Whoever starts the call goes on while Iron is silent."""
    asked, silent = threading.Event(), threading.Event()

    def answer(_: httpx.Request) -> httpx.Response:
        asked.set()
        silent.wait(PATIENCE_S)
        return NO_ECHO

    call, _ = first_call(world, answer)
    call.start()
    assert asked.wait(PATIENCE_S)
    silent.set()
    call.stop()
    assert not call._thread.is_alive()


def test_it_delays_no_end(world: World) -> None:
    """A process that ends while the call waits for Iron ends at once; the call is never made."""
    Gate(world.ledger).close_tap(60)
    waits = threading.Event()

    class Waiting(FirstCall):
        """Says when it waits."""

        def _wait(self, seconds: float) -> None:
            waits.set()
            super()._wait(seconds)

    call = Waiting(world.ledger, Iron(world.transport, BASE_URL, API_KEY))
    call.start()
    assert waits.wait(PATIENCE_S)
    call.stop()
    assert not call._thread.is_alive()
    assert world.sandbox.traffic.total == 0


def test_what_it_does_not_foresee(world: World) -> None:
    """An error of our own ends the thread with one line, and not the process; it does not ask again and again."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise KeyError("unforeseen")

    call, asked = first_call(world, answer)
    with capture_logs() as written:
        call.start()
        call._thread.join(PATIENCE_S)
    assert [line["event"] for line in written] == ["background.failed"]
    assert len(asked) == 1


# --- as processes ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a sandbox that runs as a process."""
    with started(["sandbox", "--port", "0"], tmp_path_factory.mktemp("sandbox"), {}) as (_, log):
        found = re.search(r"http://[^/ ]+", until(lambda: lines(log, "ready on"), "the sandbox")[0])
        assert found
        yield found[0]


@pytest.mark.parametrize(
    ("changes", "event", "status", "setting"),
    [
        ({}, "iron.accepted", None, None),
        ({"IRON_API_VERSION": "2020-01-01"}, "iron.refused", 400, "IRON_API_VERSION"),
        ({"IRON_API_KEY": "marker"}, "iron.refused", 401, "IRON_API_KEY"),
        ({"IRON_BASE_URL": "{address}/elsewhere"}, "iron.refused", 404, "IRON_BASE_URL"),
        ({"IRON_BASE_URL": "http://127.0.0.1:1/api"}, "iron.unreachable", None, "IRON_BASE_URL"),
    ],
    ids=["right", "version", "key", "address", "away"],
)
def test_what_a_start_and_doctor_print(
    changes: dict[str, str],
    event: str,
    status: int | None,
    setting: str | None,
    address: str,
    tmp_path: Path,
    client: redis.Redis,
    ledger_url: str,
    broker_url: str,
) -> None:
    """The worker's log and doctor name the same setting with the same remedy; the worker runs on, and ends in order."""
    assert client.dbsize() == 0
    settings = {
        "ONBOARDING_REDIS_URL": ledger_url,
        "ONBOARDING_BROKER_URL": broker_url,
        "ONBOARDING_ENCRYPTION_KEYS": new_key(),
        "ONBOARDING_LOG": "json",
        "ONBOARDING_SWEEP_INTERVAL_S": "0",
        "IRON_BASE_URL": f"{address}/api",
        "IRON_API_KEY": "sandbox-key",
    } | {name: value.format(address=address) for name, value in changes.items()}
    with started(["worker", "--processes", "2", "--threads", "1"], tmp_path, settings) as (worker, log):
        until(lambda: lines(log, '"iron\\.'), "the line")
        until(lambda: len(lines(log, "worker.started")) == 2, "both processes")
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
    [line] = map(json.loads, lines(log, '"iron\\.'))
    assert (line["event"], line.get("status"), line.get("setting")) == (event, status, setting)
    with started(["doctor", "--json"], tmp_path, settings) as (doctor, told):
        assert doctor.wait(PATIENCE_S) == (1 if setting else 0)
    [check] = [found for found in map(json.loads, lines(told, "^{")) if found["check"] == "iron"]
    assert line.get("remedy", "accepts the API key, by version 2026-07-01") in check["text"]
    assert check["state"] == ("broken" if setting else "ok")
    assert "marker" not in log.read_text(encoding="utf-8") + told.read_text(encoding="utf-8")
