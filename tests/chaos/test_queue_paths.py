"""The ways on which Dramatiq with Redis loses, strands or doubles work, each by its label: here none does.

L are paths of loss, D of doubling, as this project numbers what it found in dramatiq 2.2. The broker and the worker are
real; where a path cannot occur, the test shows the fact that rules it out on the real object.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import httpx
import pytest
import redis
import structlog

import ops
from ops.sandbox.lab.faults import Fault
from pipelines.errors import StaleClaimError
from pipelines.lifecycle import Phase
from tests.chaos.fleet import ONCE, until
from tests.world import World
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.engine.porter import Porter
from workers.engine.pulse import Pulse
from workers.ledger import LANES, LEASE_MS, Claim, Nudge
from workers.secrets.vault import new_key

#: Longer than the pulse waits for somebody to take up a nudge, in seconds.
NUDGE_LOST_S = 5.1
#: Real seconds within which anything here happens.
PATIENCE_S = 15.0
#: Turns the ledger's and Iron's clock by so much at each look, in seconds.
TURN_S = 0.2


class Wired:
    """A world whose queue is the real broker, with real workers on it."""

    def __init__(self, world: World, broker_url: str) -> None:
        self.world = world
        self.broker_url = broker_url
        self.workers: list[dramatiq.Worker] = []
        self.brokers: list[NudgeBroker] = []
        self.broker = self.another_broker()
        world.queue = self.broker  # type: ignore[assignment]
        world.pulse = Pulse(world.ledger, self.broker)
        world.runner.send = self.broker.send
        world.door._send = self.broker.send
        declare_actors(self.broker, world.runner)

    def another_broker(self) -> NudgeBroker:
        """A broker of another process."""
        self.brokers.append(NudgeBroker(self.broker_url))
        return self.brokers[-1]

    def start(self, broker: NudgeBroker | None = None) -> dramatiq.Worker:
        """Start a worker."""
        worker = dramatiq.Worker(broker or self.broker, worker_threads=4, worker_timeout=50)
        worker.start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop(timeout=2000)
        for broker in self.brokers:
            broker.client.close()

    def waiting(self) -> int:
        """Count the messages that nobody has acknowledged."""
        return sum(self.broker.client.hlen(f"dramatiq:{lane}.msgs") for lane in LANES)

    def version(self, key: str = "k-1") -> int:
        return self.world.record(key).version

    def pulse_brings_back(self, *keys: str) -> None:
        """What nobody took up is sent again by the pulse, and goes on."""
        keys = keys or ("k-1",)
        before = {key: self.version(key) for key in keys}
        assert all(self.world.read(key).due_ms for key in keys)
        self.world.advance(NUDGE_LOST_S)
        assert self.world.pulse.run_once().nudges >= len(keys)
        until(lambda: all(self.version(key) > before[key] for key in keys), PATIENCE_S, "the pulse brings nothing back")

    def finish(self, *keys: str) -> None:
        """Let time pass until all are active, and look what Iron's books hold."""
        keys = keys or ("k-1",)

        def ended() -> bool:
            self.world.advance(TURN_S)
            self.world.hear()
            self.world.pulse.run_once()
            for key in keys:
                read = self.world.read(key)
                open_ = [one for one in read.record.signings if not one.consented_ms]
                if read.record.phase is Phase.SIGNINGS_REQUIRED and open_ and not read.acts_waiting:
                    self.world.consent(key)
            return all(self.world.record(key).phase is Phase.ACTIVE for key in keys)

        until(ended, PATIENCE_S, "not active")
        assert self.world.effects() == dict.fromkeys(keys, ONCE)


@pytest.fixture
def wired(world: World, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wired]:
    """A world on the real broker; its worker is not started."""
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    monkeypatch.setattr(
        "workers.engine.runner.log", structlog.ReturnLogger()
    )  # workers go on between the parts of a test
    world.runner.going_on = False  # each step's nudge goes through the queue, which this is about
    made = Wired(world, broker_url)
    yield made
    made.stop()


