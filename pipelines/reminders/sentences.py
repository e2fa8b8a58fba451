"""What a policy of reminders means, in sentences, and how it differs from the one before."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.reminders.policy import UNITS, ReminderPolicy, Rhythm, duration, fields_of

_NAMES = {"h": "hour", "d": "day", "w": "week"}
#: What a customer has to do, by need, as the sentence goes on after "who has to".
_WHAT = {
    "complete_identification": "complete the identification",
    "complete_step_up": "provide what Iron asks for again",
    "request_new_round": "ask for another try after a decline",
    "sign_document": "accept a document",
}


def explained(policy: ReminderPolicy) -> Iterator[str]:
    """Say what a policy does, a sentence each."""
    if not policy.enabled:
        yield "The policy is off: nobody is reminded of anything."
        return
    for need, what in _WHAT.items():
        rhythm = policy.needs.get(need)
        if rhythm:
            yield f"A customer who has to {what} ({need}) is reminded {_rhythm(rhythm)}."
        else:
            yield f"Nobody is reminded to {what} ({need})."
    if policy.hours.quiet:
        begin, end = policy.hours.quiet
        yield f"No reminder is due from {begin:%H:%M} to {end:%H:%M} ({policy.hours.zone})."
    else:
        yield f"Reminders are due at any hour; days are counted in {policy.hours.zone}."
    spread = "a day" if policy.backlog_days == 1 else f"{policy.backlog_days} days"
    yield f"Those who are late already when it takes effect are spread over {spread}."
    yield (
        "Each reminder is an event, onboarding.reminder_due, after the customer was read at Iron once more;"
        " your own system sends the message."
    )


def changes(before: ReminderPolicy, after: ReminderPolicy) -> list[str]:
    """Name the fields that differ, with both values."""
    old, new = _flat(before), _flat(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name, 'nothing')} becomes {new.get(name, 'nothing')}" for name in names]


def _rhythm(rhythm: Rhythm) -> str:
    first = f"after {_length(rhythm.after_ms)} of waiting"
    if rhythm.at_most == 1:
        return f"{first}, once"
    return f"{first}, then every {_length(rhythm.every_ms)}, {rhythm.at_most} times at most"


def _length(length_ms: int) -> str:
    unit = duration(length_ms)[-1]
    number = length_ms // UNITS[unit]
    return f"{number} {_NAMES[unit]}{'' if number == 1 else 's'}"


def _flat(policy: ReminderPolicy) -> dict[str, str]:
    """Write a policy's fields as texts, those of needs by need."""
    fields = fields_of(policy)
    flat = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
    del flat["needs"]
    return flat | {f"{need}.{name}": str(value) for need, one in fields["needs"].items() for name, value in one.items()}
