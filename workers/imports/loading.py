"""Loading a file of jobs: rows in batches, what becomes of each, the counts, and the refused rows kept for a report.

Memory does not grow with the file. Who decides what becomes of a row is a function: the front door, or a comparison
with the ledger that writes nothing.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.begin import begin
from pipelines.intake import IntakeError, Report, Row, RowProblem
from pipelines.model import Record
from pipelines.retention import INPUT_KEPT_MS
from workers.intake.submit import Asked, Submitted, same_job
from workers.ledger import Ledger, Lists
from workers.ledger.import_store import ImportStore
from workers.secrets.vault import Place, Vault

#: Rows in one round trip to the ledger: a few milliseconds of its time, and little to repeat after a kill.
BATCH = 500
#: Characters of the rows of a batch, up to one more row: jobs with documents may be megabytes each.
BATCH_CHARACTERS = 1 << 21
#: Refused rows that are kept to be shown; the report has them all.
SHOWN = 20
#: Refused rows that the ledger keeps for the report of an import: more than anybody mends by hand.
REPORTED = 10_000
#: Characters of the kept report that are sealed together.
SEALED_AT_ONCE = 1 << 20

#: What is counted, as the contract names it.
COUNTS = ("rows", "create", "unchanged", "conflict", "error")
#: Begins to find out what becomes of each row with a job, or would.
Decide = Callable[[Sequence[Row]], Asked]
#: Hears of a row, its result, and what is wrong with it.
Told = Callable[[Row, str, tuple[RowProblem, ...]], None]

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

    def counts(self) -> dict[str, int]:
        """Give the counts by name."""
        return {name: getattr(self, name) for name in COUNTS}

    def as_json(self) -> dict[str, object]:
        """Give the result as the contract names it."""
        return {"name": self.name, **self.counts(), "seconds": round(self.seconds, 3)}

    def add(self, row: Row, outcome: str, problems: tuple[RowProblem, ...]) -> None:
        """Count a row, and keep what is wrong with it while there is room."""
        self.rows += 1
        setattr(self, outcome, getattr(self, outcome) + 1)
        for problem in problems[: SHOWN - len(self.refused)]:
            found = f" (found: {problem.shown_value})" if problem.shown_value else ""
            self.refused.append((row.line, problem.column, problem.code, problem.text + found))


def through(
    rows: Iterator[Row],
    decide: Decide,
    result: Result,
    told: Told,
    progress: Callable[[Result], None],
) -> None:
    """Take rows through `decide` in batches, and count and tell each."""
    started = time.monotonic()
    for batch, answers in _ahead(_batches(rows), decide):
        for row, outcome, problems in _outcomes(batch, answers):
            result.add(row, outcome, problems)
            told(row, outcome, problems)
        result.seconds = time.monotonic() - started
        progress(result)


def _ahead(batches: Iterator[list[Row]], decide: Decide) -> Iterator[tuple[list[Row], list[Submitted]]]:
    """Give each batch with what became of its rows; the next one is read while the ledger works on this one."""
    asked: tuple[list[Row], Asked] | None = None
    fault: IntakeError | None = None
    try:
        while True:
            try:
                batch = next(batches, None)
            except IntakeError as error:  # what was read before it is stored, and told first
                fault, batch = error, None
            if asked:
                (before, handed_in), asked = asked, None
                yield before, handed_in.answers()
            if batch is None:
                break
            asked = batch, decide([row for row in batch if row.job is not None])
    finally:
        if asked:  # reading broke off: what was handed in stays, and the next reading of the file finds it
            asked[1].abandon()
    if fault:
        raise fault


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) == BATCH or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _outcomes(batch: Sequence[Row], answers: Iterable[Submitted]) -> Iterator[tuple[Row, str, tuple[RowProblem, ...]]]:
    """Say for each row of a batch, in its order, what became of it and why."""
    answers = iter(answers)
    for row in batch:
        if row.job is None:
            yield row, "error", row.problems
        else:
            answer = next(answers)
            yield row, _RESULTS[answer.status], _conflict(row, answer)


def _conflict(row: Row, answer: Submitted) -> tuple[RowProblem, ...]:
    if answer.accepted:
        return ()
    column = row.layout.column_of("external_id" if answer.status == "external_id_taken" else "idempotency_key")
    return (RowProblem(column, answer.status, answer.sentence),)


def as_if_all_once(name: str, rows: Sequence[Row], answers: Sequence[Submitted]) -> list[Submitted]:
    """Do as `as_if_once` for each row."""
    return [as_if_once(name, *pair) for pair in zip(rows, answers, strict=True)]


def as_if_once(name: str, row: Row, answer: Submitted) -> Submitted:
    """Count a record that an earlier, interrupted reading of this import made as made."""
    made = answer.status == "unchanged" and answer.record is not None and answer.record.import_name == name
    return Submitted("created", answer.record) if made and not row.again else answer


def comparing(ledger: Ledger, vault: Vault, name: str, *, fresh: bool) -> Decide:
    """Compare jobs with the ledger and write nothing: what would become of them."""

    def decide(rows: Sequence[Row]) -> Asked:
        return Asked(lambda: compared(rows))

    def compared(rows: Sequence[Row]) -> list[Submitted]:
        wanted = [begin(row.canonical, name, row.fingerprint) for row in rows]
        holders = Lists(ledger).holders([record.external_id for record in wanted])
        keys = dict.fromkeys([record.key for record in wanted] + [key for key in holders if key is not None])
        known = {found.record.key: found.record for found in ledger.read_many(list(keys))}
        return [answer(row, new, holder, known) for row, new, holder in zip(rows, wanted, holders, strict=True)]

    def answer(row: Row, wanted: Record, holder: str | None, known: Mapping[str, Record]) -> Submitted:
        existing = known.get(wanted.key) or (known.get(holder) if holder is not None else None)
        if existing is None or (existing.adopted and existing.external_id == wanted.external_id):
            return Submitted("unchanged" if row.again else "created", wanted)  # the second of two would change nothing
        if existing.key != wanted.key:
            return Submitted("external_id_taken", None, holder=existing.key)
        same = same_job(existing, wanted, vault.marks(row.fingerprint))
        found = Submitted("unchanged" if same else "idempotency_key_reused", existing)
        return as_if_once(name, row, found) if fresh else found

    return decide


class RefusedRows:
    """Keeps the refused rows of an import in the ledger, sealed, for its report."""

    def __init__(self, ledger: Ledger, vault: Vault, name: str) -> None:
        self._ledger, self._vault, self._name = ledger, vault, name
        self._text = io.StringIO()
        self._report = Report(self._text)
        self._rows = self._parts = 0

    def write(self, row: Row, outcome: str, problems: tuple[RowProblem, ...]) -> None:
        """Take a refused row, while there is room."""
        if self._rows >= REPORTED:
            return
        self._report.write(row, outcome, problems)
        self._rows += 1
        if self._text.tell() > SEALED_AT_ONCE:
            self._keep()

    def close(self) -> None:
        """Keep what is left."""
        if self._text.tell() or not self._parts:
            self._keep()

    def _keep(self) -> None:
        sealed = self._vault.seal(Place("report", self._name, str(self._parts)), self._text.getvalue())
        ImportStore(self._ledger).keep_report(self._name, self._parts, sealed, INPUT_KEPT_MS)
        self._parts += 1
        self._text.seek(0)
        self._text.truncate()
