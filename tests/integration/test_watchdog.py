"""The watchdog in a real worker: Dramatiq's own threads and ours on a real Redis, killed and made to hang."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import httpx
import pytest
import redis

import ops
from tests.chaos.fleet import Server, until
from workers import watchdog as module
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.engine.pulse import Pulse
from workers.ledger import Ledger, Nudge, connect
from workers.process.lifespan import ProcessLife
from workers.watchdog import EXIT_STATUS, STUCK_LOOKS, Watchdog

#: The threads that are killed here end by an exception, which pytest notes.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

#: Pause between two looks in these tests, in seconds; the leases pause for 2 s, which must not look like hanging.
LOOK_EVERY_S = 0.4
#: Longer than the watchdog takes with that.
PATIENCE_S = 12.0


class Process:
    """What a worker process is made of, without the process."""

    def __init__(self, ledger_url: str, broker_url: str) -> None:
        self.ended: list[int] = []
        self.client = connect(ledger_url)
        self.broker = NudgeBroker(broker_url)
        self.ledger = Ledger(self.client)
        transport = httpx.HTTPTransport()
        clients = {"ledger": self.client, "broker": self.broker.client}
        self.dog = Watchdog([ledger_url, broker_url], clients, self.ended.append)
        self.broker.add_middleware(self.dog)
        self.broker.add_middleware(ProcessLife([Leases(self.ledger), Pulse(self.ledger, self.broker)], transport))
        self.release = threading.Event()
        self.handled: list[str] = []
        dramatiq.actor(actor_name="refresh", queue_name="interactive", broker=self.broker)(self.handle)
        self.worker = dramatiq.Worker(self.broker, worker_threads=2, worker_timeout=50)

    def handle(self, key: str, version: int) -> None:
        if key == "hang":
            self.release.wait()
        self.handled.append(key)

    def stop(self) -> None:
        self.release.set()
        self.worker.stop(timeout=2000)
        self.broker.client.close()
        self.client.close()


@pytest.fixture
def process(ledger_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """A worker in this process, with its watchdog; not started."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", LOOK_EVERY_S)
    monkeypatch.setattr(module, "END_GRACE_S", 0.2)
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    made = Process(ledger_url, broker_url)
    yield made
    made.stop()


def why(process: Process, after: Callable[[], object]) -> tuple[str, str | None]:
    """Start the worker, do something to it, and wait for its end; answers the reason and the thread."""
    findings = []
    end = process.dog._end
    process.dog._end = lambda finding: (findings.append(finding), end(finding))  # type: ignore[method-assign,assignment,func-returns-value]
    process.worker.start()
    after()
    until(lambda: bool(process.ended), PATIENCE_S, "the watchdog does not end the process")
    assert process.ended == [EXIT_STATUS]
    (finding,) = findings
    return finding.reason, finding.name


def die(*_: Any, **__: Any) -> Any:
    """End the thread that calls this; nothing catches it, and nothing prints it."""
    raise SystemExit


def hang(process: Process) -> Callable[..., Any]:
    """Make what never returns."""

    def wait(*_: Any, **__: Any) -> Any:
        process.release.wait()
        raise SystemExit

    return wait


