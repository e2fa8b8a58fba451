"""The contract names every setting, command, option and route that there is, and none that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ops.cli import app
from ops.gateway.http.access import ACCESS
from ops.gateway.http.problems import PROBLEMS
from ops.local.embedded import SETTING
from ops.sandbox.world.scripts import STORIES
from pipelines.lifecycle import Actor, Phase
from workers.settings import SHAPES, Settings

CONTRACT = (Path(__file__).resolve().parents[2] / "ops/docs/contract.md").read_text(encoding="utf-8")
#: Where a default is said in words and not as a value.
IN_WORDS = {"IRON_KEEP_API_VERSION", "ONBOARDING_BROKER_URL", "ONBOARDING_LOG", "ONBOARDING_PRIVATE_ENDPOINTS"} | {
    "ONBOARDING_PRIVATE_REDIS"
}
#: Options that every command has, or that are said in words.
EVERYWHERE = {"--json", "--help", "-h", "--yes", "--reason", "--by", "--install-completion", "--show-completion"}


def section(number: int) -> str:
    """One section of the contract."""
    return CONTRACT.partition(f"\n## {number}. ")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a section's tables, row by row."""
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\) \| ", line)] for line in lines]


def test_every_setting_is_there_with_its_default() -> None:
    """The table has each setting once, with the default that the program takes."""
    table = {name.strip("`"): default.strip("`") for name, default, _ in rows(section(2)) if "_" in name}
    assert set(table) == {*SHAPES, SETTING}
    for name, field in Settings.model_fields.items():
        if name not in IN_WORDS:
            default = field.default or None
            assert (str(default) == table[name]) if default else table[name].startswith("none"), name


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its words."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        if words and (not inner or getattr(command, "invoke_without_command", False)):
            yield " ".join(words), command
        for name, one in inner.items():
            yield from below(one, (*words, name))

    return below(get_command(app), ())


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_there(words: str, command: Any) -> None:
    """Contract section 5 names the command and, but for those of every command, its options."""
    [*named] = [cell for cell, *_ in rows(section(5)) if re.search(rf"`{words}(?![\w-])", cell)]
    assert named, words
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    if " " not in words and words not in {"submit", "import", "imports", "sign", "correct", "retry"}:
        assert {name for name in options - EVERYWHERE if name not in " ".join(named)} <= {"--wait", "--timeout"}, words
    told = set(re.findall(r"(?<![\w-])--[a-z-]+", " ".join(named)))
    assert told <= {name for _, one in commands() for parameter in one.params for name in parameter.opts}


def test_every_route_is_there() -> None:
    """Contract section 6 has each route below /v1/ with its method, and no other."""
    told = set()
    for cell, text, *_ in rows(section(6)):
        for method, path in re.findall(r"`(GET|POST) (/v1/[^`]+)`", cell):
            actions = re.findall(r"`([a-z-]+)`", text) if path.endswith("{action}") else [""]
            told |= {f"{method} {path.replace('{action}', action)}" for action in actions if action != "reason"}
    assert told == {str(route) for route in ACCESS}


def test_every_phase_and_every_tag_is_there() -> None:
    """The words that programs decide by are all named."""
    for word in [*Phase, *Actor]:
        assert f"`{word.value}`" in section(4)
    assert set(re.findall(r"`\+([a-z-]+)`", section(9))) == set(STORIES)


def test_codes_that_the_contract_names_are_codes() -> None:
    """A problem code of the contract is one that the gateway has."""
    named = re.findall(r"40\d `([a-z_]+)`|422 `([a-z_]+)`", section(6))
    assert {one for pair in named for one in pair if one} <= set(PROBLEMS)
    assert named
