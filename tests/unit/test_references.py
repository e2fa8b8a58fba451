"""No reference leads nowhere: links, files, sections, rules, races, decisions and tests, in every tracked file."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "ops/docs"
#: The documents that are cited by a name and a section.
PAGES = {"design": DOCS / "design.md", "contract": DOCS / "contract.md", "iron": DOCS / "iron.md"}
#: Pages that another change brings; a reference to one of them is taken on trust until it is there.
AWAITED: set[Path] = set()
#: Where "section N" alone, or one "of the fact sheet", is one of iron.md.
ABOUT_IRON = ("ops/sandbox/", "tests/second_iron/", "tests/iron_types.py", "tests/unit/test_sandbox_")
#: Files that are no text of ours.
SKIPPED = {".lock", ".svg", ".png", ".csv", ".json"}

_NUMBER = r"\d+(?:\.\d+)*[a-z]?\b"
_LIST = rf"{_NUMBER}(?:(?:,? and |, | to ){_NUMBER})*"
#: "design section 2", "contract, sections 3 and 6", "Iron's facts, section 2", "section 5 of the fact sheet".
SECTIONS = re.compile(rf"\b[Ss]ections? ({_LIST})")
#: "iron-api 6.3", and the sheet that is section 10 of it now.
BY_NUMBER = re.compile(rf"\b(?P<name>iron-api|iron-conformance),? (?P<list>{_LIST})")
DECISION = re.compile(r"\b(?:[Dd]ecisions? |decisions/|\[)(\d{4})\b(?!-\d\d)")
RULE_OR_RACE = re.compile(r"\b(?P<kind>rule|race)s? (?P<list>(?:\d|[a-z])\b(?:(?:, | and | to )(?:\d|[a-z])\b)*)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: A file of ours, perhaps with the name of a test in it.
FILE = re.compile(
    r"\b((?:ops|workers|pipelines|tests)/[\w/.-]*\w\.(?:py|md|lua|svg|png|yml|toml|lock|conf|html|css|json|js)\b)(?:::(\w+))?"
)


@cache
def tracked() -> list[Path]:
    """Every text under version control, or a skip where there is no checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    found = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in found if path.is_file() and path.suffix not in SKIPPED and path != Path(__file__)]


@cache
def text_of(path: Path) -> str:
    """The file on one line, without the marks of comments, so that a reference may go over the end of a line."""
    lines = (re.sub(r"^\s*(?:#:?|--|//|\*)\s?", "", line) for line in path.read_text(encoding="utf-8").splitlines())
    return re.sub(r"\s+", " ", " ".join(lines))


def name_of(path: Path) -> str:
    """A file, as a person would name it."""
    return str(path.relative_to(ROOT))


@cache
def sections_of(page: str) -> set[str]:
    """The numbers of a document's headings."""
    text = PAGES[page].read_text(encoding="utf-8")
    return set(re.findall(rf"^#+ ({_NUMBER})\.? ", text, re.MULTILINE))