def test_consumer_dies(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer thread that something ends, which Dramatiq never starts again, ends the process."""

    def kill() -> None:
        monkeypatch.setattr(process.broker, "do_fetch", die, raising=False)

    reason, name = why(process, kill)
    assert reason == "a thread has died"
    assert str(name).startswith("consumer of ")


def test_consumer_hangs(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer whose call to Redis never returns ends the process, while Redis answers others."""

    def kill() -> None:
        monkeypatch.setattr(process.broker, "do_fetch", hang(process), raising=False)

    reason, name = why(process, kill)
    assert reason == "a thread hangs"
    assert str(name).startswith("consumer of ")


def test_worker_thread_dies(process: Process) -> None:
    """A worker thread that is gone ends the process."""

    def kill() -> None:
        process.worker.workers[0].process_message = die
        process.worker.workers[1].process_message = die
        process.broker.send(nudge_for("k-1"))

    assert why(process, kill) == ("a thread has died", "worker")


def test_pulse_hangs(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulse that does not go round ends the process."""

    def kill() -> None:
        monkeypatch.setattr(process.broker, "depths", hang(process))

    assert why(process, kill) == ("a thread hangs", "pulse")


def test_pulse_dies(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulse that an error of ours has ended ends the process."""

    def kill() -> None:
        monkeypatch.setattr(process.broker, "depths", die)

    assert why(process, kill) == ("a thread has died", "pulse")


def test_step_hangs(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step far beyond its limit ends the process."""
    monkeypatch.setattr(module, "HUNG_LOOKS", 2)
    assert why(process, lambda: process.broker.send(nudge_for("hang"))) == ("a step hangs", "worker")


@pytest.mark.parametrize("name", ["ledger", "broker"])
def test_connections_are_lost(process: Process, name: str) -> None:
    """A client whose connections were taken and never given back ends the process, though every thread still moves."""
    pool = process.dog._clients[name].connection_pool
    lost: list[Any] = []

    def take_one() -> None:
        with contextlib.suppress(redis.MaxConnectionsError):
            lost.append(pool.get_connection())

    def lose() -> None:
        pool.max_connections = 1
        until(lambda: take_one() or len(lost) == pool._created_connections, PATIENCE_S, "others have connections left")

    assert why(process, lose) == ("the connections to Redis are used up", name)
    for connection in lost:
        pool.release(connection)


def test_connections_are_short_for_a_moment(process: Process) -> None:
    """A client that has no connection to give at some looks, and then has, costs nothing."""
    pool, dog = process.client.connection_pool, process.dog
    pool.max_connections = 1
    for _ in range(3):
        taken = pool.get_connection()
        assert [list(dog._without_connections()) for _ in range(STUCK_LOOKS - 1)] == [[]] * (STUCK_LOOKS - 1)
        pool.release(taken)
        assert list(dog._without_connections()) == []


def nudge_for(key: str) -> Nudge:
    """A nudge for a record that need not exist."""
    return Nudge("interactive", "refresh", key, 1)


def test_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that idles, works, loses Redis and finds it again is left alone, and works on without a restart."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", LOOK_EVERY_S)
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    with Server(tmp_path / "redis") as server:
        process = Process(server.url_for(0), server.url_for(1))
        process.worker.start()
        try:
            process.broker.send(nudge_for("k-1"))
            until(lambda: process.handled == ["k-1"], PATIENCE_S, "nothing is handled")
            server.end(signal.SIGTERM)
            away = time.monotonic() + 8 * LOOK_EVERY_S
            until(lambda: time.monotonic() > away, PATIENCE_S)
            server.start_again()

            def handled() -> bool:
                with contextlib.suppress(redis.RedisError):
                    process.broker.send(nudge_for("k-2"))
                return "k-2" in process.handled

            until(handled, PATIENCE_S, "nothing is handled after Redis came back")
            assert process.ended == []
        finally:
            process.stop()
    assert process.ended == []


SCRIPT = """
import sys, threading
import dramatiq, httpx
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.ledger import Ledger, connect
from workers.logs import configure_logs
from workers.process.lifespan import ProcessLife
from workers.engine.pulse import Pulse
from workers.watchdog import Watchdog

configure_logs("json")
ledger_url, broker_url = sys.argv[1:]
ledger, broker, transport = Ledger(connect(ledger_url)), NudgeBroker(broker_url), httpx.HTTPTransport()
broker.add_middleware(Watchdog([ledger_url, broker_url], {"ledger": ledger.client, "broker": broker.client}))
broker.add_middleware(ProcessLife([Leases(ledger), Pulse(ledger, broker)], transport))
dramatiq.Worker(broker, worker_threads=2).start()
broker.do_fetch = lambda *_: sys.exit()
threading.Event().wait()
"""


def test_process_ends(ledger_url: str, broker_url: str) -> None:
    """A real process with a dead consumer ends within 15 s, with a status and a line that says why."""
    root = str(Path(ops.__file__).parents[1])
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, ledger_url, broker_url],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert ended.returncode == EXIT_STATUS, ended.stderr
    assert time.monotonic() - started < 15
    assert '"reason": "a thread has died"' in ended.stderr
    assert '"event": "watchdog.ending"' in ended.stderr
