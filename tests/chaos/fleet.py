"""The system as processes of its own, for tests that kill, stop and rob it: Redis, the sandbox, and workers.

A Fleet plays everybody around the workers: upstream, which submits jobs and gives customers' consent; the supervisor,
which starts what has ended; and whoever pulls the plug. What counts is read from the sandbox's own books.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx
import redis

from ops.local.embedded import EmbeddedRedis, _spawn, find_server
from ops.local.processes import Child, Processes
from pipelines.errors import OnboardingError
from pipelines.job import parse_job
from pipelines.lifecycle import Phase
from tests.world import API_KEY, a_job
from workers.engine.broker import NudgeBroker
from workers.engine.runner import UnexpectedError
from workers.intake.submit import FrontDoor
from workers.ledger import LANES, PREFIX, Ledger, Lists, Read, connect
from workers.secrets.vault import Vault, new_key

#: What Iron's books must hold of a customer who is active.
ONCE = {"customers": 1, "identifications": 1, "signings": 2}
#: How many times faster than in the sandbox's scripts customers and Iron act.
SPEED = 20.0
#: Seconds after which a trial has failed when nothing says otherwise.
PATIENCE_S = 60.0
#: Seconds between two looks.
LOOK_EVERY_S = 0.02

SETTINGS = {
    "IRON_RATE_PER_SECOND": "2000",
    "IRON_IDENTIFICATIONS_PER_MINUTE": "120000",
    "ONBOARDING_POLL_MIN_S": "0.2",
    "ONBOARDING_SWEEP_INTERVAL_S": "60",
    "ONBOARDING_LOG": "json",
}


def _codes(error: type[OnboardingError]) -> set[str]:
    return {error.code}.union(*map(_codes, error.__subclasses__()))


#: What a history notes of an attempt that failed.
FAILURES = _codes(OnboardingError) | {"poisonous", UnexpectedError.code}


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S, what: str = "") -> float:
    """Look until the condition holds; answers the seconds it took, and fails after so many."""
    started, pause = time.monotonic(), threading.Event()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        pause.wait(LOOK_EVERY_S)
    return time.monotonic() - started


class Server(EmbeddedRedis):
    """An embedded Redis that can be killed, and comes back under the same address with what is in its file."""

    @property
    def file(self) -> Path:
        """The append-only file; from Redis 7 on a folder with its parts."""
        parts = self.folder / "appendonlydir"
        return parts if parts.is_dir() else self.folder / "appendonly.aof"

    def end(self, number: signal.Signals) -> None:
        """Send the server a signal that ends it, and wait until it has ended."""
        process = self._require().process
        process.send_signal(number)
        process.wait()

    def start_again(self) -> None:
        """Start what was ended: same port, same password, same file."""
        running = self._require()
        process = _spawn([str(find_server().path), str(self.folder / "redis.conf")], self.folder, self._lock)
        self._running = replace(running, process=process)
        self._wait_until_it_answers(self._running)


def _copied(file: Path, copy: Path) -> Path:
    """Copy a file or a folder in place of what was there."""
    if file.is_dir():
        shutil.rmtree(copy, ignore_errors=True)
        return Path(shutil.copytree(file, copy))
    return Path(shutil.copy(file, copy))


@dataclass(slots=True)
class Service:
    """One `onboarding worker`: Dramatiq's manager and its process. Started again as often as it ends."""

    name: str
    arguments: list[str]
    child: Child
    starts: int = 1

    @property
    def manager(self) -> int:
        """Process id of Dramatiq's manager."""
        return self.child.process.pid

    def workers(self) -> list[int]:
        """Process ids of the worker processes below the manager."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{self.manager}/task/{self.manager}/children").read_text(encoding="ascii")
            return [int(pid) for pid in children.split()]
        return []


class Fleet:
    """Redis, a sandbox and so many worker services, in one folder. A context manager."""

    def __init__(
        self, folder: Path, *, services: int = 1, threads: int = 16, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.redis = Server(folder / "redis")
        self.services: list[Service] = []
        self._wanted = services
        #: Threads of each worker process.
        self.threads = threads
        self._more_settings = settings or {}
        self._stack = contextlib.ExitStack()
        #: What upstream has sent, by idempotency key.
        self.jobs: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.redis)
            self.processes = stack.enter_context(Processes(self.folder))
            stack.callback(self._kill_workers)
            speed = ["--speed", str(SPEED)]
            sandbox = self.processes.start("sandbox", ["sandbox", "--port", "0", *speed], {})
            self.sandbox = self.processes.wait_for(sandbox, r"ready on (http://[^/\s]+)/api")[1]
            self.http = stack.enter_context(httpx.Client(trust_env=False, timeout=30.0))
            self.settings = {
                "ONBOARDING_REDIS_URL": self.redis.url_for(0),
                "ONBOARDING_BROKER_URL": self.redis.url_for(1),
                "ONBOARDING_ENCRYPTION_KEYS": new_key(),
                "IRON_BASE_URL": f"{self.sandbox}/api",
                "IRON_API_KEY": API_KEY,
                **SETTINGS,
                **self._more_settings,
            }
            self.client = stack.enter_context(connect(self.redis.url_for(0)))
            self.ledger = Ledger(self.client)
            self.broker = NudgeBroker(self.redis.url_for(1))
            stack.callback(self.broker.client.close)
            vault = Vault([self.settings["ONBOARDING_ENCRYPTION_KEYS"]])
            self.door = FrontDoor(self.ledger, vault, self.broker.send)
            for number in range(self._wanted):
                self.add_service(f"worker-{number}")
            until(lambda: all("worker.started" in service.child.told() for service in self.services), 30, "workers")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # --- the supervisor ------------------------------------------------------------------------------------------

    def add_service(self, name: str) -> Service:
        """Start one more worker service."""
        arguments = ["worker", "--processes", "1", "--threads", str(self.threads), "--grace", "3"]
        service = Service(name, arguments, self.processes.start(f"{name}-1", arguments, self.settings))
        self.services.append(service)
        return service

    def supervise(self) -> None:
        """Start what has ended, as compose, systemd and kubernetes do."""
        for service in self.services:
            if service.child.process.poll() is not None:
                service.starts += 1
                name = f"{service.name}-{service.starts}"
                service.child = self.processes.start(name, service.arguments, self.settings)

    def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_S, what: str = "") -> float:
        """As `until`, while the supervisor looks after the workers; Redis being away is no answer."""

        def holds() -> bool:
            self.supervise()
            with contextlib.suppress(redis.RedisError):
                return condition()
            return False

        return until(holds, seconds, what)

    def open_files(self) -> int:
        """Count the open files, connections among them, of the worker process that has most of them."""
        pids = [pid for service in self.services for pid in service.workers()]
        return max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)

    def _kill_workers(self) -> None:
        """End the workers at once: what they have in hand does not matter any more."""
        for service in self.services:
            for pid in (*service.workers(), service.manager):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def logged(self, text: str) -> int:
        """Count the lines of all workers that hold a text."""
        logs = (self.folder / "logs").glob("worker-*.log")
        return sum(log.read_text(encoding="utf-8", errors="replace").count(text) for log in logs)

    # --- upstream ------------------------------------------------------------------------------------------------

    def submit(self, keys: Sequence[str], **changes: Any) -> None:
        """Send jobs, or send them again: until each is accepted."""
        self.jobs |= {key: a_job(key, **changes) for key in keys if key not in self.jobs}
        jobs = [parse_job(self.jobs[key]) for key in keys]

        def accepted() -> bool:
            return all(answer.accepted for answer in self.door.submit_many(jobs))

        self.until(accepted, what="jobs are not accepted")

    def consent(self) -> None:
        """Give every customer's consent to whatever is asked for."""
        for found in Lists(self.ledger).in_phase(Phase.SIGNINGS_REQUIRED):
            record = found.record
            documents = [one.id for one in record.signings if not one.consented_ms and not one.signed_ms]
            if documents and not found.acts_waiting:
                nudge = self.ledger.act(record.key, {"act": "sign", "documents": documents, "by": "consent"})
                if nudge:
                    self.broker.send(nudge)

    def read(self, keys: Sequence[str]) -> dict[str, Read]:
        """Read records by key."""
        return {found.record.key: found for found in self.ledger.read_many(keys)}

    def finish(self, keys: Sequence[str], seconds: float = PATIENCE_S) -> float:
        """Bring onboardings to their end; answers the seconds it took."""

        def ended() -> bool:
            self.consent()
            found = self.read(keys)
            return len(found) == len(keys) and all(read.record.phase is Phase.ACTIVE for read in found.values())

        try:
            return self.until(ended, seconds)
        except AssertionError:
            left = [read for read in self.read(keys).values() if read.record.phase is not Phase.ACTIVE]
            raise AssertionError(f"not ended after {seconds:g} s: {left}") from None

    # --- what is in hand, and what moves -------------------------------------------------------------------------

    def marks(self, keys: Sequence[str]) -> dict[str, str]:
        """Give for each record what changes when somebody takes it in hand or commits."""
        claims: dict[bytes, bytes] = self.client.hgetall(f"{PREFIX}claims")  # type: ignore[assignment]
        found = self.read(keys)
        fences = {key: claims.get(key.encode(), b"").split(b" ")[0].decode() for key in keys}
        return {key: f"{found[key].record.version} {fences[key]}" for key in keys if key in found}

    def due(self, keys: Sequence[str]) -> dict[str, str]:
        """Give the marks of the records that should move: due, or left in hand by somebody."""
        claims = {key.decode() for key in self.client.hkeys(f"{PREFIX}claims")}  # type: ignore[union-attr]
        found = self.read(keys).values()
        moving = [
            one.record.key for one in found if one.record.key in claims or (one.due_ms or one.now_ms + 1) <= one.now_ms
        ]
        return self.marks(moving)

    def burnt(self, keys: Sequence[str]) -> set[str]:
        """Give the codes of all attempts that failed, from the histories."""
        entries = (entry for key in keys for entry in self.ledger.history(key))
        return {entry["note"] for entry in entries if entry.get("note") in FAILURES}

    def in_hand(self, keys: Sequence[str], step: str) -> int:
        """Count the records that are claimed for a step now."""
        return sum(found.claimed and found.record.step == step for found in self.read(keys).values())

    def all_move(self, before: dict[str, str], seconds: float = PATIENCE_S) -> float:
        """Wait until each record was taken in hand or committed since its mark; answers the seconds."""
        return self.until(lambda: not self._unmoved(before), seconds, "records that do not move")

    def _unmoved(self, before: dict[str, str]) -> list[str]:
        now = self.marks(list(before))
        return [key for key, mark in before.items() if now.get(key, mark) == mark]

    # --- Iron ----------------------------------------------------------------------------------------------------

    def ask(self, path: str, tell: dict[str, Any] | None = None, method: str = "") -> Any:
        """Ask the sandbox's control interface, or tell it something."""
        method = method or ("GET" if tell is None else "POST")
        return self.http.request(method, f"{self.sandbox}/_sandbox/{path}", json=tell).raise_for_status().json()

    @contextlib.contextmanager
    def slow_iron(self, seconds: float) -> Iterator[None]:
        """Let Iron take so long for each answer."""
        self.ask("faults", {"name": "slow", "delay_s": seconds})
        try:
            yield
        finally:
            self.ask("faults/slow", method="DELETE")

    def wrong_effects(self, keys: Sequence[str]) -> dict[str, Any]:
        """Give what Iron's books hold of these customers where it is not each effect once."""
        effects = self.ask("effects?group=external_id")
        return {key: effects.get(key) for key in keys if effects.get(key) != ONCE}

    # --- whoever pulls the plug ----------------------------------------------------------------------------------

    def copy_of_the_ledger(self) -> Path:
        """Copy Redis' append-only file as it is now."""
        return _copied(self.redis.file, self.folder / "copy.aof")

    def roll_back(self, copy: Path) -> None:
        """Kill Redis, and start it with an earlier copy of its file."""
        self.redis.end(signal.SIGKILL)
        _copied(copy, self.redis.file)
        self.redis.start_again()

    def wipe_broker(self) -> int:
        """Throw away everything in the broker's database; answers how many messages nobody had acknowledged yet."""
        messages = sum(self.broker.client.hlen(f"{self.broker.namespace}:{lane}.msgs") for lane in LANES)
        self.broker.client.flushdb()
        return messages
