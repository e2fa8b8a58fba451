"""Archiving at Iron over HTTP: by compliance alone, with the key repeated, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway import Gateway
from tests.world import World

PATH = "/v1/onboardings/k-1/actions/archive"


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway around the world's ledger."""
    gateway = Gateway(world, broker_url)
    yield gateway
    gateway.close()


def asked(gateway: Gateway, role: str, **changes: str) -> tuple[int, str]:
    """Ask for it as somebody; the status and the problem's code."""
    body = {"reason": "a mistaken double", "confirm": "k-1", **changes}
    answer = gateway.request("POST", PATH, json=body, role=role)
    return answer.status_code, answer.json().get("code", "")


def test_archiving(world: World, gateway: Gateway) -> None:
    """An operator may not, a wrong confirmation changes nothing, and then it is done once."""
    world.onboard()
    world.run_until("k-1", "active")
    for role in ("viewer", "submitter", "operator"):
        assert asked(gateway, role) == (403, "role_insufficient")
    assert asked(gateway, "compliance", confirm="k-2") == (422, "invalid_request")
    assert asked(gateway, "compliance", what="everything") == (422, "invalid_request")
    assert world.record().archive == ""
    assert asked(gateway, "compliance") == (202, "")
    world.run_until("k-1", "archived")
    assert asked(gateway, "compliance") == (409, "act_refused")
    assert world.record().identification_status in ("Approved", "Archived")
