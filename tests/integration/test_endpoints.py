"""Endpoints as people use them: the commands, a courier with real connections, and the receiver of the examples."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.events import source
from tests.world import PLENTY, Run, World
from workers.events.courier import Courier
from workers.events.sender import Answer, Sender, Verdict, new_secret
from workers.events.stream import STREAM
from workers.ledger import PREFIX, Ledger
from workers.secrets.vault import Vault

ROOT = Path(__file__).resolve().parents[2]
RECEIVER = ROOT / "ops" / "examples" / "receiver.py"


def eventually(holds: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait until something holds; answers it."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := holds()):
        assert time.monotonic() < deadline
        pause.wait(0.02)
    return found


def tell(client: redis.Redis, *keys: str) -> list[str]:
    ids = (client.xadd(STREAM, {"key": key, "what": "in_review in_review iron 4"}) for key in keys)
    return [id_.decode() for id_ in ids]


class Example:
    """The example's receiver in a process of its own, on a port that was chosen before."""

    def __init__(self, port: int, secret: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(RECEIVER), str(port)],
            env={**environment, "WEBHOOK_SECRET": secret},
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        eventually(lambda: self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    def ids(self) -> list[str]:
        return [json.loads(line)["id"] for line in self.lines[1:]]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def example(port: int) -> Iterator[Callable[[str], Example]]:
    """Start the example's receiver with a secret; it is stopped in the end."""
    started: list[Example] = []

    def start(secret: str) -> Example:
        started.append(Example(port, secret))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def key(world: World) -> str:
    return world.key


@pytest.fixture(autouse=True)
def _private(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints may be in private networks."""
    monkeypatch.setenv("ONBOARDING_PRIVATE_ENDPOINTS", "true")


@pytest.fixture
def courier(client: redis.Redis, key: str) -> Iterator[Callable[[], Courier]]:
    """Start couriers; they are stopped in the end."""
    started: list[Courier] = []

    def start() -> Courier:
        made = Courier(Ledger(client, PLENTY), Vault([key]), source=source("default"), private=True, kept_s=3_600)
        started.append(made)
        made.start()
        return made

    yield start
    for one in started:
        one.stop()


def test_from_the_command_to_the_receiver(
    run: Run,
    client: redis.Redis,
    courier: Callable[[], Courier],
    example: Callable[[str], Example],
    port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An endpoint is added, tested, delivered to, looked at, told again, and removed, all with real connections."""
    assert run("endpoints", "add", f"http://127.0.0.1:{port}/hook?token=t", "--name", "crm", "--json") == 0
    secret = json.loads(capsys.readouterr().out)["secret"]
    assert run("endpoints", "test", "crm") == 1
    assert "ConnectError" in capsys.readouterr().err
    receiver = example(secret)
    assert run("endpoints", "test", "crm", "--json") == 0
    assert json.loads(capsys.readouterr().out)["answer"] == "HTTP 204"
    courier()
    ids = tell(client, "k-1", "k-2", "k-1")
    eventually(lambda: len(receiver.ids()) == 3)
    assert set(receiver.ids()) == set(ids)
    eventually(lambda: shown(run, capsys)["delivered"] == 3)
    assert run("endpoints", "replay", "crm", "--from", ids[0]) == 0
    eventually(lambda: shown(run, capsys)["delivered"] == 6)
    assert len(receiver.ids()) == 3, "the receiver knows these by their ids"
    assert run("endpoints", "pause", "crm", "--reason", "a test") == 0
    tell(client, "k-3")
    found = shown(run, capsys)
    assert (found["state"], found["url"]) == ("paused", f"http://127.0.0.1:{port}/hook")
    assert run("endpoints", "resume", "crm") == 0
    eventually(lambda: len(receiver.ids()) == 4)
    assert run("endpoints", "show", "crm") == 0
    assert run("endpoints", "list") == 0
    assert "crm" in capsys.readouterr().err
    assert run("endpoints", "remove", "crm") == 0
    assert run("endpoints", "remove", "crm", "--yes") == 0
    assert run("endpoints", "show", "crm") == 1
    printed = capsys.readouterr()
    assert secret not in printed.err + printed.out


def shown(run: Run, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `show` says about the endpoint."""
    capsys.readouterr()
    assert run("endpoints", "show", "crm", "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_secret_is_changed_in_peace(
    run: Run,
    client: redis.Redis,
    courier: Callable[[], Courier],
    example: Callable[[str], Example],
    port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After a rotation a receiver verifies with the former secret as well as with the new one."""
    assert run("endpoints", "add", f"http://127.0.0.1:{port}/", "--name", "crm", "--json") == 0
    former = json.loads(capsys.readouterr().out)["secret"]
    assert run("endpoints", "rotate", "crm", "--overlap", "1h", "--json") == 0
    new = json.loads(capsys.readouterr().out)["secret"]
    courier()
    for secret in (former, new):
        receiver = example(secret)
        ids = tell(client, "k-1")
        eventually(lambda receiver=receiver, ids=ids: receiver.ids() == ids)
        receiver.stop()
    assert run("endpoints", "rotate", "crm", "--overlap", "0s", "--json") == 0
    assert run("endpoints", "test", "crm") == 1


def test_another_process_goes_on(
    run: Run,
    client: redis.Redis,
    courier: Callable[[], Courier],
    example: Callable[[str], Example],
    port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of several couriers one delivers; when it stops, another one goes on at once."""
    assert run("endpoints", "add", f"http://127.0.0.1:{port}/", "--name", "crm", "--json") == 0
    receiver = example(json.loads(capsys.readouterr().out)["secret"])
    couriers = [courier(), courier()]
    ids = tell(client, *(f"k-{number}" for number in range(50)))
    eventually(lambda: len(receiver.ids()) == 50)
    [holder] = [one for one in couriers if one._at_work]
    holder.stop()
    ids += tell(client, "k-1")
    eventually(lambda: len(receiver.ids()) == 51)
    assert set(receiver.ids()) == set(ids)
    eventually(lambda: client.hget(f"{PREFIX}courier:crm", "delivered") == b"51")


def test_an_address_that_is_not_allowed(
    run: Run, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the setting, an endpoint in a private network is refused when it is added, and nothing is stored."""
    monkeypatch.setenv("ONBOARDING_PRIVATE_ENDPOINTS", "false")
    for url in ("https://127.0.0.1/events", "https://localhost/events", "http://example.com/", "https://[fd00::1]/"):
        assert run("endpoints", "add", url, "--name", "crm") == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "ONBOARDING_PRIVATE_ENDPOINTS" in said.err or "https://" in said.err
    assert run("endpoints", "add", "https://no-such-host.invalid/", "--name", "crm") == 2
    assert "DNS" in capsys.readouterr().err
    assert not list(client.scan_iter(f"{PREFIX}*"))


def test_commands_that_make_no_sense(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is a sentence with the remedy, and its exit status."""
    for words, status, sentence in (
        (("endpoints", "pause", "nobody"), 1, "endpoints list"),
        (("endpoints", "add", "https://127.0.0.1/", "--name", "A B"), 2, "--name"),
        (("endpoints", "add", "https://127.0.0.1/", "--name", "crm", "--types", "active"), 1, "onboarding.active"),
        (("endpoints", "add", "https://127.0.0.1/", "--name", "crm", "--after", "x"), 2, "1790000000000-0"),
        (("endpoints", "replay", "nobody"), 2, "--event"),
        (("endpoints", "replay", "nobody", "--from", "2-0", "--to", "1-0"), 2, "exchange"),
        (("endpoints", "replay", "nobody", "--event", "2-0"), 1, "onboarding events"),
        (("endpoints", "rotate", "nobody", "--overlap", "x"), 2, "12h"),
        (("events", "--after", "x"), 2, "1790000000000-0"),
    ):
        assert run(*words) == status, words
        assert sentence in capsys.readouterr().err, words


# --- events ----------------------------------------------------------------------------------------------------------


def test_the_stream_on_the_command_line(run: Run, client: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each event as a CloudEvent a line, from where it is told, and no more than asked for."""
    ids = tell(client, "k-1", "k-2", "k-3")
    assert run("events", "--json") == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [told["id"] for told in printed] == ids
    assert {told["specversion"] for told in printed} == {"1.0"}
    assert run("events", "--after", ids[1], "--json") == 0
    assert json.loads(capsys.readouterr().out)["subject"] == "k-3"
    assert run("events", "--limit", "1") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "onboarding.in_review" in said.err
    assert "k-2" not in said.err


def test_following_the_stream(ledger_url: str, client: redis.Redis) -> None:
    """A follower prints what is yet to come, line by line, until it is stopped."""
    tell(client, "old")
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "events", "--follow", "--limit", "2", "--json"],
        env={**os.environ, "ONBOARDING_REDIS_URL": ledger_url, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))  # type: ignore[union-attr]
    reader.start()
    try:
        eventually(lambda: client.xlen(STREAM) and (tell(client, "new") or True) and lines)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        reader.join()
        process.communicate()
    assert {json.loads(line)["subject"] for line in lines} == {"new"}


# --- TLS -------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for a name, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


class Quiet(BaseHTTPRequestHandler):
    """Accepts everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hosts.append(self.headers["Host"])  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("host", "verdict"), [("crm.example.com", Verdict.ACCEPTED), ("other.example.com", Verdict.UNREACHABLE)]
)
def test_tls_is_verified_for_the_endpoints_name(tmp_path: Path, host: str, verdict: Verdict) -> None:
    """Though the connection goes to an address, the certificate has to be the name's."""
    chain, private = certificate(tmp_path, "crm.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.hosts = []  # type: ignore[attr-defined]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trust = ssl.create_default_context(cafile=str(chain))
    try:
        with httpx.HTTPTransport(verify=trust) as transport:
            sender = Sender(transport, private=True, resolve=lambda name, port: ["127.0.0.1"])
            at = sender.aim(httpx.URL(f"https://{host}:{server.server_port}/events"))
            assert not isinstance(at, Answer)
            assert sender.send(at, "1-0", b"{}", [new_secret()]).verdict is verdict
    finally:
        server.shutdown()
        server.server_close()
    expected = [f"{host}:{server.server_port}"] if verdict is Verdict.ACCEPTED else []
    assert server.hosts == expected  # type: ignore[attr-defined]
