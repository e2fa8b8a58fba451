"""The plan for one customer: notice, start and date, whatever the policy, the moment, and what happened before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import hypothesis.strategies as st
from hypothesis import given, settings

from pipelines.model import Again
from pipelines.reidentification import Doing, Hours, InForce, Interval, ReidentificationPolicy, announced, date_of, plan
from pipelines.reidentification.days import DAY_MS

YEAR = Interval(months=12)
BERLIN = Hours("Europe/Berlin", (time(22), time(7)))
POLICY = ReidentificationPolicy(enabled=True, hours=BERLIN, tiers={"high": YEAR, "standard": Interval(months=60)})
NOW_MS = round(datetime(2027, 1, 10, 12, tzinfo=UTC).timestamp() * 1000)
LONG_AGO = InForce(POLICY, 1, 0)


@dataclass(frozen=True)
class Customer:
    """What of a record a plan needs."""

    key: str = "k-1"
    risk_tier: str = "high"
    identified_ms: int | None = NOW_MS
    again: Again | None = None


def after_days(days: float, since_ms: int = NOW_MS) -> int:
    return since_ms + round(days * DAY_MS)


def follow(customer: Customer, rule: InForce, now_ms: int, *, late_ms: int = 0) -> tuple[int, int]:
    """Do what plans say, each `late_ms` after it is due; answers when the notice went out and when it started."""
    for _ in range(20):
        found = plan(customer, rule, now_ms)
        assert found is not None
        if found.doing is Doing.NOTICE:
            told = Again(noticed_ms=now_ms, announced_ms=announced(customer, rule, now_ms))
            customer = replace(customer, again=told)
        elif found.doing is Doing.START:
            assert customer.again is not None
            assert customer.again.noticed_ms is not None
            return customer.again.noticed_ms, now_ms
        else:
            assert found.at_ms is not None
            assert found.at_ms > now_ms
            now_ms = found.at_ms + late_ms
    raise AssertionError(customer)


KEYS = st.text("abcdef", min_size=1, max_size=8)


@settings(deadline=None)
@given(KEYS, st.integers(0, 3 * 365), st.sampled_from([0, 1, 14, 60]), st.sampled_from([0, 0.2, 1.0]))
def test_the_notice_comes_in_time_and_the_start_before_the_date(key: str, day: int, notice: int, late: float) -> None:
    """A day of downtime at the notice, at the start, or at both, makes nobody late and nobody start without notice."""
    rule = replace(LONG_AGO, policy=replace(POLICY, notice_days=max(notice, 1)))
    customer = Customer(key, identified_ms=after_days(day))
    told_ms, started_ms = follow(customer, rule, after_days(day + 1), late_ms=round(late * DAY_MS))
    due = date_of(customer, rule)
    assert due is not None
    assert started_ms - told_ms >= max(notice, 1) * DAY_MS
    assert BERLIN.day(started_ms) <= due
    assert BERLIN.is_open(started_ms)
    assert (due - BERLIN.day(started_ms)).days <= 2 + POLICY.spread_days


@settings(deadline=None)
@given(KEYS, st.integers(1, 6 * 365), st.booleans())
def test_a_backlog_is_spread_after_the_notice(key: str, age_days: int, started: bool) -> None:
    """However old the identification is when a policy comes into force: a notice first, then a start in the spread."""
    wanted = date(2027, 3, 1) if started else None
    rule = InForce(replace(POLICY, start=wanted), 1, NOW_MS, "ada", NOW_MS, backlog_days=40)
    customer = Customer(key, identified_ms=after_days(-age_days))
    told_ms, started_ms = follow(customer, rule, NOW_MS)
    due = date_of(customer, rule)
    assert due is not None
    first = max(rule.earliest, wanted or rule.earliest)
    assert started_ms - told_ms >= POLICY.notice_days * DAY_MS
    assert BERLIN.day(started_ms) >= first
    assert BERLIN.day(started_ms) <= max(due, first + timedelta(days=40))


def test_whose_date_is_the_first_day_of_a_policy_is_not_late() -> None:
    """The notice just fits: the start is on the date itself, and not somewhere in the backlog."""
    rule = InForce(POLICY, 1, NOW_MS, "ada", NOW_MS, backlog_days=300)
    for n in range(50):
        customer = Customer(f"k-{n}", identified_ms=after_days(-350))
        assert date_of(customer, rule) == rule.earliest
        told_ms, started_ms = follow(customer, rule, NOW_MS)
        assert BERLIN.day(started_ms) == rule.earliest
        assert started_ms - told_ms >= POLICY.notice_days * DAY_MS


def test_a_policy_that_is_off_plans_nothing() -> None:
    """Whatever the dates are, nothing is due by a policy that is off, or for a tier that it leaves out."""
    old = Customer(identified_ms=0)
    assert plan(old, replace(LONG_AGO, policy=replace(POLICY, enabled=False)), NOW_MS) is None
    assert plan(replace(old, risk_tier="low"), LONG_AGO, NOW_MS) is None
    assert plan(replace(old, identified_ms=None), LONG_AGO, NOW_MS) is None


def told(**more: int) -> Again:
    """A notice of a start ten days from now."""
    return Again(noticed_ms=after_days(-5), announced_ms=after_days(10), **more)


def test_a_notice_stands_while_the_date_does_not_move_away() -> None:
    """A new policy that wants the start earlier does not break what upstream was told; one that wants it later does."""
    customer = Customer(identified_ms=after_days(-352), again=told())
    tighter = InForce(replace(POLICY, tiers={"high": Interval(months=6)}), 2, NOW_MS, "ada", NOW_MS)
    assert plan(customer, tighter, NOW_MS) == replace(
        plan(customer, tighter, NOW_MS),  # type: ignore[type-var]
        doing=Doing.WAIT,
        at_ms=after_days(10),
    )
    looser = InForce(replace(POLICY, tiers={"high": Interval(months=24)}), 2, NOW_MS, "ada", NOW_MS)
    later = plan(customer, looser, NOW_MS)
    assert later is not None
    assert later.doing is Doing.WAIT
    assert later.at_ms is not None
    assert later.at_ms > after_days(300)


def test_an_identification_meanwhile_moves_the_date() -> None:
    """A notice is void when Iron or a person identified the customer after it."""
    moved = plan(Customer(identified_ms=after_days(-1), again=told()), LONG_AGO, after_days(11))
    assert moved is not None
    assert moved.doing is Doing.WAIT
    assert moved.at_ms is not None
    assert moved.at_ms > after_days(300)


def test_what_has_begun_is_not_announced_any_more() -> None:
    """The notice of an identification that has begun says nothing of the next one."""
    found = plan(Customer(identified_ms=after_days(-400), again=told(begun_ms=NOW_MS)), LONG_AGO, after_days(11))
    assert found is not None
    assert found.doing is Doing.NOTICE


def test_who_is_asked_for_by_a_person_starts_in_open_hours_whatever_the_date() -> None:
    """A named customer needs no date and no enabled policy, but waits for the end of the quiet hours."""
    off = InForce()
    asked = Customer(again=Again(run="r", asked_ms=NOW_MS, by_hand=True))
    assert plan(asked, off, NOW_MS) == replace(
        plan(asked, off, NOW_MS),  # type: ignore[type-var]
        doing=Doing.START,
    )
    night_ms = round(datetime(2027, 1, 10, 23, tzinfo=UTC).timestamp() * 1000)
    waits = plan(asked, LONG_AGO, night_ms)
    assert waits is not None
    assert waits.doing is Doing.WAIT
    assert waits.at_ms is not None
    assert time(7) <= datetime.fromtimestamp(waits.at_ms / 1000, UTC).astimezone().time() or BERLIN.is_open(waits.at_ms)


def test_without_automatic_starts_a_run_has_to_ask() -> None:
    """Notices go out, but who is due waits until a run asks for it."""
    rule = replace(LONG_AGO, policy=replace(POLICY, automatic=False))
    due = Customer(identified_ms=after_days(-364), again=told())
    waits = plan(due, rule, after_days(11))
    assert waits is not None
    assert (waits.doing, waits.at_ms) == (Doing.WAIT, None)
    asked = replace(due, again=told(asked_ms=after_days(11)))
    starts = plan(asked, rule, after_days(11))
    assert starts is not None
    assert starts.doing is Doing.START
    early = plan(asked, rule, after_days(1))
    assert early is not None
    assert early.doing is Doing.WAIT


def test_without_a_time_of_notice_there_is_none() -> None:
    """A policy of no notice starts on the planned day at once."""
    rule = replace(LONG_AGO, policy=replace(POLICY, notice_days=0))
    found = plan(Customer(identified_ms=after_days(-366)), rule, NOW_MS)
    assert found is not None
    assert found.doing is Doing.START
