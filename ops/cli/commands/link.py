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

    It holds for as long as the onboarding is open, over as many of Iron's hosted links as it takes. With --revoke every
    link so far is void at once, and the one that is printed is new; the history says who did it.

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
            output.say("Every link so far is void; this is the new one.")
        address = customer_links(session.settings).link(read(session.ledger, key))
    if json:
        output.give({"idempotency_key": key, "customer_link": address, "revoked": revoke})
    else:
        output.put(str(address))
    return Status.DONE
