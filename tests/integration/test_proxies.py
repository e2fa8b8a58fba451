"""Proxies (G12): Iron and endpoints through a real one, what it is never asked for, and proxies that cannot be used."""

from __future__ import annotations

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pipelines.errors import UnreachableError
from pipelines.iron import Iron
from pipelines.iron.proxy import Proxy
from pipelines.iron.transport import ThreadTransport
from tests.fuzz.settings import RIGHT
from tests.integration.test_endpoints import Quiet, certificate
from workers.events.courier import new_transport
from workers.events.sender import Answer, Sender, Verdict, new_secret
from workers.operate.doctor import examined
from workers.operate.doctor.surroundings import proxies as told
from workers.proxies import Proxies, proxy_of
from workers.secrets.vault import new_key
from workers.settings import Settings, SettingsError

#: A public address; nothing here connects to it.
PUBLIC = "93.184.215.14"
NAME = "crm.example.com"
Environment = Callable[..., None]


class Tunnels:
    """A proxy: notes what it is asked for, and leads every tunnel to one server, or answers something else."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.asked: list[str] = []
        self.answer: bytes | None = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += caller.recv(1)
            self.asked.append(head.decode())
            if self.answer is None or not self.answer.startswith(b"HTTP/1.1 200 "):
                caller.sendall(self.answer or b"")
                return
            with socket.create_connection(("127.0.0.1", self.to)) as server:
                caller.sendall(self.answer)
                back = threading.Thread(target=_pass, args=(server, caller), daemon=True)
                back.start()
                _pass(caller, server)
                back.join(5)


def _pass(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


class Answering(Quiet):
    """Accepts everything, and answers reads as Iron does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 -- so the base class calls it
        self.server.hosts.append(self.headers["Host"])  # type: ignore[attr-defined]
        body = b'{"items": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(tmp_path: Path, environment: Environment) -> Iterator[ThreadingHTTPServer]:
    """A server that has a certificate for one name, which everybody here trusts."""
    chain, private = certificate(tmp_path, NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    made = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    made.hosts = []  # type: ignore[attr-defined]
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    environment(SSL_CERT_FILE=str(chain))
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Set variables, beginning without any proxy."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.fixture
def tunnels(server: ThreadingHTTPServer, environment: Environment) -> Iterator[Tunnels]:
    """A proxy that the environment names for https."""
    made = Tunnels(server.server_port)
    environment(HTTPS_PROXY=f"http://ada:p%40ss@127.0.0.1:{made.port}")
    yield made
    made.listener.close()


def iron(name: str = NAME) -> tuple[Iron, ThreadTransport]:
    """A client of Iron as a worker makes it."""
    transport = ThreadTransport(proxy=Proxies.of_environment())
    return Iron(transport, f"https://{name}/api", "sandbox-key", timeout_s=5.0), transport


def test_iron_is_called_through_the_proxy(tunnels: Tunnels, server: ThreadingHTTPServer) -> None:
    """G12: the proxy is asked for a tunnel to Iron's name, with its own password, and sees nothing of the calls."""
    client, transport = iron()
    with transport:
        client.customers(page_size=1)
        client.customers(page_size=1)
    [head] = tunnels.asked
    lines = head.split("\r\n")
    assert lines[0] == f"CONNECT {NAME}:443 HTTP/1.1"
    assert f"Proxy-Authorization: Basic {b64encode(b'ada:p@ss').decode()}" in lines
    assert "sandbox-key" not in head
    assert server.hosts == [NAME, NAME]  # type: ignore[attr-defined]


def test_g12_the_doctor_goes_the_same_way(tunnels: Tunnels, environment: Environment) -> None:
    """It asks Iron as a worker does, and says by which variable its calls go out."""
    environment(**RIGHT | {"IRON_BASE_URL": f"https://{NAME}/api"})
    checks = {(check.name, check.state): check.text for check in examined()}
    assert "answers and accepts the API key" in checks["iron", "ok"]
    assert len(tunnels.asked) == 1
    texts = [check.text for check in told(Settings.load("worker"))]
    assert texts[0] == "Calls to Iron go through the proxy of HTTPS_PROXY."
    assert texts[1].startswith("Deliveries to endpoints go through the proxy of HTTPS_PROXY. Their names are looked up")


def test_the_certificate_in_a_tunnel_is_irons(tunnels: Tunnels, server: ThreadingHTTPServer) -> None:
    """Whoever listens at the end of a tunnel under another name is not taken for Iron."""
    client, transport = iron("iron.example.com")
    with transport, pytest.raises(UnreachableError):
        client.customers(page_size=1)
    assert server.hosts == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 20",
        b"x" * 20_000,
        None,
    ],
    ids=["407", "403", "redirect", "no proxy", "half", "endless", "closed"],
)
def test_a_proxy_that_gives_no_tunnel(answer: bytes | None, tunnels: Tunnels, server: ThreadingHTTPServer) -> None:
    """Nothing was sent then, so the outcome is not in doubt: it is as if nobody had been there."""
    tunnels.answer = answer
    client, transport = iron()
    with transport, pytest.raises(UnreachableError):
        client.customers(page_size=1)
    assert server.hosts == []  # type: ignore[attr-defined]


