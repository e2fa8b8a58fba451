"""The actors: one for each step, named after it, sent to the lane of the record.

A message carries the idempotency key and the record's version, nothing else. An actor never raises for a step's sake:
the record's due time is the retry, so that Dramatiq's own retries and dead letters have nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable

import dramatiq

from pipelines.onboarding import STEPS
from workers.engine.broker import NudgeBroker
from workers.engine.runner import Runner
from workers.ledger import LANES


def declare_actors(broker: NudgeBroker, runner: Runner) -> None:
    """Declare the actor of every step on the broker."""
    for step in STEPS:
        dramatiq.actor(actor_name=step, queue_name=LANES[0], broker=broker)(_actor(step, runner))


def _actor(step: str, runner: Runner) -> Callable[[str, int], None]:
    def run(key: str, version: int) -> None:
        runner.run(step, key, version)

    return run
