"""The table of `make chaos`: every figure is there, and a target that is missed is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.figures import FIGURES, OTHERS, table

RUN = {"schedules": 10_000, "failed": 0, "stale": 1_500, "accepted": 0}
TRIAL = {"runs": 100, "p99_s": 6.0, "max_s": 7.0, "failed": 0, "wrong": 0, "refused": 0}
TRIALS = dict.fromkeys(("kill_child", "kill_manager", "redis_away", "wipe_broker", "roll_back", *OTHERS), TRIAL)
MUTANTS = {"all": 30, "removed": 30, "caught": 30}


def test_all_targets_met() -> None:
    """Where every figure meets its target the table says so, one line for each."""
    lines, well = table(RUN, TRIALS, MUTANTS)
    assert well
    assert len(lines) == 1 + len(FIGURES)


def test_nothing_measured() -> None:
    """A figure that nobody measured is no figure that is met."""
    lines, well = table({}, {}, {})
    assert not well
    assert all(line.endswith("not measured   MISSED") for line in lines[1:])


@pytest.mark.parametrize(
    ("program", "changed"),
    [
        ("run", {"schedules": 9_999}),
        ("run", {"failed": 1}),
        ("run", {"stale": 999}),
        ("run", {"accepted": 1}),
        ("kill_child", {"p99_s": 10.1}),
        ("kill_manager", {"max_s": 15.1}),
        ("kill_child", {"runs": 49}),
        ("redis_away", {"max_s": 30.1}),
        ("redis_away", {"failed": 1}),
        ("wipe_broker", {"wrong": 1}),
        ("roll_back", {"runs": 99, "failed": 1}),
        ("disk_full", {"wrong": 1}),
        ("redis_frozen", {"failed": 1}),
        ("mutants", {"caught": 29}),
        ("mutants", {"removed": 1, "caught": 1}),
    ],
)
def test_a_target_missed(program: str, changed: dict[str, Any]) -> None:
    """Each target is looked at: one that is missed is marked, alone, and the whole is not well."""
    trials = TRIALS | ({program: TRIAL | changed} if program in TRIALS else {})
    run = RUN | (changed if program == "run" else {})
    lines, well = table(run, trials, MUTANTS | (changed if program == "mutants" else {}))
    assert not well
    assert sum(line.endswith("MISSED") for line in lines) == 1
