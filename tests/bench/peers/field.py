"""The field on which all compete: one Redis, one stand-in for Iron, and for each run fresh workers of one peer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import httpx
import redis

from ops.local.embedded import EmbeddedRedis
from tests.bench.peers.crowd import fill, waiting
from tests.bench.peers.tree import Tree
from workers.secrets.vault import new_key

#: Seconds that a run may take; the slowest takes a tenth of it.
LONGEST_S = 300.0
#: Seconds between two looks at whether a run is through. The time of the last answer is taken by Iron's stand-in.
LOOK_S = 0.05
#: Seconds that workers may take to end.
GRACE_S = 15.0

PYTHON = sys.executable
BIN = Path(PYTHON).parent


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer's workers are started. `each`: one command a process, else the command starts all."""

    module: str
    command: Callable[[int, int], list[str]]
    each: bool = False
    people: bool = False


def _own(processes: int, threads: int) -> list[str]:
    return [PYTHON, "-m", "ops.cli", "worker", "--processes", str(processes), "--threads", str(threads)]


def _dramatiq(processes: int, threads: int) -> list[str]:
    sizes = ["--processes", str(processes), "--threads", str(threads)]
    return [str(BIN / "dramatiq"), "tests.bench.peers.dramatiq_chain", *sizes]


def _celery(_: int, threads: int) -> list[str]:
    pool = ["--pool", "threads", "--concurrency", str(threads), "--loglevel", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname", "%%i@%h"]
    return [str(BIN / "celery"), "-A", "tests.bench.peers.celery_chain", "worker", *pool, *quiet]


def _taskiq(processes: int, threads: int) -> list[str]:
    sizes = ["--workers", str(processes), "--max-async-tasks", str(threads), "--log-level", "WARNING"]
    return [str(BIN / "taskiq"), "worker", "tests.bench.peers.taskiq_chain:broker", *sizes]


def _module(name: str) -> Callable[[int, int], list[str]]:
    return lambda _, __: [PYTHON, "-m", f"tests.bench.peers.{name}"]


#: The peers by name, in the order of the table.
PEERS = {
    "pipeline": Peer("pipeline", _own, people=True),
    "dramatiq": Peer("dramatiq_chain", _dramatiq),
    "taskiq": Peer("taskiq_chain", _taskiq),
    "saq": Peer("saq_chain", _module("saq_chain"), each=True),
    "celery": Peer("celery_chain", _celery, each=True),
    "dbos": Peer("dbos_chain", _module("dbos_chain"), each=True),
}


class Field:
    """Redis and Iron for all runs. A context manager that ends what it started."""

    def __init__(self, folder: Path, server: EmbeddedRedis, *, processes: int, threads: int) -> None:
        self._folder = folder
        self._server = server
        self._processes = processes
        self._threads = threads
        self._runs = 0

    def __enter__(self) -> Self:
        command = [PYTHON, "-m", "tests.bench.peers.iron"]
        self._iron = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._iron.stdout is not None
        self._iron_url = f"http://127.0.0.1:{self._iron.stdout.readline().split()[0]}"
        self._http = httpx.Client(base_url=self._iron_url)
        self._redis = redis.Redis.from_url(self._server.url_for(0))
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._redis.close()
        _end(self._iron)

    def run(self, name: str, jobs: int, latency_ms: int, crowd: int = 0) -> dict[str, Any]:
        """Let a peer onboard so many customers, after a fourth as many to warm up; answers what it took.

        `crowd`: so many others wait in our ledger meanwhile.
        """
        self._redis.flushall()
        if crowd:
            fill(self._redis, waiting(self._redis), 1, crowd)
        self._runs += 1
        peer, settings = PEERS[name], self._settings()
        log = self._folder / f"{self._runs}-{name}.log"
        with log.open("wb") as output, contextlib.ExitStack() as stack:
            people = stack.enter_context(_People(settings, output)) if peer.people else None
            workers = stack.enter_context(_Workers(self._commands(peer), settings, output))
            self._reset(0)
            self._onboard(peer, jobs // 4, "warm", settings, log)
            self._reset(latency_ms / 1000)
            self._redis.config_resetstat()
            before = self._spent(workers.tree), people.spent_s() if people else 0.0
            submit_s = self._onboard(peer, jobs, "job", settings, log)
            after = self._spent(workers.tree), people.spent_s() if people else 0.0
            peak_mb = workers.tree.peak_mb()
        seen = self._seen()
        if (seen["complete"], seen["finished"], seen["doubles"]) != (jobs, jobs, 0):
            raise SystemExit(f"{name}: something happened twice or never: {seen}")
        info = after[0]
        each = {key: (info[key] - before[0][key]) / jobs for key in info}
        return {
            "name": name,
            "latency_ms": latency_ms,
            "jobs": jobs,
            "per_second": jobs / seen["elapsed_s"],
            "workers_ms": each["workers_s"] * 1000,
            "submit_ms": submit_s / jobs * 1000,
            "people_ms": (after[1] - before[1]) / jobs * 1000,
            "redis_ms": each["redis_s"] * 1000,
            "iron_ms": each["iron_s"] * 1000,
            "calls": seen["calls"] / jobs,
            "commands": each["commands"],
            "bytes": each["bytes"],
            "peak_mb": peak_mb,
        }

    def idle(self, seconds: float, crowd: int) -> tuple[list[float], float]:
        """Let our workers wait with a crowd; answers the share of a core of each worker process, and that of Redis."""
        self._redis.flushall()
        fill(self._redis, waiting(self._redis), 1, crowd)
        self._runs += 1
        settings = self._settings()
        log = self._folder / f"{self._runs}-idle.log"
        with log.open("wb") as output, _Workers(self._commands(PEERS["pipeline"]), settings, output) as workers:
            self._reset(0)
            with _People(settings, output):
                self._onboard(PEERS["pipeline"], 20, "warm", settings, log)
            time.sleep(1.0)  # until consumers have gone idle
            before, redis_before = workers.tree.each_cpu_s(), self._spent(workers.tree)["redis_s"]
            time.sleep(seconds)
            after, redis_after = workers.tree.each_cpu_s(), self._spent(workers.tree)["redis_s"]
        shares = sorted(((after[pid] - before.get(pid, 0.0)) / seconds for pid in after), reverse=True)
        return shares[: self._processes], (redis_after - redis_before) / seconds

    def _commands(self, peer: Peer) -> list[list[str]]:
        command = peer.command(self._processes, self._threads)
        if not peer.each:
            return [command]
        return [[part.replace("%%i", str(number)) for part in command] for number in range(self._processes)]

    def _settings(self) -> dict[str, str]:
        """Give the environment of a run: the same Redis and Iron for all, and the settings of our own workers."""
        return {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "PEERS_REDIS_URL": self._server.url_for(0),
            "PEERS_IRON_URL": f"{self._iron_url}/api",
            "PEERS_THREADS": str(self._threads),
            "PEERS_DBOS_FILE": str(self._folder / f"{self._runs}.sqlite"),
            "ONBOARDING_REDIS_URL": self._server.url_for(0),
            "ONBOARDING_BROKER_URL": self._server.url_for(1),
            "ONBOARDING_ENCRYPTION_KEYS": new_key(),
            "ONBOARDING_LOG": "json",
            "IRON_BASE_URL": f"{self._iron_url}/api",
            "IRON_API_KEY": "sandbox-key",
            "IRON_RATE_PER_SECOND": "100000",
            "IRON_IDENTIFICATIONS_PER_MINUTE": "6000000",
        }

    def _onboard(self, peer: Peer, jobs: int, prefix: str, settings: dict[str, str], log: Path) -> float:
        """Hand in jobs and wait until the last customer was seen active; answers the CPU seconds of handing in."""
        command = [PYTHON, "-m", "tests.bench.peers.submitting", peer.module, str(jobs), prefix]
        with subprocess.Popen(
            command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as submitting:
            assert submitting.stdin is not None
            assert submitting.stdout is not None
            submitting.stdout.readline()
            submitting.stdin.write("go\n")
            submitting.stdin.flush()
            took_s = submitting.stdout.readline()
        deadline = time.monotonic() + LONGEST_S
        while self._seen()["finished"] < jobs:
            if time.monotonic() > deadline:
                raise SystemExit(f"{peer.module} did not finish: {self._seen()}\n{log.read_text()[-3000:]}")
            time.sleep(LOOK_S)
        return float(took_s)

    def _reset(self, latency_s: float) -> None:
        self._http.post("/reset", json={"latency_s": latency_s})

    def _seen(self) -> dict[str, Any]:
        return self._http.get("/seen").json()

    def _spent(self, tree: Tree) -> dict[str, float]:
        info = self._redis.info()
        return {
            "workers_s": tree.cpu_s(),
            "redis_s": info["used_cpu_user"] + info["used_cpu_sys"],
            "iron_s": self._seen()["cpu_s"],
            "commands": info["total_commands_processed"],
            "bytes": info["total_net_input_bytes"] + info["total_net_output_bytes"],
        }


class _Workers:
    """A peer's workers, from their start to the end of all their processes."""

    def __init__(self, commands: list[list[str]], settings: dict[str, str], output: IO[bytes]) -> None:
        self._started = [
            subprocess.Popen(
                command,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for command in commands
        ]
        self.tree = Tree([process.pid for process in self._started])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.terminate()
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class _People:
    """Iron's webhooks and the customers, for the pipeline that waits for them."""

    def __init__(self, settings: dict[str, str], output: IO[bytes]) -> None:
        command = [PYTHON, "-m", "tests.bench.peers.pipeline"]
        self._process = subprocess.Popen(
            command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)

    def spent_s(self) -> float:
        """Ask for the CPU seconds spent so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def _end(process: subprocess.Popen[str]) -> None:
    """End a process of ours, and let go of its pipes."""
    process.kill()
    with process:
        pass
