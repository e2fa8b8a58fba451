"""The sandbox as a server: a real process on a free port, driven over real connections."""

import json
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import IO

import httpx
import pytest

from ops.sandbox import Switches, draw, sign
from ops.sandbox.hosts.server import listen

ADA = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm-1"}
#: Patience with a process, in seconds: starting Python on a loaded machine can take some.
PATIENCE_S = 20.0


@dataclass
class Server:
    """A running sandbox."""

    process: subprocess.Popen[str]
    url: str


def launch(*options: str) -> subprocess.Popen[str]:
    """Start a sandbox process."""
    command = [sys.executable, "-m", "ops.sandbox", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def errors(process: subprocess.Popen[str]) -> IO[str]:
    """Return what a process writes to standard error."""
    assert process.stderr is not None
    return process.stderr


@pytest.fixture
def server() -> Iterator[Server]:
    """A sandbox on a free port, at speed 50."""
    process = launch("--port", "0", "--speed", "50")
    line = errors(process).readline()
    assert "ready on http://127.0.0.1:" in line, line
    yield Server(process, line.split()[4].removesuffix("/api"))
    process.kill()
    process.communicate()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    headers = {"X-API-Key": "sandbox-key"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=5, trust_env=False) as client:
        yield client


def create(client: httpx.Client, key: str = "key", **options: float) -> httpx.Response:
    """Ask for a customer."""
    return client.post("/api/customers", json=ADA, headers={"IDEMPOTENCY-KEY": key}, timeout=options.get("timeout", 5))


def test_half_a_request_is_none(server: Server, client: httpx.Client) -> None:
    """A caller that dies before the end of its body leaves nothing behind under its key."""
    body = json.dumps(ADA).encode()
    head = (
        "POST /api/customers HTTP/1.1\r\nHost: sandbox\r\nX-API-Key: sandbox-key\r\nIDEMPOTENCY-KEY: key\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for sent in (b"", body[:10]):
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0), timeout=5) as caller:
            caller.sendall(head.encode() + sent)
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(1024):
                pass
    assert create(client).status_code == 201


@pytest.mark.parametrize(
    ("flags", "members", "approval"), [((), "take", "by_itself"), (("--strict", "--by-call"), "refuse", "by_call")]
)
def test_flags(flags: tuple[str, ...], members: str, approval: str) -> None:
    """A running server overlooks unknown members and approves by itself, unless a flag says otherwise."""
    process = launch("--port", "0", *flags)
    try:
        url = errors(process).readline().split()[4].removesuffix("/api")
        switches = httpx.get(f"{url}/_sandbox/switches", trust_env=False).json()
        assert (switches["unknown_members"], switches["approval"]) == (members, approval)
        named = httpx.get(f"{url}/spec/versions", trust_env=False).json()
        assert named["default"] == "2025-03-13"
    finally:
        process.kill()
        process.communicate()


def test_a_strange_provider() -> None:
    """A server with a seed is a provider drawn by it, but for what its other flags say."""
    process = launch("--port", "0", "--strange", "5", "--by-call")
    try:
        url = errors(process).readline().split()[4].removesuffix("/api")
        switches = httpx.get(f"{url}/_sandbox/switches", trust_env=False).json()
        same = Switches(link_prefix=switches["link_prefix"], unknown_members="take", approval="by_call")
        assert switches == draw(same, random.Random(5)).model_dump(mode="json")
    finally:
        process.kill()
        process.communicate()


def test_a_customer_goes_all_the_way(client: httpx.Client) -> None:
    """Over real connections, by the machine's clock, a customer is identified, signs and is Active."""
    path = f"/api/customers/{create(client).json()['id']}"
    client.post(f"{path}/identifications/v2", json={"type": "Link"}, headers={"IDEMPOTENCY-KEY": "i"})
    ends = time.monotonic() + PATIENCE_S
    while (signings := client.get(f"{path}/required-signings")).status_code == 409:
        assert time.monotonic() < ends
    for one in signings.json():
        body = {"signed": True, "content_id": one["id"]}
        assert client.post(f"{path}/signings", json=body, headers={"IDEMPOTENCY-KEY": one["id"]}).status_code == 201
    assert client.get(path).json()["status"] == "Active"
    group = client.get("/_sandbox/effects", params={"group": "external_id"}).json()
    assert group == {"crm-1": {"customers": 1, "identifications": 1, "signings": 2}}


