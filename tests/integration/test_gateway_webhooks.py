"""Webhooks against the application in this process, on a real Redis.

What is refused changes nothing; what is genuine wakes its record and does no more.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.sandbox import sign
from tests.gateway import SECRET, Gateway
from tests.world import World, contents, cut_off
from workers.ledger import PREFIX, Claim

STRANGER = "0b8f3a52-63e8-4a8b-9d4f-0f6a3e0c7c11"
PATH = "/webhooks/iron"


def body_of(customer_id: Any, type_: str = "customer_status") -> bytes:
    """A delivery's body."""
    return json.dumps({"type": type_, "timestamp": "x", "data": {"customer_id": customer_id, "message": {}}}).encode()


def headers_of(body: bytes, *, secret: str = SECRET, age_s: float = 0) -> dict[str, str]:
    """A delivery's headers."""
    timestamp = str(int(time.time() - age_s))
    signature = sign(secret, timestamp, body)
    return {"webhook-id": "1", "webhook-timestamp": timestamp, "webhook-signature": signature}


def dump(*clients: redis.Redis) -> list[dict[bytes, Any]]:
    """Everything that is in these databases."""
    return [contents(client) for client in clients]


class Iron(Gateway):
    """The gateway, as Iron sees it."""

    def post(self, body: bytes, headers: Any = None) -> httpx.Response:
        """Post a delivery; without headers it is a genuine one."""
        return self.request("POST", PATH, content=body, headers=headers_of(body) if headers is None else headers)

    def deliver(self, customer_id: Any, type_: str = "customer_status") -> None:
        """Post a genuine delivery."""
        answer = self.post(body_of(customer_id, type_))
        assert answer.status_code == 200, answer.text


Make = Callable[..., Iron]


@pytest.fixture
def make(world: World, broker_url: str) -> Iterator[Make]:
    """Makes gateways on this test's ledger, with options."""
    with ExitStack() as made:

        def one(**options: Any) -> Iron:
            gateway = Iron(world, broker_url, **options)
            made.callback(gateway.close)
            return gateway

        yield one


@pytest.fixture
def gateway(make: Make) -> Iron:
    """A gateway with one secret."""
    return make()


def waiting(world: World) -> str:
    """Bring a customer to the point where only news of Iron moves it; answers Iron's id."""
    world.submit(tag="manual")
    customer_id = world.run_until("k-1", "identification_pending").customer_id
    world.drain()
    assert customer_id is not None
    return customer_id


def test_a_genuine_delivery_wakes(gateway: Iron) -> None:
    """A delivery makes its record due within seconds and sends the nudge for the step that reads it."""
    world = gateway.world
    customer_id = waiting(world)
    before = world.read()
    gateway.deliver(customer_id)
    after = world.read()
    assert after.record == before.record
    assert after.due_ms is not None
    assert after.due_ms < world.ledger.now_ms() + 6_000
    assert gateway.nudges(1) == [("refresh", ("k-1", before.record.version))]


def test_twice_is_harmless(gateway: Iron) -> None:
    """The same delivery twice, and late ones out of order, read the customer once and change nothing else."""
    world = gateway.world
    customer_id = waiting(world)
    for type_ in ("customer_status", "customer_status", "customer_created"):
        gateway.deliver(customer_id, type_)
    effects = world.effects()
    for step, (key, version) in gateway.nudges(1):
        world.runner.run(step, key, version)
    assert world.record().phase == "identification_pending"
    assert world.effects() == effects


