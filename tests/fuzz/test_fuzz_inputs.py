"""A few hundred seeded inputs each; `python -m tests.fuzz.bodies` and `python -m tests.fuzz.files` try ten thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import bodies, files, running
from tests.gateway import Gateway
from tests.world import World

#: Inputs of each kind.
BODIES, FILES = 400, 250


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


def test_bodies(gateway: Gateway, tmp_path: Path) -> None:
    """No body makes a 5xx, a traceback or a refusal without a code, and what is refused stores nothing."""
    once, counts = bodies.tries(gateway, tmp_path), Counter[str]()
    assert [(seed, what) for seed in range(BODIES) if (what := once(seed, counts))] == []
    assert {"200", "202", "400", "415", "422"} <= set(counts)


def test_files(gateway: Gateway, tmp_path: Path) -> None:
    """No file makes anything unforeseen; both doors say the same; a refusal leaves nothing; reports are readable."""
    with running.temporary(tmp_path / "temporary") as folder:
        once, counts = files.tries(gateway, folder), Counter[str]()
        assert [(seed, what) for seed in range(FILES) if (what := once(seed, counts))] == []
    assert min(counts["taken"], counts["refused"]) > FILES / 10
