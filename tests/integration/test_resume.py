"""Whatever moment a worker dies in, the onboarding goes on and ends with each effect once.

Every step times {before a call, after a call, after the commit, after the send}: the worker dies there the first time,
and everything else is left to leases and the pulse.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from functools import partial

import httpx
import pytest
import redis

from pipelines.onboarding import MOST_CALLS, STEPS
from tests.second_iron import SecondIron
from tests.world import World, a_job
from workers.ledger import LEASE_MS, Nudge


class DeathError(BaseException):
    """The worker process is gone; nothing in it runs on."""


class Scythe(httpx.BaseTransport):
    """Kills the worker at one point of one step, once."""

    def __init__(self, world: World, step: str, point: str) -> None:
        self.world, self.step, self.point = world, step, point
        self.inner = world.transport
        self.calls = 0
        self.fence = ""
        self.struck = False

    def strike(self, point: str) -> None:
        if not self.struck and (self.current.record.step, point) == (self.step, self.point):
            self.struck = True
            raise DeathError

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        [self.current] = self.world.leases._claims.values()
        self.calls = 1 if self.current.fence != self.fence else self.calls + 1
        self.fence = self.current.fence
        self.strike(f"before call {self.calls}")
        response = self.inner.handle_request(request)
        self.strike(f"after call {self.calls}")
        return response

    def send(self, nudge: Nudge) -> None:
        self.strike("after the commit")
        self.world.queue.send(nudge)
        self.strike("after the send")

    def run(self) -> Callable[[str, str, int], object]:
        """Give the worker's run method with death in it."""
        self.world.transport = self
        worker = self.world.worker(send=self.send)

        def run(step: str, key: str, version: int) -> None:
            try:
                worker.run(step, key, version)
            except DeathError:
                self.world.leases._claims.clear()  # the dead renew nothing

        return run


def to_active(world: World) -> tuple[str, int]:
    world.onboard()
    return "active", 2


def through_a_step_up(world: World) -> tuple[str, int]:
    world.onboard(tag="manual")
    world.move("k-1", "stepup")
    world.run_until("k-1", "step_up_required", seconds=86_400)
    world.run(until=lambda: bool(world.record().reasons))
    world.move("k-1", "approve")
    world.run_until("k-1", "active", seconds=86_400)
    return "active", 2


def to_a_decline(world: World) -> tuple[str, int]:
    world.submit(tag="decline")
    world.run_until("k-1", "declined")
    world.run(until=lambda: bool(world.record().reasons))
    return "declined", 0


def through_a_correction(world: World) -> tuple[str, int]:
    world.onboard()
    world.correct(a_job(customer={"customer_type": "Person", "email": "other@example.com"}))
    world.run(until=lambda: world.record().updates == 1 and world.record().step == "refresh")
    assert world.holds(lambda: world.email_of("k-1") == "other@example.com")
    return "active", 2


def to_the_archive(world: World) -> tuple[str, int]:
    world.onboard()
    world.act("k-1", "archive", reason="a mistaken double")
    world.run_until("k-1", "archived")
    return "archived", 2


def through_another_identification(world: World) -> tuple[str, int]:
    world.onboard()
    world.act("k-1", "reidentify", run="r-1", reason="a changed name")
    world.run_until("k-1", "identification_pending")
    world.run_until("k-1", "active")
    return "active", 2


#: How an onboarding comes to pass a step that most never see.
STORIES = {
    "refresh": to_a_decline,
    "handle_step_up": through_a_step_up,
    "explain_decline": to_a_decline,
    "update_customer": through_a_correction,
    "reidentify": through_another_identification,
    "archive_at_iron": to_the_archive,
}

#: Calls to Iron of each step.
CALLS = dict.fromkeys(STEPS, 1) | dict.fromkeys(
    ("create_customer", "create_identification", "refresh", "submit_signings", "reidentify"), MOST_CALLS
)

