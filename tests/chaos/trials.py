"""Trials with real processes: each kills, stops or robs something while onboardings run, by a seed.

`make test` runs each of them once, small. `python -m tests.chaos.trials [name] [count]` runs one of them many times, or
all as often as their targets ask, and prints what they took: seconds, duplicate effects, unfinished onboardings.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from ops.local.processes import terminable
from tests.chaos.figures import keep
from tests.chaos.fleet import Fleet, until
from workers.ledger import REDIS_TIMEOUT_S

#: Seconds that Iron takes for an answer where many onboardings are to be in hand at once.
SLOW_S = 2.0
#: Seconds within which all onboardings of a trial are in hand at the same moment, and how often that is tried.
GATHERED_S, GATHERINGS = 15.0, 4
#: Open files that a worker process may have, and how many more for each thread: a connection to Iron, one to the
#: ledger, one to the broker, and one more that was opened while another was busy.
FILES, FILES_A_THREAD = 40, 4
#: Trials on one fleet: its start costs a second or two, and its books grow with each.
FLEET_LASTS = 20
#: A port where nothing listens, so that a server that is told to follow it keeps its data: the discard service's.
NOWHERE = "9"


@dataclass(frozen=True, slots=True)
class Result:
    """What one trial showed."""

    #: Seconds until everything moved again, or was finished.
    seconds: float
    #: Customers with other effects on Iron's books than each once.
    wrong: int
    #: Onboardings in hand, messages thrown away, or commits forgotten.
    concerned: int
    #: Commits of workers that had lost their lease, each refused.
    refused: int = 0


def keys_of(fleet: Fleet, seed: int, count: int) -> list[str]:
    """Give keys that no other trial of this fleet uses."""
    return [f"t{len(fleet.jobs)}-{seed}-{number}" for number in range(count)]


def ended(fleet: Fleet, keys: list[str], seconds: float, concerned: int, refused: int = 0) -> Result:
    """Bring all to their end, and count what is wrong on Iron's books."""
    fleet.finish(keys)
    return Result(seconds, len(fleet.wrong_effects(keys)), concerned, refused)


def in_hand(fleet: Fleet, seed: int, count: int, step: str) -> list[str]:
    """Submit jobs until so many are in hand for a step at the same moment; answers their keys.

    Now and then one of them is late, because its nudge was on the way when the last trial killed its worker.
    """
    for _ in range(GATHERINGS):
        keys = keys_of(fleet, seed, count)
        fleet.submit(keys)
        with suppress(AssertionError):
            fleet.until(lambda now=tuple(keys): fleet.in_hand(now, step) == count, GATHERED_S, f"{step} in hand")
            return keys
        fleet.finish(keys)
    message = f"{count} were never in hand for {step} at the same moment"
    raise AssertionError(message)


def kill_9(fleet: Fleet, seed: int, victim: str, count: int, slow_s: float = SLOW_S) -> Result:
    """Kill the only worker process, or its manager, with everything in its hands."""
    draw = random.Random(seed)
    service = fleet.services[0]
    step = draw.choice(["create_customer", "create_identification"])
    with fleet.slow_iron(slow_s):
        keys = in_hand(fleet, seed, count, step)
        _pass(draw.uniform(0, slow_s * 0.6))
        before = fleet.marks(keys)
        workers = service.workers()
        os.kill(service.manager if victim == "manager" else workers[0], signal.SIGKILL)
        seconds = fleet.all_move(before)
        # Where the manager was killed, its process is an orphan, and has to notice that by itself.
        fleet.until(lambda: not any(map(alive, workers)), 15, "the orphan does not end")
    return ended(fleet, keys, seconds, count)


def kill_child(fleet: Fleet, seed: int, count: int = 100) -> Result:
    """Kill -9 a worker process with 100 onboardings in hand."""
    return kill_9(fleet, seed, "child", count)


def kill_manager(fleet: Fleet, seed: int, count: int = 100) -> Result:
    """Kill -9 Dramatiq's manager; the orphaned process ends, and what it had in hand goes on elsewhere."""
    return kill_9(fleet, seed, "manager", count)


