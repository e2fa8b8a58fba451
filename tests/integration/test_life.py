"""One customer from the job to the final phase, by each tag of the sandbox, on a real Redis."""

from __future__ import annotations

import pytest

from tests.support import World


def test_approved(world: World) -> None:
    """A customer whom Iron approves and who signs becomes active, with one effect of each kind."""
    record = world.onboard()
    assert record.phase == "active"
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}


@pytest.mark.parametrize(
    ("tag", "phase", "identifications"),
    [
        ("decline", "declined", 1),
        ("decline-final", "declined", 1),
        ("expire", "on_hold", 3),
        ("manual", "identification_pending", 1),
    ],
)
def test_tags(world: World, tag: str, phase: str, identifications: int) -> None:
    """Each tag leads to its phase, with the identifications it needs and not one more."""
    world.submit(tag=tag)
    world.run_until("k-1", phase, seconds=5 * 3600)
    world.run(until=lambda: world.shift_ms > 6 * 3600_000, seconds=7 * 3600)
    assert world.record().phase == phase
    assert world.effects() == {"k-1": {"customers": 1, "identifications": identifications, "signings": 0}}
