"""The whole system on one machine, for `demo` and `dev`: Redis, sandbox, workers, gateway; their data in one folder."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ops.cli import output
from ops.cli.exits import CommandError, Status
from ops.local.embedded import EmbeddedRedis, EmbeddedRedisError
from ops.local.processes import ChildError, Processes, TerminatedError, terminable
from workers.production import DEMO_API_KEY, DEMO_WEBHOOK_SECRET
from workers.secrets.tokens import Role, new_token, setting_of
from workers.secrets.vault import new_key

#: Who stands in histories for the user of the API token of a demo.
TOKEN_NAME = "demo"  # noqa: S105 -- a name
#: With a sandbox of our own no limits have to be kept.
PLENTY = {"IRON_RATE_PER_SECOND": "1000", "IRON_IDENTIFICATIONS_PER_MINUTE": "60000"}
#: Seconds that a worker may finish what is in hand: steps take milliseconds here. When we are killed, Redis ends along
#: with the workers, and without it they would hold on to what they cannot acknowledge for as long as they may.
GRACE_S = "3"
#: Seconds between two looks at the parts.
LOOK_EVERY_S = 0.2


@dataclass(slots=True)
class System:
    """The parts, running. `settings` is what a part's environment holds, `token` an API token; both are secret."""

    folder: Path
    processes: Processes
    sandbox: str
    gateway: str
    settings: dict[str, str]
    token: str
    #: The server that runs as Redis: product, version and path.
    server: str

    def ask(self, path: str, tell: Mapping[str, Any] | None = None) -> Any:
        """Ask the sandbox's control interface, or tell it something.

        Raises CommandError, or ChildError when the sandbox is gone.
        """
        try:
            with httpx.Client(trust_env=False, timeout=30.0) as client:  # no proxy stands between us and ourselves
                method = "GET" if tell is None else "POST"
                return client.request(method, f"{self.sandbox}/_sandbox/{path}", json=tell).raise_for_status().json()
        except httpx.HTTPError as error:
            self.processes.check()
            where = self.folder / "logs"
            raise CommandError(
                f"The sandbox does not answer ({type(error).__name__}): its log is in {where}."
            ) from None


@contextmanager
def running(
    folder: Path, *, settings: Mapping[str, str], speed: float = 1.0, port: int = 0, by_call: bool = False
) -> Iterator[System]:
    """Start all parts with their data in `folder`, and stop them in order: gateway, workers, sandbox, Redis.

    `settings` adds to what the parts need. `port` is the gateway's, the next one is the sandbox's; 0 takes free ones.
    `by_call`: the sandbox approves when told.
    Raises CommandError when a part does not start or ends by itself.
    """
    _prepare(folder)
    sandbox_port = port + 1 if port else 0
    for number, part in ((port, "the gateway"), (sandbox_port, "the sandbox")):
        if number:
            _must_be_free(number, part)
    try:
        with (
            terminable(),
            EmbeddedRedis(folder / "redis") as redis,
            Processes(folder, {"redis": redis.pid}) as processes,
        ):
            state = str(folder / "sandbox.state")
            token = _token(folder)
            options = ["--port", str(sandbox_port), "--speed", str(speed), "--state", state]
            sandbox = processes.start("sandbox", ["sandbox", *options, *(["--by-call"] if by_call else [])], {})
            address = processes.wait_for(sandbox, r"ready on (http://[^/\s]+)/api")[1]
            environment = {
                "ONBOARDING_REDIS_URL": redis.url_for(0),
                "ONBOARDING_BROKER_URL": redis.url_for(1),
                "ONBOARDING_ENCRYPTION_KEYS": _keys(folder),
                "IRON_BASE_URL": f"{address}/api",
                "IRON_API_KEY": DEMO_API_KEY,
                "IRON_WEBHOOK_SECRET": DEMO_WEBHOOK_SECRET,
                "ONBOARDING_PRIVATE_ENDPOINTS": "true",
                "ONBOARDING_API_TOKENS": setting_of(TOKEN_NAME, Role.ADMIN, token),
                **settings,
            }
            logged = environment | {"ONBOARDING_LOG": "json"}
            processes.start("worker", ["worker", "--grace", GRACE_S], logged)
            gateway = processes.start("gateway", ["gateway", "--port", str(port)], logged)
            taken = json.loads(processes.wait_for(gateway, r'\{.*"gateway\.started".*\}')[0])["port"]
            environment["ONBOARDING_PUBLIC_URL"] = f"http://127.0.0.1:{taken}"
            system = System(
                folder, processes, address, f"http://127.0.0.1:{taken}", environment, token, str(redis.executable)
            )
            system.ask("webhooks", {"url": f"{system.gateway}/webhooks/iron", "secret": DEMO_WEBHOOK_SECRET})
            yield system
    except (ChildError, EmbeddedRedisError) as error:
        raise CommandError(str(error)) from None


def run_dev(port: int, folder: Path, *, by_call: bool = False) -> int:
    """Run everything until Ctrl-C. The gateway's port is `port`, the sandbox's the next one."""
    place = folder.absolute()
    try:
        with running(place, settings=PLENTY, port=port, by_call=by_call) as system:
            _banner(system)
            while True:
                system.processes.check()
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    except TerminatedError:
        status = Status.TERMINATED
    output.say(f"Everything is stopped; the data stays in {place}.")
    return status


def _prepare(folder: Path) -> None:
    """Make the data folder: private, and unknown to version control."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"The folder {folder} cannot be used ({error.strerror}): name another with --folder."
        ) from None


def _must_be_free(port: int, part: str) -> None:
    """Find out before anything is started whether a port can be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = "is in use: stop what listens there, or" if error.errno == errno.EADDRINUSE else "cannot be used:"
            raise CommandError(f"Port {port}, for {part}, {why} choose another pair with --port.") from None


def _keys(folder: Path) -> str:
    """Return the encryption keys of this folder, made when it is used first."""
    return _kept(folder / "encryption_keys", new_key)


def _token(folder: Path) -> str:
    """Return the API token of this folder, made when it is used first."""
    return _kept(folder / "api_token", new_token)


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Read a secret, made when it is asked for first."""
    if not path.exists():
        _write_private(path, make() + "\n")
    return path.read_text(encoding="utf-8").strip()


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _banner(system: System) -> None:
    """Say where everything is, and how to use it from another shell."""
    shown = {**system.settings, "GATEWAY": system.gateway, "TOKEN": system.token}
    exports = (f"export {name}={shlex.quote(value)}\n" for name, value in shown.items())
    _write_private(system.folder / "env", "".join(exports))
    rows = [
        ("gateway", system.gateway),
        ("console", f"{system.gateway}/ (sign in with the API token)"),
        ("API token", f"{system.token} (role {Role.ADMIN})"),
        ("Iron's webhooks", f"{system.gateway}/webhooks/iron"),
        ("Iron sandbox", f"{system.sandbox}/api"),
        ("its control", f"{system.sandbox}/_sandbox/"),
        ("Redis", f"{system.settings['ONBOARDING_REDIS_URL'].rpartition('@')[2]}, the password is in the file env"),
        ("its server", system.server),
        ("data", system.folder),
        ("logs", system.folder / "logs"),
    ]
    output.table(("part", "where"), rows)
    output.say("In another shell:")
    output.say(f"  . {shlex.quote(str(system.folder / 'env'))}")
    output.say("  onboarding submit --key k-1 --email ada+approve@example.com --wait signings_required")
    output.say('  curl -H "Authorization: Bearer $TOKEN" $GATEWAY/v1/onboardings/k-1')
    output.say("Ctrl-C stops everything; the data stays.")
