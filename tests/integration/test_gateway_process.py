"""The gateway as a process of its own, with the sandbox's server delivering webhooks to it over loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import dramatiq
import httpx
import pytest

from ops.sandbox import sign
from pipelines.iron import Iron
from pipelines.model import Policy
from tests.program import DEADLINE_S, Program, eventually
from tests.world import API_KEY, a_job
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.engine.runner import Runner
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect
from workers.logs import ALLOWED
from workers.secrets.tokens import Role, setting_of
from workers.secrets.vault import Vault, new_key

SECRET = "whsec_c2FuZGJveC1rZXktZm9yLXRlc3Rz"
TOKEN = "onb_token-of-the-crm"


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts programs and ends them."""
    with ExitStack() as running:

        def one(module: str, **environment: str) -> Program:
            program = Program(module, **environment)
            running.callback(program.stop)
            return program

        yield one


@pytest.fixture
def gateway(start: Callable[..., Program], ledger_url: str, broker_url: str) -> tuple[Program, str]:
    """A gateway and its address."""
    program = start(
        "ops.gateway",
        ONBOARDING_REDIS_URL=ledger_url,
        ONBOARDING_BROKER_URL=broker_url,
        ONBOARDING_ENCRYPTION_KEYS=new_key(),
        ONBOARDING_API_TOKENS=setting_of("crm", Role.SUBMITTER, TOKEN),
        IRON_WEBHOOK_SECRET=f"an-older-secret-of-iron, {SECRET}",
    )
    port = program.line(r'"port": (\d+).*"gateway\.started"')[1]
    return program, f"http://127.0.0.1:{port}"


def test_the_sandbox_delivers(
    start: Callable[..., Program], gateway: tuple[Program, str], ledger_url: str, broker_url: str
) -> None:
    """What the sandbox's server delivers moves an onboarding that nothing else would move for an hour."""
    program, address = gateway
    iron_address = start("ops.sandbox").line(r"(http://\S+)/api")[1]
    with httpx.Client(base_url=f"{iron_address}/_sandbox", trust_env=False) as control:
        told = control.post("/webhooks", json={"url": f"{address}/webhooks/iron", "secret": SECRET, "duplicate": 0.5})
        assert told.status_code == 200, told.text
        ledger, broker, vault = Ledger(connect(ledger_url)), NudgeBroker(broker_url), Vault([new_key()])
        transport = httpx.HTTPTransport()
        iron = Iron(transport, f"{iron_address}/api", API_KEY)
        policy = Policy(poll_min_s=3600)
        declare_actors(broker, Runner(ledger, Leases(ledger), broker.send, iron, vault, policy, "default"))
        worker = dramatiq.Worker(
            broker, worker_timeout=100, worker_threads=2
        )  # and no pulse: only nudges move anything
        worker.start()
        try:
            FrontDoor(ledger, vault, broker.send).submit(a_job(tag="manual"))

            def phase() -> str:
                found = ledger.read("k-1")
                return found.record.phase.value if found else ""

            eventually(lambda: phase() == "identification_pending", "the identification begins")
            assert control.post("/customers/k-1/approve", json={}).status_code == 200
            eventually(lambda: phase() == "signings_required", "the webhook arrives")
        finally:
            worker.stop()
            transport.close()
            broker.client.close()
            ledger.client.close()
    program.line(r'"outcome": "(woken|kept)"')


