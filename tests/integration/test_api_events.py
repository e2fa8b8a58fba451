"""The event stream over HTTP: pages, waiting, cursors, and what was refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis

from ops.gateway.api import shapes
from ops.gateway.api.events import Tail
from pipelines.job import Problem
from tests.gateway import Gateway
from tests.world import World
from workers.events.stream import STREAM, EventStream
from workers.intake.rejections import Refusals
from workers.ledger import PREFIX


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


def read(gateway: Gateway, query: str = "", status: int = 200) -> dict[str, Any]:
    answer = gateway.get(f"/v1/events{query}", role="viewer")
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def tell(client: redis.Redis, key: str, id_: str = "*") -> str:
    added: Any = client.xadd(STREAM, {"key": key, "what": "in_review in_review iron 4"}, id_)
    return str(added.decode())


def test_reading_on(gateway: Gateway) -> None:
    """Page after page, each event comes once, as the CloudEvent that endpoints get."""
    ids = [tell(gateway.world.client, f"k-{number}") for number in range(5)]
    first = read(gateway, "?limit=2")
    second = read(gateway, f"?limit=2&after={first['next']}")
    third = read(gateway, f"?after={second['next']}")
    last = read(gateway, f"?after={third['next']}")
    pages = (first, second, third)
    assert [event["id"] for page in pages for event in page["events"]] == ids
    assert (last["events"], last["next"]) == ([], ids[-1])
    [*_, event] = EventStream(gateway.world.ledger).after()
    assert third["events"][-1] == event.cloud_event("urn:onboarding:default")
    for page in (*pages, last):
        shapes.Events.model_validate(page, strict=True, extra="forbid")


def test_nothing_personal(gateway: Gateway) -> None:
    """What a real onboarding tells holds neither the link nor anything of the customer."""
    gateway.world.submit(labels={"source": "crm"})
    record = gateway.world.run_until("k-1", "identification_pending")
    text = gateway.get("/v1/events", role="viewer").text
    assert "identification_pending" in text
    for secret in (record.link, record.customer_id, "example.com", "Ada", "crm"):
        assert secret
        assert secret not in text


def test_waiting_ends_with_an_event(gateway: Gateway) -> None:
    """Callers who wait are answered as soon as there is an event, all of them."""

    async def wait() -> list[httpx.Response]:
        waiting = [
            asyncio.create_task(gateway.ask("GET", "/v1/events?after=newest&wait=30", role="viewer")) for _ in range(20)
        ]
        while not any(getattr(task.get_coro(), "cr_await", None) for task in waiting):
            await asyncio.to_thread(lambda: None)
        deadline = time.monotonic() + 20
        while not all(task.done() for task in waiting):  # callers begin to wait one by one
            assert time.monotonic() < deadline
            await asyncio.to_thread(tell, gateway.world.client, "k-1")
            await asyncio.wait(waiting, timeout=0.2)
        return [task.result() for task in waiting]

    started = time.monotonic()
    for answer in gateway.loop.run(wait()):
        assert {event["subject"] for event in answer.json()["events"]} == {"k-1"}
    assert time.monotonic() - started < 20


def test_waiting_ends_with_the_time(gateway: Gateway) -> None:
    """When nothing comes the answer is empty, and the cursor is the one to go on with."""
    at = tell(gateway.world.client, "k-1")
    started = time.monotonic()
    assert read(gateway, "?after=newest&wait=0.3") == {"events": [], "next": at}
    assert 0.3 <= time.monotonic() - started < 10


def test_waiting_ends_with_the_gateway(gateway: Gateway) -> None:
    """When the gateway stops, whoever waits is answered at once."""

    async def wait() -> httpx.Response:
        task = asyncio.create_task(gateway.ask("GET", "/v1/events?wait=30", role="viewer"))
        await asyncio.wait([task], timeout=0.5)
        gateway.app.state.leave()
        return await task

    started = time.monotonic()
    assert gateway.loop.run(wait()).json() == {"events": [], "next": "0-0"}
    assert time.monotonic() - started < 10


def test_waiting_while_the_ledger_is_away(world: World) -> None:
    """A look that fails lets everybody go, who then ask by themselves and hear what is the matter."""

    class Away(EventStream):
        def newest(self) -> str:
            raise redis.ConnectionError("away")

    async def wait() -> None:
        await asyncio.gather(*(Tail(Away(world.ledger)).beyond("0-0", 30) for _ in range(3)))

    started = time.monotonic()
    asyncio.run(wait())
    assert time.monotonic() - started < 10


def test_one_look_serves_all(world: World) -> None:
    """However many wait, the stream is looked at by one task."""
    looks: list[float] = []

    class Counted(EventStream):
        def newest(self) -> str:
            looks.append(time.monotonic())
            return super().newest()

    async def wait() -> None:
        tail = Tail(Counted(world.ledger))
        await asyncio.gather(*(tail.beyond("0-0", 0.5) for _ in range(100)))

    asyncio.run(wait())
    assert 0 < len(looks) <= 8


@pytest.mark.parametrize("query", ["?after=x", "?after=1", "?after=", "?after=%24", "?after=1-0-0"])
def test_a_cursor_that_is_none(gateway: Gateway, query: str) -> None:
    """What is no id of an event is refused."""
    assert read(gateway, query, 400)["code"] == "cursor_malformed"


@pytest.mark.parametrize("query", ["?limit=0", "?limit=501", "?wait=-1", "?wait=31", "?wait=x", "?wait=nan"])
def test_parameters_out_of_bounds(gateway: Gateway, query: str) -> None:
    """A page and a wait have bounds."""
    assert read(gateway, query, 422)["code"] == "invalid_request"


def test_events_that_are_gone(gateway: Gateway) -> None:
    """Whoever was away for longer than events are kept is told, and from where to go on."""
    client = gateway.world.client
    tell(client, "k-1", "9-0")
    client.set(f"{PREFIX}events_gone", "8-0")
    gone = read(gateway, "?after=5-0", 410)
    assert (gone["code"], gone["oldest"]) == ("events_gone", "8-0")
    assert [event["id"] for event in read(gateway, f"?after={gone['oldest']}")["events"]] == ["9-0"]
    assert [event["id"] for event in read(gateway)["events"]] == ["9-0"]


def test_what_was_refused(gateway: Gateway) -> None:
    """Refused jobs are listed with their reasons, the newest first."""
    refusals = Refusals(gateway.world.ledger)
    for number in range(3):
        gateway.world.shift_ms += 1_000
        refusals.note(f"m-{number}", {"idempotency_key": f"k-{number}"}, [Problem("/customer", "missing", "Missing.")])
    answer = gateway.get("/v1/refused?limit=2", role="viewer").json()
    shapes.Refused.model_validate(answer, strict=True, extra="forbid")
    assert [one["idempotency_key"] for one in answer["refused"]] == ["k-2", "k-1"]
    assert answer["refused"][0]["reasons"] == [{"pointer": "/customer", "code": "missing", "text": "Missing."}]
