"""The policy file: the contract's example is read; whatever is impossible or unsafe is refused with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time

import pytest

from pipelines.reidentification import InForce, PolicyInvalidError, policy_of, read_policy, restored, stored
from pipelines.reidentification.policy import MAX_PER_DAY, fields_of

CONTRACT = """
[reidentification]
enabled = false                 # off until somebody decides: it takes live customers offline
max_per_day = 500
quiet_hours = "22:00-07:00"     # no starts in these hours
time_zone = "Europe/Berlin"
notice_days = 14                # event onboarding.reidentification_due that long before
[reidentification.tiers]
high = "1y"
standard = "5y"
low = "5y"
"""


def test_the_contracts_example_is_a_policy() -> None:
    """The file that the contract shows is read, and off."""
    policy = read_policy(CONTRACT)
    assert not policy.enabled
    assert (policy.max_per_day, policy.notice_days, policy.hours.zone) == (500, 14, "Europe/Berlin")
    assert policy.hours.quiet == (time(22), time(7))
    assert {tier: str(interval) for tier, interval in policy.tiers.items()} == {
        "high": "1 year",
        "standard": "5 years",
        "low": "5 years",
    }


def test_without_a_decision_nothing_is_on() -> None:
    """An empty policy is off, with the contract's cap for those whom people name."""
    policy = policy_of({})
    assert (policy.enabled, policy.max_per_day) == (False, MAX_PER_DAY)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"max_per_day": 0}, "With 0 nothing could ever start"),
        ({"max_per_day": "many"}, "max_per_day is a whole number"),
        ({"max_per_day": True}, "max_per_day is a whole number"),
        ({"notice_days": -1}, "notice_days is a whole number from 0 to 365"),
        ({"quiet_hours": "00:00-00:00"}, "nothing could ever start"),
        ({"quiet_hours": "00:01-23:59"}, "nothing could ever start"),
        ({"quiet_hours": "22-7"}, "quiet_hours is written as 22:00-07:00"),
        ({"quiet_hours": 22}, "quiet_hours is written as 22:00-07:00"),
        ({"time_zone": "Europe/Bonn"}, "no zone of the tz database"),
        ({"time_zone": "../etc/passwd"}, "no zone of the tz database"),
        ({"time_zone": 7}, "no zone of the tz database"),
        ({"tiers": {"medium": "1y"}}, "medium is no risk tier"),
        ({"tiers": {"high": "a year"}}, "interval of high is written as"),
        ({"tiers": {"high": "14d"}}, "the notice would come before the identification"),
        ({"tiers": {}, "enabled": True}, "No tier has an interval"),
        ({"tiers": 5}, "is a table of tiers"),
        ({"start": "soon"}, "start is a day"),
        ({"enabled": "yes"}, "enabled is true or false"),
        ({"max_per_dya": 5}, "max_per_dya is no field"),
        ({"backlog_days": 0}, "backlog_days is a whole number from 1"),
    ],
)
def test_impossible_and_unsafe_policies_are_refused(changed: dict[str, object], reason: str) -> None:
    """Each is refused with the sentence that says why."""
    with pytest.raises(PolicyInvalidError) as refused:
        policy_of({"tiers": {"high": "1y"}} | changed)
    assert reason in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    """Somebody who writes a policy hears everything that is wrong with it."""
    with pytest.raises(PolicyInvalidError) as refused:
        read_policy('[reidentification]\nmax_per_day = 0\ntime_zone = "Mars"\nnotice_days = 9999\n')
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    "text", ["not toml [", "", "[other]\n", "[reidentification]\n[other]\n", "reidentification = 1"]
)
def test_a_file_that_is_no_policy_is_refused(text: str) -> None:
    """A file without the section, or with others, is not taken for an empty policy."""
    with pytest.raises(PolicyInvalidError):
        read_policy(text)


def test_a_policy_comes_back_as_it_was_stored() -> None:
    """What the ledger holds is what was read, field by field."""
    policy = replace(read_policy(CONTRACT), enabled=True, start=date(2027, 1, 1), backlog_days=60)
    rule = InForce(policy, 3, 1_768_471_200_000, "ada", 1_768_471_200_000, 60)
    assert restored(stored(rule), 3) == rule
    assert policy_of(fields_of(policy)) == policy


def test_a_field_of_a_newer_release_does_not_stop_a_worker() -> None:
    """A worker of this release goes by the fields it knows."""
    found = stored(InForce(read_policy(CONTRACT), 1))
    found["policy"]["moon_phase"] = "full"
    assert restored(found, 1).policy == read_policy(CONTRACT)


def test_a_change_of_the_cap_moves_no_date() -> None:
    """Dates begin anew only where something changes that decides them."""
    rule = InForce(replace(read_policy(CONTRACT), enabled=True), 1, 1_000, "ada", 1_000, 40)
    faster = rule.changed_to(replace(rule.policy, max_per_day=900), at_ms=9_000, by="bob")
    assert (faster.version, faster.at_ms, faster.since_ms, faster.backlog_days) == (2, 9_000, 1_000, 40)
    other = rule.changed_to(replace(rule.policy, notice_days=30), at_ms=9_000, by="bob")
    assert other.since_ms == 9_000


def test_a_backlog_is_spread_as_the_cap_allows() -> None:
    """Unless the policy says over how many days, a fifth of each day's starts is left for others."""
    rule = InForce(replace(read_policy(CONTRACT), max_per_day=500))
    assert rule.spread_over(12_000).backlog_days == 30
    assert rule.spread_over(0).backlog_days == 1
    assert replace(rule, policy=replace(rule.policy, backlog_days=90)).spread_over(12_000).backlog_days == 90
