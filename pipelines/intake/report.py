"""The report of an import: the original columns, and beside them what became of each row.

A report can be mended and imported again. Spreadsheets run cells that begin like a formula, so such a cell gets an
apostrophe in front; one that begins with apostrophes before such a sign gets one more, so that taking one away always
gives the original back. It is taken away only from a file that has all the report's own columns; in any other file such
a cell is refused.
"""

from __future__ import annotations

import csv
import os
import re
from typing import IO, TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from pipelines.intake.rows import Row, RowProblem

#: The report's own columns, after the original ones. A file that has them all is a report.
REPORT_COLUMNS: Final = ("line", "result", "column", "code", "text")

_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NEUTRALISED: Final = re.compile("'+[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def neutralised(cell: str) -> str:
    """Make a cell harmless to spreadsheets; `restored` is the exact inverse."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """Give back what `neutralised` was given."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def is_neutralised(cell: str) -> bool:
    """Say whether a cell begins as `neutralised` writes it."""
    return cell[:1] == "'" and _NEUTRALISED.match(cell) is not None


class Report:
    """The report as CSV, written row by row to any text file. The columns are those of the first row.

    A row takes one line, also with several problems: they stand in it together, so that a mended report holds each
    customer once.
    """

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        self._columns: list[str] | None = None

    def write(self, row: Row, result: str, problems: tuple[RowProblem, ...] | None = None) -> None:
        """Write one row with its result (`create`, `unchanged`, `conflict`, `error`) and its problems.

        `problems` are those found elsewhere, at the ledger; without them the row's own.
        """
        columns = self._columns if self._columns is not None else self._begin(row.fields)
        cells = [row.fields.get(column, "") for column in columns]
        own = (str(row.line), result, *_told(row.problems if problems is None else problems))
        self._writer.writerow(neutralised(cell) for cell in (*cells, *own))

    def end(self) -> None:
        """Write the header of a report without rows."""
        if self._columns is None:
            self._begin(())

    def _begin(self, columns: Iterable[str]) -> list[str]:
        self._columns = [column for column in columns if column not in REPORT_COLUMNS]
        self._writer.writerow(neutralised(cell) for cell in (*self._columns, *REPORT_COLUMNS))
        return self._columns


class ReportWriter(Report):
    """A report in a file of its own (UTF-8 with a byte order mark, as spreadsheets want it), for its owner's eyes."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8-sig", errors="backslashreplace", newline="")
        super().__init__(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a report without rows has its header all the same."""
        self.end()
        self._file.close()


def _told(problems: tuple[RowProblem, ...]) -> tuple[str, str, str]:
    """Put the problems of a row into its three cells; with several, each sentence names its column."""
    columns = "; ".join(dict.fromkeys(problem.column for problem in problems))
    codes = "; ".join(dict.fromkeys(problem.code for problem in problems))
    if len(problems) == 1:
        return columns, codes, _sentence(problems[0])
    return columns, codes, " ".join(f"{problem.column or 'row'}: {_sentence(problem)}" for problem in problems)


def _sentence(problem: RowProblem) -> str:
    return f"{problem.text} (found: {problem.shown_value})" if problem.shown_value else problem.text
