"""`onboarding worker` and `onboarding sandbox` as processes: ready, reloaded, stopped, and as Compose runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from ops.local.embedded import EmbeddedRedis
from pipelines.lifecycle import Phase
from tests.world import a_job
from workers.engine.broker import NudgeBroker
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect
from workers.secrets.vault import Vault, new_key

#: What signs webhooks here.
SECRET = "whsec_c2VjcmV0LW9mLXRoZS1wYXJ0cw"

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]

#: Longer than anything here takes on a busy machine with two cores, in seconds.
PATIENCE_S = 30.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to be true; the answer is what it gave."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        pause.wait(0.05)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    words: list[str], folder: Path, settings: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run `onboarding` with these words, in another folder; gives the process and its log."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ONBOARDING_", "IRON_"))}
    log = folder / f"{words[0]}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "ops.cli", *words],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(ROOT), **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()


def lines(log: Path, pattern: str) -> list[str]:
    """The log's lines with a pattern."""
    return [line for line in log.read_text(encoding="utf-8").splitlines() if re.search(pattern, line)]


@pytest.fixture
def settings(ledger_url: str, broker_url: str) -> dict[str, str]:
    """What a worker needs, with no Iron to be reached."""
    return {
        "ONBOARDING_REDIS_URL": ledger_url,
        "ONBOARDING_BROKER_URL": broker_url,
        "ONBOARDING_ENCRYPTION_KEYS": new_key(),
        "IRON_BASE_URL": "http://127.0.0.1:1/api",
        "IRON_API_KEY": "sandbox-key",
        "ONBOARDING_SWEEP_INTERVAL_S": "0",
    }


def test_a_worker_finishes_what_is_in_hand(tmp_path: Path, settings: dict[str, str]) -> None:
    """SIGTERM in the middle of a call: the step is committed once, nothing is left claimed, the status is 0."""
    settings["IRON_TIMEOUT_S"] = "15"
    with started(["sandbox", "--port", "0"], tmp_path, {}) as (_, sandbox_log):
        ready = until(lambda: lines(sandbox_log, "ready on"), "the sandbox")[0]
        address = re.search(r"http://[^/]+", ready)[0]  # type: ignore[index]
        fault = {"operation": "create_customer", "when": "after", "delay_s": 1.5}
        httpx.post(f"{address}/_sandbox/faults", json=fault).raise_for_status()
        settings["IRON_BASE_URL"] = f"{address}/api"
        with started(["worker", "--processes", "1", "--threads", "2"], tmp_path, settings) as (worker, log):
            until(lambda: lines(log, "worker.started"), "the worker")
            with connect(settings["ONBOARDING_REDIS_URL"]) as client:
                ledger, broker = Ledger(client), NudgeBroker(settings["ONBOARDING_BROKER_URL"])
                FrontDoor(ledger, Vault([settings["ONBOARDING_ENCRYPTION_KEYS"]]), broker.send).submit(a_job())
                until(lambda: (read := ledger.read("k-1")) and read.claimed, "a claim")
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(PATIENCE_S) == 0
                read = ledger.read("k-1")
                assert read is not None
                assert not read.claimed
                assert read.record.phase is not Phase.RECEIVED
                broker.close()
                broker.client.close()
        effects = httpx.get(f"{address}/_sandbox/effects?operation=create_customer").json()["effects"]
        assert [(effect["external_id"], effect["replays"]) for effect in effects] == [("k-1", 0)]
        assert not lines(log, "Traceback")


def test_a_worker_starts_anew_on_sighup_and_logs_in_one_form(tmp_path: Path, settings: dict[str, str]) -> None:
    """The same process goes on with new workers; every line of it is JSON, and none has a secret."""
    settings["ONBOARDING_LOG"] = "json"
    with started(["worker", "--processes", "1", "--threads", "2"], tmp_path, settings) as (worker, log):
        until(lambda: lines(log, "worker.started"), "the worker")
        worker.send_signal(signal.SIGHUP)
        until(lambda: len(lines(log, "worker.started")) == 2, "the new worker")
        assert worker.poll() is None
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE_S) == 0
    written = log.read_text(encoding="utf-8")
    events = [json.loads(line)["event"] for line in written.splitlines()]
    assert events.count("worker.started") == events.count("worker.stopped") == 2
    assert settings["ONBOARDING_ENCRYPTION_KEYS"] not in written
    assert settings["ONBOARDING_REDIS_URL"].split("@")[0] not in written


def test_a_wait_that_is_interrupted_ends_with_130(
    tmp_path: Path, settings: dict[str, str], client: redis.Redis
) -> None:
    """Ctrl-C while a command waits: no traceback, and the onboarding goes on without it."""
    ledger, here = Ledger(client), str(client.connection_pool.connection_kwargs["db"])
    FrontDoor(ledger, Vault([settings["ONBOARDING_ENCRYPTION_KEYS"]]), lambda _: None).submit(a_job())

    def connected() -> int:
        return sum(one["db"] == here for one in client.client_list())

    words, before = ["status", "k-1", "--wait", "active", "--timeout", "60"], connected()
    with started(words, tmp_path, settings) as (process, log):
        until(lambda: connected() > before, "the command")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    assert not lines(log, "Traceback")


