"""The policy of reminders, when the next one is due, and what a commit tells of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.acts import MAX_ROUNDS_ASKED
from pipelines.lifecycle import Phase
from pipelines.model import Next, Problem, Record, Reminded, Signing
from pipelines.reidentification import Hours, PolicyInvalidError
from pipelines.reidentification.days import DAY_MS, LATE_SPREAD_MS, places
from pipelines.reminders import ReminderPolicy, RemindersInForce, Rhythm, due_of, need_of, read_policy, with_reminder
from pipelines.reminders.forecast import forecast
from pipelines.reminders.plan import NEED_IN, READ_AGAIN_S, READ_SOON_S
from pipelines.reminders.policy import HOUR_MS, NEEDS, duration, fields_of, policy_of, read_duration
from pipelines.reminders.sentences import changes, explained
from pipelines.view import NEEDS as SHOWN
from pipelines.view import needs

TEXT = """
[reminders]
enabled = true
time_zone = "Europe/Berlin"
quiet_hours = "20:00-09:00"
backlog_days = 2
[reminders.needs.complete_identification]
after = "2d"
every = "3d"
at_most = 2
[reminders.needs.sign_document]
after = "12h"
every = "1w"
"""
BERLIN = ZoneInfo("Europe/Berlin")
POLICY = read_policy(TEXT)
RULE = RemindersInForce(POLICY, 1, 0, "ada")
#: Without quiet hours: what is due is due to the millisecond.
OPEN = replace(RULE, policy=replace(POLICY, hours=Hours("Europe/Berlin")))
NOON_MS = int(datetime(2026, 11, 2, 12, tzinfo=BERLIN).timestamp() * 1000)
PENDING = Record(
    "k-1",
    phase=Phase.IDENTIFICATION_PENDING,
    step="refresh",
    since_ms=NOON_MS,
    customer_id="c-1",
    customer_status="IdentificationRequired",
    identification_id="i-1",
    identification_status="Pending",
    link="https://iron.test/1",
)


def looked(record: Record = PENDING, now_ms: int = NOON_MS, rule: RemindersInForce = OPEN, **changes: Any) -> Next:
    """What a commit says that has just read this customer, with a long pause."""
    following = Next(record, 86_400.0, read=True)
    return with_reminder(record, replace(following, **changes), rule, now_ms)


def test_a_policy_is_read_and_written() -> None:
    """What is written comes back, with what nobody said filled in."""
    assert POLICY.needs["complete_identification"] == Rhythm(2 * DAY_MS, 3 * DAY_MS, 2)
    assert POLICY.needs["sign_document"] == Rhythm(12 * HOUR_MS, 7 * DAY_MS, 3)
    assert POLICY.hours == Hours("Europe/Berlin", (time(20), time(9)))
    assert policy_of(fields_of(POLICY)) == POLICY
    assert read_policy("[reminders]") == ReminderPolicy(enabled=False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("enabled = true", "enabled = 1", "enabled is true or false"),
        ("backlog_days = 2", "backlog_days = 0", "backlog_days is a whole number from 1 to 30"),
        ("Europe/Berlin", "Europe/Bonn", "time_zone 'Europe/Bonn'"),
        ("20:00-09:00", "20-9", "quiet_hours is written as"),
        ("at_most = 2", "at_most = 51", "complete_identification.at_most is a whole number from 1 to 50"),
        ('after = "2d"', 'after = "2 days"', "complete_identification.after is written as 12h, 3d or 2w"),
        ('every = "3d"', "", "complete_identification.every is written as"),
        ("sign_document]", "sign_documents]", "sign_documents is no need of a customer"),
        ("at_most = 2", "most = 2", "complete_identification.most is no field"),
        ("backlog_days", "backlog", "backlog is no field of [reminders]"),
        ("[reminders]", "[reminder]", "needs one section, [reminders]"),
        ("[reminders]", "[reminders", "The policy is not TOML"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(old: str, new: str, said: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(PolicyInvalidError) as refused:
        read_policy(TEXT.replace(old, new, 1))
    assert any(said in problem for problem in refused.value.problems)


def test_a_policy_that_is_on_says_of_what() -> None:
    """Switched on without any need it could never do anything, and says so."""
    with pytest.raises(PolicyInvalidError, match="No need has a rhythm"):
        read_policy("[reminders]\nenabled = true")


@given(st.integers(1, 8784))
def test_a_length_of_time_is_written_as_it_is_read(hours: int) -> None:
    """Whatever number of hours, up to a year."""
    assert read_duration(duration(hours * HOUR_MS)) == hours * HOUR_MS


@pytest.mark.parametrize("text", ["0d", "1", "d", "1.5d", "-1d", "1m", "53w", "367d", "1d ", 3, None])
def test_other_lengths_are_refused(text: object) -> None:
    """Nothing is guessed, and nothing is longer than a year."""
    assert read_duration(text) is None


def test_a_policy_is_explained() -> None:
    """Each need has its sentence, also one of which nobody is reminded; off is one sentence."""
    told = list(explained(POLICY))
    assert (
        "(complete_identification) is reminded after 2 days of waiting, then every 3 days, 2 times at most." in told[0]
    )
    assert "Nobody is reminded to provide what Iron asks for again (complete_step_up)." in told
    assert "No reminder is due from 20:00 to 09:00 (Europe/Berlin)." in told
    assert list(explained(ReminderPolicy())) == ["The policy is off: nobody is reminded of anything."]
    once = replace(POLICY, needs={"sign_document": Rhythm(DAY_MS, DAY_MS, 1)})
    assert any("(sign_document) is reminded after 1 day of waiting, once." in line for line in explained(once))


def test_changes_are_named() -> None:
    """Field by field, those of needs too."""
    after = replace(POLICY, backlog_days=1, needs={"sign_document": POLICY.needs["sign_document"]})
    assert changes(POLICY, POLICY) == []
    assert changes(POLICY, after) == [
        "backlog_days: 2 becomes 1",
        "complete_identification.after: 2d becomes nothing",
        "complete_identification.every: 3d becomes nothing",
        "complete_identification.at_most: 2 becomes nothing",
    ]


def test_the_needs_are_those_of_the_record() -> None:
    """What a customer is reminded of is what the record shows as needed, by the same code."""
    assert {phase: code for phase, (code, _) in SHOWN.items()} == NEED_IN
    assert {*NEED_IN.values(), "sign_document"} == set(NEEDS)
    to_sign = PENDING.evolve(phase=Phase.SIGNINGS_REQUIRED, signings=(Signing("d-1"), Signing("d-2", consented_ms=1)))
    for record in (PENDING, to_sign):
        assert [need["code"] for need in needs(record)] == [need_of(record)]


def test_what_nobody_can_do_is_no_need() -> None:
    """All documents agreed to, a final decline, all tries used: there is nothing to remind of."""
    agreed = PENDING.evolve(phase=Phase.SIGNINGS_REQUIRED, signings=(Signing("d-1", consented_ms=1),))
    declined = PENDING.evolve(phase=Phase.DECLINED, identification_status="Declined")
    assert need_of(declined) == "request_new_round"
    gone = (agreed, declined.evolve(may_retry=False), declined.evolve(rounds_asked=MAX_ROUNDS_ASKED))
    assert [need_of(record) for record in (*gone, PENDING.evolve(phase=Phase.ACTIVE))] == [None] * 4


def test_the_first_is_due_after_the_need_the_others_after_the_one_before() -> None:
    """Two days, then three days after the moment in which the last one was told; and no third."""
    first = due_of(PENDING, OPEN, NOON_MS)
    assert first is not None
    assert (first.count, first.at_ms) == (1, NOON_MS + 2 * DAY_MS)
    told = PENDING.evolve(reminded=Reminded("complete_identification", NOON_MS, 1, NOON_MS + 5 * DAY_MS))
    second = due_of(told, OPEN, NOON_MS)
    assert second is not None
    assert (second.count, second.at_ms) == (2, NOON_MS + 8 * DAY_MS)
    assert due_of(told.evolve(reminded=replace(told.reminded, count=2)), OPEN, NOON_MS) is None  # type: ignore[type-var]


def test_what_falls_into_the_night_comes_in_the_first_hour_of_the_morning() -> None:
    """At the customer's own place in it, so that not all come at once."""
    night_ms = int(datetime(2026, 11, 2, 23, tzinfo=BERLIN).timestamp() * 1000)
    due = due_of(PENDING.evolve(since_ms=night_ms), RULE, night_ms)
    assert due is not None
    opens_ms = int(datetime(2026, 11, 5, 9, 0, 10, tzinfo=BERLIN).timestamp() * 1000)
    assert due.at_ms == opens_ms + int(places("k-1")[2] * LATE_SPREAD_MS)


