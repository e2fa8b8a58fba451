"""The API below /v1 against the application in this process, on a real Redis: what is taken, what is refused, how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis

from ops.sandbox import Fault
from pipelines.lifecycle import Phase
from pipelines.view import read_view
from tests.gateway import TOKENS, Gateway
from tests.world import World, a_job, contents, noted
from workers.imports.imports import Imports
from workers.ledger import PREFIX
from workers.secrets.tokens import Role
from workers.secrets.vault import Place

JOBS = "/v1/onboardings"
FUTURE = "2999-01-01T00:00:00Z"


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


def submit(gateway: Gateway, job: Any = None, **arguments: Any) -> httpx.Response:
    """Hand in a job."""
    return gateway.request("POST", JOBS, role="submitter", json=a_job() if job is None else job, **arguments)


def dump(*clients: redis.Redis) -> list[dict[bytes, Any]]:
    """Everything that is in these databases."""
    return [contents(client) for client in clients]


def pointers(answer: httpx.Response) -> list[tuple[str, str]]:
    """Where and what is wrong, as an answer tells it."""
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


# --- handing in ------------------------------------------------------------------------------------------------------


def test_a_job_is_accepted(gateway: Gateway) -> None:
    """202 with the record as everybody reads it, its address, the first nudge, and who handed it in."""
    answer = submit(gateway)
    read = gateway.world.read()
    assert answer.status_code == 202
    assert answer.json() == read_view(read.record, read.due_ms, gateway.links.link(read))
    assert answer.headers["location"] == f"{JOBS}/k-1"
    assert gateway.nudges(1) == [("create_customer", ("k-1", 1))]
    assert gateway.world.ledger.history("k-1")[0]["note"] == "submitted by the-submitter"


def test_again_changes_nothing(gateway: Gateway) -> None:
    """The same job again is 200 with the same record, also when it is written in another order."""
    first = submit(gateway)
    before = dump(gateway.world.client)
    again = submit(gateway, dict(reversed(a_job().items())))
    assert (again.status_code, again.json()) == (200, first.json())
    assert dump(gateway.world.client) == before


def test_another_job_under_a_key_is_refused(gateway: Gateway) -> None:
    """422 with its code, and nothing changes."""
    submit(gateway)
    before = dump(gateway.world.client)
    answer = submit(gateway, a_job(risk_tier="high"))
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert dump(gateway.world.client) == before


def test_an_external_id_is_there_once(gateway: Gateway) -> None:
    """409 names the key that has it."""
    submit(gateway, a_job("k-1", external_id="crm-1"))
    answer = submit(gateway, a_job("k-2", external_id="crm-1"))
    assert (answer.status_code, answer.json()["code"], answer.json()["holder"]) == (409, "external_id_taken", "k-1")
    assert gateway.world.ledger.read("k-2") is None


def test_every_mistake_is_told_at_once(gateway: Gateway) -> None:
    """422 lists pointer, code and text of each, without the values."""
    job = a_job(customer={"customer_type": "Robot", "email": "marker"}, marker=1, lane=3)
    answer = submit(gateway, job)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_job")
    assert pointers(answer) == [
        ("/customer/customer_type", "not_one_of"),
        ("/customer/email", "not_an_email"),
        ("/lane", "not_one_of"),
        ("/marker", "unknown_field"),
    ]
    assert "Robot" not in answer.text
    assert gateway.world.client.dbsize() == 0


@pytest.mark.parametrize("value", ['"k-1"', "k-1", ' "k-1" ', '"k-1";a=1'])
def test_the_key_may_be_a_header(value: str, gateway: Gateway) -> None:
    """The header is a structured-field string or the bare key; the job may then leave its own out."""
    job = {name: field for name, field in a_job().items() if name != "idempotency_key"}
    answer = submit(gateway, job, headers={"Idempotency-Key": value})
    assert (answer.status_code, answer.json()["idempotency_key"]) == (202, "k-1")
    assert submit(gateway, headers={"Idempotency-Key": value}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "job", "code"),
    [
        ([], {"customer": {}}, "idempotency_key_missing"),
        ([], {"idempotency_key": None}, "idempotency_key_missing"),
        ([("Idempotency-Key", "k-2")], a_job(), "idempotency_key_mismatch"),
        ([("Idempotency-Key", "k-1")], a_job() | {"idempotency_key": None}, "idempotency_key_mismatch"),
        ([("Idempotency-Key", '"k-1')], a_job(), "idempotency_key_malformed"),
        ([("Idempotency-Key", '"k-1" "k-2"')], a_job(), "idempotency_key_malformed"),
        ([("Idempotency-Key", "")], a_job(), "idempotency_key_malformed"),
        ([("Idempotency-Key", "k-1"), ("Idempotency-Key", "k-1")], a_job(), "idempotency_key_malformed"),
    ],
)
def test_a_key_is_named_once_and_clearly(headers: Any, job: Any, code: str, gateway: Gateway) -> None:
    """400 when no key is named, when it cannot be read, and when two are named."""
    headers = [*headers, ("Authorization", f"Bearer {TOKENS[Role.SUBMITTER]}")]
    answer = gateway.loop.run(gateway.client.post(JOBS, json=job, headers=headers))
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert gateway.world.client.dbsize() == 0


def test_a_quoted_key_is_unquoted(gateway: Gateway) -> None:
    """Quotes and backslashes in the key are escaped in the header, as RFC 8941 says."""
    job = a_job(r"a\b" + '"c', customer=a_job()["customer"])
    answer = submit(gateway, job, headers={"Idempotency-Key": r'"a\\b\"c"'})
    assert (answer.status_code, answer.json()["idempotency_key"]) == (202, r"a\b" + '"c')


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("application/merge-patch+json", 202),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/xml", 415),
        ("", 415),
    ],
)
def test_the_body_is_json(kind: str, status: int, gateway: Gateway) -> None:
    """What says that it is something else than JSON is refused."""
    answer = gateway.request(
        "POST", JOBS, role="submitter", content=json.dumps(a_job()), headers={"Content-Type": kind}
    )
    assert answer.status_code == status


def test_ten_at_once_are_one(gateway: Gateway) -> None:
    """Ten identical submissions at the same moment make one record, and ten equal answers but for the status."""

    async def all_at_once() -> list[httpx.Response]:
        return await asyncio.gather(*(gateway.ask("POST", JOBS, role="submitter", json=a_job()) for _ in range(10)))

    answers = gateway.loop.run(all_at_once())
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [202]
    assert len({answer.text for answer in answers}) == 1
    assert gateway.world.client.hlen(f"{PREFIX}external") == 1
    assert len(gateway.world.ledger.history("k-1")) == 1


def test_many_at_once_each_have_their_own_answer(gateway: Gateway) -> None:
    """Jobs that come together are answered each by itself: what is wrong with one concerns no other."""
    submit(gateway, a_job("taken", external_id="e"))

    async def all_at_once() -> list[httpx.Response]:
        jobs = [a_job(f"k-{number}", **({"external_id": "e"} if number % 10 == 0 else {})) for number in range(300)]
        return await asyncio.gather(*(gateway.ask("POST", JOBS, role="submitter", json=job) for job in jobs))

    for number, answer in enumerate(gateway.loop.run(all_at_once())):
        assert answer.status_code == (409 if number % 10 == 0 else 202)
        assert number % 10 == 0 or answer.json()["idempotency_key"] == f"k-{number}"


def test_without_the_ledger_nothing_is_accepted(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away the answer is 503 with Retry-After, and the same job is accepted later."""
    client = gateway.world.ledger.client
    pool = client.connection_pool
    monkeypatch.setattr(client, "connection_pool", redis.ConnectionPool(port=1, socket_connect_timeout=0.2))
    answer = submit(gateway)
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_away")
    assert int(answer.headers["retry-after"]) > 0
    monkeypatch.setattr(client, "connection_pool", pool)
    assert submit(gateway).status_code == 202