def stop_and_continue(fleet: Fleet, seed: int, count: int = 40) -> Result:
    """SIGSTOP the worker that has everything in hand for longer than the lease; when it wakes, its commits are refused.

    The other worker sleeps until then, and takes over.
    """
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    refused = fleet.logged("StaleClaimError")
    (other,), (sleeper,) = (service.workers() for service in draw.sample(fleet.services, 2))
    with fleet.slow_iron(1.0):
        os.kill(other, signal.SIGSTOP)
        try:
            fleet.submit(keys)
            fleet.until(lambda: fleet.in_hand(keys, "create_customer") == count, what="in hand")
            _pass(draw.uniform(0, 0.6))
            before = fleet.marks(keys)
            os.kill(sleeper, signal.SIGSTOP)
        finally:
            os.kill(other, signal.SIGCONT)
        try:
            seconds = fleet.all_move(before)
            _pass(draw.uniform(0, 1.5))  # some of its claims are being worked on elsewhere, some are committed
        finally:
            os.kill(sleeper, signal.SIGCONT)
    result = ended(fleet, keys, seconds, count)
    return Result(result.seconds, result.wrong, count, fleet.logged("StaleClaimError") - refused)


def kill_redis(fleet: Fleet, seed: int, count: int = 60) -> Result:
    """Kill -9 Redis under load and start it again on its append-only file."""
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    with fleet.slow_iron(0.5):
        fleet.submit(keys)
        fleet.until(lambda: fleet.in_hand(keys, "create_customer") > 0, what="in hand")
        _pass(draw.uniform(0, 0.4))
        fleet.redis.end(signal.SIGKILL)
        fleet.redis.start_again()
        due = fleet.due(keys)
        seconds = fleet.all_move(due)
    return ended(fleet, keys, seconds, len(due))


def redis_away(fleet: Fleet, seed: int, away_s: float = 60.0, count: int = 60) -> Result:
    """Take Redis away for a minute under load: no attempt is burnt, and no process has to be started again."""
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    workers = [service.workers() for service in fleet.services]
    with fleet.slow_iron(0.3):
        fleet.submit(keys)
        fleet.until(lambda: fleet.in_hand(keys, "create_customer") > 0, what="in hand")
        _pass(draw.uniform(0, 0.25))
        fleet.redis.end(signal.SIGTERM)
        _pass(away_s)
        fleet.redis.start_again()
        due = fleet.due(keys)
        seconds = fleet.all_move(due)
    return _unharmed(fleet, keys, workers, ended(fleet, keys, seconds, len(due)))


def redis_frozen(fleet: Fleet, seed: int, count: int = 60) -> Result:
    """SIGSTOP Redis under load for longer than its clients wait; then it runs all they sent, and sent again, late."""
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    workers = [service.workers() for service in fleet.services]
    with fleet.slow_iron(0.3):
        fleet.submit(keys)
        _pass(draw.uniform(0, 1.0))
        os.kill(fleet.redis.pid, signal.SIGSTOP)
        try:
            _pass(draw.uniform(REDIS_TIMEOUT_S + 1, 4 * REDIS_TIMEOUT_S + 4))
        finally:
            os.kill(fleet.redis.pid, signal.SIGCONT)
        seconds = fleet.all_move(fleet.due(keys))  # perhaps none: what was sent in vain has moved them
    return _unharmed(fleet, keys, workers, ended(fleet, keys, seconds, count))


def _unharmed(fleet: Fleet, keys: list[str], workers: list[list[int]], result: Result) -> Result:
    """Check that no attempt was burnt, that the same processes are at work as before, and that they leak nothing."""
    assert not (burnt := fleet.burnt(keys)), burnt
    assert [service.workers() for service in fleet.services] == workers, "a worker was started again"
    most = FILES + FILES_A_THREAD * fleet.threads
    assert fleet.open_files() <= most, f"more than {most} open files: connections are lost with each error"
    return result


