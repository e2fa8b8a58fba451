"""One judge for the jobs of all doors: HTTP, command line, JSON Lines, CSV and messages say the same of the same input.

And what follows from the form in which texts are kept: the same letters are found however they were typed.
"""

from __future__ import annotations

import copy
import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from ops.cli import main
from tests.gateway import Gateway
from tests.given_details import BUSINESS, PERSON
from tests.integration.test_direct import Fleet
from tests.world import Run, World, a_job
from workers.intake.messages import ACTOR

JOB = a_job()
PERSONAL = JOB | {"identification": PERSON}
COMPANY = {
    "idempotency_key": "k-1",
    "customer": {"customer_type": "Business", "email": "office@example.com"},
    "identification": BUSINESS,
}
NOW = datetime.now(UTC)


def at(seconds: float) -> str:
    """A moment so far from now."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(days: float) -> str:
    """A day so far from today."""
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%d")


def changed(job: dict[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """A job with another value in one place."""
    job = copy.deepcopy(job)
    *path, last = (int(step) if step.isdecimal() else step for step in pointer.split("/")[1:])
    place: Any = job
    for step in path:
        place = place[step]
    place[last] = value
    return job


def doubled(job: dict[str, Any], name: str, value: str) -> str:
    """A job as JSON in which a name comes twice."""
    text = json.dumps(job)
    assert f'"{name}": ' in text
    return text.replace(f'"{name}": ', f'"{name}": {json.dumps(value)}, "{name}": ', 1)


COMPANY_INFO = "/identification/company_data/company_info"
FOUNDED = f"{COMPANY_INFO}/incorporation_date"
BENEFICIARY = "/identification/company_data/beneficiaries/0"
EXPIRY = f"{BENEFICIARY}/beneficiary_info/identity/identity_document_expiry_date"

#: Name -> the job, or its JSON, and the codes that every door refuses it with; none: every door takes it.
CASES: dict[str, tuple[dict[str, Any] | str | bytes, set[str]]] = {
    # G15: a name twice
    "G15 doubled e-mail": (doubled(JOB, "email", "second@example.com"), {"doubled_field"}),
    "G15 doubled key": (doubled(JOB, "idempotency_key", "k-2"), {"doubled_field"}),
    "G15 doubled customer": (doubled(JOB, "customer", ""), {"doubled_field"}),
    "G15 doubled, deep": (doubled(PERSONAL, "city", "Bonn"), {"doubled_field"}),
    "G15 the same value twice": (doubled(JOB, "name", "Ada Example"), {"doubled_field"}),
    "G15 labels that are one": (JOB | {"labels": {"\u00e9": "1", "e\u0301": "2"}}, {"doubled_field"}),
    "G15 one name in two objects": (PERSONAL, set()),
    # G17: what stands for nothing, and what a spreadsheet or a program made of an id
    **{
        f"G17 {word}": (JOB | {"external_id": word}, {"null_word"})
        for word in ("NULL", "null", "#N/A", "NaN", "None", "nil", "\\N", "undefined", "N/A", "(null)", "-")
    },
    "G17 key": (JOB | {"idempotency_key": "NULL"}, {"null_word"}),
    "G17 name": (changed(JOB, "/customer/name", "#N/A"), {"null_word"}),
    "G17 name of words": (changed(JOB, "/customer/name", "undefined"), {"null_word"}),
    **{
        f"G17 {value}": (JOB | {"external_id": value}, {"mangled_value"})
        for value in (
            *("1.23E+05", "1,23457E+11", "1e+21", "#REF!", "#NAME?", "#WERT!", "#####", "12345.0", "'00123"),
            *("1-Mar", "Mrz 24", "01.03.2024", "3/1/2024", "2024-03-01 00:00:00", '=HYPERLINK("x")'),
        )
    },
    "G17 tax number": (changed(PERSONAL, "/identification/tax_identification_number", "1.2E+10"), {"mangled_value"}),
    **{
        f"right id {value}": (JOB | {"external_id": value}, set())
        for value in ("00123", "1E5", "12E34", "#1001", "A-1.0", "20240301", "null-7", "Nullmeier", "1.5", "o'brien-1")
    },
    **{f"right name {name}": (changed(JOB, "/customer/name", name), set()) for name in ("Jennifer Null", "Nan", "Na")},
    # G20: an address
    **{
        f"G20 {email}": (changed(JOB, "/customer/email", email), {"not_an_email"})
        for email in (
            *("\u201cada@example.com\u201d", "ada@example.com/", "ada@example.com'", "'ada@example.com'"),
            *("\u201eada@example.com", "\u00abada@example.com\u00bb", "ada\u2019s@a.com", "ada@a.com\u2019"),
            *("ada@-example.com", "ada@exa_mple.com", "ada@example.com?subject=x", "ada@10.0.0.1", "ada@example.c"),
            *("ada@\uff45\uff58ample.com", "ada@example\u3002com", "a\ufffdda@example.com", f"ada@{'x' * 64}.com"),
        )
    },
    "G20 of a person": (changed(PERSONAL, "/identification/email_address", "ada@example.com/"), {"not_an_email"}),
    "G20 of a company": (changed(COMPANY, f"{COMPANY_INFO}/email", "\u201ca@b.de\u201d"), {"not_an_email"}),
    **{
        f"right address {email}": (changed(JOB, "/customer/email", email), set())
        for email in ("o'brien@example.com", "ada+tag@example.com", "jos\u00e9@b\u00fccher.de", "a@xn--bcher-kva.de")
    },
    # G23 and G25: times
    **{
        f"G23 {pointer.rpartition('/')[2]} {value}": (changed(job, pointer, value), {code})
        for job, pointer in (
            (PERSONAL, "/identification/consent_collected_at"),
            (PERSONAL, "/identification/identity/selfie_collected_at"),
            (COMPANY, f"{BENEFICIARY}/attested_at"),
        )
        for value, code in (("2090-01-01T00:00:00Z", "in_the_future"), ("1899-12-30T00:00:00Z", "too_long_ago"))
    },
    "G23 consent in a minute and a half": (
        changed(PERSONAL, "/identification/consent_collected_at", at(3_690)), {"in_the_future"},
    ),
    "G23 selfie in another zone": (
        changed(PERSONAL, "/identification/identity/selfie_collected_at", "2090-01-01T00:00:00+14:00"),
        {"in_the_future"},
    ),
    "G23 born in the future": (changed(PERSONAL, "/identification/date_of_birth", day(3)), {"in_the_future"}),
    "G23 born on a spreadsheet's day 0": (
        changed(PERSONAL, "/identification/date_of_birth", "1899-12-30"), {"too_long_ago"},
    ),
    "G23 founded in the future": (changed(COMPANY, FOUNDED, day(3)), {"in_the_future"}),
    "G23 founded in the year 1": (changed(COMPANY, FOUNDED, "0001-01-01"), {"too_long_ago"}),
    "G23 valid until the year 1": (changed(COMPANY, EXPIRY, "0001-01-01"), {"too_long_ago"}),
    "G25 clocks apart": (changed(PERSONAL, "/identification/consent_collected_at", at(30)), set()),
    "right founded 1847": (changed(COMPANY, FOUNDED, "1847-10-12"), set()),
    "right valid for ever": (changed(COMPANY, EXPIRY, "9999-12-31"), set()),
    "right expired": (changed(COMPANY, EXPIRY, "2020-01-01"), set()),
    "right born today": (changed(PERSONAL, "/identification/date_of_birth", day(0)), set()),
    # Unicode
    "G24 decomposed": (
        changed(JOB, "/customer/email", "jose\u0301@example.com")
        | {"external_id": "Jose\u0301", "labels": {"e\u0301": "o\u0308"}},
        set(),
    ),
    "G24 a lost character": (changed(JOB, "/customer/name", "J\ufffdrgen"), {"lost_character"}),
    "G24 a lost character in an id": (JOB | {"external_id": "M\ufffdller-1"}, {"lost_character"}),
    "G24 a lost character in a label": (JOB | {"labels": {"city": "K\ufffdln"}}, {"lost_character"}),
    "G27 nationality": (changed(PERSONAL, "/identification/identity/nationality", "XK"), set()),
    "G27 address": (changed(PERSONAL, "/identification/address/country", "XK"), set()),
    "G27 document": (changed(PERSONAL, "/identification/identity/identity_country_code", "XK"), set()),
    "G27 company": (changed(COMPANY, "/identification/company_data/company_info/country", "XK"), set()),
    "G27 markets": (
        changed(COMPANY, "/identification/questionnaire/business_details/main_business_countries", ["XK", "AL"]), set(),
    ),
    "G27 still no country": (changed(PERSONAL, "/identification/address/country", "UK"), {"not_a_country"}),
    "JSON of NaN": (json.dumps(JOB).replace('"Ada Example"', "NaN"), {"not_json"}),
    "JSON of no object": ("7", {"not_an_object"}),
    "JSON that ends": (json.dumps(JOB)[:-1], {"not_json"}),
    "JSON without end": ("[" * 100_000, {"not_json"}),
    "JSON in Latin-1": (json.dumps(JOB).replace("Ada Example", "J\u00fcrgen").encode("latin-1"), {"not_utf8"}),
}  # fmt: skip
#: What no message can hold, or Dramatiq itself judges.
NO_MESSAGE = {"JSON of NaN", "JSON that ends", "JSON without end", "JSON in Latin-1"}
#: Columns of a table, and where a job has them.
COLUMNS = {
    "idempotency_key": ("idempotency_key",),
    "external_id": ("external_id",),
    "email": ("customer", "email"),
    "customer_type": ("customer", "customer_type"),
    "name": ("customer", "name"),
}


def table(job: dict[str, Any] | str | bytes) -> dict[str, str] | None:
    """The row of a table for a job; None: no table can hold it."""
    if not isinstance(job, dict) or "identification" in job:
        return None
    row = {f"label.{name}": value for name, value in job.get("labels", {}).items()}
    for column, path in COLUMNS.items():
        value: Any = job
        for step in path:
            value = value.get(step, {})
        row[column] = value or ""
    return row


def written(job: dict[str, Any] | str | bytes) -> bytes:
    """A job as JSON."""
    text = job if isinstance(job, str | bytes) else json.dumps(job, ensure_ascii=False)
    return text if isinstance(text, bytes) else text.encode()


Door = Callable[[str], set[str]]


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


@pytest.fixture
def fleet(client: redis.Redis, broker_url: str) -> Iterator[Fleet]:
    """A worker that takes jobs as messages, and reads them as a worker process does."""
    made = Fleet(client, broker_url)
    yield made
    made.stop()
    made.producer.close()
    made.producer.client.close()


def by_http(gateway: Gateway, job: bytes) -> set[str]:
    """Hand in over HTTP."""
    answer = gateway.request("POST", "/v1/onboardings", role="submitter", content=job)
    told = answer.json()
    refused = {one["code"] for one in told.get("errors", [])} or {told.get("code")}
    assert answer.status_code in (202, 400, 422), answer.text
    return set() if answer.status_code == 202 else refused


def by_command(run: Run, job: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Hand in with `submit`."""
    file = folder / "job.json"
    file.write_bytes(job)
    capsys.readouterr()
    status = run("submit", file)
    told = capsys.readouterr().err
    codes = set(re.findall(r"\(([a-z0-9_]+)\)$", told, re.MULTILINE))
    assert status == (2 if codes else 0), told
    assert "Internal error" not in told
    return codes


