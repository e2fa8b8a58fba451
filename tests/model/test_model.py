"""The model of the protocol, searched to its end within small budgets; `make model` takes larger ones."""

from __future__ import annotations

import pytest

from tests.model.explore import explore
from tests.model.rules import Rules
from tests.model.run import QUICK

#: Events between any state and the truth, when nothing goes wrong any more: about four attempts of a worker.
FARTHEST = 30


@pytest.mark.parametrize(("rules", "wanted"), [run[1:] for run in QUICK], ids=[run[0] for run in QUICK])
def test_quick(rules: Rules, wanted: str) -> None:
    """The rules hold over every order of events, and the truth is never far; without a rule the model sees why."""
    found = explore(rules)
    assert found.result.startswith(wanted)
    assert found.steps <= FARTHEST
