"""Direct enqueueing: jobs as messages of any producer; accepted, refused, held or put back, and never left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

from ops.cli import main
from tests.integration.test_endpoints import eventually
from tests.world import PLENTY, a_job
from workers.engine.broker import NudgeBroker
from workers.engine.inventory import Inventory
from workers.intake import messages as direct_module
from workers.intake.messages import ACTOR, MOST_TRIES, DirectEnqueueing
from workers.intake.rejections import AT_MOST, KEPT_MS, Refusals
from workers.intake.submit import FrontDoor
from workers.ledger import LANES, PREFIX, Ledger
from workers.operate.summary import summarised
from workers.secrets.vault import Place, Vault, new_key

ROOT = Path(__file__).resolve().parents[2]
PRODUCER = ROOT / "ops" / "examples" / "producer.py"


class Shaky(Ledger):
    """A ledger that can be away."""

    away = False
    calls = 0

    def _call(self, operation: str, *arguments: Any, **more: Any) -> Any:
        self.calls += 1
        if self.away:
            raise redis.ConnectionError("away")
        return super()._call(operation, *arguments, **more)


class Broken(Vault):
    """A vault with a mistake in it."""

    def seal(self, place: Place, value: Any) -> bytes:
        raise ZeroDivisionError(f"{value}")


class Fleet:
    """A worker process's part in this, in threads."""

    #: The queues that its workers read; None: all.
    queues: frozenset[str] | None = frozenset({"interactive"})

    def __init__(self, client: redis.Redis, broker_url: str) -> None:
        self.broker_url = broker_url
        self.ledger = Shaky(client, PLENTY)
        self.vault = Vault([new_key()])
        self.refusals = Refusals(self.ledger)
        self.nudges: list[Any] = []
        self.producer = RedisBroker(url=broker_url)  # type: ignore[no-untyped-call]
        self.producer.declare_queue("interactive")
        self.workers: list[dramatiq.Worker] = []

    def start(self) -> dramatiq.Worker:
        """Start a worker."""
        broker = NudgeBroker(self.broker_url)
        direct = DirectEnqueueing(FrontDoor(self.ledger, self.vault, self.nudges.append), self.refusals)
        broker.add_middleware(CurrentMessage())
        broker.add_middleware(direct)
        direct.declare(broker)
        worker = dramatiq.Worker(broker, queues=self.queues, worker_threads=2, worker_timeout=50)
        worker.start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop(timeout=20_000)
            worker.broker.close()
            worker.broker.client.close()  # type: ignore[attr-defined]
        self.workers.clear()

    def send(self, *arguments: Any, actor: str = ACTOR, **named: Any) -> dramatiq.Message[Any]:
        """Send a message as any producer does."""
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name="interactive", actor_name=actor, args=arguments, kwargs=named, options={}
        )
        self.producer.enqueue(message)
        return message

    def left(self) -> dict[str, int]:
        """Count what the broker holds: waiting, or in somebody's hands, or dead."""
        client = self.producer.client
        return {
            "messages": client.hlen("dramatiq:interactive.msgs"),
            "dead": client.hlen("dramatiq:interactive.XQ.msgs"),
        }

    def done(self) -> None:
        """Wait until every message is acknowledged."""
        eventually(lambda: self.left()["messages"] == 0)
        assert self.left()["dead"] == 0


@pytest.fixture
def fleet(client: redis.Redis, broker_url: str) -> Iterator[Fleet]:
    made = Fleet(client, broker_url)
    yield made
    made.ledger.away = False
    made.stop()
    made.producer.close()
    made.producer.client.close()


def everything(*clients: redis.Redis) -> bytes:
    """All that these databases hold, as bytes."""
    return b"".join(client.dump(key) or b"" for client in clients for key in client.scan_iter())