@pytest.mark.parametrize("words", [["sandbox", "--port"], ["gateway", "--port"], ["dev", "--folder", "data", "--port"]])
def test_a_port_in_use_is_one_sentence(words: list[str], tmp_path: Path, settings: dict[str, str]) -> None:
    """Status 1, and nothing is left running; `dev` names the port that the sandbox would take."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = port - 1 if words[0] == "dev" else port
        with started([*words, str(wanted)], tmp_path, settings) as (process, log):
            assert process.wait(PATIENCE_S) == 1
        [line] = log.read_text(encoding="utf-8").splitlines()
    assert str(port) in line
    assert "in use" in line
    assert re.search(r"[Cc]hoose another", line)


def test_the_sandbox_stops_cleanly(tmp_path: Path) -> None:
    """SIGTERM ends it with status 0, and its state is in the file."""
    with started(["sandbox", "--port", "0", "--state", "state"], tmp_path, {}) as (process, log):
        until(lambda: lines(log, "ready on"), "the sandbox")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert (tmp_path / "state").exists()


def test_the_compose_files_worker_runs_outside_a_container(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    """The service's command, environment, secret files and health check as written; only places are this machine's.

    A package `workers` in the folder where it is started does not stand in for ours.
    """
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "__init__.py").write_text("raise SystemExit('the wrong one')\n", encoding="utf-8")
    service = SERVICES["worker"]
    settings = environment_of(service, tmp_path, redis_server) | {"IRON_BASE_URL": "http://127.0.0.1:1/api"}
    program, *words = service["command"]
    assert program == "onboarding"
    with started(words, tmp_path, settings) as (worker, log):
        until(lambda: len(lines(log, "worker.started")) == 2, "both processes")
        healthy(service, settings)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_S) == 0


def environment_of(service: dict[str, Any], folder: Path, redis_server: EmbeddedRedis) -> dict[str, str]:
    """The environment and secret files of a service as written, with this machine's places."""
    secrets = {
        "encryption_keys": new_key(),
        "iron_api_key": "sandbox-key",
        "iron_webhook_secret": SECRET,
        "api_tokens": f"ops:operator:{'0' * 64}",
    }
    for name in service["secrets"]:
        (folder / name).write_text(secrets[name] + "\n", encoding="utf-8")
    written = {
        name: re.sub(r"\$\{\w+:-(\w*)\}", r"\1", value).replace("/run/secrets", str(folder))
        for name, value in service["environment"].items()
    }
    urls = {"ONBOARDING_REDIS_URL": redis_server.url_for(1022), "ONBOARDING_BROKER_URL": redis_server.url_for(1023)}
    return written | urls


def test_the_compose_files_gateway_runs_outside_a_container(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    """The service's command, environment, secret files and health check as written, but on loopback and a free port."""
    service = SERVICES["gateway"]
    settings = environment_of(service, tmp_path, redis_server)
    port = str(free_port())
    program, *words = [word.replace("0.0.0.0", "127.0.0.1") for word in service["command"]]
    assert program == "onboarding"
    with started([*words, "--port", port], tmp_path, settings) as (gateway, log):
        [begun, *_] = until(lambda: lines(log, "gateway.started"), "the gateway")
        assert re.search(rf"console\W+http://127\.0\.0\.1:{port}/", begun)
        healthy(service, {}, port)
        refused = httpx.post(f"http://127.0.0.1:{port}/webhooks/iron", content=b"{}", trust_env=False)
        assert refused.status_code == 401
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(PATIENCE_S) == 0


def test_the_compose_files_sandbox_runs_outside_a_container(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    """The service's command and health check as written, but on the loopback address, a free port and a folder here.

    Its webhooks go where the gateway is in the network, signed with the gateway's own secret.
    """
    service = SERVICES["sandbox"]
    settings = environment_of(service, tmp_path, redis_server)
    port = str(free_port())
    _, *words = [word.replace("0.0.0.0", "127.0.0.1") for word in service["command"]]
    words = [word.replace("/state/", f"{tmp_path}/") for word in words]
    with started([*words, "--port", port], tmp_path, settings) as (_, log):
        until(lambda: lines(log, "ready on"), "the sandbox")
        healthy(service, {}, port)
        told = httpx.get(f"http://127.0.0.1:{port}/_sandbox/webhooks", trust_env=False).json()
        assert told["settings"]["url"] == "http://gateway:8700/webhooks/iron"
        assert told["settings"]["secret"] == SECRET


def test_a_sandbox_without_the_secret_says_so(tmp_path: Path) -> None:
    """Webhooks that nobody would believe are not sent: status 2, and the setting that is missing."""
    words = ["sandbox", "--port", "0", "--webhooks", "http://127.0.0.1:9/webhooks/iron"]
    with started(words, tmp_path, {}) as (process, log):
        assert process.wait(PATIENCE_S) == 2
        assert lines(log, "IRON_WEBHOOK_SECRET is not set")


def healthy(service: dict[str, Any], settings: Mapping[str, str], port: str = "") -> None:
    """Run a service's health check; our program and Python stand for those of the image."""
    kind, program, *words = service["healthcheck"]["test"]
    assert kind == "CMD"
    command = {"onboarding": [sys.executable, "-m", "ops.cli"], "python": [sys.executable]}[program]
    words = [word.replace("8701", port).replace("8700", port) for word in words]
    subprocess.run(
        [*command, *words],
        env={**os.environ, **settings},
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
