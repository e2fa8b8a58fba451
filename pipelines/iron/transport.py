"""An httpx transport for threads that make one call at a time: one kept-alive connection each, and nothing shared.

httpx's own transport shares a pool among all threads and parses HTTP in Python, which costs several times the CPU time
of the call itself (ops/docs/measurements.md); here httptools parses, in C. Errors are those of httpx, by what is known
about the request: not sent, perhaps sent, sent. Nothing is repeated in here.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httptools
import httpx

from pipelines.iron.proxy import Choose, direct

#: A connection that was idle for longer is not used again, in seconds, as httpx does it: the other side, or a firewall
#: in between, may have forgotten it without a word.
IDLE_S = 5.0
#: Bytes that are read at once, and the most before an answer's body begins.
PIECE = 65_536
#: What httptools raises where an answer is not one, or where the other side goes over to another protocol unasked.
BROKEN = (httptools.HttpParserError, httptools.HttpParserUpgrade)
DEFAULT_PORTS = {"http": 80, "https": 443}


class ThreadTransport(httpx.BaseTransport):
    """Sends requests over a connection of the calling thread. Not for HEAD, whose answers have no body."""

    def __init__(self, context: ssl.SSLContext | None = None, proxy: Choose = direct) -> None:
        """`context` says whom to trust with https; httpx's own choice unless given. `proxy` chooses the way out."""
        self._context = context
        self.proxy = proxy
        self._own = threading.local()
        self._lock = threading.Lock()
        self._lines: dict[threading.Thread, _Line] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of the answer; its body is read from the answer's stream."""
        packet = _packet(request)
        line = self._line()
        limits = request.extensions.get("timeout", {})
        sock = line.connected(request.url, limits.get("connect"), request.extensions.get("sni_hostname"))
        answer = _Answer(sock)
        try:
            sock.settimeout(limits.get("write"))
            sock.sendall(packet)
            sock.settimeout(limits.get("read"))
            while not answer.begun:
                answer.read()
        except (OSError, *BROKEN) as error:
            line.drop()
            raise _after_sending(error) from error
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer, line))

    def connections(self) -> int:
        """Count the connections that are open."""
        with self._lock:
            return sum(line.sock is not None for line in self._lines.values())

    def close(self) -> None:
        """Close all connections. The threads they belong to have ended, or use none any more."""
        with self._lock:
            for line in self._lines.values():
                line.drop()

    def _line(self) -> _Line:
        line: _Line | None = getattr(self._own, "line", None)
        if line is None:
            line = self._own.line = _Line(self)
            with self._lock:
                for thread in [one for one in self._lines if not one.is_alive()]:
                    self._lines.pop(thread).drop()
                self._lines[threading.current_thread()] = line
        return line

    def trusted(self) -> ssl.SSLContext:
        """Return the context for https, made once: it holds all certificates."""
        with self._lock:
            if self._context is None:
                self._context = httpx.create_ssl_context()
            return self._context


class _Line:
    """The connection of one thread, if it has one, and to whom."""

    def __init__(self, transport: ThreadTransport) -> None:
        self._transport = transport
        self._peer: tuple[str, str, int, str] | None = None
        self._used = 0.0
        self._free = False
        self.sock: socket.socket | None = None

    def connected(self, url: httpx.URL, limit_s: float | None, name: str | None = None) -> socket.socket:
        """Return a connection on which nothing is under way: the one at hand if it is sound, else a new one.

        `name`: what the server is called, where the URL has its address.
        """
        host = url.raw_host.decode("ascii")
        peer = (url.scheme, host, url.port or DEFAULT_PORTS.get(url.scheme, 0), name or host)
        if not (peer == self._peer and self._sound()):
            self.drop()
        if self.sock is None:
            self._peer, self.sock = peer, self._opened(peer, limit_s)
        self._free = False
        return self.sock

    def _sound(self) -> bool:
        """Return whether the other side may still be there: it is silent, as it has to be, and was used of late."""
        if self.sock is None or not self._free or time.monotonic() - self._used > IDLE_S:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def _opened(self, peer: tuple[str, str, int, str], limit_s: float | None) -> socket.socket:
        scheme, host, port, name = peer
        if scheme not in DEFAULT_PORTS:
            raise httpx.UnsupportedProtocol("Only http and https can be called.")
        try:
            proxy = self._transport.proxy(scheme, name, host, port)
            place = (host, port)
            sock = proxy.opened(*place, limit_s) if proxy else socket.create_connection(place, limit_s)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._transport.trusted().wrap_socket(sock, server_hostname=name) if scheme == "https" else sock
            except BaseException:
                sock.close()
                raise
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    def keep(self) -> None:
        """Note that an answer is through and the connection free."""
        self._used, self._free = time.monotonic(), True

    def drop(self) -> None:
        """Close the connection; what is under way on it is nobody's any more."""
        sock, self.sock = self.sock, None
        if sock is not None:
            with suppress(OSError):
                sock.close()


