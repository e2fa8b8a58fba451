"""The operator's console: who may see and do what, forms that only our own pages can send, acts with their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from structlog.testing import capture_logs

from ops.gateway.http.access import ACCESS
from ops.gateway.pages.console.session import COOKIE, IDLE_S, LASTS_S, SECURE_COOKIE
from ops.gateway.pages.console.words import (
    ACTORS,
    ACTS,
    BREAKER,
    IMPORT_ACTS,
    PERSONAL,
    PHASES,
    TAP_CLOSED,
    ago,
    iron_state,
)
from ops.sandbox import Fault
from pipelines.acts import refusal
from pipelines.lifecycle import STATUSES, Actor, Phase
from tests.gateway import TOKENS, Gateway
from tests.world import World, a_job, contents, cut_off, noted
from workers.budget.gate import BreakerState, BudgetStatus, Gate
from workers.events.endpoints import Endpoints
from workers.imports.imports import Imports
from workers.secrets import stored_tokens
from workers.secrets.stored_tokens import TokenStore
from workers.secrets.tokens import ApiToken, Role, digest

HOST = "gateway.test"


class Operator(Gateway):
    """The gateway, as somebody at the console sees it. The cookie is kept by hand."""

    cookie: str | None = None

    def sign_in(self, role: Role | str) -> httpx.Response:
        """Sign in with the token of a role."""
        answer = self.send("/console/login", token=TOKENS[Role(role)])
        self.cookie = answer.cookies.get(SECURE_COOKIE)
        return answer

    def see(self, path: str, **arguments: Any) -> httpx.Response:
        """Open a page."""
        self.client.cookies.clear()
        headers = {"Cookie": f"{SECURE_COOKIE}={self.cookie}"} if self.cookie else {}
        return self.request("GET", path, headers=headers | arguments.pop("headers", {}), **arguments)

    def send(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Send a form."""
        self.client.cookies.clear()
        known = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{HOST}"}
        known |= {"Sec-Fetch-Site": "same-origin"}
        if self.cookie:
            known["Cookie"] = f"{SECURE_COOKIE}={self.cookie}"
        sent = {name: value for name, value in {**known, **(headers or {})}.items() if value}
        return self.request("POST", path, headers=sent, content=urlencode(fields))

    @property
    def csrf(self) -> str:
        """The token that our own pages put into their forms."""
        return re.findall(r'name="csrf" value="([^"]+)"', self.see("/").text)[0]

    def act(self, key: str, act: str, **fields: str) -> httpx.Response:
        """Do something to an onboarding, as its page does."""
        return self.send("/console/act", csrf=self.csrf, key=key, act=act, **fields)


@pytest.fixture
def console(world: World, broker_url: str) -> Iterator[Operator]:
    """A console that nobody is signed in to."""
    made = Operator(world, broker_url)
    yield made
    made.close()


