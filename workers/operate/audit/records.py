# ruff: noqa: D401 -- the docstring of a rule is the sentence of its finding, not an order
"""Rules of a record by itself: that it can be read, and that phase, step, statuses, times and effects agree."""

from __future__ import annotations

from pipelines.lanes import PLACES
from pipelines.lifecycle import FINISHED, Phase, decide
from pipelines.model import FORMAT, Record
from pipelines.onboarding import STEPS
from workers.operate.audit.kinds import Circumstances, finished, in_known_phase, rule
from workers.operate.audit.seen import Seen

#: How far a record's times may be ahead of the server's clock, in ms: clocks are set by such amounts now and then.
AHEAD_MS = 60_000


@rule("Restore this key from a copy of the ledger.")
def record_malformed(seen: Seen, _: Circumstances) -> str | None:
    """The first line of the record is not one: no worker can read it."""
    return "" if seen.exists and seen.header is None else None


@rule("Let workers of the newer release run; nothing is wrong with the record.", information=True)
def format_newer(seen: Seen, _: Circumstances) -> str | None:
    """The record was written by a newer release than this one, which cannot judge it."""
    return f"format {seen.header.format}" if seen.header and seen.header.format > FORMAT else None


@rule("Restore this key from a copy of the ledger.")
def record_unreadable(seen: Seen, _: Circumstances) -> str | None:
    """The record's JSON cannot be read."""
    return "" if seen.header and seen.record is None else None


@rule("Find out who wrote it, and restore this key from a copy of the ledger.")
def phase_unknown(seen: Seen, _: Circumstances) -> str | None:
    """The record is in a phase that does not exist."""
    return seen.header.phase if seen.header and not in_known_phase(seen) else None


@rule("Find out who wrote it, and restore this key from a copy of the ledger.")
def step_unknown(seen: Seen, _: Circumstances) -> str | None:
    """The record waits for a step that does not exist."""
    return seen.header.step if seen.header and seen.header.step not in STEPS else None


@rule("Find out who wrote it, and restore this key from a copy of the ledger.")
def lane_unknown(seen: Seen, _: Circumstances) -> str | None:
    """The record is in a lane that no worker serves."""
    return seen.header.lane if seen.header and not PLACES.fullmatch(seen.header.lane) else None


@rule("Compare the record with Iron; `retry` lets the table decide again.")
def step_misfit(seen: Seen, _: Circumstances) -> str | None:
    """The record's step does not belong to its phase."""
    header, record = seen.header, seen.record
    if not header or not record or not in_known_phase(seen) or header.step not in STEPS or fits(record):
        return None
    return f"{header.step} in {header.phase}"


@rule("Compare the record with Iron; `retry` lets the table decide again.")
def phase_misfit(seen: Seen, _: Circumstances) -> str | None:
    """The statuses of Iron that the record holds do not lead to its phase."""
    record = seen.record
    if not seen.header or not record or not in_known_phase(seen) or follows(record):
        return None
    return f"{record.phase} with {record.customer_status}, {record.identification_status}"


@rule("Check the server's clock; the next commit writes new times.")
def times_backwards(seen: Seen, _: Circumstances) -> str | None:
    """The record's times run backwards: created, then in its phase, then updated is the order."""
    header = seen.header
    return "" if header and not header.created_ms <= header.since_ms <= header.updated_ms else None


@rule("Check the server's clock: while it is behind, what is due comes late.")
def times_ahead(seen: Seen, _: Circumstances) -> str | None:
    """The record was written later than the server's clock says it is now."""
    return "" if seen.header and seen.header.updated_ms > seen.now_ms + AHEAD_MS else None


@rule("See why no attempt gets through; the next one looks at Iron before it calls.")
def effect_old(seen: Seen, at: Circumstances) -> str | None:
    """A call to Iron is in doubt for longer than Iron remembers its key."""
    effect = seen.record.effect if seen.record and not finished(seen) else None
    if effect is None or not effect.in_doubt or effect.first_ms is None:
        return None
    return effect.step if seen.now_ms - effect.first_ms > at.policy.retention_s * 1000 else None


@rule("Repair notes it, so that the sweep asks for it.", "sub_partner")
def sub_partner_missing(seen: Seen, _: Circumstances) -> str | None:
    """The record's sub-partner is not one of those that the sweep asks for."""
    return None if seen.sub_partner_known else str(seen.record.sub_partner_id if seen.record else "")


def fits(record: Record) -> bool:
    """Return whether pipelines.advance could have given this step to a record in this phase."""
    if record.customer_id is None:
        return record.step == "create_customer"
    if record.phase in FINISHED and not record.archive:
        return record.step == "refresh"
    return STEPS[record.step].may_stand(record)


def follows(record: Record) -> bool:
    """Return whether the table leads from what the record holds of Iron's statuses to its phase."""
    if record.phase in (Phase.FAILED, Phase.CANCELLED):
        return True
    if record.customer_id is None:
        return record.phase is Phase.RECEIVED
    table = decide(
        record.customer_status or "",
        record.identification_status,
        has_url=record.link is not None,
        was_active=record.was_active,
        may_retry=record.may_retry,
    ).phase
    exhausted = table is Phase.EXPIRED and record.phase is Phase.ON_HOLD
    return record.phase is table or exhausted
