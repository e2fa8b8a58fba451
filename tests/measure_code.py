"""How large the code is, how its rooms depend on each other, how long its functions are. Prints two tables.

    python -m tests.measure_code [folder of the program]

A room is what stands directly in a package: a module or a package. An arrow is an import from one room to another one
of the same package; a circle is a group of rooms that reach each other. A function's length is its lines from `def` to
the end, without decorators. A public definition is a module, class or function whose name has no leading underscore,
at the top of a module or of a class. Read from the text, so that any state of the program can be measured.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("pipelines", "workers", "ops", "tests")
#: Packages whose rooms are looked at.
HOUSES = ("pipelines", "workers", "ops/gateway", "ops/sandbox", "ops/cli", "ops/local")
LONG_FUNCTION, LONG_FILE = 50, 450

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One source file."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Lines of the file."""
        return self.text.count("\n")

    @property
    def functions(self) -> list[int]:
        """The length of each function, in lines."""
        return [
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(self.tree)
            if isinstance(node, Function)
        ]

    @property
    def comments(self) -> int:
        """Lines that are a comment and nothing else."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return sum(token.type == tokenize.COMMENT and token.line.lstrip().startswith("#") for token in tokens)

    @property
    def public(self) -> list[ast.Module | ast.ClassDef | Function]:
        """What others may use: the module, its classes and functions, and their methods."""
        return list(_public(self.tree))

    @property
    def docstrings(self) -> int:
        """Lines of docstrings."""
        documented = (ast.Module, ast.ClassDef, *Function.__args__)
        return sum(
            (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            for node in ast.walk(self.tree)
            if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
        )


def _public(node: ast.Module | ast.ClassDef | Function) -> Iterator[ast.Module | ast.ClassDef | Function]:
    yield node
    if isinstance(node, Function):
        return
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | Function) and not inner.name.startswith("_"):
            yield from _public(inner)


def sources(root: Path, part: str) -> list[Source]:
    """Read the Python files below a folder."""
    files = sorted((root / part).rglob("*.py"))
    texts = {str(file.relative_to(root)): file.read_text("utf-8") for file in files}
    return [Source(path, text, ast.parse(text)) for path, text in texts.items()]


def arrows(house: str, found: Iterable[Source]) -> dict[str, set[str]]:
    """Say for each room of a package which other rooms of it it imports, type checking included."""
    rooms: dict[str, set[str]] = defaultdict(set)
    dotted = house.replace("/", ".") + "."
    for source in found:
        room = _room(source.path.removeprefix(f"{house}/"))
        rooms[room] |= {
            name.removeprefix(dotted).partition(".")[0] for name in _imported(source.tree) if name.startswith(dotted)
        } - {room}
    return {room: {other for other in others if other in rooms} for room, others in rooms.items()}


def _room(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circles(rooms: Mapping[str, set[str]]) -> list[set[str]]:
    """Find the groups of rooms that reach each other."""
    reached = {room: _reached(room, rooms) for room in rooms}
    groups = {frozenset({room} | {other for other in reached[room] if room in reached[other]}) for room in rooms}
    return [set(group) for group in groups if len(group) > 1]


def _reached(room: str, rooms: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = [room]
    while left:
        for other in rooms[left.pop()] - found:
            found.add(other)
            left.append(other)
    return found


def _spread(values: list[int]) -> str:
    """Write the median, the 90th percentile and the largest of some numbers."""
    if not values:
        return "-"
    p90 = quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
    return f"{median(values):.0f} / {p90:.0f} / {max(values)}"


def sizes(part: str, found: list[Source]) -> list[str]:
    """Measure the files of a part of the program: a row of the first table."""
    files, functions = [source.lines for source in found], [n for source in found for n in source.functions]
    public = [node for source in found for node in source.public]
    documented = sum(ast.get_docstring(node) is not None for node in public)
    total = sum(files)
    return [
        part,
        f"{len(files)}",
        f"{total:,}",
        _spread(files),
        f"{sum(n > LONG_FILE for n in files)}",
        f"{len(functions):,}",
        _spread(functions),
        f"{sum(n > LONG_FUNCTION for n in functions)}",
        f"{sum(source.comments for source in found) / total:.1%}",
        f"{sum(source.docstrings for source in found) / total:.1%}",
        f"{documented} of {len(public)}",
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a table in Markdown, with columns of equal width."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def main(arguments: list[str] | None = None) -> None:
    """Print both tables, and the longest files."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure_code", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT, help="the program (default: this one)")
    root = parser.parse_args(arguments).folder
    by_part = {part: sources(root, part) for part in PARTS if (root / part).is_dir()}
    head = ["part", "files", "lines", "file: median / p90 / max", f"> {LONG_FILE}", "functions"]
    head += ["length: median / p90 / max", f"> {LONG_FUNCTION}", "comments", "docstrings", "public documented"]
    print(table(head, [sizes(part, found) for part, found in by_part.items()]))
    rows = []
    for house in HOUSES:
        if not (root / house).is_dir():
            continue
        rooms = arrows(house, sources(root, house))
        found = circles(rooms)
        rows.append([house, f"{len(rooms)}", f"{sum(map(len, rooms.values()))}", f"{len(found)}"])
        rows[-1].append(", ".join(" ".join(sorted(circle)) for circle in found) or "-")
    print()
    print(table(["package", "rooms", "arrows", "circles", "in circles"], rows))
    longest = sorted((source for found in by_part.values() for source in found), key=lambda source: -source.lines)[:10]
    print()
    print(table(["longest files", "lines"], [[source.path, f"{source.lines:,}"] for source in longest]))


if __name__ == "__main__":
    main()
