"""Installed somewhere else, as `pip install .` does it: nothing is read from the clone, and nothing is missing.

The dependencies are those of the tests' own environment: they are seen through PYTHONPATH, where our own editable
installation is not, so that no package index is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.test_demo import PATIENCE_S, exported, free_pair, until, workers_run

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipelines", "workers", "ops")
#: What people read in the clone, and the program never.
NOT_SHIPPED = {".md", ".png", ".svg"}
#: Folders whose files are for operators and developers, not for the program.
OUTSIDE = ("ops/deploy", "ops/docs", "ops/examples", "ops/locks")

#: Runs in the other place: every command, however deep, with --help.
EVERY_HELP = """
import sys
from typer.main import get_command
from ops.cli import app, main

def below(command, words):
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from below(inner, [*words, name])

all_words = list(below(get_command(app), []))
failed = [words for words in all_words if main([*words, "--help"])]
print(len(all_words), failed, sys.modules["ops"].__file__, file=sys.stderr)
"""


class Elsewhere:
    """An environment with the program in it, and a folder to work in; neither is in the clone."""

    def __init__(self, folder: Path) -> None:
        """Make the environment, empty."""
        self.folder = folder / "work"
        self.folder.mkdir()
        self.home = folder / "environment"
        venv.create(self.home, with_pip=False)
        theirs = sysconfig.get_paths()["purelib"]
        hidden = ("ONBOARDING_", "IRON_", "PYTHONPATH", "VIRTUAL_ENV")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        self.environment |= {"PYTHONPATH": theirs}
        if server := os.environ.get("ONBOARDING_REDIS_SERVER"):
            self.environment["ONBOARDING_REDIS_SERVER"] = server

    def install(self, what: Path) -> None:
        """Install what we made, without asking for anything else."""
        words = [sys.executable, "-m", "pip", "--quiet", "--python", str(self.home / "bin" / "python"), "install"]
        subprocess.run(
            [*words, "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", str(what)],
            check=True, capture_output=True, cwd=self.folder, env=self.environment,
        )  # fmt: skip

    def run(
        self, program: str, *words: str, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        command = [str(self.home / "bin" / program), *words]
        environment = self.environment | (settings or {})
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def begin(self, program: str, *words: str) -> subprocess.Popen[str]:
        """Start a program of the environment."""
        command, pipe = [str(self.home / "bin" / program), *words], subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the distribution is built from, copied: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", *words, "-w", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """A place where the wheel is installed."""
    made = Elsewhere(tmp_path_factory.mktemp("elsewhere"))
    made.install(wheel)
    return made


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    """Modules and data: scripts, templates, styles, the sample; and nothing of the tests."""
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*.*") if "__pycache__" not in path.parts}
    names = {str(path.relative_to(ROOT)) for path in files if path.suffix not in NOT_SHIPPED}
    wanted = {name for name in names if not name.startswith(OUTSIDE)}
    assert len({Path(name).suffix for name in wanted}) > 4
    assert wanted - held == set()
    assert {name.partition("/")[0] for name in held if ".dist-info/" not in name} == set(PACKAGES)


def test_pip_install_of_the_source(source: Path, tmp_path: Path) -> None:
    """`pip install .` leads to the same command."""
    made = Elsewhere(tmp_path)
    made.install(source)
    told = made.run("onboarding", "--help")
    assert (told.returncode, "Usage: onboarding" in told.stdout) == (0, True), told.stderr


def test_the_help_of_every_command(elsewhere: Elsewhere) -> None:
    """It is printed from there, and nothing of the clone is imported."""
    told = elsewhere.run("python", "-c", EVERY_HELP)
    count, failed, place = told.stderr.split()[-3:]
    assert (told.returncode, failed) == (0, "[]"), told.stderr
    assert int(count) > 40
    assert Path(place).is_relative_to(elsewhere.home)


@pytest.mark.parametrize(
    ("shell", "settings"),
    [
        ("bash", {"COMP_WORDS": "onboarding st", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "onboarding st"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "onboarding st", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_a_shell_completes(shell: str, settings: dict[str, str], elsewhere: Elsewhere) -> None:
    """The script for the shell is printed, and what it asks is answered."""
    script = elsewhere.run("onboarding", settings={"_ONBOARDING_COMPLETE": f"source_{shell}"})
    assert (script.returncode, f"complete_{shell}" in script.stdout) == (0, True), script.stderr
    told = elsewhere.run("onboarding", settings={"_ONBOARDING_COMPLETE": f"complete_{shell}", **settings})
    assert (told.returncode, "status" in told.stdout, "submit" in told.stdout) == (0, True, False), told.stderr


def test_the_demo(elsewhere: Elsewhere) -> None:
    """The sample comes along, and so does everything that the parts need."""
    told = elsewhere.run("onboarding", "demo", "--customers", "4")
    assert told.returncode == 0, told.stderr
    assert "Checked against the sandbox" in told.stderr


def test_dev_and_the_doctor(elsewhere: Elsewhere) -> None:
    """The whole system runs there; the doctor, told where it is, finds nothing broken and names the server."""
    data = elsewhere.folder / "data"
    dev = elsewhere.begin("onboarding", "dev", "--port", str(free_pair()), "--folder", str(data))
    try:
        until(lambda: workers_run(data) and (data / "env").exists(), "the workers")
        told = elsewhere.run("onboarding", "doctor", settings=exported(data / "env"))
        assert told.returncode == 0, told.stderr
        assert re.search(r"redis: (Redis|Valkey) \d", told.stderr), told.stderr
    finally:
        dev.send_signal(signal.SIGINT)
        _, err = dev.communicate(timeout=PATIENCE_S)
    assert dev.returncode == 130, err
    assert re.search(r"its server .*(Redis|Valkey) \d", err), err
