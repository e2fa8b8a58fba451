"""The front door for new jobs: one, or thousands at a time. The CLI, HTTP and Python callers all come through here.

A job is checked, its input sealed, and its record created in the ledger; only then is it accepted. The same job again
answers with the record that exists. Nothing is sent to Iron here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.attempt import effect_in_hand
from pipelines.begin import begin, input_parts, joined
from pipelines.intake import Row
from pipelines.job import STRICT, Job, JobRules, parse_job
from pipelines.model import Record
from pipelines.onboarding import STEPS
from workers.ledger import Created, Ledger, Lists, New, Nudge, Read
from workers.ledger.import_store import ImportStore
from workers.secrets.rotation import Rotation
from workers.secrets.vault import Place, Vault, as_text

Status = Literal["created", "unchanged", "idempotency_key_reused", "external_id_taken"]

#: Pause before an adopted record that is in a worker's hands is looked at again, in seconds: about a step's time.
JOIN_PAUSE_S = 0.05

#: What each answer means, for people.
SENTENCES: dict[Status, str] = {
    "created": "The job is accepted.",
    "unchanged": "This job was accepted before. Nothing was changed.",
    "idempotency_key_reused": (
        "This key already belongs to a different job. Nothing was changed. Use a new key, or correct this customer."
    ),
    "external_id_taken": "Another customer has this external ID. Nothing was changed.",
}


def sentence_of(status: Status, holder: str | None = None) -> str:
    """Return what an answer means, for people. `holder`: the key that has the external id."""
    return f"{SENTENCES[status]} It belongs to the key {holder}." if holder is not None else SENTENCES[status]


class ExternalIdTakenError(Exception):
    """Another onboarding has this external id; `holder` is its key."""

    def __init__(self, holder: str) -> None:
        """Keep the key that has it."""
        super().__init__(sentence_of("external_id_taken", holder))
        self.holder = holder


class ImportCancelledError(Exception):
    """Somebody cancelled the import meanwhile; what was loaded before is cancelled with it."""

    def __init__(self, name: str) -> None:
        """Keep the import's name."""
        super().__init__(f"The import {name} is cancelled: give another name to import the file all the same.")


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a job. `record` is there unless another key holds the external id; then that is `holder`."""

    status: Status
    record: Record | None
    due_ms: int | None = None
    holder: str | None = None
    #: How often the customer's links to the record were revoked.
    link_serial: int = 0

    @property
    def sentence(self) -> str:
        """What became of it, for people."""
        return sentence_of(self.status, self.holder)

    @property
    def accepted(self) -> bool:
        """Whether the job has a record now."""
        return self.status in ("created", "unchanged")


@dataclass(frozen=True, slots=True)
class Asked:
    """Jobs that are being handed in. One of the two is called, once: wait for the answers, or do not."""

    answers: Callable[[], list[Submitted]]
    abandon: Callable[[], None] = lambda: None


class FrontDoor:
    """Accepts jobs."""

    def __init__(self, ledger: Ledger, vault: Vault, send: Callable[[Nudge], object], rules: JobRules = STRICT) -> None:
        """`send` puts the first nudge of an interactive job on the queue. `rules`: what jobs may hold here."""
        self.rules = rules
        self._ledger = ledger
        self._vault = vault
        self._send = send

    def judge(self, value: object) -> Job:
        """Check a job as JSON gives it, by this door's rules and the ledger's clock.

        Raises JobInvalidError with every problem, and redis.RedisError when the time is asked for and the ledger away.
        """
        return parse_job(value, self.rules, self._ledger.told_ms)

    def submit(self, job: Job | dict[str, Any], *, by: str = "") -> Submitted:
        """Accept one job. Raises JobInvalidError with every problem when it is not one."""
        return self.submit_many([job if isinstance(job, Job) else self.judge(job)], by=[by])[0]

    def submit_many(self, jobs: Sequence[Job], *, by: Sequence[str] = ()) -> list[Submitted]:
        """Accept jobs in one round trip, each by itself: one that is refused does not concern the others.

        `by`: who handed each of them in, for the histories; none: nobody is named.
        """
        return self.hand_in([self.prepared(job, who) for job, who in zip(jobs, by or [""] * len(jobs), strict=True)])

    def prepared(self, job: Job, by: str = "") -> New:
        """Make of a job what `hand_in` takes: its record and its sealed input. Asks nobody."""
        canonical = job.canonical()
        return self._new(begin(canonical), canonical, f"submitted by {by}" if by else "submitted")

    def hand_in(self, new: Sequence[New]) -> list[Submitted]:
        """Accept jobs that are prepared, as `submit_many` does."""
        answers = [
            self._join(wanted, answer) or _submitted(wanted, answer)
            for wanted, answer in zip(new, self._ledger.create(new), strict=True)
        ]
        for nudge in _first_nudges(answers):
            self._send(nudge)
        return answers

    def load(self, name: str, counts: Mapping[str, int], rows: Sequence[Row]) -> Asked:
        """Hand in the jobs of rows of an import, each by itself; nothing is sent, the pulse finds them.

        `counts`: what became of the rows before these, for whoever looks at the import meanwhile. The answers raise
        ImportCancelledError when somebody cancelled the import.
        """
        new = [self._new(begin(row.canonical, name, row.fingerprint), row.canonical) for row in rows]
        loading = ImportStore(self._ledger).load(name, counts, new)

        def answers() -> list[Submitted]:
            created = loading.created()
            if created is None:
                raise ImportCancelledError(name)
            return [
                _LOADED if done.status == "created" else self._join(wanted, done) or _submitted(wanted, done)
                for wanted, done in zip(new, created, strict=True)
            ]

        return Asked(answers, loading.abandon)

    def _new(self, record: Record, job: Mapping[str, Any], note: str = "submitted") -> New:
        marks = self._vault.marks(record.fingerprint)
        return New(record.evolve(fingerprint=marks[0]), self.sealed(record.key, job), self._email(job), note, marks)

    def _join(self, wanted: New, answer: Created) -> Submitted | None:
        """Take over the record that was adopted from Iron for this external id, if that is what is in the way."""
        if answer.record is not None and not answer.record.adopted:
            return None
        record = wanted.record
        holder = answer.holder if answer.status == "external_id_taken" else record.key
        note = wanted.note.replace("submitted", "joined by a job", 1)
        while answer.status != "created" and holder is not None:
            read = self._ledger.read(holder)
            if read is None or not read.record.adopted or read.record.external_id != record.external_id:
                return None
            if read.claimed:
                time.sleep(JOIN_PAUSE_S)
            elif taken := self._ledger.join(read.record, wanted._replace(record=_taking_over(read, record), note=note)):
                Rotation(self._ledger, self._vault).rebind(record.key, read.record.key)
                return _submitted(wanted, taken)
        return None

    def correct(self, job: Job | dict[str, Any], *, by: str, reason: str = "", restart: bool = False) -> Nudge | None:
        """Store a correction: the whole job, as it should have been. Applied by the next claim; answers its nudge.

        `restart`: a new identification begins with it, with the job's own data where it has some.

        Raises JobInvalidError when it is not a job, KeyError when nothing has its idempotency key, and
        ExternalIdTakenError when another onboarding has its external id; then nothing is stored.
        """
        canonical = (job if isinstance(job, Job) else self.judge(job)).canonical()
        wanted = begin(canonical)
        [holder] = Lists(self._ledger).holders([wanted.external_id])
        if holder not in (None, wanted.key):
            raise ExternalIdTakenError(str(holder))
        fields = ("external_id", "risk_tier", "labels", "identification_type", "with_edd")
        sealed = {name: as_text(part) for name, part in self.sealed(wanted.key, canonical).items()}
        parts = {"identification": "", **sealed}  # one without data drops that of before
        act = {"act": "correct", "by": by, "reason": reason, "parts": parts} | ({"restart": True} if restart else {})
        act |= {name: getattr(wanted, name) for name in fields}
        act["fingerprint"] = self._vault.marks(wanted.fingerprint)[0]
        return self._ledger.act(wanted.key, act, email=self._email(canonical))

    def personal(self, key: str, *, by: str) -> dict[str, Any]:
        """Open what is stored about a customer, by part; that it was read, and by whom, goes into the history first.

        Raises KeyError when nothing has this idempotency key, and InputLostError when no key of the ring opens a part.
        """
        if nudge := self._ledger.act(key, {"act": "read", "by": by}):
            self._send(nudge)
        return {
            name: self._vault.open(Place("input", key, name), sealed)
            for name, sealed in self._ledger.input(key).items()
        }

    def sealed(self, key: str, job: Mapping[str, Any]) -> dict[str, bytes]:
        """Encrypt the parts of a job's input for the record with this key."""
        return {name: self._vault.seal(Place("input", key, name), part) for name, part in input_parts(job).items()}

    def _email(self, job: Mapping[str, Any]) -> bytes:
        return self._vault.email_digests(job["customer"]["email"])[0]


