"""The broker between processes' threads: the bell, the queues, and nothing that Dramatiq would delay."""

from __future__ import annotations

import threading
import time

import dramatiq
import pytest

from workers.engine import broker as broker_module
from workers.engine.broker import NudgeBroker
from workers.ledger import LANES, Nudge


def test_one_queue_a_lane(broker_url: str) -> None:
    """Every lane has its queue, and none has a delay queue that a consumer would poll."""
    broker = NudgeBroker(broker_url)
    assert broker.get_declared_queues() == set(LANES)
    assert broker.delay_queues == set()


def test_depths(broker_url: str) -> None:
    """What nobody has fetched yet is counted by lane."""
    broker = NudgeBroker(broker_url)
    dramatiq.actor(actor_name="refresh", queue_name="bulk", broker=broker)(lambda key, version: None)
    for number in range(3):
        broker.send(Nudge("bulk", "refresh", f"k-{number}", 1))
    assert broker.depths() == {"interactive": 0, "bulk": 3, "reidentify": 0}
    consumer = broker.consume("bulk", prefetch=8)  # of which a bulk lane has two
    assert next(consumer) is not None
    assert broker.depths()["bulk"] == 1


def test_many_are_sent_as_one_is(broker_url: str) -> None:
    """Nudges sent together arrive like those sent one by one, each acknowledged by itself."""
    broker = NudgeBroker(broker_url)
    broker.send_many([Nudge("bulk", "refresh", "k-1", 1), Nudge("interactive", "refresh", "k-2", 2)])
    broker.send(Nudge("bulk", "refresh", "k-3", 3))
    consumer, found = broker.consume("bulk", prefetch=5, timeout=1), []
    deadline = time.monotonic() + 10
    while len(found) < 2 and time.monotonic() < deadline:
        if (message := next(consumer)) is not None:
            found.append((message.queue_name, message.actor_name, tuple(message.args)))
            consumer.ack(message)
    assert sorted(found) == [("bulk", "refresh", ("k-1", 1)), ("bulk", "refresh", ("k-3", 3))]
    assert broker.depths() == {"interactive": 1, "bulk": 0, "reidentify": 0}
    assert broker.client.hlen("dramatiq:bulk.msgs") == 0


class Bell(threading.Event):
    """A bell that tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_for.set()
        return super().wait(timeout)


@pytest.mark.parametrize("many", [False, True])
def test_bell_ends_the_pause(broker_url: str, monkeypatch: pytest.MonkeyPatch, *, many: bool) -> None:
    """A nudge sent by this process is taken at once, however long the consumer would have slept."""
    monkeypatch.setattr(broker_module, "IDLE_MIN_S", 30.0)
    monkeypatch.setattr(broker_module, "IDLE_MAX_S", 30.0)
    broker = NudgeBroker(broker_url)
    done, bell = threading.Event(), Bell()
    monkeypatch.setitem(broker._bells, "interactive", bell)

    def note(key: str, version: int) -> None:
        done.set()

    dramatiq.actor(actor_name="refresh", queue_name="interactive", broker=broker)(note)
    worker = dramatiq.Worker(broker, queues={"interactive"}, worker_threads=1)
    worker.start()
    try:
        assert bell.waited_for.wait(10), "the consumer does not begin its pause"
        nudge = Nudge("interactive", "refresh", "k-1", 1)
        if many:
            broker.send_many([nudge])
        else:
            broker.send(nudge)
        assert done.wait(10), "the consumer slept on"
    finally:
        bell.set()
        worker.stop(timeout=1000)