class News(httpx.BaseTransport):
    """Iron, whose webhook arrives while a step waits for its first answer."""

    def __init__(self, inner: httpx.BaseTransport, arrive: Callable[[], None]) -> None:
        self.inner, self.arrive, self.calls = inner, arrive, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, after the news on the first call."""
        self.calls += 1
        if self.calls == 1:
            self.arrive()
        return self.inner.handle_request(request)


def test_a_record_in_hand_is_marked(gateway: Iron) -> None:
    """While a claim is in hand the delivery leaves a mark, and the commit sends the next nudge at once."""
    world = gateway.world
    world.going_on = False
    customer_id = waiting(world)
    record = world.record()
    world.transport = News(world.transport, lambda: gateway.deliver(customer_id))
    world.worker().run("refresh", "k-1", record.version)
    assert not gateway.broker.client.dbsize()  # whoever holds the record looks again
    assert [(nudge.step, nudge.version) for nudge in world.queue.nudges] == [("refresh", record.version + 1)]


@pytest.mark.parametrize(("type_", "nudges"), [("customer_created", 0), ("identification_status", 1)])
def test_an_unknown_customer_is_kept(gateway: Iron, type_: str, nudges: int) -> None:
    """A delivery that is faster than our own commit is compared with what it commits: what we caused is no news."""
    world = gateway.world
    world.runner.going_on = False
    world.submit(tag="manual")
    create = world.queue.nudges.popleft()
    commit = world.ledger.commit

    def late(claim: Claim, following: Any, *others: Any, **named: Any) -> Any:
        """Iron's news of the customer arrives before our commit."""
        following = replace(following, delay_s=3600.0)
        gateway.deliver(following.record.customer_id, type_)
        assert world.client.exists(f"{PREFIX}unclaimed:{following.record.customer_id}")
        return commit(claim, following, *others, **named)

    world.ledger.commit = late  # type: ignore[method-assign]
    world.runner.run(create.step, create.key, create.version)
    world.ledger.commit = commit  # type: ignore[method-assign]
    assert not list(world.client.scan_iter(f"{PREFIX}unclaimed:*"))
    assert len(world.queue.nudges) == nudges  # at once, though the step asked for an hour


@pytest.mark.parametrize("body", [
    body_of(STRANGER, "ping"), body_of(STRANGER, "transaction"), body_of(None), body_of("odd"), b"{}", b"[1]", b"null",
    b'{"type": "customer_status"}',
])  # fmt: skip
def test_what_iron_signed_is_accepted(gateway: Iron, body: bytes) -> None:
    """Iron's own deliveries that concern no customer of ours are answered 200, or it would repeat them for nothing."""
    before = dump(gateway.world.client, gateway.broker.client)
    assert gateway.post(body).status_code == 200
    assert dump(gateway.world.client, gateway.broker.client) == before


GOOD = body_of(STRANGER)


def bad() -> dict[str, tuple[int, str, bytes, dict[str, str]]]:
    """Give every kind of bad delivery, those that are signed signed now."""
    odd = f"{time.time() - 7:.0f}"
    return {
        "wrong-key": (401, "signature_wrong", GOOD, headers_of(GOOD, secret="other")),
        "altered-byte": (401, "signature_wrong", GOOD.replace(b"status", b"statuz"), headers_of(GOOD)),
        "altered-time": (401, "signature_wrong", GOOD, {**headers_of(GOOD), "webhook-timestamp": odd}),
        "stale": (401, "timestamp_stale", GOOD, headers_of(GOOD, age_s=3600)),
        "future": (401, "timestamp_future", GOOD, headers_of(GOOD, age_s=-3600)),
        "odd-time": (401, "timestamp_malformed", GOOD, {**headers_of(GOOD), "webhook-timestamp": "yesterday"}),
        "no-signature": (401, "signature_missing", GOOD, {"webhook-timestamp": str(int(time.time()))}),
        "no-time": (401, "signature_missing", GOOD, {"webhook-signature": "v1=00"}),
        "standard-webhooks": (401, "signature_missing", GOOD, {**headers_of(GOOD), "webhook-signature": "v1,aGVsbG8="}),
        "nothing": (401, "signature_missing", b"", {}),
        "10-mb": (413, "body_too_large", b"x" * 10_000_000, headers_of(b"x")),
        "just-too-large": (413, "body_too_large", b" " * (256 * 1024 + 1), headers_of(b"x")),
        "not-json": (400, "not_json", b"hello", headers_of(b"hello")),
        "deep": (400, "not_json", b"[" * 200_000, headers_of(b"[" * 200_000)),
    }  # fmt: skip


