"""Connections as they are read: uvicorn's, by httptools, with limits for the head of a request and for idling.

httptools takes a head of any length, keeps it in memory while it comes, and waits for it without end. Here a head has a
size and a time, names one host, and who sends nothing gives way when there are too many connections.
"""

from __future__ import annotations

import resource
import time
from asyncio import TimerHandle, Transport
from typing import ClassVar

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger()

#: What the address and the headers of a request may be together, in bytes: that of most servers and proxies.
HEAD_BYTES = 16 * 1024
#: A whole head arrives within this time, in seconds, also the first byte of a new connection.
HEAD_WITHIN_S = 10.0
#: Connections at most, where the process may have as many descriptors.
MOST = 4096
#: Descriptors that are left for Redis, files and what listens.
RESERVED = 64
#: Pause between two log lines that say that connections are turned away, in seconds.
SAY_EVERY_S = 10.0

_TOO_LARGE = "The head of the request is too large."
_ONE_HOST = "A request names one Host."


class _RefusedError(Exception):
    """The head is refused; httptools makes a parser's error of it, and uvicorn an answer 400."""


def most_connections() -> int:
    """Return how many connections this process takes: fewer where it may have few descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(RESERVED, min(MOST, soft - RESERVED))


class Connection(HttpToolsProtocol):
    """One connection. A head above a limit ends it with 400, as one that is no HTTP does; one that is late, without."""

    #: How many there may be at a time.
    most: ClassVar[int] = MOST
    #: Those that wait for a request, the longest first.
    waiting: ClassVar[dict[Connection, None]] = {}
    #: When it was said last that there are too many.
    said_at: ClassVar[float] = 0.0

    #: Bytes of the head that is being read, counted in whole reads; None: none is.
    _head: int | None = None
    #: Bytes of its address and headers so far.
    _size: int = 0
    _why: str = ""
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a new connection; where there are too many, who has waited longest without a request gives way."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._make_room()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        answering = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]
        if self._timer is None and not answering:
            self._time()  # the next request begins
        self._head = None if self._head is None else self._head + len(data)
        super().data_received(data)
        if self._head is not None and self._head > HEAD_BYTES and not self.transport.is_closing():
            self._why = _TOO_LARGE
            self.send_400_response(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head, self._size = 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, with its colon, blank and line break."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop counting: a body has limits of its own. Source: RFC 9112, 3.2, for the host."""
        self._head = None
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._why = _ONE_HOST
            raise _RefusedError
        self._wait_no_more()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn ends it when none comes."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self.waiting[self] = None

    def send_400_response(self, msg: str) -> None:
        """Answer with what was wrong, where that is ours."""
        if self._why:
            self.logger.warning(self._why)
        super().send_400_response(self._why or msg)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > HEAD_BYTES:
            self._why = _TOO_LARGE
            raise _RefusedError

    def _wait(self) -> None:
        self.waiting[self] = None
        self._time()

    def _time(self) -> None:
        self._timer = self.loop.call_later(HEAD_WITHIN_S, self._late)

    def _wait_no_more(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _make_room(self) -> None:
        """End the connection that has waited longest, or this one where all are being answered."""
        oldest = next(iter(self.waiting), self)
        oldest.transport.abort()
        self.waiting.pop(oldest, None)
        now = time.monotonic()
        if now - Connection.said_at > SAY_EVERY_S:
            Connection.said_at = now
            log.warning("gateway.connections_full", count=len(self.connections))


def limited(most: int) -> type[Connection]:
    """Return the class of one server's connections, of which there are so many at a time at most."""

    class Limited(Connection):
        """A connection of this server."""

    Limited.most, Limited.waiting = most, {}
    return Limited
