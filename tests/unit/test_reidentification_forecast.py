"""The calendar: counts by week, the queue that the cap makes, and who passes the date in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from pipelines.reidentification import InForce, Interval, ReidentificationPolicy, forecast

TODAY = date(2027, 3, 1)
POLICY = ReidentificationPolicy(
    enabled=True, max_per_day=10, tiers={"high": Interval(months=12), "standard": Interval(months=60)}
)
RULE = InForce(POLICY, 1)


def identified(due: date, tier: str = "high") -> tuple[str, date]:
    """A cohort whose date is this one."""
    return tier, date(due.year - (1 if tier == "high" else 5), due.month, due.day)


def test_each_date_is_in_its_week_and_tier() -> None:
    """What falls due is counted in the week of the date, by tier; the starts come before it."""
    found = forecast([(identified(date(2027, 6, 16)), 70), (identified(date(2027, 6, 18), "standard"), 5)], RULE, TODAY)
    [week] = [week for week in found.weeks if week.due]
    assert (week.begins, dict(week.due)) == (date(2027, 6, 14), {"high": 70, "standard": 5})
    starts = {day.begins: day.starts for day in found.days if day.starts}
    assert sum(starts.values()) == pytest.approx(75)
    assert min(starts) >= date(2027, 6, 7)
    assert max(starts) <= date(2027, 6, 16)
    assert (found.overdue, found.passing) == (0, {})


def test_a_cap_that_is_too_small_makes_a_queue_and_names_who_passes() -> None:
    """A thousand on one date with ten a day: the queue's length, and the cohort that will be late."""
    cohort = identified(date(2027, 6, 16))
    found = forecast([(cohort, 1_000)], RULE, TODAY)
    assert found.longest_queue > 800
    in_time = sum(day.starts for day in found.days if day.begins <= date(2027, 6, 16))
    assert found.passing == {cohort: pytest.approx(1_000 - in_time)}
    assert sum(day.starts for day in found.days) == pytest.approx(1_000)


def test_who_is_overdue_when_a_policy_comes_is_counted_and_spread() -> None:
    """Nobody of a backlog starts before the notice, and all of them within the days of the backlog."""
    at_ms = 1_803_859_200_000  # 2027-03-01
    rule = InForce(POLICY, 1, at_ms, "ada", at_ms, backlog_days=30)
    found = forecast([(("high", date(2024, 1, 1)), 120)], rule, TODAY)
    starts = [day for day in found.days if day.starts]
    assert found.overdue == 120
    assert (starts[0].begins, starts[-1].begins) == (rule.earliest, rule.earliest + timedelta(days=29))


def test_a_policy_that_is_off_has_an_empty_calendar() -> None:
    """Nothing is due by it."""
    found = forecast([(identified(date(2027, 6, 16)), 70)], replace(RULE, policy=replace(POLICY, enabled=False)), TODAY)
    assert (found.overdue, found.longest_queue) == (0, 0)
    assert not any(day.due or day.starts for day in found.days)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.dates(date(2020, 1, 1), date(2027, 3, 1)), st.integers(1, 300)), max_size=20),
    st.integers(1, 50),
)
def test_nobody_is_lost_between_the_days(cohorts: list[tuple[date, int]], cap: int) -> None:
    """Whoever is planned within the calendar has started by its end or is still in the queue; no day passes the cap."""
    rule = replace(RULE, policy=replace(POLICY, max_per_day=cap))
    found = forecast([(("high", day), count) for day, count in cohorts], rule, TODAY, 500)
    started = sum(day.starts for day in found.days)
    assert started + found.days[-1].queue == pytest.approx(sum(count for _, count in cohorts), abs=0.01)
    assert max(day.starts for day in found.days) <= cap + 0.01


@pytest.mark.parametrize("count", [1, 2, 7])
def test_small_cohorts_do_not_gather_on_one_day(count: int) -> None:
    """A few customers a day are spread like many: no day takes more than their even share."""
    cohorts = [(identified(TODAY + timedelta(days=60 + n)), count) for n in range(200)]
    starts = [
        day.starts for day in forecast(cohorts, replace(RULE, policy=replace(POLICY, max_per_day=900)), TODAY).days
    ]
    assert max(starts) == pytest.approx(count)
