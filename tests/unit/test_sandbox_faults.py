"""Faults and limits: which calls they hit, what the caller gets, and what is counted; through an httpx client."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ops.sandbox import Fault, Sandbox, SandboxTransport

ADA: dict[str, Any] = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm-1"}


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still."""
    return Sandbox()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client whose calls end in the sandbox."""
    headers = {"X-API-Key": "sandbox-key"}
    with httpx.Client(
        transport=SandboxTransport(sandbox), base_url="https://iron.invalid/api", headers=headers, timeout=10
    ) as client:
        yield client


def create(client: httpx.Client, key: str = "key") -> httpx.Response:
    """Ask for a customer."""
    return client.post("/customers", json=ADA, headers={"IDEMPOTENCY-KEY": key})


def test_a_client_in_process(sandbox: Sandbox, client: httpx.Client) -> None:
    """Status, headers, body and an encoded path pass the transport unchanged."""
    answer = create(client)
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json; charset=utf-8")
    assert client.get("/customers/crm%2D1/external").json() == answer.json()
    assert client.get("/customers", params={"search_term": "crm-1", "page_size": 1}).json()["items"] == [answer.json()]
    assert client.post("/customers", json=ADA).status_code == 400


def test_threads_share_a_sandbox(sandbox: Sandbox, client: httpx.Client) -> None:
    """Many threads with one key make one effect; with keys of their own, one each."""
    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(lambda _: create(client).json()["id"], range(40)))
        others = list(pool.map(lambda number: create(client, f"key-{number}").json()["id"], range(40)))
    assert len(set(same)) == 1
    assert len(set(others)) == 40
    assert sandbox.effects.totals() == {"create_customer": 41}


@pytest.mark.parametrize(
    ("fault", "error", "customers"),
    [
        (Fault(lost="reset"), httpx.ReadError, 0),
        (Fault(lost="reset", when="after"), httpx.ReadError, 1),
        (Fault(lost="timeout"), httpx.ReadTimeout, 0),
        (Fault(lost="timeout", when="after"), httpx.ReadTimeout, 1),
        (Fault(delay_s=11), httpx.ReadTimeout, 1),
    ],
)
def test_lost_answers(
    sandbox: Sandbox, client: httpx.Client, fault: Fault, error: type[Exception], customers: int
) -> None:
    """A lost answer is an error of httpx's own; whether the effect has happened is as the fault says."""
    sandbox.faults.add(fault)
    started = sandbox.clock.now()
    with pytest.raises(error):
        create(client)
    assert len(sandbox.effects) == customers
    assert sandbox.clock.now() - started == (10 if error is httpx.ReadTimeout else 0)


def test_a_slow_answer_takes_the_tests_time(sandbox: Sandbox, client: httpx.Client) -> None:
    """An answer inside the time limit arrives, and the clock has moved by its delay."""
    sandbox.faults.add(Fault(delay_s=9))
    started = sandbox.clock.now()
    assert create(client).status_code == 201
    assert sandbox.clock.now() - started == 9


def test_a_late_request_arrives_all_the_same(sandbox: Sandbox, client: httpx.Client) -> None:
    """A request can reach the provider long after its caller has given up, and then has its effect once."""
    sandbox.faults.add(Fault(late_s=60, times=1))
    with pytest.raises(httpx.ReadTimeout):
        create(client)
    assert len(sandbox.effects) == 0
    sandbox.advance(49)
    assert client.get("/customers/crm-1/external").status_code == 404
    sandbox.advance(1)
    assert client.get("/customers/crm-1/external").status_code == 200
    assert create(client).status_code == 201
    assert [one.replays for one in sandbox.effects] == [1]


def test_a_late_request_meets_its_own_repetition(sandbox: Sandbox, client: httpx.Client) -> None:
    """If the caller has sent it again meanwhile, the late one is only a replay."""
    sandbox.faults.add(Fault(late_s=60, times=1))
    with pytest.raises(httpx.ReadTimeout):
        create(client)
    assert create(client).status_code == 201
    sandbox.advance(60)
    assert [one.replays for one in sandbox.effects] == [1]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_answers_in_html(sandbox: Sandbox, client: httpx.Client, status: int) -> None:
    """Gateway errors are HTML pages."""
    sandbox.faults.add(Fault(status=status, times=1))
    answer = create(client)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html"
    assert "<html>" in answer.text
    assert create(client).status_code == 201


