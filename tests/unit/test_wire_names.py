"""No name that others depend on goes away: what the program's text holds is compared with the list of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.cli.exits import Status
from ops.gateway.http.problems import PROBLEMS
from pipelines.identification.fields import TEXTS
from pipelines.lanes import LANES
from pipelines.lifecycle import Phase
from pipelines.onboarding import STEPS
from tests.wire_names import PATTERNS, names
from workers.settings import Settings

LISTED = set((Path(__file__).parent / "wire_names.txt").read_text("utf-8").splitlines())


def test_no_name_went_away() -> None:
    """Each listed name is still there, and each new one is listed: `python -m tests.wire_names` prints them."""
    assert names() == LISTED


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("actor", set(STEPS)),
        ("queue", set(LANES)),
        ("setting", set(Settings.model_fields)),
        ("exit status", {f"{status.name} {status.value}" for status in Status}),
        ("phase or event", {phase.value for phase in Phase}),
        ("problem", {f"{code} {status}" for code, (status, _) in PROBLEMS.items()} | set(TEXTS)),
    ],
)
def test_the_patterns_see_what_there_is(kind: str, known: set[str]) -> None:
    """What the running program knows of a kind is in the list: the patterns miss none of it."""
    assert known <= {line.removeprefix(f"{kind} ") for line in LISTED if line.startswith(f"{kind} ")}


def test_every_kind_has_names() -> None:
    """No pattern is there for nothing."""
    assert {kind for kind in PATTERNS if any(line.startswith(f"{kind} ") for line in LISTED)} == set(PATTERNS)
