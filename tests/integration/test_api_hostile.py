"""What nobody should send, sent to the API: it is refused with a problem, never with a 5xx, and stores nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.gateway import Gateway, harm
from tests.world import World

#: The program tests/bench/hostile.py sends 10,000.
REQUESTS = 400


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


def test_hostile_bodies(gateway: Gateway) -> None:
    """Hundreds of random and hostile bodies: every refusal is a problem, none is a 5xx, none leaves anything behind."""
    statuses: Counter[int] = Counter()
    found = [(seed, what) for seed in range(REQUESTS) if (what := harm(gateway, seed, statuses))]
    assert found == []
    assert set(statuses) >= {202, 400, 415, 422}  # some are nearly right, and some of these right


@pytest.mark.parametrize(
    "path",
    [
        "/v1/onboardings/%00",
        "/v1/onboardings/%FF%FE",
        "/v1/onboardings/%ED%A0%80/history",
        "/v1/onboardings/" + "a" * 5_000,
        "/v1/onboardings?cursor=%00",
        "/v1/onboardings?label=%00=%00",
        "/v1/onboardings?external_id=%00",
        "/v1/onboardings?import=%FF",
        "/v1/onboardings?limit=99999999999999999999999999",
        "/v1/imports/%00",
        "/v1/events?after=%00&limit=0&wait=-1",
        "/v1//onboardings",
        "/v1/",
    ],
)
def test_hostile_addresses(path: str, gateway: Gateway) -> None:
    """Whatever stands in an address, the answer is one of ours and nothing is stored."""
    answer = gateway.get(path, role="admin")
    assert answer.status_code < 500, answer.text
    assert gateway.world.client.dbsize() == 0
