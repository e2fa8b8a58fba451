"""Six years of re-identification in small: the same program as tests/chaos/years.py with few customers."""

from __future__ import annotations

import redis

from tests.chaos.years import Years


def test_years(client: redis.Redis) -> None:
    """Nobody twice in a period, nobody late but by the cap, never over the cap, at night, or without notice."""
    years = Years(client, 60, seed=7)
    found = years.run()
    assert found.broken == {}, found.examples
    assert found.counts["starts"] > 100
    assert found.counts["calls replayed by their key"] > 0
    assert found.counts["past the date, delayed by the cap"] + found.counts["turned away for the cap"] > 0