def test_those_who_are_late_when_a_policy_comes_are_spread() -> None:
    """Over the days of the backlog, each at a place of its own; who is not late keeps the time."""
    rule = replace(OPEN, at_ms=NOON_MS + 10 * DAY_MS)
    at = [due.at_ms for n in range(200) if (due := due_of(PENDING.evolve(key=f"k-{n}"), rule, rule.at_ms))]
    assert min(at) >= rule.at_ms
    assert rule.at_ms + 1.8 * DAY_MS < max(at) < rule.at_ms + 2 * DAY_MS
    fresh = due_of(PENDING.evolve(since_ms=rule.at_ms - DAY_MS), rule, rule.at_ms)
    assert fresh is not None
    assert fresh.at_ms == rule.at_ms + DAY_MS


@pytest.mark.parametrize(
    "rule",
    [
        RemindersInForce(),
        replace(OPEN, policy=replace(OPEN.policy, enabled=False)),
        replace(OPEN, policy=replace(OPEN.policy, needs={"sign_document": Rhythm(1, 1)})),
    ],
)
def test_without_a_policy_nobody_is_reminded(rule: RemindersInForce) -> None:
    """Off by default, off when switched off, and off for a need that is not named: the pause stays as it is."""
    following = looked(now_ms=NOON_MS + 90 * DAY_MS, rule=rule)
    assert (following.event, following.delay_s, following.record.reminded) == ("", 86_400.0, None)


