"""The step that looks whether an active customer is to be identified again now, and takes a place for the start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.attempt import Ask, Attempt
from pipelines.iron import Iron
from pipelines.lifecycle import IN_FLIGHT, CustomerStatus
from pipelines.model import Again, Done, Outcome, Record, Wait
from pipelines.reading import after_reading, id_at_iron, known_since, not_older
from pipelines.reidentification import Doing, announced, announced_start, date_of, plan, turn_ms

#: Pause before a run that is paused is asked again, in milliseconds; `--resume` wakes those who wait.
PAUSED_MS = 3_600_000


def reidentify(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Look whether an active customer is to be identified again now: give notice of it, or take a place for the start.

    The customer and the newest identification are read first, and the plan is made of what they show: who is not
    active any more, or was identified meanwhile, is left alone. The identification itself is begun by the next step.
    """
    customer = iron.customer(id_at_iron(record))
    if customer.status != CustomerStatus.ACTIVE:
        return after_reading(record, customer, iron, attempt)
    now_ms = attempt.now_ms()
    changes = known_since(record, not_older(record, iron.identifications(customer.id)), attempt)
    changes |= {"customer_status": customer.status, "was_active": True, "link": None}
    seen = record.evolve(**changes)
    if seen.identification_status in IN_FLIGHT:
        return Wait("an identification is in progress", until_ms=now_ms + int(attempt.policy.settle_s * 1000))
    found = plan(seen, attempt.rule(), now_ms)
    again = seen.again or Again()
    match found.doing if found else None:
        case Doing.NOTICE:
            at_ms = announced(seen, attempt.rule(), now_ms)
            told = Again(noticed_ms=now_ms, announced_ms=at_ms)
            note = f"notice: re-identification from {attempt.rule().policy.hours.day(at_ms)}"
            return Done(changes | {"again": told}, note, event="reidentification_due")
        case Doing.START:
            return _take_place(seen, changes, attempt)
        case Doing.WAIT if found and found.at_ms is not None and again.asked and _stands(seen, attempt):
            return Wait("requested; it waits for its time", "reidentify", found.at_ms)
    return Done(changes | {"again": again.withdrawn() if again.asked else seen.again}, "nothing to start now")


def _stands(record: Record, attempt: Attempt) -> bool:
    """Return whether a request is still good: a person's always, a run's while the date has not moved away."""
    again = record.again or Again()
    return again.by_hand or announced_start(record, attempt.rule()) is not None


def _take_place(record: Record, changes: dict[str, Any], attempt: Attempt) -> Outcome:
    """Ask for one of the day's starts."""
    rule, now_ms, again = attempt.rule(), attempt.now_ms(), record.again or Again()
    hours, cap, due = rule.policy.hours, rule.policy.max_per_day, date_of(record, rule)
    today = hours.day(now_ms)
    run = again.run if again.asked else today.isoformat()
    by_hand = again.asked and again.by_hand
    order_ms = again.asked_ms if by_hand and again.asked_ms else hours.moment(due or today, 0)
    place = attempt.place(Ask(record.key, run, today, order_ms, cap))
    match place.answer:
        case "granted":
            started = replace(again, run=run, day=today.isoformat())
            return Done(changes | {"again": started}, f"has one of the starts of {today}")
        case "full":
            at_ms = turn_ms(rule, now_ms, place.ahead + place.taken - cap)
            return Wait(f"all {cap} starts of {today} are taken", "reidentify", at_ms)
        case "cancelled" if again.asked:
            return Done(changes | {"again": again.withdrawn()}, f"the run {run} is cancelled")
        case _:
            pause_ms = now_ms + PAUSED_MS
            return Wait(f"the run {run} is {place.answer}", "reidentify", hours.next_open(pause_ms))


def may_begin_again(record: Record, attempt: Attempt) -> bool:
    """Return whether the start that this customer has a place for may still happen: same day, open hours, same plan."""
    rule, now_ms, again = attempt.rule(), attempt.now_ms(), record.again
    if again is None or not again.starting or not rule.policy.hours.is_open(now_ms):
        return False
    found = plan(record, rule, now_ms)
    return again.day == rule.policy.hours.day(now_ms).isoformat() and found is not None and found.doing is Doing.START