def by_lines(run: Run, job: bytes, folder: Path) -> set[str]:
    """Import as JSON Lines."""
    file, report = folder / "jobs.jsonl", folder / "report.jsonl"
    file.write_bytes(b'{"idempotency_key": "another"}\n' + job + b"\n")
    assert run("import", file, "--report", report) == 5
    _, told = map(json.loads, report.read_text(encoding="utf-8").splitlines())
    return {one["code"] for one in told["problems"]}


def by_table(run: Run, row: dict[str, str], folder: Path) -> set[str]:
    """Import as CSV."""
    file, report = folder / "jobs.csv", folder / "report.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([list(row), list(row.values())])
    status = run("import", file, "--report", report)
    with report.open(encoding="utf-8-sig", newline="") as lines:
        [told] = csv.DictReader(lines)
    codes = set(filter(None, told["code"].split("; ")))
    assert status == (5 if codes else 0)
    return codes


def by_message(fleet: Fleet, job: bytes) -> set[str]:
    """Hand in as a message, as any producer writes it: byte for byte."""
    id_ = str(uuid4())
    fields = {
        "queue_name": "interactive",
        "actor_name": ACTOR,
        "args": ["?"],
        "kwargs": {},
        "options": {"redis_message_id": id_},
        "message_id": id_,
        "message_timestamp": 1,
    }
    raw = json.dumps(fields).encode().replace(b'"?"', job)
    client: Any = fleet.producer.client
    client.hset("dramatiq:interactive.msgs", id_, raw)
    client.rpush("dramatiq:interactive", id_)
    fleet.done()
    return {reason.code for one in fleet.refusals.newest() if one.id == id_ for reason in one.reasons}


