"""The command `link`: the customer's link to the gateway's page, to be sent to the customer, and its revocation."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli import output
from ops.cli.commands.acts import Reason, who
from ops.cli.exits import Status
from ops.cli.options import By, Json, Key, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, link)


def link(
    key: Key,
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke all links of this customer.")] = False,
    reason: Reason = "",
    by: By = None,
    json: Json = False,
) -> int:
    """Print the customer's link.

    It stays the same and always leads to the next step.

    It is valid for as long as the customer is not done, however often Iron's link changes. With --revoke all earlier
    links stop working at once and a new one is printed. The history says who did it.

    Example: onboarding link crm-1 --revoke --reason "sent to the wrong address"
    """
    from ops.cli.session import opened
    from ops.cli.waiting import read
    from workers.settings import customer_links

    with opened("links", check=revoke) as session:
        read(session.ledger, key)
        if revoke:
            if nudge := session.ledger.revoke_links(key, {"by": who(by), "reason": reason}):
                session.send(nudge)
            output.say("All earlier links are revoked. New link:")
        address = customer_links(session.settings).link(read(session.ledger, key))
    if json:
        output.give({"idempotency_key": key, "customer_link": address, "revoked": revoke})
    else:
        output.put(str(address))
    return Status.DONE
