"""Why Iron refused, declined or asks for more: codes and labels for everybody, Iron's own words for those who may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from ops.gateway.http.access import ACCESS
from ops.sandbox import Fault
from pipelines.iron import Iron
from pipelines.lifecycle import Phase
from pipelines.reasons import PARTS
from pipelines.retention import INPUT_KEPT_MS
from tests.gateway import Gateway
from tests.integration.test_console import Operator, settle, text
from tests.integration.test_input import everything
from tests.world import API_KEY, BASE_URL, PLENTY, Run, World, noted
from workers.events.stream import EventStream
from workers.ledger import PREFIX, Ledger
from workers.reconcile.adopt import adopt
from workers.secrets.tokens import Role

JOBS = "/v1/onboardings"
#: Stands in whatever Iron says in its own words.
CANARY = "canary-9q the <b>passport</b> of Ada"
#: A part of it that stays the same when it is escaped.
MARK = "canary-9q"
#: Who may see personal data.
MAY = ACCESS["GET /v1/onboardings/{key}/personal"]
#: Each customer here with the codes and labels that everybody reads of them.
OPEN = {
    "refused": (["country_not_supported"], []),
    "worded": ([], []),
    "declined": (["kyc_identity"], ["UNSATISFACTORY_PHOTOS"]),
    "final": (["kyc_identity"], ["FORGERY"]),
    "asked": (["kyc_selfie", "unknown"], ["BAD_FACE"]),
}
#: What Iron asks of the last one.
ASKED = {
    "code": "kyc_selfie",
    "description": CANARY,
    "reject_labels": ["BAD_FACE", CANARY, "ada@canary-9q.example"],
    "reject_reasons": [{"code": "BAD_FACE", "description": CANARY}],
    "missing_questions": [{"title": CANARY}],
}


def submit(world: World, key: str) -> None:
    """Hand in a job for a customer who is moved by hand."""
    world.submit(key, "manual")
    world.drain()


def refuse(world: World, key: str, body: Any) -> None:
    """Let Iron refuse a job's details."""
    world.sandbox.faults.add(Fault(name=key, operation="create_customer", status=400, body=body))
    world.submit(key, "manual")
    world.run_until(key, "failed")
    world.sandbox.faults.clear(key)


def asked_for_more(world: World, key: str) -> None:
    """Let Iron ask an active customer for more, in words where codes should stand."""
    submit(world, key)
    world.sandbox.move(key, "approve")
    world.run_until(key, "signings_required")
    item = {**ASKED, "retryable": True}
    answer: Any = {"missing": [item, {"code": CANARY}], "issues": []}
    world.sandbox.faults.add(Fault(name=key, path="/customers/*/requirements", status=200, body=answer))
    world.sandbox.move(key, "stepup")
    world.run(until=lambda: world.record(key).reasons_read)
    world.sandbox.faults.clear(key)


@pytest.fixture
def told(world: World) -> World:
    """A world in which Iron has said why, in each way there is."""
    refuse(world, "refused", {"code": "country_not_supported", "message": CANARY})
    refuse(world, "worded", {"code": CANARY})
    for key, move in (("declined", "decline"), ("final", "decline-final")):
        submit(world, key)
        world.sandbox.move(key, move, comment=CANARY)
        world.run(until=lambda key=key: world.record(key).reasons_read)  # type: ignore[misc]
    asked_for_more(world, "asked")
    return world


@pytest.fixture
def console(told: World, broker_url: str) -> Iterator[Operator]:
    """The gateway, with its API and its console."""
    made = Operator(told, broker_url)
    yield made
    made.close()


# --- in the open -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_everybody_reads_codes_and_labels(console: Operator, role: Role) -> None:
    """The API and the console's page show them to every role, and what is a text is shown nowhere."""
    console.sign_in(role)
    for key, (reasons, labels) in OPEN.items():
        answer = console.get(f"{JOBS}/{key}", role=role)
        view = answer.json()
        assert (view["reasons"], view["reject_labels"]) == (reasons, labels)
        page = console.see(f"/console/onboarding?key={key}")
        for code in (*reasons, *labels):
            assert code in text(page)
        assert MARK not in answer.text + page.text


