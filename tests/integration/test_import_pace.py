"""Imports against a budget, in simulated time: equal shares, and an estimate that comes true."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import redis

from tests.bench.imports import Clocked
from tests.chaos.simulator import BEGINNING_MS
from workers.ledger.limits import Budget

BUDGET = Budget(rate_per_second=40, identifications_per_minute=60)


@pytest.fixture
def clocked(client: redis.Redis, tmp_path: Path) -> Clocked:
    """A world with a budget that holds in simulated time."""
    return Clocked(str(tmp_path), client, BUDGET)


def test_shares_are_equal(clocked: Clocked) -> None:
    """Of two imports of very different size, each has half of the identifications while both go on."""
    clocked.start("large", 400)
    clocked.start("small", 60)
    while len(clocked.began) < 100:
        clocked.pass_time()
    shares = Counter(name for _, name in clocked.began)
    assert abs(shares["large"] - shares["small"]) <= 10


def test_reading_again_takes_nothing_from_beginning(client: redis.Redis, tmp_path: Path) -> None:
    """Where calls are scarce an import still begins as fast as identifications allow, however many are watched."""
    clocked = Clocked(str(tmp_path), client, Budget(rate_per_second=4, identifications_per_minute=60))
    clocked.start("list", 400)
    while clocked.world.shift_ms < BEGINNING_MS + 180_000:
        clocked.pass_time()
    assert sum(at >= 120 for at, _ in clocked.began) >= 55


@pytest.mark.parametrize("others", [0, 30])
def test_the_estimate_comes_true(clocked: Clocked, others: int) -> None:
    """At a fifth of the way it is within a tenth of the truth, alone and beside another import that ends before."""
    clocked.start("list", 120)
    if others:
        clocked.start("other", others)
    began_ms, said_ms = clocked.world.ledger.now_ms(), 0
    while (one := clocked.imports.get("list")).state != "finished":
        if not said_ms and one.finished >= 24:
            assert one.expected_ms is not None
            said_ms = one.expected_ms
        clocked.pass_time()
    assert one.finished_ms is not None
    assert abs(said_ms - one.finished_ms) <= 0.1 * (one.finished_ms - began_ms)