def text(answer: httpx.Response) -> str:
    """What a page says."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2])).split())


def everything(world: World) -> Any:
    """All that the ledger holds."""
    return contents(world.client)


def settle(world: World) -> None:
    """Let a worker apply what is stored."""
    world.advance(6)
    world.pulse.run_once()
    world.drain()


PAGES = ("/", "/console/onboardings", "/console/onboarding?key=k-1", "/console/act?key=k-1&act=cancel")
PAGES += ("/console/imports", "/console/import?name=x")
FORMS = ("/console/find", "/console/act", "/console/personal", "/console/import/act", "/console/logout")


# --- signing in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_every_token_signs_in(console: Operator, role: Role) -> None:
    """Whoever has an API token may look; the cookie is out of reach of scripts and other sites."""
    answer = console.sign_in(role)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKENS[role] not in cookie
    page = console.see("/").text
    assert f"the-{role}" in page
    assert TOKENS[role] not in page


@pytest.mark.parametrize(
    ("address", "https", "name", "secure"),
    [
        ("http://127.0.0.1:8700", False, COOKIE, False),
        ("http://localhost:8700", False, COOKIE, False),
        ("http://[::1]:8700", False, COOKIE, False),
        ("http://gateway.test", False, SECURE_COOKIE, True),
        ("http://10.0.0.1:8700", False, SECURE_COOKIE, True),
        ("http://127.0.0.1:8700", True, SECURE_COOKIE, True),  # behind a proxy that ends TLS
    ],
)
def test_only_on_this_machine_the_cookie_goes_in_the_clear(
    world: World, broker_url: str, address: str, https: bool, name: str, secure: bool
) -> None:
    """Everywhere else a browser sends it by https alone, and takes it from this host alone."""
    console = Operator(world, broker_url, secure_cookies=https)
    answer = console.send(f"{address}/console/login", headers={"Origin": address}, token=TOKENS[Role.VIEWER])
    cookie = answer.headers["set-cookie"]
    assert (cookie.startswith(f"{name}="), "; Secure" in cookie) == (True, secure)
    assert ("Path=/" in cookie, "Domain" in cookie) == (True, False)
    console.close()


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_anything_without_signing_in(console: Operator, page: str) -> None:
    """A page leads to the one for signing in, and from there back to itself."""
    console.world.submit()
    answer = console.see(page)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/login")
    login = console.see(answer.headers["location"])
    following = unescape(re.findall(r'name="next" value="([^"]*)"', login.text)[0])
    assert console.send("/console/login", token=TOKENS[Role.VIEWER], next=following).headers["location"] == page


@pytest.mark.parametrize("path", FORMS)
def test_nobody_does_anything_without_signing_in(console: Operator, path: str) -> None:
    """A form without a session changes nothing."""
    console.world.submit()
    before = everything(console.world)
    assert console.send(path, key="k-1", act="cancel", reason="x").headers["location"] == "/console/login"
    assert everything(console.world) == before


def test_a_token_that_is_too_long_is_not_read(console: Operator) -> None:
    """A form beyond the limit of the sign-in opens nothing, and stands in no log."""
    with capture_logs() as lines:
        answer = console.send("/console/login", token="x" * 10_000)
    assert answer.status_code in (400, 413)
    assert "set-cookie" not in answer.headers
    assert "x" * 100 not in str(lines)


@pytest.mark.parametrize("token", ["", "onb_wrong", "x" * 7_000, "ä"])
def test_a_wrong_token(console: Operator, token: str) -> None:
    """It is refused without a word about why, and stands in no log."""
    with capture_logs() as lines:
        answer = console.send("/console/login", token=token)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (401, None)
    assert "This token is wrong" in answer.text
    assert not token or token not in str(lines)


@pytest.mark.parametrize(
    "address", ["https://evil.test", "//evil.test", "/\\evil.test", "/console/\r\nx", "/console/logout"]
)
def test_signing_in_leads_nowhere_else(console: Operator, address: str) -> None:
    """Only pages of the console can be what follows."""
    assert console.send("/console/login", token=TOKENS[Role.VIEWER], next=address).headers["location"] == "/"


def session_of(world: World) -> str:
    """The place of the one session there is."""
    [place] = world.client.keys("onboarding:session:*")
    return str(place.decode())


def test_signing_out(console: Operator) -> None:
    """After signing out the browser has no cookie any more, and the cookie that it had opens nothing."""
    console.sign_in("viewer")
    answer = console.send("/console/logout", csrf=console.csrf)
    assert answer.headers["location"] == "/console/login"
    assert f'{SECURE_COOKIE}=""' in answer.headers["set-cookie"]
    assert console.see("/").status_code == 303
    assert not console.world.client.keys("onboarding:session:*")


def test_the_ledger_holds_no_cookie(console: Operator) -> None:
    """Whoever reads the ledger can sign in as nobody."""
    console.sign_in("viewer")
    kept = session_of(console.world)
    assert console.cookie
    assert console.cookie not in kept + str(console.world.client.get(kept))


def test_an_idle_session_ends(console: Operator) -> None:
    """What somebody does keeps a session for half an hour; that a page keeps itself fresh does not."""
    console.sign_in("viewer")
    client, place = console.world.client, session_of(console.world)
    assert 0 < client.pttl(place) <= IDLE_S * 1000
    client.pexpire(place, 50_000)
    assert console.see("/", headers={"X-Requested-With": "freshen"}).status_code == 200
    assert client.pttl(place) <= 50_000
    assert console.see("/").status_code == 200
    assert client.pttl(place) > (IDLE_S - 60) * 1000
    client.pexpire(place, 0)
    assert console.see("/").status_code == 303


def test_a_session_ends_after_a_working_day(console: Operator) -> None:
    """Whatever is done in it, and no sooner."""
    console.sign_in("viewer")
    client, place = console.world.client, session_of(console.world)
    console.world.advance(LASTS_S - 60)
    assert console.see("/").status_code == 200
    assert client.pttl(place) <= 61_000
    console.world.advance(61)
    assert console.see("/").status_code == 303


def test_a_session_ends_with_its_token(world: World, broker_url: str) -> None:
    """Taking a token out of the settings, or replacing it, ends the sessions that it opened."""
    console = Operator(world, broker_url)
    console.sign_in("operator")
    kept = console.cookie
    console.close()
    others = (ApiToken("the-operator", Role.OPERATOR, digest("another")),)
    for tokens in ((), others):
        changed = Operator(world, broker_url, tokens=tokens)
        changed.cookie = kept
        assert changed.see("/").status_code == 303
        changed.close()


def test_a_stored_token_signs_in_until_it_is_revoked(console: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the ledger opens the console; with it, its sessions end, while the gateway runs."""
    monkeypatch.setattr(stored_tokens, "KNOWN_FOR_S", 0.0)
    store = TokenStore(console.world.ledger)
    console.cookie = console.send("/console/login", token=store.new("eve", Role.VIEWER, by="ada")).cookies[
        SECURE_COOKIE
    ]
    assert "eve" in console.see("/").text
    assert store.revoke("eve", by="ada")
    assert console.see("/").status_code == 303