def test_the_command_shows_codes_and_labels(told: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`status` shows them, in words where there are some."""
    for key, (reasons, labels) in OPEN.items():
        capsys.readouterr()
        assert run("status", key) == 0
        shown = capsys.readouterr().err
        assert all(code in shown for code in (*reasons, *labels))
        assert run("status", key, "--json") == 0
        view = json.loads(capsys.readouterr().out)
        assert (view["reasons"], view["reject_labels"]) == (reasons, labels)
    assert "kyc_selfie: a selfie" in shown
    assert told.record("asked").phase is Phase.STEP_UP_REQUIRED


def test_whoever_waits_hears_that_there_are_reasons(told: World) -> None:
    """An event says that something else is needed when the reasons are read, also where an operator decides."""
    for key in ("declined", "final", "asked"):
        names = [event.name for event in EventStream(told.ledger).after() if event.key == key]
        assert names[-1] == "needs_changed", (key, names)


# --- nowhere else ----------------------------------------------------------------------------------------------------


def test_no_word_is_in_the_ledger_in_plain(told: World) -> None:
    """Records, histories, events, indexes, counters: what Iron said in words is sealed wherever it is."""
    assert MARK not in everything(told.client)
    for key in OPEN:
        assert MARK not in repr(told.record(key))


def test_no_word_is_logged(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever workers log of these steps holds none of it."""
    refuse(world, "refused", {"code": CANARY, "message": CANARY})
    asked_for_more(world, "asked")
    logged = "".join(capfd.readouterr())
    assert "step.committed" in logged
    assert MARK not in logged


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/onboardings", "/v1/events", "/v1/summary", "/v1/refused", "/v1/imports", "/metrics", "/openapi.json"),
        *(f"{JOBS}/{key}/history" for key in OPEN),
    ],
)
def test_no_word_is_in_lists_histories_events_and_metrics(console: Operator, path: str) -> None:
    """Nobody gets it but who asks for one customer's personal data, whatever the role."""
    answer = console.get(path, role=Role.ADMIN)
    assert answer.status_code == 200
    assert MARK not in answer.text


def test_no_word_is_on_the_customers_page_nor_on_the_consoles_lists(console: Operator) -> None:
    """Neither the customer's own page nor an overview, a list or a search shows it."""
    console.sign_in(Role.ADMIN)
    pages = [console.see(path) for path in ("/", "/console/onboardings", "/console/onboardings?phase=declined")]
    pages.append(console.send("/console/find", csrf=console.csrf, text="declined"))
    links = [str(console.links.link(console.world.read(key))) for key in ("declined", "asked")]
    pages += [console.get(link.removeprefix("https://go.example.com")) for link in links]
    assert [page.status_code for page in pages] == [200, 200, 200, 303, 200, 200]
    assert [page for page in pages if MARK in page.text or MARK in str(page.headers)] == []


