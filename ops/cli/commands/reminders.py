"""The command `reminders`: the policy explained and put in force, who is next, the days to come. Contract section 8."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.commands.acts import who
from ops.cli.exits import CommandError, Status, usage
from ops.cli.inputs import duration_s, read_text
from ops.cli.options import By, Json, add

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.reminders import ReminderPolicy, RemindersInForce

#: Days of the table with which a policy is shown.
TABLE_DAYS = 30
#: Customers that a list for people shows before it says that there are more.
SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, reminders)


def reminders(
    policy: Annotated[str | None, typer.Option(metavar="FILE", help="Show what this policy would do.")] = None,
    check: Annotated[bool, typer.Option("--check", help="With --policy: only explain it and show 30 days.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List who is reminded next; store nothing.")] = False,
    within: Annotated[str, typer.Option(metavar="TIME", help="With --dry-run: how far to look.")] = "1d",
    yes: Annotated[bool, typer.Option("--yes", help="With --policy: let it take effect.")] = False,
    by: By = None,
    json: Json = False,
) -> int:
    """Remind customers of what they have to do, by a policy.

    When a reminder is due, your systems hear of it (onboarding.reminder_due) and send what they like.

    Alone it shows the policy in force. The list and the forecast read every customer who is waited for.

    Example: onboarding reminders --policy reminders.toml --check
    """
    from ops.cli.session import opened

    wanted, reach_s = _read(policy) if policy is not None else None, duration_s(within)
    stores = wanted is not None and yes and not check and not dry_run
    with opened(check=stores) as session:
        if wanted is None and not dry_run:
            return _show(session, as_json=json)
        rule = _rule(session, wanted, who(by) if stores else "nobody")
        if dry_run:
            return _list(session, rule, reach_s, as_json=json)
        return _change(session, rule, stores=stores, as_json=json)


def _read(file: str) -> ReminderPolicy:
    from pipelines.reidentification import PolicyInvalidError
    from pipelines.reminders import read_policy

    try:
        return read_policy(read_text(file))
    except PolicyInvalidError as error:
        raise usage(*error.problems) from None


def _rule(session: Session, policy: ReminderPolicy | None, by: str) -> RemindersInForce:
    from workers.reminders import policy_store

    if policy is None:
        return policy_store.in_force(session.ledger)
    return policy_store.proposed(session.ledger, policy, by=by)


def _change(session: Session, rule: RemindersInForce, *, stores: bool, as_json: bool) -> int:
    """Explain a policy and show the days to come; put it in force where that is asked."""
    from pipelines.reminders.sentences import changes
    from workers.reminders import policy_store

    differ = changes(policy_store.in_force(session.ledger).policy, rule.policy)
    days = policy_store.by_day(session.ledger, rule, TABLE_DAYS)
    if stores and differ:
        _put_in_force(session, rule)
    if as_json:
        output.give(_summed(rule) | {"days": _rows(days), "changes": differ, "stored": stores and bool(differ)})
        return Status.DONE
    _explain(rule, days)
    for line in differ:
        output.say(f"Change: {line}.")
    if not differ:
        output.say("This is the policy in force; there is nothing to change.")
    elif not stores:
        output.say("Nothing is stored. With --yes it takes effect.")
    else:
        output.say(f"The policy is in force (version {rule.version}).")
    return Status.DONE


def _put_in_force(session: Session, rule: RemindersInForce) -> None:
    """Store a policy and move the due times; whatever is left undone, workers finish."""
    from workers.process.moving import PolicyChangedError
    from workers.reminders.policy_store import ReminderMover, store

    try:
        store(session.ledger, rule)
    except PolicyChangedError as error:
        raise CommandError(str(error)) from None
    moved = ReminderMover(session.ledger).run_through()
    if moved.done:
        output.say(f"The due times of {moved.count:,} customers are looked through.")
    else:
        output.say("Workers are moving the due times already; `onboarding reminders` shows how far they are.")


def _explain(rule: RemindersInForce, days: dict[date, Counter[str]]) -> None:
    from pipelines.reminders.sentences import explained

    for sentence in explained(rule.policy):
        output.say(sentence)
    if not rule.policy.enabled:
        return
    needs = list(rule.policy.needs)
    rows = [(day, *(counts[need] for need in needs), sum(counts.values())) for day, counts in days.items()]
    output.table(("day", *needs, "all"), rows, title="Reminders, if no customer does anything", right=(*needs, "all"))
    total = sum(sum(counts.values()) for counts in days.values())
    output.say(
        f"At most {total:,} reminders in {TABLE_DAYS} days, from those who are waited for now;"
        " each costs one or two calls to Iron."
    )


def _list(session: Session, rule: RemindersInForce, reach_s: int, *, as_json: bool) -> int:
    """Name who is reminded next if nothing changes."""
    from pipelines.times import timestamp
    from workers.reminders import policy_store

    found = policy_store.to_be_reminded(session.ledger, rule, session.ledger.now_ms() + reach_s * 1000)
    for record, due in found if as_json else ():
        output.give(
            {
                "idempotency_key": record.key,
                "need": due.need,
                "count": due.count,
                "at": timestamp(due.at_ms),
            }
        )
    if as_json:
        return Status.DONE
    if not rule.policy.enabled:
        output.say("The policy is off: nobody is reminded of anything.")
        return Status.DONE
    rows = [(timestamp(due.at_ms), record.key, due.need, due.count) for record, due in found]
    output.table(("at", "key", "need", "count"), rows[:SHOWN], right=("count",))
    output.say(f"{len(found):,} customers are reminded in this time if nothing changes.")
    if len(found) > SHOWN:
        output.say("--json names them all.")
    return Status.DONE


def _show(session: Session, *, as_json: bool) -> int:
    """Show the policy in force, and how far the due times are."""
    from pipelines.reminders.sentences import explained
    from workers.reminders import policy_store

    rule, figures = policy_store.in_force(session.ledger), policy_store.summarised(session.ledger)
    if as_json:
        output.give(_summed(rule) | {"by": rule.by, **figures})
        return Status.DONE
    for sentence in explained(rule.policy):
        output.say(sentence)
    if figures["moving"]:
        output.say(f"Due times are being moved to this policy; {figures['moved']:,} are looked through.")
    return Status.DONE


def _summed(rule: RemindersInForce) -> dict[str, Any]:
    from pipelines.reminders.policy import fields_of

    return {"policy": fields_of(rule.policy), "version": rule.version}


def _rows(days: dict[date, Counter[str]]) -> list[dict[str, Any]]:
    return [{"begins": day.isoformat(), "reminders": dict(counts)} for day, counts in days.items()]
