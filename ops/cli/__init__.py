"""The command line `onboarding`: contract, section 5.

This module may import nothing heavy: each command imports what it needs when it runs, so that `--help` is quick.

- `commands`: the commands
- `exits`: exit statuses, and the error that every foreseen failure becomes
- `importing`: the work of `import`
- `inputs`: what people type, read strictly
- `options`: options that commands share
- `output`: data on standard output, words on standard error
- `session`: settings, ledger and front door of a command
- `waiting`: waiting for a phase
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence

import typer
from typer.main import get_command

from ops.cli.commands import (
    acts,
    audit,
    doctor,
    endpoints,
    events,
    imports,
    jobs,
    keys,
    limits,
    link,
    look,
    pausing,
    refused,
    reidentify,
    reminders,
    run,
    tokens,
)
from ops.cli.exits import CommandError, Status
from ops.cli.output import say

HELP = """Onboard customers to Iron: submit jobs, follow them, and run the pipeline.

Messages go to standard error. With --json, standard output holds data only.

Exit status: 0 done; 1 failed; 2 wrong usage or settings; 4 not authorised; 5 finished, but not all succeeded; 8 still
pending when the wait ended; 130 interrupted.
"""

app = typer.Typer(
    name="onboarding",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (run, jobs, acts, reidentify, reminders, limits, pausing, look, link, events, refused, audit, doctor):
    group.register(app)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(imports.app, name="imports")
app.add_typer(keys.app, name="keys")
app.add_typer(tokens.app, name="tokens")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status. Every failure is a sentence on standard error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # JSON is UTF-8 whatever the locale; names are in many scripts
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        status = get_command(app).main(
            args=None if arguments is None else list(arguments), prog_name="onboarding", standalone_mode=False
        )
        return int(status or 0)
    except CommandError as error:
        for sentence in error.sentences:
            say(sentence)
        return int(error.status)
    except typer.TyperException as error:
        say(_usage(error))
        return int(Status.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        say("Interrupted.")
        return int(Status.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 -- the last line of defence
        say(_unforeseen(error))
        return int(Status.FAILED)


def _usage(error: typer.TyperException) -> str:
    """Write what typer found wrong with the arguments as one sentence with the remedy."""
    message = getattr(error, "format_message", lambda: str(error))().strip()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "onboarding"
    return f"{message.rstrip('.')}. See `{command} --help`."


def _unforeseen(error: Exception) -> str:
    """Name an error and the places it came through; its values may be personal."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    return f"Internal error ({type(error).__name__} at {places}). Please report this line."


__all__ = ["app", "main"]
