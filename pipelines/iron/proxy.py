"""A way through a proxy: HTTP's CONNECT, which gives a tunnel to the very host and port that was asked for.

Source: RFC 9110, section 9.3.6. The proxy sees where a call goes and nothing of it.
"""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

#: Longest head of a proxy's answer, in bytes.
_HEAD_BYTES = 16_384
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens, and how it knows us: `user:password`, or nothing."""

    host: str
    port: int
    user: str = field(default="", repr=False)

    def opened(self, host: str, port: int, limit_s: float | None) -> socket.socket:
        """Open a tunnel to a host. Raises OSError: nothing has been sent there then."""
        sock = socket.create_connection((self.host, self.port), limit_s)
        try:
            sock.sendall(self._request(host, port))
            _must_agree(_status(sock))
        except BaseException:
            sock.close()
            raise
        return sock

    def _request(self, host: str, port: int) -> bytes:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.user:
            lines.append(f"Proxy-Authorization: Basic {b64encode(self.user.encode()).decode()}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")


#: Chooses the proxy for a call: scheme, the name by which the server is called, and the host and port to connect to.
#: None: no proxy. Raises OSError where one is set that cannot be used.
Choose = Callable[[str, str, str, int], Proxy | None]


def direct(_scheme: str, _name: str, _host: str, _port: int) -> None:
    """Choose no proxy, whatever is called."""


def _must_agree(status: int) -> None:
    if not 200 <= status < 300:  # noqa: PLR2004 -- HTTP's successes
        raise OSError(f"the proxy answers {status}")


def _status(sock: socket.socket) -> int:
    """Read the head of the proxy's answer, byte by byte at its end: what follows belongs to the server behind it."""
    head = b""
    while not head.endswith(_END):
        piece = sock.recv(1)
        if not piece or len(head) > _HEAD_BYTES:
            raise OSError("the proxy gives no answer")
        head += piece
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise OSError("what answers at the proxy's address is no proxy")
    return int(rest[:3])
