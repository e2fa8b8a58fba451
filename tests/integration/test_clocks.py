"""A worker's clock that stands still or jumps: what it says about time is believed only while the server agrees."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import redis

import pipelines
import workers
from pipelines.errors import ClockJumpedError, StaleClaimError
from pipelines.model import Next
from tests.world import PLENTY, World
from workers.engine.leases import Leases
from workers.ledger import CLOCK_TOLERANCE_MS, LEASE_MS, Claim, Ledger
from workers.ledger.clock import monotonic_s

#: Seconds by which a clock may jump: NTP steps, a machine that wakes up, somebody who sets it.
JUMPS_S = [30, 3_600, 3 * 86_400, -30, -3_600, -3 * 86_400]
#: A little less than what is borne with, in seconds.
BORNE_S = CLOCK_TOLERANCE_MS / 1000 - 1

#: Deliveries to upstream are signed with a timestamp that the receiver compares with its own wall clock; and `doctor`
#: asks whether this machine's wall clock goes right.
ABOUT_WALL_CLOCKS = {"events/sender.py", "doctor/__init__.py", "doctor/surroundings.py"}
SOURCES = sorted(
    path
    for package in (pipelines, workers)
    for path in Path(package.__path__[0]).rglob("*.py")
    if f"{path.parent.name}/{path.name}" not in ABOUT_WALL_CLOCKS
)


class OwnClock:
    """A worker's own clock, with a jump to add."""

    jumped_s = 0.0

    def __call__(self) -> float:
        return monotonic_s() + self.jumped_s


@pytest.fixture
def own() -> OwnClock:
    """The worker's own clock."""
    return OwnClock()


@pytest.fixture
def claim(world: World, own: OwnClock) -> Claim:
    """A record in the hands of a worker with this clock."""
    world.submit()
    world.ledger = Ledger(world.client, PLENTY, lambda: world.shift_ms, own)
    claimed = world.ledger.claim("k-1", 1, "create_customer")
    assert isinstance(claimed, Claim)
    return claimed


@pytest.mark.parametrize("seconds", JUMPS_S)
def test_a_commit_after_a_jump_is_refused(world: World, own: OwnClock, claim: Claim, seconds: float) -> None:
    """Whoever may have the time of its calls wrong writes nothing; the next claim looks before it calls."""
    own.jumped_s = seconds
    with pytest.raises(ClockJumpedError):
        world.ledger.commit(claim, Next(claim.record, 0))
    own.jumped_s = 0
    assert world.record() == claim.record
    world.advance(LEASE_MS / 1000 + 1)
    again = world.ledger.claim("k-1", 1, "create_customer")
    assert isinstance(again, Claim)
    assert (again.crashes, again.abandoned_ms) == (1, claim.now_ms)
    world.ledger.commit(again, Next(again.record, 0))


def test_a_clock_that_stood_still_is_one_that_jumped(world: World, claim: Claim) -> None:
    """A frozen machine whose clock missed a minute commits nothing, also when nobody else took over."""
    world.advance(60)
    claim.before_call()  # by its own clock no time has passed
    with pytest.raises(ClockJumpedError):
        world.ledger.commit(claim, Next(claim.record, 0))


@pytest.mark.parametrize("seconds", [BORNE_S, -BORNE_S])
def test_what_redis_may_be_late_is_borne(world: World, own: OwnClock, claim: Claim, seconds: float) -> None:
    """As long as a client may repeat a call, the difference is the network's."""
    own.jumped_s = seconds
    world.ledger.commit(claim, Next(replace(claim.record, attempts=1), 0))
    assert world.record().attempts == 1


@pytest.mark.parametrize("seconds", JUMPS_S)
def test_a_jump_is_not_renewed_away(world: World, own: OwnClock, claim: Claim, seconds: float) -> None:
    """After a jump a renewal gives no new time for calls, and forward the lease is over at once."""
    before = claim.holds_until
    leases = Leases(world.ledger)
    own.jumped_s = seconds
    with leases.hold(claim):
        leases.run_once()
    assert claim.holds_until == before
    if seconds > 0:
        with pytest.raises(StaleClaimError):
            claim.before_call()


@pytest.mark.parametrize("seconds", JUMPS_S)
def test_moments_are_the_servers(client: redis.Redis, own: OwnClock, seconds: float) -> None:
    """What is noted as the time of an act or a submission is the server's time, whatever our clock did meanwhile."""
    ledger = Ledger(client, PLENTY, clock=own)
    ledger.now_ms()
    own.jumped_s = seconds
    server_s, _ = client.time()
    assert abs(ledger.now_ms() - server_s * 1000) < 2_000


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_wall_clock_is_read(path: Path) -> None:
    """Nothing in pipelines and workers asks this machine for the time of day, but where that is the matter."""
    asked = {ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not asked & {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
