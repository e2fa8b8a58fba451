"""The watchdog: a thread that ends its worker process when a part of it has died or hangs, for the supervisor to start.

Dramatiq starts no thread again, and neither do we: a process that has lost one is ended, in order as far as that goes,
Dramatiq's manager ends with it, and compose, systemd or kubernetes starts both. What was in hand goes on when its lease
ends. What it looks for: a thread that has died, a thread that does not move although Redis answers, a step far beyond
its limit, a client of Redis whose connections somebody took and never gave back, and a manager that is gone.

Looks are counted instead of time, so that a process that was frozen is not ended for what it could not do meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import dramatiq
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipelines.onboarding import STEPS
from workers.engine.runner import GOING_ON_S
from workers.ledger import STEP_LIMIT_S
from workers.reconcile import sweep

log = structlog.get_logger()

#: Pause between two looks, in seconds: a dead thread is noticed within it, a hanging one after STUCK_LOOKS of them.
LOOK_EVERY_S = 2.0
#: Looks in a row at which a thread stood at the same instruction of the same call, after which it hangs: 12 s, twice
#: what the longest call to Redis takes (REDIS_TIMEOUT_S).
STUCK_LOOKS = 6
#: The same for the sweep, which pauses for up to a minute and reads pages from Iron.
SWEEP_LOOKS = int(2 * sweep.LONGEST_PAUSE_S / LOOK_EVERY_S)
#: Looks at one message after which its step hangs: those before it took GOING_ON_S at most, and it is beyond its own
#: limit, after which nobody renews its lease.
HUNG_LOOKS = int((GOING_ON_S + STEP_LIMIT_S) / LOOK_EVERY_S)
#: Further looks after which a hanging step costs the process: another 14 s, in which a very slow one may still end.
HUNG_GRACE_LOOKS = 7
#: Seconds that steps in hand get to end before the process does: less than a lease, which perhaps nobody renews now.
END_GRACE_S = 5.0
#: Seconds within which Redis has to answer a ping; while it does not, nobody is blamed for not moving.
ANSWER_S = 1.0
#: Exit status of a process that the watchdog ended: EX_SOFTWARE of sysexits.h.
EXIT_STATUS = 70

#: Our own threads by name, each with the looks after which it hangs.
OWN_THREADS = {
    "leases": STUCK_LOOKS,
    "pulse": STUCK_LOOKS,
    "porter": STUCK_LOOKS,
    "sweep": SWEEP_LOOKS,
    "mover": SWEEP_LOOKS,
    "courier": STUCK_LOOKS,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the process has to end. `name` is the thread, `where` the places in the code that it is at."""

    reason: str
    name: str | None = None
    where: str | None = None
    key: str | None = None
    step: str | None = None


@dataclass(slots=True)
class _Sight:
    """A call in which a thread was seen, and at how many looks in a row.

    It keeps the frame, so that no other takes its place in memory and looks like it.
    """

    frame: FrameType
    instruction: int
    looks: int = 0


@dataclass(slots=True)
class _Step:
    """A message in a worker thread's hands, and at how many looks it was there."""

    message: Any
    looks: int = 0


