"""The API version of a customer: kept with the record, and named in its calls where the setting says so."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import httpx
import pytest

from tests.world import World


class Listener(httpx.BaseTransport):
    """Passes requests on, and notes which version each names, by the customer in its path."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.versions: defaultdict[str, set[str]] = defaultdict(set)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note and pass on."""
        parts = request.url.path.split("/")
        subject = parts[3] if len(parts) > 3 else ""
        self.versions[subject].add(request.headers["x-api-version"])
        return self.inner.handle_request(request)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "not kept"])
def test_a_customer_keeps_the_version_it_was_created_under(world: World, keep: bool) -> None:
    """With another version set meanwhile, who exists goes on under the former one, and who is new gets the new one."""
    listener = Listener(world.transport)
    world.runner.iron = replace(world.runner.iron, transport=listener)
    world.runner.keep_version = keep
    world.submit("k-1", "manual")
    first = world.run_until("k-1", "identification_pending")
    assert first.api_version == "2026-07-01"
    assert listener.versions[first.customer_id or ""] == {"2026-07-01"}
    listener.versions.clear()
    world.runner.iron = replace(world.runner.iron, api_version="2026-10-15")
    world.move("k-1", "approve")
    world.run_until("k-1", "signings_required")
    world.submit("k-2", "manual")
    second = world.run_until("k-2", "identification_pending")
    assert listener.versions[first.customer_id or ""] == {"2026-07-01" if keep else "2026-10-15"}
    assert listener.versions[second.customer_id or ""] == {"2026-10-15"}
    assert second.api_version == "2026-10-15"


def test_a_customer_without_a_known_version_has_the_setting(world: World) -> None:
    """Iron need not say by which version it answered; then the setting holds, as before."""
    listener = Listener(world.transport)
    world.runner.iron = replace(world.runner.iron, transport=listener)
    world.runner.keep_version = True
    world.sandbox.provider.switches.version_echo = False
    world.submit("k-1", "manual")
    record = world.run_until("k-1", "identification_pending")
    assert record.api_version == ""
    world.runner.iron = replace(world.runner.iron, api_version="2026-10-15")
    listener.versions.clear()
    world.move("k-1", "approve")
    world.run_until("k-1", "signings_required")
    assert listener.versions[record.customer_id or ""] == {"2026-10-15"}
