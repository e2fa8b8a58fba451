"""Which stage a record is in, and since when. Pure.

A stage is a phase and who must act in it: `in_review iron`. Another document to sign, or another problem, is the same
stage. Those of nobody have no clock.
"""

from __future__ import annotations

from pipelines.model import Record


def stage_of(record: Record) -> str:
    """Name the stage of a record: its phase, and who must act."""
    return f"{record.phase.value} {record.waiting_on().value}"


def stage_since_ms(record: Record) -> int:
    """Say since when a record is in its stage."""
    return record.since_ms if record.turn_ms is None else record.turn_ms


def turn_ms(before: Record, record: Record, now_ms: int) -> int | None:
    """Say since when whoever must act must act, where that is not since the phase began."""
    if record.phase is not before.phase:
        return None
    return before.turn_ms if record.waiting_on() is before.waiting_on() else now_ms