def failing(broker: NudgeBroker, command: str, error: type[redis.RedisError], times: int = 1) -> Callable[[], bool]:
    """Let a command of the broker fail so often; answers whether it has."""
    real, left = getattr(broker, f"do_{command}"), [times]

    def do(*arguments: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise error("not now")
        return real(*arguments)

    setattr(broker, f"do_{command}", do)
    return lambda: left[0] <= 0


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """What the worker process is made of, asked of the real one."""
    script = (
        "import inspect, json; from workers.app import broker; print(json.dumps({"
        "'middleware': [type(one).__name__ for one in broker.middleware],"
        "'delay_queues': sorted(broker.delay_queues), 'queues': sorted(broker.queues),"
        "'options': sorted({name for actor in broker.actors.values() for name in actor.options}),"
        "'async': [name for name, actor in broker.actors.items() if inspect.iscoroutinefunction(actor.fn)]}))"
    )
    settings = {
        "ONBOARDING_REDIS_URL": "redis://127.0.0.1:9/0",
        "ONBOARDING_ENCRYPTION_KEYS": new_key(),
        "IRON_BASE_URL": "https://iron.test/api",
        "IRON_API_KEY": "sandbox-key",
    }
    root = str(Path(ops.__file__).parents[1])
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": root, **settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    made: dict[str, Any] = json.loads(told.stdout)
    return made


def test_l1_retry_of_a_failed_step(wired: Wired, program: dict[str, Any]) -> None:
    """A failed step's retry is a due time in its commit: no message that could be lost while the broker is away."""
    assert "Retries" not in program["middleware"]
    wired.world.sandbox.faults.add(Fault(operation="create_customer", status=503, times=1))
    wired.start()
    wired.world.submit()
    failing(wired.broker, "enqueue", redis.ConnectionError, times=1000)
    until(lambda: wired.world.record().problem is not None, PATIENCE_S, "the step does not fail")
    del wired.broker.do_enqueue
    wired.pulse_brings_back()
    wired.finish()


def test_l2_next_step_of_a_chain(wired: Wired, program: dict[str, Any]) -> None:
    """The next step's nudge may fail: the commit before it has set the due time that sends it again."""
    assert not {"Pipelines", "Callbacks", "GroupCallbacks"} & set(program["middleware"])
    wired.world.submit()
    lost = failing(wired.broker, "enqueue", redis.ConnectionError)
    wired.start()
    until(lambda: lost() and wired.world.record().phase is Phase.CUSTOMER_CREATED, PATIENCE_S, "no nudge is lost")
    wired.pulse_brings_back()
    wired.finish()


def test_l3_connection_error_in_a_delay_consumer(wired: Wired, program: dict[str, Any]) -> None:
    """There is no delay queue and no consumer of one, so a connection error finds nothing in memory to forget."""
    assert program["delay_queues"] == []
    assert program["queues"] == sorted(LANES)
    failed = failing(wired.broker, "fetch", redis.ConnectionError, times=6)
    worker = wired.start()
    assert set(worker.consumers) == set(LANES)
    until(failed, PATIENCE_S, "the consumers do not fetch")
    wired.world.submit()
    wired.finish()


@pytest.mark.parametrize(
    "error",
    [redis.ReadOnlyError, redis.TimeoutError, redis.exceptions.OutOfMemoryError, redis.ConnectionError],
    ids=lambda error: error.__name__,
)
def test_l4_error_in_a_consumer(wired: Wired, error: type[redis.RedisError]) -> None:
    """Whatever Redis answers a consumer, its thread lives on and works on."""
    failed = failing(wired.broker, "fetch", error, times=6)
    worker = wired.start()
    until(failed, PATIENCE_S, "the consumers do not fetch")
    assert all(thread.delay_queue.empty() for thread in worker.consumers.values())
    wired.world.submit()
    wired.finish()
    assert all(thread.is_alive() for thread in worker.consumers.values())


def test_l5_enqueue_of_a_due_delayed_message(wired: Wired) -> None:
    """No message of ours is ever delayed: consumers have none to enqueue, and nothing to fail at."""
    delays = []

    class Note(dramatiq.Middleware):
        def before_enqueue(self, broker: dramatiq.Broker, message: Any, delay: int | None) -> None:
            delays.append((delay, message.options.get("eta")))

    wired.broker.add_middleware(Note())
    wired.start()
    wired.world.submit()
    wired.finish()
    assert set(delays) == {(None, None)}


@pytest.mark.parametrize("error", [redis.TimeoutError, redis.ReadOnlyError], ids=lambda error: error.__name__)
def test_l6_lost_acknowledgement(wired: Wired, error: type[redis.RedisError]) -> None:
    """A message that could not be acknowledged runs again some day, and finds that its step is done."""
    lost = failing(wired.broker, "ack", error)
    wired.start()
    wired.world.submit()
    until(lost, PATIENCE_S, "nothing is acknowledged")
    wired.finish()
    until(lambda: wired.waiting() == 1, PATIENCE_S, "the message is not left over")
    again = redelivered(wired)
    version, calls = wired.version(), wired.world.sandbox.traffic.as_json()
    assert [wired.world.runner.run(*nudge) for nudge in again] == [None]
    assert (wired.version(), wired.world.sandbox.traffic.as_json()) == (version, calls)
    wired.finish()


def redelivered(wired: Wired) -> list[tuple[str, str, int]]:
    """Play another process whose porter takes every other one for dead, and fetch what it brought back."""
    other = wired.another_broker()
    Porter(other, dead_ms=-60_000).search()
    return [(one.message.actor_name, *one.message.args) for one in other.fetch("interactive", 10)[1]]


def test_l7_lost_answer_to_a_fetch(wired: Wired) -> None:
    """Messages whose fetch was answered into the void are sent again by the pulse."""
    for number in range(3):
        wired.world.submit(f"k-{number}")
    assert len(wired.broker.fetch("interactive", 10)[1]) == 3
    wired.start()
    wired.pulse_brings_back("k-0", "k-1", "k-2")
    wired.finish("k-0", "k-1", "k-2")


def test_l8_undecodable_message(wired: Wired) -> None:
    """One message that nobody can read holds up none of its batch: the others are taken at once, without the pulse."""
    for number in range(3):
        wired.broker.do_enqueue("interactive", f"bad-{number}", "neither JSON nor anything")
        wired.world.submit(f"k-{number}")
    before = {key: wired.version(key) for key in ("k-0", "k-1", "k-2")}
    worker = wired.start()
    until(lambda: all(wired.version(key) > seen for key, seen in before.items()), PATIENCE_S, "the batch is dropped")
    wired.finish("k-0", "k-1", "k-2")
    assert all(thread.is_alive() for thread in worker.consumers.values())


def test_l9_unknown_actor_in_a_rolling_deploy(wired: Wired) -> None:
    """A worker that does not know a step throws its nudge away; the pulse sends it again, to one that does."""
    older = wired.another_broker()
    worker = wired.start(older)
    wired.world.submit()
    until(lambda: older.client.zcard("dramatiq:interactive.XQ") == 1, PATIENCE_S, "no dead letter")
    worker.stop(timeout=2000)
    wired.start()
    wired.pulse_brings_back()
    wired.finish()


def test_d1_crash_between_copy_and_acknowledgement(wired: Wired) -> None:
    """Two copies of each nudge, worked on at the same time, do what one does."""
    send = wired.broker.send

    def send_twice(nudge: Nudge) -> None:
        send(nudge)
        send(nudge)

    wired.world.runner.send = wired.world.door._send = send_twice
    wired.world.pulse._broker.send = send_twice  # type: ignore[method-assign]
    for number in range(3):
        wired.world.submit(f"k-{number}")
    wired.start()
    wired.finish("k-0", "k-1", "k-2")
    wired.stop()  # a copy may still be in somebody's hands
    for number in range(3):
        assert len(wired.world.ledger.history(f"k-{number}")) == wired.version(f"k-{number}")


class Gate(httpx.BaseTransport):
    """Iron behind a gate at which the first call waits."""

    def __init__(self, world: World) -> None:
        self.inner = world.transport
        self.calls = 0
        self.waiting, self.opened = threading.Event(), threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.calls == 1:
            self.waiting.set()
            assert self.opened.wait(PATIENCE_S)
        return self.inner.handle_request(request)


@pytest.fixture
def gate(wired: Wired) -> Iterator[Gate]:
    """A worker whose first call to Iron waits at the gate."""
    made = Gate(wired.world)
    wired.world.transport = made
    wired.world.runner.iron = wired.world.worker().iron
    wired.start()
    wired.world.submit()
    assert made.waiting.wait(PATIENCE_S)
    yield made
    made.opened.set()


def test_d2_zombie_redelivery_while_the_first_runs(wired: Wired, gate: Gate) -> None:
    """A message that is taken away from a silent worker, whose lease holds, makes no second call."""
    (again,) = redelivered(wired)
    assert wired.world.runner.run(*again) is None
    assert gate.calls == 1
    gate.opened.set()
    until(lambda: wired.version() > 1, PATIENCE_S, "the first does not commit")
    wired.finish()


def test_d3_enqueue_repeated_by_the_client(wired: Wired) -> None:
    """Each message put on its list twice, as by a client that repeats what it sent, does what one does."""
    real = wired.broker.do_enqueue

    def twice(*arguments: Any) -> None:
        real(*arguments)
        real(*arguments)

    wired.broker.do_enqueue = twice
    worker = wired.start()
    for number in range(3):
        wired.world.submit(f"k-{number}")
    wired.finish("k-0", "k-1", "k-2")
    assert all(thread.is_alive() for thread in (*worker.consumers.values(), *worker.workers))


def noting_refusals(wired: Wired) -> list[str]:
    """Note the steps whose commit is refused from now on."""
    refused = []
    commit = wired.world.ledger.commit

    def note(claim: Claim, *arguments: Any) -> Nudge | None:
        try:
            return commit(claim, *arguments)
        except StaleClaimError:
            refused.append(claim.record.step)
            raise

    wired.world.ledger.commit = note  # type: ignore[method-assign]
    return refused


def test_d4_time_limit_with_the_first_still_running(wired: Wired, gate: Gate, program: dict[str, Any]) -> None:
    """Nothing interrupts a step; one that outlasts its lease is done again elsewhere, and its own commit is refused."""
    assert not {"TimeLimit", "AsyncIO"} & set(program["middleware"])
    assert program["async"] == []
    assert "time_limit" not in program["options"]
    assert not any(inspect.iscoroutinefunction(actor.fn) for actor in wired.broker.actors.values())
    refused = noting_refusals(wired)
    (again,) = redelivered(wired)
    wired.world.advance(LEASE_MS / 1000 + 1)
    assert wired.world.runner.run(*again) is not None
    gate.opened.set()
    until(lambda: bool(refused), PATIENCE_S, "the first does not try to commit")
    assert len(wired.world.ledger.history("k-1")) == wired.version()
    wired.finish()
