"""Importing a file of jobs through the front door, batch by batch, with every refused row told.

Memory does not grow with the file. A rerun, also after a kill in the middle, finds what is stored and goes on.
Contract, section 7.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ops.cli.exits import usage
from pipelines.advance import begin
from pipelines.intake import IntakeError, ReportWriter, Row, RowProblem, read
from workers.submit import SENTENCES, Submitted

if TYPE_CHECKING:
    from pipelines.job import Job
    from pipelines.model import Record
    from workers.ledger import Ledger

#: Rows in one round trip to the ledger: a few milliseconds of its time, and little to repeat after a kill.
BATCH = 500
#: What a job with data and documents counts for in a batch: such jobs may be megabytes each.
HEAVY = 50
#: Refused rows that are kept to be shown; the report has them all.
SHOWN = 20

Lane = Literal["interactive", "bulk"]
#: Says for each job what became of it, or would.
Decide = Callable[[Sequence["Job"]], list[Submitted]]

#: What an answer of the front door is called in a result.
_RESULTS = {
    "created": "create",
    "unchanged": "unchanged",
    "idempotency_key_reused": "conflict",
    "external_id_taken": "conflict",
}


@dataclass(slots=True)
class Result:
    """What became of a file's rows, so far or in the end."""

    name: str
    rows: int = 0
    create: int = 0
    unchanged: int = 0
    conflict: int = 0
    error: int = 0
    seconds: float = 0.0
    #: The first refused rows: line, column, code, text.
    refused: list[tuple[int, str, str, str]] = field(default_factory=list)

    @property
    def refusals(self) -> int:
        """Rows that have no record in the end."""
        return self.conflict + self.error

    def as_json(self) -> dict[str, object]:
        """Give the result as the contract names it."""
        names = ("name", "rows", "create", "unchanged", "conflict", "error")
        return {name: getattr(self, name) for name in names} | {"seconds": round(self.seconds, 3)}


def import_file(
    path: Path,
    decide: Decide,
    *,
    name: str | None = None,
    lane: Lane = "bulk",
    mapping: Mapping[str, str] | None = None,
    report: Path | None = None,
    progress: Callable[[Result], None] = lambda _: None,
    each: Callable[[Row, str], None] = lambda _row, _result: None,
) -> Result:
    """Hand in every job of a file. `each` hears of every row with its result, `progress` of every batch.

    Raises CommandError when the file itself is at fault; rows before the fault may be stored by then.
    """
    result, started = Result(name or path.stem), time.monotonic()
    try:
        with _report(path, report) as writer:
            for batch in _batches(read(path, mapping=mapping, lane=lane)):
                for row, outcome, problems in _decided(batch, decide, mapping or {}):
                    _count(result, row, outcome, problems)
                    each(row, outcome)
                    if writer:
                        writer.write(row, outcome, problems)
                result.seconds = time.monotonic() - started
                progress(result)
    except IntakeError as error:
        stored = f" The {result.create + result.unchanged} rows before that are stored." if result.create else ""
        raise usage(error.text + stored) from None
    return result


def comparing(ledger: Ledger) -> Decide:
    """Compare jobs with the ledger and write nothing: what would become of them."""
    planned: set[int] = set()

    def decide(jobs: Sequence[Job]) -> list[Submitted]:
        wanted = [begin(job.canonical()) for job in jobs]
        holders = ledger.holders([record.external_id for record in wanted])
        keys = dict.fromkeys([record.key for record in wanted] + [key for key in holders if key is not None])
        known = {found.record.key: found.record for found in ledger.read_many(list(keys))}
        return [answer(record, known, holder) for record, holder in zip(wanted, holders, strict=True)]

    def answer(wanted: Record, known: Mapping[str, Record], holder: str | None) -> Submitted:
        existing = known.get(wanted.key) or (known.get(holder) if holder is not None else None)
        again = hash(wanted.key) in planned  # the same row twice: the second would change nothing
        if existing is None or (existing.adopted and existing.external_id == wanted.external_id):
            planned.add(hash(wanted.key))
            return Submitted("unchanged" if again else "created", wanted)
        if existing.key != wanted.key:
            return Submitted("external_id_taken", None, holder=existing.key)
        same = existing.fingerprint == wanted.fingerprint
        return Submitted("unchanged" if same else "idempotency_key_reused", existing)

    return decide


def _report(path: Path, report: Path | None) -> ReportWriter | nullcontext[None]:
    if report is None:
        return nullcontext()
    if report.exists() and path.exists() and report.samefile(path):
        raise usage(f"The report would overwrite {path}, which is being read: name another file with --report.")
    try:
        return ReportWriter(report)
    except OSError as error:
        raise usage(f"{report} cannot be written ({error.strerror}): name another file with --report.") from None


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    weight = 0
    for row in rows:
        batch.append(row)
        weight += 1 if row.job is None or row.job.identification.type == "Link" else HEAVY
        if weight >= BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _decided(
    batch: Sequence[Row], decide: Decide, mapping: Mapping[str, str]
) -> Iterator[tuple[Row, str, tuple[RowProblem, ...]]]:
    """Say for each row of a batch, in its order, what became of it and why."""
    jobs = [row.job for row in batch if row.job is not None]
    answers = iter(decide(jobs) if jobs else [])
    for row in batch:
        if row.job is None:
            yield row, "error", row.problems
        else:
            answer = next(answers)
            yield row, _RESULTS[answer.status], _conflict(row, answer, mapping)


def _conflict(row: Row, answer: Submitted, mapping: Mapping[str, str]) -> tuple[RowProblem, ...]:
    if answer.accepted:
        return ()
    ours = "external_id" if answer.status == "external_id_taken" else "idempotency_key"
    names = [theirs for theirs, field_ in mapping.items() if field_ == ours] + [ours, "external_id"]
    column = next((name for name in names if name in row.fields), f"/{ours}")
    text = SENTENCES[answer.status] + (f" It belongs to the key {answer.holder}." if answer.holder else "")
    return (RowProblem(column, answer.status, text),)


def _count(result: Result, row: Row, outcome: str, problems: tuple[RowProblem, ...]) -> None:
    result.rows += 1
    setattr(result, outcome, getattr(result, outcome) + 1)
    for problem in problems:
        if len(result.refused) < SHOWN:
            found = f" (found: {problem.shown_value})" if problem.shown_value else ""
            result.refused.append((row.line, problem.column, problem.code, problem.text + found))
