"""A step is one row of `STEPS`, an act one row of `ACTS`: adding one touches one source file, which is tried here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.acts import ACTS
from pipelines.lifecycle import Phase
from pipelines.onboarding import STEPS, refresh
from pipelines.step import Step, table

ROOT = Path(__file__).resolve().parents[2]

#: A step that does not exist, as somebody would write it: a function, and a row before the last bracket of the table.
FUNCTION = '''
def read_limits(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Read the limits of a customer in review."""
    return Done({"labels": {**record.labels, "limits": iron.customer(id_at_iron(record)).status}})


#: Every step by its name'''
ROW = """    Step(
        read_limits,
        "Read the limits",
        stands_in=frozenset({Phase.IN_REVIEW}),
        on_entering=Phase.IN_REVIEW,
        only_reads=True,
    ),
)
"""

#: What follows from the row alone, each from the part of the program that it matters to.
TRY_STEP = """
import json
from dataclasses import replace
from pipelines.advance import after_outcome
from pipelines.lanes import READ_AGAIN, place_of
from pipelines.model import Done, Next
from pipelines.view import next_sentence
from tests.unit.test_acts import NEW
from tests.unit.test_advance import at
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.operate.audit.records import fits
from pipelines.lifecycle import Phase

broker = NudgeBroker(url="redis://127.0.0.1:1/0", middleware=[])
declare_actors(broker, None)
known = replace(
    NEW, customer_id="c-1", customer_status="IdentificationRequired", identification_id="i-1",
    identification_status="Pending", phase=Phase.IDENTIFICATION_PENDING, step="refresh", lane="bulk",
)
following = after_outcome(known, Done({"identification_status": "Processed", "link": None}), at())
print(json.dumps({
    "actor": "read_limits" in broker.get_declared_actors(),
    "phase": following.record.phase.value,
    "step": following.record.step,
    "sentence": next_sentence(following.record, 1_800_000_000_000).partition(" at ")[0],
    "fits": fits(following.record),
    "fits elsewhere": fits(replace(following.record, phase=Phase.ACTIVE)),
    "place": place_of(Next(following.record, 5.0)) == READ_AGAIN,
}))
"""

ACT = '''
def _praise(record: Record, act: Mapping[str, Any]) -> Record:  # noqa: ARG001 -- an act's signature
    """Note that the customer was praised."""
    return record.evolve(risk_tier="high")


#: Every act by its name'''
TRY_ACT = """
import json
from pipelines.acts import apply_acts, refusal
from tests.unit.test_acts import NEW, act, effect_of
from dataclasses import replace

doubtful = replace(NEW, effect=replace(effect_of(NEW), last_ms=1))
print(json.dumps({
    "refused": refusal(NEW, "praise"),
    "applied": apply_acts(NEW, [act("praise")]).record.risk_tier,
    "waits": apply_acts(doubtful, [act("praise")]).acts == (),
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the program and its tests."""
    for top in ("pipelines", "workers", "ops", "tests"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def added(copy: Path, file: str, *changes: tuple[str, str]) -> None:
    """Add something to one file of the copy."""
    text = (copy / file).read_text("utf-8")
    for before, after in changes:
        assert text.count(before) == 1, f"{file} holds {before!r} {text.count(before)} times"
        text = text.replace(before, after)
    (copy / file).write_text(text, "utf-8")


def tried(copy: Path, program: str) -> dict[str, object]:
    """What a program prints that runs on the copy."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout)
    return found


def test_adding_a_step_touches_one_file(copy: Path) -> None:
    """A function and a row, and there are its actor, its sentence, its place in the lanes and its rule in the audit."""
    rows = (copy / "pipelines" / "onboarding.py").read_text("utf-8")
    last = rows[rows.rindex("    Step(") :]
    added(
        copy,
        "pipelines/onboarding.py",
        ("\n#: Every step by its name", FUNCTION),
        (last, last.removesuffix(")\n") + ROW),
    )
    assert tried(copy, TRY_STEP) == {
        "actor": True,
        "phase": "in_review",
        "step": "read_limits",
        "sentence": "Read the limits",
        "fits": True,
        "fits elsewhere": False,
        "place": True,
    }


def test_adding_an_act_touches_one_file(copy: Path) -> None:
    """A function and a row, and it is known, applied, and waits for a call in doubt."""
    row = '        "sign": Act(_may_sign'
    added(
        copy,
        "pipelines/acts.py",
        ("\n#: Every act by its name", ACT),
        (row, f'        "praise": Act(_always, _praise, "praised the customer"),\n{row}'),
    )
    assert tried(copy, TRY_ACT) == {"refused": None, "applied": "high", "waits": True}


def test_a_step_that_is_not_in_its_table_is_nowhere(copy: Path) -> None:
    """Without its row the function is not a step: the row is what makes it one."""
    added(copy, "pipelines/onboarding.py", ("\n#: Every step by its name", FUNCTION))
    found = tried(copy, TRY_STEP.replace('"fits":', '"-":').replace("fits(following.record)", "0"))
    assert (found["actor"], found["step"]) == (False, "refresh")


def test_two_rows_cannot_answer_for_the_same() -> None:
    """Two steps with one name, for one phase or for one beginning are a mistake that ends the start."""
    one = Step(refresh, "Read")
    with pytest.raises(ValueError, match="the same name"):
        table(one, one)
    with pytest.raises(ValueError, match="the same at_once_in"):
        table(*(replace(row, at_once_in=Phase.RECEIVED) for row in STEPS.values()))
    with pytest.raises(ValueError, match="the same on_entering"):
        table(*(replace(row, on_entering=Phase.RECEIVED, at_once_in=None) for row in STEPS.values()))


def test_what_the_rows_say_fits_together() -> None:
    """Parts are those of a job; what carries details uses a part; a budget is secured only before a call with a key."""
    assert {row.part for row in STEPS.values()} == {"", "customer", "identification"}
    for name, row in STEPS.items():
        assert row.name == name
        assert row.part or not row.carries
        assert row.has_effect or not row.secures
        assert not (row.only_reads and (row.has_effect or row.changes_iron))
        assert row.sentence[0].isupper()
        assert not row.sentence.endswith(".")
    assert {name for name, row in STEPS.items() if row.has_effect} == {
        "create_customer",
        "create_identification",
        "submit_signings",
    }
    assert {name for name, row in STEPS.items() if row.changes_iron} == {"update_customer", "archive_at_iron"}


def test_who_only_looks_moves_nothing() -> None:
    """An act after which nothing is different at Iron has no reason to wait for a call in doubt."""
    assert {name for name, row in ACTS.items() if not row.moves} == {"read", "revoke_links"}
    assert not any(row.waits for row in ACTS.values() if not row.moves)
