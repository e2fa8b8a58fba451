"""Nothing in the queue is nobody's: whatever lies there is taken, taken later, or refused and listed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from tests.integration.test_direct import Fleet, everything
from tests.integration.test_endpoints import eventually
from tests.odd_messages import FORMS, a_message, written
from tests.world import a_job
from workers.engine import broker as broker_module
from workers.engine.broker import NudgeBroker
from workers.engine.inventory import look
from workers.engine.porter import Porter
from workers.intake.messages import ACTOR
from workers.ledger import LANES

#: What no message may leave behind.
SECRETS = ("+approve", "Ada Example")


class Floor(Fleet):
    """A fleet whose workers read every queue, and have their porter."""

    queues = None

    def __init__(self, client: redis.Redis, broker_url: str) -> None:
        super().__init__(client, broker_url)
        self.porters: list[Porter] = []

    def start(self) -> dramatiq.Worker:
        worker = super().start()
        self.porters.append(Porter(worker.broker))  # type: ignore[arg-type]
        self.porters[-1].start()
        return worker

    def stop(self) -> None:
        while self.porters:
            self.porters.pop().stop()
        super().stop()

    @property
    def redis(self) -> redis.Redis:
        """The broker's database, as anybody sees it."""
        found: redis.Redis = self.producer.client
        return found

    def put(self, data: bytes, queue: str = "interactive", id_: str = "") -> str:
        """Put a message of any form on a queue, as a producer of any make does."""
        id_ = id_ or str(uuid4())
        self.redis.hset(f"dramatiq:{queue}.msgs", id_, data)  # type: ignore[arg-type]
        self.redis.rpush(f"dramatiq:{queue}", id_)
        return id_

    def accepted(self, *keys: str) -> None:
        """Wait until these jobs have their records."""
        eventually(lambda: all(self.ledger.read(key) for key in keys))

    def empty(self) -> None:
        """Wait until nothing is left in the broker but signs of life."""
        eventually(lambda: set(self.redis.scan_iter()) <= {b"dramatiq:__heartbeats__"})


@pytest.fixture
def floor(client: redis.Redis, broker_url: str) -> Iterator[Floor]:
    """Workers, a producer and the broker between them; no worker is started."""
    made = Floor(client, broker_url)
    yield made
    made.ledger.away = False
    made.stop()
    made.producer.close()
    made.producer.client.close()