def test_a_commit_looks_again_when_the_reminder_is_due() -> None:
    """Not later; and not later than it would anyway."""
    assert looked(now_ms=NOON_MS + DAY_MS + 23 * HOUR_MS).delay_s == 3600
    assert looked(delay_s=5.0).delay_s == 5.0


def test_a_reminder_is_told_with_the_read_that_finds_it_due() -> None:
    """Once, counted, and the next one is due after the pause."""
    following = looked(now_ms=NOON_MS + 2 * DAY_MS, delay_s=1e9)
    assert following.event == "reminder_due/complete_identification/1"
    assert following.note == "reminder 1 of 2: complete_identification"
    assert following.record.reminded == Reminded("complete_identification", NOON_MS, 1, NOON_MS + 2 * DAY_MS)
    assert following.delay_s == 3 * 86_400
    again = looked(following.record, NOON_MS + 2 * DAY_MS + 1, delay_s=1e9)
    assert again.event == ""
    assert following.instead is not None
    assert (following.instead.event, following.instead.record.reminded) == ("", None)
    assert following.instead.delay_s == READ_AGAIN_S


def test_without_a_read_nothing_is_told() -> None:
    """A commit of another step lets the customer be read soon; one that has more to do goes on with it."""
    late_ms = NOON_MS + 3 * DAY_MS
    following = looked(now_ms=late_ms, read=False)
    assert (following.event, following.delay_s) == ("", READ_SOON_S)
    for delay_s in (0, None):
        assert looked(now_ms=late_ms, delay_s=delay_s).event == ""
        assert looked(now_ms=late_ms, delay_s=delay_s).delay_s == delay_s
    assert looked(PENDING.evolve(step="create_identification"), late_ms).event == ""


