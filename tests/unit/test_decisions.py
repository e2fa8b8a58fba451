"""The decision records: one form, no gap in the numbers, and an index that lists each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "ops/docs/decisions"
PAGES = sorted(FOLDER.glob("0*.md"))
#: The parts of a page, in their order.
PARTS = ["Decision", "Why", "What it costs", "Held by"]


def index() -> dict[str, tuple[str, str]]:
    """Number -> the page's title and status, as the index has them."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:\[(\d{4})\]\(([^)]+)\)|(\d{4})) \| (.+) \| (\w+) \|$", text, re.MULTILINE)
    return {number or withdrawn: (title, status) for number, _, withdrawn, title, status in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_has_the_one_form(page: Path) -> None:
    """Number and title, the status, then what was decided, why, at what cost, and what holds it."""
    text = page.read_text(encoding="utf-8")
    number = page.name[:4]
    assert re.match(rf"# {number}\. \S.*\n\nStatus: (accepted|replaced by \d{{4}})\n\n## ", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS


def test_the_index_lists_every_number_once() -> None:
    """No number is missing between the first and the last; one without a page says that it was withdrawn."""
    listed, pages = index(), {page.name[:4]: page for page in PAGES}
    assert list(listed) == [f"{number:04}" for number in range(1, len(listed) + 1)]
    assert {number for number, (_, status) in listed.items() if status != "withdrawn"} == set(pages)
    for number, page in pages.items():
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix(f"# {number}. ")
        assert listed[number][0] == title


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_is_held_by_something_that_can_be_run(page: Path) -> None:
    """Its last part names a test or a program that measures it."""
    held = page.read_text(encoding="utf-8").partition("## Held by")[2]
    assert re.search(r"`tests/\S+`|`python -m tests\.\S+", held)
