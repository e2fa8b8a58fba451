"""Random faults, by seed: no effect twice, nobody stranded."""

from __future__ import annotations

import os

import pytest
import redis

from tests.chaos.simulator import play

#: Schedules that `make test` plays; CHAOS_SEEDS=from:to plays others.
FIRST, LAST = (int(part) for part in os.environ.get("CHAOS_SEEDS", "0:200").split(":"))


@pytest.mark.parametrize("seed", range(FIRST, LAST))
def test_seed(client: redis.Redis, seed: int) -> None:
    """Whatever this seed's faults are, every customer ends where Iron wants them, with each effect once."""
    play(client, seed)


@pytest.mark.parametrize("seed", [7, 23])
def test_the_same_seed_gives_the_same_story(client: redis.Redis, seed: int) -> None:
    """Whoever plays a seed alone sees the same faults, the same histories and the same books of Iron's."""

    def story() -> tuple[object, ...]:
        client.flushdb()
        schedule = play(client, seed)
        world = schedule.world
        histories = [list(world.ledger.history(key)) for key in schedule.jobs]
        return schedule.faults, schedule.jumps, schedule.stale, schedule.now(), histories, world.effects()

    assert story() == story()
