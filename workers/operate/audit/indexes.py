# ruff: noqa: D401 -- the docstring of a rule is the sentence of its finding, not an order
"""Rules of the indexes, seen from the record, and the kinds of entries that lead nowhere or astray."""

from __future__ import annotations

from pipelines.lifecycle import Phase
from workers.operate.audit.kinds import Circumstances, kind, rule
from workers.operate.audit.seen import Holder, Seen


@rule("Repair puts it there.", "phases")
def phase_missing(seen: Seen, _: Circumstances) -> str | None:
    """The record is in no index of a phase, so that lists and counts leave it out."""
    return seen.header.phase if seen.header and not seen.phases else None


@rule("Repair moves it.", "phases")
def phase_wrong(seen: Seen, _: Circumstances) -> str | None:
    """The record is in the index of another phase than its own."""
    wrong = seen.header and seen.phases and seen.header.phase not in seen.phases
    return f"{', '.join(sorted(seen.phases))} instead of {seen.header.phase}" if wrong and seen.header else None


@rule("Repair leaves it in the one of its own phase.", "phases")
def phase_twice(seen: Seen, _: Circumstances) -> str | None:
    """The record is in the indexes of two phases."""
    twice = seen.header and seen.header.phase in seen.phases and len(seen.phases) > 1
    return ", ".join(sorted(seen.phases)) if twice else None


@rule("Repair writes the record's time there.", "phases")
def phase_score(seen: Seen, _: Circumstances) -> str | None:
    """The index of the phase has another time than the record."""
    at = seen.phases.get(seen.header.phase) if seen.header else None
    return "" if at is not None and seen.header and float(at) != seen.header.since_ms else None


@rule("Repair puts it there.", "point")
def external_missing(seen: Seen, _: Circumstances) -> str | None:
    """The record cannot be found by its external id."""
    holder = seen.external
    return seen.record.external_id if seen.record and holder and not holder.key else None


@rule("Repair lets the external id lead to the record that has it now.", "point")
def external_shadowed(seen: Seen, _: Circumstances) -> str | None:
    """The record's external id leads to another record that had it once and was corrected since."""
    holder = _other(seen, seen.external)
    shadowed = holder and not holder.same and holder.revision > 0
    return f"leads to {holder.key}" if shadowed and holder else None


@rule("Two onboardings for one customer: compare with Iron, correct or cancel one of them.")
def external_twice(seen: Seen, _: Circumstances) -> str | None:
    """Another record has the same external id."""
    holder = _other(seen, seen.external)
    return f"as has {holder.key}" if holder and holder.same else None


@rule("Repair puts it there.", "point")
def customer_missing(seen: Seen, _: Circumstances) -> str | None:
    """The record cannot be found by Iron's customer id, so that webhooks miss it."""
    holder = seen.customer
    return seen.record.customer_id if seen.record and holder and not holder.key else None


@rule("Two onboardings for one customer: compare with Iron, correct or cancel one of them.")
def customer_twice(seen: Seen, _: Circumstances) -> str | None:
    """Another record has the same customer of Iron."""
    holder = _other(seen, seen.customer)
    return f"as has {holder.key}" if holder and holder.same else None


@rule("Repair writes there what the record says.", "identified")
def schedule_wrong(seen: Seen, _: Circumstances) -> str | None:
    """The schedule of re-identification says something else of the customer than the record."""
    record = seen.record
    if not seen.header or record is None:
        return None
    known = record.phase is Phase.ACTIVE and record.identified_ms is not None
    wanted = {record.risk_tier: float(record.identified_ms or 0)} if known else {}
    found = {tier: float(at) for tier, at in seen.identified.items()}
    return (
        None
        if found == wanted
        else f"{', '.join(sorted(found)) or 'nothing'} instead of {', '.join(wanted) or 'nothing'}"
    )


GONE = "There is no record; repair takes the entry away."
kind("due_nowhere", "A due time belongs to no record.", GONE, "unmember")
kind("phase_nowhere", "An entry in the index of a phase belongs to no record.", GONE, "unmember")
kind("identified_nowhere", "An entry in the schedule of re-identification belongs to no record.", GONE, "unmember")
kind("waiting_nowhere", "A place in the queue for re-identification belongs to no record.", GONE, "unmember")
kind("claim_nowhere", "A claim belongs to no record.", GONE, "unmember")
kind("link_nowhere", "A note that customer's links were revoked belongs to no record.", GONE, "unmember")
kind(
    "endpoint_nowhere",
    "What is kept of an endpoint's deliveries belongs to no endpoint.",
    "Repair deletes it.",
    "drop_rest",
)
kind("external_nowhere", "An external id leads to no record, and no job can have it.", GONE, "unpoint")
kind("customer_nowhere", "A customer id of Iron leads to no record.", GONE, "unpoint")
kind("email_nowhere", "An e-mail address leads to no record.", GONE, "unpoint")
kind(
    "external_stray",
    "An external id leads to a record that never had it.",
    "Repair takes the entry away, and lets the id lead to the record that has it.",
    "unpoint",
)
kind(
    "customer_stray",
    "A customer id of Iron leads to a record of another customer, which webhooks wake in vain.",
    "Repair takes the entry away, and lets the id lead to the record that has it.",
    "unpoint",
)


def _other(seen: Seen, holder: Holder | None) -> Holder | None:
    """Return where an id leads if that is another record that is there."""
    return holder if holder and holder.exists and holder.key != seen.key else None
