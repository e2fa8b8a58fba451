"""CSV (RFC 4180, also with semicolons and tabs): each row is a job with a link.

A row that cannot be read is told and passed over; the next one is read again.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

from pipelines.identification import TYPES
from pipelines.intake.columns import HEADER_CHARACTERS, LABEL, Header, header_of
from pipelines.intake.files import File, Lines, LineTooLongError, foreign, readable
from pipelines.intake.lines import FOREIGN, job_row
from pipelines.intake.report import is_neutralised, restored
from pipelines.intake.rows import Row, RowProblem, shown
from pipelines.job import JobInvalidError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelines.intake.seen import Seen
    from pipelines.job import Judge

#: Characters of one line. A cell is limited further by Python's csv module, to 131,072 characters.
MAX_LINE: Final = 1 << 20

#: Where a job's field stands in a table.
_POINTERS: Final = {
    "/idempotency_key": "idempotency_key",
    "/external_id": "external_id",
    "/customer/email": "email",
    "/customer/customer_type": "customer_type",
    "/customer/name": "name",
    "/identification/type": "identification_type",
    "/identification/with_edd": "with_edd",
    "/risk_tier": "risk_tier",
    "/sub_partner_id": "sub_partner_id",
}

_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def rows(file: File, mapping: Mapping[str, str], lane: str, seen: Seen, judge: Judge) -> Iterator[Row]:
    """Read the rows of a file as jobs; rows of empty cells are passed over.

    Raises IntakeError for what is wrong with the header.
    """
    header = header_of(file.text.read(HEADER_CHARACTERS), mapping)
    file.text.seek(0)
    lines = Lines(file, MAX_LINE)
    for _ in range(header.lines_before):
        next(lines)
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    next(row for row in reader if row)
    while True:
        line = lines.count + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _unreadable(header, line, *_told(error, line, lines.count))
            continue
        except LineTooLongError:
            yield _unreadable(header, line, "line_too_long", f"The line is longer than {MAX_LINE} characters.")
            continue
        if "".join(cells).strip():
            yield seen.check(_row(header, line, cells, lane, judge))


def _told(error: csv.Error, first: int, last: int) -> tuple[str, str]:
    where = f"Line {first}" if first == last else f"Lines {first} to {last}"
    swallowed = last - first
    also = f"; the row swallowed {swallowed:,} more {'line' if swallowed == 1 else 'lines'}" if swallowed else ""
    if "field larger than field limit" in str(error):
        text = "a cell is longer than 131072 characters, perhaps after a quotation mark that is not closed"
        return "cell_too_long", f"{where}: {text}{also}."
    if "unexpected end" in str(error):
        return "quote_not_closed", f"{where}: a quotation mark is opened and not closed{also}. Close it."
    text = "a quotation mark stands inside a cell"
    return "unreadable_row", f"{where}: {text}{also}. Double it, and quote the whole cell."


def _unreadable(header: Header, line: int, code: str, text: str) -> Row:
    empty = dict.fromkeys(header.columns, "")
    return Row(line, empty, None, (RowProblem("", code, text),), layout=header.layout)


def _row(header: Header, line: int, cells: list[str], lane: str, judge: Judge) -> Row:
    """Read a row. Cells that are missing at its end are empty, and empty ones beyond the header are no cells."""
    surplus: tuple[str, ...] = ()
    if len(cells) != len(header.columns):
        wanted = len(header.columns)
        surplus = tuple(cells[wanted:]) if "".join(cells[wanted:]).strip() else ()
        cells = cells[:wanted] + [""] * (wanted - len(cells))
    size = sum(map(len, cells))
    if problems := _unfit(header, cells, surplus):
        fields = dict(zip(header.columns, map(readable, cells), strict=True))
        return Row(line, fields, None, tuple(problems), size=size, surplus=surplus, layout=header.layout)
    problems = []
    if header.is_report:
        cells = [restored(cell) for cell in cells]
    elif any(cell[:1] == "'" for cell in cells):
        problems = [
            _apostrophe(column) for column, cell in zip(header.columns, cells, strict=True) if is_neutralised(cell)
        ]
    fields = dict(zip(header.columns, cells, strict=True))
    values = {field: cell.strip() for field, cell in zip(header.fields, cells, strict=True) if field}
    if "job" in values:
        return job_row(values["job"], line, fields, lane, judge, header.layout)
    try:
        job = judge(_job(values, lane))
    except JobInvalidError as error:
        told = [_row_problem(header, values, problem) for problem in _for_tables(error.problems, values)]
        # What is told of an apostrophe is the reason of what else is told of its cell.
        problems += [one for one in told if one.column not in {problem.column for problem in problems}]
    if problems:
        return Row(line, fields, None, tuple(problems), size=size, layout=header.layout)
    return Row(line, fields, job, size=size, layout=header.layout)


def _unfit(header: Header, cells: list[str], surplus: tuple[str, ...]) -> list[RowProblem]:
    """Say what keeps a row from being looked at: cells beyond the header's, and bytes that are no text."""
    problems = []
    if surplus:
        count, wanted = len(cells) + len(surplus), len(header.columns)
        text = f"The row has {count} cells, more than the header's {wanted}: correct it in the file itself."
        problems.append(RowProblem("", "wrong_number_of_cells", text))
    for column, cell in zip(header.columns, cells, strict=True):
        if code := foreign(cell):
            problems.append(RowProblem(column, code, FOREIGN[code]))
    if code := foreign("".join(surplus)):
        problems.append(RowProblem("", code, FOREIGN[code]))
    return problems


