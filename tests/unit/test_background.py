"""Threads that go round: what one turn does not foresee does not end them."""

from __future__ import annotations

import threading

import pytest

from workers.process import background
from workers.process.background import Background


class Clumsy(Background):
    """Fails at its first turn."""

    def __init__(self) -> None:
        super().__init__("clumsy")
        self.turns = 0
        self.went_on = threading.Event()

    def turn(self) -> float:
        self.turns += 1
        if self.turns == 1:
            raise ValueError("unforeseen")
        self.went_on.set()
        return 60.0


def test_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that raises is told in the log, and the next one comes; stopping waits for no pause."""
    monkeypatch.setattr(background, "FAILED_PAUSE_S", 0.01)
    clumsy = Clumsy()
    try:
        clumsy.start()
        assert clumsy.went_on.wait(10)
    finally:
        clumsy.stop()
    assert clumsy.turns == 2
