"""The page of the tests names what there is: every folder, helper, fixture and small world, and none that is gone."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS / "README.md").read_text("utf-8")
FIXTURE = re.compile(r"@pytest\.fixture(?:\([^)]*\))?\ndef (\w+)\(")


def section(name: str) -> str:
    """One section of the page."""
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_folder_has_its_line() -> None:
    """The levels are the folders."""
    folders = {file.name for file in TESTS.iterdir() if file.is_dir() and file.name != "__pycache__"}
    assert set(re.findall(r"^\| `(\w+)/` \|", section("Levels"), re.MULTILINE)) == folders


def test_every_helper_is_named() -> None:
    """Each module beside the folders is named, as a helper or as the home of a small world."""
    modules = {file.name for file in TESTS.glob("*.py")} - {"conftest.py"}
    named = set(re.findall(r"`(\w+\.py)`", section("Small worlds") + section("Helpers")))
    assert modules <= named
    assert named <= modules


def test_every_shared_fixture_is_named() -> None:
    """Fixtures that several tests share are listed, but for those that only clean up."""
    shared = [TESTS / "conftest.py", TESTS / "unit" / "conftest.py", TESTS / "browser" / "conftest.py"]
    there = {name for file in shared for name in FIXTURE.findall(file.read_text("utf-8"))}
    assert set(re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|$)", section("Fixtures"), re.MULTILINE)) == there - {"broom"}


def test_every_small_world_is_where_the_page_says() -> None:
    """Each world is a class in the file beside its name."""
    for worlds, file in re.findall(r"^\| ([^|]+) \| `([\w/]+\.py)` \|", section("Small worlds"), re.MULTILINE):
        for world in re.findall(r"`(\w+)`", worlds):
            assert re.search(rf"^class {world}\b", (TESTS / file).read_text("utf-8"), re.MULTILINE)