@pytest.mark.parametrize("name", bad())
def test_a_bad_delivery_changes_nothing(gateway: Iron, name: str) -> None:
    """Each bad delivery gets its code in a problem that repeats nothing of it, and leaves Redis as it was."""
    status, code, body, headers = bad()[name]
    waiting(gateway.world)
    before = dump(gateway.world.client, gateway.broker.client)
    answer = gateway.post(body, headers)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert STRANGER not in answer.text
    signature = headers.get("webhook-signature", "")[3:12]
    assert len(signature) < 9 or signature not in answer.text  # two digits may stand in any request id
    assert dump(gateway.world.client, gateway.broker.client) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_wrong_method(gateway: Iron, method: str) -> None:
    """Another method is refused, also with a genuine signature."""
    before = dump(gateway.world.client, gateway.broker.client)
    answer = gateway.request(method, PATH, content=GOOD, headers=headers_of(GOOD))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert method == "HEAD" or answer.json()["code"] == "method_not_allowed"
    assert dump(gateway.world.client, gateway.broker.client) == before


def test_just_not_too_large(gateway: Iron) -> None:
    """A body of exactly the limit is taken."""
    body = GOOD + b" " * (256 * 1024 - len(GOOD))
    assert gateway.post(body).status_code == 200


async def flood(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """A body of 10 MB; notes what was taken of it."""
    for _ in range(160):
        chunks.append(b"x" * 65_536)
        yield chunks[-1]


async def silent(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """A body that begins and then stops."""
    yield b"{"
    await asyncio.Event().wait()


def test_no_length(gateway: Iron) -> None:
    """A body that does not say how long it is, is read up to the limit and no further."""
    chunks: list[bytes] = []
    answer = gateway.request("POST", PATH, content=flood(chunks), headers=headers_of(b""))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert len(chunks) == 256 // 64 + 1


def test_a_length_too_large(gateway: Iron) -> None:
    """A body that says it is too large is not read at all."""
    chunks: list[bytes] = []
    headers = {**headers_of(b""), "content-length": "10000000"}
    answer = gateway.request("POST", PATH, content=flood(chunks), headers=headers)
    assert answer.json()["code"] == "body_too_large"
    assert not chunks


def test_a_slow_body(make: Make) -> None:
    """A caller who stops in the middle is told so after the limit, and lets go of the connection."""
    gateway = make(body_within_s=0.05)
    answer = gateway.request("POST", PATH, content=silent([]), headers=headers_of(b""))
    assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")
    assert answer.headers["connection"] == "close"


HEADER = st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "x-request-id", "x"])
VALUE = st.one_of(
    st.binary(max_size=80).map(lambda value: bytes(byte for byte in value if byte >= 32 and byte != 127)),
    st.sampled_from([str(int(time.time())).encode(), b"v1=" + b"0" * 64, b"v1=", b"-1", b"9" * 400, b"v1=\xff"]),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary() | st.just(GOOD), headers=st.lists(st.tuples(HEADER, VALUE), max_size=8))
