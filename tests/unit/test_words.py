"""Words that people should not have to read: kept out of documents, help, messages, console and customers' pages.

Code, names on the wire and quotations stand between backquotes in documents, and are not looked at.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ops.cli import app
from ops.gateway.http.problems import PROBLEMS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "ops/gateway/pages"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((ROOT / "ops/docs").rglob("*.md")),
]

#: Modules whose texts people read: sentences of records and checks, of commands and of refusals.
SPEAKING = [
    *(ROOT / name for name in ("pipelines/view.py", "pipelines/acts.py", "pipelines/advance.py")),
    *(
        path
        for folder in ("ops/cli", "ops/gateway", "ops/local", "workers/operate")
        for path in (ROOT / folder).rglob("*.py")
    ),
]

#: What is not written -> what is written instead.
NOT_USED = {
    r"whoever|whomever": "the caller, the process, customers who",
    r"anew": "again",
    r"(?:hand|hands|handed|handing) (?:\w+ ){0,2}?in(?! hand)": "submit",
    r"mend|mends|mended|mending": "fix, correct, repair",
    r"so many|so long|so often": "N, a duration, a number",
    r"unless told": "(default: ...)",
    r"none of ours": "invalid",
    r"(?:is|be) the case|in this case": "status",
    r"in numbers": "repeated",
    r"hang on|hangs on|hung on": "depends on",
    r"put off|puts off": "deferred",
    r"in hand|in its hands|in the hands": "leased, under way",
    r"weather": "outage of the provider",
    r"but for": "except",
    r"at the moment": "now",
    r"the tap|tap closed": "rate-limited until",
    r"(?:a|the) bell": "wake-up",
    r"going on": "inline continuation, under way",
    r"begun": "started, in progress",
    r"wanted": "target",
    r"told|tells|telling": "reported, listed, said",
    r"hands? over|handed over": "submit, send",
    r"act of a person|acts of people|people's acts": "action",
    r"no longer good|stays good": "valid",
    r"refuses to": "does not",
}
PATTERNS = {pattern: re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern in NOT_USED}


def prose(path: Path) -> str:
    """A document without code, links' addresses and diagrams."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "`", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def helps(command: Any, words: str = "onboarding") -> Iterator[tuple[str, str]]:
    """Every text that --help shows, with the command it belongs to."""
    yield words, command.help or ""
    for parameter in command.params:
        yield f"{words} {parameter.opts[-1]}", getattr(parameter, "help", "") or ""
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{words} {name}")


def texts_of(path: Path) -> Iterator[tuple[str, str]]:
    """What a module of a page says to people: its texts of more than a word, except docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield f"{path.name}:{node.lineno}", node.value


def template(path: Path) -> str:
    """A template without its tags, comments and expressions, and without what is code in it."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<code>.*?</code>", " ", text, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def read_by_people() -> Iterator[tuple[str, str]]:
    """Every text with its place."""
    for path in DOCUMENTS:
        yield str(path.relative_to(ROOT)), prose(path)
    yield from helps(get_command(app))
    yield from ((f"problem {code}", title) for code, (_, title) in PROBLEMS.items())
    for path in sorted(PAGES.rglob("*.html")):
        yield path.name, template(path)
    for path in sorted(SPEAKING):
        yield from ((place, text) for place, text in texts_of(path) if " " in text)
    alerts = ROOT / "ops/deploy/prometheus/alerts.yml"
    yield alerts.name, alerts.read_text(encoding="utf-8")


def findings() -> list[tuple[str, str, str]]:
    """Place, words, and what to write instead."""
    found = []
    for place, text in read_by_people():
        plain = re.sub(r"\s+", " ", re.sub(r"`[^`\n]*`", "`", text))
        for pattern, instead in NOT_USED.items():
            for match in PATTERNS[pattern].finditer(plain):
                around = plain[max(0, match.start() - 40) : match.end() + 30]
                found.append((place, around, instead))
    return found


def test_nobody_has_to_read_these_words() -> None:
    """None of them is in a text for people."""
    assert findings() == []


@pytest.mark.parametrize(
    "sentence",
    ["Whoever waits is told.", "Hand a job in.", "One step is in hand.", "Mended anew.", "Six are begun."],
)
def test_the_words_are_found(sentence: str) -> None:
    """A sentence with one of them does not pass."""
    assert any(pattern.search(sentence) for pattern in PATTERNS.values())


def test_all_kinds_of_texts_are_read() -> None:
    """Documents, help, problems, templates and the pages' own words are all among them."""
    places = [place for place, text in read_by_people() if text.strip()]
    assert len(places) > 500
    for part in ("README.md", "ops/docs/guide.md", "onboarding submit --lane", "problem not_durable", "overview.html"):
        assert part in places
    assert any(place.startswith("texts.py:") for place in places)


def test_the_help_of_each_command_fits_its_line() -> None:
    """The list of commands, in a terminal of 80 columns, cuts off no sentence."""
    runner, command = CliRunner(), get_command(app)
    for words in ([], *([name] for name, one in command.commands.items() if getattr(one, "commands", None))):  # type: ignore[attr-defined]
        shown = runner.invoke(app, [*words, "--help"], terminal_width=80).output
        assert "Commands:" in shown
        assert "..." not in shown.partition("Commands:")[2], words
