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
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer
from typer.main import get_command

from ops.cli.commands import (
    acts,
    audit,
    doctor,
    endpoints,
    events,
    imports,
    iron,
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
from ops.cli.exits import CommandError, Status, of_the_system
from ops.cli.output import say

HELP = """Onboard customers to Iron: submit jobs, follow them, and run the pipeline.

Messages go to standard error. With --json, standard output holds data only.

Exit status: 0 done; 1 failed; 2 wrong usage or settings; 4 not authorised; 5 only partly done; 8 still pending; 130
interrupted.
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
app.add_typer(iron.app, name="iron")
app.add_typer(keys.app, name="keys")
app.add_typer(tokens.app, name="tokens")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status. Every failure is a sentence on standard error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # JSON is UTF-8 whatever the locale; names are in many scripts
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    return int(_flushed(_run([_decoded(argument) for argument in given])))


@cache
def _command() -> Any:
    """Make the commands of the app; a process that runs several, as tests do, makes them once."""
    return get_command(app)


def _run(arguments: list[str]) -> int:
    """Run one command; here every failure becomes a sentence and a status."""
    try:
        status = _command().main(args=arguments, prog_name="onboarding", standalone_mode=False)
        return int(status or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the last line of defence
        return _failed(error)


def _failed(error: BaseException) -> int:
    """Return why a command failed. Only what is none of the foreseen failures is an error of ours."""
    status, sentences = Status.FAILED, [_unforeseen(error)]
    match error:
        case CommandError():
            status, sentences = error.status, list(error.sentences)
        case typer.TyperException():
            status, sentences = Status.USAGE, [_usage(error)]
        case KeyboardInterrupt() | typer.Abort():
            status, sentences = Status.INTERRUPTED, ["Interrupted."]
        case BrokenPipeError():  # the reader has what they wanted
            sentences = []
        case OSError():
            sentences = [of_the_system(error)]
        case MemoryError():
            sentences = ["This machine has no memory left for the command. What was stored is stored."]
    for sentence in sentences:
        say(sentence)
    return status


def _decoded(argument: str) -> str:
    """Read an argument as UTF-8, whatever the locale; one that is something else stays as the system gave it."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def _flushed(status: int) -> int:
    """Write what is left; Python would fail at it once more at its end, with a status of its own."""
    for stream, own in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            if stream is sys.stdout:
                status = status or _failed(error)
            if own is not None and own is stream:
                os.dup2(os.open(os.devnull, os.O_WRONLY), own.fileno())
    return status


def _usage(error: typer.TyperException) -> str:
    """Write what typer found wrong with the arguments as one sentence with the remedy."""
    message = getattr(error, "format_message", lambda: str(error))().strip()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "onboarding"
    return f"{message.rstrip('.')}. See `{command} --help`."


def _unforeseen(error: BaseException) -> str:
    """Name an error and the places it came through; its values may be personal."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    return f"Internal error ({type(error).__name__} at {places}). Report this line; nothing is known to be lost."


__all__ = ["app", "main"]
