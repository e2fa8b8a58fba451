"""The report of an import: harmless to spreadsheets, exact, and good to be imported again."""

from __future__ import annotations

import csv
import json
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.intake import IntakeError, ReportWriter, Row, RowProblem, read
from pipelines.intake.report import REPORT_COLUMNS, is_neutralised, neutralised, restored

if TYPE_CHECKING:
    from pathlib import Path


def reported(source: Path, target: Path) -> list[dict[str, str]]:
    """Write the report of a file and read it as a spreadsheet would."""
    with ReportWriter(target) as report:
        for row in read(source):
            report.write(row, "create" if row.job else "error")
    with target.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        return list(csv.DictReader(file, delimiter=";" if '";"' in header else ","))


@given(st.text(alphabet="'=+-@\t\r\n\uff1dab", max_size=6))
def test_neutralising_is_undone_exactly(cell: str) -> None:
    """No cell of a report begins like a formula, and each gives back exactly what was in it, apostrophes too."""
    safe = neutralised(cell)
    assert safe[:1] not in tuple("=+-@\t\r\n\uff1d") or not cell
    assert restored(safe) == cell
    assert is_neutralised(safe) == (safe != cell)


def test_report(tmp_path: Path) -> None:
    """The report has the original columns and cells, then line, result and what is wrong, the value masked."""
    source = tmp_path / "rows.csv"
    source.write_text(
        "Mail;idempotency_key;customer_type\nada@x;k1;Preson\na@b.cd;k2;Person\n".replace("Mail", "email")
    )
    bad, good = reported(source, tmp_path / "report.csv")
    assert list(bad) == ["email", "idempotency_key", "customer_type", *REPORT_COLUMNS]
    assert (bad["email"], bad["line"], bad["result"]) == ("ada@x", "2", "error")
    assert bad["column"] == "customer_type; email"
    assert bad["code"] == "not_one_of; not_an_email"
    assert "ada" not in bad["text"].replace("ada@example.com", "")
    assert (good["email"], good["line"], good["result"], good["code"]) == ("a@b.cd", "3", "create", "")
    assert stat.S_IMODE((tmp_path / "report.csv").stat().st_mode) == 0o600


def test_problem_found_elsewhere(tmp_path: Path) -> None:
    """Problems of the ledger stand in the report like the row's own."""
    row = Row(2, {"name": "Ada"}, None)
    with ReportWriter(tmp_path / "report.csv") as report:
        report.write(row, "conflict", (RowProblem("", "external_id_taken", "Key k1 has it."),))
    assert '"Ada","2","conflict","","external_id_taken","Key k1 has it."' in (tmp_path / "report.csv").read_text()


def test_mended_and_imported_again(tmp_path: Path) -> None:
    """A report is read again as the rows it tells of: its columns are left out, its apostrophes undone."""
    source = tmp_path / "rows.csv"
    source.write_text("idempotency_key,email,customer_type\n+49-1,nonsense,Person\n=1+2,a@b.cd,Person\n")
    bad, _ = reported(source, tmp_path / "report.csv")
    assert bad["idempotency_key"] == "'+49-1"
    mended = (tmp_path / "report.csv").read_text(encoding="utf-8-sig").replace("nonsense", "eva@example.com")
    again = tmp_path / "again.csv"
    again.write_text(mended.replace('","', '";"'))
    rows = list(read(again))
    assert [row.job.idempotency_key for row in rows if row.job] == ["+49-1", "=1+2"]
    assert list(rows[0].fields) == ["idempotency_key", "email", "customer_type", *REPORT_COLUMNS]
    (first, *_) = reported(again, tmp_path / "second.csv")
    assert first["idempotency_key"] == "'+49-1"
    assert list(first) == list(bad)


def test_report_without_its_columns_is_not_guessed(tmp_path: Path) -> None:
    """Without the report's columns, a cell with an apostrophe before a sign is refused, never taken for another key."""
    source = tmp_path / "rows.csv"
    source.write_text("idempotency_key,email,customer_type\n'+49-1,a@b.cd,Person\n'x,a@b.cd,Person\n")
    first, second = read(source)
    assert [(problem.column, problem.code) for problem in first.problems] == [("idempotency_key", "neutralised_cell")]
    assert [problem.code for problem in second.problems] == ["mangled_value"]


def test_part_of_the_columns(tmp_path: Path) -> None:
    """A file with some of the report's columns is not a report: they are unknown columns."""
    source = tmp_path / "rows.csv"
    source.write_text("idempotency_key,email,customer_type,line\nk,a@b.cd,Person,1\n")
    with pytest.raises(IntakeError, match='"line"'):
        next(read(source))


def test_report_of_jsonl(tmp_path: Path) -> None:
    """The report of JSON lines is JSON lines, each job as it came; and can be corrected and imported again."""
    source = tmp_path / "rows.jsonl"
    job = {
        "idempotency_key": "k",
        "customer": {"customer_type": "Person", "email": "a@b"},
        "labels": {"q": 'say "x", y'},
    }
    source.write_text(json.dumps(job) + "\nbroken\n")
    target = source
    for name in ("report.csv", "report.jsonl"):
        before, target = target, tmp_path / name
        with ReportWriter(target) as report:
            for row in read(before):
                report.write(row, "error")
        first, second = (json.loads(line) for line in target.read_text(encoding="utf-8").splitlines())
        assert (first["line"], first["job"], second["job"]) == (1, job, "broken")
        assert [[one["pointer"], one["code"]] for one in first["problems"]] == [["/customer/email", "not_an_email"]]
        assert [one["code"] for one in second["problems"]] == ["not_json"]
    again = tmp_path / "again.jsonl"
    again.write_text(target.read_text(encoding="utf-8").replace('"a@b"', '"a@b.cd"'))
    mended, broken = read(again)
    assert mended.job is not None
    assert mended.job.labels == {"q": 'say "x", y'}
    assert broken.problems[0].code == "not_json"


def test_reports_of_jsonl_that_are_tables(tmp_path: Path) -> None:
    """The report of JSON lines of an earlier day, a table with a column job, is read as it was."""
    job = {"idempotency_key": "k", "customer": {"customer_type": "Person", "email": "a@b.cd"}}
    old = tmp_path / "report.csv"
    with old.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["job", *REPORT_COLUMNS])
        writer.writerow([json.dumps(job), "1", "error", "/customer/email", "not_an_email", "Give one."])
        writer.writerow(["broken", "2", "error", "", "not_json", "No."])
    mended, broken = read(old)
    assert mended.job is not None
    assert mended.job.idempotency_key == "k"
    assert broken.problems[0].code == "not_json"


def test_report_of_nothing(tmp_path: Path) -> None:
    """A report without rows has its header."""
    with ReportWriter(tmp_path / "report.csv"):
        pass
    assert (tmp_path / "report.csv").read_bytes() == b'\xef\xbb\xbf"line","result","column","code","text"\r\n'
