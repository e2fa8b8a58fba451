"""Commands about encryption keys."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.output import give

app = typer.Typer(help="Encryption keys for the stored input.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keep `new` a command of its own; typer would make it the group otherwise."""


@app.command()
def new(json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Print a new key for ONBOARDING_ENCRYPTION_KEYS; the first of the ring encrypts, all of it decrypts.

    Example: ONBOARDING_ENCRYPTION_KEYS="$(onboarding keys new),$OLD_KEYS"
    """
    from workers.vault import new_key

    key = new_key()
    if json:
        give({"key": key})
    else:
        print(key)  # a key is data: it goes where a script can take it