def test_never_a_change(gateway: Iron, body: bytes, headers: list[tuple[str, bytes]]) -> None:
    """Whatever a stranger sends is a 4xx with a code, and changes nothing."""
    answer = gateway.post(body, [(name.encode(), value) for name, value in headers])
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"]
    assert gateway.world.client.dbsize() == gateway.broker.client.dbsize() == 0


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary() | st.text().map(str.encode) | st.dictionaries(
    st.sampled_from(["type", "data"]) | st.text(),
    st.sampled_from(["customer_status", "ping"]) | st.dictionaries(st.just("customer_id"), st.text()) | st.none(),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_never_a_5xx(gateway: Iron, body: bytes) -> None:
    """Whatever Iron itself signs is taken or not JSON, and nothing without a customer's id changes anything."""
    assert gateway.post(body).status_code in {200, 400}
    assert gateway.world.client.dbsize() == gateway.broker.client.dbsize() == 0


def test_both_derivations_and_rotation(make: Make) -> None:
    """While secrets are replaced a delivery by either is genuine, and by a third is not."""
    gateway = make(webhook_secrets=["new", "old"])
    for secret, status in (("new", 200), ("old", 200), ("older", 401)):
        assert gateway.post(GOOD, headers_of(GOOD, secret=secret)).status_code == status


def test_tolerance_is_set(make: Make) -> None:
    """The tolerance is a setting."""
    gateway = make(webhook_tolerance_s=10.0)
    assert gateway.post(GOOD, headers_of(GOOD, age_s=30)).json()["code"] == "timestamp_stale"
    gateway = make(webhook_tolerance_s=100.0)
    assert gateway.post(GOOD, headers_of(GOOD, age_s=30)).status_code == 200


def test_without_a_secret(make: Make, world: World) -> None:
    """Without the secret nothing is taken, and the answer says which setting is missing."""
    gateway = make(webhook_secrets=())
    answer = gateway.post(GOOD)
    assert (answer.status_code, answer.json()["code"]) == (503, "webhook_secret_missing")
    assert "IRON_WEBHOOK_SECRET" in answer.json()["detail"]
    assert world.client.dbsize() == 0


def test_the_ledger_away(make: Make, world: World) -> None:
    """While Redis is away Iron is asked to send again, and what is wrong stands in the probe."""
    cut_off(world.ledger)
    gateway = make()
    answer = gateway.post(GOOD)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "ledger_away", "5")
    probe = gateway.get("/readyz")
    assert (probe.status_code, probe.json()["code"]) == (503, "not_ready")
    assert "ONBOARDING_REDIS_URL" in probe.json()["detail"]
    assert "127.0.0.1" not in probe.text
    assert [check["ok"] for check in probe.json()["checks"]] == [False, True]
    assert gateway.get("/healthz").status_code == 200


def test_the_broker_away(gateway: Iron) -> None:
    """While only the broker is away a delivery is taken: the record is due, and the pulse sends the nudge."""
    customer_id = waiting(gateway.world)
    gateway.broker.client.connection_pool.connection_kwargs |= {"host": "127.0.0.1", "port": 1}
    gateway.broker.client.connection_pool.disconnect()
    gateway.deliver(customer_id)
    assert gateway.world.next_due_s() <= 5
    assert [check["ok"] for check in gateway.get("/readyz").json()["checks"]] == [True, False]
    gateway.world.advance(6)
    assert gateway.world.pulse.run_once().nudges == 1


def test_ready(gateway: Iron) -> None:
    """With everything there the probes say so."""
    assert gateway.get("/readyz").json()["status"] == "ready"
    assert gateway.get("/healthz").json() == {"status": "alive"}


@pytest.mark.parametrize(("given_id", "kept"), [
    ("abc-1.2_X", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("a b", False), ("ada@example.com", False),
])  # fmt: skip
def test_request_id(gateway: Iron, given_id: str, kept: bool) -> None:
    """A sane id of the caller's is kept, any other replaced."""
    answered = gateway.get("/nowhere", headers={"X-Request-ID": given_id})
    assert (answered.headers["x-request-id"] == given_id) is kept
    assert answered.json()["code"] == "not_found"
    assert answered.json()["request_id"] == answered.headers["x-request-id"]


def test_the_unforeseen_is_a_problem(make: Make, world: World) -> None:
    """An error in the program is a 500 with an id and nothing of the error in it."""

    def broken(customer_id: str) -> None:
        raise ValueError(customer_id)

    world.ledger.wake = broken  # type: ignore[method-assign, assignment]
    answer = make().post(GOOD)
    assert (answer.status_code, answer.json()["code"]) == (500, "unexpected")
    assert STRANGER not in answer.text


def test_openapi(gateway: Iron) -> None:
    """The document names each refusal of the webhook endpoint."""
    route = gateway.get("/openapi.json").json()["paths"][PATH]["post"]
    assert set(route["responses"]) == {"200", "400", "401", "408", "413", "415", "503"}
    assert set(route["responses"]["503"]["content"]["application/problem+json"]["examples"]) == {
        "ledger_away",
        "webhook_secret_missing",
    }
