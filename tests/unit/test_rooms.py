"""Each package says what is in its rooms: its docstring lists its modules and packages, each with a line."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(
    str(file.parent.relative_to(ROOT))
    for top in ("pipelines", "workers", "ops")
    for file in (ROOT / top).rglob("__init__.py")
)
_LINE = re.compile(r"^- `([a-z_ ]+)`: (.+)$", re.MULTILINE)


def said(package: str, *, threads: bool = False) -> dict[str, str]:
    """What a package's docstring lists: its rooms, or the threads that it names a file for."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text("utf-8"))
    listed = _LINE.findall(ast.get_docstring(tree) or "")
    return {name: text for name, text in listed if text.endswith(".py") is threads}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_is_where(package: str) -> None:
    """Every module and package in the folder has its line, and no line is about something that is gone."""
    folder = ROOT / package
    there = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("__")}
    there |= {file.parent.name for file in folder.glob("*/__init__.py")}
    assert set(said(package)) == there


def test_the_threads_of_a_worker_are_listed() -> None:
    """Each thread that lives with a worker process is listed with the file that it is in."""
    listed = {name: text.rpartition(": ")[2] for name, text in said("workers", threads=True).items()}
    found = {}
    for file in (ROOT / "workers").rglob("*.py"):
        text = file.read_text("utf-8")
        if "(Background):" in text and (name := re.search(r'super\(\).__init__\("([a-z ]+)"\)', text)):
            found[name[1]] = str(file.relative_to(ROOT / "workers"))
    assert listed == found | {"watchdog": "watchdog.py"}
