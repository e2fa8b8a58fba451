"""Imports: files of jobs that are loaded into the ledger, followed, paused and cancelled under a name.

Loading takes a file through the front door, batch by batch, with every refused row told; memory does not grow with the
file. Started again after a kill, it goes on, and in the end everything is as if it had run once. Contract, section 7.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.acts import apply_acts
from pipelines.errors import InputLostError
from pipelines.intake import Lane, Report, Row, RowProblem, source
from pipelines.job import STRICT, JobRules
from pipelines.keys import canonical_json
from pipelines.model import Next, Record
from pipelines.times import timestamp
from workers.imports.completion import allowed_per_second, forecast_s, rate
from workers.imports.loading import COUNTS, RefusedRows, Result, as_if_all_once, comparing, through
from workers.intake.submit import Asked, FrontDoor, ImportCancelledError
from workers.ledger import Ledger, Lists
from workers.ledger.import_store import ImportStore
from workers.secrets.vault import Place, Vault

#: Rows cancelled in one script call: some 2 ms in which Redis does nothing else.
DROPPED_AT_ONCE = 100
#: An import that is not loaded and of which nothing was read for so long was interrupted, in ms.
SILENT_MS = 60_000

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

State = Literal["loading", "interrupted", "running", "paused", "cancelled", "finished"]


class ImportNameError(ValueError):
    """This cannot be the name of the import; the message says why and what to do."""


class NoSuchImportError(KeyError):
    """No import has this name."""

    def __init__(self, name: str) -> None:
        """Keep the name."""
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"There is no import {self.name!r}: `onboarding imports` lists all."


@dataclass(frozen=True, slots=True)
class Import:
    """An import as it stands. Times are ms since the epoch; None: not yet.

    `rows` to `error`: what became of the rows read so far. Of the records made, `phases` counts those in each phase,
    `waiting` those that nobody has taken in hand, `started` those that somebody has, `finished` those for which all our
    own work is done, so that the customer can act or nothing is left to do.
    """

    name: str
    state: State
    by: str
    created_ms: int
    rows: int
    create: int
    unchanged: int
    conflict: int
    error: int
    waiting: int
    started: int
    finished: int
    phases: Mapping[str, int]
    loaded_ms: int | None
    finished_ms: int | None
    #: When it will be finished, as far as can be said; None: not known, or not going on.
    expected_ms: int | None
    #: Customers a minute for whom our own work is done, lately; None: too few yet to say.
    per_minute: float | None
    #: Who paused or cancelled it, when, and why.
    halted_by: str | None = None
    halted_ms: int | None = None
    halted_reason: str = ""

    @property
    def total(self) -> int:
        """Records of the import."""
        return sum(self.phases.values())

    def as_json(self) -> dict[str, Any]:
        """Give it as the command line and the gateway do."""
        halted = {"by": self.halted_by, "at": timestamp(self.halted_ms), "reason": self.halted_reason}
        return {
            "name": self.name,
            "state": self.state,
            "by": self.by,
            "created_at": timestamp(self.created_ms),
            "loaded_at": timestamp(self.loaded_ms),
            **{name: getattr(self, name) for name in COUNTS},
            "waiting": self.waiting,
            "started": self.started,
            "finished": self.finished,
            "phases": dict(self.phases),
            "per_minute": self.per_minute,
            "expected_at": timestamp(self.expected_ms),
            "finished_at": timestamp(self.finished_ms),
            "halted": halted if self.halted_by else None,
        }


class Imports:
    """Everything that can be done with imports; shared by the command line and the gateway."""

    def __init__(self, ledger: Ledger, vault: Vault | None = None, rules: JobRules = STRICT) -> None:
        """Take the ledger. `vault` is needed to load or compare a file, and to read a report.

        `rules`: what jobs may hold here.
        """
        self._rules = rules
        self._ledger = ledger
        self._vault = vault

    # --- loading -------------------------------------------------------------------------------------------------

    def load(
        self,
        path: Path,
        *,
        by: str,
        name: str | None = None,
        lane: Lane = "bulk",
        mapping: Mapping[str, str] | None = None,
        file_name: str | None = None,
        report: Report | None = None,
        progress: Callable[[Result], None] = lambda _: None,
        each: Callable[[Row, str], None] = lambda _row, _result: None,
    ) -> Result:
        """Make a record of every row of a file that is in order; the same file again goes on or changes nothing.

        `name` None: made from the file's; where another file has that, with the next free number. `file_name`: the
        file's real name, where the path does not tell it. `report` takes every row; the ledger keeps the refused ones.
        `each` hears of every row with its result, `progress` of every batch.

        Raises IntakeError when the file itself is at fault: before its first row nothing is left of that, its name
        included; later the rows before the fault are stored, and the import stays unfinished. Raises ImportNameError,
        and ImportCancelledError when the import was or is being cancelled.
        """
        vault = self._need_vault()
        door = FrontDoor(self._ledger, vault, lambda _: None, self._rules)
        with source(path, mapping=mapping, lane=lane, rules=self._rules, now_ms=self._ledger.told_ms) as file:
            rows = _begun(file.rows)
            taken, state = self._taken(name, Path(file_name or path.name), file.digest, by)
            result, fresh = Result(taken), state == "opened"
            refused = RefusedRows(self._ledger, vault, taken)

            def decide(rows: Sequence[Row]) -> Asked:
                asked = door.load(taken, result.counts() if fresh else {}, rows)
                return replace(asked, answers=lambda: as_if_all_once(taken, rows, asked.answers())) if fresh else asked

            def told(row: Row, outcome: str, problems: tuple[RowProblem, ...]) -> None:
                if problems:
                    refused.write(row, outcome, problems)
                if report:
                    report.write(row, outcome, problems)
                each(row, outcome)

            through(rows, decide, result, told, progress)
            refused.close()
            ImportStore(self._ledger).loaded(taken, result.counts() if fresh else {})
        return result

    def compare(
        self,
        path: Path,
        *,
        name: str | None = None,
        lane: Lane = "bulk",
        mapping: Mapping[str, str] | None = None,
        file_name: str | None = None,
        report: Report | None = None,
        progress: Callable[[Result], None] = lambda _: None,
    ) -> Result:
        """Say what `load` would do, and write nothing. Raises as `load` does."""
        vault = self._need_vault()
        with source(path, mapping=mapping, lane=lane, rules=self._rules, now_ms=self._ledger.told_ms) as file:
            rows = _begun(file.rows)
            taken, fresh = self._free(name, Path(file_name or path.name), file.digest)
            result = Result(taken)

            def told(row: Row, outcome: str, problems: tuple[RowProblem, ...]) -> None:
                if report:
                    report.write(row, outcome, problems)

            decide = comparing(self._ledger, vault, taken, fresh=fresh)
            through(rows, decide, result, told, progress)
        return result

    def _taken(self, name: str | None, path: Path, digest: str, by: str) -> tuple[str, str]:
        """Take up the import of a file; answers its name and how it stands."""
        for candidate in _candidates(name, path):
            state = ImportStore(self._ledger).begin_import(candidate, digest, by)
            if state == "cancelled":
                raise ImportCancelledError(candidate)
            if state != "other":
                return candidate, state
        raise _other_file(str(name))

    def _free(self, name: str | None, path: Path, digest: str) -> tuple[str, bool]:
        """Name the import that `load` would take up, and say whether it would be new or go on."""
        for candidate in _candidates(name, path):
            [(fields, _)] = ImportStore(self._ledger).import_fields([candidate])
            if fields.get("digest", digest) == digest:
                if "cancelled" in fields:
                    raise ImportCancelledError(candidate)
                return candidate, "loaded" not in fields
        raise _other_file(str(name))

    # --- looking -------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Import:
        """Show one import. Raises NoSuchImportError."""
        found = {one.name: one for one in self._seen([name, *self._going()])}
        if name not in found:
            raise NoSuchImportError(name)
        return found[name]

    def all(self) -> list[Import]:
        """Show all imports, the newest first."""
        return self._seen(ImportStore(self._ledger).imports())

    def report(self, name: str) -> Iterator[str]:
        """Give the rows of an import that were refused, as CSV text in parts, with what is wrong with each.

        Nothing comes when no row was refused, or the report has expired. Raises NoSuchImportError and InputLostError.
        """
        self.get(name)
        vault = self._need_vault()
        for number, sealed in enumerate(ImportStore(self._ledger).report_parts(name)):
            yield vault.open(Place("report", name, str(number)), sealed)

    # --- acting --------------------------------------------------------------------------------------------------

    def pause(self, name: str, *, by: str, reason: str = "") -> bool:
        """Begin nothing of an import from now on; what is begun goes on. False: it was paused or cancelled already."""
        before = self._known(name)
        ImportStore(self._ledger).halt_import(name, "paused", by, reason)
        return not before & {"paused", "cancelled"}

    def resume(self, name: str) -> bool:
        """Let a paused import go on; False: it was not paused."""
        before = self._known(name)
        ImportStore(self._ledger).resume_import(name)
        return "paused" in before

    def cancel(self, name: str, *, by: str, reason: str, progress: Callable[[int], None] = lambda _: None) -> int:
        """Cancel what nobody has taken in hand yet, for good; what is begun goes on to its end. Answers how many.

        Each record's history says who did it and why. Interrupted, it is called again and goes on.
        """
        self._known(name)
        ImportStore(self._ledger).halt_import(name, "cancelled", by, reason)
        act = {"act": "cancel", "by": by, "reason": reason}
        gone = passed = 0
        while waiting := ImportStore(self._ledger).waiting_rows(name, passed, DROPPED_AT_ONCE):
            dropped = ImportStore(self._ledger).drop(
                name, [(read.record, _cancelled(read.record, act), act) for read in waiting]
            )
            passed += len(waiting) - dropped  # somebody else's by now; look behind them
            gone += dropped
            progress(gone)
        return gone

    # --- inside --------------------------------------------------------------------------------------------------

    def _need_vault(self) -> Vault:
        if self._vault is None:
            raise InputLostError
        return self._vault

    def _known(self, name: str) -> set[str]:
        """Give what is known of an import, by the names of the ledger. Raises NoSuchImportError."""
        [(fields, _)] = ImportStore(self._ledger).import_fields([name])
        if "digest" not in fields:
            raise NoSuchImportError(name)
        return set(fields)

    def _going(self) -> list[str]:
        """Name the imports of which something may be to do: the newest, and those with rows that wait."""
        waiting = [place.partition("/")[2] for place in Lists(self._ledger).places() if place.startswith("bulk/")]
        return [*ImportStore(self._ledger).imports()[:50], *(name for name in waiting if NAME.fullmatch(name))]

    def _seen(self, names: Sequence[str]) -> list[Import]:
        names = list(dict.fromkeys(names))
        now_ms = self._ledger.now_ms()
        found = [
            _import(name, fields, waiting, now_ms)
            for name, (fields, waiting) in zip(names, ImportStore(self._ledger).import_fields(names), strict=True)
            if "digest" in fields
        ]
        going = {one.name: one.left for one in found if one.left and one.state == "running"}
        together = _rate(ImportStore(self._ledger).import_speed(), now_ms) if going else None
        expected = forecast_s(going, together or allowed_per_second(self._ledger.budget))
        return [one.shown(now_ms, expected.get(one.name)) for one in found]


@dataclass(frozen=True, slots=True)
class _ImportStatus:
    """An import as the ledger keeps it."""

    name: str
    state: State
    fields: Mapping[str, str]
    waiting: int

    @property
    def phases(self) -> dict[str, int]:
        found = ((name.partition(":")[2], int(n)) for name, n in self.fields.items() if name.startswith("phase:"))
        return {phase: count for phase, count in sorted(found) if count}

    @property
    def left(self) -> int:
        """Records for which something is to be done by us."""
        return self.phases.get("received", 0) + self.phases.get("customer_created", 0)

    def number(self, name: str) -> int | None:
        return int(self.fields[name]) if name in self.fields else None

    def shown(self, now_ms: int, expected_s: float | None) -> Import:
        speed = _rate(self.fields, now_ms) if self.state == "running" and self.left else None
        phases, how = self.phases, self.state if self.state in ("paused", "cancelled") else None
        return Import(
            name=self.name,
            state=self.state,
            by=self.fields["by"],
            created_ms=int(self.fields["created"]),
            **{name: self.number(name) or 0 for name in COUNTS},
            waiting=self.waiting,
            started=self.number("started") or 0,
            finished=sum(phases.values()) - self.left,
            phases=phases,
            loaded_ms=self.number("loaded"),
            finished_ms=self.number("finished"),
            expected_ms=None if expected_s is None else now_ms + int(expected_s * 1000),
            per_minute=round(speed * 60, 1) if speed else None,
            halted_by=self.fields[f"{how}_by"] if how else None,
            halted_ms=self.number(how) if how else None,
            halted_reason=self.fields[f"{how}_reason"] if how else "",
        )


def _rate(fields: Mapping[str, str], now_ms: int) -> float | None:
    """Read a speed, in customers a second, from the older of the two marks that there are; None: too few yet to say."""
    which = "before" if "before_ms" in fields else "mark"
    if f"{which}_ms" not in fields:
        return None
    return rate(int(fields[f"{which}_ms"]), int(fields["passed"]) - int(fields[f"{which}_passed"]), now_ms)


def _begun(rows: Iterator[Row]) -> Iterator[Row]:
    """Read the first row, so that what is wrong with the file as a whole shows now. Raises IntakeError."""
    first = next(rows, None)
    return rows if first is None else itertools.chain([first], rows)


def default_name(path: Path) -> str:
    """Make the name of an import out of a file's."""
    stem = path.name.rpartition(".")[0] or path.name  # Path.stem of "..csv" is another one from Python 3.14 on
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:56] or "import"