def test_wrong_tokens_are_slowed_down(console: Operator) -> None:
    """After twenty a minute the answer is 429 with Retry-After, and a right token still signs in."""
    answers = [console.send("/console/login", token="onb_wrong") for _ in range(22)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert console.sign_in("viewer").status_code == 303


@pytest.mark.parametrize("cookie", ["x", "W10.x.y", "W10.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb", "a" * 5_000])
def test_a_forged_cookie_is_none(console: Operator, cookie: str) -> None:
    """What we did not draw opens nothing."""
    console.cookie = cookie
    assert console.see("/").status_code == 303


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["no token", "another's token", "another site", "another origin"])
def test_forms_of_others_are_refused(console: Operator, case: str) -> None:
    """What does not come from a page of this session is refused, changes nothing, and is logged."""
    console.world.submit(tag="manual")
    console.sign_in("viewer")
    others = console.csrf
    console.sign_in("operator")
    csrf = {"no token": "", "another's token": others}.get(case, console.csrf)
    headers = {
        "another site": {"Sec-Fetch-Site": "cross-site"},
        "another origin": {"Origin": "https://evil.test", "Sec-Fetch-Site": ""},
    }
    before = everything(console.world)
    with capture_logs() as lines:
        answer = console.send("/console/act", headers.get(case), csrf=csrf, key="k-1", act="cancel", reason="x")
    assert answer.status_code == 403
    assert "This form has expired" in text(answer)
    assert everything(console.world) == before
    assert [line["outcome"] for line in lines if line["event"] == "request.answered"] == ["refused"]


def test_pages_are_for_us_alone(console: Operator) -> None:
    """Nothing loads or sends anything elsewhere, nothing runs in a page, none is kept or framed."""
    console.world.submit()
    console.sign_in("admin")
    for page in PAGES[:5]:
        answer = console.see(page)
        assert answer.status_code == 200, page
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "form-action 'self'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?! src=\"/)|<style|\son[a-z]+=|style=", answer.text)
        for address in re.findall(r"(?:src|href|action)=\"([^\"]*)\"", answer.text):
            assert address.startswith(("/", "?", "#", "data:,", "https://go.example.com/"))
    for name in re.findall(r'(?:href|src)="(/console/static/[^"]+)"', console.see("/").text):
        asset = console.see(name)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
    assert console.see("/console/static/x/../page.py").status_code == 404


# --- looking ---------------------------------------------------------------------------------------------------------


