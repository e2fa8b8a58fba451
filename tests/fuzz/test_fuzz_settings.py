"""Hundreds of settings and command lines that nobody meant: sentences, and never an error of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import arguments, settings

#: The programs tests/fuzz/settings.py and tests/fuzz/arguments.py try 10,000 each.
ENVIRONMENTS, LINES, CHUNKS = 240, 300, 4


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_settings(chunk: int, tmp_path: Path) -> None:
    """Each environment is refused in sentences that hold no value, or is of use for everything it is for."""
    outcomes, found = settings.fuzz(100 + chunk, ENVIRONMENTS // CHUNKS, tmp_path)
    assert found == {}
    assert outcomes["refused"] > outcomes["taken"] > 0


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_arguments(chunk: int, ledger_url: str, broker_url: str, tmp_path: Path) -> None:
    """Each command line ends with a status of the contract, and with a sentence where that is not 0."""
    with arguments.settled(ledger_url, broker_url, tmp_path):
        outcomes, found = arguments.fuzz(100 + chunk, LINES // CHUNKS, tmp_path)
    assert found == {}
    assert {"status 0", "status 1", "status 2"} <= set(outcomes)
