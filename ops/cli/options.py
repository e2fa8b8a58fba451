"""Options that several commands share, and how a command is added with its example."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

#: Longest wait unless told otherwise, in seconds.
TIMEOUT_S = 60.0


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
Timeout = Annotated[float, typer.Option(metavar="S", min=0, help="Wait no longer than this, in seconds.")]
Wait = Annotated[str | None, typer.Option(metavar="PHASE", help="Wait until the onboarding is in this phase.")]


def add(app: typer.Typer, function: Callable[..., Any], name: str | None = None) -> None:
    """Add a command; what stands behind "Example:" in its docstring is shown below its options, line for line."""
    text, _, example = (inspect.getdoc(function) or "").partition("Example:")
    # \b keeps the formatter from filling the lines, so that an example can be copied.
    app.command(name, help=text.strip(), epilog=f"\b\nExample:\n  {example.strip()}")(function)
