"""`onboarding demo` and `onboarding dev` as people start them: everything real, and every process gone in the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.cli import main

ROOT = Path(__file__).resolve().parents[2]

#: Longer than anything here takes on a busy machine with two cores, in seconds.
PATIENCE_S = 60.0

Start = Callable[..., subprocess.Popen[str]]


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to be true; the answer is what it gave."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        pause.wait(0.05)
    return found


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `onboarding` with some words; whatever still runs at the end is ended."""
    running: list[subprocess.Popen[str]] = []

    def popen(*words: object) -> subprocess.Popen[str]:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "IRON_API_KEY": "of the shell", "ONBOARDING_SETTLE_S": "nonsense"}
        command = [sys.executable, "-m", "ops.cli", *map(str, words)]
        process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def groups(folder: Path) -> set[int]:
    """The process groups that were started, from the data folder: one for each part."""
    file = folder / "processes.json"
    return set(json.loads(file.read_text(encoding="utf-8")).values()) if file.exists() else set()


def alive(started: set[int]) -> list[str]:
    """Every process of these groups that runs, by its command. A bare Debian has /proc and no ps, macOS the reverse."""
    if Path("/proc/self/stat").exists():
        return [name for group, state, name in _processes() if group in started and state not in "ZX"]
    listing = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 2) for line in listing.splitlines()]
    return [args for group, state, args in found if int(group) in started and not state.startswith("Z")]


def _processes() -> Iterator[tuple[int, str, str]]:
    """Give group, state and name of every process. Source: proc(5)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
            state, _, group = rest.split()[:3]
            yield int(group), state, name.partition("(")[2]


def workers_run(folder: Path) -> bool:
    """Say whether both worker processes have begun."""
    log = folder / "logs" / "worker.log"
    return log.exists() and log.read_text(encoding="utf-8").count("worker.started") == 2


def test_the_demo_from_end_to_end(start: Start, tmp_path: Path) -> None:
    """Every customer reaches the phase of the tag, and the check against the sandbox is told; once more: nothing new.

    The very first run is killed in the middle, where nothing can clean up: its children end by themselves, and the next
    run goes on where it stood.
    """
    demo = start("demo", "--customers", 12, "--folder", tmp_path)
    until(lambda: workers_run(tmp_path), "the workers")
    started = groups(tmp_path)
    demo.kill()
    if sys.platform == "linux":  # the kernel tells the children
        until(lambda: not alive(started), "the end of all children")

    out, err = (demo := start("demo", "--customers", 12, "--folder", tmp_path)).communicate(timeout=PATIENCE_S)
    assert (demo.returncode, out) == (0, ""), err
    told = re.search(r"Checked against the sandbox: (\d+) customers, (\d+) identifications, (\d+) signings\.", err)
    assert told, err
    assert int(told[1]) > 8
    assert re.search(r"active +\d+ +nobody +approve \d+", err)
    assert ": 12 rows, " in err
    assert "Nothing new was created" not in err
    assert not alive(groups(tmp_path))

    out, err = (demo := start("demo", "--customers", 12, "--folder", tmp_path)).communicate(timeout=PATIENCE_S)
    assert (demo.returncode, out) == (0, ""), err
    assert f"{told[0]} Every effect happened exactly once. Nothing new was created." in err
    assert f" 0 new, {told[1]} already known" in err


def test_ctrl_c_stops_everything(start: Start, tmp_path: Path) -> None:
    """In the middle of the work: every process that was started is gone before the demo is."""
    demo = start("demo", "--folder", tmp_path)
    until(lambda: workers_run(tmp_path), "the workers")
    started = groups(tmp_path)
    assert len(started) >= 3
    assert len(alive(started)) >= len(started) + 2  # the worker's own two processes
    demo.send_signal(signal.SIGINT)
    _, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 130, err
    assert alive(started) == []
    assert "Everything is stopped" in err
    assert "Traceback" not in err


def test_a_part_that_dies_is_told_with_the_end_of_its_log(start: Start, tmp_path: Path) -> None:
    """Status 1, which part and how it ended; the others are stopped."""
    demo = start("demo", "--folder", tmp_path)
    until(lambda: workers_run(tmp_path), "the workers")
    started = groups(tmp_path)
    os.killpg(json.loads((tmp_path / "processes.json").read_text(encoding="utf-8"))["worker"], signal.SIGKILL)
    _, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 1
    assert "The worker was ended by SIGKILL; the end of " in err
    assert "worker.started" in err or "step.committed" in err
    assert "Traceback" not in err
    assert alive(started) == []


def test_a_folder_whose_sandbox_has_forgotten_is_refused(start: Start, tmp_path: Path) -> None:
    """Records without the customers they stand for would look like losses; the sentence has the remedy."""
    (tmp_path / "story.json").write_text("{}", encoding="utf-8")
    _, err = (demo := start("demo", "--folder", tmp_path)).communicate(timeout=PATIENCE_S)
    assert demo.returncode == 1
    assert "no longer what the sandbox knew of them: remove the folder, or name another" in err


def exported(file: Path) -> dict[str, str]:
    """Read the file that `dev` leaves for other shells, with a shell."""
    listing = subprocess.run(
        ["sh", "-c", f". '{file}' && env -0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pairs = (line.partition("=") for line in listing.split("\0"))
    return {name: value for name, _, value in pairs if name.startswith(("ONBOARDING_", "IRON_"))}


def free_pair() -> int:
    """A port that nobody listens on, and neither on the next one."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            try:
                other.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except OSError:
                continue
            return int(one.getsockname()[1])


def test_dev_stays_up_and_is_used_from_another_shell(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the job to active by the commands alone, with the settings that `dev` leaves in a file; then it is ended."""
    port = free_pair()
    dev = start("dev", "--folder", tmp_path, "--port", port)
    until(lambda: workers_run(tmp_path) and (tmp_path / "env").exists(), "the workers")
    settings = exported(tmp_path / "env")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    control = f"http://127.0.0.1:{port + 1}/_sandbox"
    httpx.post(f"{control}/switches", json={"approval_delay_s": 0}).raise_for_status()

    job = ("--key", "k-1", "--email", "ada+manual@example.com")
    assert main(["submit", *job, "--wait", "identification_pending", "--timeout", "20"]) == 0
    httpx.post(f"{control}/customers/k-1/approve").raise_for_status()
    assert main(["status", "k-1", "--wait", "signings_required", "--timeout", "20"]) == 0

    def documents() -> list[str]:
        capsys.readouterr()
        assert main(["status", "k-1", "--json"]) == 0
        return [one["id"] for one in json.loads(capsys.readouterr().out)["signings"]]

    asked = [word for document in until(documents, "the documents") for word in ("--document", document)]
    assert main(["sign", "k-1", *asked, "--signed-by", "Ada"]) == 0
    assert main(["status", "k-1", "--wait", "active", "--timeout", "20"]) == 0

    refused = start("demo", "--folder", tmp_path)
    assert "already running" in refused.communicate(timeout=PATIENCE_S)[1]
    assert refused.returncode == 1

    started = groups(tmp_path)
    dev.send_signal(signal.SIGTERM)
    _, err = dev.communicate(timeout=PATIENCE_S)
    assert dev.returncode == 143, err
    assert alive(started) == []
    assert f". {tmp_path / 'env'}" in err
    assert f"http://127.0.0.1:{port + 1}/api" in err
    assert settings["ONBOARDING_REDIS_URL"].partition("@")[0] not in err
    assert settings["ONBOARDING_ENCRYPTION_KEYS"] not in err
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600
