"""Commands about encryption keys."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.options import add
from ops.cli.output import give, put

app = typer.Typer(help="Make encryption keys for the stored input.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keep `new` a command of its own; typer would make it the group otherwise."""


def new(json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Print a new encryption key.

    It belongs into ONBOARDING_ENCRYPTION_KEYS, whose first key encrypts, while all of them decrypt.

    Example: export ONBOARDING_ENCRYPTION_KEYS="$(onboarding keys new),$ONBOARDING_ENCRYPTION_KEYS"
    """
    from workers.secrets.vault import new_key

    key = new_key()
    if json:
        give({"key": key})
    else:
        put(key)  # a key is data: it goes where a script can take it


add(app, new)
