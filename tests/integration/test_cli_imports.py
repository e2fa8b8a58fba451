"""The commands `imports ...` on a real Redis: what they print, their statuses, and what becomes of the customers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.world import Run, World

ROWS = "external_id,email,customer_type\na,ann@example.com,Person\nb,bob@example.com,Person\nc,nobody,Person\n"


@pytest.fixture
def loaded(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """An import of two customers, whose third row was refused."""
    file = tmp_path / "customers.csv"
    file.write_text(ROWS, encoding="utf-8")
    assert run("import", file) == 5
    capsys.readouterr()
    return file


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    """Read the one JSON object on standard output."""
    [line] = capsys.readouterr().out.splitlines()
    return json.loads(line)


def test_imports_lists_all(run: Run, loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, the newest first; a table for people."""
    assert run("import", loaded, "--name", "second") == 5
    capsys.readouterr()
    assert run("imports", "--json") == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["rows"], one["create"], one["error"]) for one in listed] == [
        ("second", 3, 0, 1),
        ("customers", 3, 2, 1),
    ]
    assert [one["state"] for one in listed] == ["finished", "running"]
    assert run("imports") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "customers" in printed.err
    assert "running" in printed.err


def test_show(run: Run, loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything about one, for programs and for people; an estimate before anything began comes from the budget."""
    assert run("imports", "show", "customers", "--json") == 0
    one = data(capsys)
    assert one.keys() == {
        *("name", "state", "by", "created_at", "loaded_at", "rows", "create", "unchanged", "conflict", "error"),
        *("waiting", "started", "finished", "phases", "per_minute", "expected_at", "finished_at", "halted"),
    }
    assert (one["waiting"], one["started"], one["finished"], one["phases"]) == (2, 0, 0, {"received": 2})
    assert one["expected_at"] is not None
    assert run("imports", "show", "customers") == 0
    assert "2 wait, 0 started, 0 finished" in capsys.readouterr().err
    assert run("imports", "show", "nothing") == 1
    assert "There is no import 'nothing'" in capsys.readouterr().err


def test_pause_and_resume(run: Run, world: World, loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The counts first, --yes does it, and a second time changes nothing."""
    assert run("imports", "pause", "customers") == 0
    assert "2 customers of customers who have not started would wait. Do it with --yes." in capsys.readouterr().err
    assert len(world.ledger.take({"bulk": 1}).nudges) == 1
    assert run("imports", "pause", "customers", "--yes", "--reason", "a look", "--by", "olga", "--json") == 0
    assert data(capsys)["halted"]["by"] == "olga"
    world.shift_ms += 10_000
    assert world.ledger.take({"bulk": 1}).nudges == ()
    assert run("imports", "pause", "customers", "--yes") == 0
    assert "it was already paused" in capsys.readouterr().err
    assert run("imports", "show", "customers") == 0
    assert "(a look)" in capsys.readouterr().err
    assert run("imports", "resume", "customers", "--yes", "--json") == 0
    assert data(capsys)["state"] == "running"
    assert len(world.ledger.take({"bulk": 1}).nudges) == 1


def test_cancel(run: Run, world: World, loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The counts first; then it is for good, and later commands say so."""
    assert run("imports", "cancel", "customers", "--reason", "the wrong list") == 0
    assert "2 customers of customers have not started. Cancel them with --yes." in capsys.readouterr().err
    assert run("imports", "cancel", "customers", "--reason", "the wrong list", "--yes", "--json") == 0
    assert data(capsys)["phases"] == {"cancelled": 2}
    assert world.ledger.take({"bulk": 1}).nudges == ()
    for words, sentence in (
        (("imports", "pause", "customers"), "is cancelled. There is nothing to pause"),
        (("imports", "resume", "customers"), "is cancelled for good"),
        (("import", loaded), "is cancelled: give another name"),
        (("import", loaded, "--dry-run"), "is cancelled: give another name"),
    ):
        assert run(*words) == 1
        assert sentence in capsys.readouterr().err
    assert run("imports", "cancel", "customers") == 2


def test_the_refused_rows(run: Run, loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed as CSV on standard output, for a file to mend; an import that is not there is named."""
    assert run("imports", "report", "customers") == 0
    printed = capsys.readouterr()
    assert '"c","nobody","Person","4","error","email","not_an_email"' in printed.out
    assert printed.err == ""
    assert run("imports", "report", "nothing") == 1


def test_list_by_import(run: Run, world: World, loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its customers alone, in the order of its rows; each record says where it came from."""
    world.submit("single")
    assert run("list", "--import", "customers", "--json") == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["idempotency_key"], one["import"]) for one in listed] == [("a", "customers"), ("b", "customers")]
    assert run("list", "--import", "customers", "--phase", "active", "--json") == 0
    assert capsys.readouterr().out == ""
    assert run("list", "--import", "nothing") == 1


def test_names(run: Run, loaded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another file under a name that was asked for is refused with status 2, and so is a name that cannot be."""
    other = tmp_path / "other.csv"
    other.write_text(ROWS + "d,dan@example.com,Person\n", encoding="utf-8")
    for words in ((), ("--dry-run",)):
        assert run("import", other, "--name", "customers", *words) == 2
        assert "give this one another name" in capsys.readouterr().err
        assert run("import", other, "--name", "a b", *words) == 2
        assert "letters, digits" in capsys.readouterr().err


def test_the_guide_tells_the_truth(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the guide's section about imports works as it stands there."""
    guide = (Path(__file__).parents[2] / "ops/docs/guide.md").read_text(encoding="utf-8")
    section = guide.partition("## Importing a file")[2]
    commands = [re.split(r"\s{2,}", line)[0] for line in section.split("```")[1].strip().splitlines()]
    assert len(commands) >= 4
    monkeypatch.chdir(tmp_path)
    Path("customers.csv").write_text(ROWS.replace("nobody", "cleo@example.com"), encoding="utf-8")
    for command in commands:
        assert run(*command.split()[1:]) == 0, command