def test_the_overview(console: Operator) -> None:
    """Counts by phase, lanes, how we stand with Iron, and who needs somebody."""
    world = console.world
    world.sandbox.faults.add(Fault(name="bad", operation="create_customer", status=422, body="no"))
    world.submit("k-bad")
    world.run_until("k-bad", "failed")
    world.sandbox.faults.clear("bad")
    world.submit("k-1", "manual")
    world.run_until("k-1", "identification_pending")
    world.submit("k-2", lane="bulk")
    console.sign_in("viewer")
    said = text(console.see("/"))
    assert "3 customers" in said
    assert f"{STATUSES[Phase.IDENTIFICATION_PENDING]} 1" in said
    assert "Needs attention" in said
    assert "k-bad" in said
    assert "Needs an operator" in said
    assert "bulk 1" in said
    assert "Compared with Iron's list not yet" in said


def test_the_overview_tells_what_holds_work_back(console: Operator) -> None:
    """A pause with who and why, Iron's wish for a pause, and the endpoints that are behind or paused, in words."""
    world = console.world
    console.sign_in("viewer")
    before = text(console.see("/"))
    assert BREAKER["closed"][0] in before
    assert "No receiver is set up" in before
    Gate(world.ledger).pause(["bulk"], by="ada", reason="a talk with Iron")
    world.sandbox.faults.add(Fault(name="much", operation="create_customer", status=429, retry_after="300"))
    endpoints = Endpoints(world.ledger, world.vault)
    for name in ("crm", "late"):
        endpoints.add(name, f"https://{name}.example.com/e?token=t", types=(), after="0-0", by="ada", private=False)
    endpoints.pause("crm", by="bob", reason="it moves")
    world.submit()
    world.drain()
    world.advance(120)
    page = console.see("/")
    said = text(page)
    for words in (
        *(TAP_CLOSED[0], "We go on in", "ada paused the bulk lane 2 min ago : a talk with Iron"),
        *("onboarding resume bulk", "crm Paused", "By bob: it moves. 2 min behind.", "late Delivering"),
    ):
        assert words in said, (words, said)
    assert "token=t" not in page.text


@pytest.mark.parametrize(
    ("breaker", "closed_ms", "refusal", "words"),
    [
        ("closed", None, None, BREAKER["closed"][0]),
        ("closed", 9, None, TAP_CLOSED[0]),
        ("open", None, None, BREAKER["open"][0]),
        ("open", 9, None, BREAKER["open"][0]),
        ("half_open", None, None, BREAKER["half_open"][0]),
        ("open", None, 400, "Rejecting our calls"),
        ("half_open", None, 401, "Rejecting our calls"),
    ],
)
def test_how_we_stand_with_iron(breaker: BreakerState, closed_ms: int | None, refusal: int | None, words: str) -> None:
    """Every state of breaker and tap has its words, the graver one first, and a rate that is down shows its ceiling."""
    standing = BudgetStatus(5, closed_ms, breaker, 1, refusal, {"call": 0.5, "identification": 1.0}, {})
    budget = {
        "rate_per_second": 10,
        "rate_per_second_now": 5,
        "identifications_per_minute": 60,
        "identifications_per_minute_now": 60,
    }
    told = iron_state({"budget": budget, "sweep": {"running": False, "finished_at": None}}, standing)
    assert told.state == words
    assert {400: "IRON_API_VERSION", 401: "IRON_API_KEY", None: ""}[refusal] in told.meaning
    assert told.rates == (("Calls", "5 a second now (limit 10)"), ("Identifications", "60 a minute"))