def test_a_producer_in_another_process(fleet: Fleet, broker_url: str, client: redis.Redis) -> None:
    """A program that imports nothing of ours hands a job in, and nothing of it stays in the broker."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", str(PRODUCER), "crm-1", "ada@example.com"],
        env={**environment, "BROKER_URL": broker_url},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "crm-1 is on the queue\n"
    fleet.start()
    fleet.done()
    read = fleet.ledger.read("crm-1")
    assert read
    assert (read.record.phase, read.record.lane) == ("received", "interactive")
    assert [nudge.key for nudge in fleet.nudges] == ["crm-1"]
    assert b"ada@example.com" not in everything(client, fleet.producer.client)


REFUSED = [
    pytest.param(({},), {}, None, {"missing"}, id="empty"),
    pytest.param((), {}, None, {"malformed_message"}, id="no argument"),
    pytest.param((a_job(), 2), {}, "k-1", {"malformed_message"}, id="two arguments"),
    pytest.param((), {"job": a_job()}, "k-1", {"malformed_message"}, id="named"),
    pytest.param((json.dumps(a_job()),), {}, None, {"not_an_object"}, id="text"),
    pytest.param((None,), {}, None, {"not_an_object"}, id="null"),
    pytest.param(([a_job()],), {}, None, {"not_an_object"}, id="list"),
    pytest.param((a_job("k-1", colour="red"),), {}, "k-1", {"unknown_field"}, id="unknown field"),
    pytest.param((a_job("k" * 256),), {}, None, {"too_long"}, id="long key"),
    pytest.param((a_job("a\nb"),), {}, None, None, id="unprintable key"),
    pytest.param((a_job(7),), {}, None, None, id="key is a number"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("arguments", "named", "key", "codes"), REFUSED)
def test_what_is_refused(
    fleet: Fleet,
    client: redis.Redis,
    arguments: tuple[Any, ...],
    named: dict[str, Any],
    key: str | None,
    codes: set[str] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A job that is none is acknowledged and listed, with the reasons and its key, and without its input."""
    fleet.start()
    fleet.send(*arguments, **named)
    fleet.done()
    [refusal] = fleet.refusals.newest()
    assert refusal.key == key
    assert refusal.reasons
    if codes is not None:
        assert {reason.code for reason in refusal.reasons} == codes
    assert fleet.refusals.count() == 1
    stored = everything(client, fleet.producer.client)
    said = capsys.readouterr()
    for secret in ("+approve", "Ada Example"):
        assert secret.encode() not in stored
        assert secret not in said.out + said.err
    assert fleet.nudges == []


