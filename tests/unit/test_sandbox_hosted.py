"""The page behind a hosted link of the sandbox: what it shows, what its buttons do, and that to look does nothing."""

from pathlib import Path

import pytest

from ops.sandbox import Answer, Sandbox, Switches
from ops.sandbox.hosts.state import load, save
from ops.sandbox.lab.hosted_page import CHOICES, prefix

LINKS = "http://127.0.0.1:8701/start?token="


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still, with its links as a server has them."""
    return Sandbox(switches=Switches(link_prefix=LINKS))


def begin(sandbox: Sandbox, external_id: str = "crm-1") -> str:
    """Create a customer with an identification; gives its hosted link."""
    customer = {"customer_type": "Person", "email": f"{external_id}+manual@example.com", "external_id": external_id}
    customer_id = sandbox.request("POST", "/api/customers", customer, key=f"c-{external_id}").json()["id"]
    path = f"/api/customers/{customer_id}/identifications/v2"
    return str(sandbox.request("POST", path, {"type": "Link"}, key=f"i-{external_id}").json()["url"])


def visit(sandbox: Sandbox, link: str, step: str | None = None) -> Answer:
    """Open the page of a link, or press a button on it."""
    query = link.partition("?")[2]
    if step is None:
        return sandbox.handle("GET", "/start", query)
    return sandbox.handle("POST", "/start", query, body=f"step={step}".encode())


def status(sandbox: Sandbox, external_id: str = "crm-1") -> str:
    """The status of a customer's newest identification."""
    [customer] = sandbox.provider.store.with_external_id(external_id)
    assert customer.newest is not None
    return customer.newest.status


def test_to_look_does_nothing(sandbox: Sandbox) -> None:
    """The page has a button for each ending, and opening it changes no record, no effect and no count of requests."""
    link = begin(sandbox)
    before = sandbox.effects.totals(), sandbox.traffic.total, len(sandbox.webhooks.waiting())
    answer = visit(sandbox, link)
    assert answer.status == 200
    assert [f'value="{step}"' in answer.body.decode() for step in CHOICES] == [True] * 3
    assert "crm-1" in answer.body.decode()
    assert status(sandbox) == "Pending"
    assert (sandbox.effects.totals(), sandbox.traffic.total, len(sandbox.webhooks.waiting())) == before


@pytest.mark.parametrize(
    ("step", "ends", "retry"),
    [("approve", "Approved", None), ("decline", "Declined", True), ("decline-final", "Declined", False)],
)
def test_a_button_decides(sandbox: Sandbox, step: str, ends: str, retry: bool | None) -> None:
    """It ends as pressed, leads back to the page, and the page then offers nothing more."""
    link = begin(sandbox)
    answer = visit(sandbox, link, step)
    assert (answer.status, answer.headers["location"]) == (303, link.removeprefix("http://127.0.0.1:8701"))
    assert status(sandbox) == ends
    [customer] = sandbox.provider.store.order
    assert customer.newest is not None
    assert customer.newest.retry is retry
    after = visit(sandbox, link).body.decode()
    assert ends in after
    assert "<button" not in after
    other = "approve" if ends == "Declined" else "decline"
    visit(sandbox, link, other)
    assert status(sandbox) == ends


def test_an_approved_customer_goes_on(sandbox: Sandbox) -> None:
    """After the button the customer moves as after any other approval."""
    visit(sandbox, begin(sandbox), "approve")
    sandbox.advance(5)
    [customer] = sandbox.provider.store.order
    assert customer.status == "SigningsRequired"


def test_a_step_up_has_the_same_page(sandbox: Sandbox) -> None:
    """What Iron asks for later is answered at the same link."""
    link = begin(sandbox)
    visit(sandbox, link, "approve")
    sandbox.move("crm-1", "stepup")
    assert "<button" in visit(sandbox, link).body.decode()
    visit(sandbox, link, "approve")
    assert status(sandbox) == "Approved"


def test_each_link_is_of_one_identification(sandbox: Sandbox) -> None:
    """A button moves the customer of its link and nobody else; an altered link leads nowhere."""
    first, second = begin(sandbox, "crm-1"), begin(sandbox, "crm-2")
    visit(sandbox, second, "approve")
    assert (status(sandbox, "crm-1"), status(sandbox, "crm-2")) == ("Pending", "Approved")
    for query in ("", "token=", "token=x", f"{first.partition('?')[2]}0"):
        assert sandbox.handle("GET", "/start", query).status == 404
        assert sandbox.handle("POST", "/start", query, body=b"step=approve").status == 404
    assert status(sandbox, "crm-1") == "Pending"


@pytest.mark.parametrize("body", [b"", b"step=", b"step=archive", b"\xff", b"step=approve2"])
def test_a_form_that_is_none_of_its_own(sandbox: Sandbox, body: bytes) -> None:
    """What is no button changes nothing, and says so."""
    link = begin(sandbox)
    assert sandbox.handle("POST", "/start", link.partition("?")[2], body=body).status == 400
    assert sandbox.handle("PUT", "/start", link.partition("?")[2]).status == 405
    assert status(sandbox) == "Pending"


def test_texts_are_escaped(sandbox: Sandbox) -> None:
    """An external id is text, whatever stands in it."""
    page = visit(sandbox, begin(sandbox, "<script>1</script>")).body.decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_it_leads_where_a_switch_says(sandbox: Sandbox) -> None:
    """Upstream developers see their own page again."""
    sandbox.switches.return_url = "http://127.0.0.1:9000/back"
    assert visit(sandbox, begin(sandbox), "approve").headers["location"] == "http://127.0.0.1:9000/back"


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("box", "box")],
)
def test_where_links_lead(host: str, address: str) -> None:
    """A server's links lead to an address that a browser beside it can open."""
    assert prefix(host, 8701) == f"http://{address}:8701/start?token="


def test_links_follow_a_server_that_moved(tmp_path: Path) -> None:
    """A state written at one port says nothing about where links lead at another; the other switches stay."""
    before = Sandbox(switches=Switches(link_prefix=LINKS, keep_url=True))
    save(before, tmp_path / "state")
    moved = Sandbox(switches=Switches(link_prefix=LINKS.replace("8701", "9999")))
    load(moved, tmp_path / "state")
    assert "9999" in moved.switches.link_prefix
    assert moved.switches.keep_url