class Watchdog(dramatiq.Middleware):
    """Looks after the threads of one worker process; the first of the middleware, so that it sees all of them start."""

    def __init__(
        self,
        redis_urls: Sequence[str],
        clients: Mapping[str, redis.Redis],
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """Take the addresses that have to answer before anybody is blamed, and the process's clients by their names."""
        retry = Retry(NoBackoff(), 0)
        self._redis = [
            redis.Redis.from_url(url, retry=retry, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
            for url in redis_urls
        ]
        self._clients = dict(clients)
        #: Looks in a row at which a client had no connection left to give.
        self._used_up = dict.fromkeys(clients, 0)
        self._exit = end
        self._worker: Any = None
        self._parent = 0
        #: Our own threads that should be running; the sweep may be switched off.
        self._seen = {"leases", "pulse"}
        self._sights: dict[int, _Sight] = {}
        self._steps: dict[int, _Step] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    # --- what Dramatiq tells ---------------------------------------------------------------------------------------

    def after_worker_boot(self, _: dramatiq.Broker, worker: Any) -> None:
        """Start looking."""
        self._worker = worker
        self._parent = os.getppid()
        self._thread.start()

    def before_worker_shutdown(self, *_: Any) -> None:
        """Look no more: threads are about to end in order."""
        self._stopped.set()
        self._thread.join()
        for client in self._redis:
            client.close()

    def before_process_message(self, _: dramatiq.Broker, message: Any) -> None:
        """Note what this thread has in hand."""
        self._steps[threading.get_ident()] = _Step(message)

    def after_process_message(self, *_: Any, **__: Any) -> None:
        """Note that it is through."""
        self._steps.pop(threading.get_ident(), None)

    after_skip_message = after_process_message

    # --- looking ---------------------------------------------------------------------------------------------------

    def look(self) -> Finding | None:
        """Look once at everything; answers why the process has to end, if it has to."""
        return next(self._findings(), None)

    def _findings(self) -> Iterator[Finding]:
        if multiprocessing.parent_process() is not None and os.getppid() != self._parent:
            yield Finding("Dramatiq's manager is gone")
        yield from (Finding("a thread has died", name) for name in self._dead())
        if not self._redis_answers():
            self._sights.clear()
            return
        yield from self._without_connections()
        frames = _current_frames()
        for name, thread, limit in self._threads():
            if (frame := frames.get(thread.ident or 0)) and self._looks_at(thread.ident or 0, frame) >= limit:
                yield Finding("a thread hangs", name, _where(frame))
        yield from self._hanging_steps(frames)

    def _threads(self) -> list[tuple[str, threading.Thread, int]]:
        """Return the threads that should always be moving, and the looks after which each hangs."""
        own = [(one.name, one, OWN_THREADS[one.name]) for one in threading.enumerate() if one.name in OWN_THREADS]
        return own + [(_consumer(lane), one, STUCK_LOOKS) for lane, one in list(self._worker.consumers.items())]

    def _dead(self) -> list[str]:
        """Name the threads that ran once, or should have from the beginning, and do not run any more."""
        own = {one.name for one in threading.enumerate() if one.name in OWN_THREADS}
        self._seen |= own
        consumers = [_consumer(lane) for lane, one in list(self._worker.consumers.items()) if not one.is_alive()]
        workers = ["worker" for one in list(self._worker.workers) if not one.is_alive()]
        return [*sorted(self._seen - own), *consumers, *workers]

    def _redis_answers(self) -> bool:
        try:
            return all(client.ping() for client in self._redis)
        except redis.RedisError:
            return False

    def _without_connections(self) -> Iterator[Finding]:
        """Ask each client's pool for a connection and give it back; one that is only short has one again soon."""
        for name, client in self._clients.items():
            pool = client.connection_pool
            try:
                pool.release(pool.get_connection())
            except redis.MaxConnectionsError:
                self._used_up[name] += 1
            except redis.RedisError:  # Redis has gone since it answered
                continue
            else:
                self._used_up[name] = 0
            if self._used_up[name] >= STUCK_LOOKS:
                yield Finding("the connections to Redis are used up", name)

    def _looks_at(self, ident: int, frame: FrameType) -> int:
        """Count the looks in a row at which a thread was at this very point."""
        sight = self._sights.get(ident)
        if sight is None or sight.frame is not frame or sight.instruction != frame.f_lasti:
            sight = self._sights[ident] = _Sight(frame, frame.f_lasti)
        sight.looks += 1
        return sight.looks

    def _hanging_steps(self, frames: dict[int, FrameType]) -> Iterator[Finding]:
        for ident, step in list(self._steps.items()):
            step.looks += 1
            if step.looks < HUNG_LOOKS:
                continue
            where = _where(frames[ident]) if ident in frames else None
            finding = Finding("a step hangs", "worker", where, _key(step.message), step.message.actor_name)
            if step.looks == HUNG_LOOKS:
                log.warning("step.hangs", key=finding.key, step=finding.step, where=where)
            if step.looks >= HUNG_LOOKS + HUNG_GRACE_LOOKS:
                yield finding

    # --- ending ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                finding = self.look()
            except Exception:
                log.exception("watchdog.failed")
                continue
            if finding:
                self._end(finding)
                return

    def _end(self, finding: Finding) -> None:
        """Begin nothing new, let steps in hand end, and end the process."""
        with contextlib.suppress(OSError):  # where the manager is gone, so is the pipe that lines are written to
            log.critical(
                "watchdog.ending",
                reason=finding.reason,
                name=finding.name,
                where=finding.where,
                key=finding.key,
                step=finding.step,
            )
        for thread in self._worker.workers:
            thread.stop()
        for _ in range(int(END_GRACE_S / 0.1)):
            if all(step.looks >= HUNG_LOOKS for step in list(self._steps.values())):
                break
            time.sleep(0.1)
        self._exit(EXIT_STATUS)


def _current_frames() -> dict[int, FrameType]:
    """Return where each thread is, with no look for garbage in between.

    On Python 3.11 such a look, while a thread starts or ends, can stop all threads of the process for good (CPython's
    issue 106883, seen on 3.11.7).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()  # noqa: SLF001 -- documented, and the only way to see where a thread is
    finally:
        if collects:
            gc.enable()


def _key(message: Any) -> str | None:
    """Return the key that a nudge is for; another message's argument is a job, which nobody may log."""
    return str(message.args[0]) if message.actor_name in STEPS and message.args else None


def _consumer(lane: str) -> str:
    return f"consumer of {lane}"


def _where(frame: FrameType) -> str:
    """Write the last places of a thread, the innermost last; places only, no values."""
    places = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=5, lookup_lines=False)
    return " > ".join(f"{place.filename.rpartition('/')[2]}:{place.lineno}" for place in reversed(places))
