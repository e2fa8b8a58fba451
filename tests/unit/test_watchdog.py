"""The watchdog looks at real threads that die, hang and move; Redis is left out."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from workers import watchdog as module
from workers.ledger import LEASE_MS, REDIS_TIMEOUT_S, STEP_LIMIT_S
from workers.logs import ALLOWED
from workers.watchdog import EXIT_STATUS, HUNG_GRACE_LOOKS, HUNG_LOOKS, LOOK_EVERY_S, STUCK_LOOKS, Watchdog

PATIENCE_S = 10.0


class Threads:
    """Threads that move, hang or end as told."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self._all: list[threading.Thread] = []

    def start(self, name: str, body: Callable[[], object]) -> Any:
        thread: Any = threading.Thread(target=body, name=name, daemon=True)
        thread.stop = lambda: None
        thread.start()
        self._all.append(thread)
        return thread

    def moving(self, name: str) -> Any:
        def move() -> None:
            while not self.release.wait(0.001):
                pass

        return self.start(name, move)

    def hanging(self, name: str) -> Any:
        return self.start(name, self.release.wait)

    def dead(self, name: str) -> Any:
        thread = self.start(name, lambda: None)
        thread.join()
        return thread

    def end(self) -> None:
        self.release.set()
        for thread in self._all:
            thread.join()


class Pack:
    """A watchdog with the threads of a worker around it."""

    def __init__(self, threads: Threads) -> None:
        self.threads = threads
        self.ended: list[int] = []
        self.dog = Watchdog([], {}, self.ended.append)
        self.dog._worker = SimpleNamespace(
            workers=[threads.moving("w")], consumers={"bulk": threads.moving("c")}, worker_threads=4
        )

    def look(self, times: int = 1) -> Any:
        """Look so often, a little apart so that what moves is seen to move; answers the last finding."""
        finding = None
        for _ in range(times):
            threading.Event().wait(0.005)
            finding = self.dog.look()
        return finding


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Threads that end with the test."""
    made = Threads()
    yield made
    made.end()


@pytest.fixture
def pack(threads: Threads) -> Pack:
    """A watchdog, a worker and our own threads, all well."""
    made = Pack(threads)
    for name in ("leases", "pulse"):
        threads.moving(name)
    return made


def test_everything_is_noticed_within_15_s() -> None:
    """A thread that hangs is noticed within 15 s, and never while it may still wait for Redis' answer."""
    assert STUCK_LOOKS * LOOK_EVERY_S + LOOK_EVERY_S < 15
    assert STUCK_LOOKS * LOOK_EVERY_S > 2 * REDIS_TIMEOUT_S
    assert HUNG_LOOKS * LOOK_EVERY_S >= STEP_LIMIT_S
    assert HUNG_GRACE_LOOKS * LOOK_EVERY_S < 15
    assert module.END_GRACE_S * 1000 < LEASE_MS


def test_all_is_well(pack: Pack) -> None:
    """Threads that move are left alone, however often they are seen."""
    assert pack.look(5 * STUCK_LOOKS) is None


@pytest.mark.parametrize("name", ["leases", "pulse"])
def test_own_thread_missing(threads: Threads, name: str) -> None:
    """The renewal of leases and the pulse have to run from the beginning."""
    pack = Pack(threads)
    threads.moving({"leases": "pulse", "pulse": "leases"}[name])
    assert pack.look() == module.Finding("a thread has died", name)


def test_sweep_died(pack: Pack) -> None:
    """A sweep that ran has to go on; one that was never started is switched off."""
    assert pack.look() is None
    ends = threading.Event()
    sweep = pack.threads.start("sweep", ends.wait)
    assert pack.look() is None
    ends.set()
    sweep.join()
    assert pack.look() == module.Finding("a thread has died", "sweep")


def test_consumer_died(pack: Pack) -> None:
    """A lane whose consumer thread has died is noticed at the next look."""
    pack.dog._worker.consumers["interactive"] = pack.threads.dead("c")
    assert pack.look() == module.Finding("a thread has died", "consumer of interactive")


def test_worker_thread_died(pack: Pack) -> None:
    """A pool that has lost a thread is noticed at the next look."""
    pack.dog._worker.workers.append(pack.threads.dead("w"))
    assert pack.look() == module.Finding("a thread has died", "worker")


@pytest.mark.parametrize("name", ["pulse", "leases"])
def test_own_thread_hangs(threads: Threads, name: str) -> None:
    """A thread of ours that stands still is found with the place where it stands, and not before its time."""
    pack = Pack(threads)
    threads.hanging(name)
    threads.moving({"leases": "pulse", "pulse": "leases"}[name])
    assert pack.look(STUCK_LOOKS - 1) is None
    found = pack.look()
    assert (found.reason, found.name) == ("a thread hangs", name)
    assert "threading.py:" in found.where


def test_consumer_hangs(pack: Pack) -> None:
    """A consumer that stands still is found."""
    pack.dog._worker.consumers["interactive"] = pack.threads.hanging("c")
    assert pack.look(STUCK_LOOKS - 1) is None
    assert pack.look().name == "consumer of interactive"


def test_no_alarm_while_redis_is_away(pack: Pack) -> None:
    """While Redis does not answer nobody is blamed for standing still, and when it is back the count begins anew."""
    away = True

    def ping() -> bool:
        if away:
            raise redis.ConnectionError
        return True

    pack.dog._redis = [SimpleNamespace(ping=ping)]  # type: ignore[list-item]
    pack.dog._worker.consumers["interactive"] = pack.threads.hanging("c")
    assert pack.look(10 * STUCK_LOOKS) is None
    away = False
    assert pack.look(STUCK_LOOKS - 1) is None
    assert pack.look().name == "consumer of interactive"