def _candidates(name: str | None, path: Path) -> Iterator[str]:
    """Give the name that was asked for; else the file's, and then with each number."""
    if name is not None:
        if not NAME.fullmatch(name):
            raise ImportNameError(
                f"{name!r} cannot be the name of an import: use up to 64 letters, digits, dots, hyphens and"
                " underscores, beginning with a letter or digit."
            )
        yield name
        return
    stem = default_name(path)
    yield stem
    for number in range(2, 1_000_000):
        yield f"{stem}-{number}"


def _other_file(name: str) -> ImportNameError:
    return ImportNameError(f"The import {name} is of another file, or read in another way: give this one another name.")


def _cancelled(record: Record, act: Mapping[str, Any]) -> Next:
    applied = apply_acts(record, [canonical_json(act)])
    return Next(applied.record, None, applied.note)


def _import(name: str, fields: Mapping[str, str], waiting: int, now_ms: int) -> _ImportStatus:
    return _ImportStatus(name, _state(fields, now_ms), fields, waiting)


def _state(fields: Mapping[str, str], now_ms: int) -> State:
    if "cancelled" in fields:
        return "cancelled"
    if "finished" in fields:
        return "finished"
    if "paused" in fields:
        return "paused"
    if "loaded" in fields:
        return "running"
    return "interrupted" if now_ms - int(fields["read"]) > SILENT_MS else "loading"