class _Answer:
    """An answer as it arrives: httptools calls the methods that begin with `on_`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parser = httptools.HttpResponseParser(self)
        self._unread = 0
        self._pieces: list[bytes] = []
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        #: The head is there; the body is there as well; the connection may be used again.
        self.begun = self.complete = self.lasting = False
        #: Something came behind the answer, which belongs to nobody.
        self._surplus = False

    def read(self) -> None:
        """Take what has arrived. Raises OSError and those of BROKEN; an answer may end with the connection."""
        data = self._sock.recv(PIECE)
        if data:
            self._feed(data)
            self._unread += len(data)
            if not self.begun and self._unread > PIECE:
                raise httptools.HttpParserError("the answer's head does not end")
        elif self.begun and not {b"content-length", b"transfer-encoding"} & {name.lower() for name, _ in self.headers}:
            self.complete = True
        else:
            raise httptools.HttpParserError("the answer ends before its end")

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except BROKEN:
            if not self.complete:
                raise
            self.lasting = False

    def pieces(self) -> list[bytes]:
        """Return what has arrived of the body since this was asked last."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def on_message_begin(self) -> None:
        """Note that an answer begins; one behind another is nobody's."""
        if self.complete:
            self._surplus, self.lasting = True, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those of an interim answer are dropped with it."""
        if not self._surplus:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the head as read, unless it is an interim one (1xx)."""
        if self._surplus:
            return
        self.status = self._parser.get_status_code()
        self.begun = self.status >= 200  # noqa: PLR2004 -- HTTP's first final status
        if not self.begun:
            self.headers = []

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if not self._surplus:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Note that the answer is through."""
        if self.begun and not self._surplus:
            self.complete, self.lasting = True, self._parser.should_keep_alive()


class _Body(httpx.SyncByteStream):
    """The body of an answer, read piece by piece, each within the limit for reading."""

    def __init__(self, answer: _Answer, line: _Line) -> None:
        self._answer = answer
        self._line = line

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.pieces()
            while not self._answer.complete:
                self._answer.read()
                yield from self._answer.pieces()
        except (OSError, *BROKEN) as error:
            raise _after_sending(error) from error

    def close(self) -> None:
        """Keep the connection if the answer was read to its end and the other side wants to; else close it."""
        if self._answer.complete and self._answer.lasting:
            self._line.keep()
        else:
            self._line.drop()


def _packet(request: httpx.Request) -> bytes:
    """Write a request as it is, and nothing else. Raises LocalProtocolError where a line of it would be two."""
    parts = [request.method.encode("ascii"), b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        parts += (name, b": ", value, b"\r\n")
    head = b"".join(parts)
    lines = len(request.headers.raw) + 1
    if head.count(b"\r") != lines or head.count(b"\n") != lines or b"\0" in head:
        raise httpx.LocalProtocolError("a header or the address has a line break in it")
    return b"".join((head, b"\r\n", request.read()))


def _after_sending(error: Exception) -> httpx.TransportError:
    """Translate what went wrong once anything may have been sent."""
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout(str(error))
    if isinstance(error, BROKEN):
        return httpx.RemoteProtocolError(str(error))
    return httpx.ReadError(str(error))
