"""Which setting a refusal is likely about, as the code and the runbook have it."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from workers.operate.diagnosis import ADDRESS, CAUSES, KEY, NETWORK, VERSION, Cause, cause_of, rejects_all
from workers.settings import Settings

RUNBOOK = Path(__file__).parents[2] / "ops" / "docs" / "runbook.md"


def test_the_runbook_has_the_same_table() -> None:
    """Each status that has a cause of its own stands in the runbook with the same setting, and no other does."""
    rows = re.findall(r"^\| ([\d, ]+) \| `(\w+)`", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    told = {int(status): setting for statuses, setting in rows for status in statuses.split(",")}
    assert told == {status: cause.setting for status, cause in CAUSES.items()}


@pytest.mark.parametrize("cause", [KEY, VERSION, ADDRESS, NETWORK])
def test_the_setting_is_one_of_ours(cause: Cause) -> None:
    """Every cause names a setting by the name that it is set with, and its remedy begins with it."""
    assert cause.setting in Settings.model_fields
    assert cause.remedy.startswith(f"Check {cause.setting}")


@pytest.mark.parametrize("status", [status.value for status in HTTPStatus if 400 <= status < 500])
def test_every_refusal_has_a_sentence(status: int) -> None:
    """Whatever status the breaker keeps, the operator reads it, and what to check."""
    assert rejects_all(status) == f"Iron rejects every call (HTTP {status}). {cause_of(status).remedy}"
