"""Commands about API tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.exits import usage
from ops.cli.options import add
from ops.cli.output import give, put, say

app = typer.Typer(help="Make API tokens for the gateway.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keep `new` a command of its own; typer would make it the group otherwise."""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the holder, as histories show it.")],
    role: Annotated[str, typer.Option(metavar="R", help="submitter, viewer, operator, compliance or admin.")],
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print a new API token and its entry.

    The token goes to the caller of the gateway, and is shown only now. The entry, which holds its SHA-256, goes into
    ONBOARDING_API_TOKENS of the gateway.

    Example: onboarding tokens new crm --role submitter
    """
    from workers.secrets.tokens import Role, new_token, setting_of

    try:
        wanted = Role(role.strip().lower())
    except ValueError:
        raise usage(f"{role!r} is not a role; the roles are {', '.join(Role)}.") from None
    token = new_token()
    try:
        entry = setting_of(name, wanted, token)
    except ValueError:
        raise usage("The name must be 1 to 64 letters, digits or any of . _ - @") from None
    if json:
        give({"name": name, "role": wanted.value, "token": token, "setting": entry})
        return
    put(token)  # a token is data: it goes where a script can take it
    say(f"Add to ONBOARDING_API_TOKENS, separated by a comma: {entry}")


add(app, new)