def read_only(fleet: Fleet, seed: int, count: int = 40, seconds: float = 4.0) -> Result:
    """Demote Redis to a replica under load, so that it answers READONLY to every write, and promote it again."""
    return _writes_refused(
        fleet,
        seed,
        count,
        seconds,
        refuse=lambda client: client.execute_command("REPLICAOF", "127.0.0.1", NOWHERE),
        allow=lambda client: client.execute_command("REPLICAOF", "NO", "ONE"),
        error=redis.ReadOnlyError,
    )


def memory_full(fleet: Fleet, seed: int, count: int = 40, seconds: float = 4.0) -> Result:
    """Let Redis reach its memory limit under load: it refuses what needs memory, and goes on when there is room."""
    return _writes_refused(
        fleet,
        seed,
        count,
        seconds,
        refuse=lambda client: client.config_set("maxmemory", "1mb"),
        allow=lambda client: client.config_set("maxmemory", "0"),
        error=redis.exceptions.OutOfMemoryError,
    )


def disk_full(fleet: Fleet, seed: int, count: int = 40, seconds: float = 4.0) -> Result:
    """Let Redis fail to write to its disk under load: it refuses writes (MISCONF), and goes on when it can again."""
    obstacle = fleet.redis.folder / "dump.rdb"

    def refuse(client: redis.Redis) -> None:
        obstacle.mkdir()  # where the snapshot's file would have to go
        client.config_set("save", "3600 1000000")
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "the snapshot does not fail")

    def allow(client: redis.Redis) -> None:
        obstacle.rmdir()
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", 10, "the snapshot fails")
        client.config_set("save", "")
        obstacle.unlink()

    return _writes_refused(fleet, seed, count, seconds, refuse=refuse, allow=allow, error=redis.ResponseError)


def _writes_refused(
    fleet: Fleet,
    seed: int,
    count: int,
    seconds: float,
    *,
    refuse: Callable[[redis.Redis], object],
    allow: Callable[[redis.Redis], object],
    error: type[redis.RedisError],
) -> Result:
    """Let Redis refuse writes for a while under load: nothing is lost, no attempt burnt, no process ends."""
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    workers = [service.workers() for service in fleet.services]
    with fleet.slow_iron(0.3):
        fleet.submit(keys)
        fleet.until(lambda: fleet.in_hand(keys, "create_customer") > 0, what="in hand")
        _pass(draw.uniform(0, 0.25))
        refuse(fleet.client)
        try:
            _must_refuse(fleet.client, error)
            _pass(seconds)
        finally:
            allow(fleet.client)
        due = fleet.due(keys)
        moved = fleet.all_move(due)
    return _unharmed(fleet, keys, workers, ended(fleet, keys, moved, len(due)))


def _must_refuse(client: redis.Redis, error: type[redis.RedisError]) -> None:
    with suppress(error):
        client.set("trial", "x" * 1000)
        raise AssertionError("Redis takes writes all the same")


def wipe_broker(fleet: Fleet, seed: int, count: int = 60) -> Result:
    """Flush the broker's database under load, up to three times, each time with messages in it."""
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    started, wiped = time.monotonic(), 0
    with fleet.slow_iron(0.05):
        fleet.submit(keys)
        for _ in range(draw.randint(1, 3)):
            with suppress(AssertionError):
                fleet.finish(keys, seconds=draw.uniform(0, 0.6))
            wiped += fleet.wipe_broker()
        fleet.finish(keys)
    return ended(fleet, keys, time.monotonic() - started, wiped)


