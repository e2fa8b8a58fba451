"""Loading a file: rows, batches and results, with a front door that is a function."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pipelines.intake import ReportWriter, Row, RowProblem, read
from workers.imports.loading import BATCH, SHOWN, Result, through
from workers.intake.submit import Asked, Submitted

HEADER = "idempotency_key,email,customer_type\n"


def rows(count: int) -> str:
    """So many valid rows."""
    return "".join(f"k-{number},c{number}@example.com,Person\n" for number in range(count))


def write(folder: Path, text: str) -> Path:
    """Make the file."""
    file = folder / "customers.csv"
    file.write_text(text, encoding="utf-8")
    return file


class Door:
    """Accepts what it does not know, and remembers how much came at once."""

    def __init__(self, **answers: Submitted) -> None:
        self.answers = answers
        self.batches: list[int] = []
        self.heard: list[Result] = []
        self.keys: set[str] = set()

    def __call__(self, rows: Sequence[Row]) -> Asked:
        self.batches.append(len(rows))
        keys = [row.job.idempotency_key for row in rows if row.job]
        return Asked(lambda: [self.answers.get(key) or self._taken(key) for key in keys])

    def _taken(self, key: str) -> Submitted:
        known = key in self.keys
        self.keys.add(key)
        return Submitted("unchanged" if known else "created", None)


def load(file: Path, door: Door, *, mapping: dict[str, str] | None = None, report: Path | None = None) -> Result:
    """Take a file through a door."""
    result = Result(file.stem)
    writer = ReportWriter(report) if report else None

    def told(row: Row, outcome: str, problems: tuple[RowProblem, ...]) -> None:
        if writer:
            writer.write(row, outcome, problems)

    through(read(file, mapping=mapping), door, result, told, door.heard.append)
    if writer:
        writer.close()
    return result


def test_a_file_goes_in_batches(tmp_path: Path) -> None:
    """No row is left out at the seams, and no batch is larger than the limit."""
    door = Door()
    file = write(tmp_path, HEADER + rows(2 * BATCH + 1))
    result = load(file, door)
    assert door.batches == [BATCH, BATCH, 1]
    assert len(door.heard) == 3
    assert result.as_json() | {"seconds": 0} == {
        "name": "customers",
        "rows": 2 * BATCH + 1,
        "create": 2 * BATCH + 1,
        "unchanged": 0,
        "conflict": 0,
        "error": 0,
        "seconds": 0,
    }


def test_large_rows_go_in_small_batches(tmp_path: Path) -> None:
    """Memory is bounded by characters as well: what is larger than a batch goes by itself."""
    door = Door()
    name = "x" * 90_000
    lines = (f"k-{number},c{number}@example.com,Person,{name}\n" for number in range(60))
    file = write(tmp_path, HEADER.strip() + ",name\n" + "".join(lines))
    load(file, door)
    assert len(door.heard) == 3


def test_every_kind_of_result_is_counted_and_reported(tmp_path: Path) -> None:
    """Created, unchanged, conflict and error; the report has each row in its order, with what is wrong and where."""
    door = Door(**{"k-1": Submitted("external_id_taken", None, holder="k-9")})
    door.keys.add("k-0")
    file = write(tmp_path, HEADER + rows(3) + "k-3,nobody,Person\n")
    report = tmp_path / "report.csv"
    result = load(file, door, report=report)
    assert (result.create, result.unchanged, result.conflict, result.error) == (1, 1, 1, 1)
    with report.open(encoding="utf-8-sig", newline="") as lines:
        told = [(row["line"], row["result"], row["code"]) for row in csv.DictReader(lines)]
    assert told == [
        ("2", "unchanged", ""),
        ("3", "conflict", "external_id_taken"),
        ("4", "create", ""),
        ("5", "error", "not_an_email"),
    ]
    assert "k-9" in report.read_text(encoding="utf-8-sig")


def test_a_conflict_is_told_under_the_files_own_column(tmp_path: Path) -> None:
    """Whoever mends the file finds the column that is meant, also where it was renamed."""
    door = Door(**{"k-0": Submitted("idempotency_key_reused", None)})
    file = write(tmp_path, "Reference,email,customer_type\n" + rows(1))
    result = load(file, door, mapping={"Reference": "idempotency_key"})
    assert [column for _, column, _, _ in result.refused] == ["Reference"]


def test_what_is_kept_to_be_shown_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A file of mistakes leaves a handful of lines; the counts are whole."""
    file = write(tmp_path, HEADER + "".join(f"k-{number},nobody,Person\n" for number in range(200)))
    result = load(file, Door())
    assert result.error == 200
    assert len(result.refused) == SHOWN


def test_refusals_are_conflicts_and_mistakes() -> None:
    """Rows that have no record in the end decide the exit status."""
    assert Result("x", rows=4, create=1, unchanged=1, conflict=1, error=1).refusals == 2
