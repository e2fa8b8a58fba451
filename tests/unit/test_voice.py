"""The voice: words that people should not have to read, and sentences that are too long for them.

Words are looked for in documents, help, messages, console and customers' pages; the length of sentences in all of these
but the documents. Code, names on the wire and quotations stand between backquotes in documents, and are not looked at.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ops.cli import app
from ops.gateway.http.problems import PROBLEMS
from pipelines import errors

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "ops/gateway/pages"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((ROOT / "ops/docs").rglob("*.md")),
]

#: Modules whose texts people read: sentences of records and checks, of commands and of refusals.
SPEAKING = [
    *(
        ROOT / "pipelines" / name
        for name in (
            *("view.py", "acts.py", "advance.py", "lifecycle.py", "onboarding.py", "reidentify.py"),
            *("reidentification/sentences.py", "reminders/sentences.py", "stages/policy.py", "iron/answers.py"),
        )
    ),
    ROOT / "workers/budget/gate.py",
    *(
        path
        for folder in ("ops/cli", "ops/gateway", "ops/local", "workers/operate")
        for path in (ROOT / folder).rglob("*.py")
    ),
]
#: The longest sentence of a program, in words.
LONGEST = 28

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
#: The same for the program's own texts; documents may use these words.
NOT_SAID = {
    r"beside": "next to, too",
    r"(?:is|are|was|were|has|have) to be \w+": "must be, will be, or who does it",
    r"(?:is|are) to (?!be\b)[a-z]+": "must, will",
    r"whatever (?:is|was|has|it|they|we|you|he|she|people)": "all that, each, any",
    r"(?:it|which|that|who|record|reason|customer) stands|stands in": "is",
    r"worthless": "replaced",
    r"simply|unfortunately|successfully": "nothing",
    r"iron (?:has )?refuse[sd]?": "Iron rejects a request, Iron declines an identification",
}


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


class Texts(ast.NodeVisitor):
    """Collects the texts of a module, except docstrings. In an f-string each value is one word."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[tuple[int, str]] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave out docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Take an f-string as one text, and look into its values."""
        parts = (str(part.value) if isinstance(part, ast.Constant) else "N" for part in node.values)
        self.found.append((node.lineno, "".join(parts)))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Take a plain text."""
        if isinstance(node.value, str):
            self.found.append((node.lineno, node.value))


def texts_of(path: Path) -> Iterator[tuple[str, str]]:
    """What a module says to people: its texts of more than a word."""
    texts = Texts()
    texts.visit(ast.parse(path.read_text(encoding="utf-8")))
    yield from ((f"{path.name}:{line}", text) for line, text in texts.found if " " in text)


def errors_of(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The docstrings of a module's errors, which are their default messages."""
    for name, kind in vars(module).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield f"errors.py {name}", kind.__doc__ or ""


def template(path: Path) -> str:
    """A template without its tags and comments; what is code in it is a backquote, a value is one word."""
    text = path.read_text(encoding="utf-8")
    for pattern, instead in {
        r"\{#.*?#\}|\{%.*?%\}": " ",
        r"<code>.*?</code>": "`",
        r"\{\{.*?\}\}": " N ",
        r"</?(?:b|a|span|time|br)\b[^>]*>": " ",
        r"<[^>]*>": "\n\n",
    }.items():
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    return html.unescape(text)


def documents() -> Iterator[tuple[str, str]]:
    """Every document with its path."""
    for path in DOCUMENTS:
        yield str(path.relative_to(ROOT)), prose(path)
    alerts = ROOT / "ops/deploy/prometheus/alerts.yml"
    yield alerts.name, alerts.read_text(encoding="utf-8")


def said() -> Iterator[tuple[str, str]]:
    """Every text that the program itself shows, with its place."""
    yield from helps(get_command(app))
    yield from ((f"problem {code}", title) for code, (_, title) in PROBLEMS.items())
    yield from errors_of(errors)
    for path in sorted(PAGES.rglob("*.html")):
        yield path.name, template(path)
    for path in sorted(SPEAKING):
        yield from texts_of(path)


def plain(text: str) -> str:
    """A text on one line, without what stands between backquotes."""
    return re.sub(r"\s+", " ", re.sub(r"`[^`\n]*`", "`", text))


def findings(texts: Iterable[tuple[str, str]], words: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Place, words, and what to write instead."""
    return [
        (place, plain(text)[max(0, match.start() - 40) : match.end() + 30], instead)
        for place, text in texts
        for pattern, instead in words.items()
        for match in re.finditer(rf"\b(?:{pattern})\b", plain(text), re.IGNORECASE)
    ]


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text without its lines of code; an empty line and a list's next line end one, too."""
    for paragraph in re.split(r"\n\s*\n|\n(?= *[-*1-9])|:\n", re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)):
        yield from re.split(r"(?<=[.!?])[)”]?\s", plain(paragraph))


def test_nobody_has_to_read_these_words() -> None:
    """None of them is in a document or a text of the program."""
    assert findings([*documents(), *said()], NOT_USED) == []


def test_the_program_does_not_say_these_words() -> None:
    """None of those that only the program's own texts leave out is in one of them."""
    assert findings(said(), NOT_SAID) == []


def test_only_customers_are_asked_politely() -> None:
    """No text for operators and callers says please; the customer's page may."""
    assert findings((one for one in said() if not one[0].startswith("texts.py")), {"please": "nothing"}) == []


def test_sentences_are_short() -> None:
    """No sentence that the program shows has more than 28 words."""
    long = [(place, one) for place, text in said() for one in sentences(text) if len(one.split()) > LONGEST]
    assert long == []


@pytest.mark.parametrize(
    "sentence",
    [
        *("Whoever waits is told.", "Hand a job in.", "One step is in hand.", "Mended anew.", "Six are begun."),
        *("It is to be corrected.", "Nobody is to see it.", "It stands in the history."),
        "Iron refuses it.",
    ],
)
def test_the_words_are_found(sentence: str) -> None:
    """A sentence with one of them does not pass."""
    assert findings([("here", sentence)], NOT_USED | NOT_SAID)


def test_a_long_sentence_is_found() -> None:
    """One of 29 words, behind a short one, is seen as one sentence."""
    text = f"A short one. {'word ' * (LONGEST + 1)}"
    assert max(len(one.split()) for one in sentences(text)) == LONGEST + 1


def test_all_kinds_of_texts_are_read() -> None:
    """Documents, help, problems, templates and the pages' own words are all among them."""
    places = [place for place, text in (*documents(), *said()) if text.strip()]
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
