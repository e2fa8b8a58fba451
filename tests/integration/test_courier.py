"""Delivery to endpoints on a real Redis, with a receiver behind an httpx transport and a clock to turn.

The receiver checks every signature with the official package, and writes down what it accepted.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
import redis
from standardwebhooks import Webhook, WebhookVerificationError

from pipelines.events import place
from pipelines.model import Record
from tests.integration.test_endpoints import eventually
from tests.receivers import SOURCE, Post, Receiver
from workers.engine.inventory import Inventory
from workers.events.courier import LEASE_MS, Courier
from workers.events.dispatcher import (
    GIVE_UP_AFTER_S,
    MISSES,
    MOST_WAITING,
    PROBE_MAX_S,
    RETRIES_S,
    EndpointLostError,
)
from workers.events.endpoints import EndpointError, NoEndpointError
from workers.events.stream import OLDEST, STREAM
from workers.ledger import LANES, PREFIX, New
from workers.operate.summary import summarised
from workers.secrets.vault import Vault, new_key

DAY_S = 86_400.0


@pytest.fixture
def post(client: redis.Redis) -> Post:
    return Post(client)


def in_order(ids: Sequence[str]) -> list[str]:
    """Bring ids into the order of the stream."""
    return sorted(ids, key=place)


def down(_: dict[str, Any]) -> Exception:
    return httpx.ConnectError("connection refused")


def refusing(*keys: str, status: int = 400) -> Callable[[dict[str, Any]], int]:
    return lambda told: status if told["subject"] in keys else 200


# --- the plain way ---------------------------------------------------------------------------------------------------


def test_everything_arrives_in_order(post: Post) -> None:
    """Every event arrives once, signed so that the official package accepts it, in order for each onboarding."""
    receiver = post.endpoint()
    ids = post.tell(*(f"k-{number % 7}" for number in range(100)))
    post.run(post.dispatcher(receiver))
    assert in_order(receiver.ids()) == ids
    for key in {told["subject"] for told in receiver.accepted}:
        assert receiver.of(key) == in_order(receiver.of(key))
    progress = post.standing().progress
    assert (progress.cursor, progress.delivered, progress.state) == (ids[-1], 100, "active")


def test_an_event_is_a_cloud_event(post: Post) -> None:
    """What arrives is the event of the stream as CloudEvents has it, and nothing beside."""
    receiver = post.endpoint()
    post.tell("k-1")
    post.run(post.dispatcher(receiver))
    [event] = post.stream.after()
    assert receiver.accepted == [event.cloud_event("urn:onboarding:test")]
    [request] = receiver.requests
    assert request.headers["Host"] == "crm.example.com"
    assert request.url.host == "93.184.215.14"
    assert request.extensions["sni_hostname"] == "crm.example.com"
    assert request.method == "POST"
    assert request.url.query == b"token=t"


def test_a_filter(post: Post) -> None:
    """An endpoint gets the types that it asks for, and its cursor goes on over the others."""
    receiver = post.endpoint(types=["onboarding.active", "onboarding.s*"])
    for name in ("in_review", "signings_required", "active", "needs_changed", "suspended", "received"):
        post.client.xadd(STREAM, {"key": "k-1", "what": f"{name} in_review iron 4"})
    post.run(post.dispatcher(receiver))
    assert [told["type"].partition(".")[2] for told in receiver.accepted] == [
        "signings_required",
        "active",
        "suspended",
    ]
    assert post.standing().progress.cursor == post.stream.newest()


def test_a_new_endpoint_begins_where_it_is_told(post: Post) -> None:
    """By default an endpoint gets what is yet to come; from an event on, or everything that is kept, when asked."""
    ids = post.tell("k-1", "k-2", "k-3")
    receiver = post.endpoint(after=ids[1])
    post.run(post.dispatcher(receiver))
    assert receiver.ids() == ids[2:]


def test_a_real_onboardings_events(post: Post) -> None:
    """What the ledger's commits tell is what arrives."""
    receiver = post.endpoint()
    post.ledger.create([New(Record(key="k-1", external_id="k-1", fingerprint="f"), {})])
    post.run(post.dispatcher(receiver))
    assert [told["type"] for told in receiver.accepted] == ["onboarding.received"]


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_a_receiver_that_is_down_for_three_days(post: Post) -> None:
    """After three days without an answer nothing is lost, nothing is doubled, and each onboarding's order is kept."""
    receiver = post.endpoint(answers=down)
    other = post.endpoint("erp")
    broken, well = post.dispatcher(receiver), post.dispatcher(other, "erp")
    ids: list[str] = []
    for hour in range(72):
        ids += post.tell(*(f"k-{(hour + number) % 11}" for number in range(3)))
        started_ms = post.shift_ms
        post.run(well)
        assert post.shift_ms == started_ms, "the other endpoint never waits"
        assert in_order(other.ids()) == ids
        post.run(broken, 3_600)
    assert receiver.accepted == []
    assert post.standing().progress.state == "failing"
    assert post.standing().parked == {}, "what waits for a dead endpoint waits in the stream"
    counted = summarised(post.ledger, dict.fromkeys(LANES, 0), Inventory(()))["endpoints"]
    assert counted == {"total": 2, "active": 1, "failing": 1, "paused": 0, "parked": 0}
    probes = len(receiver.requests)
    assert probes < 3 * 72 * 3_600 / PROBE_MAX_S * 1.5
    receiver.answers = lambda _: 200
    post.run(broken, PROBE_MAX_S)
    assert in_order(receiver.ids()) == ids
    for number in range(11):
        assert receiver.of(f"k-{number}") == in_order(receiver.of(f"k-{number}"))
    assert post.standing().progress.state == "active"
    print(f"{len(ids)} events, {probes} probes in 72 hours")


