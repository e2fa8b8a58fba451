"""The model of the protocol, searched to its end within small budgets; `make model` takes larger ones."""

from __future__ import annotations

import pytest

from tests.model.explore import explore
from tests.model.rules import Rules
from tests.model.run import QUICK


@pytest.mark.parametrize(("rules", "wanted"), [run[1:] for run in QUICK], ids=[run[0] for run in QUICK])
def test_quick(rules: Rules, wanted: str) -> None:
    """The rules hold over every order of events; with the rules of generations taken out, the model sees why."""
    assert explore(rules).result.startswith(wanted)
