"""Every page, on a desk and on a phone, light and dark: everybody can read it and knows what each thing does."""

from __future__ import annotations

from tests.browser.chromium import Page
from tests.browser.conftest import Site
from tests.browser.looks import findings
from tests.browser.test_console_journeys import FILE, sign_in


def test_the_console(page: Page, site: Site) -> None:
    """No page of the console scrolls sideways at 360 px, has a field without a label, or text that is hard to read."""
    site.submit("look-" + "x" * 50)
    site.submit("look")
    site.api("POST", "/v1/imports?name=looked-at", content=FILE, headers={"Content-Type": "text/csv"})
    page.open(site.gateway)
    found = {"sign in": findings(page)}
    sign_in(page, site, "admin")
    for path in (
        *("/", "/console/onboardings", "/console/onboardings?label=a%3Db", f"/console/onboarding?key=look-{'x' * 50}"),
        *(f"/console/act?key=look&act={act}" for act in ("correct", "restart", "cancel", "retry", "revoke_links")),
        *("/console/imports", "/console/import?name=looked-at", "/console/import/act?name=looked-at&act=cancel"),
    ):
        page.open(site.gateway + path)
        found[path] = findings(page)
        page.complaints.clear()  # a 409 is a page too: what cannot be done now says why
    site.submit("look-why", "decline")
    site.until("look-why", "declined")
    for key in ("look", "look-why"):
        page.open(f"{site.gateway}/console/onboarding?key={key}")
        found[key] = findings(page)
        page.follow("form[action='/console/personal'] button")
        found[f"personal data of {key}"] = findings(page)
    assert {name: one for name, one in found.items() if one} == {}


def test_what_customers_see(page: Page, site: Site) -> None:
    """The same of the customer's page in its situations, and of the sandbox's hosted page."""
    link = site.submit("seen")["customer_link"]
    found: dict[str, list[str]] = {}

    def look(name: str, address: str) -> None:
        page.open(address)
        found[name] = findings(page)
        page.complaints.clear()

    look("identify", link)
    look("in German", f"{link}?lang=de")
    page.open(link)
    page.follow("main button")
    found["hosted"] = findings(page)
    page.follow("button[value=decline]")
    found["hosted, done"] = findings(page)
    site.until("seen", "declined")
    look("declined", link)
    look("unknown", f"{link}x")
    site.api("POST", "/v1/onboardings/seen/actions/cancel", json={"reason": "seen enough"})
    site.until("seen", "cancelled")
    look("closed", link)
    assert {name: one for name, one in found.items() if one} == {}
