"""Runs of re-identification: who is asked for, by whom and why; pause, resume, cancel; what came of it; the calendar.

A run has a name. A customer is asked for once in it, however many schedulers begin it and however often, because the
script notes the run's keys and stores the acts in one call. Starts by the policy alone belong to the run of their day,
which is named by it.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any, Literal

from pipelines.acts import refusal
from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.model import Again, Record
from pipelines.reidentification import Forecast, InForce, date_of, forecast, planned_day
from pipelines.reidentification.days import ONE_DAY, day_start
from pipelines.reidentification.plan import announced_start
from pipelines.reidentification.policy import MARGIN_DAYS
from workers.ledger import PREFIX, Ledger, Read
from workers.process.moving import BATCH
from workers.reidentification.policy_store import identified

#: What a run may be called.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: How an identification of a run ended, or where it stands.
OUTCOMES = ("approved", "declined", "expired", "not finished", "not started", "withdrawn")

#: Days of the calendar: a year, to the end of its last week.
YEAR_DAYS = 53 * 7 + 1

State = Literal["running", "paused", "cancelled"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of those who were named: how many are asked for now or were already, and who was refused and why."""

    asked: tuple[str, ...]
    already: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One customer of a run: how it ended or stands, and since when (ms)."""

    key: str
    outcome: str
    phase: str
    begun_ms: int | None
    since_ms: int


def ask(ledger: Ledger, keys: Sequence[str], *, run: str, by: str, reason: str, due: bool = False) -> Asked:
    """Ask for customers to be identified again in a run; refused at once where that makes no sense now.

    The answer of the record's next claim counts, since it may change until then. `due`: only if the policy's date has
    come. Nothing starts in here: workers do, in open hours, as far as the cap goes.
    """
    asked: list[str] = []
    already: list[str] = []
    refused: list[tuple[str, str]] = []
    for page in _pages(dict.fromkeys(keys)):
        found = {read.record.key: read.record for read in ledger.read_many(page)}
        why = {key: _refusal(found.get(key)) for key in page}
        refused += [(key, sentence) for key, sentence in why.items() if sentence]
        wanted = [key for key in page if not why[key]]
        act = {"id": secrets.token_urlsafe(12), "at_ms": ledger.now_ms(), "act": "reidentify", "run": run, "by": by}
        act |= {"reason": reason} | ({"due": True} if due else {})
        answers = ledger.call("ask", run, canonical_json(act), *wanted, durable=True) if wanted else []
        for key, answer in zip(wanted, answers, strict=True):
            (asked if answer == 1 else already).append(key)
    return Asked(tuple(asked), tuple(already), tuple(refused))


def would_ask(ledger: Ledger, keys: Sequence[str], *, run: str) -> tuple[list[Record], Asked]:
    """Return what `ask` would make of these keys now, and write nothing; the records are those it would ask for."""
    wanted: list[Record] = []
    already: list[str] = []
    refused: list[tuple[str, str]] = []
    for page in _pages(dict.fromkeys(keys)):
        found = {read.record.key: read.record for read in ledger.read_many(page)}
        there = ledger.client.zmscore(f"{PREFIX}run_keys:{run}", page)
        for key, score in zip(page, there, strict=True):
            record = found.get(key)
            if sentence := _refusal(record):
                refused.append((key, sentence))
            elif score is not None:
                already.append(key)
            elif record is not None:
                wanted.append(record)
    return wanted, Asked(tuple(record.key for record in wanted), tuple(already), tuple(refused))


def due_now(ledger: Ledger, rule: InForce) -> Iterator[tuple[Read, int]]:
    """Return the active customers whose announced start has come, each with it (ms), oldest identification first."""
    if not rule.policy.enabled:
        return
    now_ms = ledger.now_ms()
    today = rule.policy.hours.day(now_ms)
    latest = today + timedelta(days=MARGIN_DAYS + rule.policy.spread_days + 1)
    until = max((interval.before(latest) for interval in rule.policy.tiers.values()), default=today)
    for read in identified(ledger, rule, day_start(rule.policy.hours.zone, until + ONE_DAY)):
        record = read.record
        start_ms = announced_start(record, rule) if date_of(record, rule) else None
        waits = record.phase is Phase.ACTIVE and not (record.again and record.again.asked)
        if start_ms is not None and start_ms <= now_ms and waits:
            yield read, start_ms


def control(ledger: Ledger, run: str, state: State, *, by: str, reason: str) -> State:
    """Pause, resume or cancel a run; what has begun goes on. Answers its state now: a cancelled one stays cancelled."""
    entry = canonical_json({"at_ms": ledger.now_ms(), "by": by, "reason": reason})
    now: State = ledger.call("run", run, state, entry, durable=True).decode()
    for page in _pages(key for key, begun_ms in members(ledger, run) if not begun_ms):
        ledger.call("rouse", *page)
    return now


def state_of(ledger: Ledger, run: str) -> State:
    """Return the state of a run; one that nobody ever touched is running."""
    state: State = ledger.call("run", run, "", "").decode()
    return state


def members(ledger: Ledger, run: str) -> list[tuple[str, int]]:
    """Name the customers of a run, each with when it got its place (ms), or 0."""
    named = ledger.client.zrange(f"{PREFIX}run_keys:{run}", 0, -1, withscores=True)
    by_day = ledger.client.zrange(f"{PREFIX}starts:{run}", 0, -1, withscores=True)
    return [(key.decode(), int(at_ms)) for key, at_ms in named or by_day]


def report(ledger: Ledger, run: str) -> Iterator[Member]:
    """Return for each customer of a run how its identification ended, or where it stands."""
    for page in _pages(members(ledger, run)):
        reads = {read.record.key: read for read in ledger.read_many([key for key, _ in page])}
        for key, placed_ms in page:
            if read := reads.get(key):
                yield _member(ledger, run, read.record, placed_ms)


def _member(ledger: Ledger, run: str, record: Record, placed_ms: int) -> Member:
    again = record.again or Again()
    if again.run == run and again.begun_ms is not None:
        outcome = _ENDS.get(record.phase, "not finished")
        exhausted = record.phase is Phase.ON_HOLD and record.identification_status == "Expired"
        return Member(key=record.key, outcome="expired" if exhausted else outcome, phase=record.phase.value,
                      begun_ms=again.begun_ms, since_ms=record.since_ms)  # fmt: skip
    if again.run == run and (again.asked or again.starting):
        return Member(record.key, "not started", record.phase.value, None, again.asked_ms or placed_ms)
    if not placed_ms:
        waiting = ledger.client.llen(f"{PREFIX}acts:{record.key}") > 0
        return Member(
            record.key, "not started" if waiting else "withdrawn", record.phase.value, None, record.updated_ms
        )
    return _from_history(ledger, record, placed_ms)


def _from_history(ledger: Ledger, record: Record, placed_ms: int) -> Member:
    """Find out how an identification ended of which the record itself says nothing any more."""
    later = [entry for entry in ledger.history(record.key) if entry["at_ms"] >= placed_ms]
    begun = next((n for n, entry in enumerate(later) if entry["phase"] != Phase.ACTIVE), None)
    if begun is None:
        return Member(record.key, "withdrawn", record.phase.value, None, placed_ms)
    ends = {phase.value: outcome for phase, outcome in _ENDS.items()}
    for entry in later[begun:]:
        if entry["phase"] in ends:
            return Member(record.key, ends[entry["phase"]], entry["phase"], later[begun]["at_ms"], entry["at_ms"])
    return Member(record.key, "not finished", record.phase.value, later[begun]["at_ms"], record.since_ms)


#: What a phase says of the identification that led there.
_ENDS = {
    Phase.ACTIVE: "approved",
    Phase.SIGNINGS_REQUIRED: "approved",
    Phase.DECLINED: "declined",
    Phase.EXPIRED: "expired",
}


def by_day(ledger: Ledger, rule: InForce, count: int) -> list[tuple[date, int]]:
    """Return the days on which N more would start who are asked for now: today's free places, then the days to come."""
    hours, cap = rule.policy.hours, rule.policy.max_per_day
    day = hours.day(hours.next_open(ledger.now_ms()))
    with ledger.client.pipeline(transaction=False) as pipeline:
        pipeline.zcard(f"{PREFIX}starts:{day}")
        pipeline.zcard(f"{PREFIX}waiting:start")
        taken, waiting = pipeline.execute()
    busy, found = taken + waiting, []
    while count > 0:
        free = max(0, cap - busy)
        if free:
            found.append((day, min(free, count)))
        count, busy, day = count - free, max(0, busy - cap), day + ONE_DAY
    return found


