"""Options that several commands share, and how a command is added with its example."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from ops.cli.exits import usage

#: Longest wait unless told otherwise, in seconds.
TIMEOUT_S = 60.0
#: Longest wait that can be asked for, in seconds: a year.
LONGEST_S = 31_536_000.0
#: Longest argument, in characters: beyond it neither an address nor a name could be made of it.
LONGEST_TEXT = 4_000
#: Beyond this a whole number is one that neither Redis nor Python can count with.
MOST = 2**63 - 1


def in_one_form(value: Any) -> Any:
    """Write keys as they are stored: the same letters typed on another system are other bytes."""
    from pipelines.keys import composed

    if isinstance(value, str):
        return composed(value)
    return [composed(one) for one in value] if value else value


Key = Annotated[str, typer.Argument(metavar="KEY", help="Idempotency key.", callback=in_one_form)]
OddIds = Annotated[
    bool,
    typer.Option("--allow-odd-ids", help="Take ids that look like a mistake, such as NULL or 1.23E+05, as they are."),
]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON on standard output.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="A label; may be repeated.")]
Timeout = Annotated[
    float, typer.Option(metavar="S", min=0, max=LONGEST_S, help="Wait no longer than this, in seconds.")
]
By = Annotated[str | None, typer.Option(metavar="WHO", help="Who does it (default: the user of this machine).")]
Wait = Annotated[str | None, typer.Option(metavar="PHASE", help="Wait until the onboarding is in this phase.")]


def add(app: typer.Typer, function: Callable[..., Any], name: str | None = None) -> None:
    """Add a command; what stands behind "Example:" in its docstring is shown below its options, line for line."""
    text, _, example = (inspect.getdoc(function) or "").partition("Example:")
    # \b keeps the formatter from filling the lines, so that an example can be copied.
    epilog = f"\b\nExample:\n  {example.strip()}"
    app.command(name, help=text.strip(), epilog=epilog)(_judging(function))


def _judging(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command begin only with arguments that can be written down and counted with."""

    @functools.wraps(function)
    def judged(**arguments: Any) -> Any:
        problems = [
            f"{shown} {fault}"
            for name, value in arguments.items()
            for one in (value if isinstance(value, list) else [value])
            for fault in _faults(one)
            if not (shown := _shown(function, name)).startswith("FILE")
        ]
        if problems:
            raise usage(*dict.fromkeys(problems))
        return function(**arguments)

    return judged


def _faults(value: object) -> Iterator[str]:
    """Return what is wrong with an argument. A path may be any bytes: the system takes it as it is."""
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
            yield "is not text in UTF-8: set the terminal and its locale to UTF-8."
        elif any(sign < " " and sign not in "\t\n\r" for sign in value) or "\x7f" in value:
            yield "holds a control character: leave it out."
        elif len(value) > LONGEST_TEXT:
            yield f"is longer than {LONGEST_TEXT:,} characters: shorten it."
    elif isinstance(value, float) and not math.isfinite(value):
        yield "is not a number."
    elif isinstance(value, int) and abs(value) > MOST:
        yield "is a number beyond all that can be counted."


def _shown(function: Callable[..., Any], name: str) -> str:
    """Name a parameter of a command as its help does."""
    hint = get_type_hints(function, include_extras=True)[name]
    info = next((one for one in get_args(hint) if isinstance(one, ArgumentInfo | OptionInfo)), None)
    if isinstance(info, ArgumentInfo):
        return info.metavar or name.upper()
    told = [one for one in (info.param_decls if info else None) or () if one.startswith("--")]
    if info and str(info.metavar).startswith("FILE"):
        return str(info.metavar)
    return told[0] if told else f"--{name.rstrip('_').replace('_', '-')}"
