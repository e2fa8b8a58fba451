"""Printing: data as JSON on standard output, everything for people on standard error.

No colour and no moving lines off a terminal; NO_COLOR switches all styling off (https://no-color.org).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ops.cli.exits import CommandError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Width of tables off a terminal, in characters: room for a key, a phase and a sentence.
PLAIN_WIDTH = 132

#: Styles of phases on a terminal.
STYLES = {"active": "green", "failed": "red", "on_hold": "yellow", "declined": "yellow"}


def console() -> Console:
    """Return the console for people, on standard error as it is now."""
    from rich.console import Console

    terminal = _is_terminal()
    return Console(
        stderr=True,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        width=None if terminal else PLAIN_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def moving() -> bool:
    """Return whether lines may move: on a terminal that can do it."""
    return _is_terminal() and os.environ.get("TERM", "") not in ("", "dumb")


def say(text: str = "") -> None:
    """Print a line for people. Where nobody can read it the command goes on: it has its exit status."""
    if sys.stderr is not None:  # closed: print would take standard output in its place
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def give(value: Any) -> None:
    """Print one JSON value on a line of its own, for programs."""
    put(json.dumps(value, ensure_ascii=False))


def put(text: str, end: str = "\n") -> None:
    """Print data on standard output. Raises CommandError where it takes no more, BrokenPipeError where nobody reads."""
    if sys.stdout is None:
        raise CommandError("Standard output is closed, so the data is not printed. What the command did, it did.")
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(
            f"Standard output takes nothing more ({error.strerror}). What the command did, it did; make room, and ask"
            " for the data again."
        ) from None


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, right: Sequence[str] = ()
) -> None:
    """Print a table for people. `right`: columns of numbers."""
    from rich import box
    from rich.table import Table

    drawn = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in zip(columns, drawn.columns, strict=True):
        column.justify = "right" if name in right else "left"
        column.overflow = "fold"
    for row in rows:
        drawn.add_row(*(cell(value) for value in row))
    _draw(drawn)


def _draw(drawn: Table) -> None:
    """Show something to people, where they can see it."""
    with contextlib.suppress(OSError):
        console().print(drawn)


def cell(value: object) -> Any:
    """Write a table's cell; a phase has its colour."""
    from rich.text import Text

    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return Text(text, style=STYLES.get(text, ""))


def show_record(view: Mapping[str, Any]) -> None:
    """Print a record, as `pipelines.view.read_view` gives it, for people."""
    from rich.table import Table

    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold", no_wrap=True)
    lines.add_column(overflow="fold")
    for name, value in _lines(view):
        lines.add_row(name, cell(value))
    _draw(lines)


def _lines(view: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    yield "key", view["idempotency_key"]
    if view["external_id"] != view["idempotency_key"]:
        yield "external id", view["external_id"]
    yield "phase", view["phase"]
    yield "since", view["since"]
    yield "waiting on", view["waiting_on"]
    for need in view["needs"]:
        yield "needs", need["text"]
        if "document" in need:
            yield "document", need["document"]
        if need.get("link"):
            yield "link", need["link"]
    if view["customer_link"]:
        yield "for the customer", view["customer_link"]
    yield from _reasons(view)
    yield "next", view["next"]
    if view["problem"]:
        problem = view["problem"]
        since = f"first seen {problem['first_seen']}, {problem['count']} times"
        yield "problem", f"{problem['code']}: {problem['text']} ({since})"
    iron = view["iron"]
    if iron["customer_id"]:
        yield "at Iron", f"customer {iron['customer_id']} is {iron['customer_status']}"
    if iron["identification_id"]:
        state = f"{iron['identification_status']}, round {view['round']}"
        yield "", f"identification {iron['identification_id']} is {state}"
    for name, value in view["labels"].items():
        yield "label", f"{name}={value}"


def _reasons(view: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    """Return Iron's codes with what they mean, and its labels."""
    from pipelines.plain_reasons import explained

    for code in view["reasons"]:
        yield "reason", code if explained(code) == code else f"{code}: {explained(code)}"
    for label in view["reject_labels"]:
        yield "reject label", label if explained(label) == label else f"{label}: {explained(label)}"
