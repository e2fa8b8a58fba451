"""The console as people use it: in a browser, against the running system."""

from __future__ import annotations

from tests.browser.chromium import Page
from tests.browser.conftest import Site
from tests.world import noted

FILE = "email,customer_type,name,external_id\n" + "".join(
    f"i-{number}+manual@example.com,Person,Ada {number},i-{number}\n" for number in range(3)
)


def sign_in(page: Page, site: Site, role: str, following: str = "/") -> None:
    """Open a page of the console and sign in on the way."""
    page.open(site.gateway + following)
    assert page.address.startswith(f"{site.gateway}/console/login")
    page.write(site.token(role))  # the field has the focus
    page.enter()


def test_in_and_out(page: Page, site: Site) -> None:
    """A token opens the console until one signs out; its cookie is out of reach of scripts and of other sites."""
    page.open(site.gateway)
    page.write("onb_wrong")
    page.enter()
    assert "This token is wrong" in page.text()
    assert page.complaints.pop().endswith("401 (Unauthorized)")
    page.type("input[name=token]", site.token("viewer"))
    page.enter()
    assert page.heading == "Overview"
    assert page.address == f"{site.gateway}/"
    [cookie] = page.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], page.js("document.cookie")) == (True, "Strict", "")
    assert site.token("viewer") not in str(cookie)
    page.follow("form.me button")
    assert page.cookies() == []
    page.open(f"{site.gateway}/console/imports")
    assert page.address.startswith(f"{site.gateway}/console/login")


def test_from_the_overview_to_an_act(page: Page, site: Site) -> None:
    """An operator finds an onboarding, says why it ends, and sees without reloading that it has ended."""
    site.submit("ends")
    sign_in(page, site, "operator")
    page.follow("a[href='/console/onboardings?phase=identification_pending']")
    page.follow("a[href='/console/onboarding?key=ends']")
    assert page.heading == "ends"
    page.follow("a[href='/console/act?key=ends&act=cancel']")
    assert page.heading == "Cancel this customer"
    page.mark()
    page.click("main form button")
    assert page.js("document.querySelector('[name=reason]').validity.valueMissing")
    assert page.stays
    page.type("[name=reason]", "the customer left")
    page.follow("main form button")
    page.mark()
    page.until_says("Cancelled")
    page.until_says(noted("cancel", "the-operator", "the customer left"))
    assert page.stays
    assert site.until("ends", "cancelled")["waiting_on"] == "nobody"


def test_a_viewer_is_offered_nothing(page: Page, site: Site) -> None:
    """Who may only look sees no act, gets no form for one that is asked for by its address, and changes nothing."""
    site.submit("stays")
    sign_in(page, site, "viewer", "/console/onboarding?key=stays")
    assert page.heading == "stays"
    assert not page.has("main form, main a.button")
    page.open(f"{site.gateway}/console/act?key=stays&act=cancel")
    assert page.heading == "Your role cannot do this"
    assert not page.has("main form, main button")
    assert page.complaints.pop().endswith("403 (Forbidden)")
    assert site.api("GET", "/v1/onboardings/stays")["phase"] == "identification_pending"


def test_an_import_appears_by_itself(page: Page, site: Site) -> None:
    """Who looks at the imports sees a new one without reloading, and its progress as it goes."""
    sign_in(page, site, "operator", "/console/imports")
    assert "No imports yet" in page.text()
    page.mark()
    headers = {"Content-Type": "text/csv"}
    site.api("POST", "/v1/imports?name=autumn", content=FILE, headers=headers)
    page.until_says("autumn")
    assert page.stays
    page.follow("a[href='/console/import?name=autumn']")
    page.mark()
    page.until_says("3 of 3 customers finished")
    assert page.stays


def test_with_the_keyboard_alone(page: Page, site: Site) -> None:
    """Everything can be reached with Tab and done with Enter, and what has the focus is seen."""
    site.submit("keys")
    page.open(f"{site.gateway}/console/onboarding?key=keys")
    page.write(site.token("operator"))
    page.tab_to("main form button")
    page.enter()
    page.key("Tab", 9)
    assert page.text(":focus") == "Skip to the content"
    page.tab_to("a[href$='act=cancel']")
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.enter()
    assert page.js("document.activeElement.name") == "reason"
    page.write("no mouse")
    page.tab_to("main form button")
    page.enter()
    page.until_says(noted("cancel", "the-operator", "no mouse"))


def test_without_scripts(page: Page, site: Site) -> None:
    """With JavaScript switched off one can sign in, look, find and act, and pages reload themselves now and then."""
    site.submit("plain")
    page.scripts(on=False)
    sign_in(page, site, "operator")
    assert page.has("meta[http-equiv=refresh]")
    page.type("input[name=text]", "plain")
    page.enter()
    assert page.heading == "plain"
    page.follow("a[href$='act=cancel']")
    page.type("[name=reason]", "without scripts")
    page.follow("main form button")
    assert "is stored" in page.text()
    site.until("plain", "cancelled")
    page.open(page.address)
    assert "Cancelled" in page.text(".lead")
