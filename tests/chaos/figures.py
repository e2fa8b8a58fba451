"""What `make chaos` must show, as one table: each figure, its target, what was seen.

    python -m tests.chaos.figures

The programs leave what they saw in build/chaos, one JSON file each; this one compares. Exit status 1 when a figure is
missing or misses its target.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Where the programs leave what they saw; `make clean` removes it.
FOLDER = Path(__file__).resolve().parents[2] / "build" / "chaos"

Seen = Mapping[str, Any]


def keep(program: str, seen: Seen) -> None:
    """Leave what a program saw, beside what it saw in earlier runs of other parts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{program}.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**before, **seen}, indent=1), encoding="utf-8")


def kept(program: str) -> dict[str, Any]:
    """Read what a program saw; nothing where it has not run."""
    file = FOLDER / f"{program}.json"
    seen: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return seen


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `seen` gives the text to show and whether the target is met; KeyError: not measured."""

    name: str
    target: str
    seen: Callable[[Seen, Seen, Seen], tuple[str, bool]]


def _schedules(run: Seen, _: Seen, __: Seen) -> tuple[str, bool]:
    return f"{run['schedules']:,}, {run['failed']}", run["schedules"] >= 10_000 and not run["failed"]


def _zombies(run: Seen, trials: Seen, _: Seen) -> tuple[str, bool]:
    attempted = run["stale"] + sum(trial["refused"] for trial in trials.values())
    return f"{attempted:,}, {run['accepted']}", attempted >= 1_000 and not run["accepted"]


def _killed(name: str) -> Callable[[Seen, Seen, Seen], tuple[str, bool]]:
    def seen(_: Seen, trials: Seen, __: Seen) -> tuple[str, bool]:
        trial = trials[name]
        well = trial["p99_s"] <= 10 and trial["max_s"] <= 15 and trial["runs"] >= 50 and not trial["wrong"]
        return f"p99 {trial['p99_s']:.1f} s, max {trial['max_s']:.1f} s, {trial['runs']} trials", well

    return seen


def _away(_: Seen, trials: Seen, __: Seen) -> tuple[str, bool]:
    trial = trials["redis_away"]
    # A burnt attempt, or a process that ended, fails the trial.
    return f"{trial['max_s']:.1f} s, {trial['failed']}", trial["max_s"] <= 30 and not trial["failed"]


def _robbed(name: str) -> Callable[[Seen, Seen, Seen], tuple[str, bool]]:
    def seen(_: Seen, trials: Seen, __: Seen) -> tuple[str, bool]:
        trial = trials[name]
        well = not trial["wrong"] and not trial["failed"] and trial["runs"] >= 100
        return f"{trial['wrong']}, {trial['failed']}, {trial['runs']} trials", well

    return seen


def _others(_: Seen, trials: Seen, __: Seen) -> tuple[str, bool]:
    seen = [trials[name] for name in OTHERS]
    wrong, failed = sum(trial["wrong"] for trial in seen), sum(trial["failed"] for trial in seen)
    return f"{wrong}, {failed}, {sum(trial['runs'] for trial in seen)} trials", not wrong and not failed


def _guards(_: Seen, __: Seen, mutants: Seen) -> tuple[str, bool]:
    return f"{mutants['removed']}, {mutants['caught']}", mutants["removed"] == mutants["caught"] == mutants["all"]


#: Trials without a target of their own; nothing may go wrong in them either.
OTHERS = ("stop_and_continue", "kill_redis", "redis_frozen", "read_only", "memory_full", "disk_full")

FIGURES = (
    Figure("schedules run; duplicate effects, lost or stuck onboardings", "10,000, 0", _schedules),
    Figure("stale commits attempted; accepted", "1,000, 0", _zombies),
    Figure(
        "kill -9 of a worker in 100 steps: all moving again", "p99 10 s, max 15 s, 50 trials", _killed("kill_child")
    ),
    Figure("kill -9 of its manager: the same", "p99 10 s, max 15 s, 50 trials", _killed("kill_manager")),
    Figure("Redis away for 60 s: all due moving; attempts counted", "30 s, 0", _away),
    Figure("broker wiped: duplicates, unfinished", "0, 0, 100 trials", _robbed("wipe_broker")),
    Figure("ledger rolled back: duplicates, unfinished", "0, 0, 100 trials", _robbed("roll_back")),
    Figure("worker stopped; Redis killed, frozen, read-only, full", "0, 0", _others),
    Figure("guards removed; caught", "all, all", _guards),
)


def table(run: Seen, trials: Seen, mutants: Seen) -> tuple[list[str], bool]:
    """Write the table, and say whether every target is met."""
    lines, well = [f"{'figure':<62}{'target':<32}seen"], True
    for figure in FIGURES:
        try:
            text, met = figure.seen(run, trials, mutants)
        except KeyError:
            text, met = "not measured", False
        well = well and met
        lines.append(f"{figure.name:<62}{figure.target:<32}{text}{'' if met else '   MISSED'}")
    return lines, well


def main(_: Sequence[str] = ()) -> int:
    """Print the table; 1 when a target is missed."""
    lines, well = table(kept("run"), kept("trials"), kept("mutants"))
    print("\n".join(lines))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
