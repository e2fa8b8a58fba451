"""The customer's page: to look changes nothing, the button leads on, and what is over is renewed by the pipeline."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from structlog.testing import capture_logs

from ops.gateway.pages.customer.routes import BY
from ops.gateway.pages.customer.texts import SITUATIONS
from pipelines.acts import MAX_ROUNDS_ASKED
from tests.gateway import Gateway
from tests.world import World, contents, cut_off, noted
from workers.reconcile.adopt import adopt
from workers.secrets.links import CustomerLinks
from workers.secrets.vault import new_key

#: The button waits for a look at Iron as long as that takes on a busy machine, in seconds.
PATIENCE_S = 20.0


class Customer(Gateway):
    """The gateway, as a customer's browser sees it."""

    def path(self, key: str = "k-1") -> str:
        """The address of a record's page."""
        return str(self.links.link(self.world.read(key))).removeprefix("https://go.example.com")

    def look(self, path: str | None = None, **arguments: Any) -> httpx.Response:
        """Open the page."""
        return self.get(path or self.path(), **arguments)

    def press(self, path: str | None = None, **arguments: Any) -> httpx.Response:
        """Press the button."""
        return self.request("POST", path or self.path(), **arguments)

    def heading(self, path: str | None = None, **arguments: Any) -> str:
        """What the page says first."""
        return re.findall(r"<h1>(.*)</h1>", self.look(path, **arguments).text)[0]


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Customer]:
    """A gateway that customers can reach."""
    made = Customer(world, broker_url, company="Example & Co", look_within_s=PATIENCE_S)
    yield made
    made.close()


def says(situation: str, language: str = "en") -> str:
    """The heading of a situation."""
    return SITUATIONS[situation][language][0]


def everything(gateway: Customer) -> Any:
    """All that there is: the ledger, the queues, Iron's books and how often Iron was asked."""
    sandbox = gateway.world.sandbox
    held = [contents(client) for client in (gateway.world.client, gateway.broker.client)]
    return held, sandbox.effects.group(), sandbox.traffic.total


def expired(world: World, key: str = "k-1") -> None:
    """Bring a customer to the point where the link has expired, and the next round is some time away."""
    world.submit(key, "expire")
    world.run_until(key, "expired")


# --- to look ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["received", "identification_pending", "expired", "cancelled"])
def test_to_look_changes_nothing(gateway: Customer, phase: str) -> None:
    """GET and HEAD, as often as a mail scanner likes, leave the ledger, the queues and Iron's books as they are."""
    world = gateway.world
    world.submit(tag="expire")
    if phase == "cancelled":
        world.act("k-1", "cancel", reason="test")
    if phase != "received":
        world.run_until("k-1", phase)
    world.queue.nudges.clear()
    path, before = gateway.path(), everything(gateway)
    for method in ("GET", "HEAD", "GET", "HEAD"):
        answer = gateway.request(method, path)
        assert answer.status_code == (410 if phase == "cancelled" else 200)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert gateway.request(method, path).status_code == 405
    assert everything(gateway) == before


def test_a_look_costs_one_script_call(gateway: Customer) -> None:
    """The page of a record is one round trip to Redis."""
    gateway.world.submit()
    path = gateway.path()
    gateway.look(path)
    before = gateway.world.client.info("commandstats")
    gateway.look(path)
    after = gateway.world.client.info("commandstats")
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert calls["cmdstat_evalsha"] == 1
    assert not any(
        "set" in name or "add" in name or "push" in name for name, count in calls.items() if count and "get" not in name
    )


def test_the_page_gives_nothing_away(gateway: Customer) -> None:
    """Neither the hosted link nor the token nor anything personal stands in the page or in what goes along with it."""
    world = gateway.world
    world.submit()
    link = world.run_until("k-1", "identification_pending").link
    answer = gateway.look()
    token = gateway.path().rpartition("/")[2]
    for secret in (str(link), token, "Ada", "example.com", "k-1", world.record().customer_id):
        assert str(secret) not in answer.text + str(answer.headers)