def _apostrophe(column: str) -> RowProblem:
    text = "The cell begins as in an import's report: keep all the report's columns, or take the apostrophe away."
    return RowProblem(column, "neutralised_cell", text)


def _job(values: Mapping[str, str], lane: str) -> dict[str, Any]:
    """Put a row's values where a job has them. An empty cell is an absent field."""
    given = {field: value for field, value in values.items() if value}
    key = given.get("idempotency_key") or given.get("external_id")
    job: dict[str, Any] = {"lane": lane, "customer": _some(given, "email", "customer_type", "name")}
    job |= _some(given, "external_id", "risk_tier", "sub_partner_id")
    if key:
        job["idempotency_key"] = key
    identification: dict[str, Any] = {"type": given.get("identification_type", "Link")}
    if "with_edd" in given:
        identification["with_edd"] = _BOOLEANS.get(given["with_edd"].lower(), given["with_edd"])
    job["identification"] = identification
    labels = {field[len(LABEL) :]: value for field, value in given.items() if field.startswith(LABEL)}
    if labels:
        job["labels"] = labels
    return job


def _some(given: Mapping[str, str], *fields: str) -> dict[str, Any]:
    return {field: given[field] for field in fields if field in given}


def _for_tables(problems: tuple[Problem, ...], values: Mapping[str, str]) -> tuple[Problem, ...]:
    """Say once, instead of for each of its fields, that a type with data does not fit into a table."""
    kind = values.get("identification_type", "")
    if kind in TYPES and kind != "Link":
        others = [problem for problem in problems if not problem.pointer.startswith("/identification/")]
        text = f"The type {kind} needs fields that a table does not have: import it as JSONL."
        return (*others, Problem("/identification/type", "type_needs_jsonl", text))
    return problems


def _row_problem(header: Header, values: Mapping[str, str], problem: Problem) -> RowProblem:
    field = _label(header, problem.pointer) or _POINTERS.get(problem.pointer, problem.pointer)
    text = "Give true or false." if field == "with_edd" and problem.code == "not_a_boolean" else problem.text
    if field == "idempotency_key" and "idempotency_key" not in header.fields:
        field = "external_id"
    return RowProblem(header.layout.column_of(field), problem.code, text, shown(field, values.get(field)))


def _label(header: Header, pointer: str) -> str:
    """Return the field of a problem with a label, `label.*` when its name stands masked in the pointer."""
    if not pointer.startswith("/labels"):
        return ""
    name = LABEL + pointer[len("/labels/") :]
    return name if name in header.fields else f"{LABEL}*"
