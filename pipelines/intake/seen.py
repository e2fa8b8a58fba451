"""What the rows before this one have used: idempotency keys and external ids.

Kept as keyed hashes of 64 bits in a temporary SQLite file with a small cache, so that memory stays flat for any number
of rows. That any two different keys among a million rows meet in one hash has a
probability of about 3 in 10^8; the later row would be refused, never taken for the other.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Self

from pipelines.intake.files import IntakeError
from pipelines.intake.rows import Row, RowProblem, shown
from pipelines.keys import fingerprint

if TYPE_CHECKING:
    from types import TracebackType

    from pipelines.job import Job

#: Size of each table's share of memory in KiB, negative as SQLite counts: a hundred thousand rows find room.
CACHE_KIB: Final = -16_384

_SCHEMA: Final = f"""
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = {CACHE_KIB};
CREATE TABLE keys (hash INTEGER PRIMARY KEY, line INTEGER NOT NULL, content INTEGER NOT NULL);
CREATE TABLE external_ids (hash INTEGER PRIMARY KEY, line INTEGER NOT NULL, content INTEGER NOT NULL);
"""

#: For each table: enter what is new; find who was first.
_STATEMENTS: Final = {
    "keys": ("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", "SELECT line, content FROM keys WHERE hash = ?"),
    "external_ids": (
        "INSERT OR IGNORE INTO external_ids VALUES (?, ?, ?)",
        "SELECT line, content FROM external_ids WHERE hash = ?",
    ),
}


class Seen:
    """The keys and external ids of the valid rows so far. A context manager: its file is gone afterwards."""

    def __init__(self) -> None:
        # The empty name is a temporary file that SQLite removes itself. The rows may be asked for by changing threads.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self._base.executescript(_SCHEMA)
            self._base.execute("BEGIN")
        except sqlite3.Error as error:
            self._base.close()
            raise no_room(str(error)) from None
        self._secret = secrets.token_bytes(16)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def check(self, row: Row) -> Row:
        """Return the row as it is, or refused when an earlier valid row used its key or external id for something else.

        Raises IntakeError when the temporary folder has no room.
        """
        try:
            return row if row.job is None else self._checked(row, row.job)
        except sqlite3.Error as error:
            raise no_room(str(error)) from None

    def _checked(self, row: Row, job: Job) -> Row:
        canonical = job.canonical()
        mark = fingerprint(canonical)
        key = self._hash(job.idempotency_key)
        earlier = self._claim("keys", key, row.line, self._hash(mark))
        if earlier:
            return _refused(row, "idempotency_key", job.idempotency_key, _REUSED, earlier)
        if earlier is None and (taken := self._claim("external_ids", self._hash(job.external_id), row.line, key)):
            self._base.execute("DELETE FROM keys WHERE hash = ?", (key,))
            return _refused(row, "external_id", job.external_id, _TAKEN, taken)
        again = earlier == 0
        return Row(row.line, row.fields, job, (), canonical, mark, again, row.size, row.surplus, row.layout)

    def _claim(self, table: str, hashed: int, line: int, content: int) -> int | None:
        """Enter what is new and return None; return 0 for the same content again, else the line that was first."""
        enter, find = _STATEMENTS[table]
        if self._base.execute(enter, (hashed, line, content)).rowcount:
            return None
        found = self._base.execute(find, (hashed,)).fetchone()
        return 0 if found[1] == content else int(found[0])

    def _hash(self, text: str) -> int:
        digest = blake2b(text.encode("utf-8"), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big", signed=True)


_REUSED: Final = ("idempotency_key_reused", "Line {line} uses this {column} for another job: give each its own.")
_TAKEN: Final = (
    "external_id_taken",
    "Line {line} uses this {column} with another key: one customer has one of each.",
)


def _refused(row: Row, field: str, value: str, problem: tuple[str, str], earlier: int) -> Row:
    code, text = problem
    column = row.layout.column_of(field)
    told = text.format(line=earlier, column=column.removeprefix("/"))
    return replace(row, job=None, problems=(RowProblem(column, code, told, shown("", value)),))


def no_room(reason: str) -> IntakeError:
    """Say that the temporary folder does not take what has to be kept while a file is read."""
    return IntakeError(
        "no_temporary_space",
        f"needs room in the temporary folder, and there is none ({reason}): make room in it, or name another (TMPDIR).",
    )