def test_the_headers_let_nothing_in_and_nothing_out(gateway: Customer) -> None:
    """No cache keeps it, no other site learns of it, none may frame it, and nothing runs or loads in it."""
    gateway.world.submit()
    gateway.world.run_until("k-1", "identification_pending")
    for answer in (gateway.look(), gateway.press(), gateway.look("/go/nonsense")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert answer.headers["x-frame-options"] == "DENY"
    policy = gateway.look().headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    html = gateway.look().text
    assert "<script" not in html
    assert not re.search(r"(?:src|href)=\"(?!data:|\?lang=)", html)


def test_what_a_document_is_called_stays_text(client: redis.Redis, broker_url: str) -> None:
    """A name that Iron gives a document, and the company's, cannot become markup."""
    world = World(client, documents=("<script>alert(1)</script>",))
    world.submit()
    world.run_until("k-1", "signings_required")
    world.run(until=lambda: bool(world.record().signings))
    gateway = Customer(world, broker_url, company="Example & Co")
    html = gateway.look().text
    gateway.close()
    assert "Example &amp; Co" in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html


@pytest.mark.parametrize(
    ("headers", "query", "chosen"), [({}, "", "en"), ({"Accept-Language": "de-CH"}, "", "de"), ({}, "?lang=de", "de")]
)
def test_in_the_customers_language(gateway: Customer, headers: dict[str, str], query: str, chosen: str) -> None:
    """The page is in German or English, says so, and what the button leads to stays in that language."""
    gateway.world.submit()
    gateway.world.run_until("k-1", "identification_pending")
    answer = gateway.look(gateway.path() + query, headers=headers)
    assert f'<html lang="{chosen}">' in answer.text
    assert says("identify", chosen) in answer.text
    assert answer.headers["content-language"] == chosen
    assert answer.headers["vary"] == "Accept-Language"
    assert f'action="?lang={chosen}"' in answer.text


# --- refused links ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_link_that_is_none_is_refused_and_not_logged(gateway: Customer, method: str) -> None:
    """Altered, cut off, invented, or of a key that is gone: 404, a line without the token, and nothing is done."""
    gateway.world.submit()
    good = gateway.path()
    of_a_lost_key = CustomerLinks([new_key()], "default").token("k-1")
    of_nobody = gateway.links.token("k-404")
    before = everything(gateway)
    for bad in (
        good[:-1],
        good + "A",
        f"/go/{good[4:].swapcase()}",
        f"/go/{of_a_lost_key}",
        f"/go/{of_nobody}",
        "/go/.env",
    ):
        with capture_logs() as lines:
            answer = gateway.request(method, bad)
        assert answer.status_code == 404
        assert method == "HEAD" or says("unknown") in answer.text
        [line] = [line for line in lines if line["event"] == "request.answered"]
        assert (line["route"], line["outcome"], line["reason"]) == ("/go/{token}", "refused", "link_unknown")
        assert bad.removeprefix("/go/") not in str(lines)
    assert everything(gateway) == before


def test_a_revoked_link_is_over_at_once_and_for_good(gateway: Customer) -> None:
    """After a revocation the old link says so, a new one works, and the history says who revoked it and why."""
    world = gateway.world
    world.submit()
    world.run_until("k-1", "identification_pending")
    old = gateway.path()
    world.ledger.revoke_links("k-1", {"by": "ada", "reason": "wrong address"})
    new = gateway.path()
    assert new != old
    with capture_logs() as lines:
        refused = [gateway.look(old), gateway.press(old)]
    assert [answer.status_code for answer in refused] == [410, 410]
    assert says("revoked") in refused[0].text
    assert {line["reason"] for line in lines if line["event"] == "request.answered"} == {"link_revoked"}
    assert old.rpartition("/")[2] not in str(lines)
    assert gateway.heading(new) == says("identify")
    world.run(until=lambda: not world.read().acts_waiting)
    assert noted("revoke_links", "ada", "wrong address") in world.ledger.history("k-1")[-1]["note"]
    assert gateway.look(old).status_code == 410
    world.ledger.revoke_links("k-1", {"by": "ada", "reason": "again"})
    assert [gateway.look(path).status_code for path in (old, new, gateway.path())] == [410, 410, 200]


def test_a_revocation_that_is_sent_twice_counts_once(world: World) -> None:
    """redis-py repeats a call whose answer was lost: the serial rises by one, and the act is stored once."""
    world.submit()
    for _ in range(3):
        world.ledger._call("revoke", "k-1", "the-same-token", b'{"act":"revoke_links","by":"ada","at_ms":1,"id":"x"}')
    assert (world.read().link_serial, world.read().acts_waiting) == (1, 1)
    with pytest.raises(KeyError):
        world.ledger.revoke_links("k-404", {"by": "ada"})


def test_links_outlive_a_join(gateway: Customer) -> None:
    """The link of an adopted customer leads on when a job has taken the record over, also after a revocation."""
    world = gateway.world
    world.submit("k-1", "manual", external_id="e-1")
    world.run_until("k-1", "identification_pending")
    world.client.flushdb()
    list(adopt(world.ledger, world.runner.iron))
    world.ledger.revoke_links("e-1", {"by": "ada"})
    world.run(until=lambda: not world.read("e-1").acts_waiting)
    link = gateway.path("e-1")
    world.submit("k-1", "manual", external_id="e-1")
    assert world.ledger.read("e-1") is None
    assert gateway.look(link).status_code == 200
    assert world.read("k-1").link_serial == 1


# --- the button ------------------------------------------------------------------------------------------------------


def test_the_button_leads_to_the_hosted_page(gateway: Customer) -> None:
    """What Iron's page is called changes behind the link; pressing the button leads to the one of now."""
    world = gateway.world
    world.submit()
    record = world.run_until("k-1", "identification_pending")
    assert gateway.heading() == says("identify")
    before = everything(gateway)
    answer = gateway.press()
    assert (answer.status_code, answer.headers["location"]) == (303, record.link)
    assert everything(gateway) == before


def test_an_old_state_is_looked_at_before_it_is_trusted(gateway: Customer) -> None:
    """When nobody has read the customer for a while, a worker does before the button leads anywhere."""
    world = gateway.world
    world.hears = False
    world.submit(tag="expire")
    old = world.run_until("k-1", "identification_pending").link
    world.advance(86_400)
    assert gateway.heading() == says("identify")

    async def at_once() -> httpx.Response:
        pressed = asyncio.create_task(gateway.ask("POST", gateway.path()))
        [(step, (key, version))] = await asyncio.to_thread(gateway.nudges, 1)
        await asyncio.to_thread(world.runner.run, step, key, version)
        return await pressed

    answer = gateway.loop.run(at_once())
    assert answer.status_code == 303
    # The worker goes on and begins the next round at once; whichever of the two was seen, the old page is not.
    assert answer.headers["location"] in ("?lang=en", world.record().link)
    assert answer.headers["location"] != old


def test_workers_that_are_away_hold_nobody_up(world: World, broker_url: str) -> None:
    """Without an answer in good time the button leads to the page that is known."""
    gateway = Customer(world, broker_url, look_within_s=0.2)
    world.submit(tag="manual")
    link = world.run_until("k-1", "identification_pending").link
    world.advance(600)
    assert gateway.press().headers["location"] == link
    gateway.close()


def test_what_expired_is_renewed_by_the_pipeline(gateway: Customer) -> None:
    """The customer asks, a worker begins one new round, and the same link leads to it; pressed ten times, it is one."""
    world = gateway.world
    expired(world)
    first = world.record()
    assert gateway.heading() == says("expired")
    before = world.effects()
    for _ in range(10):
        answer = gateway.press()
        assert (answer.status_code, answer.headers["location"]) == (303, "?lang=en")
    assert world.effects() == before
    page = gateway.look().text
    assert says("preparing") in page
    assert 'http-equiv="refresh" content="2; url=?lang=en&amp;again=1"' in page
    second = world.run_until("k-1", "identification_pending")
    assert second.identification_id != first.identification_id
    assert world.effects()["k-1"]["identifications"] == 2
    assert gateway.press().headers["location"] == second.link
    notes = [entry.get("note", "") for entry in world.ledger.history("k-1")]
    assert notes.count(noted("renew", BY)) == 1


def test_a_customer_is_not_renewed_without_end(gateway: Customer) -> None:
    """After some rounds a person has to look, and the page says so; an operator's restart opens it again."""
    world = gateway.world
    world.submit(tag="decline")
    for count in range(MAX_ROUNDS_ASKED):
        world.run_until("k-1", "declined")
        world.run(until=lambda: world.record().step == "refresh")
        assert gateway.heading() == says("declined")
        gateway.press()
        world.run(until=lambda: not world.read().acts_waiting)
        assert world.record().rounds_asked == count + 1
    world.run_until("k-1", "declined")
    world.run(until=lambda: world.record().step == "refresh")
    assert gateway.heading() == says("declined_final")
    before = everything(gateway)
    assert gateway.press().headers["location"] == "?lang=en"
    assert everything(gateway) == before
    assert world.effects()["k-1"]["identifications"] == 1 + MAX_ROUNDS_ASKED
    world.act("k-1", "restart", reason="spoke with the customer")
    world.run_until("k-1", "identification_pending")
    assert gateway.heading() == says("identify")


def test_a_page_that_waits_does_not_wait_for_ever(gateway: Customer) -> None:
    """The page looks again at growing pauses, and after some minutes leaves it to the customer."""
    gateway.world.submit()
    pauses, path = [], gateway.path()
    again = ""
    while found := re.search(r'content="(\d+); url=\?lang=en&amp;(again=\d+)"', gateway.look(f"{path}?{again}").text):
        pauses.append(int(found[1]))
        again = found[2]
    assert pauses == sorted(pauses)
    assert 60 < sum(pauses) < 600
    assert "longer than usual" in gateway.look(f"{path}?{again}").text


@pytest.mark.parametrize(
    "query", ["?again=x", "?again=-1", "?again=99999999999999999999", "?lang=" + "x" * 5_000, "?lang=%00", "?again=%F0"]
)
def test_nonsense_in_the_address_is_no_error(gateway: Customer, query: str) -> None:
    """Whatever a customer's mail program makes of the address, the page opens."""
    gateway.world.submit()
    assert gateway.look(gateway.path() + query).status_code == 200


def test_the_ledger_is_away(gateway: Customer) -> None:
    """The page asks for patience, in HTML, and gives no details."""
    world = gateway.world
    world.submit()
    path = gateway.path()
    cut_off(world.ledger)
    for answer in (gateway.look(path), gateway.press(path)):
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert says("away") in answer.text
        assert "127.0.0.1" not in answer.text
        assert "Retry-After" in answer.headers


def test_upstream_reads_the_link(gateway: Customer) -> None:
    """The record holds the customer's link beside the hosted one, the same each time."""
    world = gateway.world
    world.submit()
    world.run_until("k-1", "identification_pending")
    views = [gateway.get("/v1/onboardings/k-1", role="submitter").json() for _ in range(2)]
    assert views[0]["customer_link"] == views[1]["customer_link"] == f"https://go.example.com{gateway.path()}"
    assert views[0]["needs"][0]["link"] == world.record().link
