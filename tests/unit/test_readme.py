"""The README is a front door: short, each figure measured by a command, each command run by a test."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipelines.model import Record
from pipelines.view import read_view
from tests.chaos.figures import FIGURES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "ops/docs/measurements.md").read_text(encoding="utf-8")
#: Words of the whole file, diagrams and tables included.
MOST_WORDS = 1_200
#: A command that makes a figure.
COMMAND = re.compile(r"`(?:python -m tests\.|make )[^`]+`")
#: A figure: a number that is not part of a word, a path or a version.
FIGURE = re.compile(r"(?<![\w./-])\d[\d,]*(?:\.\d+)?(?= ?(?:times|%|s\b|ms\b|MB\b|calls|onboardings|trials)|[,; |])")


def section(text: str, title: str) -> str:
    """A part of a document, from its heading to the next one."""
    return re.split(r"^## ", text.partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_it_is_short() -> None:
    """It fits the patience of somebody who does not know yet whether to stay."""
    assert len(README.split()) <= MOST_WORDS


def test_the_words_are_explained_on_the_first_screen() -> None:
    """The link to the concepts comes before the first command."""
    assert "(ops/docs/concepts.md)" in README.partition("## ")[0]


def test_every_figure_stands_beside_its_command() -> None:
    """Each figure of the proof is in a part of the measurements that names the command which makes it."""
    parts = [part for part in re.split(r"^## ", MEASURED, flags=re.MULTILINE) if COMMAND.search(part)]
    lines = [line for line in section(README, "Proof").splitlines() if line.startswith("|") or "times" in line]
    figures = {figure for line in lines for figure in FIGURE.findall(line)}
    assert len(figures) > 15
    known = {figure for part in parts for figure in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", part)}
    assert {figure.rstrip(",") for figure in figures} - {figure.rstrip(",") for figure in known} == set()


def test_the_table_of_the_proof_is_the_measured_one() -> None:
    """README and measurements show the same table, whose rows and targets are those of `make chaos`."""
    table = re.findall(r"^\|.*\|$", section(README, "Proof"), re.MULTILINE)
    assert [row.split(" | ")[:2] for row in table[2:]] == [[f"| {each.name}", each.target] for each in FIGURES]
    assert "\n".join(table) in section(MEASURED, "The proof")


def test_every_command_of_the_proof_is_a_program() -> None:
    """What it says to run is there."""
    named = re.findall(r"`python -m (tests\.[\w.]+)", README + MEASURED)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name.replace(".", "/")).with_suffix(".py").is_file()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", README + MEASURED)) <= targets


def test_the_job_is_the_integrators() -> None:
    """The command is the one that tests/integration/test_integrators.py runs."""
    [command] = re.findall(r"^```\n(curl .*?)^```$", section(README, "One job"), re.MULTILINE | re.DOTALL)
    assert command in (ROOT / "ops/docs/integrators.md").read_text(encoding="utf-8")


def test_the_answer_is_a_records() -> None:
    """What it shows of the record is there in a new one, with these values."""
    [shown] = re.findall(r"^```json\n(.*?)^```$", section(README, "One job"), re.MULTILINE | re.DOTALL)
    record = read_view(Record(key="crm-1", lane="interactive", external_id="crm-1"), 0)
    assert json.loads(shown) == {name: record[name] for name in json.loads(shown)}


def test_what_runs_is_what_there_is() -> None:
    """Each thread of a worker process that lives as long as the process has its line, beside the steps."""
    named = set(re.findall(r"^\| worker: (\w+) \|", section(README, "What runs"), re.MULTILINE))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workers").rglob("*.py"))
    threads = set(re.findall(r'super\(\).__init__\("([a-z ]+)"\)|threading.Thread\(.*name="([a-z]+)"', sources))
    assert named - {"steps"} == {one or other for one, other in threads} - {"first call"}