def roll_back(fleet: Fleet, seed: int, count: int = 30) -> Result:
    """Put the ledger back by 1, 2 or 5 seconds while jobs come in; upstream then sends all its jobs again."""
    draw = random.Random(seed)
    keys = keys_of(fleet, seed, count)
    lost_s = (1.0, 2.0, 5.0)[seed % 3]
    before = draw.randint(0, count - 1)
    if before:
        fleet.submit(keys[:before])
    with suppress(AssertionError):
        fleet.finish(keys[: before or 1], seconds=draw.uniform(0, 2.0))
    copy = fleet.copy_of_the_ledger()
    ends = time.monotonic() + lost_s
    fleet.submit(keys[before:])
    with suppress(AssertionError):
        fleet.finish(keys, seconds=max(0.0, ends - time.monotonic()))
    _pass(max(0.0, ends - time.monotonic()))
    versions = sum(found.record.version for found in fleet.read(keys).values())
    fleet.roll_back(copy)
    started = time.monotonic()
    forgotten = versions - sum(found.record.version for found in fleet.read(keys).values())
    fleet.submit(keys)
    fleet.finish(keys)
    return ended(fleet, keys, time.monotonic() - started, forgotten)


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    return False


def _pass(seconds: float) -> None:
    """Let time pass."""
    ends = time.monotonic() + seconds
    until(lambda: time.monotonic() >= ends, seconds + 10)


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial, how often it is run, and on what fleet."""

    run: Callable[[Fleet, int], Result]
    count: int
    services: int = 2
    threads: int = 16


TRIALS = {
    "kill_child": Trial(kill_child, 50, services=1, threads=128),
    "kill_manager": Trial(kill_manager, 50, services=1, threads=128),
    "stop_and_continue": Trial(stop_and_continue, 20, threads=40),
    "kill_redis": Trial(kill_redis, 20),
    "redis_away": Trial(redis_away, 5),
    "redis_frozen": Trial(redis_frozen, 10),
    "read_only": Trial(read_only, 10),
    "memory_full": Trial(memory_full, 10),
    "disk_full": Trial(disk_full, 10),
    "wipe_broker": Trial(wipe_broker, 100, threads=4),
    "roll_back": Trial(roll_back, 100),
}


#: Columns of the table after the name and the number of runs.
COLUMNS = ("p50 s", "p99 s", "max s", "concerned", "refused", "wrong", "unfinished")


def main(arguments: Sequence[str]) -> int:
    """Run one trial, or all, and print what they showed; 1 if anything was doubled or left."""
    names = [name for name in arguments[:1] if name != "all"] or list(TRIALS)
    print(f"{'trial':<18}{'runs':>5}{''.join(f'{name:>11}' for name in COLUMNS)}", flush=True)
    bad = 0
    for name in names:
        trial = TRIALS[name]
        results, failures = repeat(trial, int(arguments[1]) if len(arguments) > 1 else trial.count)
        bad += len(failures) + sum(result.wrong for result in results)
        took = sorted(result.seconds for result in results) or [math.nan]
        rank = math.ceil(0.99 * len(took)) - 1
        times = "".join(f"{seconds:>11.2f}" for seconds in (statistics.median(took), took[rank], took[-1]))
        counts = [sum(getattr(result, column) for result in results) for column in ("concerned", "refused", "wrong")]
        seen = {"runs": len(results), "p99_s": took[rank], "max_s": took[-1], "failed": len(failures)}
        keep("trials", {name: seen | {"refused": counts[1], "wrong": counts[2]}})
        print(f"{name:<18}{len(results):>5}{times}{''.join(f'{n:>11}' for n in (*counts, len(failures)))}", flush=True)
        for failure in failures:
            print(f"  {failure}", flush=True)
    return 1 if bad else 0


def repeat(trial: Trial, count: int) -> tuple[list[Result], list[str]]:
    """Run a trial with the seeds from 0; after one that fails, and now and then, on a new fleet."""
    results: list[Result] = []
    failures: list[str] = []
    seeds = iter(range(count))
    left = count
    while left:
        folder = Path(tempfile.mkdtemp(prefix="onboarding-trial-"))
        try:
            with Fleet(folder, services=trial.services, threads=trial.threads) as fleet:
                for seed in itertools.islice(seeds, FLEET_LASTS):
                    left -= 1
                    results.append(trial.run(fleet, seed))
        except AssertionError as failure:
            failures.append(f"seed {seed}, logs in {folder}: {failure}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return results, failures


if __name__ == "__main__":
    with terminable():
        sys.exit(main(sys.argv[1:]))
