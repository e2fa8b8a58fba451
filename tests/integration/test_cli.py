"""The commands on a real ledger, with no worker running: what they store, print and answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from ops.local.embedded import EmbeddedRedis
from pipelines.iron import CALL, IDENTIFICATION
from pipelines.lifecycle import Phase
from tests.world import Run, World, a_job
from workers.budget.gate import Gate
from workers.intake.submit import SENTENCES
from workers.ledger import PREFIX, Ledger
from workers.secrets.vault import Place, Vault, new_key

HEADER = "idempotency_key,external_id,email,customer_type,name,label.source\n"
ROWS = "k-1,x-1,ada@example.com,Person,Ada,crm\nk-2,x-2,bob@example.com,Person,Bob,web\n"


@pytest.fixture
def pending(world: World, capsys: pytest.CaptureFixture[str]) -> World:
    """A world whose customer k-1 has a link to follow; what its workers logged is forgotten."""
    world.submit(labels={"source": "crm"})
    world.drain()
    capsys.readouterr()
    return world


@pytest.fixture
def queued(broker_url: str) -> Callable[[str], int]:
    """Count the nudges on a lane's queue."""

    def count(lane: str) -> int:
        with redis.Redis.from_url(broker_url) as client:
            return int(client.llen(f"dramatiq:{lane}"))

    return count


def write(folder: Path, text: str, name: str = "customers.csv") -> Path:
    """Make a file to import."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def dumped(client: redis.Redis) -> dict[bytes, bytes]:
    """Everything in the database, as bytes."""
    return {key: client.dump(key) or b"" for key in client.scan_iter()}


def in_one_line(text: str) -> str:
    """Undo the folding of tables."""
    return " ".join(text.split())


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    """Read the one JSON object on standard output."""
    [line] = capsys.readouterr().out.splitlines()
    return json.loads(line)


# --- submit ----------------------------------------------------------------------------------------------------------


def test_submit_stores_a_record_and_nudges(
    run: Run, client: redis.Redis, queued: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The record is printed as data; the input is in the ledger, and not in the clear."""
    words = ("--key", "k-1", "--email", "ada@example.com", "--name", "Ada", "--label", "source=crm", "--json")
    assert run("submit", *words) == 0
    record = data(capsys)
    assert (record["idempotency_key"], record["phase"], record["lane"]) == ("k-1", "received", "interactive")
    assert record["labels"] == {"source": "crm"}
    assert queued("interactive") == 1
    assert b"ada@example.com" not in b"".join(dumped(client).values())


def test_the_same_job_again_changes_nothing(
    run: Run, queued: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 0 and a sentence that says so; another job under the key is refused with status 1."""
    words = ("submit", "--key", "k-1", "--email", "ada@example.com")
    assert run(*words) == 0
    assert run(*words) == 0
    assert SENTENCES["unchanged"] in capsys.readouterr().err
    assert run("submit", "--key", "k-1", "--email", "bob@example.com") == 1
    assert SENTENCES["idempotency_key_reused"] in capsys.readouterr().err
    assert run("submit", "--key", "k-2", "--external-id", "k-1", "--email", "bob@example.com") == 1
    assert "It belongs to the key k-1." in capsys.readouterr().err
    assert queued("interactive") == 1


def test_a_job_comes_from_a_file_or_from_standard_input(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are the same job."""
    file = write(tmp_path, json.dumps(a_job()), "job.json")
    assert run("submit", file) == 0
    with file.open() as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)
        assert run("submit", "-") == 0
    assert SENTENCES["unchanged"] in capsys.readouterr().err