def test_a_broker_that_is_away_costs_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job is accepted while the queue is away; the pulse finds it seconds later."""
    monkeypatch.setattr(
        gateway.broker.client, "connection_pool", redis.ConnectionPool(port=1, socket_connect_timeout=0.2)
    )
    assert submit(gateway).status_code == 202


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a/b", "a%2Fb", "ä ö", "50%", "history", "a/history", "?x=1#y", ".hidden"])
def test_any_key_can_be_addressed(key: str, gateway: Gateway) -> None:
    """A key with whatever printable characters is found at its percent-encoded address."""
    answer = submit(gateway, a_job(key, customer=a_job()["customer"]))
    assert answer.status_code == 202
    assert gateway.get(answer.headers["location"], role="viewer").json()["idempotency_key"] == key
    history = gateway.get(f"{JOBS}/{quote(key, safe='')}/history", role="viewer")
    assert [entry["phase"] for entry in history.json()["history"]] == ["received"]


def test_an_unknown_key_is_404(gateway: Gateway) -> None:
    """Whatever is asked of an onboarding that is not there is answered 404 with its code."""
    for method, path, role in [
        ("GET", "", "viewer"), ("GET", "/history", "viewer"), ("GET", "/personal", "compliance"),
    ]:  # fmt: skip
        answer = gateway.request(method, f"{JOBS}/nobody{path}", role=role)
        assert (answer.status_code, answer.json()["code"]) == (404, "onboarding_unknown")
    for act in ("retry", "restart", "cancel"):
        answer = gateway.request("POST", f"{JOBS}/nobody/actions/{act}", role="operator", json={"reason": "r"})
        assert (answer.status_code, answer.json()["code"]) == (404, "onboarding_unknown")
    consent = {"documents": ["d"], "signed_by": "Ada"}
    assert gateway.request("POST", f"{JOBS}/nobody/signings", role="submitter", json=consent).status_code == 404


def test_a_history_comes_in_pages(gateway: Gateway) -> None:
    """Pages of a history follow each other without a gap and end."""
    world = gateway.world
    world.onboard()
    told: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = gateway.get(f"{JOBS}/k-1/history", role="viewer", params=query).json()
        told += page["history"]
        if (cursor := page["next_cursor"]) is None:
            break
        assert len(page["history"]) == 2
    assert [{name: value for name, value in one.items() if name != "at"} for one in told] == world.ledger.history("k-1")
    assert all(one["at"].endswith("Z") for one in told)


def test_personal_data_are_shown_to_the_right_role_and_told(gateway: Gateway) -> None:
    """What is stored is opened for compliance, may be kept by no cache, and the history says who read it."""
    world = gateway.world
    world.submit()
    answer = gateway.get(f"{JOBS}/k-1/personal", role="compliance")
    assert answer.json()["personal"]["customer"]["name"] == "Ada Example"
    assert answer.headers["cache-control"] == "no-store"
    assert "Ada" not in gateway.get(f"{JOBS}/k-1", role="compliance").text
    world.run_until("k-1", "identification_pending")
    assert any(noted("read", "the-compliance") in entry.get("note", "") for entry in world.ledger.history("k-1"))


def test_input_that_cannot_be_opened_is_told(gateway: Gateway) -> None:
    """409 when no key of the ring opens what is stored."""
    world = gateway.world
    world.submit()
    world.client.hset(f"{PREFIX}input:k-1", "customer", b"sealed by somebody else")
    answer = gateway.get(f"{JOBS}/k-1/personal", role="admin")
    assert (answer.status_code, answer.json()["code"]) == (409, "input_lost")


# --- lists -----------------------------------------------------------------------------------------------------------


def pages(gateway: Gateway, **query: Any) -> Iterator[list[str]]:
    """The keys of each page until the last."""
    cursor = None
    while True:
        answer = gateway.get(JOBS, role="viewer", params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        yield [one["idempotency_key"] for one in answer.json()["onboardings"]]
        if (cursor := answer.json()["next_cursor"]) is None:
            return


def test_pages_hold_everybody_once(gateway: Gateway) -> None:
    """Nobody is left out and nobody comes twice while nothing moves, also of those that came in one millisecond."""
    world = gateway.world
    for number in range(23):
        world.submit(f"k-{number}")
    for key in (b"k-3", b"k-4", b"k-5", b"k-6"):
        world.client.zadd(f"{PREFIX}phase:received", {key: 1000})
    for limit in (1, 2, 7, 50):
        listed = [key for page in pages(gateway, limit=limit) for key in page]
        assert len(listed) == 23
        assert listed[:4] == ["k-3", "k-4", "k-5", "k-6"]
        assert set(listed) == {f"k-{number}" for number in range(23)}


def test_nobody_is_passed_over_while_records_move(gateway: Gateway) -> None:
    """Records that change their phase between two pages come again at the end; those that stay come exactly once."""
    world = gateway.world
    for number in range(12):
        world.submit(f"k-{number}", tag="manual")
    listed: list[str] = []
    movers = iter(["k-1", "k-9", "k-2", "k-10"])
    for page in pages(gateway, limit=3):
        listed += page
        if key := next(movers, None):
            world.advance(1)
            world.run_step("create_customer", key, world.record(key).version)
    moved = {"k-1", "k-9", "k-2", "k-10"}
    assert set(listed) == {f"k-{number}" for number in range(12)}
    assert all(listed.count(f"k-{number}") == 1 for number in range(12) if f"k-{number}" not in moved)


def test_filters_go_together(gateway: Gateway) -> None:
    """Phase, labels and external id each narrow the list."""
    world = gateway.world
    world.submit("a", labels={"source": "crm", "team": "x"}, external_id="e-a")
    world.submit("b", labels={"source": "crm"})
    world.submit("c")
    world.run_until("c", "identification_pending")
    phase = world.record("a").phase

    def listed(**query: Any) -> list[str]:
        return sorted(key for page in pages(gateway, **query) for key in page)

    assert listed(label="source=crm") == ["a", "b"]
    assert listed(label=["source=crm", "team=x"]) == ["a"]
    assert listed(external_id="e-a") == ["a"]
    assert listed(external_id="e-a", label="team=y") == listed(external_id="nobody") == []
    assert listed(phase=phase, external_id="e-a") == ["a"]
    assert listed(phase="active") == []


def test_few_among_many_are_found_in_short_pages(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that has looked at many without finding enough is short, and the next one goes on behind it."""
    monkeypatch.setattr("workers.operate.search.SCANNED", 5)
    for number in range(20):
        gateway.world.submit(f"k-{number}", **({"labels": {"rare": "yes"}} if number == 17 else {}))
    found = list(pages(gateway, label="rare=yes", limit=5))
    assert [key for page in found for key in page] == ["k-17"]
    assert len(found) > 3


