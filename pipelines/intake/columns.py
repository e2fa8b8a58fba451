"""The header of a table: which sign divides its cells, and which column is which field of a job."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipelines.intake.files import IntakeError, foreign
from pipelines.intake.report import REPORT_COLUMNS, restored
from pipelines.intake.rows import Layout
from pipelines.keys import composed

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Characters in which the header must end.
HEADER_CHARACTERS: Final = 1 << 16

#: Our names of columns, beside `label.*`. The last one holds a whole job as JSON, as in the report of a JSONL import.
COLUMNS: Final = (
    "idempotency_key",
    "external_id",
    "email",
    "customer_type",
    "name",
    "identification_type",
    "with_edd",
    "risk_tier",
    "sub_partner_id",
    "job",
)
LABEL: Final = "label."

#: Columns that one sentence names.
MOST_SHOWN: Final = 10

_NAMES: Final = (
    "idempotency_key, external_id, email, customer_type, name, identification_type, with_edd, risk_tier, label.*"
)


@dataclass(frozen=True, slots=True)
class Header:
    """How to read the rows. `fields` has our name for each column, None for one that is left out."""

    delimiter: str
    lines_before: int
    columns: tuple[str, ...]
    fields: tuple[str | None, ...]
    is_report: bool
    layout: Layout


def header_of(head: str, mapping: Mapping[str, str]) -> Header:
    """Read the header from the beginning of the file.

    Raises IntakeError naming every column that is unknown, doubled or missing, and the way out.
    """
    lines_before, told = _told_by_spreadsheet(head)
    start = "".join(head.splitlines(keepends=True)[lines_before:]) if lines_before else head
    candidates = [(sign, _cells(start, sign)) for sign in ((told,) if told else (",", ";", "\t"))]
    renamed = {theirs.strip().lower(): ours.strip() for theirs, ours in mapping.items()}
    # The sign that makes the most known names out of the line; else the one that makes the most cells of it.
    delimiter, cells = max(candidates, key=lambda found: (_known(found[1], renamed), len(found[1])))
    if any(map(foreign, cells)):
        raise IntakeError("not_utf8", "has a header that is not text in UTF-8: save it as CSV UTF-8.")
    columns = tuple(cells)
    is_report = set(REPORT_COLUMNS) <= set(columns)
    if is_report:
        columns = tuple(restored(column) for column in columns)
    _check_mapping(renamed, columns)
    fields = tuple(_field(column, renamed, is_report=is_report) for column in columns)
    _check_unknown(columns, fields, one_line="\n" not in head and "\r" not in head)
    _check_doubled(columns, fields)
    _check_missing(fields)
    layout = Layout("csv", delimiter, {field: column for column, field in zip(columns, fields, strict=True) if field})
    return Header(delimiter, lines_before, columns, tuple(field or None for field in fields), is_report, layout)


def _told_by_spreadsheet(head: str) -> tuple[int, str]:
    """Recognise Excel's own first line, `sep=;`."""
    found = re.match(r'"?sep=([,;\t])"?\r?\n', head)
    return (1, found[1]) if found else (0, "")


def _cells(head: str, delimiter: str) -> list[str]:
    try:
        rows = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, strict=True)
        return [composed(cell.strip()) for cell in next((row for row in rows if row), [])]
    except csv.Error:
        return []


def _known(cells: list[str], renamed: Mapping[str, str]) -> int:
    names = (restored(cell).lower() for cell in cells)
    return sum(name in renamed or name in COLUMNS or name in REPORT_COLUMNS or name.startswith(LABEL) for name in names)


def _field(column: str, renamed: Mapping[str, str], *, is_report: bool) -> str:
    """Return our name for a column, empty for one that is left out, `?` for an unknown one."""
    name = renamed.get(column.lower(), column)
    if name == "" or (is_report and column in REPORT_COLUMNS):
        return ""
    if name.lower().startswith(LABEL) and len(name) > len(LABEL):
        return LABEL + name[len(LABEL) :]
    return name.lower() if name.lower() in COLUMNS else "?"


def _check_mapping(renamed: Mapping[str, str], columns: tuple[str, ...]) -> None:
    present = {column.lower() for column in columns}
    for theirs, ours in renamed.items():
        if theirs not in present:
            raise IntakeError("map_unknown_column", f"has no column {_quoted([theirs])}, which --map names.")
        if ours and ours.lower() not in COLUMNS and not ours.lower().startswith(LABEL):
            text = f"has a column that --map calls {_quoted([ours])}: its name must be one of {_NAMES}."
            raise IntakeError("map_unknown_field", text)


def _check_unknown(columns: tuple[str, ...], fields: tuple[str, ...], *, one_line: bool) -> None:
    unknown = [column for column, field in zip(columns, fields, strict=True) if field == "?"]
    if unknown and one_line:  # what stands in it may be anybody: nothing of it is named
        raise IntakeError(
            "one_line",
            "is one line, so its line breaks were lost on the way:",
            remedy="send it as it is, with curl by --data-binary instead of -d.",
            options="write it again with a line for the header and one for each customer.",
        )
    if unknown and len(unknown) == len(columns):
        raise IntakeError(
            "no_header", "has no header: its first line must name the columns, as in email,customer_type."
        )
    if unknown:
        raise IntakeError(
            "unknown_column",
            f"has columns that are not known: {_quoted(unknown)};",
            remedy=f"give each a known name ({_NAMES}), or take it out.",
            options=f"rename each with --map theirs=ours (ours: {_NAMES}), or leave it out with --map theirs=",
        )


def _check_doubled(columns: tuple[str, ...], fields: tuple[str, ...]) -> None:
    for field in fields:
        if field and fields.count(field) > 1:
            same = [column for column, other in zip(columns, fields, strict=True) if other == field]
            raise IntakeError(
                "doubled_column",
                f"has more than one column for {field}: {_quoted(same)};",
                remedy="keep one.",
                options="keep one, or leave one out with --map theirs=",
            )


def _check_missing(fields: tuple[str, ...]) -> None:
    if "job" in fields:
        if set(fields) - {"job", ""}:
            raise IntakeError("doubled_column", "has a column job and others beside it: keep the one or the others.")
        return
    missing = [field for field in ("email", "customer_type") if field not in fields]
    if "idempotency_key" not in fields and "external_id" not in fields:
        missing.insert(0, "idempotency_key (or external_id)")
    if missing:
        raise IntakeError(
            "missing_column",
            f"lacks the columns {', '.join(missing)}:",
            remedy="add them.",
            options="add them, or say which they are with --map theirs=ours",
        )


def _quoted(names: list[str]) -> str:
    """Name columns in a sentence; a file without a header must not put a customer into it."""
    shown = [
        name if re.fullmatch(r"[^\W]([\w .\-]{0,38}[\w.])?", name) else f"column of {len(name)} signs" for name in names
    ]
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""  # as many as a line holds
    return ", ".join(f'"{name}"' for name in shown[:MOST_SHOWN]) + more