@pytest.mark.parametrize(
    ("arguments", "named", "key"),
    [((a_job(),), {}, "k-1"), ((), {"job": a_job()}, "k-1"), (("k-1", "Ada Example"), {}, None), ((), {}, None)],
    ids=["job", "named", "texts", "empty"],
)
def test_an_actor_that_nobody_knows(
    fleet: Fleet,
    client: redis.Redis,
    arguments: tuple[Any, ...],
    named: dict[str, Any],
    key: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A message for an actor of another name is listed with the reason and without its input, and is no dead letter."""
    fleet.start()
    fleet.send(*arguments, actor="start_onbording", **named)
    fleet.done()
    [refusal] = fleet.refusals.newest()
    assert (refusal.key, [reason.code for reason in refusal.reasons]) == (key, ["unknown_actor"])
    stored = everything(client, fleet.producer.client)
    said = capsys.readouterr()
    for secret in ("+approve", "Ada Example"):
        assert secret.encode() not in stored
        assert secret not in said.out + said.err


def test_a_nudge_of_a_newer_release(fleet: Fleet) -> None:
    """A nudge for a step that this release does not know is passed: the pulse sends it again to those who know it."""
    fleet.start()
    fleet.send("k-1", 3, actor="step_of_the_future")
    fleet.done()
    assert fleet.refusals.count() == 0


def test_an_unknown_actor_while_the_ledger_is_away(fleet: Fleet) -> None:
    """What cannot be listed now is held until it can, as a job is."""
    fleet.ledger.away = True
    fleet.start()
    fleet.send(a_job(), actor="start_onbording")
    before = fleet.ledger.calls
    eventually(lambda: fleet.ledger.calls > before + 1)
    assert fleet.left() == {"messages": 1, "dead": 0}
    fleet.ledger.away = False
    fleet.done()
    assert fleet.refusals.count() == 1


def test_a_key_or_an_external_id_that_is_taken(fleet: Fleet) -> None:
    """What the front door refuses is listed like a job with mistakes."""
    fleet.start()
    fleet.send(a_job("k-1", external_id="e-1"))
    fleet.done()
    fleet.send(a_job("k-1", "decline", external_id="e-1"))
    fleet.done()
    fleet.send(a_job("k-2", external_id="e-1"))
    fleet.done()
    second, first = fleet.refusals.newest()
    assert [(reason.pointer, reason.code) for reason in first.reasons] == [
        ("/idempotency_key", "idempotency_key_reused")
    ]
    assert [(reason.pointer, reason.code) for reason in second.reasons] == [("/external_id", "external_id_taken")]
    assert "k-1" in second.reasons[0].text


def test_a_message_that_comes_twice(fleet: Fleet) -> None:
    """However often a message is delivered, there is one record, or one refusal."""
    fleet.start()
    for job in (a_job("k-1"), {"idempotency_key": "k-2"}):
        message = fleet.send(job)
        for _ in range(3):
            fleet.producer.enqueue(message)
    fleet.done()
    assert len(fleet.ledger.history("k-1")) == 1
    assert [refusal.key for refusal in fleet.refusals.newest()] == ["k-2"]


def test_the_ledger_is_away_for_a_moment(fleet: Fleet) -> None:
    """While the ledger does not answer a message is held; when it is back the job is accepted."""
    fleet.ledger.away = True
    fleet.start()
    fleet.send(a_job("k-1"))
    fleet.send({"idempotency_key": "k-2"})
    before = fleet.ledger.calls
    eventually(lambda: fleet.ledger.calls > before + 3)
    assert fleet.left() == {"messages": 2, "dead": 0}
    fleet.ledger.away = False
    fleet.done()
    assert fleet.ledger.read("k-1")
    assert fleet.refusals.count() == 1


def test_the_ledger_is_away_for_long(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that was held for long is put back, so that others have their turn, and is not lost."""
    monkeypatch.setattr(direct_module, "HOLD_S", 0.0)
    monkeypatch.setattr(direct_module, "AWAY_S", 0.01)
    fleet.ledger.away = True
    fleet.start()
    fleet.send(a_job("k-1"))
    before = fleet.ledger.calls
    eventually(lambda: fleet.ledger.calls > before + 20)
    assert fleet.left()["dead"] == 0
    assert fleet.left()["messages"] in (1, 2), "the copy, and for a moment the one that is about to be acknowledged"
    fleet.ledger.away = False
    fleet.done()
    assert fleet.ledger.read("k-1")


def test_the_process_ends_while_the_ledger_is_away(fleet: Fleet) -> None:
    """A worker that stops puts back what it holds; the next one takes it."""
    fleet.ledger.away = True
    fleet.start()
    for number in range(4):
        fleet.send(a_job(f"k-{number}"))
    before = fleet.ledger.calls
    eventually(lambda: fleet.ledger.calls > before + 2)
    fleet.stop()
    assert fleet.left() == {"messages": 4, "dead": 0}
    fleet.ledger.away = False
    fleet.start()
    fleet.done()
    assert all(fleet.ledger.read(f"k-{number}") for number in range(4))


def test_the_broker_is_away_as_well(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """While neither answers, the message is neither acknowledged nor lost."""
    monkeypatch.setattr(direct_module, "HOLD_S", 0.0)
    monkeypatch.setattr(direct_module, "AWAY_S", 0.01)
    fleet.ledger.away = True
    worker = fleet.start()
    tried: list[int] = []

    def away(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise redis.ConnectionError("away")

    monkeypatch.setattr(worker.broker, "enqueue", away)
    fleet.send(a_job("k-1"))
    eventually(lambda: len(tried) > 5)
    assert fleet.left() == {"messages": 1, "dead": 0}
    fleet.ledger.away = False
    fleet.done()
    assert fleet.ledger.read("k-1")


def test_something_unforeseen(fleet: Fleet, client: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """A message that meets a mistake of ours is tried some times, then listed; nothing of it is told in a log."""
    fleet.vault = Broken([new_key()])
    fleet.start()
    fleet.send(a_job("k-1"))
    eventually(fleet.refusals.count)
    fleet.done()
    [refusal] = fleet.refusals.newest()
    assert (refusal.key, refusal.reasons[0].code) == ("k-1", "unexpected")
    said = capsys.readouterr()
    assert (said.out + said.err).count("job.failed") == MOST_TRIES
    assert b"example.com" not in everything(client, fleet.producer.client)


def test_refusals_are_bounded(client: redis.Redis) -> None:
    """The newest refusals are kept, so many and no more, and not for ever."""
    shift = [0]
    ledger = Ledger(client, PLENTY, lambda: shift[0])
    refusals = Refusals(ledger)
    for number in range(AT_MOST + 5):
        ledger.call("refuse", f"m-{number:04d}", '{"key":null,"reasons":[]}', KEPT_MS, AT_MOST)
    assert refusals.count() == AT_MOST
    assert client.hlen(f"{PREFIX}refused_jobs") == AT_MOST
    shift[0] += KEPT_MS + 1
    assert refusals.count() == 0
    ledger.call("refuse", "new", '{"key":null,"reasons":[]}', KEPT_MS, AT_MOST)
    assert client.hkeys(f"{PREFIX}refused_jobs") == [b"new"]


def test_the_list_on_the_command_line(
    fleet: Fleet, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`onboarding refused` shows what was refused and why."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)
    assert main(["refused"]) == 0
    assert "No job" in capsys.readouterr().err
    fleet.start()
    fleet.send({"idempotency_key": "k-1"})
    fleet.done()
    capsys.readouterr()
    assert main(["refused", "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["idempotency_key"] == "k-1"
    assert [reason["pointer"] for reason in told["reasons"]] == ["/customer"]
    assert main(["refused"]) == 0
    assert "/customer" in capsys.readouterr().err
    assert summarised(fleet.ledger, dict.fromkeys(LANES, 0), Inventory(()))["refused"] == 1