def test_the_dead_are_found_while_redis_is_away(pack: Pack) -> None:
    """A dead thread needs no Redis to be dead."""

    def ping() -> bool:
        raise redis.ConnectionError

    pack.dog._redis = [SimpleNamespace(ping=ping)]  # type: ignore[list-item]
    pack.dog._worker.workers.append(pack.threads.dead("w"))
    assert pack.look() == module.Finding("a thread has died", "worker")


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_looked_for_while_threads_are(
    pack: Pack, monkeypatch: pytest.MonkeyPatch, collects: bool
) -> None:
    """No garbage is looked for while the places of threads are read, and afterwards it is as it was."""
    seen: list[bool] = []
    current_frames = sys._current_frames
    monkeypatch.setattr(sys, "_current_frames", lambda: seen.append(gc.isenabled()) or current_frames())
    try:
        if not collects:
            gc.disable()
        assert pack.look() is None
        assert (seen, gc.isenabled()) == ([False], collects)
    finally:
        gc.enable()


def in_hand(pack: Pack, *, key: str = "k-1") -> threading.Event:
    """Let a worker thread take a step in hand and keep it until the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        pack.dog.before_process_message(None, SimpleNamespace(actor_name="refresh", args=(key, 1)))  # type: ignore[arg-type]
        begun.set()
        while not (go_on.wait(0.001) or pack.threads.release.is_set()):
            pass
        pack.dog.after_process_message()

    pack.dog._worker.workers.append(pack.threads.start("w", work))
    assert begun.wait(PATIENCE_S)
    return go_on


def test_step_hangs(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step beyond its limit is logged with its place, and costs the process when it does not end soon after."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(
        module, "log", SimpleNamespace(warning=lambda event, **line: lines.append(line | {"is": event}))
    )
    in_hand(pack)
    assert pack.look(HUNG_LOOKS - 1) is None
    assert lines == []
    assert pack.look(HUNG_GRACE_LOOKS) is None
    assert [(line["is"], line["key"], line["step"]) for line in lines] == [("step.hangs", "k-1", "refresh")]
    assert "test_watchdog.py:" in lines[0]["where"]
    assert set(lines[0]) - {"is"} <= ALLOWED
    found = pack.look()
    assert (found.reason, found.key, found.step) == ("a step hangs", "k-1", "refresh")


def test_step_ends_late(pack: Pack) -> None:
    """A step that ends after all costs nothing."""
    go_on = in_hand(pack)
    assert pack.look(HUNG_LOOKS + 1) is None
    go_on.set()
    pack.dog._worker.workers.pop().join()
    assert pack.look(2 * HUNG_GRACE_LOOKS) is None


def test_skipped_message_is_through(pack: Pack) -> None:
    """A message that is skipped is not in hand any more."""
    pack.dog.before_process_message(None, SimpleNamespace(actor_name="refresh", args=("k-1", 1)))  # type: ignore[arg-type]
    pack.dog.after_skip_message(None, None)
    assert pack.dog._steps == {}


def test_orphan(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose manager is gone ends: nobody else would ever stop it. One that runs without a manager stays."""
    pack.dog._parent = os.getppid() + 1
    assert pack.look() is None
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=1))
    assert pack.look() == module.Finding("Dramatiq's manager is gone")


def test_end_waits_for_steps_in_hand(pack: Pack) -> None:
    """The process ends when steps in hand have ended, having begun nothing new."""
    go_on = in_hand(pack)
    stopped = threading.Event()
    pack.dog._worker.workers[0].stop = stopped.set
    ending = pack.threads.start("e", lambda: pack.dog._end(module.Finding("a thread has died", "pulse")))
    assert stopped.wait(PATIENCE_S)
    ending.join(0.3)
    assert ending.is_alive()
    assert pack.ended == []
    go_on.set()
    ending.join()
    assert pack.ended == [EXIT_STATUS]


def test_end_does_not_wait_for_what_hangs(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that hangs is not waited for, and no other for longer than the grace."""
    in_hand(pack)
    assert pack.look(HUNG_LOOKS) is None
    started = time.monotonic()
    pack.dog._end(module.Finding("a step hangs"))
    assert time.monotonic() - started < 1
    in_hand(pack, key="k-2")
    monkeypatch.setattr(module, "END_GRACE_S", 0.3)
    pack.dog._end(module.Finding("a step hangs"))
    assert pack.ended == [EXIT_STATUS, EXIT_STATUS]


def test_last_line(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a process says why, in fields that pass the filter of the logs."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(
        module, "log", SimpleNamespace(critical=lambda event, **line: lines.append(line | {"event": event}))
    )
    pack.dog._end(module.Finding("a thread hangs", "pulse", "pulse.py:80"))
    (line,) = lines
    assert (line["event"], line["reason"]) == ("watchdog.ending", "a thread hangs")
    assert set(line) <= ALLOWED


def test_end_without_a_pipe_for_the_log(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """An orphan ends though there is nobody left to read its last line."""

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(module, "log", SimpleNamespace(critical=broken))
    pack.dog._end(module.Finding("Dramatiq's manager is gone"))
    assert pack.ended == [EXIT_STATUS]