POINTS = [
    (step, point)
    for step in STEPS
    for point in (
        *(f"{side} call {number + 1}" for number in range(CALLS[step]) for side in ("before", "after")),
        "after the commit",
        "after the send",
    )
]


#: A worker that goes on sends nothing; the moment after its commit is the one before the next step's first call.
CASES = [(False, *point) for point in POINTS] + [(True, *point) for point in POINTS if "after the" not in point[1]]
IDS = [f"{'going-on' if on else 'queued'}-{step}-{point.replace(' ', '-')}" for on, step, point in CASES]


@pytest.mark.parametrize(("going_on", "step", "point"), CASES, ids=IDS)
@pytest.mark.parametrize("lag_s", [0, 30])
def test_resume(client: redis.Redis, going_on: bool, step: str, point: str, lag_s: float) -> None:
    """A worker that dies here costs a delay and nothing else, also while Iron's look-ups lag behind."""
    scythe = killed(World(client, going_on=going_on, lookup_lag_s=lag_s, record_lag_s=lag_s), step, point)
    assert scythe.struck == ((step, point) not in NEVER_REACHED)


@pytest.mark.parametrize(("going_on", "step", "point"), CASES, ids=IDS)
def test_resume_on_the_second_stand_in(client: redis.Redis, going_on: bool, step: str, point: str) -> None:
    """The same on an Iron that others wrote from the documents; each case meets another one."""
    seed = zlib.crc32(f"{going_on} {step} {point}".encode())
    random.seed(seed)
    world = World(client, going_on=going_on, second=partial(SecondIron, seed=seed, choices=STEPPING_UP))
    scythe = killed(world, step, point)
    assert scythe.struck or (step, point) in NEVER_REACHED


def killed(world: World, step: str, point: str) -> Scythe:
    """Lead a life in which a worker dies at this point, and check what came of it."""
    scythe = Scythe(world, step, point)
    world.run_step = scythe.run()
    phase, signings = STORIES.get(step, to_active)(world)
    assert world.holds(lambda: world.record().phase == phase)
    identifications = 2 if step == "reidentify" else 1
    assert world.effects() == {"k-1": {"customers": 1, "identifications": identifications, "signings": signings}}
    return scythe


#: Points that an onboarding without faults does not pass: a second call that it can spare, and a nudge that it does
#: not send.
NEVER_REACHED = {
    ("create_identification", "before call 2"),
    ("create_identification", "after call 2"),
    ("create_identification", "after the commit"),
    ("create_identification", "after the send"),
    ("submit_signings", "after the commit"),
    ("submit_signings", "after the send"),
    ("handle_step_up", "after the commit"),
    ("handle_step_up", "after the send"),
    ("explain_decline", "after the commit"),
    ("explain_decline", "after the send"),
    ("archive_at_iron", "after the commit"),
    ("archive_at_iron", "after the send"),
}


#: A step-up of the identification that we know: a story waits for it.
STEPPING_UP = {"step_up": ("Pending", "Approved")}


def test_moving_again_soon(world: World) -> None:
    """The record of a dead worker is in somebody's hands again as soon as the lease is over."""
    scythe = Scythe(world, "create_customer", "after call 2")
    world.run_step = scythe.run()
    world.submit()
    world.drain()
    assert scythe.struck
    world.advance(LEASE_MS / 1000 - 0.5)
    assert world.pulse.run_once().nudges == 0
    world.advance(0.6)
    assert world.pulse.run_once().nudges == 1
    world.drain()
    assert world.record().phase == "identification_pending"


def test_broker_wiped(either: World) -> None:
    """Throwing away every message at any moment costs a delay and nothing else."""
    world = either
    world.runner.send = lambda nudge: None
    world.door._send = lambda nudge: None
    assert world.onboard().phase == "active"
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}


def test_all_doubled(either: World) -> None:
    """Every nudge delivered twice changes nothing."""
    world = either

    def send_twice(nudge: Nudge) -> None:
        world.queue.send(nudge)
        world.queue.send(nudge)

    world.runner.send = send_twice
    assert world.onboard().phase == "active"
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}