def test_what_a_proxy_says_is_not_irons_answer(tunnels: Tunnels, environment: Environment) -> None:
    """Whatever follows a refusal of the proxy, it is no answer of Iron's, by plain HTTP either."""
    iron_says = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"items": []}'
    tunnels.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n" + iron_says
    environment(HTTP_PROXY=f"http://127.0.0.1:{tunnels.port}")
    with ThreadTransport(proxy=Proxies.of_environment()) as transport, pytest.raises(UnreachableError):
        Iron(transport, f"http://{NAME}/api", "sandbox-key", timeout_s=5.0).customers(page_size=1)


def sent(name: str = NAME, *, address: str = PUBLIC, private: bool = False) -> Answer:
    """Deliver an event as a courier does; the name leads to this address."""
    with new_transport(Proxies.of_environment()) as transport:
        sender = Sender(transport, private=private, resolve=lambda _name, _port: [address])
        at = sender.aim(httpx.URL(f"https://{name}/events"))
        return at if isinstance(at, Answer) else sender.send(at, "1-0", b"{}", [new_secret()])


def test_a_proxy_is_asked_for_the_judged_address(tunnels: Tunnels, server: ThreadingHTTPServer) -> None:
    """It has no name to look up by itself; certificate and Host are the endpoint's own name's."""
    assert sent().verdict is Verdict.ACCEPTED
    assert [head.split("\r\n")[0] for head in tunnels.asked] == [f"CONNECT {PUBLIC}:443 HTTP/1.1"]
    assert NAME not in tunnels.asked[0]
    assert server.hosts == [NAME]  # type: ignore[attr-defined]
    assert sent("other.example.com").verdict is Verdict.UNREACHABLE
    assert server.hosts == [NAME]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "fd00::1", "::ffff:10.0.0.1", "100.100.100.200", "0.0.0.0"]
)
def test_no_proxy_is_asked_for_a_private_address(address: str, tunnels: Tunnels) -> None:
    """Refused as without a proxy; and where private endpoints are allowed, they are none of the proxy's."""
    assert sent(address=address) == Answer(Verdict.UNREACHABLE, "address not allowed")
    choose = new_transport(Proxies.of_environment()).proxy  # type: ignore[attr-defined]
    assert choose("https", NAME, address, 443) is None
    assert choose("https", NAME, PUBLIC, 443) is not None
    assert tunnels.asked == []


def test_without_a_proxy_deliveries_are_as_before(environment: Environment) -> None:
    """The transport is httpx's own."""
    with new_transport(Proxies.of_environment()) as transport:
        assert isinstance(transport, httpx.HTTPTransport)