def test_lost_answers(client: httpx.Client) -> None:
    """The connection closes, or stays silent, without a byte; the effect has happened, and the server goes on."""
    client.post("/_sandbox/faults", json={"operation": "create_customer", "lost": "reset", "when": "after", "times": 1})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        create(client)
    assert create(client).status_code == 201
    client.post(
        "/_sandbox/faults", json={"operation": "create_customer", "lost": "timeout", "when": "after", "times": 1}
    )
    with pytest.raises(httpx.ReadTimeout):
        create(client, "another", timeout=0.3)
    assert create(client, "another").status_code == 201
    effects = client.get("/_sandbox/effects").json()["effects"]
    assert [(one["idempotency_key"], one["replays"]) for one in effects] == [("key", 1), ("another", 1)]


def test_a_slow_answer_holds_up_nobody_else(client: httpx.Client) -> None:
    """While one answer is late, others come, and a second request with the same key hears of the first."""
    client.post("/_sandbox/faults", json={"operation": "create_customer", "delay_s": 1, "times": 1})
    answers: queue.Queue[int] = queue.Queue()
    first = threading.Thread(target=lambda: answers.put(create(client).status_code))
    first.start()
    ends = time.monotonic() + PATIENCE_S
    while client.get("/_sandbox/effects").json()["total"] == 0:
        assert time.monotonic() < ends
    assert create(client).status_code == 409
    assert answers.empty()
    first.join()
    assert answers.get() == 201
    assert create(client).status_code == 201


def test_a_large_body_arrives(client: httpx.Client) -> None:
    """A body of many megabytes is read as a whole, and refused for what is in it."""
    body = {"customer_type": "Person", "email": "a" * 8_000_000}
    answer = client.post("/api/customers", json=body, headers={"IDEMPOTENCY-KEY": "k"})
    assert answer.status_code == 400


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(server: Server, client: httpx.Client, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end the process with status 0 and without another word, also with connections open."""
    create(client)
    server.process.send_signal(number)
    out, err = server.process.communicate(timeout=PATIENCE_S)
    assert (server.process.returncode, out, err) == (0, "", "")


def test_a_silent_answer_does_not_hold_up_the_end(server: Server, client: httpx.Client) -> None:
    """SIGTERM ends the process within seconds although a caller still waits for an answer that never comes."""
    client.post("/_sandbox/faults", json={"operation": "create_customer", "lost": "timeout", "when": "after"})
    caller = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    body = json.dumps(ADA).encode()
    head = "POST /api/customers HTTP/1.1\r\nhost: x\r\nx-api-key: sandbox-key\r\nidempotency-key: k\r\n"
    length = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with caller:
        caller.sendall((head + length).encode() + body)
        ends = time.monotonic() + PATIENCE_S
        while client.get("/_sandbox/effects").json()["total"] == 0:
            assert time.monotonic() < ends
        server.process.terminate()
        server.process.communicate(timeout=PATIENCE_S)
    assert server.process.returncode == 0


def test_a_taken_port_is_named() -> None:
    """A port in use is an OSError with the address, and one sentence from the command."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            listen("127.0.0.1", port)
        process = launch("--port", str(port))
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert (out, err) == ("", f"cannot listen on 127.0.0.1:{port}: Address already in use\n")


class Receiver(BaseHTTPRequestHandler):
    """A webhook receiver that refuses each body the first time."""

    heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
    seen: set[bytes] = set()  # noqa: RUF012  # one receiver a test run is what is wanted

    def do_POST(self) -> None:
        """Take one webhook."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.put(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(200 if body in self.seen else 503)
        self.end_headers()
        self.seen.add(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_webhooks_are_delivered_until_taken(client: httpx.Client) -> None:
    """A refused webhook comes again with the same body, under a new id, with a signature that holds."""
    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{receiver.server_port}/"
        client.post("/_sandbox/webhooks", json={"url": url, "secret": "secret", "backoff_s": 0.05})
        create(client)
        (headers, body), (again, same) = (Receiver.heard.get(timeout=PATIENCE_S) for _ in range(2))
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
    assert json.loads(body)["type"] == "customer_created"
    assert body == same
    assert headers["webhook-id"] != again["webhook-id"]
    assert again["webhook-signature"] == sign("secret", again["webhook-timestamp"], body)
    assert abs(int(again["webhook-timestamp"]) - time.time()) < 30
