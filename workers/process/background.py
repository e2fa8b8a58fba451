"""A thread that goes round for as long as its worker process lives: the leases' renewal, the pulse, the sweep."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import structlog

log = structlog.get_logger()

#: Pause after a turn that ended in something unforeseen, in seconds: the thread goes on, and the log is not flooded.
FAILED_PAUSE_S = 5.0


class Background(ABC):
    """Goes round and round in a thread of its own. One turn is the testable part."""

    def __init__(self, name: str) -> None:
        """Take the thread's name; it starts with `start`."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def turn(self) -> float:
        """Do what is to be done now; answers the pause before the next turn, in seconds."""

    def start(self) -> None:
        """Start going round."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until the turn under way is over."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            try:
                pause_s = self.turn()
            except Exception:
                log.exception("background.failed", name=self._thread.name)
                pause_s = FAILED_PAUSE_S