def calendar(ledger: Ledger, rule: InForce, days: int = YEAR_DAYS) -> Forecast:
    """Play the policy for the days to come with those who are active now."""
    today = rule.policy.hours.day(ledger.now_ms())
    return forecast(cohorts(ledger, rule, today, days), rule, today, days)


def cohorts(ledger: Ledger, rule: InForce, today: date, days: int) -> list[tuple[tuple[str, date], int]]:
    """Count the active customers by tier and day of identification, as far as they fall due until then.

    One ZCOUNT a day and tier, whatever the number of customers; those whose date is over are one cohort.
    """
    wanted: list[tuple[str, date]] = []
    with ledger.client.pipeline(transaction=False) as pipeline:
        for tier, interval in rule.policy.tiers.items():
            first, last = interval.before(today - ONE_DAY), interval.before(today + timedelta(days=days + 400))
            last = min(last, today)
            for number in range((last - first).days + 1):
                day = first + number * ONE_DAY
                begin = "-inf" if not number else day_start(rule.policy.hours.zone, day)
                pipeline.zcount(
                    f"{PREFIX}identified:{tier}", begin, f"({day_start(rule.policy.hours.zone, day + ONE_DAY)}"
                )
                wanted.append((tier, day))
        counts = pipeline.execute()
    return [(cohort, count) for cohort, count in zip(wanted, counts, strict=True) if count]


def passing(ledger: Ledger, rule: InForce, found: Forecast, limit: int = 1_000) -> Iterator[tuple[str, str, date]]:
    """Name customers who will pass their date because of the cap: key, tier, date; the last to start of each date."""
    names = 0
    for (tier, day), count in found.passing.items():
        zone = rule.policy.hours.zone
        begin, end = day_start(zone, day), day_start(zone, day + ONE_DAY)
        keys = ledger.client.zrangebyscore(f"{PREFIX}identified:{tier}", begin, f"({end}")
        records = [Record(key.decode(), risk_tier=tier, identified_ms=begin) for key in keys]
        last = sorted(records, key=lambda record: planned_day(record, rule), reverse=True)[: max(1, round(count))]
        due = rule.policy.tiers[tier].after(day)
        for record in last:
            yield record.key, tier, due
        names += len(last)
        if names >= limit:
            return


def counted(found: Iterable[Member]) -> Counter[str]:
    """Count the members of a run by outcome."""
    return Counter(member.outcome for member in found)


def _refusal(record: Record | None) -> str | None:
    return "There is no customer with this key." if record is None else refusal(record, "reidentify")


def _pages(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while page := list(islice(rest, BATCH)):
        yield page
