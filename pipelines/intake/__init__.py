"""Import files: rows of CSV or lines of JSON become jobs, with every problem of every row named.

Reads one row after the other, so memory does not grow with the file. Nothing is guessed: what could be read in two ways
is refused with the way out. Contract, section 7; JSON Lines; RFC 4180.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipelines.intake import lines, table
from pipelines.intake.files import IntakeError, opened
from pipelines.intake.report import ReportWriter
from pipelines.intake.rows import Row, RowProblem
from pipelines.intake.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Format = Literal["csv", "jsonl"]


def read(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    format: Format | None = None,  # noqa: A002  # the word of the command line
    lane: Literal["interactive", "bulk"] = "bulk",
) -> Iterator[Row]:
    """Read a file of jobs, row by row.

    `mapping` renames columns, theirs to ours; an empty name leaves a column out. `format` None: by the file's name,
    else by its first sign. `lane` is that of jobs which name none.

    Raises IntakeError, at the first row or at the end, when the file itself is at fault; a row at fault is a Row with
    problems. Text that is not UTF-8 is found before the first row.
    """
    with opened(path) as file, Seen() as seen:
        if (format or _format_of(path, file.first_sign)) == "jsonl":
            rows = lines.rows(file, mapping or {}, lane, seen)
        else:
            rows = table.rows(file, mapping or {}, lane, seen)
        empty = True
        for row in rows:
            empty = False
            yield row
        file.must_be_unchanged()
        if empty:
            raise IntakeError("no_rows", f"{path} has a header and no rows: add one row for each customer.")


def _format_of(path: Path, first_sign: str) -> Format:
    by_name: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    return by_name.get(path.suffix.lower(), "jsonl" if first_sign in "{[" else "csv")


__all__ = ["IntakeError", "ReportWriter", "Row", "RowProblem", "read"]
