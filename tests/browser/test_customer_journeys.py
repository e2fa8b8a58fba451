"""The customer's link in a browser: from the message that brought it to Iron's hosted page and back."""

from __future__ import annotations

from tests.browser.chromium import PHONE, Page
from tests.browser.conftest import Site


def test_from_the_link_to_the_end(page: Page, site: Site) -> None:
    """Looking spends nothing; the button leads to the hosted page; afterwards the same link says what comes next."""
    link = site.submit("go")["customer_link"]
    page.size(*PHONE)
    before = site.effects()
    for _ in range(3):
        page.open(link)
    assert page.heading == "Confirm your identity"
    assert page.cookies() == []
    assert site.effects() == before
    assert site.sandbox not in page.js("document.documentElement.outerHTML")
    page.follow("main button")
    assert page.address.startswith(f"{site.sandbox}/start?token=")
    page.follow("button[value=approve]")
    assert page.heading == "There is nothing left to do here"
    site.until("go", "signings_required")
    page.open(link)
    assert page.heading == "Your identity is confirmed"
    assert "Terms and Conditions" in page.text()
    assert site.effects() == before


def test_in_german(page: Page, site: Site) -> None:
    """Whose browser speaks German reads German, and can change that."""
    link = site.submit("sprache")["customer_link"]
    page.languages("de-AT,de;q=0.9,en;q=0.5")
    page.open(link)
    assert page.js("document.documentElement.lang") == "de"
    assert page.text("main button") == "Weiter"
    page.follow("nav a[lang=en]")
    assert page.text("main button") == "Continue"


def test_a_link_that_ran_out(page: Page, site: Site) -> None:
    """When Iron's link has run out the page offers a new beginning, waits for it by itself, and leads on again."""
    link = site.submit("late")["customer_link"]
    site.system.ask("customers/late/expire", {})
    site.until("late", "expired")
    page.open(link)
    assert page.text("main button") == "Start again"
    page.follow("main button")
    page.until("document.querySelector('main button')?.innerText === 'Continue'")
    page.follow("main button")
    assert page.address.startswith(f"{site.sandbox}/start?token=")


def test_a_link_that_was_withdrawn(page: Page, site: Site) -> None:
    """The old link says so; an altered one says that it does not work; neither has a button."""
    link = site.submit("void")["customer_link"]
    site.api("POST", "/v1/onboardings/void/actions/revoke-links", json={"reason": "sent to the wrong address"})
    for address, heading, status in (
        (link, "This link is no longer valid", "410 (Gone)"),
        (link[:-1], "This link does not work", "404 (Not Found)"),
    ):
        page.open(address)
        assert page.heading == heading
        assert not page.has("main button")
        assert page.complaints.pop().endswith(status)


def test_with_the_keyboard_and_without_scripts(page: Page, site: Site) -> None:
    """The button is the first thing that Tab reaches, and needs no JavaScript."""
    link = site.submit("tab")["customer_link"]
    page.scripts(on=False)
    page.open(link)
    page.key("Tab", 9)
    assert page.text(":focus") == "Continue"
    page.enter()
    assert page.address.startswith(f"{site.sandbox}/start?token=")
    page.tab_to("button[value=decline]")
    page.enter()
    assert page.heading == "There is nothing left to do here"
    site.until("tab", "declined")
