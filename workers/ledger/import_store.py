"""Imports in the ledger: what is kept of each, its rows that wait, its report."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pipelines import events
from pipelines.keys import canonical_json
from pipelines.model import FORMAT, Next, Record
from pipelines.retention import INPUT_KEPT_MS
from workers.ledger.ledger import Ledger
from workers.ledger.pending_calls import PendingCalls
from workers.ledger.values import LOADED_AT_ONCE, PREFIX, Created, Listed, New, Read
from workers.ledger.wire import call_token, created_of, history_entry, import_row


class ImportStore:
    """Everything that the ledger keeps of imports."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger in which the records are made."""
        self._ledger = ledger
        self._client = ledger.client

    def begin_import(self, name: str, digest: str, by: str) -> str:
        """Take up an import under this name: `opened`, `loaded`, `cancelled`, or `other`, when another file has it."""
        answer: bytes = self._ledger.call("import", name, digest, by)
        return answer.decode()

    def load(self, name: str, counts: Mapping[str, int], new: Sequence[New]) -> Loading:
        """Send the records of rows of an import to be stored, many in a script call.

        `counts`: what became of the rows before these.
        """
        first = Record(key="")
        entry, head = history_entry(first, self._ledger.now_ms(), "", f"received with the import “{name}”")
        batches = [new[start : start + LOADED_AT_ONCE] for start in range(0, max(len(new), 1), LOADED_AT_ONCE)]
        calls = [
            (
                "load", name, call_token(), json.dumps(counts), FORMAT, first.step, first.phase.value,
                events.beginning(first), entry, b"".join(import_row(one, head) for one in batch),
            )
            for batch in batches
        ]  # fmt: skip
        return Loading(new, self._ledger.send(calls))

    def loaded(self, name: str, counts: Mapping[str, int]) -> None:
        """Note that an import's file was read to its end, and what became of its rows."""
        self._ledger.call("loaded", name, json.dumps(counts), durable=True)

    def halt_import(self, name: str, how: Literal["paused", "cancelled"], by: str, reason: str) -> None:
        """Let nothing of an import begin any more; one that is halted like this already is left as it is."""
        self._ledger.call("halt", name, how, by, reason)

    def resume_import(self, name: str) -> None:
        """Let a paused import go on."""
        self._ledger.call("resume", name)

    def drop(self, name: str, rows: Sequence[tuple[Record, Next, Mapping[str, Any]]]) -> int:
        """Cancel rows of an import that nobody has taken in hand; answers how many of these wait no more.

        Each is the record as it was read, what it is from now on, and the act that cancels it.
        """
        at_ms = self._ledger.now_ms()
        given: list[Any] = []
        for before, after, act in rows:
            record = after.record
            entry, head = history_entry(record, at_ms, "", after.note)
            stored = {"id": call_token(), "at_ms": at_ms, **act}
            json_ = canonical_json(record.evolve(head=head).stored())
            told = events.of_commit(before, after)
            given += [record.key, record.version, json_, entry, told, canonical_json(stored)]
        return int(self._ledger.call("drop", name, call_token(), FORMAT, INPUT_KEPT_MS, *given))

    def imports(self) -> list[str]:
        """Name all imports, the newest first."""
        return [name.decode() for name in self._client.zrevrange(f"{PREFIX}imports", 0, -1)]

    def import_fields(self, names: Sequence[str]) -> list[tuple[dict[str, str], int]]:
        """Read what is kept about imports, and how many of their rows wait to be taken in hand; in their order."""
        with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(f"{PREFIX}import:{name}")
                pipeline.zcard(f"{PREFIX}due:bulk/{name}")
            answers = pipeline.execute()
        decoded = ({field.decode(): value.decode() for field, value in fields.items()} for fields in answers[::2])
        return list(zip(decoded, answers[1::2], strict=True))

    def import_speed(self) -> dict[str, str]:
        """Read how many customers of all imports are through with our own work, and the marks of their speed."""
        return {
            field.decode(): value.decode() for field, value in self._client.hgetall(f"{PREFIX}import_speed").items()
        }

    def imported(self, name: str, *, batch: int = 500) -> Iterable[Read]:
        """Read the records that an import made, in the order of its rows."""
        start = 0
        while keys := self._client.lrange(f"{PREFIX}imported:{name}", start, start + batch - 1):
            yield from self._ledger.read_many([key.decode() for key in keys])
            start += batch

    def listed_of_import(self, name: str, behind: Listed | None, limit: int) -> list[Listed]:
        """List records that an import made, in the order of its rows, from behind a place on."""
        first = behind.at + 1 if behind else 0
        keys = self._client.lrange(f"{PREFIX}imported:{name}", first, first + limit - 1)
        return [Listed(row, key.decode()) for row, key in enumerate(keys, first)]

    def waiting_rows(self, name: str, start: int, count: int) -> list[Read]:
        """Read rows of an import that nobody has taken in hand."""
        keys = self._client.zrange(f"{PREFIX}due:bulk/{name}", start, start + count - 1)
        return self._ledger.read_many([key.decode() for key in keys])

    def keep_report(self, name: str, number: int, sealed: bytes, kept_ms: int) -> None:
        """Keep a sealed part of an import's report for this long; 0 is the first part of a new report."""
        with self._client.pipeline(transaction=True) as pipeline:
            if number == 0:
                pipeline.delete(f"{PREFIX}report:{name}")
            pipeline.hset(f"{PREFIX}report:{name}", str(number), sealed)
            pipeline.pexpire(f"{PREFIX}report:{name}", kept_ms)
            pipeline.execute()

    def report_parts(self, name: str) -> Iterable[bytes]:
        """Read the sealed parts of an import's report, one after the other."""
        number = 0
        while sealed := self._client.hget(f"{PREFIX}report:{name}", str(number)):
            yield sealed
            number += 1


#: A row of an import that has a record now.
_MADE = Created("created")


class Loading:
    """Rows of an import on their way to the ledger."""

    def __init__(self, new: Sequence[New], calls: PendingCalls) -> None:
        """Take the rows and the calls, each with LOADED_AT_ONCE of them."""
        self._new = new
        self._calls = calls

    def created(self) -> list[Created] | None:
        """Wait for what became of each row; None: the import is cancelled. A record that was made is not read back."""
        answers = self._calls.answers()
        if b"cancelled" in answers:
            return None
        found = [_MADE] * len(self._new)
        for start, answer in zip(itertools.count(0, LOADED_AT_ONCE), answers, strict=False):
            for number, other in answer:
                at = start + number - 1
                found[at] = created_of(self._new[at].record, other)
        return found

    def abandon(self) -> None:
        """Wait for nothing any more: an answer that nobody reads is no harm."""
        self._calls.abandon()
