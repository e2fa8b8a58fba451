"""The report of an import: the original columns, and beside them what became of each row.

A report can be mended and imported again. Spreadsheets run cells that begin like a formula, so such a cell gets an
apostrophe in front; one that begins with apostrophes before such a sign gets one more, so that taking one away always
gives the original back. It is taken away only from a file that has all the report's own columns; in any other file such
a cell is refused.
"""

from __future__ import annotations

import csv
import json
import os
import re
import stat
from typing import IO, TYPE_CHECKING, Any, Final, Self

from pipelines import strict_json
from pipelines.intake.files import readable
from pipelines.intake.rows import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from pipelines.intake.rows import Layout, Row, RowProblem

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
    """The report, written row by row to any text file: in the form, columns and delimiter of the first row.

    A row takes one line, also with several problems: they stand in it together, so that a mended report holds each
    customer once. A table has the report's own columns after the original ones, and cells beyond the header at the end.
    Of JSON Lines each line is an object: line, result, problems, and the job as it came, as text where it is no job.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._form = ""
        self._columns: list[str] = []
        self._writer: Any = None

    @property
    def begun(self) -> bool:
        """Whether anything is written."""
        return bool(self._form)

    def write(self, row: Row, result: str, problems: tuple[RowProblem, ...] | None = None) -> None:
        """Write one row with its result (`create`, `unchanged`, `conflict`, `error`) and its problems.

        `problems` are those found elsewhere, at the ledger; without them the row's own.
        """
        if not self.begun:
            self._begin(row.fields, row.layout)
        found = row.problems if problems is None else problems
        if self._form == "jsonl":
            self._file.write(_line(row, result, found))
            return
        cells = [row.fields.get(column, "") for column in self._columns]
        cells += [str(row.line), result, *_told(found), *map(readable, row.surplus)]
        self._writer.writerow(neutralised(cell) for cell in cells)

    def end(self) -> None:
        """Write the header of a report without rows."""
        if not self.begun:
            self._begin((), PLAIN)

    def _begin(self, columns: Iterable[str], layout: Layout) -> None:
        self._form = layout.form
        if layout.form == "csv":
            self._columns = [column for column in columns if column not in REPORT_COLUMNS]
            self._writer = csv.writer(self._file, quoting=csv.QUOTE_ALL, delimiter=layout.delimiter)
            self._writer.writerow(neutralised(cell) for cell in (*self._columns, *REPORT_COLUMNS))


class ReportWriter(Report):
    """A report in a file of its own, for its owner's eyes; a table with a byte order mark, as spreadsheets want it.

    What stood in the file before stays until the first row is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._text = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="")
        super().__init__(self._text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self.begun:
            self.close()
            return
        self._text.close()  # the file was refused as a whole: there is nothing to report, and no trace is left
        if self._is_new:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; a report without rows has its header all the same."""
        self.end()
        self._text.close()

    def _begin(self, columns: Iterable[str], layout: Layout) -> None:
        if stat.S_ISREG(os.fstat(self._text.fileno()).st_mode):
            self._text.truncate(0)
        if layout.form == "csv":
            self._text.write("\ufeff")
        super()._begin(columns, layout)


def _line(row: Row, result: str, problems: Iterable[RowProblem]) -> str:
    """Write a row of JSON Lines: the job as it stood there, or as a text where it is none that can be read."""
    told = [{"pointer": one.column, "code": one.code, "text": _sentence(one)} for one in problems]
    head = json.dumps({"line": row.line, "result": result, "problems": told}, ensure_ascii=False)
    return f'{head[:-1]}, "job": {_job(row.fields.get("job", ""))}}}\n'


def _job(text: str) -> str:
    try:
        is_object = isinstance(strict_json.parse(text), dict)
    except strict_json.StrictJsonError:
        is_object = False
    return text if is_object else json.dumps(text, ensure_ascii=False)


def _told(problems: tuple[RowProblem, ...]) -> tuple[str, str, str]:
    """Put the problems of a row into its three cells; with several, each sentence names its column."""
    columns = "; ".join(dict.fromkeys(problem.column for problem in problems))
    codes = "; ".join(dict.fromkeys(problem.code for problem in problems))
    if len(problems) == 1:
        return columns, codes, _sentence(problems[0])
    return columns, codes, " ".join(f"{problem.column or 'row'}: {_sentence(problem)}" for problem in problems)


def _sentence(problem: RowProblem) -> str:
    return f"{problem.text} (found: {problem.shown_value})" if problem.shown_value else problem.text
