"""When a customer is reminded next of what they have to do, and what a commit tells upstream of it. Pure.

A due time is computed, never stored: from since when the need is there, how often and when the customer was reminded of
it, and the policy in force. A reminder is told only by the commit of a step that has just read the customer, so that it
never comes after the need is gone. Source: design section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.acts import MAX_ROUNDS_ASKED
from pipelines.lifecycle import Actor, Phase
from pipelines.model import Next, Record, Reminded
from pipelines.reidentification.days import DAY_MS, places
from pipelines.reminders.policy import RemindersInForce

#: Name of the event; in the event stream the need and the count follow, each after a slash.
REMINDER_DUE = "reminder_due"

#: What the customer has to do in a phase, as the record's needs say it; documents are looked at one by one.
NEED_IN = {
    Phase.IDENTIFICATION_PENDING: "complete_identification",
    Phase.STEP_UP_REQUIRED: "complete_step_up",
    Phase.DECLINED: "request_new_round",
}

#: Where a reminder is due and the customer was not read just now, they are read after so many seconds at most.
READ_SOON_S = 60.0
#: Where something happened while a reminder was about to be told, the customer is read again after so many seconds.
READ_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Due:
    """The next reminder: of which need, the how manieth, and when (ms)."""

    need: str
    count: int
    at_ms: int


def need_of(record: Record) -> str | None:
    """Say what this customer can be reminded of in this phase; None: of nothing."""
    if record.phase is Phase.SIGNINGS_REQUIRED:
        open_ = any(not signing.signed_ms and not signing.consented_ms for signing in record.signings)
        return "sign_document" if open_ else None
    if record.phase is Phase.DECLINED and (not record.may_retry or record.rounds_asked >= MAX_ROUNDS_ASKED):
        return None
    return NEED_IN.get(record.phase)


def next_due(record: Record, rule: RemindersInForce) -> Due | None:
    """Give the next reminder of a record as the ledger holds it; None: there is none by this policy.

    Nobody is reminded while an operator has to look first: what the customer sees may be what is wrong.
    """
    need, policy = need_of(record), rule.policy
    rhythm = policy.needs.get(need or "")
    if need is None or rhythm is None or not policy.enabled or record.waiting_on() is not Actor.CUSTOMER:
        return None
    told = record.reminded or Reminded(need, record.since_ms)
    if told.count >= rhythm.at_most:
        return None
    nominal_ms = told.since_ms + rhythm.after_ms if told.last_ms is None else told.last_ms + rhythm.every_ms
    early, _, late = places(record.key)
    if nominal_ms < rule.at_ms:
        nominal_ms = rule.at_ms + int(early * policy.backlog_days * DAY_MS)
    return Due(need, told.count + 1, policy.hours.soon(nominal_ms, late))


def due_of(record: Record, rule: RemindersInForce, now_ms: int) -> Due | None:
    """Give the next reminder as it can be told from now on: one that is late waits for open hours."""
    due = next_due(record, rule)
    if due is None or due.at_ms > now_ms:
        return due
    return replace(due, at_ms=rule.policy.hours.soon(now_ms, places(record.key)[2]))


def with_reminder(before: Record, following: Next, rule: RemindersInForce, now_ms: int) -> Next:
    """Let a commit look at the record again when a reminder is due, or tell it, where that is now."""
    record = following.record.evolve(reminded=_reminded(before, following.record, now_ms))
    following = replace(following, record=record)
    entered = record.phase is not before.phase
    due = due_of(record.evolve(since_ms=now_ms) if entered else record, rule, now_ms)
    following = replace(following, reminders=rule.version if need_of(record) else None)
    if due is None or not _waits(following):
        return following
    if due.at_ms > now_ms:
        return _sooner(following, (due.at_ms - now_ms) / 1000)
    if not following.read:
        return _sooner(following, READ_SOON_S)
    return _telling(following, due, rule, now_ms)


def _reminded(before: Record, record: Record, now_ms: int) -> Reminded | None:
    """Say since when the need is there, where that is not since the phase is, and how often it was told.

    What was told of a need is forgotten with the need.
    """
    need = need_of(record)
    if need is None or record.phase is not before.phase:
        return None
    return before.reminded if need == need_of(before) else Reminded(need, now_ms)


def _waits(following: Next) -> bool:
    """Say whether nothing is to be done after this commit but to read the customer again some time."""
    record = following.record
    return record.step == "refresh" and record.problem is None and bool(following.delay_s)


def _sooner(following: Next, delay_s: float) -> Next:
    """Let the record be due after so many seconds at the latest."""
    return replace(following, delay_s=min(following.delay_s or delay_s, max(delay_s, 0.001)))


def _telling(following: Next, due: Due, rule: RemindersInForce, now_ms: int) -> Next:
    """Tell a reminder with this commit, unless somebody does something meanwhile: then another look comes first."""
    record = following.record
    since_ms = record.reminded.since_ms if record.reminded else record.since_ms
    told = record.evolve(reminded=Reminded(due.need, since_ms, due.count, now_ms))
    note = f"reminder {due.count} of {rule.policy.needs[due.need].at_most}: {due.need}"
    telling = replace(
        following,
        record=told,
        note=f"{following.note}; {note}" if following.note else note,
        event=f"{REMINDER_DUE}/{due.need}/{due.count}",
        instead=_sooner(following, READ_AGAIN_S),
    )
    then = due_of(told, rule, now_ms)
    return _sooner(telling, (then.at_ms - now_ms) / 1000) if then else telling
