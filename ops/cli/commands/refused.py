"""The command `refused`: jobs that came as messages and were refused."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli import output
from ops.cli.exits import Status
from ops.cli.options import Json, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, refused)


def refused(
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most N, newest first.")] = 100,
    json: Json = False,
) -> int:
    """List refused job messages, newest first, with reasons.

    Their input is not kept. Fix the sender and send again.

    Example: onboarding refused --limit 20
    """
    from ops.cli.session import opened
    from workers.intake.rejections import Refusals

    with opened() as session:
        found = [refusal.viewed() for refusal in Refusals(session.ledger).newest(limit)]
    if json:
        for one in found:
            output.give(one)
    elif found:
        rows = [
            (one["at"], one["idempotency_key"], reason["pointer"], f"{reason['text']} ({reason['code']})")
            for one in found
            for reason in one["reasons"]
        ]
        output.table(("at", "key", "where", "why"), rows)
    else:
        output.say("No job that came as a message was refused in the last month.")
    return Status.DONE