@pytest.mark.parametrize("operator", [True, False])
def test_while_there_is_a_problem_nothing_is_told(operator: bool) -> None:
    """What the customer would see may be what is wrong; the pause of the trouble stays."""
    problem = Problem("iron_fault", "", retryable=True, first_seen_ms=1, operator=operator)
    following = looked(PENDING.evolve(problem=problem), NOON_MS + 3 * DAY_MS, delay_s=300.0)
    assert (following.event, following.delay_s) == ("", 300.0)
    assert (due_of(PENDING.evolve(problem=problem), OPEN, NOON_MS) is None) == operator


def test_in_the_night_what_is_late_waits_for_the_morning() -> None:
    """Due in the evening, read in the night: told when it is day."""
    night_ms = int(datetime(2026, 11, 4, 23, tzinfo=BERLIN).timestamp() * 1000)
    following = looked(now_ms=night_ms, rule=RULE, delay_s=1e9)
    assert following.event == ""
    at = datetime.fromtimestamp(night_ms / 1000 + (following.delay_s or 0), BERLIN)
    assert (at.date(), at.hour) == (date(2026, 11, 5), 9)


def test_another_need_is_counted_anew() -> None:
    """What was told of one need is forgotten with it; the next need begins when it is there."""
    told = PENDING.evolve(reminded=Reminded("complete_identification", NOON_MS, 2, NOON_MS))
    to_sign = told.evolve(phase=Phase.SIGNINGS_REQUIRED)
    entered = with_reminder(told, Next(to_sign, 5.0), OPEN, NOON_MS + 1000).record
    assert entered.reminded is None
    listed = with_reminder(entered, Next(entered.evolve(signings=(Signing("d"),)), 5.0), OPEN, NOON_MS + 2000).record
    assert listed.reminded == Reminded("sign_document", NOON_MS + 2000)
    agreed = listed.evolve(signings=(Signing("d", consented_ms=1),))
    assert with_reminder(listed, Next(agreed, 5.0), OPEN, NOON_MS + 3000).record.reminded is None


def test_a_problem_that_passes_resets_no_count() -> None:
    """An operator looks and is done: the customer had two reminders and gets no third."""
    told = PENDING.evolve(reminded=Reminded("complete_identification", NOON_MS, 2, NOON_MS))
    problem = Problem("iron_fault", "", retryable=True, first_seen_ms=1, operator=True)
    troubled = with_reminder(told, Next(told.evolve(problem=problem), 5.0), OPEN, NOON_MS).record
    healed = with_reminder(troubled, Next(troubled.evolve(problem=None), 5.0, read=True), OPEN, NOON_MS + 90 * DAY_MS)
    assert (healed.event, healed.record.reminded) == ("", told.reminded)


def test_what_was_told_is_stored_and_read_back() -> None:
    """With the record, by an older release too, which leaves it out."""
    record = PENDING.evolve(reminded=Reminded("complete_identification", 5, 1, 7))
    names = ("key", "version", "lane", "phase", "step", "created_ms", "since_ms", "updated_ms")
    again = Record.restored(record.stored(), **{name: getattr(record, name) for name in names})
    assert again == record


def test_the_forecast_counts_each_reminder_on_its_day() -> None:
    """Two of one customer, three of another; days without any are there too."""
    signs = PENDING.evolve(key="k-2", phase=Phase.SIGNINGS_REQUIRED, signings=(Signing("d-1"),))
    days = forecast([PENDING, signs], OPEN, NOON_MS, 30)
    found = {day.isoformat(): dict(counts) for day, counts in days.items() if counts}
    assert found == {
        "2026-11-03": {"sign_document": 1},
        "2026-11-04": {"complete_identification": 1},
        "2026-11-07": {"complete_identification": 1},
        "2026-11-10": {"sign_document": 1},
        "2026-11-17": {"sign_document": 1},
    }
    assert len(days) == 30
    assert min(days) == datetime.fromtimestamp(NOON_MS / 1000, UTC).date()