@cache
def anchors_of(path: Path) -> set[str]:
    """What a link into a Markdown file may name: its headings, as the usual viewers spell them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().strip() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def numbers(listed: str) -> list[str]:
    """The numbers of "3.7 to 3.10 and 3.18"."""
    return re.findall(_NUMBER, listed)


def page_of(path: Path, before: str, after: str) -> str | None:
    """The document whose section is meant; None: it is of somebody else, such as an RFC, or of no document at all."""
    if re.search(r"RFC \d+,? $", before):
        return None
    if after.startswith(" of the fact sheet") or re.search(r"\biron-api(\.md)?,? $|Iron's (API )?facts,? $", before):
        return "iron"
    if after.startswith(" of Iron's API facts"):
        return "iron"
    if named := re.findall(r"\b([Dd]esign|[Cc]ontract)(?:\.md)?(?:'s)?,? (?=.{0,30}$)", before):
        return str(named[-1]).lower()
    if re.search(r"\biron(-api)?\.md\b", before + after) or name_of(path).startswith(ABOUT_IRON):
        return "iron"
    return path.stem if path in PAGES.values() else "none"


def cited(path: Path) -> Iterator[tuple[str, str]]:
    """Every (document, section) that a file cites."""
    text = text_of(path)
    for match in SECTIONS.finditer(text):
        page = page_of(path, text[max(0, match.start() - 60) : match.start()], text[match.end() : match.end() + 40])
        if page is not None:
            yield from ((page, number) for number in numbers(match[1]))
    for match in BY_NUMBER.finditer(text):
        inner = "10." if match["name"] == "iron-conformance" else ""
        yield from (("iron", inner + number) for number in numbers(match["list"]))


def test_every_cited_section_is_there() -> None:
    """Who follows "design section 5" or "iron-api 3.10" finds a heading with that number."""
    found = [(name_of(path), page, number) for path in tracked() for page, number in cited(path)]
    lost = [each for each in found if each[1] not in PAGES or each[2] not in sections_of(each[1])]
    assert lost == []
    assert {page: sum(each[1] == page for each in found) > 15 for page in PAGES} == dict.fromkeys(PAGES, True)
    assert len(found) > 120


def test_every_cited_rule_and_race_is_in_the_design() -> None:
    """Rules are headings of section 2, races are rows of the table of section 5."""
    design = PAGES["design"].read_text(encoding="utf-8")
    known = {
        "rule": set(re.findall(r"^### Rule (\d): ", design, re.MULTILINE)),
        "race": set(re.findall(r"^\| ([a-z]) \| ", design, re.MULTILINE)),
    }
    assert len(known["rule"]) == 6
    assert len(known["race"]) == 15
    found = [
        (name_of(path), match["kind"], one)
        for path in tracked()
        for match in RULE_OR_RACE.finditer(text_of(path))
        if "design" in text_of(path)[max(0, match.start() - 60) : match.end() + 40].lower()
        for one in re.findall(r"\b(?:\d|[a-z])\b", match["list"])
    ]
    assert len(found) > 15
    assert [each for each in found if each[2] not in known[each[1]]] == []


def test_every_cited_decision_has_a_page() -> None:
    """A number of a decision, wherever it is cited, is that of a page."""
    pages = {page.name[:4] for page in (DOCS / "decisions").glob("0*.md")}
    found = [(name_of(path), number) for path in tracked() for number in DECISION.findall(text_of(path))]
    assert len(found) > 20
    assert [each for each in found if each[1] not in pages] == []


def test_every_link_leads_somewhere() -> None:
    """A link of a document names a file that is there, and a heading of it."""
    lost = []
    for page in (path for path in tracked() if path.suffix == ".md"):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if re.match(r"https?:|mailto:", target):
                continue
            name, _, anchor = target.partition("#")
            aim = (page.parent / name).resolve() if name else page
            if aim in AWAITED and not aim.exists():
                continue
            if not aim.exists() or (anchor and anchor not in anchors_of(aim)):
                lost.append((name_of(page), target))
    assert lost == []


def names_in(path: Path) -> set[str]:
    """The names that a file of tests defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)} | {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def test_every_file_that_is_named_is_there() -> None:
    """A path of this repository, in a text, a comment or a docstring, leads to a file, and to the test it names."""
    lost = []
    for path in tracked():
        for name, function in FILE.findall(text_of(path)):
            aim = ROOT / name
            if aim in AWAITED or "*" in name:
                continue
            if not aim.is_file() or (function and function not in names_in(aim)):
                lost.append((name_of(path), name, function))
    assert lost == []


def test_each_rule_of_the_design_names_its_tests() -> None:
    """Every rule, every race and every part of the design says which tests hold it."""
    design = PAGES["design"].read_text(encoding="utf-8")
    parts = re.split(r"^### (?=Rule \d)|^## (?=\d)", design, flags=re.MULTILINE)[1:]
    for part in parts:
        title = part.partition("\n")[0]
        if not title.startswith(("1. ", "2. ", "5. ")):
            assert re.search(r"Held by: .*`tests/", part), title
    for race in re.findall(r"^\| ([a-z]) \| ", design, re.MULTILINE):
        assert re.search(rf"^\| {race} \| `tests/\S+\.py::\w+`", design, re.MULTILINE), race


def test_the_second_stand_in_cites_sections_that_are_there() -> None:
    """Each of its questions names the section that leaves it open; `C` is section 10 now."""
    text = (ROOT / "tests/second_iron/questions.py").read_text(encoding="utf-8")
    found = re.findall(rf'"([AC]) ({_NUMBER})"', text)
    items = set(re.findall(r"^(\d+)\. ", PAGES["iron"].read_text(encoding="utf-8").partition("## 7.")[2], re.MULTILINE))
    assert len(found) > 30
    for sheet, number in found:
        cited_one = number if sheet == "A" else f"10.{number.partition('.')[0]}"
        assert cited_one in sections_of("iron") or (cited_one.startswith("7.") and cited_one[2:] in items), cited_one


def test_the_switches_cite_sections_that_are_there() -> None:
    """Where the comment of a switch ends in a number, that is a section of the facts about Iron."""
    text = (ROOT / "ops/sandbox/world/switches.py").read_text(encoding="utf-8")
    comments = re.findall(r"((?:^ *#:.*\n)+)", text, re.MULTILINE)
    found = [number for comment in comments for number in re.findall(r"(?<= )(\d\.\d+[a-z]?)(?=$)", comment.strip())]
    assert len(found) > 20
    assert [number for number in found if number not in sections_of("iron")] == []
