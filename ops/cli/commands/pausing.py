"""The commands `pause` and `resume`: keep all calls to Iron of a lane from leaving, and let them leave again.

What is due stays due and is counted, what people do is stored; nothing is lost by a pause, however long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli import output
from ops.cli.commands.acts import who
from ops.cli.exits import Status, usage
from ops.cli.options import By, Json, add

if TYPE_CHECKING:
    from ops.cli.session import Session

Lane = Annotated[str, typer.Argument(metavar="LANE", help="interactive, bulk, reidentify, sweep, or all.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without --yes only the counts are shown.")]
Why = Annotated[str, typer.Option("--reason", metavar="R", help="Why. `summary` shows it: no personal data.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (pause, resume):
        add(app, command)


def pause(lane: Lane, yes: Yes = False, reason: Why = "", by: By = None, json: Json = False) -> int:
    """Pause calls to Iron for a lane, or for all.

    Until it is resumed; survives restarts.

    A call in progress is finished. Jobs are still accepted and wait; what people do is stored.

    Example: onboarding pause bulk --reason "Iron asked us to" --yes
    """
    from ops.cli.session import opened
    from workers.budget.gate import Gate

    lanes = _lanes(lane)
    with opened(check=True) as session:
        done = Gate(session.ledger).pause(lanes, by=who(by), reason=reason) if yes else []
        waiting = _waiting(session, lanes)
        if json:
            output.give({"lanes": lanes, "due": waiting, "paused": done, "done": yes})
        if not yes:
            output.say(f"{waiting:,} customers are due in {_named(lanes)}. With --yes they wait until you resume.")
            return Status.DONE
        before = Gate(session.ledger).standing().paused
        if done:
            output.say(f"Paused {_named(done)}. Resume with `onboarding resume {lane} --yes`.")
        for name in sorted(set(lanes) - set(done)):
            output.say(f"{name} was already paused, by {before[name].by}.")
    return Status.DONE


def resume(lane: Lane, yes: Yes = False, json: Json = False) -> int:
    """Resume calls to Iron for a lane, or for all.

    Within the call limits.

    Example: onboarding resume bulk --yes
    """
    from ops.cli.session import opened
    from workers.budget.gate import Gate

    lanes = _lanes(lane)
    with opened(check=True) as session:
        waiting = _waiting(session, lanes)
        done = Gate(session.ledger).resume(lanes) if yes else []
        if json:
            output.give({"lanes": lanes, "due": waiting, "resumed": done, "done": yes})
        if not yes:
            output.say(f"{waiting:,} customers are due in {_named(lanes)}. With --yes they go on.")
        else:
            output.say(f"Resumed {_named(done)}." if done else f"{_named(lanes)} was not paused.")
    return Status.DONE


def _lanes(name: str) -> list[str]:
    from workers.budget.gate import PAUSABLE

    if name != "all" and name not in PAUSABLE:
        raise usage(f"{name} is not a lane. Use one of {', '.join(PAUSABLE)}, or all.")
    return list(PAUSABLE) if name == "all" else [name]


def _named(lanes: Sequence[str]) -> str:
    return ", ".join(lanes)


def _waiting(session: Session, lanes: Sequence[str]) -> int:
    """Count what is due in these lanes; the sweep has no records of its own."""
    from workers.ledger import Lists

    return sum(counts["due"] for lane, counts in Lists(session.ledger).lanes().items() if lane in lanes)
