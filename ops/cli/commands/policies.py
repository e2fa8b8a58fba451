"""Shows of re-identification: a policy explained, the days and weeks to come, and how far today is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.cli import output
from ops.cli.exits import CommandError, Status

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.reidentification import Forecast, InForce, ReidentificationPolicy

#: Customers that a list for people shows before it says that there are more.
SHOWN = 20
#: Days of the table with which a policy is shown.
TABLE_DAYS = 30
#: Less than half a customer of a forecast is nobody.
NOBODY = 0.5


def change(policy: ReidentificationPolicy, *, by: str, store: bool, as_json: bool) -> int:
    """Explain a policy, show what it would do with those who are active now; put it in force where that is asked."""
    from ops.cli.session import opened
    from pipelines.reidentification.sentences import changes
    from workers.reidentification import policy_store, runs

    with opened(check=store) as session:
        before = policy_store.in_force(session.ledger)
        rule = policy_store.proposed(session.ledger, policy, by=by)
        differ = changes(before.policy, policy)
        found = runs.calendar(session.ledger, rule)
        if store and differ:
            _put_in_force(session, rule)
    if as_json:
        output.give(_summed(rule, found) | {"changes": differ, "stored": store and bool(differ)})
        return Status.DONE
    _explain(rule, found)
    for line in differ:
        output.say(f"Change: {line}.")
    if not differ:
        output.say("This policy is already in force. Nothing to change.")
    elif not store:
        output.say("Nothing is stored. Put it in force with --yes; that also moves the due times of these customers.")
    else:
        output.say(f"The policy is in force (version {rule.version}). {_moved(found)}")
    return Status.DONE


def _moved(found: Forecast) -> str:
    return (
        f"{sum(found.days[n].starts for n in range(TABLE_DAYS)):,.0f} starts are planned in the next {TABLE_DAYS} days."
    )


def _put_in_force(session: Session, rule: InForce) -> None:
    """Store a policy and move the due times; whatever is left undone, workers finish."""
    from workers.process.moving import PolicyChangedError
    from workers.reidentification.policy_store import Mover, store

    try:
        store(session.ledger, rule)
    except PolicyChangedError as error:
        raise CommandError(str(error)) from None
    moved = Mover(session.ledger, session.settings.policy.poll_far_s).run_through()
    if moved.done:
        output.say(f"Applied to {moved.count:,} active customers.")
    else:
        output.say("Workers are already moving the due times. See how far they are with `onboarding reidentify`.")


def _explain(rule: InForce, found: Forecast) -> None:
    from pipelines.reidentification.sentences import explained

    for sentence in explained(rule):
        output.say(sentence)
    if not rule.policy.enabled:
        return
    rows = [
        (day.begins, sum(day.due.values()), round(day.starts), round(day.queue), round(sum(day.passing.values())))
        for day in found.days[:TABLE_DAYS]
    ]
    columns = ("day", "dates", "starts", "waiting", "passing their date")
    output.table(columns, rows, title=f"The next {TABLE_DAYS} days", right=columns[1:])
    output.say(_alert(rule, found))


def _alert(rule: InForce, found: Forecast) -> str:
    late = sum(found.passing.values())
    overdue = f"{found.overdue:,} customers are past their date today. " if found.overdue else ""
    if late < NOBODY:
        return f"{overdue}Within a year, nobody will pass their date because of the cap."
    return (
        f"{overdue}ALERT: about {late:,.0f} customers will pass their date within a year because only"
        f" {rule.policy.max_per_day:,} may start on a day; up to {found.longest_queue:,.0f} will wait."
        " Raise max_per_day, or spread them with spread_days."
    )


def _summed(rule: InForce, found: Forecast) -> dict[str, Any]:
    from pipelines.reidentification.policy import fields_of

    return {
        "policy": fields_of(rule.policy),
        "version": rule.version,
        "overdue": found.overdue,
        "longest_queue": round(found.longest_queue),
        "passing_their_date": round(sum(found.passing.values())),
        "days": [_row(day) for day in found.days[:TABLE_DAYS]],
    }


def _row(period: Any) -> dict[str, Any]:
    """Write a day or a week of the calendar as data."""
    return {
        "begins": period.begins.isoformat(),
        "due": dict(period.due),
        "starts": round(period.starts),
        "waiting": round(period.queue),
        "passing_their_date": {tier: round(count) for tier, count in period.passing.items()},
    }


def show(session: Session, *, as_json: bool) -> int:
    """Show the policy in force and how far it is today."""
    from pipelines.reidentification.policy import fields_of
    from pipelines.reidentification.sentences import explained
    from workers.reidentification import policy_store

    rule = policy_store.in_force(session.ledger)
    figures = policy_store.summarised(session.ledger)
    if as_json:
        output.give({"policy": fields_of(rule.policy), "by": rule.by, **figures})
        return Status.DONE
    for sentence in explained(rule):
        output.say(sentence)
    output.say(
        f"Today {figures['started_today']:,} of {rule.policy.max_per_day:,} starts are taken,"
        f" {figures['waiting']:,} customers wait for one, {figures['past_their_date']:,} of them past their date."
    )
    if figures["moving"]:
        output.say(f"Due times are being moved to this policy; {figures['moved']:,} are looked through.")
    return Status.DONE


def year(session: Session, *, as_json: bool) -> int:
    """Show the year to come; exit status 5 when somebody will pass the date because of the cap."""
    from workers.reidentification import policy_store, runs

    rule = policy_store.in_force(session.ledger)
    found = runs.calendar(session.ledger, rule)
    late = list(runs.passing(session.ledger, rule, found)) if found.passing else []
    if as_json:
        for week in found.weeks:
            output.give(_row(week))
        for key, tier, due in late:
            output.give({"idempotency_key": key, "risk_tier": tier, "date": due.isoformat(), "passing": True})
    else:
        tiers = list(rule.policy.tiers)
        columns = ("week of", *tiers, "starts", "waiting", "passing their date")
        rows = [
            (week.begins, *(week.due[tier] for tier in tiers), round(week.starts), round(week.queue),
             round(sum(week.passing.values())))
            for week in found.weeks
        ]  # fmt: skip
        output.table(columns, rows, title="Dates by week and tier", right=columns[1:])
        output.say(_alert(rule, found) if rule.policy.enabled else "The policy is off: nothing is due.")
        for key, tier, due in late[:SHOWN]:
            output.say(f"  {key} ({tier}) will pass {due}.")
        if len(late) > SHOWN:
            output.say(f"  and {len(late) - SHOWN:,} others: --json names them.")
    return Status.PARTLY if late else Status.DONE
