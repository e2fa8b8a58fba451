"""The processes that `demo` and `dev` start: each in a session of its own, watched, and stopped in order.

Secrets reach a child through its environment, never through its arguments. On Linux a child gets SIGTERM when the
thread that started it dies, even by kill -9, so `start` belongs into the main thread; ops/local/embedded.py says how.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import ops
from ops.local.embedded import END_WITH_PARENT

#: Seconds from SIGTERM to SIGKILL: a worker finishes the step in hand, whose calls take up to 10 s each.
STOP_GRACE_S = 20.0

#: Seconds that a child may take until it says that it is ready; a start takes about one.
READY_TIMEOUT_S = 30.0

#: Seconds between two looks at a child.
LOOK_EVERY_S = 0.02

#: Lines of a dead child's log that are shown.
LAST_LINES = 8


class ChildError(Exception):
    """A child did not start or has ended; the text says which, and what its log says last."""


class TerminatedError(BaseException):
    """Somebody told this process to end, or closed its terminal. Like KeyboardInterrupt, this is no Exception."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise TerminatedError in the block when SIGTERM or SIGHUP comes, so that it is left in order.

    SIGINT raises KeyboardInterrupt also where a script started us in the background, for which shells ignore it.
    """

    def leave(_number: int, _frame: object) -> None:
        raise TerminatedError

    handlers = {signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Take no signal in the block: an impatient user must not leave half of the children behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Child:
    """One process of ours. Its id is also that of its session and its process group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def told(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Processes:
    """The children, in the order of their start. A context manager that stops them in the reverse order."""

    def __init__(self, folder: Path, others: Mapping[str, int] | None = None) -> None:
        """Take the folder where the logs go, to logs/, and the process ids, to processes.json.

        `others` are processes that somebody else looks after, by name; their ids are only written down.
        """
        self._folder = folder
        self._pids = dict(others or {})
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        (self._folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> Child:
        """Start a command of ours, such as `worker --threads 8`, with these settings and no others."""
        log = self._folder / "logs" / f"{name}.log"
        root = str(Path(ops.__file__).parents[1])
        command = [sys.executable, "-P", "-m", "ops.cli", *arguments]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", END_WITH_PARENT, str(os.getpid()), *command]
        inherited = {key: value for key, value in os.environ.items() if not is_setting(key)}
        paths = os.pathsep.join(path for path in (root, inherited.get("PYTHONPATH", "")) if path)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**inherited, "PYTHONPATH": paths, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        self._pids[name] = process.pid
        (self._folder / "processes.json").write_text(json.dumps(self._pids) + "\n", encoding="utf-8")
        return child

    def wait_for(self, child: Child, pattern: str, *, timeout_s: float = READY_TIMEOUT_S) -> re.Match[str]:
        """Wait until the child's log has a line with the pattern.

        Raises ChildError when the child ends before, or says nothing of it in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if found := re.search(pattern, child.told()):
                return found
            self.check()
            if time.monotonic() > deadline:
                raise ChildError(f"The {child.name} was not ready after {timeout_s:g} s; {_last_lines(child)}")
            time.sleep(LOOK_EVERY_S)

    def check(self) -> None:
        """Raise ChildError when a child has ended."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
                raise ChildError(f"The {child.name} {how}; {_last_lines(child)}")

    def stop(self) -> None:
        """Stop the children, the last first: SIGTERM, and after a grace SIGKILL for whatever is left of it."""
        with _undisturbed():
            while self._children:
                child = self._children.pop()
                child.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(STOP_GRACE_S)
                with contextlib.suppress(ProcessLookupError):  # all gone, as it should be
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()


def is_setting(name: str) -> bool:
    """Return whether an environment variable is a setting of ours: a child gets those it is given, not the shell's."""
    return name.startswith(("ONBOARDING_", "IRON_"))


def _last_lines(child: Child) -> str:
    lines = [line for line in child.told().splitlines() if line.strip()][-LAST_LINES:]
    return f"the end of {child.log}:\n" + "\n".join(lines) if lines else f"it wrote nothing to {child.log}."
