"""Import files: rows of CSV or lines of JSON become jobs, with every problem of every row named.

Reads one row after the other, so memory does not grow with the file. Nothing is guessed: what could be read in two ways
is refused with the way out. Contract, section 7; JSON Lines; RFC 4180.

- `columns`: the header of a table
- `files`: the file itself
- `lines`: JSON Lines
- `report`: what became of each row
- `rows`: one row
- `seen`: keys and external ids of the rows before
- `table`: CSV
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from pipelines.intake import lines, table
from pipelines.intake.files import File, IntakeError, opened
from pipelines.intake.report import Report, ReportWriter
from pipelines.intake.rows import Layout, Row, RowProblem
from pipelines.intake.seen import Seen
from pipelines.job import STRICT, JobRules, parse_job
from pipelines.keys import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipelines.identification.fields import Clock
    from pipelines.job import Judge

Format = Literal["csv", "jsonl"]
Lane = Literal["interactive", "bulk"]


@dataclass(frozen=True, slots=True)
class Source:
    """A file of jobs that is open. `digest` tells apart what can be read from it: the bytes, and how they are read."""

    digest: str
    rows: Iterator[Row]


@contextmanager
def source(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    format: Format | None = None,  # noqa: A002  # the word of the command line
    lane: Lane = "bulk",
    rules: JobRules = STRICT,
    now_ms: Clock | None = None,
) -> Iterator[Source]:
    """Open a file of jobs, to be read row by row.

    `mapping` renames columns, theirs to ours; an empty name leaves a column out. `format` None: by the file's name,
    else by its first sign. `lane` is that of jobs which name none. `rules`: what jobs may hold here. `now_ms` tells the
    time after which nothing can have happened.

    Raises IntakeError, now, at the first row or at the end, when the file itself is at fault; a row at fault is a Row
    with problems. Text in another encoding is found before the first row.
    """
    with opened(path) as file, Seen() as seen:
        kind = format or _format_of(path, file.first_sign)
        how = canonical_json([dict(mapping or {}), lane, kind])
        judge = partial(parse_job, rules=rules, now_ms=now_ms)
        yield Source(sha256(how + file.digest).hexdigest(), _rows(file, kind, mapping or {}, lane, seen, judge))


def read(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    format: Format | None = None,  # noqa: A002  # the word of the command line
    lane: Lane = "bulk",
    rules: JobRules = STRICT,
) -> Iterator[Row]:
    """Read a file of jobs from its beginning to its end; see `source`."""
    with source(path, mapping=mapping, format=format, lane=lane, rules=rules) as found:
        yield from found.rows


def _rows(file: File, kind: Format, mapping: Mapping[str, str], lane: Lane, seen: Seen, judge: Judge) -> Iterator[Row]:
    empty = True
    for row in (lines if kind == "jsonl" else table).rows(file, mapping, lane, seen, judge):
        empty = False
        yield row
    file.must_be_unchanged()
    if empty:
        raise IntakeError("no_rows", "has a header and no rows: add one row for each customer.")


def _format_of(path: Path, first_sign: str) -> Format:
    by_name: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    if first_sign in "{[":  # no header begins so, whatever the name says: a report of JSONL may be called .csv
        return "jsonl"
    return by_name.get(path.suffix.lower(), "csv")


__all__ = [
    "IntakeError",
    "Lane",
    "Layout",
    "Report",
    "ReportWriter",
    "Row",
    "RowProblem",
    "Source",
    "read",
    "source",
]
