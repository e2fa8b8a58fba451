"""The socket that a server of ours listens on: the gateway's and the sandbox's."""

from __future__ import annotations

import errno
import socket


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket. Raises OSError naming the address if it cannot be had, also where the host is no name at all."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Naming the protocol lets asyncio switch Nagle's algorithm off; otherwise an answer may cost 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    except (ValueError, TypeError):
        listener.close()
        raise OSError(errno.EINVAL, f"cannot listen on {host}:{port}: the host is no name and no address") from None
    return listener