def test_lists_filters_and_pages(console: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters leave out what does not fit; every onboarding comes once over all pages."""
    world = console.world
    for number in range(120):
        world.submit(f"k-{number:03}", labels={"source": "crm" if number % 2 else "web"}, lane="bulk")
    console.sign_in("viewer")
    address, seen = "/console/onboardings", []
    while address:
        page = console.see(address).text
        seen += re.findall(r">(k-\d+)</a>", page)
        more = re.findall(r'href="(\?[^"]+)" rel="next"', page)
        address = "/console/onboardings" + unescape(more[0]) if more else ""
    assert sorted(seen) == [f"k-{number:03}" for number in range(120)]
    labelled = console.see("/console/onboardings?label=source%3Dcrm&phase=received").text
    assert set(re.findall(r">k-(\d+)</a>", labelled)) <= {f"{number:03}" for number in range(1, 120, 2)}
    assert "No customer matches" in text(console.see("/console/onboardings?phase=active"))
    assert "No customer matches" in text(console.see("/console/onboardings?longer=1d"))
    world.advance(2 * 86_400)
    console.sign_in("viewer")
    assert "k-000" in text(console.see("/console/onboardings?longer=1d"))


@pytest.mark.parametrize("query", ["phase=lost", "label=x", "label=%3Dx", "longer=soon", "cursor=x", "cursor=W10"])
def test_filters_that_are_none(console: Operator, query: str) -> None:
    """A filter that cannot be read is explained on a page."""
    console.sign_in("viewer")
    answer = console.see(f"/console/onboardings?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")


def test_finding(console: Operator) -> None:
    """By key, external id, Iron's id or e-mail address, which stands in no address and no log."""
    world = console.world
    world.submit("k-1", "manual", external_id="e-1")
    customer_id = world.run_until("k-1", "identification_pending").customer_id
    console.sign_in("operator")
    for wanted in ("k-1", "e-1", str(customer_id), "K-1+Manual@example.com"):
        with capture_logs() as lines:
            answer = console.send("/console/find", csrf=console.csrf, text=f" {wanted} ")
        assert answer.headers["location"] == "/console/onboarding?key=k-1", wanted
        assert "example.com" not in str(lines)
    assert "No customer found" in text(console.send("/console/find", csrf=console.csrf, text="nobody@example.com"))


def test_finding_by_email_is_for_those_who_act(console: Operator) -> None:
    """A viewer is told who may, and not whether there is such a customer."""
    console.world.submit("k-1")
    console.sign_in("viewer")
    answers = [
        console.send("/console/find", csrf=console.csrf, text=address)
        for address in ("k-1+approve@example.com", "nobody@example.com")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert text(answers[0]) == text(answers[1])
    assert "compliance" in answers[0].text


@pytest.mark.parametrize("key", ["a/b c", "100% sure?", "<b>x</b>", "ключ", "k&act=cancel#x"])
def test_any_key_has_its_page(console: Operator, key: str) -> None:
    """Whatever upstream chose as a key, its page can be opened, found and acted on, and shows it as text."""
    console.world.submit(key, "manual", customer={"customer_type": "Person", "email": "a@example.com"})
    console.sign_in("operator")
    listed = console.see("/console/onboardings").text
    [address] = re.findall(r'<a class="mono" href="([^"]+)"', listed)
    page = console.see(unescape(address))
    assert page.status_code == 200
    assert key in unescape(re.findall(r"<h1[^>]*>(.*)</h1>", page.text)[0])
    assert "<b>x</b>" not in page.text
    [cancel] = [
        unescape(found)
        for found in re.findall(r'href="(/console/act[^"]+)"', page.text)
        if "act=cancel" in found.rpartition("&amp;")[2]
    ]
    assert console.see(cancel).status_code == 200
    done = console.act(key, "cancel", reason="test")
    assert console.see(done.headers["location"]).status_code == 200
    settle(console.world)
    assert console.world.record(key).phase == "cancelled"


def test_one_onboarding(console: Operator) -> None:
    """Its page says in words what is the case, who must act, what is needed, and tells its story with names."""
    world = console.world
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    world.ledger.act("k-1", {"act": "retry", "by": "ada", "reason": "<script>"})
    world.run(until=lambda: not world.read().acts_waiting)
    console.sign_in("viewer")
    answer = console.see("/console/onboarding?key=k-1")
    said = text(answer)
    for words in (
        STATUSES[Phase.IDENTIFICATION_PENDING],
        "Waiting for the customer",
        "opens the link",
        "We check again",
    ):
        assert words in said
    assert "Not done: retry by ada: “<script>”." in said
    assert "<script>" not in answer.text
    assert f"https://go.example.com/go/{console.links.token('k-1')}" in said
    assert "example.com/start" not in said
    assert "Ada Example" not in answer.text
    assert console.see("/console/onboarding?key=k-404").status_code == 404
    assert console.see("/console/onboarding").status_code == 400


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_its_words(phase: Phase) -> None:
    """No phase and no actor is left without a name and a sentence."""
    label, meaning, _ = PHASES[phase]
    assert label[0].isupper()
    assert meaning.endswith(".")
    assert set(ACTORS) == set(Actor)


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        *((0, "0 s ago"), (59_999, "59 s ago"), (60_000, "1 min ago"), (3_600_000, "1 h ago")),
        *((86_400_000, "24 h ago"), (2 * 86_400_000, "2 d ago"), (-5_000, "in 5 s"), (-7_200_000, "in 2 h")),
    ],
)
def test_ages(ms: int, words: str) -> None:
    """An age is told in the largest unit that fits."""
    assert ago(1_000_000_000_000 - ms, 1_000_000_000_000) == words


