"""Each trial with real processes once, small; `python -m tests.chaos.trials` runs them at length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import trials
from tests.chaos.fleet import Fleet
from tests.chaos.trials import Result
from workers.ledger import LEASE_MS

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds worker processes in Linux's /proc")

#: Seconds within which everything moves again after a worker was killed, at most.
SOON_S = 15.0
#: The same after Redis was away, on one machine.
AFTER_REDIS_S = 30.0
#: Onboardings in a trial here.
FEW = 24


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two worker services, a Redis and a sandbox, for all trials."""
    with Fleet(tmp_path_factory.mktemp("fleet"), services=2, threads=FEW) as running:
        yield running


def nothing_doubled(result: Result, within_s: float) -> None:
    """Every customer ended with each effect once, and soon enough."""
    assert result.wrong == 0
    assert result.concerned > 0
    assert result.seconds < within_s


@pytest.mark.parametrize("victim", ["child", pytest.param("manager", marks=pytest.mark.long)])
def test_kill_9(tmp_path: Path, victim: str) -> None:
    """What a killed worker had in hand is in another's hands within seconds; an orphan ends by itself."""
    with Fleet(tmp_path, threads=FEW) as fleet:
        nothing_doubled(trials.kill_9(fleet, 0, victim, FEW, slow_s=1.0), SOON_S)


def test_sigstop_for_longer_than_the_lease(fleet: Fleet) -> None:
    """A worker that wakes after its lease commits nothing, and nothing is doubled."""
    result = trials.stop_and_continue(fleet, 0, FEW)
    nothing_doubled(result, SOON_S)
    assert result.refused > 0
    assert result.seconds > LEASE_MS / 1000 - 2.5  # nobody took over what was still leased


def test_redis_killed(fleet: Fleet) -> None:
    """Redis comes back on its append-only file, and everything goes on."""
    nothing_doubled(trials.kill_redis(fleet, 0, FEW), AFTER_REDIS_S)


def test_redis_away(fleet: Fleet) -> None:
    """Redis away costs no attempt and no process, and everything due moves soon after its return."""
    nothing_doubled(trials.redis_away(fleet, 0, away_s=10.0, count=FEW), AFTER_REDIS_S)


@pytest.mark.long
def test_redis_frozen(fleet: Fleet) -> None:
    """What Redis runs late, and more than once, because nobody had heard its answer, does what it does once."""
    nothing_doubled(trials.redis_frozen(fleet, 0, FEW), AFTER_REDIS_S)


def test_redis_demoted(fleet: Fleet) -> None:
    """A server that answers READONLY for a while costs no attempt and no process."""
    nothing_doubled(trials.read_only(fleet, 0, FEW, seconds=1.0), AFTER_REDIS_S)


@pytest.mark.long
def test_redis_out_of_memory(fleet: Fleet) -> None:
    """A server without room refuses writes, and nothing is lost."""
    nothing_doubled(trials.memory_full(fleet, 0, FEW, seconds=1.0), AFTER_REDIS_S)


@pytest.mark.long
def test_disk_full(fleet: Fleet) -> None:
    """A server that cannot write to its disk refuses writes, and nothing is lost."""
    nothing_doubled(trials.disk_full(fleet, 0, FEW, seconds=1.0), AFTER_REDIS_S)


def test_broker_flushed(fleet: Fleet) -> None:
    """Throwing away every message under load costs a delay and nothing else."""
    nothing_doubled(trials.wipe_broker(fleet, 2, FEW), AFTER_REDIS_S)


def test_ledger_rolled_back(fleet: Fleet) -> None:
    """A ledger that forgot its last seconds, and jobs that are sent again: nothing is doubled, all end."""
    nothing_doubled(trials.roll_back(fleet, 1, FEW), AFTER_REDIS_S)
