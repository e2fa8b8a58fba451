"""What a policy means, in sentences, and how it differs from the one before."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.reidentification.policy import (
    MARGIN_DAYS,
    NOTICE_MARGIN_DAYS,
    InForce,
    ReidentificationPolicy,
    fields_of,
)


def explained(rule: InForce) -> Iterator[str]:
    """Return what a policy does, a sentence each."""
    policy = rule.policy
    if not policy.enabled:
        yield "The policy is off: nobody is identified again by a date. Customers can still be named one by one."
    for tier in ("high", "standard", "low"):
        interval = policy.tiers.get(tier)
        if policy.enabled and interval:
            yield f"A customer of the tier {tier} is identified again within {interval} of the last identification."
        elif policy.enabled:
            yield f"Customers of the tier {tier} are never identified again by this policy."
    if policy.enabled:
        yield from _when(policy)
        yield (
            f"Customers without a notice start on {rule.earliest} or later. Those who are past their date by then are"
            f" spread over {_days(rule.backlog_days)} from that day on."
        )
        by_whom = "workers start it by themselves" if policy.automatic else "it waits for `reidentify --due`"
        yield f"When a start is due, {by_whom}."
    cap, zone = policy.max_per_day, policy.hours.zone
    yield f"At most {cap:,} start per day ({zone}), earliest date first."
    if policy.hours.quiet:
        begin, end = policy.hours.quiet
        yield f"Nothing starts from {begin:%H:%M} to {end:%H:%M}."


def _when(policy: ReidentificationPolicy) -> Iterator[str]:
    latest = MARGIN_DAYS + policy.spread_days
    yield f"Each start is {MARGIN_DAYS} to {latest} days early, so that a day of downtime makes nobody late."
    if policy.notice_days:
        yield (
            f"The event onboarding.reidentification_due comes at least {_days(policy.notice_days)} before the start,"
            f" usually {_days(policy.notice_days + NOTICE_MARGIN_DAYS)}."
        )
    else:
        yield "There is no notice before the start: notice_days is 0."


def changes(before: ReidentificationPolicy, after: ReidentificationPolicy) -> list[str]:
    """Name the fields that differ, with both values."""
    old, new = fields_of(before), fields_of(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name}: {_shown(old.get(name))} becomes {_shown(new.get(name))}" for name in names]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{tier} {interval}" for tier, interval in value.items()) or "none"
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _days(number: int) -> str:
    return f"{number:,} day{'' if number == 1 else 's'}"
