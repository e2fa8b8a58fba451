"""An httpx transport on the standard library's http.client: one kept-alive connection a thread, and nothing shared.

httpx's own transport shares a pool among all threads and parses HTTP in Python, which costs three times the CPU time of
the call itself (ops/measurements.md); a worker makes one call at a time and needs none of that. Errors are those of
httpx, by what is known about the request: not sent, perhaps sent, sent. Nothing is repeated in here.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import httpx

#: A connection that was idle for longer is not used again, in seconds, as httpx does it: the other side, or a firewall
#: in between, may have forgotten it without a word.
IDLE_S = 5.0
#: Bytes that are read at once.
PIECE = 65_536
DEFAULT_PORTS = {"http": 80, "https": 443}


class ThreadTransport(httpx.BaseTransport):
    """Sends requests over a connection of the calling thread."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """`context` says whom to trust with https; httpx's own choice unless given."""
        self._context = context
        self._own = threading.local()
        self._lock = threading.Lock()
        self._lines: dict[threading.Thread, _Line] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of the answer; its body is read from the answer's stream."""
        line = self._line()
        limits = request.extensions.get("timeout", {})
        connection = line.connected(request.url, limits.get("connect"))
        sock = cast("socket.socket", connection.sock)
        try:
            sock.settimeout(limits.get("write"))
            _send(connection, request)
            sock.settimeout(limits.get("read"))
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            line.drop()
            raise _after_sending(error) from error
        return httpx.Response(answer.status, headers=answer.getheaders(), stream=_Body(answer, line))

    def connections(self) -> int:
        """Count the connections that are open."""
        with self._lock:
            return sum(line.connection is not None for line in self._lines.values())

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
        """Give the context for https, made once: it holds all certificates."""
        with self._lock:
            if self._context is None:
                self._context = httpx.create_ssl_context()
            return self._context


class _Line:
    """The connection of one thread, if it has one, and to whom."""

    def __init__(self, transport: ThreadTransport) -> None:
        self._transport = transport
        self._peer: tuple[str, str, int] | None = None
        self._used = 0.0
        self._free = False
        self.connection: http.client.HTTPConnection | None = None

    def connected(self, url: httpx.URL, limit_s: float | None) -> http.client.HTTPConnection:
        """Give a connection on which nothing is under way: the one at hand if it is sound, else a new one."""
        peer = (url.scheme, url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS.get(url.scheme, 0))
        if not (peer == self._peer and self._sound()):
            self.drop()
        if self.connection is None:
            self._peer, self.connection = peer, self._opened(peer, limit_s)
        self._free = False
        return self.connection

    def _sound(self) -> bool:
        """Say whether the other side may still be there: it is silent, as it has to be, and was used of late."""
        sock = self.connection.sock if self.connection else None
        if sock is None or not self._free or time.monotonic() - self._used > IDLE_S:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return not poll.poll(0)

    def _opened(self, peer: tuple[str, str, int], limit_s: float | None) -> http.client.HTTPConnection:
        scheme, host, port = peer
        connection: http.client.HTTPConnection
        if scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=limit_s, context=self._transport.trusted())
        elif scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=limit_s)
        else:
            raise httpx.UnsupportedProtocol("Only http and https can be called.")
        try:
            connection.connect()
        except TimeoutError as error:
            connection.close()
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise httpx.ConnectError(str(error)) from error
        return connection

    def keep(self) -> None:
        """Note that an answer is through and the connection free."""
        self._used, self._free = time.monotonic(), True

    def drop(self) -> None:
        """Close the connection; what is under way on it is nobody's any more."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer, read piece by piece, each within the limit for reading."""

    def __init__(self, answer: http.client.HTTPResponse, line: _Line) -> None:
        self._answer = answer
        self._line = line

    def __iter__(self) -> Iterator[bytes]:
        try:
            while piece := self._answer.read1(PIECE):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise _after_sending(error) from error
        if self._answer.length:
            raise httpx.RemoteProtocolError("the answer ends before its end")

    def close(self) -> None:
        """Keep the connection if the answer was read to its end and the other side wants to; else close it."""
        through = self._answer.isclosed() or self._answer.length == 0
        self._answer.close()
        if through and not self._answer.will_close:
            self._line.keep()
        else:
            self._line.drop()


def _send(connection: http.client.HTTPConnection, request: httpx.Request) -> None:
    """Send the head and the body as they are in the request, and nothing else."""
    connection.putrequest(
        request.method, request.url.raw_path.decode("ascii"), skip_host=True, skip_accept_encoding=True
    )
    for name, value in request.headers.raw:
        connection.putheader(name.decode("ascii"), value)
    connection.endheaders(request.read() or None)


def _after_sending(error: Exception) -> httpx.TransportError:
    """Translate what went wrong once anything may have been sent."""
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout(str(error))
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return httpx.RemoteProtocolError(str(error))
    return httpx.ReadError(str(error))
