"""One row of an import file: the job in it, or what is wrong with it and where.

What a problem shows of the value never tells who the customer is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.job import Job

#: Characters of a value that are shown: enough to find a slip of the pen, too few for a document.
SHOWN = 40

#: Values that are shown as they are: words and identifiers.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/\-]{1,40}")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong with a row.

    `column` is the file's own name for it (JSONL: a JSON pointer; empty: the whole row). `code` is stable, `text` says
    what to do. `shown_value` is masked where it may be personal, and empty where nothing may be shown.
    """

    column: str
    code: str
    text: str
    shown_value: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a file are written. `columns` has the file's own name for each of our fields, empty for JSONL."""

    form: Literal["csv", "jsonl"] = "csv"
    delimiter: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)

    def column_of(self, name: str) -> str:
        """Return the file's own name for one of our fields; a JSON pointer where a job stands whole.

        A file without idempotency keys has its external ids for them.
        """
        if self.form == "jsonl" or "job" in self.columns:
            return f"/{name}"
        if name == "idempotency_key" and name not in self.columns:
            name = "external_id"
        return self.columns.get(name, name)


#: That of a table with commas.
PLAIN: Final = Layout()


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Either `job` is there, or `problems` is not empty.

    `line` is where the row begins, as an editor counts, the first line being 1. `fields` holds the original columns and
    cells for the report (JSONL: the line itself as `job`); the cells are empty when the row could not be taken apart.
    """

    line: int
    fields: Mapping[str, str] = field(repr=False)
    job: Job | None
    problems: tuple[RowProblem, ...] = ()
    #: The job as its model writes it, and its fingerprint.
    canonical: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fingerprint: str = ""
    #: An earlier row is the same job.
    again: bool = False
    #: Characters of the row.
    size: int = 0
    #: Cells beyond the header's, where any of them holds something.
    surplus: tuple[str, ...] = field(default=(), repr=False)
    layout: Layout = field(default=PLAIN, repr=False)


def shown(name: str, value: object) -> str:
    """Return what may be shown of a value. `name` is our own name for the field."""
    if not isinstance(value, str) or name == "name":
        return ""
    if value and ("@" in value or name == "email"):
        return _masked_email(value)
    if _PLAIN.fullmatch(value):
        return value
    return f"{len(value)} characters" if value else ""


def _masked_email(value: str) -> str:
    """Keep the first letters and the ending: `ada@example.com` becomes `a***@e***.com`."""
    local, at, domain = value.rpartition("@")
    _, dot, ending = domain.rpartition(".")
    if not at or not dot or not re.fullmatch(r"[A-Za-z]{2,10}", ending):
        return "***"
    return f"{_first(local)}***@{_first(domain)}***.{ending}"


def _first(text: str) -> str:
    return text[0] if text[:1].isalnum() else ""