# --- acting ----------------------------------------------------------------------------------------------------------


def test_acts_stand_in_the_history_with_name_and_reason(console: Operator) -> None:
    """Each act is confirmed first, stored as any other, applied by a worker, and told with the token's name."""
    world = console.world
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    console.sign_in("operator")
    page = console.see("/console/act?key=k-1&act=cancel")
    assert ACTS["cancel"].happens in text(page)
    assert world.read().acts_waiting == 0
    answer = console.act("k-1", "cancel", reason="the customer left")
    assert answer.headers["location"] == "/console/onboarding?key=k-1&done=cancel"
    assert "is stored" in text(console.see(answer.headers["location"]))
    settle(world)
    assert console.act("k-1", "restart", reason="came back").status_code == 303
    settle(world)
    notes = [entry.get("note") for entry in world.ledger.history("k-1")]
    assert notes[-2:] == [
        noted("cancel", "the-operator", "the customer left"),
        noted("restart", "the-operator", "came back"),
    ]


def test_a_correction(console: Operator) -> None:
    """Mistakes are named without being stored, what was typed stays, and a good one is sent again."""
    world = console.world
    world.submit(customer={"customer_type": "Person", "email": "ada@example.local"})
    world.run_until("k-1", "failed")
    console.sign_in("operator")
    wrong = [
        ("{", "is not JSON"),
        ('{"customer": {}}', "/idempotency_key"),
        (json.dumps(a_job("k-2")), "Keep this customer's key"),
    ]
    for job, words in wrong:
        answer = console.act("k-1", "correct", reason="typo", job=job)
        assert (answer.status_code, words in text(answer)) == (422, True), job
        assert unescape(re.findall(r"<textarea[^>]*>(.*?)</textarea>", answer.text, re.DOTALL)[0]) == job
    assert console.act("k-1", "correct", job=json.dumps(a_job("k-1", "manual"))).status_code == 422
    assert world.read().acts_waiting == 0
    assert console.act("k-1", "correct", reason="typo", job=json.dumps(a_job("k-1", "manual"))).status_code == 303
    settle(world)
    assert (world.record().phase, world.record().revision) == ("identification_pending", 1)


def test_revoking_the_customers_link(console: Operator) -> None:
    """The link on the page is another one right after."""
    world = console.world
    world.submit(tag="manual")
    world.drain()
    console.sign_in("operator")
    assert console.links.token("k-1", 0) in console.see("/console/onboarding?key=k-1").text
    assert console.act("k-1", "revoke_links", reason="lost phone").status_code == 303
    assert console.links.token("k-1", 1) in console.see("/console/onboarding?key=k-1").text
    settle(world)
    assert noted("revoke_links", "the-operator", "lost phone") in [
        one.get("note") for one in world.ledger.history("k-1")
    ]


