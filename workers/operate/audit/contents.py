# ruff: noqa: D401 -- the docstring of a rule is the sentence of its finding, not an order
"""Rules of what belongs to a record: its input, what people did, and its history."""

from __future__ import annotations

from pipelines.model import Record
from pipelines.onboarding import STEPS
from pipelines.retention import INPUT_DONE
from workers.operate.audit.kinds import Circumstances, finished, in_known_phase, kind, rule
from workers.operate.audit.seen import Seen


@rule("Submit the whole job again with `correct`.")
def input_missing(seen: Seen, _: Circumstances) -> str | None:
    """The input that the step in hand sends is gone."""
    part = needed(seen.record) if seen.record and not finished(seen) else None
    return part if part and part not in seen.parts else None


@rule("Repair lets it expire a week from now.", "input")
def input_kept(seen: Seen, _: Circumstances) -> str | None:
    """The onboarding ended well and its input never expires."""
    kept = seen.header and seen.header.phase in INPUT_DONE and seen.input_ttl_ms == -1
    return "" if kept else None


@rule("Repair stops that.", "input")
def input_expiring(seen: Seen, _: Circumstances) -> str | None:
    """The input expires though the onboarding goes on."""
    going_on = seen.header and in_known_phase(seen) and seen.header.phase not in INPUT_DONE
    return "" if going_on and seen.input_ttl_ms >= 0 else None


@rule("Repair makes it due now.", "due")
def acts_stranded(seen: Seen, _: Circumstances) -> str | None:
    """Somebody did something to a finished record and nobody is to look at it."""
    return "" if seen.acts and finished(seen) and not seen.due and not seen.claim else None


@rule("Compare with a copy of the ledger: the history should say how the record came about.")
def history_missing(seen: Seen, _: Circumstances) -> str | None:
    """The record has no history."""
    return "" if seen.header and not seen.history else None


@rule("Compare with a copy of the ledger: the entry, or the one before it, is not what was written.")
def history_broken(seen: Seen, _: Circumstances) -> str | None:
    """The digests of the history do not follow from each other."""
    number = seen.chain.broken_at
    return f"entry {number}" if number else None


@rule("Compare with a copy of the ledger: entries were added to the history or taken away.")
def history_head(seen: Seen, _: Circumstances) -> str | None:
    """The last digest of the history is not the one that the record holds."""
    return "" if _whole(seen) and seen.record and seen.chain.head != seen.record.head else None


@rule("Compare the record with Iron: its phase was not written by a worker.")
def history_phase(seen: Seen, _: Circumstances) -> str | None:
    """The history does not lead to the record's phase."""
    header = seen.header if _whole(seen) and _written(seen) and in_known_phase(seen) else None
    return f"{seen.chain.phase} instead of {header.phase}" if header and seen.chain.phase != header.phase else None


@rule("Compare with a copy of the ledger: the version was not written by a worker.")
def history_length(seen: Seen, _: Circumstances) -> str | None:
    """The history has another number of entries than the record has versions."""
    header = seen.header if _whole(seen) and _written(seen) else None
    different = header and len(seen.history) != header.version
    return f"{len(seen.history)} instead of {header.version}" if different and header else None


LOST = "There is no record: restore it from a copy of the ledger, or send its job again."
kind("input_nowhere", "Stored input belongs to no record.", "Repair deletes it: it is personal.", "drop_input")
kind("history_nowhere", "A history belongs to no record.", LOST)
kind("acts_nowhere", "Somebody did something to a record that is not there.", LOST)
kind("evidence_nowhere", "Evidence of consent belongs to no record.", LOST)


def needed(record: Record) -> str | None:
    """Name the part of the input without which the step in hand cannot be done."""
    step = STEPS.get(record.step)
    return None if step is None or step.does_without(record) else step.part or None


def _whole(seen: Seen) -> bool:
    return bool(seen.history) and seen.chain.broken_at is None


def _written(seen: Seen) -> bool:
    """Return whether the history ends where the record was written."""
    return seen.record is not None and seen.chain.head == seen.record.head