@pytest.mark.parametrize("words", [("list",), ("summary",), ("events",), *(("history", key) for key in OPEN)], ids=str)
def test_no_word_is_in_other_commands(
    told: World, run: Run, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Only `status --personal` shows it."""
    assert told.record("asked").reasons_read
    for form in ((), ("--json",)):
        assert run(*words, *form) == 0
    assert MARK not in "".join(capsys.readouterr())


# --- for those who may -----------------------------------------------------------------------------------------------


def said(key: str) -> dict[str, int]:
    """How many statements of which kind Iron made about a customer, each with words."""
    kinds = {
        "refused": {"refusal": 1},
        "worded": {"refusal": 1},
        "declined": {"requirement": 1, "review": 1, "step": 1},
        "final": {"requirement": 1, "review": 1, "step": 1},
        "asked": {"requirement": 2},
    }
    return kinds[key]


@pytest.mark.parametrize("role", Role)
def test_the_api_gives_the_words_to_those_who_may(console: Operator, role: Role) -> None:
    """Others are refused without a word, and each look stands in the history before the answer."""
    for key in OPEN:
        answer = console.get(f"{JOBS}/{key}/personal", role=role)
        settle(console.world)
        read = [entry["note"] for entry in console.world.ledger.history(key) if "read" in entry.get("note", "")]
        if role not in MAY:
            assert (answer.status_code, answer.json()["code"], MARK in answer.text) == (403, "role_insufficient", False)
            assert read == []
            continue
        statements = answer.json()["iron_says"]
        assert {one["about"] for one in statements} == set(said(key))
        assert len(statements) == sum(said(key).values())
        assert all(MARK in json.dumps(one) and one["current"] for one in statements)
        assert answer.headers["cache-control"] == "no-store"
        assert read == [noted("read", f"the-{role}")]


def test_the_document_shows_the_statements(console: Operator) -> None:
    """What is answered has the form that the OpenAPI document gives it, member for member."""
    from ops.gateway.api import shapes

    for key in OPEN:
        answer = console.get(f"{JOBS}/{key}/personal", role=Role.ADMIN).json()
        shapes.Personal.model_validate(answer, strict=True, extra="forbid")
        shapes.Onboarding.model_validate(console.get(f"{JOBS}/{key}", role=Role.ADMIN).json(), extra="forbid")


@pytest.mark.parametrize("role", Role)
def test_the_console_gives_the_words_to_those_who_may(console: Operator, role: Role) -> None:
    """Others get no page and no button; what Iron wrote is shown as text, whatever it holds; the look is told."""
    console.sign_in(role)
    for key in OPEN:
        assert ("/console/personal" in console.see(f"/console/onboarding?key={key}").text) == (role in MAY)
        answer = console.send("/console/personal", csrf=console.csrf, key=key)
        settle(console.world)
        read = [entry["note"] for entry in console.world.ledger.history(key) if "read" in entry.get("note", "")]
        assert (answer.status_code, MARK in answer.text) == ((200, True) if role in MAY else (403, False))
        assert read == ([noted("read", f"the-{role}")] if role in MAY else [])
        assert "<b>passport" not in answer.text
        assert role not in MAY or "What Iron says" in text(answer)


def test_the_command_gives_the_words_when_asked(told: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`status --personal` shows each statement once, for people and as data, and the history says who looked."""
    for key in OPEN:
        capsys.readouterr()
        assert run("status", key, "--personal") == 0
        assert MARK in capsys.readouterr().err
        assert run("status", key, "--personal", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert len(shown["iron_says"]) == sum(said(key).values())
        settle(told)
        notes = [entry.get("note", "") for entry in told.ledger.history(key)]
        assert any("read the personal data" in note for note in notes)


# --- how long --------------------------------------------------------------------------------------------------------


def parts(world: World, key: str) -> set[str]:
    """Which parts of the input are stored."""
    return set(world.ledger.input(key))


@pytest.mark.parametrize("end", ["active", "cancelled", "archived"])
def test_the_words_go_with_the_rest(told: World, broker_url: str, end: str) -> None:
    """When an onboarding ends, all that is sealed gets the same week; then no door has a word any more."""
    key = "declined"
    assert {"customer", "requirements", "review_comment", "step_comments"} <= parts(told, key)
    if end == "cancelled":
        told.act(key, "cancel", reason="a test")
    else:
        told.sandbox.move(key, "approve" if end == "active" else "archive")
    if end == "active":
        told.run_until(key, "signings_required")
        told.run(until=lambda: bool(told.record(key).signings))
        told.consent(key)
    told.run_until(key, end, seconds=90_000)
    assert 0 < told.client.pttl(f"{PREFIX}input:{key}") <= INPUT_KEPT_MS
    told.client.pexpire(f"{PREFIX}input:{key}", 0)
    gateway = Gateway(told, broker_url)
    answer = gateway.get(f"{JOBS}/{key}/personal", role=Role.ADMIN)
    gateway.close()
    assert (answer.json()["personal"], answer.json()["iron_says"]) == ({}, [])
    assert parts(told, key) == set()


def test_words_that_come_after_the_end_go_as_well(world: World) -> None:
    """Iron refuses to identify an active customer again, whose input is gone: what it says then has its own week."""
    world.onboard()
    world.client.delete(f"{PREFIX}input:k-1")
    world.sandbox.faults.add(Fault(operation="create_identification", status=400, body=CANARY))
    world.act("k-1", "reidentify", run="r-1", reason="a test")
    world.run(until=lambda: parts(world, "k-1") == {"iron_said"}, seconds=86_400)
    assert 0 < world.client.pttl(f"{PREFIX}input:k-1") <= INPUT_KEPT_MS


def test_the_console_does_not_deny_words_that_are_all_there_is(console: Operator) -> None:
    """Where the customer's details are gone and Iron's words are not, the page shows these alone."""
    console.world.client.hdel(f"{PREFIX}input:declined", "customer")
    console.sign_in(Role.ADMIN)
    shown = text(console.send("/console/personal", csrf=console.csrf, key="declined"))
    assert (MARK in shown, "Nothing is stored" in shown) == (True, False)
    console.world.client.delete(f"{PREFIX}input:declined")
    shown = text(console.send("/console/personal", csrf=console.csrf, key="declined"))
    assert (MARK in shown, "Nothing is stored" in shown) == (False, True)


def test_every_sealed_part_of_irons_is_known(told: World) -> None:
    """What is stored beside the job's own parts is among those that are shown as Iron's words."""
    stored = set().union(*(parts(told, key) for key in OPEN))
    assert stored - {"customer", "identification"} == set(PARTS)


# --- what is shown is true -------------------------------------------------------------------------------------------


def webhook_first(world: World) -> None:
    """Iron tells of Active before we read anything else, while its lists show nothing new."""
    submit(world, "k-1")
    world.sandbox.move("k-1", "status", status="Active")


def lists_that_lag(world: World) -> None:
    """The identification's list shows it as it was, and the customer's own word is not there."""
    submit(world, "k-1")
    identification = world.record().identification_id
    items: Any = {"items": [{"id": identification, "status": "Pending", "url": "https://old.example"}]}
    world.sandbox.faults.add(Fault(method="GET", path="/customers/*/identifications", status=200, body=items))
    world.sandbox.move("k-1", "status", status="Active")


def own_word_that_lags(world: World) -> None:
    """The customer is Active and still says that the identification is under way."""
    submit(world, "k-1")
    shown = {"id": world.record().customer_id, "status": "Active", "identification_status": "Pending"}
    world.sandbox.move("k-1", "status", status="Active")
    world.sandbox.faults.add(Fault(method="GET", path="/customers/*", status=200, body=shown))


def signed(world: World) -> None:
    """The usual way."""
    world.onboard()


def adopted(world: World) -> None:
    """Found in a list that shows the customer Active and the identification Pending."""
    submit(world, "k-1")
    world.sandbox.move("k-1", "status", status="Active")
    world.client.flushdb()
    list(adopt(Ledger(world.client, PLENTY, lambda: world.shift_ms), Iron(world.transport, BASE_URL, API_KEY)))


WAYS: list[Callable[[World], None]] = [webhook_first, lists_that_lag, own_word_that_lags, signed, adopted]


@pytest.mark.parametrize("left_out", [(), ("identification_status",)], ids=["all said", "status left out"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_active_customer_is_not_pending_at_any_door(
    client: redis.Redis,
    broker_url: str,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    way: Callable[[World], None],
    left_out: tuple[str, ...],
) -> None:
    """However it became known that the customer is active, API, lists, console and command agree on what led there."""
    world = World(client, left_out=left_out)
    way(world)
    if world.record().phase is not Phase.ACTIVE:
        world.run_until("k-1", "active")
    console = Operator(world, broker_url)
    console.sign_in(Role.VIEWER)
    view = console.get(f"{JOBS}/k-1", role=Role.VIEWER).json()
    [listed] = console.get(JOBS, role=Role.VIEWER).json()["onboardings"]
    page = text(console.see("/console/onboarding?key=k-1"))
    console.close()
    assert run("status", "k-1") == 0
    shown = [json.dumps(view["iron"]), json.dumps(listed["iron"]), page.partition("At Iron")[2]]
    shown.append(capsys.readouterr().err)
    assert [one for one in shown if "Pending" in one] == []
    assert view["iron"]["identification_status"] in ("Approved", None)
