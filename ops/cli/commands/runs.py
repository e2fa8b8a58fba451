"""Runs of re-identification on the command line: who is asked for and when it starts, pause and cancel, the report."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ops.cli import output
from ops.cli.exits import CommandError, Status, usage

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.model import Record
    from pipelines.reidentification import InForce
    from workers.reidentification.runs import State

#: Customers that a list for people shows before it says that there are more.
SHOWN = 20


def ask_for(
    session: Session, keys: list[str], *, run: str | None, by: str, reason: str, dry_run: bool, as_json: bool
) -> int:
    """Ask for customers by name. On which days they start is said before anything begins."""
    from workers.reidentification import policy_store, runs

    if not reason:
        raise usage("Give a --reason: customers who are re-identified are offline until they are done.")
    rule = policy_store.in_force(session.ledger)
    run = run or f"hand-{rule.policy.hours.day(session.ledger.now_ms())}"
    wanted, foreseen = runs.would_ask(session.ledger, keys, run=run)
    days = _tell_days(session, rule, len(wanted))
    if dry_run:
        _foretell(wanted, days, run=run, why=reason, as_json=as_json)
        for key in foreseen.already:
            _tell(as_json, key=key, result="already", run=run)
        if foreseen.already:
            output.say(f"{len(foreseen.already):,} are in the run {run} already.")
        return _tell_refused(foreseen.refused, len(wanted) + len(foreseen.already), as_json)
    asked = runs.ask(session.ledger, keys, run=run, by=by, reason=reason)
    for key in asked.asked:
        _tell(as_json, key=key, result="asked", run=run)
    for key in asked.already:
        _tell(as_json, key=key, result="already", run=run)
    output.say(f"Requested {len(asked.asked):,} in the run {run}; {len(asked.already):,} were already in it.")
    return _tell_refused(asked.refused, len(asked.asked) + len(asked.already), as_json)


def _foretell(wanted: list[Record], days: list[tuple[date, int]], *, run: str, why: str, as_json: bool) -> None:
    """Say who would be asked for, why, and on which day each would start."""
    each = (day for day, number in days for _ in range(number))
    rows = [(record.key, record.risk_tier, why, day) for record, day in zip(wanted, each, strict=True)]
    for key, tier, _, day in rows:
        _tell(as_json, key=key, result="would_ask", run=run, risk_tier=tier, why=why, reason=why, date=str(day))
    if not as_json:
        output.table(("key", "tier", "why", "starts on"), rows[:SHOWN])
    if len(rows) > SHOWN and not as_json:
        output.say(f"{len(rows) - SHOWN:,} more; --json lists them.")


def _tell_days(session: Session, rule: InForce, count: int) -> list[tuple[date, int]]:
    """Return how many would start on which day; answers the same as data."""
    from workers.reidentification import runs

    days = runs.by_day(session.ledger, rule, count)
    now_ms = session.ledger.now_ms()
    today = rule.policy.hours.day(now_ms)
    when = ", ".join(f"{number:,} {'today' if day == today else f'on {day}'}" for day, number in days)
    cap = rule.policy.max_per_day
    output.say(f"{count:,} customers will be re-identified, at most {cap:,} a day: {when or 'nobody'}.")
    if count and (opens_ms := rule.policy.hours.next_open(now_ms)) > now_ms:
        opens = datetime.fromtimestamp(opens_ms / 1000, ZoneInfo(rule.policy.hours.zone))
        output.say(f"Quiet hours: nothing starts before {opens:%Y-%m-%d %H:%M %Z}.")
    return days


def _tell(as_json: bool, *, key: str, result: str, **more: Any) -> None:
    if as_json:
        output.give({"idempotency_key": key, "result": result, **more})


def _tell_refused(refused: Iterable[tuple[str, str | None]], done: int, as_json: bool) -> int:
    """Say who was refused and why; the exit status says whether that was everybody."""
    found = [(key, why) for key, why in refused if why]
    for key, why in found:
        _tell(as_json, key=key, result="refused", text=why)
    for key, why in found[:SHOWN]:
        output.say(f"Skipped {key}: {why}")
    if len(found) > SHOWN:
        output.say(f"{len(found) - SHOWN:,} more skipped; --json lists them.")
    return Status.DONE if not found else Status.PARTLY if done else Status.FAILED


def ask_due(
    session: Session, *, run: str | None, limit: int | None, by: str, reason: str, dry_run: bool, as_json: bool
) -> int:
    """Ask for those whose announced start has come, the oldest date first."""
    from pipelines.reidentification import date_of
    from pipelines.times import timestamp
    from workers.reidentification import policy_store, runs

    rule = policy_store.in_force(session.ledger)
    run = run or f"due-{rule.policy.hours.day(session.ledger.now_ms())}"
    if not rule.policy.enabled:
        output.say("The policy is off: nobody is due. Put one in force with --policy FILE --yes.")
        return Status.DONE
    if (state := runs.state_of(session.ledger, run)) != "running":
        raise CommandError(f"The run {run} is {state}. Resume it, or use another name.")
    due = ((date_of(read.record, rule), at_ms, read.record) for read, at_ms in runs.due_now(session.ledger, rule))
    found = sorted(due, key=lambda one: (one[0], one[1], one[2].key))[:limit]
    _tell_days(session, rule, len(found))
    if dry_run:
        rows = [(record.key, record.risk_tier, f"identified {timestamp(record.identified_ms)}", day, timestamp(at_ms))
                for day, at_ms, record in found]  # fmt: skip
        for key, tier, why, day, at in rows:
            _tell(as_json, key=key, result="would_ask", run=run, risk_tier=tier, why=why, date=str(day), announced=at)
        if not as_json:
            output.table(("key", "tier", "why", "date", "announced for"), rows[:SHOWN])
        return Status.DONE
    asked = runs.ask(session.ledger, [record.key for *_, record in found], run=run, by=by, reason=reason, due=True)
    for key in asked.asked:
        _tell(as_json, key=key, result="asked", run=run)
    output.say(f"Requested {len(asked.asked):,} in the run {run}; {len(asked.already):,} were already in it.")
    return _tell_refused(asked.refused, len(asked.asked) + len(asked.already), as_json)


def control(session: Session, run: str | None, state: State, *, by: str, reason: str, as_json: bool) -> int:
    """Pause, resume or cancel a run. What has begun goes on."""
    from workers.reidentification import runs

    if run is None:
        raise usage("Name the run with --run NAME.")
    now = runs.control(session.ledger, run, state, by=by, reason=reason)
    if as_json:
        output.give({"run": run, "state": now})
    output.say(f"The run {run} is {now}.")
    return Status.DONE if now == state else Status.FAILED


def report(session: Session, run: str | None, *, as_json: bool) -> int:
    """Show what came of a run: by outcome, with the age of what is not finished."""
    from pipelines.times import timestamp
    from workers.reidentification import runs

    if run is None:
        raise usage("Name the run with --run NAME; starts by the policy are in the run of their day, 2027-03-01.")
    members = list(runs.report(session.ledger, run))
    counts = runs.counted(members)
    for member in members if as_json else ():
        output.give(
            {
                "idempotency_key": member.key,
                "outcome": member.outcome,
                "phase": member.phase,
                "begun_at": timestamp(member.begun_ms),
                "since": timestamp(member.since_ms),
            }
        )
    oldest = {name: timestamp(min(one.since_ms for one in members if one.outcome == name)) for name in counts}
    if not as_json:
        output.table(("outcome", "customers", "oldest since"), [(name, counts[name], oldest[name])
                     for name in runs.OUTCOMES if counts[name]], right=("customers",))  # fmt: skip
    output.say(f"The run {run} has {len(members):,} customers and is {runs.state_of(session.ledger, run)}.")
    return Status.DONE
