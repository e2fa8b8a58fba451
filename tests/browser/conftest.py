"""The whole system as `onboarding dev` starts it, once for all journeys, and for each a page of a real browser.

Whatever a page complains of fails the test: an error of a script, a violation of its policy, a file that did not come.
So does a request to any other host.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ops.local.system import PLENTY, System, running
from tests.browser.chromium import Browser, Page, installed
from tests.world import a_job
from workers.secrets.tokens import Role, setting_of

#: How much faster than life the sandbox plays its customers: a link runs out after two seconds.
SPEED = 4.0


class Site:
    """The running system, and what happens in it without a browser."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.gateway = system.gateway
        self.sandbox = system.sandbox
        self._client = httpx.Client(base_url=system.gateway, trust_env=False, timeout=20)

    @staticmethod
    def token(role: str) -> str:
        """The API token of a role."""
        return f"onb_journeys-{role}"

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask the gateway as an administrator."""
        headers = {"Authorization": f"Bearer {self.token('admin')}"} | arguments.pop("headers", {})
        answer = self._client.request(method, path, headers=headers, **arguments)
        assert answer.is_success, answer.text
        return answer.json()

    def submit(self, key: str, tag: str = "manual") -> Any:
        """Hand in a job and wait until its customer has a link; gives the record."""
        self.api("POST", "/v1/onboardings", json=a_job(key, tag))
        return self.until(key, "identification_pending")

    def until(self, key: str, phase: str) -> Any:
        """Wait until an onboarding is in a phase, event by event; gives the record."""
        after = "0-0"
        for _ in range(200):
            record = self.api("GET", f"/v1/onboardings/{key}")
            if record["phase"] == phase:
                return record
            after = self.api("GET", f"/v1/events?after={after}&wait=1&limit=500")["next"] or after
        raise AssertionError((key, record["phase"], phase))

    def effects(self) -> Any:
        """What was done at Iron so far."""
        return self.system.ask("summary")["effects"]

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all journeys."""
    path = installed()
    if path is None:
        pytest.skip("no Chromium or Chrome on the PATH; `apt-get install chromium` brings one")
    with Browser(path, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="session")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Redis, sandbox, workers and gateway in processes of their own, with a token for each role."""
    tokens = ",".join(setting_of(f"the-{role}", role, Site.token(role)) for role in Role)
    settings = {**PLENTY, "ONBOARDING_API_TOKENS": tokens, "ONBOARDING_COMPANY_NAME": "Example & Co"}
    with running(tmp_path_factory.mktemp("site"), settings=settings, speed=SPEED) as system:
        made = Site(system)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """An empty page with no cookies, which may load nothing from elsewhere and has nothing to complain of."""
    with browser.page() as opened:
        yield opened
        ours = (f"{site.gateway}/", f"{site.sandbox}/", "data:", "about:")
        assert [address for address in opened.requests if not address.startswith(ours)] == []
        assert opened.complaints == []
