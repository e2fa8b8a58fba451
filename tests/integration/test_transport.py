"""The transport to Iron against real sockets: what leaves, which connection it takes, and what each failure means."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from pipelines.errors import AnswerLostError, OutcomeUnknownError, UnreachableError
from pipelines.iron import Iron
from pipelines.iron import transport as module
from pipelines.iron.transport import ThreadTransport

CUSTOMER = b'{"id": "c-1", "status": "Active"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(CUSTOMER), CUSTOMER)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(CUSTOMER), CUSTOMER)
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\n" + CUSTOMER
LAST = ANSWER.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


class Server:
    """Answers each request with the next of some answers; an answer of None closes the connection instead."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/api"
        self.answers: list[bytes | None] = []
        #: What is sent after an answer before the connection is closed; None leaves it open.
        self.farewell: bytes | None = None
        self.requests: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65_536):
                while request.startswith(b"POST") and not request.endswith(b"}"):
                    request += connection.recv(65_536)
                self.requests.append(request)
                answer = self.answers.pop(0) if self.answers else ANSWER
                if answer is None:
                    return
                connection.sendall(answer)
                if answer is UNTIL_THE_END or answer is LAST or self.farewell is not None:
                    connection.sendall(self.farewell or b"")
                    return


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.listener.close()


@pytest.fixture
def transport() -> Iterator[ThreadTransport]:
    made = ThreadTransport()
    yield made
    made.close()


@pytest.fixture
def iron(server: Server, transport: ThreadTransport) -> Iron:
    return Iron(transport, server.url, "sandbox-key", timeout_s=5.0)


def test_same_bytes(server: Server, iron: Iron) -> None:
    """What leaves is what httpx's own transport sends: the same line, the same headers, the same body."""
    with httpx.HTTPTransport() as plain:
        for transport in (iron.transport, plain):
            one = Iron(transport, server.url, "sandbox-key")
            one.create_customer({"email": "a@example.com", "x": 1}, "key")
            one.customer("c 1/ü")
    ours, theirs = [sorted(request.split(b"\r\n")) for request in server.requests[:2]], server.requests[2:]
    assert [[line.lower() for line in one] for one in ours] == [
        sorted(line.lower() for line in sorted(request.split(b"\r\n"))) for request in theirs
    ]


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED])
def test_kept_alive(server: Server, iron: Iron, transport: ThreadTransport, answer: bytes) -> None:
    """One connection serves call after call."""
    server.answers = [answer] * 5
    assert [iron.customer("c-1").status for _ in range(5)] == ["Active"] * 5
    assert (server.connections, transport.connections()) == (1, 1)


@pytest.mark.parametrize("answer", [UNTIL_THE_END, LAST])
def test_closed_by_the_answer(server: Server, iron: Iron, answer: bytes) -> None:
    """An answer after which the other side closes is read to its end, and the next call takes a new connection."""
    server.answers = [answer, ANSWER]
    assert [iron.customer("c-1").status for _ in range(2)] == ["Active"] * 2
    assert server.connections == 2