@pytest.mark.parametrize("kind", sorted({name.partition(" ")[0] for name in CASES}))
def test_every_door_says_the_same(
    kind: str,
    world: World,
    gateway: Gateway,
    fleet: Fleet,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same input gets the same codes at each door that can hold it; what is refused leaves no record behind."""
    fleet.start()
    doors: dict[str, Callable[[bytes, Any], set[str]]] = {
        "HTTP": lambda raw, _: by_http(gateway, raw),
        "command line": lambda raw, _: by_command(run, raw, tmp_path, capsys),
        "JSON Lines": lambda raw, _: by_lines(run, raw, tmp_path),
        "CSV": lambda _, row: by_table(run, row, tmp_path),
        "message": lambda raw, _: by_message(fleet, raw),
    }
    told: dict[str, Any] = {}
    for name in (name for name in CASES if name.partition(" ")[0] == kind):
        job, expected = CASES[name]
        row = table(job)
        shut = {"CSV"} if row is None or "doubled_field" in expected else set()
        shut |= {"message"} if name in NO_MESSAGE else set()
        for door in doors.keys() - shut:
            codes = doors[door](written(job), row)
            records = [record.key for record in world.records() if record.key != "another"]
            if codes != expected or bool(records) == bool(expected):
                told[f"{name}, {door}"] = codes, records
            world.client.flushdb()
    assert not told


# --- one text is one text ------------------------------------------------------------------------------------------

FORMS = ("NFC", "NFD", "NFKD")


@pytest.mark.parametrize("typed", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_g24_found_however_it_was_typed(
    typed: Any, asked: Any, world: World, gateway: Gateway, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key, external id, e-mail and label are found in either form, at each place where one asks for them."""
    plain = {"key": "M\u00fcller-1", "external": "\u00c5-7", "email": "jos\u00e9@example.com"}
    there = {name: unicodedata.normalize(typed, text) for name, text in plain.items()}
    here = {name: unicodedata.normalize(asked, text) for name, text in plain.items()}
    job = a_job(there["key"], external_id=there["external"], labels={"st\u00e4dt": "K\u00f6ln"})
    job["customer"]["email"] = there["email"]
    assert gateway.request("POST", "/v1/onboardings", role="submitter", json=job).status_code == 202
    assert world.record(plain["key"]).external_id == plain["external"]
    for text in (*here.values(), here["email"].upper()):
        found = gateway.request("POST", "/v1/find", role="operator", json={"text": text}).json()["onboardings"]
        assert [one["idempotency_key"] for one in found] == [plain["key"]], text
        assert run("find", text) == 0
    assert gateway.get(f"/v1/onboardings/{here['key']}", role="viewer").status_code == 200
    label = unicodedata.normalize(asked, "st\u00e4dt=K\u00f6ln")
    for asking in ({"external_id": here["external"]}, {"label": label}):
        assert len(gateway.get("/v1/onboardings", role="viewer", params=asking).json()["onboardings"]) == 1
    for words in (["status"], ["history"], ["link"], ["retry"], ["audit"]):
        capsys.readouterr()
        run(*words, here["key"])
        assert "There is no customer" not in capsys.readouterr().err, words
    assert run("list", "--label", label, "--json") == 0
    assert plain["key"] in capsys.readouterr().out
    again = gateway.request("POST", "/v1/onboardings", role="submitter", json=job)
    assert (again.status_code, len(world.records())) == (200, 1)


def test_g24_a_correction_names_the_key_in_either_form(
    world: World, gateway: Gateway, run: Run, tmp_path: Path
) -> None:
    """The key in the job and the key in the address are one, however each was typed."""
    world.submit("M\u00fcller-1")
    job = a_job("Mu\u0308ller-1")
    answer = gateway.request(
        "POST", "/v1/onboardings/M\u00fcller-1/actions/correct", role="operator", json={"reason": "r", "job": job}
    )
    assert answer.status_code == 202, answer.text
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    assert run("correct", "Mu\u0308ller-1", file) == 0


# --- consents and corrections are judged at every door, too ----------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("+30", None),  # G25: clocks differ
        ("+3700", "in_the_future"),
        ("2090-01-01T00:00:00+02:00", "in_the_future"),
        ("1899-12-31T00:00:00Z", "too_long_ago"),
        ("2020-01-01T00:00:00+02:00", None),
        ("2020-02-30T00:00:00Z", "not_a_time_with_offset"),
    ],
)
def test_g25_a_consent_is_judged_alike(
    moment: str, code: str | None, world: World, gateway: Gateway, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A consent over HTTP and one from the command line have the same minute of grace and the same limits."""
    world.submit()
    world.run_until("k-1", "signings_required")
    [document, *_] = [signing.id for signing in world.record().signings]
    moment = at(float(moment)) if moment[0] == "+" else moment
    body = {"documents": [document], "signed_by": "Ada", "signed_at": moment}
    moment_ms = world.shift_ms
    world.shift_ms = 0  # by this machine's clock the other doors ask
    answer = gateway.request("POST", "/v1/onboardings/k-1/signings", role="submitter", json=body)
    world.shift_ms = moment_ms
    codes = [one["code"] for one in answer.json().get("errors", [])]
    assert codes == ([code] if code else [])
    capsys.readouterr()
    status = run("sign", "k-1", "--document", document, "--signed-by", "Ada", "--signed-at", moment)
    told = capsys.readouterr().err
    assert status == (2 if code else 0), told
    if code and code != "not_a_time_with_offset":  # the command line says itself what is no moment at all
        assert f"({code})" in told


@pytest.mark.parametrize("word", ["undefined", "NULL", "#REF!", "A\ufffdda"])
def test_g17_whoever_signed_has_a_name(word: str, world: World, gateway: Gateway, run: Run) -> None:
    """What stands for nothing is no name of whoever agreed, at neither door."""
    world.submit()
    body = {"documents": ["d"], "signed_by": word}
    assert gateway.request("POST", "/v1/onboardings/k-1/signings", role="submitter", json=body).status_code == 422
    assert run("sign", "k-1", "--document", "d", "--signed-by", word) == 2


@pytest.mark.parametrize("name", ["G20 ada@example.com/", "G23 born in the future", "G17 NULL"])
def test_corrections_are_judged_as_jobs(
    name: str, world: World, gateway: Gateway, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A correction over HTTP and from the command line is refused with the codes of a job."""
    job, codes = CASES[name]
    world.submit()
    answer = gateway.request(
        "POST", "/v1/onboardings/k-1/actions/correct", role="operator", json={"reason": "r", "job": job}
    )
    assert {one["code"] for one in answer.json()["errors"]} == codes
    file = tmp_path / "job.json"
    file.write_bytes(written(job))
    assert run("correct", "k-1", file) == 2
    assert all(f"({code})" in capsys.readouterr().err for code in codes)
    doubled_file = tmp_path / "doubled.json"
    doubled_file.write_text(doubled(JOB, "email", "second@example.com"), encoding="utf-8")
    assert run("correct", "k-1", doubled_file) == 2
    assert "(doubled_field)" in capsys.readouterr().err
    assert world.record().revision == 0


def test_g17_who_means_it_may(world: World, gateway: Gateway, run: Run, tmp_path: Path) -> None:
    """`--allow-odd-ids`, and its like over HTTP, take the id as it is; a name is no id."""
    assert main(["submit", "--help"]) == 0
    assert run("submit", "--key", "NULL", "--email", "a@example.com") == 2
    assert run("submit", "--key", "NULL", "--email", "a@example.com", "--allow-odd-ids") == 0
    file = tmp_path / "odd.csv"
    file.write_text(
        "external_id,email,customer_type,name\n1.23E+05,b@example.com,Person,\nnil,c@example.com,Person,NULL\n"
    )
    assert run("import", file, "--dry-run") == 5
    assert run("import", file, "--allow-odd-ids") == 5
    assert sorted(record.key for record in world.records()) == ["1.23E+05", "NULL"]
    answer = gateway.request(
        "POST", "/v1/imports", role="submitter", params={"name": "odd-2", "allow_odd_ids": "true"},
        content="external_id,email,customer_type\n#N/A,d@example.com,Person\n", headers={"Content-Type": "text/csv"},
    )  # fmt: skip
    assert answer.status_code == 202
    assert world.record("#N/A").import_name == "odd-2"
    correction = tmp_path / "correction.json"
    correction.write_text(json.dumps(a_job("NULL")), encoding="utf-8")
    assert run("correct", "NULL", correction) == 2
    assert run("correct", "NULL", correction, "--allow-odd-ids") == 0
