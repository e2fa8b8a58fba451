"""Connections as they are read: uvicorn's, by httptools, with a limit for the head of a request.

httptools takes a head of any length, and keeps it in memory while it comes.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: What the address and the headers of a request may be together, in bytes: that of most servers and proxies.
HEAD_BYTES = 16 * 1024

_TOO_LARGE = "The head of the request is too large."


class Connection(HttpToolsProtocol):
    """One connection. A head above the limit ends it with 400, as one that is no HTTP does."""

    #: Bytes of the head that is being read, counted in whole reads; None: none is.
    _head: int | None = None

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._head = None if self._head is None else self._head + len(data)
        super().data_received(data)
        if self._head is not None and self._head > HEAD_BYTES and not self.transport.is_closing():
            self.logger.warning(_TOO_LARGE)
            self.send_400_response(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting: a body has limits of its own."""
        self._head = None
        super().on_headers_complete()