def test_one_poisonous_onboarding_holds_up_nobody(post: Post) -> None:
    """Events of one onboarding that are refused for days wait in their order; those of the others arrive at once."""
    receiver = post.endpoint(answers=refusing("bad"))
    dispatcher = post.dispatcher(receiver)
    bad: list[str] = []
    for hour in range(48):
        bad += post.tell("bad")
        good = post.tell(f"k-{hour}", f"k-{hour}")
        post.run(dispatcher)
        assert receiver.of(f"k-{hour}") == good
        post.run(dispatcher, 3_600)
    assert post.standing().progress.state == "active"
    assert receiver.of("bad") == []
    tried = sum(json.loads(request.read())["subject"] == "bad" for request in receiver.requests)
    assert tried <= 9, "only the first of them is tried, on the schedule"
    receiver.answers = lambda _: 200
    post.run(dispatcher, DAY_S)
    assert receiver.of("bad") == bad
    assert post.standing().parked == {}


def test_an_event_is_given_up_after_three_days(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """An event that is refused for three days is given up, with an alert, and what waited behind it goes out."""
    receiver = post.endpoint()
    first, second = post.tell("bad", "bad")
    receiver.answers = lambda told: 422 if told["id"] == first else 200
    dispatcher = post.dispatcher(receiver)
    post.run(dispatcher)
    times = []
    while not receiver.accepted:
        before = len(receiver.requests)
        post.run(dispatcher, 1_800)
        times += [post.shift_ms / 1000] * (len(receiver.requests) - before)
        assert post.shift_ms < 1000 * (GIVE_UP_AFTER_S + DAY_S)
    assert receiver.ids() == [second]
    assert len(times) == len(RETRIES_S) + 1
    assert 0.8 * GIVE_UP_AFTER_S <= post.shift_ms / 1000 <= GIVE_UP_AFTER_S + 3_600
    assert post.standing().progress.given_up == 1
    assert "event.given_up" in capsys.readouterr().out


def test_the_schedule_is_about_three_days() -> None:
    """The pauses grow, and together they are three days and some hours."""
    assert list(RETRIES_S) == sorted(RETRIES_S)
    assert 3 * DAY_S < GIVE_UP_AFTER_S < 3.5 * DAY_S


@pytest.mark.parametrize(
    "answer",
    [
        *(pytest.param(lambda _, status=status: status, id=str(status)) for status in (404, 401, 500, 502, 504, 302)),
        pytest.param(lambda _: httpx.ReadTimeout("slow"), id="slow"),
        pytest.param(lambda _: httpx.RemoteProtocolError("half"), id="half"),
    ],
)
def test_an_endpoint_that_refuses_everything_stands_still(post: Post, answer: Callable[[dict[str, Any]], Any]) -> None:
    """When onboarding after onboarding is refused, the endpoint is the trouble: the rest waits in the stream."""
    receiver = post.endpoint(answers=answer)
    ids = post.tell(*(f"k-{number}" for number in range(200)))
    dispatcher = post.dispatcher(receiver)
    post.run(dispatcher, 6 * 3_600)
    standing = post.standing()
    assert standing.progress.state == "failing"
    assert MISSES <= len(standing.parked) <= 2 * MISSES
    assert standing.progress.given_up == 0
    receiver.answers = lambda _: 200
    post.run(dispatcher, PROBE_MAX_S)
    assert in_order(receiver.ids()) == ids
    assert post.standing().parked == {}


def test_an_endpoint_that_is_dead_for_long_is_paused(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """After three days without any success an endpoint is paused, with an alert; resumed, it misses nothing."""
    receiver = post.endpoint(answers=down)
    ids = post.tell("k-1", "k-2", "k-1")
    dispatcher = post.dispatcher(receiver)
    with pytest.raises(EndpointLostError):
        post.run(dispatcher, 4 * DAY_S)
    assert GIVE_UP_AFTER_S <= post.shift_ms / 1000 <= GIVE_UP_AFTER_S + PROBE_MAX_S
    assert post.standing().progress.state == "paused"
    assert "endpoint.paused" in capsys.readouterr().out
    assert post.held() == {}
    receiver.answers = lambda _: 200
    post.endpoints.resume("crm", by="a test")
    post.run(post.dispatcher(receiver))
    assert in_order(receiver.ids()) == ids


def test_gone_means_gone(post: Post) -> None:
    """An endpoint that answers 410 is paused at once."""
    receiver = post.endpoint(answers=lambda _: 410)
    post.tell("k-1")
    with pytest.raises(EndpointLostError):
        post.run(post.dispatcher(receiver))
    assert "410" in post.standing().progress.paused


@pytest.mark.parametrize(("status", "given"), [(429, {"Retry-After": "90"}), (503, {"Retry-After": "90"})])
def test_a_busy_endpoint_says_when(post: Post, status: int, given: dict[str, str]) -> None:
    """An endpoint that asks for a pause gets it, and no event is held responsible."""
    receiver = post.endpoint(answers=lambda _: status, headers=given)
    ids = post.tell("k-1", "k-2")
    dispatcher = post.dispatcher(receiver)
    dispatcher.run_once()
    sent = len(receiver.requests)
    assert 89 < dispatcher.run_once() <= 90
    assert len(receiver.requests) == sent
    assert post.standing().parked == {}
    receiver.answers = lambda _: 200
    post.run(dispatcher, 100)
    assert in_order(receiver.ids()) == ids


def test_order_among_retries(post: Post) -> None:
    """Whatever is refused at random, an event never overtakes an earlier one of its onboarding."""
    receiver = post.endpoint()
    tried: Counter[str] = Counter()

    def moody(told: dict[str, Any]) -> int:
        tried[told["id"]] += 1
        return 200 if (int(told["id"][-3:].replace("-", "")) + tried[told["id"]]) % 3 else 500

    receiver.answers = moody
    ids = post.tell(*(f"k-{number % 13}" for number in range(300)))
    post.run(post.dispatcher(receiver), 3 * DAY_S)
    assert in_order(receiver.ids()) == ids
    for number in range(13):
        assert receiver.of(f"k-{number}") == in_order(receiver.of(f"k-{number}"))


def test_a_flood_for_one_parked_onboarding_is_bounded(post: Post) -> None:
    """What waits behind one refused event does not grow without end."""
    receiver = post.endpoint(answers=refusing("bad"))
    post.tell(*["bad", "good"] * (MOST_WAITING + 20))
    post.run(post.dispatcher(receiver))
    assert len(post.standing().parked["bad"].ids) <= MOST_WAITING
    assert len(receiver.of("good")) == MOST_WAITING + 20


def test_events_that_are_gone_are_told(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that was paused for longer than events are kept goes on with what is there, with an alert."""
    receiver = post.endpoint()
    old = post.tell("k-1")
    post.run(post.dispatcher(receiver))
    post.tell("k-2")
    post.client.xtrim(STREAM, maxlen=0, approximate=False)
    post.client.set(f"{PREFIX}events_gone", f"{int(old[0].split('-')[0]) + 5_000}-0")
    new = f"{int(old[0].split('-')[0]) + 9_000}-0"
    post.client.xadd(STREAM, {"key": "k-3", "what": "active active nobody 9"}, new)
    post.run(post.dispatcher(receiver))
    assert receiver.ids() == [*old, new]
    assert post.standing().progress.lost
    assert "endpoint.events_lost" in capsys.readouterr().out


# --- addresses -------------------------------------------------------------------------------------------------------


def test_an_address_is_judged_at_every_delivery(post: Post) -> None:
    """A name that leads into our own network later on gets nothing, and the connection goes to the judged address."""
    receiver = post.endpoint()
    dispatcher = post.dispatcher(receiver)
    first = post.tell("k-1")
    post.run(dispatcher)
    post.resolved = ["93.184.215.14", "10.0.0.7"]
    post.tell("k-2")
    post.run(dispatcher, 3_600)
    assert receiver.ids() == first
    assert post.standing().progress.why == "address not allowed"
    post.resolved = []
    post.run(dispatcher, 3_600)
    assert post.standing().progress.why == "name not found"
    post.resolved = ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    post.run(dispatcher, 3_600)
    assert len(receiver.accepted) == 2
    assert receiver.requests[-1].url.host == "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_rotation(post: Post) -> None:
    """While the overlap lasts both secrets verify; after it the former one does not. No secret is stored in clear."""
    receiver = post.endpoint()
    former = receiver.secret
    secret = post.endpoints.rotate("crm", overlap_s=3_600, by="a test")
    assert secret != former
    dispatcher = post.dispatcher(receiver)
    post.tell("k-1")
    post.run(dispatcher)
    receiver.secret = secret
    post.tell("k-1")
    post.run(dispatcher)
    assert len(receiver.accepted) == 2
    assert len(receiver.requests[-1].headers["webhook-signature"].split(" ")) == 2
    post.shift_ms += 3_601_000
    post.tell("k-1")
    post.run(dispatcher)
    assert len(receiver.accepted) == 3
    request = receiver.requests[-1]
    assert len(request.headers["webhook-signature"].split(" ")) == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(former).verify(request.read(), dict(request.headers))
    stored = repr(post.client.hgetall(f"{PREFIX}endpoints")) + repr(post.endpoints.acts())
    assert former.removeprefix("whsec_") not in stored
    assert secret.removeprefix("whsec_") not in stored


def test_secrets_that_cannot_be_opened(post: Post) -> None:
    """Without the encryption key an endpoint is paused and says why; nothing goes out unsigned."""
    receiver = post.endpoint()
    post.tell("k-1")
    post.vault = Vault([new_key()])
    with pytest.raises(EndpointLostError):
        post.run(post.dispatcher(receiver))
    assert receiver.requests == []
    assert "ONBOARDING_ENCRYPTION_KEYS" in post.standing().progress.paused


# --- acts ------------------------------------------------------------------------------------------------------------


def test_replay(post: Post) -> None:
    """One event, or a range, is delivered again under its own id, beside what is new."""
    receiver = post.endpoint()
    ids = post.tell(*(f"k-{number % 2}" for number in range(6)))
    post.run(post.dispatcher(receiver))
    receiver.accepted.clear()
    post.endpoints.replay("crm", ids[2], ids[2], by="a test")
    new = post.tell("k-0")
    post.run(post.dispatcher(receiver))
    assert in_order(receiver.ids()) == [ids[2], *new]
    receiver.accepted.clear()
    post.endpoints.replay("crm", ids[1], ids[4], by="a test")
    post.run(post.dispatcher(receiver))
    assert in_order(receiver.ids()) == ids[1:5]
    for key in ("k-0", "k-1"):
        assert receiver.of(key) == in_order(receiver.of(key))
    assert post.standing().replays == {}


def test_a_replay_goes_on_where_it_was(post: Post) -> None:
    """A range that is replayed while the endpoint is down is delivered when it is back, by whichever process."""
    receiver = post.endpoint()
    ids = post.tell(*(f"k-{number}" for number in range(20)))
    post.run(post.dispatcher(receiver))
    receiver.accepted.clear()
    post.endpoints.replay("crm", ids[0], ids[-1], by="a test")
    first = post.dispatcher(receiver)
    first.run_once()
    done = len(receiver.accepted)
    assert 0 < done < 20
    post.shift_ms += LEASE_MS + 1
    post.run(post.dispatcher(receiver, token="b"))
    assert in_order(receiver.ids()) == ids


def test_pause_and_resume(post: Post) -> None:
    """A paused endpoint gets nothing and misses nothing."""
    receiver = post.endpoint()
    dispatcher = post.dispatcher(receiver)
    post.endpoints.pause("crm", by="a test", reason="maintenance")
    ids = post.tell("k-1")
    with pytest.raises(EndpointLostError):
        post.run(dispatcher)
    assert post.held() == {}
    assert post.standing().progress.paused == "by a test: maintenance"
    post.endpoints.resume("crm", by="a test")
    receiver.accepted.clear()
    post.run(post.dispatcher(receiver))
    assert receiver.ids() == ids


def test_resume_tries_at_once(post: Post) -> None:
    """Whoever mended a dead endpoint need not wait for the next probe."""
    receiver = post.endpoint(answers=down)
    post.tell("k-1")
    post.run(post.dispatcher(receiver), 3_600)
    receiver.answers = lambda _: 200
    post.endpoints.resume("crm", by="a test")
    post.run(post.dispatcher(receiver))
    assert len(receiver.accepted) == 1


def test_remove(post: Post) -> None:
    """A removed endpoint leaves nothing behind but the acts, and its dispatcher ends."""
    receiver = post.endpoint(answers=refusing("bad"))
    dispatcher = post.dispatcher(receiver)
    post.tell("bad", "good")
    post.run(dispatcher)
    post.endpoints.replay("crm", "1-0", "2-0", by="a test")
    post.endpoints.remove("crm", by="somebody")
    post.tell("k-2")
    with pytest.raises(EndpointLostError):
        post.run(dispatcher)
    with pytest.raises(NoEndpointError):
        post.standing()
    left = {name.decode().removeprefix(PREFIX) for name in post.client.scan_iter(f"{PREFIX}*")}
    assert left == {"events", "endpoint_acts"}
    assert [(act["act"], act["by"]) for act in post.endpoints.acts("crm")] == [
        ("add", "a test"),
        ("replay", "a test"),
        ("remove", "somebody"),
    ]


def test_names_are_taken_once(post: Post) -> None:
    """Two endpoints do not have one name, and acts on one that is not there are refused."""
    post.endpoint()
    with pytest.raises(EndpointError, match="already"):
        post.endpoint()
    for act in (post.endpoints.pause, post.endpoints.resume, post.endpoints.remove):
        with pytest.raises(NoEndpointError):
            act("nobody", by="a test")
    with pytest.raises(EndpointError, match=r"onboarding\.active"):
        post.endpoint("other", types=["onboarding.activ"])


# --- processes -------------------------------------------------------------------------------------------------------


def test_one_process_at_a_time(post: Post) -> None:
    """While one process holds an endpoint, no other does; when its lease is over another one goes on."""
    receiver = post.endpoint()
    first = post.dispatcher(receiver, token="a")
    assert post.held("b") == {}
    ids = post.tell("k-1", "k-2")
    post.run(first)
    post.shift_ms += LEASE_MS + 1
    second = post.dispatcher(receiver, token="b")
    ids += post.tell("k-3")
    with pytest.raises(EndpointLostError):
        post.run(first)
    post.run(second)
    assert set(receiver.ids()) == set(ids)
    assert receiver.ids()[:2] == ids[:2]


def test_a_sleeper_writes_nothing(post: Post) -> None:
    """A process that slept past its lease and takes the endpoint again does not go on where it once was."""
    receiver = post.endpoint()
    sleeper = post.dispatcher(receiver, token="a")
    post.shift_ms += LEASE_MS + 1
    ids = post.tell("k-1", "k-2", "k-3")
    post.run(post.dispatcher(receiver, token="b"))
    post.shift_ms += LEASE_MS + 1
    post.held("a")
    with pytest.raises(EndpointLostError):
        post.run(sleeper)
    assert post.standing().progress.cursor == ids[-1]


def test_a_crash_repeats_and_loses_nothing(post: Post) -> None:
    """A process that dies between a delivery and writing it down leaves an event that arrives twice, with one id."""
    receiver = post.endpoint()
    ids = post.tell("k-1", "k-1")
    dying = post.dispatcher(receiver)
    dying._commit = lambda: None  # type: ignore[method-assign]
    dying.run_once()
    assert receiver.ids() == ids[:1]
    post.shift_ms += LEASE_MS + 1
    post.run(post.dispatcher(receiver, token="b"))
    assert receiver.ids() == [ids[0], *ids]


class Exchange(httpx.BaseTransport):
    """Leads each request to the receiver that its host names."""

    def __init__(self, receivers: dict[str, httpx.BaseTransport]) -> None:
        self.receivers = receivers

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.receivers[request.headers["Host"]].handle_request(request)


def test_a_slow_endpoint_delays_nobody(post: Post) -> None:
    """While one endpoint does not answer at all, the other gets everything; both are served by one process."""
    let_go = threading.Event()
    secrets = {
        name: post.endpoints.add(name, f"http://127.0.0.1:{number}/", types=(), after=OLDEST, by="a test", private=True)
        for name, number in (("slow", 1001), ("quick", 1002))
    }

    def hanging(_: dict[str, Any]) -> int:
        let_go.wait(30)
        return 200

    slow, quick = Receiver(secrets["slow"], hanging), Receiver(secrets["quick"])
    exchange = Exchange({"127.0.0.1:1001": slow, "127.0.0.1:1002": quick})
    courier = Courier(post.ledger, post.vault, source=SOURCE, private=True, kept_s=3_600, transport=lambda: exchange)
    courier.start()
    try:
        eventually(lambda: courier._at_work)
        ids = post.tell(*(f"k-{number}" for number in range(200)))
        eventually(lambda: len(quick.accepted) == 200)
        assert slow.accepted == []
        let_go.set()
        eventually(lambda: len(slow.accepted) == 200)
        assert in_order(slow.ids()) == in_order(quick.ids()) == ids
    finally:
        let_go.set()
        courier.stop()
    assert post.client.hget(f"{PREFIX}courier:slow", "lease") is None


def test_old_events_are_dropped_in_the_background(post: Post) -> None:
    """A courier drops what is older than is set, also where there is no endpoint."""
    post.client.xadd(STREAM, {"key": "k-1", "what": "active active nobody 3"}, "1000-0")
    [young] = post.tell("k-2")
    Courier(post.ledger, post.vault, source=SOURCE, private=True, kept_s=3_600).turn()
    assert [event.id for event in post.stream.after()] == [young]