def test_a_wait_that_is_over_says_where_the_record_stands(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 8; the record is printed all the same."""
    words = ("--key", "k-1", "--email", "ada@example.com", "--wait", "active", "--timeout", "0", "--json")
    assert run("submit", *words) == 8
    printed = capsys.readouterr()
    assert json.loads(printed.out)["phase"] == "received"
    assert "k-1 is still in the phase received, not active" in printed.err


# --- status, history, list, summary ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "history"])
def test_an_unknown_key_is_told(run: Run, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, status 1, nothing on standard output."""
    assert run(command, "k-9") == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["There is no customer with the key 'k-9'. Check it, or submit the job first."]
    assert printed.out == ""


def test_an_ended_onboarding_is_not_waited_for(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1 at once, however long the time-out."""
    world.submit()
    world.drain()
    world.sandbox.move("k-1", "archive")
    world.run_until("k-1", Phase.ARCHIVED)
    assert run("status", "k-1", "--wait", "active", "--timeout", "3600") == 1
    assert "ended in the phase archived and will not be active" in capsys.readouterr().err


def test_status_shows_what_is_needed(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The phase, who must act, and the customer's link; for people on standard error."""
    assert run("status", "k-1") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    for words in (
        "identification_pending",
        "customer",
        "The customer opens the link",
        "https://verify.sandbox.invalid/",
    ):
        assert words in printed.err


def test_status_as_data_is_the_contracts_record(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field of the contract's section 4 is there."""
    assert run("status", "k-1", "--json") == 0
    record = data(capsys)
    assert record["needs"][0]["code"] == "complete_identification"
    assert record.keys() >= {
        *(
            "idempotency_key",
            "external_id",
            "lane",
            "risk_tier",
            "phase",
            "waiting_on",
            "since",
            "due",
            "needs",
            "next",
        ),
        *(
            "round",
            "revision",
            "attempts",
            "version",
            "iron",
            "signings",
            "problem",
            "created_at",
            "updated_at",
            "labels",
        ),
    }


def test_history_is_one_object_a_line(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Oldest first, each with its time, phase and step."""
    assert run("history", "k-1", "--json") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["phase"] for entry in entries] == ["received", "customer_created", "identification_pending"]
    assert [entry.get("step") for entry in entries] == [None, "create_customer", "create_identification"]
    assert all(entry["at"].endswith("Z") for entry in entries)
    assert run("history", "k-1") == 0
    assert "create_identification" in capsys.readouterr().err


def test_find(run: Run, pending: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An onboarding is found by key, e-mail address and Iron's id; when there is none the status is 1."""
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", pending.key)
    record = pending.records()[0]
    capsys.readouterr()
    for text in (record.key, record.external_id, f"{record.key}+APPROVE@example.com", str(record.customer_id)):
        assert run("find", text, "--json") == 0
        assert json.loads(capsys.readouterr().out)["idempotency_key"] == record.key
    assert run("find", "nobody@example.com") == 1
    assert "nobody@" not in capsys.readouterr().err


def test_list_is_narrowed(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """By phase, by label, by age and by number, alone and together."""
    pending.submit("k-2", labels={"source": "crm"})
    pending.submit("k-3", labels={"source": "web", "team": "a"})

    def keys(*words: str) -> list[str]:
        assert run("list", "--json", *words) == 0
        return [json.loads(line)["idempotency_key"] for line in capsys.readouterr().out.splitlines()]

    assert set(keys()) == {"k-1", "k-2", "k-3"}
    assert keys("--phase", "identification_pending") == ["k-1"]
    assert set(keys("--label", "source=crm")) == {"k-1", "k-2"}
    assert keys("--label", "source=web", "--label", "team=a") == ["k-3"]
    assert keys("--older-than", "1h") == []
    assert set(keys("--older-than", "0s")) == {"k-1", "k-2", "k-3"}
    assert keys("--phase", "received", "--label", "source=crm") == ["k-2"]
    assert len(keys("--limit", "2")) == 2


def test_list_says_when_there_is_more(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody takes a part for the whole."""
    for number in range(3):
        world.submit(f"k-{number}")
    assert run("list", "--limit", "2") == 0
    assert "There are more than these 2" in capsys.readouterr().err


def test_summary_is_the_contracts(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts and the oldest of each phase, lanes with what is due, scheduled and queued, and the budget."""
    assert run("submit", "--key", "k-2", "--email", "ada@example.com") == 0
    assert run("submit", "--key", "k-3", "--email", "ada@example.com", "--lane", "bulk") == 0
    capsys.readouterr()
    assert run("summary", "--json") == 0
    summary = data(capsys)
    assert summary["total"] == 3
    assert {phase: one["count"] for phase, one in summary["phases"].items()} == {
        "received": 2,
        "identification_pending": 1,
    }
    assert all(one["oldest_since"].endswith("Z") for one in summary["phases"].values())
    assert summary["lanes"]["bulk"] == {"due": 1, "scheduled": 0, "queued": 0}
    assert summary["lanes"]["interactive"] == {"due": 0, "scheduled": 2, "queued": 1}
    # Less than all where a busy machine let a call leave late, and more again from second to second.
    now = Gate(pending.ledger).standing().parts
    assert summary["budget"] == {
        "rate_per_second": 10.0,
        "identifications_per_minute": 60.0,
        "rate_per_second_now": pytest.approx(10.0 * now[CALL], rel=0.02),
        "identifications_per_minute_now": pytest.approx(60.0 * now[IDENTIFICATION], rel=0.02),
        "closed_until": None,
    }
    assert (summary["breaker"], summary["paused"]) == ("closed", {})
    assert run("summary") == 0
    assert "identification_pending" in capsys.readouterr().err


def test_an_empty_ledger_is_no_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is counted, nothing is listed."""
    assert run("summary", "--json") == 0
    summary = data(capsys)
    assert summary["total"] == 0
    assert (summary["budget"]["rate_per_second_now"], summary["budget"]["identifications_per_minute_now"]) == (10, 60)
    assert run("list", "--json") == 0
    assert capsys.readouterr().out == ""


# --- import ----------------------------------------------------------------------------------------------------------


def test_import_stores_rows_in_the_bulk_lane(
    run: Run, client: redis.Redis, tmp_path: Path, queued: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Records that are due now, and not one message; a second run changes nothing."""
    file = write(tmp_path, HEADER + ROWS)
    assert run("import", file, "--json") == 0
    result = data(capsys)
    assert result.keys() == {"name", "rows", "create", "unchanged", "conflict", "error", "seconds"}
    assert (result["name"], result["rows"], result["create"]) == ("customers", 2, 2)
    assert client.zcard(f"{PREFIX}due:bulk/customers") == 2
    assert queued("bulk") == queued("interactive") == 0
    assert run("import", file, "--name", "again", "--json") == 0
    result = data(capsys)
    assert (result["name"], result["create"], result["unchanged"]) == ("again", 0, 2)


def test_rows_with_mistakes_are_named_and_the_others_go_through(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 5; line, column and code of each mistake, never who it is."""
    mistakes = "k-3,x-3,nobody,Person,Cleo,crm\nk-1,x-9,dora@example.com,Person,Dora,crm\n"
    report = tmp_path / "report.csv"
    assert run("import", write(tmp_path, HEADER + ROWS + mistakes), "--report", report, "--json") == 5
    printed = capsys.readouterr()
    assert json.loads(printed.out)["create"] == 2
    assert json.loads(printed.out)["error"] == 2
    for words in ("not_an_email", "idempotency_key_reused", "4 rows, 2 new"):
        assert words in printed.err
    assert "Cleo" not in printed.err
    assert "dora@" not in printed.err
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_mended_report_completes_the_import(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report is imported as it is: what was stored is unchanged, what was mended is new."""
    report = tmp_path / "report.csv"
    assert run("import", write(tmp_path, HEADER + ROWS + "k-3,x-3,nobody,Person,Cleo,crm\n"), "--report", report) == 5
    text = report.read_text(encoding="utf-8-sig").replace("nobody", "cleo@example.com", 1)
    assert text.count("cleo@example.com") == 1
    capsys.readouterr()
    assert run("import", write(tmp_path, text, "mended.csv"), "--json") == 0
    result = data(capsys)
    assert (result["create"], result["unchanged"], result["error"]) == (1, 2, 0)


def test_a_conflict_with_the_ledger_is_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another job under a known key, and a known external id under another key; each with status 5."""
    assert run("import", write(tmp_path, HEADER + ROWS)) == 0
    others = "k-1,x-1,eve@example.com,Person,Eve,crm\nk-7,x-2,eve@example.com,Person,Eve,crm\n"
    file = write(tmp_path, HEADER + others)
    for words in ([], ["--dry-run"]):
        capsys.readouterr()
        assert run("import", file, "--json", *words) == 5
        printed = capsys.readouterr()
        assert json.loads(printed.out)["conflict"] == 2
        assert "It belongs to the key k-2." in in_one_line(printed.err)


def test_a_dry_run_tells_the_truth_and_writes_nothing(
    run: Run, client: redis.Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The counts are those of the import that follows, and the database is as it was."""
    assert run("import", write(tmp_path, HEADER + ROWS)) == 0
    more = ROWS + "k-4,x-4,dan@example.com,Person,Dan,crm\n" * 2 + "k-5,x-5,nobody,Person,Eve,crm\n"
    file = write(tmp_path, HEADER + more)
    before = dumped(client)
    capsys.readouterr()
    assert run("import", file, "--dry-run", "--json") == 5
    planned = data(capsys)
    assert dumped(client) == before
    assert run("import", file, "--json") == 5
    assert data(capsys) | {"seconds": 0} == planned | {"seconds": 0}
    assert (planned["create"], planned["unchanged"], planned["error"]) == (1, 3, 1)


def test_columns_are_renamed_and_jsonl_is_read(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--map leads their columns to ours; a line of JSONL is a job, and may name its lane."""
    table = write(tmp_path, "Ref;E-Mail;customer_type;Notes\nk-1;ada@example.com;Person;x\n")
    words = ("--map", "Ref=idempotency_key", "--map", "E-Mail=email", "--map", "Notes=")
    assert run("import", table, *words) == 0
    lines = write(
        tmp_path, json.dumps(a_job("k-2", lane="interactive")) + "\n" + json.dumps(a_job("k-3")), "jobs.jsonl"
    )
    assert run("import", lines) == 0
    capsys.readouterr()
    assert run("list", "--json") == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["idempotency_key"]: one["lane"] for one in listed} == {
        "k-1": "bulk",
        "k-2": "interactive",
        "k-3": "bulk",
    }


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"idempotency_key,email\nk,a@example.com\n", "lacks the columns customer_type"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" * 50, "is "),
        (b"\xd0\xcf\x11\xe0" + b"\x00" * 100, "is an old Excel workbook: save it as CSV UTF-8"),
        (b"", "is empty"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_sentence(
    run: Run, content: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and nothing is stored."""
    file = tmp_path / "customers.csv"
    file.write_bytes(content)
    assert run("import", file) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert sentence in line


# --- sign ------------------------------------------------------------------------------------------------------------


def signing(world: World) -> list[str]:
    """Bring a customer to the signatures, and give the documents that are asked for."""
    world.submit()
    world.run_until("k-1", Phase.SIGNINGS_REQUIRED)
    world.run(until=lambda: bool(world.record().signings))
    return [one.id for one in world.record().signings]


def test_consent_is_stored_sealed_and_leads_to_the_signatures(
    run: Run, world: World, client: redis.Redis, queued: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The act has no personal data; the evidence says who agreed to what and when, and opens with our key only."""
    key = new_key()
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", key)
    documents = signing(world)
    words = [word for document in documents for word in ("--document", document)]
    words += ["--signed-by", "Ada Example", "--signed-at", "2026-01-22T10:00:00Z", "--evidence", "consent-4711"]
    assert run("sign", "k-1", *words) == 0
    [act] = [json.loads(raw) for raw in client.lrange(f"{PREFIX}acts:k-1", 0, -1)]
    assert (act["act"], act["documents"], act["by"]) == ("sign", documents, "consent")
    [sealed] = client.lrange(f"{PREFIX}evidence:k-1", 0, -1)
    assert b"Ada" not in sealed
    proof = Vault([key]).open(Place("evidence", "k-1"), sealed)
    assert [one["id"] for one in proof["documents"]] == documents
    assert all(one["url"].startswith("https://") for one in proof["documents"])
    assert (proof["signed_by"], proof["signed_at"]) == ("Ada Example", "2026-01-22T10:00:00Z")
    assert proof["evidence"] == "consent-4711"
    assert queued("interactive") == 1
    assert world.run_until("k-1", Phase.ACTIVE).phase is Phase.ACTIVE
    assert world.effects()["k-1"]["signings"] == len(documents)


def test_only_what_is_asked_for_can_be_signed(
    run: Run, world: World, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another document is refused with those that are asked for, and nothing is stored; twice is once."""
    documents = signing(world)
    assert run("sign", "k-1", "--document", documents[0], "--document", "d-9", "--signed-by", "Ada") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "Not asked for: d-9." in line
    assert documents[0] in line
    assert client.llen(f"{PREFIX}acts:k-1") == 0
    assert run("sign", "k-1", "--document", documents[0], "--signed-by", "Ada") == 0
    world.pulse.run_once()
    world.run(until=lambda: any(one.consented_ms for one in world.record().signings))
    capsys.readouterr()
    assert run("sign", "k-1", "--document", documents[0], "--signed-by", "Ada") == 0
    assert "This consent is already recorded" in capsys.readouterr().err
    assert client.llen(f"{PREFIX}evidence:k-1") == 1


def test_a_customer_who_has_nothing_to_sign_is_told(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The phase stands in the sentence."""
    world.submit()
    assert run("sign", "k-1", "--document", "d-1", "--signed-by", "Ada") == 1
    assert "k-1 is in the phase received and asks for no signature" in capsys.readouterr().err
    assert run("sign", "k-9", "--document", "d-1", "--signed-by", "Ada") == 1


# --- a Redis that is not as it should be ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status k-1", "list", "summary", "submit --key k --email a@example.com", "worker"])
def test_no_redis_at_the_address(
    command: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the address, without the password; status 1."""
    with EmbeddedRedis(tmp_path / "redis") as gone:
        url = gone.url
    monkeypatch.setenv("ONBOARDING_REDIS_URL", url)
    monkeypatch.setenv("IRON_BASE_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("IRON_API_KEY", "sandbox-key")
    assert run(*command.split()) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"No Redis answers at redis://{url.rpartition('@')[2]} (Connection refused)")


def test_a_wrong_password_is_not_authorised(
    run: Run, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 4, and the password is not repeated."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", f"redis://:hunter2@127.0.0.1:{redis_server.port}/0")
    assert run("status", "k-1") == 4
    printed = capsys.readouterr().err
    assert "does not accept the user or password" in printed
    assert "hunter2" not in printed


def test_a_server_that_drops_keys_gets_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """submit, import, sign and worker refuse it with status 2; looking is allowed."""
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as owner:
        owner.config_set("maxmemory-policy", "allkeys-lru")
        monkeypatch.setenv("ONBOARDING_REDIS_URL", server.url)
        monkeypatch.setenv("ONBOARDING_BROKER_URL", server.url_for(1))
        monkeypatch.setenv("IRON_BASE_URL", "http://127.0.0.1:1/api")
        monkeypatch.setenv("IRON_API_KEY", "sandbox-key")
        file = write(tmp_path, HEADER + ROWS)
        sign = ["sign", "k", "--document", "d", "--signed-by", "Ada"]
        for words in (["submit", "--key", "k", "--email", "a@example.com"], ["import", file], sign, ["worker"]):
            assert run(*words) == 2
            [line] = capsys.readouterr().err.splitlines()
            assert "maxmemory-policy allkeys-lru" in line
        assert owner.dbsize() == 0
        assert run("summary") == 0


def test_a_queue_that_is_away_costs_a_delay_only(
    run: Run, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job is accepted and due; the sentence says that it takes some seconds longer."""
    monkeypatch.setenv("ONBOARDING_BROKER_URL", "redis://127.0.0.1:1/0")
    assert run("submit", "--key", "k-1", "--email", "ada@example.com") == 0
    assert "The queue is not reachable" in capsys.readouterr().err
    assert Ledger(client).read("k-1") is not None
    assert client.zcard(f"{PREFIX}due:interactive") == 1
    assert run("summary") == 1
    assert "ONBOARDING_BROKER_URL" in capsys.readouterr().err


def test_redis_goes_away_in_the_middle_of_an_import(tmp_path: Path) -> None:
    """One sentence, status 1; the same file again, and every row is there once."""
    from os import environ

    file = write(
        tmp_path,
        HEADER + "".join(f"k-{n},x-{n},c{n}@example.com,Person,Name {n},crm\n" for n in range(8_000)),
    )
    key = new_key()

    def start(url: str) -> subprocess.Popen[str]:
        env = {**environ, "ONBOARDING_REDIS_URL": url, "ONBOARDING_ENCRYPTION_KEYS": key}
        command = [sys.executable, "-m", "ops.cli", "import", str(file), "--json"]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as owner:
        importing = start(server.url)
        deadline = time.monotonic() + 30
        while not owner.dbsize():
            assert time.monotonic() < deadline
        server.stop()
        out, err = importing.communicate(timeout=30)
    assert (importing.returncode, out) == (1, "")
    [line] = err.splitlines()
    assert "The earlier rows are stored. Import the same file again." in line
    assert "Traceback" not in err
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as owner:
        out, err = start(server.url).communicate(timeout=60)
        result = json.loads(out)
        assert (result["create"], result["unchanged"]) == (8_000, 0)
        assert owner.hlen(f"{PREFIX}external") == 8_000