def test_an_import_is_listed_by_its_rows(gateway: Gateway, tmp_path: Path) -> None:
    """The records of an import come in the order of its rows, page by page, and nobody else."""
    file = tmp_path / "first.jsonl"
    file.write_text("".join(json.dumps(a_job(f"k-{number}")) + "\n" for number in range(7)), encoding="utf-8")
    gateway.world.submit("other")
    Imports(gateway.world.ledger, gateway.world.vault).load(file, by="a test")
    assert list(pages(gateway, limit=3, **{"import": "first"})) == [
        ["k-0", "k-1", "k-2"],
        ["k-3", "k-4", "k-5"],
        ["k-6"],
    ]
    assert list(pages(gateway, **{"import": "second"})) == [[]]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"phase": "asleep"}, "/query/phase"),
        ({"limit": 0}, "/query/limit"),
        ({"limit": 501}, "/query/limit"),
        ({"limit": "many"}, "/query/limit"),
        ({"label": "source"}, "/query/label/0"),
        ({"label": ["a=b", "=c"]}, "/query/label/1"),
        ({"external_id": "x" * 256}, "/query/external_id"),
    ],
)
def test_wrong_filters_are_told(query: Any, pointer: str, gateway: Gateway) -> None:
    """422 says which parameter is wrong, and does not repeat it."""
    answer = gateway.get(JOBS, role="viewer", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [where for where, _ in pointers(answer)] == [pointer]
    assert "asleep" not in answer.text


def test_a_cursor_keeps_its_filters(gateway: Gateway) -> None:
    """A cursor of one list cannot be used for another, nor one that was made up."""
    for number in range(3):
        gateway.world.submit(f"k-{number}")
    cursor = gateway.get(JOBS, role="viewer", params={"limit": 1}).json()["next_cursor"]
    for query in ({"cursor": cursor, "phase": "received"}, {"cursor": "e30"}, {"cursor": ""}):
        answer = gateway.get(JOBS, role="viewer", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_malformed")


@pytest.mark.parametrize("text", ["k-1", "e-1", "K-1+approve@EXAMPLE.com", "iron"])
def test_find(text: str, gateway: Gateway) -> None:
    """An onboarding is found by its key, its external id, its e-mail address in any case, and Iron's customer id."""
    world = gateway.world
    world.submit("k-1", external_id="e-1")
    world.submit("k-2")
    world.run_until("k-1", "in_review")
    wanted = str(world.record("k-1").customer_id) if text == "iron" else text
    answer = gateway.request("POST", "/v1/find", role="operator", json={"text": wanted})
    assert [one["idempotency_key"] for one in answer.json()["onboardings"]] == ["k-1"]


def test_find_nobody(gateway: Gateway) -> None:
    """What names nobody finds nobody; an empty text is a mistake."""
    assert gateway.request("POST", "/v1/find", role="operator", json={"text": "x@y.z"}).json()["onboardings"] == []
    answer = gateway.request("POST", "/v1/find", role="viewer", json={"text": ""})
    assert pointers(answer) == [("/text", "empty")]


def test_the_summary_is_the_commands(gateway: Gateway) -> None:
    """The same members as the command's, counted."""
    gateway.world.submit()
    answer = gateway.get("/v1/summary", role="viewer").json()
    assert (answer["total"], answer["phases"]["received"]["count"]) == (1, 1)
    assert set(answer["lanes"]) >= {"interactive", "bulk", "reidentify"}


# --- acts ------------------------------------------------------------------------------------------------------------


def act(gateway: Gateway, name: str, body: Any, key: str = "k-1") -> httpx.Response:
    """Do something to an onboarding, as an operator."""
    return gateway.request("POST", f"{JOBS}/{key}/actions/{name}", role="operator", json=body)


def notes(world: World, key: str = "k-1") -> list[str]:
    """What the history says."""
    return [entry.get("note", "") for entry in world.ledger.history(key)]


def test_cancel_and_restart(gateway: Gateway) -> None:
    """An act is stored, answered 202, applied by a worker, and stands in the history with who and why."""
    world = gateway.world
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    assert act(gateway, "cancel", {"reason": "withdrew"}).status_code == 202
    world.pulse.run_once()
    world.run_until("k-1", "cancelled")
    assert any(noted("cancel", "the-operator", "withdrew") in note for note in notes(world))
    again = act(gateway, "cancel", {"reason": "withdrew"})
    assert (again.status_code, again.json()["code"]) == (409, "act_refused")
    assert "already cancelled" in again.json()["detail"]
    assert act(gateway, "restart", {"reason": "came back"}).status_code == 202
    world.run_until("k-1", "identification_pending")
    assert any(noted("restart", "the-operator", "came back") in note for note in notes(world))


def test_retry(gateway: Gateway) -> None:
    """What ended in a problem is tried again; where there is none, that is said."""
    world = gateway.world
    world.sandbox.faults.add(Fault(name="revoked", operation="create_customer", status=401))
    world.submit()
    world.drain()
    world.sandbox.faults.clear("revoked")
    assert gateway.get(f"{JOBS}/k-1", role="viewer").json()["problem"]["code"] == "access_refused"
    assert act(gateway, "retry", {"reason": "new API key"}).status_code == 202
    world.run_until("k-1", "in_review")
    answer = act(gateway, "retry", {"reason": "again"})
    assert (answer.status_code, answer.json()["code"]) == (409, "act_refused")
    assert "no problem" in answer.json()["detail"]


def test_reidentify(gateway: Gateway) -> None:
    """An active customer is asked for, with who and why; anybody else is refused with the reason."""
    world = gateway.world
    world.submit("k-2")
    world.onboard()
    body = {"reason": "new owner"}
    assert act(gateway, "reidentify", body).status_code == 202
    assert act(gateway, "reidentify", body).status_code in {202, 409}  # it is asked for already
    world.run(until=lambda: any(noted("reidentify", "the-operator", "new owner") in note for note in notes(world)))
    answer = act(gateway, "reidentify", body, "k-2")
    assert (answer.status_code, answer.json()["code"]) == (409, "act_refused")
    assert gateway.request("POST", f"{JOBS}/nobody/actions/reidentify", role="admin", json=body).status_code == 404


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("address", ["k-1+approve@example.com", "nobody@example.com"])
def test_who_finds_by_email(role: Role, address: str, gateway: Gateway) -> None:
    """Whether an address is a customer's is told to those who act and decide; others are refused alike for any."""
    gateway.world.submit("k-1")
    answer = gateway.request("POST", "/v1/find", role=role, json={"text": address})
    if role in (Role.OPERATOR, Role.COMPLIANCE, Role.ADMIN):
        assert len(answer.json()["onboardings"]) == address.startswith("k-1")
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "role_insufficient")
        assert address not in answer.text


def test_a_key_that_looks_like_an_address_is_found_by_all(gateway: Gateway) -> None:
    """Whoever knows a key finds its onboarding, whatever the key looks like."""
    gateway.world.submit("k@1", customer={"customer_type": "Person", "email": "ada+approve@example.com", "name": "Ada"})
    answer = gateway.request("POST", "/v1/find", role="viewer", json={"text": "k@1"})
    assert [one["idempotency_key"] for one in answer.json()["onboardings"]] == ["k@1"]


def test_addresses_are_not_tried_by_the_thousand(gateway: Gateway) -> None:
    """Sixty searches by e-mail address a minute with one token; by key, and with another token, it goes on."""

    def find(text: str, role: str = "operator") -> httpx.Response:
        return gateway.request("POST", "/v1/find", role=role, json={"text": text})

    answers = [find(f"a{n}@example.com") for n in range(61)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    assert answers[-1].json()["code"] == "too_many_searches"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert (find("k-1").status_code, find("a@example.com", "admin").status_code) == (200, 200)


def test_correct(gateway: Gateway) -> None:
    """A correction replaces the input, and the onboarding is found by the new e-mail address at once."""
    world = gateway.world
    world.submit(tag="manual")
    job = a_job(customer={"customer_type": "Person", "email": "new+manual@example.com", "name": "Ada"})
    assert act(gateway, "correct", {"reason": "typing error", "job": job}).status_code == 202
    world.run(until=lambda: world.record().revision == 1)
    assert any(noted("correct", "the-operator", "typing error") in note for note in notes(world))
    found = gateway.request("POST", "/v1/find", role="operator", json={"text": "new+manual@example.com"}).json()
    assert [one["idempotency_key"] for one in found["onboardings"]] == ["k-1"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"job": a_job()}, [("/reason", "missing")]),
        ({"reason": "r"}, [("/job", "not_an_object")]),
        (
            {"reason": "", "job": a_job(lane="fast"), "x": 1},
            [("/reason", "empty"), ("/x", "unknown_field"), ("/job/lane", "not_one_of")],
        ),
        ({"reason": "r", "job": a_job("k-2")}, [("/job/idempotency_key", "another_key")]),
    ],
)
def test_a_wrong_correction_is_told_at_once(body: Any, expected: Any, gateway: Gateway) -> None:
    """Every mistake of the correction and of its job is named, and nothing is stored."""
    gateway.world.submit()
    before = dump(gateway.world.client)
    answer = act(gateway, "correct", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_job")
    assert pointers(answer) == expected
    assert dump(gateway.world.client) == before


def test_a_correction_takes_nobodys_external_id(gateway: Gateway) -> None:
    """409 when another onboarding has it; nothing is stored."""
    gateway.world.submit("k-1")
    gateway.world.submit("k-2")
    answer = act(gateway, "correct", {"reason": "r", "job": a_job(external_id="k-2")})
    assert (answer.status_code, answer.json()["holder"]) == (409, "k-2")
    assert gateway.world.client.llen(f"{PREFIX}acts:k-1") == 0


@pytest.mark.parametrize("body", [1, "x", [], {}, {"reason": ""}, {"reason": 5}, {"reason": "r", "more": 1}])
@pytest.mark.parametrize("name", ["retry", "restart", "cancel", "correct"])
def test_an_act_has_a_reason(name: str, body: Any, gateway: Gateway) -> None:
    """Whatever is no object with a reason is refused with what is wrong, and nothing is stored."""
    gateway.world.submit()
    before = dump(gateway.world.client)
    assert act(gateway, name, body).status_code == 422
    assert dump(gateway.world.client) == before


def test_consent(gateway: Gateway) -> None:
    """Consent is recorded once, its evidence sealed, and leads to the signatures."""
    world = gateway.world
    world.submit()
    world.run_until("k-1", "signings_required")
    world.run(until=lambda: bool(world.record().signings))
    documents = [signing.id for signing in world.record().signings]
    body = {"documents": documents, "signed_by": "Ada Marker", "signed_at": "2026-01-22T10:00:00Z", "evidence": "c-1"}
    answer = gateway.request("POST", f"{JOBS}/k-1/signings", role="submitter", json=body)
    assert answer.status_code == 202
    [sealed] = world.client.lrange(f"{PREFIX}evidence:k-1", 0, -1)
    assert b"Marker" not in sealed
    assert world.vault.open(Place("evidence", "k-1"), sealed)["signed_by"] == "Ada Marker"
    world.run_until("k-1", "active")
    assert any(noted("sign", "the-submitter") in note for note in notes(world))


def test_consent_twice_is_once(gateway: Gateway) -> None:
    """The same consent again, once it is applied, is 200 and stores nothing."""
    world = gateway.world
    world.submit()
    world.run_until("k-1", "signings_required")
    world.run(until=lambda: bool(world.record().signings))
    body = {"documents": [world.record().signings[0].id], "signed_by": "Ada"}
    assert gateway.request("POST", f"{JOBS}/k-1/signings", role="submitter", json=body).status_code == 202
    world.run(until=lambda: bool(world.record().signings[0].consented_ms))
    assert gateway.request("POST", f"{JOBS}/k-1/signings", role="submitter", json=body).status_code == 200
    assert world.client.llen(f"{PREFIX}evidence:k-1") == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/documents", "missing"), ("/signed_by", "missing")]),
        ({"documents": [], "signed_by": "A"}, [("/documents", "too_few")]),
        ({"documents": ["d"], "signed_by": " "}, [("/signed_by", "not_printable")]),
        ({"documents": ["d"], "signed_by": "A", "signed_at": "today"}, [("/signed_at", "not_a_time_with_offset")]),
        (
            {"documents": ["d"], "signed_by": "A", "signed_at": "2999-01-01T00:00:00Z"},
            [("/signed_at", "in_the_future")],
        ),
    ],
)
def test_a_wrong_consent_is_told(body: Any, expected: Any, gateway: Gateway) -> None:
    """Every mistake is named."""
    gateway.world.submit()
    answer = gateway.request("POST", f"{JOBS}/k-1/signings", role="submitter", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert pointers(answer) == expected


def test_what_is_not_asked_for_cannot_be_signed(gateway: Gateway) -> None:
    """409 says in which phase the onboarding is; nothing is stored."""
    gateway.world.submit()
    body = {"documents": ["marker"], "signed_by": "A"}
    answer = gateway.request("POST", f"{JOBS}/k-1/signings", role="submitter", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "act_refused")
    assert "received" in answer.json()["detail"]
    assert "marker" not in answer.text


# --- the document ----------------------------------------------------------------------------------------------------


def test_the_document_shows_what_is_answered(gateway: Gateway) -> None:
    """The model of a record in the document has the very members that a record is shown with, in every phase."""
    from ops.gateway.api.shapes import Entry, Onboarding, SigningState

    world = gateway.world
    world.onboard()
    view = gateway.get(f"{JOBS}/k-1", role="viewer").json()
    assert set(view) == {field.alias or name for name, field in Onboarding.model_fields.items()}
    assert set(view["signings"][0]) == set(SigningState.model_fields)
    Onboarding.model_validate(view)
    for entry in gateway.get(f"{JOBS}/k-1/history", role="viewer").json()["history"]:
        assert set(entry) <= set(Entry.model_fields)
    document = gateway.get("/openapi.json").json()
    assert document["components"]["schemas"]["Phase"]["enum"] == [phase.value for phase in Phase]
