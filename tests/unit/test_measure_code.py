"""The shape of the code: no circle between rooms, no file that is too long; and the program that measures it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.measure_code import HOUSES, PARTS, ROOT, Source, arrows, circles, main, sources

#: Lines of a source file that nobody goes beyond.
LONGEST = 600


@pytest.mark.parametrize("house", HOUSES)
def test_no_rooms_go_in_a_circle(house: str) -> None:
    """No two rooms of a package need each other, type checking included."""
    assert circles(arrows(house, sources(ROOT, house))) == []


@pytest.mark.parametrize("part", [part for part in PARTS if part != "tests"])
def test_no_file_is_too_long(part: str) -> None:
    """A file of more lines has two subjects."""
    assert [source.path for source in sources(ROOT, part) if source.lines > LONGEST] == []


def source(path: str, text: str) -> Source:
    """A source file of this text."""
    return Source(path, text, ast.parse(text))


def test_a_circle_is_found() -> None:
    """Rooms that reach each other are a circle, also by way of others; an import of the package itself is none."""
    rooms = arrows(
        "house",
        [
            source("house/hall.py", "from house import kitchen\nimport os\n"),
            source("house/kitchen.py", "import house.cellar.wine\n"),
            source("house/cellar/wine.py", "from house.hall import door\nfrom house.cellar import shelf\n"),
            source("house/roof.py", "from house.hall import door\n"),
        ],
    )
    assert rooms == {"hall": {"kitchen"}, "kitchen": {"cellar"}, "cellar": {"hall"}, "roof": {"hall"}}
    assert circles(rooms) == [{"hall", "kitchen", "cellar"}]


def test_what_is_counted() -> None:
    """Lines that are only a comment, lines of docstrings, functions by length, and what has no docstring."""
    lines = [
        *('"""A file."""', "", "# said", "x = 1  # beside", "", ""),
        *("def f():", '    """One.', "", "    Two.", '    """', "", ""),
        *("def _g():", "    def h():", "        pass", ""),
    ]
    text = "\n".join(lines)
    one = source("house/hall.py", text)
    assert (one.lines, one.comments, one.docstrings, one.functions) == (16, 1, 5, [5, 3, 2])
    assert [ast.get_docstring(node) is not None for node in one.public] == [True, True]


def test_what_it_prints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A row for each part and each package that there is; the rest of the program need not be there."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "one.py").write_text('"""One."""\n', "utf-8")
    main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert "| pipelines | 1     | 1     | 1 / 1 / 1 " in printed
    assert "workers" not in printed
