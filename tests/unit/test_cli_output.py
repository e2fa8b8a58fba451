"""What the command line prints: styling for terminals only, and values as they are."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

TABLE = "from ops.cli.output import table; table(('phase', 'count'), [('active', 12345), ('[bold]on_hold[/]', None)])"


def printed(program: str, *, terminal: bool, **environment: str) -> str:
    """Run a program with its standard error on a terminal or a pipe, and give what it printed there."""
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    env = {name: value for name, value in env.items() if value}
    if not terminal:
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
        ).stderr
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True, env=env)
        return os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_gets_colours() -> None:
    """The phase's colour is there."""
    assert "\x1b[32m" in printed(TABLE, terminal=True, NO_COLOR="")


@pytest.mark.parametrize(
    ("terminal", "environment"),
    [(True, {"NO_COLOR": "1"}), (False, {"NO_COLOR": ""}), (False, {"NO_COLOR": "", "FORCE_COLOR": "1"})],
)
def test_nothing_else_gets_any(terminal: bool, environment: dict[str, str]) -> None:
    """Neither with NO_COLOR nor off a terminal, whatever else is set, is there a control sequence."""
    text = printed(TABLE, terminal=terminal, **environment)
    assert "active" in text
    assert "\x1b" not in text


def test_values_are_printed_as_they_are() -> None:
    """Numbers have their thousands told apart, nothing is taken for markup."""
    text = printed(TABLE, terminal=False)
    assert "12,345" in text
    assert "[bold]on_hold[/]" in text
