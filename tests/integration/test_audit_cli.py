"""`onboarding audit` on a real ledger: what it prints, writes and answers."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.world import Run, World
from workers.ledger import PREFIX
from workers.operate.audit import walk


@pytest.fixture(autouse=True)
def _no_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at the ledger."""
    monkeypatch.setattr(walk, "MOMENT_S", 0)


@pytest.fixture
def pending(world: World, capsys: pytest.CaptureFixture[str]) -> World:
    """A world with two customers who have a link to follow; one has a name in another script in her history."""
    for key in ("k-1", "k-2"):
        world.submit(key, "manual")
    world.drain()
    world.act("k-1", "read", reason="gefragt von Zoë, 山田")
    world.drain()
    capsys.readouterr()
    return world


def lines(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Read the JSON objects on standard output."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def tamper(client: redis.Redis, key: str = "k-1") -> None:
    """Change the second entry of a history."""
    name = f"{PREFIX}history:{key}"
    entry = json.loads(client.lindex(name, 1))
    client.lset(name, 1, json.dumps(entry | {"phase": "active"}))


# --- the whole ledger ------------------------------------------------------------------------------------------------


def test_check_of_a_healthy_ledger(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing found is status 0, nothing on standard output, and a sentence for people."""
    assert run("audit", "--check") == 0
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "2 records and all indexes: nothing is wrong.\n")
    assert run("audit", "--check", "--json") == 0
    assert capsys.readouterr() == ("", "")


def test_check_names_and_mends(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What is found is one object each and status 5; what was mended is status 0, and stays mended."""
    pending.client.zrem(f"{PREFIX}due:interactive", "k-1")
    assert run("audit", "--check", "--json") == 5
    [found] = lines(capsys)
    assert (found["code"], found["key"], found["mended"], found["can_be_mended"]) == ("due_missing", "k-1", False, True)
    assert run("audit", "--check") == 5
    told = capsys.readouterr().err
    assert "due_missing  k-1  An unfinished record has no due time" in told
    assert "1 findings, 1 of them to repair; `--mend` repairs what is safe to repair." in told
    assert run("audit", "--check", "--mend", "--json") == 0
    assert [one["mended"] for one in lines(capsys)] == [True]
    assert run("audit", "--check") == 0


def test_check_says_when_not_all_is_mended(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What only people can put right keeps the status at 5."""
    pending.client.zrem(f"{PREFIX}due:interactive", "k-1")
    tamper(pending.client, "k-2")
    assert run("audit", "--check", "--mend") == 5
    told = capsys.readouterr().err
    assert "Repaired." in told
    assert "2 findings, 1 of them to repair." in told


def test_information_is_no_fault(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of a newer release is mentioned, and the status is 0."""
    name = f"{PREFIX}record:k-1"
    pending.client.set(name, b"9" + pending.client.get(name)[1:])
    assert run("audit", "--check", "--json") == 0
    assert [(one["code"], one["information"]) for one in lines(capsys)] == [("format_newer", True)]


def test_verify_counts(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Every entry of every history is checked, and their number is told."""
    entries = sum(pending.client.llen(f"{PREFIX}history:{key}") for key in ("k-1", "k-2"))
    assert run("audit", "--verify") == 0
    assert capsys.readouterr().err == f"{entries} entries of 2 records: every digest is right.\n"
    assert run("audit", "--verify", "--json") == 0
    assert lines(capsys) == [{"entries": entries, "records": 2, "broken": []}]


def test_verify_names_what_is_broken(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed entry, a shortened history and one without a record are named; other faults are not its business."""
    tamper(pending.client)
    pending.client.rpop(f"{PREFIX}history:k-2")
    pending.client.rpush(f"{PREFIX}history:lost", "{}")
    pending.client.zrem(f"{PREFIX}due:interactive", "k-1")
    assert run("audit", "--verify", "--json") == 5
    [found] = lines(capsys)
    broken = {(one["key"], one["code"]) for one in found["broken"]}
    assert broken == {("k-1", "history_broken"), ("k-2", "history_head"), ("lost", "history_broken")}
    assert run("audit", "--verify") == 5
    assert "history_broken  k-1  The digests of the history do not follow" in capsys.readouterr().err


# --- one onboarding --------------------------------------------------------------------------------------------------


def test_one_history(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The history of one onboarding is shown with its digests checked."""
    assert run("audit", "k-1") == 0
    told = capsys.readouterr().err
    assert "create_identification" in told
    assert "All 4 entries follow from each other, up to the digest that the record holds." in told
    assert run("audit", "k-1", "--json") == 0
    assert [(one["phase"], one["intact"]) for one in lines(capsys)][:2] == [
        ("received", True),
        ("customer_created", True),
    ]


def test_one_broken_history(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry that was changed shows, and the status is 5."""
    tamper(pending.client)
    assert run("audit", "k-1") == 5
    told = capsys.readouterr().err
    assert "BROKEN" in told
    assert "The digest of entry 2 does not follow" in told
    pending.client.rpop(f"{PREFIX}history:k-2")
    assert run("audit", "k-2") == 5
    assert "The record holds another last digest" in capsys.readouterr().err


def test_unknown_key(run: Run, pending: World, capsys: pytest.CaptureFixture[str]) -> None:
    """An onboarding that is not there is a sentence and status 1."""
    assert run("audit", "k-9") == 1
    assert "There is no customer with the key 'k-9'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [(), ("k-1", "--check"), ("--check", "--verify"), ("k-1", "--mend"), ("--check", "--export", "x")]
)
def test_wrong_usage(run: Run, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Words that do not go together are status 2."""
    assert run("audit", *words) == 2
    assert capsys.readouterr().out == ""


# --- the export ------------------------------------------------------------------------------------------------------


def test_export(run: Run, pending: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three private files without link, name or e-mail; what is there already is not overwritten."""
    folder = tmp_path / "proofs" / "k-1"
    link = pending.record("k-1").link
    assert link
    assert run("audit", "k-1", "--export", folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["history.jsonl", "proof.txt", "record.json"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    text = "".join(path.read_text() for path in folder.iterdir())
    assert not [word for word in (link, "Ada Example", "@example.com") if word in text]
    record = json.loads((folder / "record.json").read_text())
    assert (record["idempotency_key"], record["phase"]) == ("k-1", "identification_pending")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run("audit", "k-1", "--export", folder) == 2
    assert "exists already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_proof_with_sha256_alone(run: Run, pending: World, tmp_path: Path) -> None:
    """Somebody who knows nothing but the text of the proof comes to the same digests."""
    run("audit", "k-1", "--export", tmp_path)
    previous = ""
    for line in (tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        digest = entry.pop("digest")
        array = json.dumps([previous, entry], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert base64.urlsafe_b64encode(hashlib.sha256(array).digest()[:16]).decode() == f"{digest}=="
        previous = digest
    assert f"head     {previous}\n" in (tmp_path / "proof.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", ["nothing", "a note", "a line less"])
def test_proof_by_its_own_commands(run: Run, pending: World, tmp_path: Path, change: str) -> None:
    """The commands in proof.txt are silent about what was exported, and speak when it was changed."""
    run("audit", "k-1", "--export", tmp_path)
    history = tmp_path / "history.jsonl"
    stored = history.read_text(encoding="utf-8")
    if change == "a note":
        history.write_text(stored.replace("山田", "Smith"), encoding="utf-8")
    elif change == "a line less":
        history.write_text("".join(stored.splitlines(keepends=True)[:-1]), encoding="utf-8")
    proof = (tmp_path / "proof.txt").read_text(encoding="utf-8")
    commands = "\n".join(line[4:] for line in proof.splitlines() if line.startswith("    "))
    done = subprocess.run(["sh", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert bool(done.stdout) == (change != "nothing")