@pytest.mark.parametrize("farewell", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"], ids=["silently", "with a word"])
def test_closed_while_idle(server: Server, iron: Iron, transport: ThreadTransport, farewell: bytes) -> None:
    """A connection that the other side has closed meanwhile, with or without a word, takes no request."""
    server.farewell = farewell
    iron.customer("c-1")
    [line] = transport._lines.values()
    if line.sock is not None:  # else the word came with the answer, and the connection is dropped already
        line.sock.recv(1, socket.MSG_PEEK)  # waits until the end has arrived
    server.farewell = None
    assert iron.customer("c-1").status == "Active"
    assert server.connections == 2


def test_idle_too_long(server: Server, iron: Iron, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was idle for long is not trusted any more."""
    iron.customer("c-1")
    monkeypatch.setattr(module, "IDLE_S", -1.0)
    iron.customer("c-1")
    assert server.connections == 2


def test_nobody_there(transport: ThreadTransport) -> None:
    """Where nobody listens nothing was sent, and the error says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UnreachableError):
        Iron(transport, url, "sandbox-key").customer("c-1")
    with pytest.raises(UnreachableError):
        Iron(transport, "ftp://127.0.0.1", "sandbox-key").customer("c-1")


BROKEN = {
    "no answer": None,
    "rubbish": b"220 smtp.example.com\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 10_000,
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: irc\r\nConnection: Upgrade\r\n\r\nNICK",
    "half a body": ANSWER[:-5],
    "half a chunk": CHUNKED[:-20],
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_broken_answer(server: Server, iron: Iron, answer: bytes | None) -> None:
    """Once a request was sent, every failure leaves its effect unknown, and the next call takes a new connection."""
    server.answers, server.farewell = [answer], b""
    with pytest.raises(OutcomeUnknownError):
        iron.create_customer({"email": "a@example.com"}, "key")
    server.farewell = None
    assert iron.customer("c-1").status == "Active"
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", [b"", ANSWER[:-5]], ids=["nothing", "not all"])
def test_late_answer(server: Server, transport: ThreadTransport, answer: bytes) -> None:
    """An answer that does not come in time leaves the effect unknown, and its rest never answers another call."""
    server.answers = [answer]
    with pytest.raises(AnswerLostError):
        Iron(transport, server.url, "sandbox-key", timeout_s=0.1).customer("c-1")
    assert transport.connections() == 0


@pytest.mark.parametrize("behind", [ANSWER, b"rubbish"], ids=["another answer", "rubbish"])
@pytest.mark.parametrize("answer", [ANSWER, LAST], ids=["kept alive", "closed"])
def test_what_comes_behind_an_answer_answers_nothing(server: Server, iron: Iron, answer: bytes, behind: bytes) -> None:
    """What follows an answer in the same breath is thrown away with the connection."""
    other = behind.replace(b"Active", b"Closed")
    server.answers = [answer + other, ANSWER]
    assert [iron.customer("c-1").status for _ in range(2)] == ["Active", "Active"]
    assert server.connections == 2


def test_an_interim_answer_is_not_the_answer(server: Server, iron: Iron) -> None:
    """A 1xx before the answer is passed over, with its headers."""
    server.answers = [b"HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n" + ANSWER]
    answer = iron.transport.handle_request(httpx.Request("GET", f"{server.url}/customers/c-1"))
    assert (answer.status_code, answer.headers.get("x-hint"), answer.read()) == (200, None, CUSTOMER)


@pytest.mark.parametrize("value", ["key\r\nX-Other: 1", "key\nX", "key\0"])
def test_no_header_becomes_two(server: Server, transport: ThreadTransport, value: str) -> None:
    """A value with a line break in it never leaves."""
    with pytest.raises(httpx.LocalProtocolError):
        transport.handle_request(httpx.Request("GET", server.url, headers={"IDEMPOTENCY-KEY": value}))
    assert server.requests == []


def test_unread_answer(server: Server, iron: Iron, transport: ThreadTransport) -> None:
    """A connection whose answer nobody has read takes no other request."""
    transport.handle_request(httpx.Request("GET", f"{server.url}/customers/c-1"))
    assert iron.customer("c-1").status == "Active"
    assert server.connections == 2


def test_threads(server: Server, iron: Iron, transport: ThreadTransport) -> None:
    """Each thread has a connection of its own; that of a thread that has ended is closed."""
    barrier = threading.Barrier(3)

    def call() -> str:
        barrier.wait(5)
        return iron.customer("c-1").status

    with ThreadPoolExecutor(3) as pool:
        assert [one.result() for one in [pool.submit(call) for _ in range(3)]] == ["Active"] * 3
        assert transport.connections() == 3
    iron.customer("c-1")
    assert transport.connections() == 1
    transport.close()
    assert transport.connections() == 0
