"""Calendar and clocks of the policy: leap days, days of 23 and 25 hours, quiet hours, and zones with odd customs."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from pipelines.reidentification.days import DAY_MS, EARLY_MS, MARGIN_MS, Hours, Interval, day_start, open_spans, places

BERLIN = Hours("Europe/Berlin", (time(22), time(7)))
#: Zones in which the clocks change at midnight, by half an hour, across the date line, or not at all.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
    "Asia/Kolkata",
)

DAYS = st.dates(date(2010, 1, 1), date(2035, 12, 31))


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def wall(at_ms: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize(
    ("interval", "day", "after"),
    [
        ("1y", "2024-02-29", "2025-02-28"),
        ("4y", "2024-02-29", "2028-02-29"),
        ("1mo", "2027-01-31", "2027-02-28"),
        ("18mo", "2026-11-23", "2028-05-23"),
        ("90d", "2027-01-01", "2027-04-01"),
        ("26w", "2027-01-04", "2027-07-05"),
        ("5y", "2026-12-31", "2031-12-31"),
    ],
)
def test_an_interval_is_counted_on_the_calendar(interval: str, day: str, after: str) -> None:
    """A year is a year, leap or not; a month without the day ends on its last."""
    found = Interval.read(interval)
    assert found is not None
    assert found.after(date.fromisoformat(day)) == date.fromisoformat(after)


@pytest.mark.parametrize("text", ["", "y", "0d", "1h", "-1y", "1.5y", "51y", "99999d", "5 y", "1y2mo"])
def test_what_is_no_interval_is_not_read(text: str) -> None:
    """Nothing is guessed from a length that is not one."""
    assert Interval.read(text) is None


@settings(deadline=None)
@given(DAYS, st.sampled_from(["1y", "5y", "1mo", "18mo", "90d", "26w"]))
def test_an_interval_back_is_the_latest_day_that_leads_there(day: date, text: str) -> None:
    """What is identified on that day is due by then, and what is identified a day later is not."""
    interval = Interval.read(text)
    assert interval is not None
    earlier = interval.before(day)
    assert interval.after(earlier) <= day < interval.after(earlier + timedelta(days=1))
    assert (interval.after(day) - day).days >= interval.shortest_days


@pytest.mark.parametrize(("day", "hours"), [("2027-03-28", 23), ("2027-10-31", 25), ("2027-06-01", 24)])
def test_a_day_may_have_23_or_25_hours(day: str, hours: int) -> None:
    """Days begin and end at local midnight, however far apart these are."""
    first = date.fromisoformat(day)
    begins, ends = day_start("Europe/Berlin", first), day_start("Europe/Berlin", first + timedelta(days=1))
    assert ends - begins == hours * 3_600_000


@settings(deadline=None)
@given(st.integers(ms("2010-01-01"), ms("2035-12-31")), st.sampled_from(ZONES))
@example(ms("2018-11-04T02:59:59.999"), "America/Sao_Paulo")
@example(ms("2011-12-30T09:59:59"), "Pacific/Apia")
def test_every_instant_is_on_one_day(at_ms: int, zone: str) -> None:
    """Days follow each other without a gap, also where a local day is missing or begins at one o'clock."""
    hours = Hours(zone)
    day = hours.day(at_ms)
    assert day_start(zone, day) <= at_ms < day_start(zone, day + timedelta(days=1))


@settings(deadline=None)
@given(
    st.integers(ms("2010-01-01"), ms("2035-12-31")),
    st.sampled_from(ZONES),
    st.times(),
    st.times(),
)
@example(ms("2027-10-31T00:45"), "Europe/Berlin", time(2, 30), time(5))
@example(ms("2027-03-28T00:59:59"), "Europe/Berlin", time(22), time(2, 30))
def test_nothing_is_decided_in_quiet_hours_or_shortly_before(at_ms: int, zone: str, begin: time, end: time) -> None:
    """While it is open, it is not quiet: not now, not by a clock behind, not when what is decided takes effect."""
    begin, end = begin.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)
    hours = Hours(zone, (begin, end))
    if not hours.is_open(at_ms):
        return
    for later_ms in (at_ms - EARLY_MS, at_ms, at_ms + MARGIN_MS - 1):
        shown = wall(later_ms, zone).time()
        quiet = begin <= shown < end if begin < end else shown >= begin or shown < end
        assert not quiet
    assert hours.day(at_ms) == hours.day(at_ms + MARGIN_MS - 1)


@settings(deadline=None)
@given(st.integers(ms("2010-01-01"), ms("2035-12-31")), st.sampled_from(ZONES), st.floats(0, 0.999))
def test_the_next_open_instant_is_open(at_ms: int, zone: str, place: float) -> None:
    """Whoever comes in quiet hours is put off to an instant that is not quiet, and never to an earlier one."""
    hours = Hours(zone, (time(22), time(7)))
    for later in (hours.next_open(at_ms), hours.soon(at_ms, place)):
        assert later >= at_ms
        assert hours.is_open(later)
        assert later - at_ms < DAY_MS


@settings(deadline=None)
@given(DAYS, st.floats(0, 0.9999999))
def test_a_moment_of_a_day_is_open(day: date, place: float) -> None:
    """Whatever its place in a day, a moment is in the open hours of that day."""
    at_ms = BERLIN.moment(day, place)
    assert BERLIN.is_open(at_ms)
    assert BERLIN.day(at_ms) == day


def test_quiet_hours_over_the_change_of_the_clocks_are_never_too_short() -> None:
    """Where a quiet hour ends at a time that comes twice, it ends at the second one."""
    hours = Hours("Europe/Berlin", (time(22), time(2, 30)))
    begin, _ = open_spans(hours, date(2027, 10, 31))[0]
    assert begin == ms("2027-10-31T01:30") + EARLY_MS  # the second half past two, in winter time


def test_places_are_fixed_and_even() -> None:
    """A key has the same places in every process, and many keys fill the whole spread."""
    assert places("crm-1") == places("crm-1")
    assert all(0 <= place < 1 for place in places("\udc80"))
    tenths = [int(places(f"k-{n}")[0] * 10) for n in range(10_000)]
    assert all(850 < tenths.count(n) < 1_150 for n in range(10))