def test_a_flood(gateway: tuple[Program, str], ledger_url: str) -> None:
    """10 MB in chunks are refused over a real connection before they are all there, and the connection ends."""
    _, address = gateway
    host, _, port = address.removeprefix("http://").partition(":")
    head = (
        "POST /webhooks/iron HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n"
        f"webhook-timestamp: {int(time.time())}\r\nwebhook-signature: v1={'0' * 64}\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
        connection.sendall(head.encode())
        sent = 0
        try:
            while sent < 10_000_000:
                connection.sendall(chunk)
                sent += 65_536
        except OSError:
            pass
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except ConnectionError:
            pass
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer
    with connect(ledger_url) as client:
        assert client.keys() == [b"onboarding:key_ids"]  # of the start


@pytest.mark.parametrize("part", [b"a-header: " + b"x" * 1_000 + b"\r\n", b"x" * 1_000], ids=["headers", "a header"])
def test_a_head_without_end(part: bytes, gateway: tuple[Program, str]) -> None:
    """Headers that do not end, or one that does not, are refused with 400 before they fill the memory."""
    host, _, port = gateway[1].removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nx-long: ")
        sent, answer = 0, b""
        try:
            while sent < 10_000_000:
                connection.sendall(part)
                sent += len(part)
        except OSError:
            pass
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(65_536)
    assert sent < 10_000_000
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert httpx.get(f"{gateway[1]}/healthz", trust_env=False).status_code == 200


def test_it_ends_and_tells_nothing(gateway: tuple[Program, str]) -> None:
    """SIGTERM ends it with status 0; its lines hold listed fields only: no body, signature or secret."""
    program, address = gateway
    body = b'{"type":"customer_status","data":{"customer_id":"0b8f3a52-63e8-4a8b-9d4f-0f6a3e0c7c11"}}'
    timestamp = str(int(time.time()))
    headers = {
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(SECRET, timestamp, body),
        "x-request-id": "r-1",
    }
    with httpx.Client(base_url=address, trust_env=False) as client:
        assert client.post("/webhooks/iron", content=body, headers=headers).status_code == 200
        assert client.post("/webhooks/iron", content=body).status_code == 401
        assert client.get("/secret-in-an-address").status_code == 404
        assert client.get("/webhooks/iron").status_code == 405
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/summary", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert program.stop() == 0
    written = "".join(program.lines)
    assert not [word for word in ("0b8f3a52", headers["webhook-signature"][3:], SECRET, "secret-in") if word in written]
    assert "onb_" not in written
    lines = [json.loads(line) for line in program.lines]
    assert set().union(*lines) <= ALLOWED
    answered = [line for line in lines if line["event"] == "request.answered"]
    assert [(line["route"], line["status"], line.get("code")) for line in answered] == [
        ("/webhooks/iron", 200, None),
        ("/webhooks/iron", 401, "signature_missing"),
        (None, 404, "not_found"),
        ("/webhooks/iron", 405, "method_not_allowed"),
        ("/v1/summary", 200, None),
    ]
    assert (answered[-1]["name"], answered[-1]["role"]) == ("crm", "submitter")
    assert (answered[0]["request_id"], answered[0]["type"], answered[0]["outcome"]) == (
        "r-1",
        "customer_status",
        "kept",
    )
    assert lines[-1]["event"] == "gateway.stopped"


def test_the_port_is_taken(ledger_url: str) -> None:
    """A port in use is one sentence and exit status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "ops.gateway", "--port", str(port)]
        environment = {**os.environ, "ONBOARDING_REDIS_URL": ledger_url, "ONBOARDING_ENCRYPTION_KEYS": new_key()}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_setting_is_missing() -> None:
    """Without its settings it says which, and exits with status 2."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONBOARDING_")}
    command = [sys.executable, "-m", "ops.gateway", "--port", "0"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("ONBOARDING_REDIS_URL is not set")


class Upstream:
    """An upstream system in threads that hands in one job after the other and remembers what was acknowledged."""

    def __init__(self, address: str, threads: int = 8) -> None:
        self.acknowledged: list[str] = []
        self.statuses: list[int] = []
        self._address = address
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self, thread: int) -> None:
        with httpx.Client(base_url=self._address, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as to:
            for number in range(10_000):
                key = f"k-{thread}-{number}"
                try:
                    status = to.post("/v1/onboardings", json=a_job(key), timeout=DEADLINE_S).status_code
                except httpx.TransportError:
                    return
                self.statuses.append(status)
                if status == 202:
                    self.acknowledged.append(key)
                if self._ending.is_set():
                    return

    def end(self) -> None:
        """Stop handing in."""
        self._ending.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_acknowledged_is_there(gateway: tuple[Program, str], ledger_url: str, how: signal.Signals) -> None:
    """The gateway is killed, or asked to end, under load: every job that was answered 202 is in the ledger.

    Asked to end, it leaves no accepted request without its answer, and its status is 0.
    """
    program, address = gateway
    upstream = Upstream(address)
    try:
        eventually(lambda: len(upstream.acknowledged) > 100, "jobs are accepted")
        program.process.send_signal(how)
        ended = program.process.wait(DEADLINE_S)
    finally:
        upstream.end()
    assert ended == (0 if how == signal.SIGTERM else -how)
    assert set(upstream.statuses) == {202}
    with connect(ledger_url) as client:
        stored = {read.record.key for read in Ledger(client).read_many(upstream.acknowledged)}
        assert stored == set(upstream.acknowledged)
        # What was stored and could not be answered any more: at most one job of each thread.
        assert client.hlen("onboarding:external") <= len(upstream.acknowledged) + 8
