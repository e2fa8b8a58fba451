# ruff: noqa: D401 -- the docstring of a rule is the sentence of its finding, not an order
"""Rules of what keeps a record moving: its due time and its claim. Design section 2, rules 2 and 3."""

from __future__ import annotations

from pipelines.lanes import BEGUN, PLACES, READ_AGAIN
from workers.ledger import lane_of
from workers.operate.audit.kinds import Circumstances, finished, rule
from workers.operate.audit.seen import Seen
from workers.settings import FAR_WITH_SWEEP_S, LONGEST_S

#: A lane in which nothing moves and a lease that is over are reported after this many ms: a fleet that was restarted
#: or pushed back by Iron's budget has long taken them up by then.
LONG_MS = 300_000
#: A due time no farther than this may be a nudge under way, in ms: the wait for a nudge, and as much again.
SOON_MS = 10_000
#: A due time may be as far away as the longest pause that settings allow, and this much more, in ms.
FAR_MS = int(max(FAR_WITH_SWEEP_S, LONGEST_S) * 1000) + 86_400_000


@rule("Repair makes it due now.", "due")
def due_missing(seen: Seen, _: Circumstances) -> str | None:
    """An unfinished record has no due time: nobody would look at it again."""
    return "" if seen.header and not seen.due and not finished(seen) else None


@rule("Repair takes the due time away.", "undue")
def due_finished(seen: Seen, at: Circumstances) -> str | None:
    """A finished record has a due time, though nobody did anything to it."""
    if not finished(seen) or seen.due_ms is None or seen.acts or seen.claim or at.traffic.tap_closed:
        return None
    record = seen.record
    tried = record is None or record.attempts > 0 or (record.problem is not None and record.problem.retryable)
    return None if tried or seen.due_ms <= seen.now_ms + at.put_off_ms(seen, "call", SOON_MS) else ""


@rule("Repair puts it into its own lane.", "lanes")
def due_wrong_lane(seen: Seen, _: Circumstances) -> str | None:
    """The record is due in a lane that is not its own: the pulse would drop it there."""
    lane = seen.header.lane if seen.header else None
    wrong = lane is not None and PLACES.fullmatch(lane) and seen.due and lane not in seen.due
    return f"{', '.join(sorted(seen.due))} instead of {lane}" if wrong else None


@rule("Repair leaves it in its own lane, at the earlier time.", "lanes")
def due_two_lanes(seen: Seen, _: Circumstances) -> str | None:
    """The record is due in two lanes."""
    two = seen.header and seen.header.lane in seen.due and len(seen.due) > 1
    return ", ".join(sorted(seen.due)) if two else None


@rule("Repair lets the import take its turns again.", "turn")
def turn_missing(seen: Seen, at: Circumstances) -> str | None:
    """A customer of an import waits, and the import neither takes turns nor is halted: nobody would begin with them."""
    place = seen.header.lane if seen.header else ""
    waits = lane_of(place) != place and place not in (BEGUN, READ_AGAIN) and place in seen.due
    known = place in at.traffic.turns or place in at.earlier.turns
    return place.partition("/")[2] if waits and not known else None


@rule("Repair makes it due now.", "due")
def due_far(seen: Seen, _: Circumstances) -> str | None:
    """The record is due later than any pause can be."""
    return "" if seen.due_ms is not None and seen.due_ms > seen.now_ms + FAR_MS and not finished(seen) else None


@rule("See that workers run, that they serve this lane, and that the pulse beats.")
def overdue(seen: Seen, at: Circumstances) -> str | None:
    """The record is long due and nothing moves in its lane, though Iron may be called."""
    claimed = seen.held and seen.now_ms - seen.held.ends_ms > LONG_MS  # then lease_over says it better
    return str(seen.header and seen.header.lane) if _overdue(seen, at) and not claimed else None


@rule("Repair makes the record due now: the next claim replaces this one and knows of the doubt.", "due")
def lease_over(seen: Seen, at: Circumstances) -> str | None:
    """A claim ended without a commit long ago and nobody claimed the record again."""
    held, header = seen.held, seen.header
    if not held or not header or (held.version, held.lane) != (str(header.version), header.lane):
        return None
    return "" if seen.now_ms - held.ends_ms > LONG_MS and _left_alone(seen, at) else None


@rule("Repair makes the record due once the lease is over: the next claim replaces this one.", "due")
def claim_other_version(seen: Seen, at: Circumstances) -> str | None:
    """The claim is of another version than the record has."""
    held, header = seen.held, seen.header
    if not held or not header or held.version == str(header.version) or not _counts(seen, at):
        return None
    return f"{held.version} instead of {header.version}"


@rule("Repair makes the record due once the lease is over: the next claim replaces this one.", "due")
def claim_other_lane(seen: Seen, at: Circumstances) -> str | None:
    """The claim is of another lane than the record is in."""
    held, header = seen.held, seen.header
    if not held or not header or held.lane == header.lane or not _counts(seen, at):
        return None
    return f"{held.lane} instead of {header.lane}"


@rule("Repair takes it away, and makes the record due now.", "unclaim")
def claim_malformed(seen: Seen, _: Circumstances) -> str | None:
    """The claim cannot be read: no worker can claim the record."""
    return "" if seen.header and seen.claim and seen.held is None else None


def _overdue(seen: Seen, at: Circumstances) -> bool:
    late = seen.due_ms is not None and seen.due_ms < seen.now_ms - LONG_MS
    return late and seen.header is not None and at.stands(seen.header.lane)


def _left_alone(seen: Seen, at: Circumstances) -> bool:
    """Return whether a record that should be claimed again is not going to be soon."""
    if seen.due_ms is None:
        return finished(seen)  # an unfinished one without a due time is due_missing
    soon = at.put_off_ms(seen, "identification", SOON_MS)
    far = seen.due_ms > seen.now_ms + soon and not at.traffic.tap_closed
    return far or _overdue(seen, at)


def _counts(seen: Seen, at: Circumstances) -> bool:
    """Return whether a claim that is not the record's matters: in hand it does, else unless it is replaced soon."""
    return seen.held is not None and (seen.held.ends_ms > seen.now_ms or _left_alone(seen, at))