@pytest.mark.parametrize(("data", "code"), FORMS.values(), ids=FORMS)
def test_g1_whatever_form_it_has(
    floor: Floor, client: redis.Redis, data: bytes, code: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """G1: it is taken or listed, the jobs beside it are taken at once, and nothing is left of any of them."""
    floor.send(a_job("m-1"))
    floor.put(data)
    for number in (2, 3, 4):
        floor.send(a_job(f"m-{number}"))
    floor.start()
    floor.accepted("m-1", "m-2", "m-3", "m-4")
    floor.empty()
    listed = [(one.key, {reason.code for reason in one.reasons}) for one in floor.refusals.newest()]
    if code is None:
        assert (listed, bool(floor.ledger.read("odd"))) == ([], True)
    else:
        assert [codes for _, codes in listed] == [{code}]
        assert listed[0][0] in (None, "odd")
    said, stored = capsys.readouterr(), everything(client, floor.redis)
    for secret in SECRETS:
        assert secret.encode() not in stored
        assert secret not in said.out + said.err


def test_g1_all_forms_at_once(floor: Floor) -> None:
    """G1: a batch of nothing but odd messages stops no consumer; each is taken or listed by itself."""
    for data, _ in FORMS.values():
        floor.put(data)
    floor.send(a_job("last"))
    floor.start()
    floor.accepted("last", "odd")
    floor.empty()
    assert floor.refusals.count() == sum(code is not None for _, code in FORMS.values())


def test_the_key_of_what_is_refused(floor: Floor) -> None:
    """Of a job that is refused for its message's sake the key is known, and the name that it was sent to."""
    floor.put(written(a_message(actor_name="start_onbording", kwargs={"a": 1})))
    floor.put(written(a_message(actor_name="create_customer")))
    floor.start()
    floor.empty()
    step, other = sorted(floor.refusals.newest(), key=lambda one: one.reasons[0].text)[::-1]
    assert {one.key for one in (step, other)} == {"odd"}
    assert {"start_onbording", "create_customer"} == {
        name for one in (step, other) for name in ("start_onbording", "create_customer") if name in one.reasons[0].text
    }


def test_a_message_that_is_too_long(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than any job is listed, and never comes into a worker's memory."""
    monkeypatch.setattr(broker_module, "LONGEST", 2_000)
    floor.put(written(a_message(args=[a_job("long", name="x" * 3_000)])))
    floor.send(a_job("m-1"))
    floor.start()
    floor.accepted("m-1")
    floor.empty()
    [one] = floor.refusals.newest()
    assert [reason.code for reason in one.reasons] == ["message_too_long"]


def test_an_odd_message_while_the_ledger_is_away(floor: Floor) -> None:
    """What cannot be listed now is held, also over the end of the process, and listed when it can be."""
    floor.ledger.away = True
    floor.start()
    floor.put(FORMS["pickle"][0])
    floor.put(written(a_message(actor_name="send_mail")))
    before = floor.ledger.calls
    eventually(lambda: floor.ledger.calls > before + 2)
    floor.stop()
    floor.ledger.away = False
    floor.start()
    floor.empty()
    codes = sorted((one.reasons[0].code, "send_mail" in one.reasons[0].text) for one in floor.refusals.newest())
    assert codes == [("unknown_actor", True), ("unreadable_message", False)]


# --- delays ---------------------------------------------------------------------------------------------------------


def delayed(floor: Floor, key: str, queue: str = "interactive", delay_ms: int = 1_000) -> None:
    """Send a job with a delay, as any producer does."""
    producer = RedisBroker(client=floor.redis)  # type: ignore[no-untyped-call]
    actor = dramatiq.actor(actor_name=ACTOR, queue_name=queue, broker=producer)(lambda job: None)
    actor.send_with_options(args=(a_job(key),), delay=delay_ms)


@pytest.mark.parametrize("lane", LANES)
def test_g2_a_delay(floor: Floor, lane: str) -> None:
    """G2: a job that was sent with a delay is taken when that is over and not before, on whichever of our queues."""
    floor.start()
    began = time.monotonic()
    delayed(floor, "k-1", lane)
    delayed(floor, "k-2", lane, delay_ms=0)
    floor.accepted("k-2")
    floor.accepted("k-1")
    assert time.monotonic() - began >= 1.0
    floor.empty()


def hurry(floor: Floor, lane: str = "interactive") -> None:
    """Let what is delayed be due."""
    for id_, _ in floor.redis.zrange(f"dramatiq:{lane}.later", 0, -1, withscores=True):
        floor.redis.zadd(f"dramatiq:{lane}.later", {id_: 1})
        message = json.loads(floor.redis.hget(f"dramatiq:{lane}.later.msgs", id_) or b"")  # type: ignore[arg-type]
        message["options"]["eta"] = 1
        floor.redis.hset(f"dramatiq:{lane}.later.msgs", id_, json.dumps(message))  # type: ignore[arg-type]


def test_g2_a_delay_of_weeks(floor: Floor) -> None:
    """G2: it waits in Redis and not in a worker, is no trouble, survives every worker, and is taken in its time."""
    for number in range(60):  # more than a worker has in memory
        delayed(floor, f"w-{number}", delay_ms=21 * 86_400_000)
    delayed(floor, "soon", delay_ms=0)
    floor.start()
    floor.accepted("soon")
    eventually(lambda: floor.redis.zcard("dramatiq:interactive.later") == 60)
    floor.stop()
    found = look(NudgeBroker(floor.broker_url))
    assert (found.delayed(), found.stuck()) == (60, [])
    hurry(floor)
    floor.start()
    floor.accepted(*(f"w-{number}" for number in range(60)))
    floor.empty()


def test_g2_a_time_on_the_queue_itself(floor: Floor) -> None:
    """G2: a message whose time has not come waits wherever it was put, and holds nothing up."""
    floor.put(written(a_message(options={"eta": int(time.time() * 1000) + 3_600_000})))
    floor.send(a_job("m-1"))
    floor.start()
    floor.accepted("m-1")
    eventually(lambda: floor.redis.zcard("dramatiq:interactive.later") == 1)
    assert floor.ledger.read("odd") is None
    hurry(floor)
    floor.accepted("odd")
    floor.empty()


def test_g2_what_was_delayed_and_is_odd(floor: Floor) -> None:
    """G2: what nobody can read among the delayed is listed, and the jobs beside it are taken."""
    delayed(floor, "k-1", delay_ms=0)
    floor.put(FORMS["pickle"][0], "interactive.DQ")
    floor.put(b"", "bulk.DQ")
    delayed(floor, "k-2", delay_ms=0)
    floor.start()
    floor.accepted("k-1", "k-2")
    floor.empty()
    assert [one.reasons[0].code for one in floor.refusals.newest()] == ["unreadable_message"] * 2


# --- what is nobody's comes back ------------------------------------------------------------------------------------


def dead_letter(floor: Floor) -> None:
    floor.redis.zadd("dramatiq:interactive.XQ", {"x": 1})
    floor.redis.hset("dramatiq:interactive.XQ.msgs", "x", written(a_message()))  # type: ignore[arg-type]


def lost_list(floor: Floor) -> None:
    floor.put(written(a_message()))
    floor.redis.delete("dramatiq:interactive")


def lost_delays(floor: Floor) -> None:
    floor.put(written(a_message()), "interactive.DQ")
    floor.redis.delete("dramatiq:interactive.DQ")


def lost_times(floor: Floor) -> None:
    floor.redis.hset("dramatiq:interactive.later.msgs", "x", written(a_message()))  # type: ignore[arg-type]


def dead_worker(floor: Floor) -> None:
    floor.put(written(a_message()), id_="x")
    floor.redis.lpop("dramatiq:interactive")
    floor.redis.sadd("dramatiq:__acks__.somebody.interactive", "x")
    floor.redis.zadd("dramatiq:__heartbeats__", {"somebody": int(time.time() * 1000) - 45_000})


def unknown_worker(floor: Floor) -> None:
    dead_worker(floor)
    floor.redis.delete("dramatiq:__heartbeats__")


def dead_worker_of_delays(floor: Floor) -> None:
    floor.put(written(a_message()), "interactive.DQ", id_="x")
    floor.redis.lpop("dramatiq:interactive.DQ")
    floor.redis.sadd("dramatiq:__acks__.somebody.interactive.DQ", "x")


def ids_alone(floor: Floor) -> None:
    floor.redis.rpush("dramatiq:interactive", *(f"gone-{number}" for number in range(2_500)))
    floor.put(written(a_message()))


def twice_on_the_list(floor: Floor) -> None:
    floor.redis.rpush("dramatiq:interactive", floor.put(written(a_message())))


def the_message_itself(floor: Floor) -> None:
    floor.redis.rpush("dramatiq:interactive", written(a_message()))


def an_id_of_bytes(floor: Floor) -> None:
    floor.redis.hset("dramatiq:interactive.msgs", b"\xff\x00", written(a_message()))  # type: ignore[arg-type]
    floor.redis.rpush("dramatiq:interactive", b"\xff\x00")


def delayed_at_a_dead_worker(floor: Floor) -> None:
    dead_worker(floor)
    message = a_message(options={"eta": 5, "redis_message_id": "x"})
    floor.redis.hset("dramatiq:interactive.msgs", "x", written(message))  # type: ignore[arg-type]


LEFT = (
    *(dead_letter, lost_list, lost_delays, lost_times, dead_worker, unknown_worker, dead_worker_of_delays, ids_alone),
    *(twice_on_the_list, the_message_itself, an_id_of_bytes, delayed_at_a_dead_worker),
)


@pytest.mark.parametrize("leave", LEFT, ids=[one.__name__ for one in LEFT])
def test_g11_what_was_left_behind(floor: Floor, leave: Callable[[Floor], None]) -> None:
    """G11: whoever left it and wherever, a job is taken within seconds, and nothing stays behind."""
    leave(floor)
    floor.start()
    floor.accepted("odd")
    floor.empty()


WRONG = [
    *("interactive", "interactive.msgs", "interactive.DQ", "interactive.DQ.msgs", "interactive.XQ", "bulk"),
    *("interactive.later", "interactive.later.msgs", "__heartbeats__"),
]


@pytest.mark.parametrize("name", WRONG)
def test_a_key_of_another_type(floor: Floor, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the place of a queue's key is set aside, the queue works, and it is counted as stuck."""
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    floor.redis.set(f"dramatiq:{name}", "Ada Example")
    floor.start()
    eventually(lambda: floor.redis.type(f"dramatiq:{name}") != b"string")
    floor.send(a_job("k-1"))
    floor.accepted("k-1")
    [one] = look(NudgeBroker(floor.broker_url)).stuck()
    assert one.queue.startswith(f"{name}.aside.")
    assert (one.place, one.count) == ("foreign", 1)


def test_what_a_living_worker_lost_sight_of(floor: Floor) -> None:
    """What a worker has fetched and does not know of, as after an answer that was lost, goes back while it lives."""
    worker = floor.start()
    porter = floor.porters.pop()
    porter.stop()
    broker: NudgeBroker = worker.broker  # type: ignore[assignment]
    floor.put(written(a_message()), id_="x")
    eventually(lambda: floor.ledger.read("odd"))
    floor.redis.hset("dramatiq:interactive.msgs", "y", written(a_message(args=[a_job("lost")])))  # type: ignore[arg-type]
    floor.redis.sadd(f"dramatiq:__acks__.{broker.worker_id}.interactive", "y")
    assert [porter._lost_sight_of() for _ in range(2)] == [0, 1]
    floor.accepted("lost")
    floor.empty()


def test_what_a_living_worker_has_stays_with_it(floor: Floor) -> None:
    """What somebody has in hand, and what waits on a list, is not brought again, however often it is looked for."""
    other, broker = NudgeBroker(floor.broker_url), NudgeBroker(floor.broker_url)
    for _ in range(6):
        floor.put(written(a_message()))
    assert len(other.fetch("interactive", 4)[1]) == 4
    porter = Porter(broker)
    assert [porter.run_once() for _ in range(20)] == [0] * 20
    assert broker.depths()["interactive"] == 2


def test_workers_that_are_gone_are_forgotten(floor: Floor) -> None:
    """Of producers and workers without a sign of life nothing is kept, but where other programs still need it."""
    old_ms = int(time.time() * 1000) - 3_600_000
    floor.redis.zadd("dramatiq:__heartbeats__", {f"p-{number}": old_ms for number in range(50)} | {"theirs": old_ms})
    floor.redis.sadd("dramatiq:__acks__.theirs.mails", "x")
    broker = NudgeBroker(floor.broker_url)
    Porter(broker).run_once()
    assert set(floor.redis.zrange("dramatiq:__heartbeats__", 0, -1)) == {b"theirs", broker.worker_id.encode()}
    assert floor.redis.smembers("dramatiq:__acks__.theirs.mails") == {b"x"}


def test_a_worker_that_ends_gives_everything_back(floor: Floor) -> None:
    """What a consumer has fetched and not handed out goes back when it ends."""
    broker = NudgeBroker(floor.broker_url)
    for _ in range(6):
        floor.put(written(a_message()))
    consumer = broker.consume("interactive", prefetch=8)
    assert next(consumer) is not None
    consumer.close()
    assert broker.depths()["interactive"] == 5
    assert len(broker.held["interactive"]) == 1
