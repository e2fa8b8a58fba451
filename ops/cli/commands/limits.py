"""The command `limits`: how long each stage may take, explained and put in force. Contract section 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli import output
from ops.cli.commands.acts import who
from ops.cli.exits import CommandError, Status, usage
from ops.cli.inputs import read_text
from ops.cli.options import By, Json, add

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.stages.policy import LimitPolicy


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, limits)


def limits(
    policy: Annotated[str | None, typer.Option(metavar="FILE", help="Show what these limits would do.")] = None,
    check: Annotated[bool, typer.Option("--check", help="With --policy: only explain it, and count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --policy: let it take effect.")] = False,
    by: By = None,
    json: Json = False,
) -> int:
    """Limit how long a phase may wait for one actor.

    When a stage takes longer, your systems hear of it (onboarding.overdue). `onboarding summary` shows how long stages
    take.

    Example: onboarding limits --policy limits.toml --check
    """
    from ops.cli.session import opened
    from pipelines.stages.policy import explained, fields_of
    from workers.stages import ages

    wanted = _read(policy) if policy is not None else None
    stores = wanted is not None and yes and not check
    with opened(check=stores) as session:
        if wanted is not None:
            name = who(by) if stores else "nobody"
            return _change(session, wanted, by=name, stores=stores, as_json=json)
        rule = ages.in_force(session.ledger)
    if json:
        output.give({"policy": fields_of(rule.policy), "version": rule.version, "by": rule.by})
        return Status.DONE
    for sentence in explained(rule.policy):
        output.say(sentence)
    return Status.DONE


def _read(file: str) -> LimitPolicy:
    from pipelines.reidentification import PolicyInvalidError
    from pipelines.stages.policy import read_policy

    try:
        return read_policy(read_text(file))
    except PolicyInvalidError as error:
        raise usage(*error.problems) from None


def _change(session: Session, policy: LimitPolicy, *, by: str, stores: bool, as_json: bool) -> int:
    """Explain limits and count who is over them now; put them in force where that is asked."""
    from pipelines.stages.policy import changes, explained, fields_of
    from workers.stages import ages

    differ = changes(ages.in_force(session.ledger).policy, policy)
    over = ages.over_now(session.ledger, policy)
    if stores and differ:
        _put_in_force(session, policy, by)
    if as_json:
        output.give(
            {"policy": fields_of(policy), "over_now": over, "changes": differ, "stored": stores and bool(differ)}
        )
        return Status.DONE
    for sentence in explained(policy):
        output.say(sentence)
    for stage, count in over.items():
        output.say(f"Over the limit now: {count:,} in {' waiting on '.join(stage.split(' '))}.")
    for line in differ:
        output.say(f"Change: {line}.")
    if not differ:
        output.say("This is the policy in force; there is nothing to change.")
    else:
        output.say("The limits are in force." if stores else "Nothing is stored. With --yes it takes effect.")
    return Status.DONE


def _put_in_force(session: Session, policy: LimitPolicy, by: str) -> None:
    """Store limits and begin the clocks of those they concern; whatever is left undone, workers finish."""
    from workers.process.moving import PolicyChangedError
    from workers.stages.ages import ClockMover, proposed, store

    try:
        store(session.ledger, proposed(session.ledger, policy, by=by))
    except PolicyChangedError as error:
        raise CommandError(str(error)) from None
    ClockMover(session.ledger).run_through()