@pytest.mark.parametrize(
    ("around", "host", "port", "past"),
    [
        ("", "api.iron.xyz", 443, False),
        ("*", "api.iron.xyz", 443, True),
        ("iron.xyz", "api.iron.xyz", 443, True),
        (".iron.xyz", "api.iron.xyz", 443, True),
        ("*.iron.xyz", "api.iron.xyz", 443, True),
        ("iron.xyz", "iron.xyz", 443, True),
        ("iron.xyz", "notiron.xyz", 443, False),
        ("iron.xyz.", "api.iron.xyz", 443, True),
        ("IRON.XYZ", "API.iron.xyz", 443, True),
        ("api.iron.xyz:443", "api.iron.xyz", 443, True),
        ("api.iron.xyz:8443", "api.iron.xyz", 443, False),
        ("a.example, iron.xyz", "api.iron.xyz", 443, True),
        ("a.example iron.xyz", "api.iron.xyz", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3:443", "10.1.2.3", 443, True),
        ("fd00::/8", "fd12::1", 443, True),
        ("[fd12::1]", "fd12::1", 443, True),
        (",,", "api.iron.xyz", 443, False),
        ("", "localhost", 443, True),
        ("", "127.0.0.1", 443, True),
        ("", "::1", 443, True),
    ],
)
def test_what_is_called_past_the_proxy(around: str, host: str, port: int, past: bool, environment: Environment) -> None:
    """NO_PROXY as curl reads it, with networks; and what is on this machine in any case."""
    environment(HTTPS_PROXY="http://proxy.example.com:3128", NO_PROXY=around)
    assert (Proxies.of_environment()("https", host, host, port) is None) == past


def test_which_variable_counts(environment: Environment) -> None:
    """Small letters first, a scheme's own before the one for all; http and https each have theirs."""
    environment(ALL_PROXY="http://all:1")
    assert Proxies.of_environment()("https", "h.example", "h.example", 443) == Proxy("all", 1)
    environment(HTTPS_PROXY="http://large:2")
    assert Proxies.of_environment()("https", "h.example", "h.example", 443) == Proxy("large", 2)
    assert Proxies.of_environment()("http", "h.example", "h.example", 80) == Proxy("all", 1)
    environment(https_proxy="small")
    assert Proxies.of_environment()("https", "h.example", "h.example", 443) == Proxy("small", 80)
    environment(https_proxy=" \r\n", HTTPS_PROXY="", ALL_PROXY="")
    assert Proxies.of_environment()("https", "h.example", "h.example", 443) is None


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("\ufeffhttp://proxy:3128/\r", Proxy("proxy", 3128)),
        ("HTTP://user:p%3Aw@proxy:3128", Proxy("proxy", 3128, "user:p:w")),
        ("http://[fd00::1]:3128", Proxy("fd00::1", 3128)),
    ],
)
def test_how_a_proxy_is_written(text: str, proxy: Proxy) -> None:
    """With and without http://, with a user, in any form that editors leave."""
    assert proxy_of(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "socks5://p:1080",
        "https://p:443",
        "http://",
        "http://p:0",
        "http://p:x",
        "http://a b",
        '"http://p:1"',
        "http://p\x01",
    ],
)
def test_a_proxy_that_cannot_be_used(text: str, environment: Environment) -> None:
    """No worker starts, the doctor names variable and remedy, nothing goes round it, and no value is told."""
    environment(
        HTTPS_PROXY=text,
        ONBOARDING_REDIS_URL="redis://h/0",
        ONBOARDING_ENCRYPTION_KEYS=new_key(),
        IRON_BASE_URL="https://api.iron.example/api",
        IRON_API_KEY="key-4711",
    )
    with pytest.raises(SettingsError) as raised:
        Settings.load("worker")
    [line] = raised.value.problems
    assert line.startswith("HTTPS_PROXY cannot be used: ")
    assert "NO_PROXY" in line
    assert text == "http://" or text not in line
    states = {check.text.partition(" ")[0]: check.state for check in told(Settings.load("gateway"))}
    assert states == {"HTTPS_PROXY": "warning"}
    assert sent().verdict is Verdict.UNREACHABLE
    environment(NO_PROXY="api.iron.example")
    assert Settings.load("worker")