#: A row of an import that has a record now.
_LOADED = Submitted("created", None)


def _taking_over(adopted: Read, wanted: Record) -> Record:
    """Let a job take over an adopted record as it was read; a worker may still be asleep with a call of it in hand."""
    record = adopted.record
    step = STEPS.get(record.step)
    effect = effect_in_hand(record, adopted.abandoned_ms, has_effect=step is not None and step.has_effect)
    return joined(record.evolve(effect=effect), wanted)


def _submitted(wanted: New, created: Created) -> Submitted:
    if created.status == "external_id_taken":
        return Submitted("external_id_taken", None, holder=created.holder)
    record = created.record
    if created.status == "exists" and record is not None and not same_job(record, wanted.record, wanted.marks):
        return Submitted("idempotency_key_reused", record, created.due_ms)
    status: Status = "created" if created.status == "created" else "unchanged"
    return Submitted(status, record, created.due_ms, link_serial=created.link_serial)


def same_job(record: Record, wanted: Record, marks: Sequence[str]) -> bool:
    """Say whether a record came from this job, corrected since or not where it was the same row of the same import.

    `marks`: every form in which it may hold the job's fingerprint.
    """
    same_row = bool(wanted.import_name) and record.import_name == wanted.import_name
    return same_row or record.fingerprint in marks


def _first_nudges(answers: Iterable[Submitted]) -> Iterable[Nudge]:
    for answer in answers:
        record = answer.record
        if answer.status == "created" and record is not None and record.lane == "interactive":
            yield Nudge(record.lane, record.step, record.key, record.version)