def test_an_act_that_makes_no_sense_is_refused(console: Operator) -> None:
    """It is not offered, and asked for all the same it is refused with the reason, and nothing is stored."""
    console.world.submit(tag="manual")
    console.world.run_until("k-1", "identification_pending")
    console.sign_in("operator")
    assert "act=restart" not in console.see("/console/onboarding?key=k-1").text
    for answer in (console.see("/console/act?key=k-1&act=restart"), console.act("k-1", "restart", reason="x")):
        assert (answer.status_code, "in progress" in text(answer)) == (409, True)
    assert console.act("k-1", "cancel", reason="  ").status_code == 422
    assert console.act("k-1", "cancel", reason="x" * 501).status_code == 422
    assert console.act("k-1", "sign", reason="x").status_code == 404
    assert console.world.read().acts_waiting == 0


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("act", ACTS)
def test_roles(console: Operator, role: Role, act: str) -> None:
    """The console lets each role do what the table of roles lets it do over HTTP, and offers no more."""
    world = console.world
    tag = "manual" if act in ("cancel", "revoke_links", "correct") else "decline"
    world.submit(tag=tag)
    if act == "retry":
        world.sandbox.faults.add(Fault(name="revoked", operation="create_customer", status=401))
        world.drain()
        world.sandbox.faults.clear("revoked")
    elif act == "restart":
        world.run_until("k-1", "declined")
    assert refusal(world.record(), act) is None
    console.sign_in(role)
    may = role in ACCESS[ACTS[act].route]
    assert (f"act={act}" in console.see("/console/onboarding?key=k-1").text) == may
    assert console.see(f"/console/act?key=k-1&act={act}").status_code == (200 if may else 403)
    before = world.read().acts_waiting
    job = json.dumps(a_job("k-1", "manual"))
    assert console.act("k-1", act, reason="test", job=job).status_code == (303 if may else 403)
    assert world.read().acts_waiting - before == may


@pytest.mark.parametrize("role", Role)
def test_personal_data(console: Operator, role: Role) -> None:
    """Only who may read it sees it, and the history says who did."""
    world = console.world
    world.submit()
    console.sign_in(role)
    may = role in ACCESS[PERSONAL]
    assert ("/console/personal" in console.see("/console/onboarding?key=k-1").text) == may
    answer = console.send("/console/personal", csrf=console.csrf, key="k-1")
    assert (answer.status_code, "Ada Example" in answer.text) == ((200, True) if may else (403, False))
    settle(world)
    assert [note for one in world.ledger.history("k-1") if "read" in (note := one.get("note", ""))] == (
        [noted("read", f"the-{role}")] if may else []
    )


def test_the_ledger_is_away(console: Operator, world: World) -> None:
    """A page says so and keeps its form."""
    console.sign_in("viewer")
    cut_off(world.ledger)
    answer = console.see("/")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "127.0.0.1" not in answer.text


# --- imports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def imported(console: Operator, tmp_path: Any) -> str:
    """An import of three rows, one of them refused."""
    file = tmp_path / "spring list.csv"
    file.write_text(
        "idempotency_key,email,customer_type\nr-1,a@example.com,Person\nr-2,b@example.com,Person\nr-3,x,Person\n"
    )
    return Imports(console.world.ledger, console.world.vault).load(file, by="ada", name="spring").name


def test_imports(console: Operator, imported: str) -> None:
    """How far an import is, and its acts, with who and why."""
    console.sign_in("operator")
    assert "spring" in text(console.see("/console/imports"))
    said = text(console.see("/console/import?name=spring"))
    assert "0 of 2 customers finished" in said
    assert "Mistakes 1" in said
    assert "by ada" in said
    imports = Imports(console.world.ledger)

    def act(name: str, reason: str = "") -> httpx.Response:
        assert IMPORT_ACTS[name].happens in text(console.see(f"/console/import/act?name=spring&act={name}"))
        return console.send("/console/import/act", csrf=console.csrf, name="spring", act=name, reason=reason)

    assert act("pause", "checking").status_code == 303
    assert imports.get("spring").state == "paused"
    assert "by the-operator: checking" in text(console.see("/console/import?name=spring"))
    assert act("resume").status_code == 303
    assert act("cancel").status_code == 422
    assert act("cancel", "the wrong list").headers["location"] == "/console/import?name=spring&done=cancel"
    assert imports.get("spring").state == "cancelled"
    assert console.see("/console/import/act?name=spring&act=resume").status_code == 409
    assert console.see("/console/import?name=none").status_code == 404
    notes = [one.get("note", "") for one in console.world.ledger.history("r-1")]
    assert any("the-operator" in note and "the wrong list" in note for note in notes)


def test_viewers_leave_imports_alone(console: Operator, imported: str) -> None:
    """Whoever may only look is offered nothing, and refused."""
    console.sign_in("viewer")
    assert "import/act" not in console.see("/console/import?name=spring").text
    answer = console.send("/console/import/act", csrf=console.csrf, name="spring", act="cancel", reason="x")
    assert answer.status_code == 403
    assert Imports(console.world.ledger).get("spring").state != "cancelled"