def test_forms_of_injected_errors(sandbox: Sandbox, client: httpx.Client) -> None:
    """500 is the documented object, 401 plain text, a given body is used as it is, a cut one is no JSON."""
    sandbox.faults.add(Fault(status=500, times=1))
    assert set(create(client).json()) == {"message", "trace_id"}
    sandbox.faults.add(Fault(status=401, times=1))
    assert create(client).text == "authorization error"
    sandbox.faults.add(Fault(status=422, body={"why": "because"}, times=1))
    assert create(client).json() == {"why": "because"}
    sandbox.faults.add(Fault(malformed=True, times=1))
    with pytest.raises(json.JSONDecodeError):
        create(client).json()
    assert len(sandbox.effects) == 1


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (7, "7"), (0.5, "0.5")])
def test_429_with_and_without_retry_after(
    sandbox: Sandbox, client: httpx.Client, retry_after: float | None, header: str | None
) -> None:
    """A 429 can say how long to wait, or not; nothing has happened."""
    sandbox.faults.add(Fault(status=429, retry_after=retry_after))
    answer = create(client)
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, header)
    assert len(sandbox.effects) == 0


@pytest.mark.parametrize(
    ("which", "hit"),
    [
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"path": "/customers"}, True),
        ({"path": "/api/customers"}, True),
        ({"path": "/customers/*"}, False),
        ({"operation": "create_customer"}, True),
        ({"operation": "create_signing"}, False),
        ({"idempotency_key": "key"}, True),
        ({"idempotency_key": "other"}, False),
        ({"probability": 0}, False),
        ({"skip": 1}, False),
    ],
)
def test_which_calls_a_fault_hits(sandbox: Sandbox, client: httpx.Client, which: dict[str, Any], hit: bool) -> None:
    """Method, path, operation, key, chance and count select the calls."""
    sandbox.faults.add(Fault.model_validate({"status": 503, **which}))
    assert create(client).status_code == (503 if hit else 201)


def test_counts_and_chances_are_kept(sandbox: Sandbox, client: httpx.Client) -> None:
    """A rule strikes as often as it says and after as many calls; a chance is the same in every run."""
    sandbox.faults.add(Fault(name="twice", status=503, skip=1, times=2))
    assert [create(client).status_code for _ in range(5)] == [201, 503, 503, 201, 201]
    (rule,) = sandbox.faults
    assert (rule["name"], rule["hits"]) == ("twice", 2)
    sandbox.faults.clear()

    def draw() -> list[int]:
        fresh = Sandbox(seed=3)
        fresh.faults.add(Fault(status=503, probability=0.5))
        return [fresh.request("POST", "/api/customers", ADA, key="k").status for _ in range(20)]

    assert draw() == draw()
    assert {201, 503} == set(draw())


def test_a_fault_must_do_something() -> None:
    """A rule without a consequence is a mistake."""
    with pytest.raises(ValueError, match="needs one of"):
        Fault(method="GET")


def test_limits(sandbox: Sandbox, client: httpx.Client) -> None:
    """The limits count all calls in a second, and identifications in a minute, and say when to come again."""
    sandbox.switches.rate_per_second = 3
    assert [client.get("/customers").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    sandbox.advance(1)
    assert client.get("/customers").status_code == 200
    sandbox.switches.rate_per_second = None
    sandbox.switches.identifications_per_minute = 1
    customer_id = create(client).json()["id"]
    path = f"/customers/{customer_id}/identifications/v2"
    assert client.post(path, json={"type": "Link"}, headers={"IDEMPOTENCY-KEY": "a"}).status_code == 201
    sandbox.advance(20)
    refused = client.post(path, json={"type": "Link"}, headers={"IDEMPOTENCY-KEY": "b"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    sandbox.switches.retry_after = False
    refused = client.post(path, json={"type": "Link"}, headers={"IDEMPOTENCY-KEY": "b"})
    assert "retry-after" not in refused.headers


def test_requests_are_counted(sandbox: Sandbox, client: httpx.Client) -> None:
    """Totals by endpoint and status, replays, arrival times and the busiest second can be read."""
    for _ in range(3):
        create(client)
        sandbox.advance(0.4)
    client.get("/customers/00000000-0000-4000-8000-000000000000")
    client.get("/nowhere")
    traffic = sandbox.traffic
    assert (traffic.total, traffic.replays) == (5, 2)
    counted = traffic.as_json()["endpoints"]
    assert isinstance(counted, dict)
    assert counted["POST /customers"] == {"total": 3, "statuses": {"201": 3}}
    assert counted["GET /customers/{id}"] == {"total": 1, "statuses": {"404": 1}}
    assert counted["GET (unknown)"]["total"] == 1
    assert traffic.busiest(endpoint="POST /customers") == 3
    assert len(traffic.times()["POST /customers"]) == 3
    start = str(int(sandbox.clock.wall() - 1.2))
    assert traffic.per_second()[start]["POST /customers"] == 3


def test_an_odd_read(sandbox: Sandbox, client: httpx.Client) -> None:
    """A rule may spoil a read as the switch does, so many times; writes that match are left alone."""
    sandbox.faults.add(Fault(path="/customers*", odd="null", times=2))
    created = create(client).json()
    answers = [client.get(f"/customers/{created['id']}").json() for _ in range(2)]
    assert answers == [None, created]
