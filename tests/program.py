"""A part of the system as a process of its own, on a free port, with what it writes to standard error."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

DEADLINE_S = 20.0
ANY_PORT = ("--port", "0")
#: What runs a module as `python -m` does.
RUN = "import runpy; runpy.run_module({!r}, run_name='__main__')"


class Program:
    """A part of the system in a process, with what it writes to standard error."""

    def __init__(self, module: str, *, before: str = "", **environment: str) -> None:
        """Start a module. `before`: a statement that the process executes first."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("IRON_", "ONBOARDING_"))}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"{before}\nimport runpy; runpy.run_module({module!r}, run_name='__main__')",
                *ANY_PORT,
            ],
            env={**bare, "ONBOARDING_LOG": "json", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._arriving: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._arriving.put(line)
        self._arriving.put(None)

    def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""
        deadline = time.monotonic() + DEADLINE_S
        while (line := self._arriving.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"ended without {pattern}: {self.lines}")

    def stop(self) -> int:
        """Ask the process to end; answers its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        while (line := self._arriving.get_nowait() if not self._arriving.empty() else None) is not None:
            self.lines.append(line)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return status


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Look until a condition holds."""
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, what
        pause.wait(0.02)
