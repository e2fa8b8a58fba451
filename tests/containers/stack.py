"""The services of the Compose file, running, and whoever uses them from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.containers import engine
from tests.containers.engine import COMPOSE, ROOT, podman
from tests.world import a_job
from workers.secrets.tokens import Role, setting_of
from workers.secrets.vault import new_key

#: Seconds until a test gives up: a container's start takes some ten here, a customer's onboarding twenty.
PATIENCE_S = 180.0
GATEWAY, SANDBOX = "http://127.0.0.1:8700", "http://127.0.0.1:8701"
TOKEN = "onb_containers"
#: The user of our image.
USER = 10001


def until(condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    """Look until the condition holds; gives what it gave."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        pause.wait(0.2)
    return found


def secrets_in(folder: Path) -> Path:
    """Write the secret files as the Compose file's head says, with owners and modes that let the user read them."""
    texts = {
        "iron_api_key": "sandbox-key\n",
        "iron_webhook_secret": "whsec_the-older-of-two-secrets, whsec_the-newer-of-two-secrets\n",
        "encryption_keys": new_key(),
        "api_tokens": setting_of("containers", Role.ADMIN, TOKEN) + "\n\n",
    }
    rights = {
        "iron_api_key": (USER, 0, 0o400),
        "iron_webhook_secret": (0, USER, 0o440),
        "encryption_keys": (0, 0, 0o444),
        "api_tokens": (USER, USER, 0o600),
    }
    folder.mkdir()
    for name, text in texts.items():
        file = folder / name
        file.write_text(text, encoding="utf-8")
        owner, group, mode = rights[name]
        os.chown(file, owner, group)
        file.chmod(mode)
    return folder


class Stack:
    """All services, profile `dev` included. A context manager: containers, networks and volumes are gone afterwards."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        """Take a folder of our own and one with the secret files."""
        self.more = folder / "more.yml"
        self.more.write_text(yaml.safe_dump(engine.MORE), encoding="utf-8")
        self.settings = {"ONBOARDING_SECRETS": str(secrets), "IRON_BASE_URL": "http://sandbox:8701/api"}
        self.http = httpx.Client(trust_env=False, timeout=20)

    def __enter__(self) -> Self:
        self.down()
        self.compose("up", "--detach", "--no-build")
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()
        self.down()

    def down(self) -> None:
        """Remove everything, volumes included."""
        self.compose("down", "--volumes", "--timeout", "5", check=False)

    def compose(self, *words: str, check: bool = True, **settings: str) -> str:
        """Run podman-compose on the Compose file as it stands, and the file with what the engine lacks."""
        program = Path(sys.executable).with_name("podman-compose")
        files = ("-f", ROOT / "docker-compose.yml", "-f", self.more)
        return engine.run(program, *files, "--profile", "dev", *words, check=check, env=self.settings | settings)

    @staticmethod
    def name(service: str) -> str:
        """Give the name of a service's container."""
        return f"{COMPOSE['name']}_{service}_1"

    def inspect(self, service: str) -> Any:
        """Give what the engine knows of a container."""
        return json.loads(podman("inspect", self.name(service)))[0]

    def pid(self, service: str) -> int:
        """Give the process id of a container's first process; 0: it does not run."""
        return int(self.inspect(service)["State"]["Pid"])

    def inside(self, service: str, *words: str, check: bool = True) -> str:
        """Run a command in a container."""
        return podman("exec", self.name(service), *words, check=check)

    def healthy(self, service: str) -> bool:
        """Run a service's own health check: without systemd nobody else does."""
        words = ["podman", "healthcheck", "run", self.name(service)]
        return subprocess.run(words, env=engine.environment(), capture_output=True, check=False).returncode == 0

    def all_healthy(self, services: Iterable[str] = tuple(COMPOSE["services"])) -> None:
        """Wait until the services are healthy."""
        for service in services:
            until(lambda service=service: self.healthy(service), f"{service} is not healthy: {self.log(service)}")

    def log(self, service: str, lines: int = 50) -> str:
        """Give the last lines that a container wrote; 0: all."""
        words = ["podman", "logs", *(["--tail", str(lines)] if lines else []), self.name(service)]
        done = subprocess.run(words, env=engine.environment(), capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def kill(self, service: str) -> None:
        """Kill -9 a container's first process; the engine must start it again by itself, as the file says."""
        before = self.pid(service)
        os.kill(before, signal.SIGKILL)
        until(lambda: self.pid(service) not in (0, before), f"{service} does not come back")

    # --- from outside --------------------------------------------------------------------------------------------

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask the gateway as an administrator."""
        return self.http.request(method, f"{GATEWAY}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, **arguments)

    def submit(self, *keys: str) -> None:
        """Hand in jobs, again and again until each is accepted: that is what upstream does."""

        def accepted(key: str) -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return self.api("POST", "/v1/onboardings", json=a_job(key)).status_code in (200, 202)
            return False

        for key in keys:
            until(lambda key=key: accepted(key), f"{key} is not accepted")

    def active(self, *keys: str) -> None:
        """Bring customers to their end: consent where it is asked for, and wait."""
        left = set(keys)

        def ended() -> bool:
            for key in sorted(left):
                with contextlib.suppress(httpx.HTTPError):
                    if self._phase(key) == "active":
                        left.discard(key)
            return not left

        until(ended, f"not active: {left}")

    def _phase(self, key: str) -> str:
        record = self.api("GET", f"/v1/onboardings/{key}").json()
        asked = [signing["id"] for signing in record.get("signings", []) if not signing.get("consented_at")]
        if record.get("phase") == "signings_required" and asked:
            consent = {"documents": asked, "signed_by": "Ada Example", "evidence": "c-1"}
            self.api("POST", f"/v1/onboardings/{key}/signings", json=consent)
        return str(record.get("phase"))

    def sandbox(self, path: str, **arguments: Any) -> Any:
        """Ask the sandbox's control interface."""
        return self.http.get(f"{SANDBOX}/_sandbox/{path}", **arguments).raise_for_status().json()

    def effects(self, *keys: str) -> Mapping[str, Any]:
        """What Iron's books hold of these customers."""
        found = self.sandbox("effects?group=external_id")
        return {key: found.get(key) for key in keys}
