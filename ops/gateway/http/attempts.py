"""Wrong API tokens: counted by network and over all, slowed down, logged and told to Prometheus.

A right token is let in wherever it comes from, however many wrong ones came before: 256 random bits are not guessed,
and nobody can shut others out by guessing. So whoever shares a proxy with a guesser notices nothing.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import structlog
from fastapi import Request

from ops.gateway.http.problems import ProblemError
from workers.secrets.vault import derived

log = structlog.get_logger()

#: Wrong tokens of one network in a window, beyond which the answer is 429.
OF_A_NETWORK = 20
#: The same over all networks.
OVER_ALL = 200
#: Length of a window in seconds. It begins with the first wrong token.
WINDOW_S = 60.0
#: Networks that are counted at a time; beyond it the ones that began first are forgotten.
NETWORKS = 10_000
#: Bytes of the keyed digest by which lines of one network can be told to belong together.
_DIGEST_BYTES = 6
#: What belongs to one subscriber: a /24 of IPv4, a /64 of IPv6.
_PREFIXES = {4: 24, 6: 64}


@dataclass(slots=True)
class _Window:
    ends: float
    count: int = field(default=0)


class Attempts:
    """Counts what was refused in this process."""

    def __init__(
        self,
        ring: Sequence[str],
        told: Callable[[str], object] = lambda _: None,
        most: int = OF_A_NETWORK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the key ring, which keys the digests, and who is told at which door. `most`: of a network a window."""
        self._key = derived(ring[0], "networks of refused attempts", 32)
        self._told, self._most, self._clock = told, most, clock
        self._windows: dict[str, _Window] = {}
        self._all = _Window(0.0)

    def refused(self, request: Request, door: str) -> int | None:
        """Count a wrong token; gives the seconds to wait where there were too many, else None."""
        self._told(door)
        network, now = network_of(request), self._clock()
        if now >= self._all.ends:
            self._all = _Window(now + WINDOW_S)
        window = self._window(network, now)
        window.count += 1
        self._all.count += 1
        beyond = [(one.count - most, one.ends) for one, most in ((window, self._most), (self._all, OVER_ALL))]
        late = max((ends for more, ends in beyond if more > 0), default=None)
        if late is None or 1 in dict(beyond):  # of those beyond the limit, the first alone has a line
            outcome = "refused" if late is None else "limited"
            log.warning("auth.refused", origin=self._digest(network), where=door, count=window.count, outcome=outcome)
        return None if late is None else math.ceil(late - now)

    def _window(self, network: str, now: float) -> _Window:
        window = self._windows.get(network)
        if window is None or now >= window.ends:
            self._windows.pop(network, None)
            if len(self._windows) >= NETWORKS:
                self._windows.pop(next(iter(self._windows)))
            window = self._windows[network] = _Window(now + WINDOW_S)
        return window

    def _digest(self, network: str) -> str:
        return hmac.digest(self._key, network.encode(), "sha256")[:_DIGEST_BYTES].hex()


def network_of(request: Request) -> str:
    """Name the network that a request comes from; behind a proxy of ours, the one that the proxy names.

    Whoever is near may name any network, which only makes the count by network finer; that over all stays.
    """
    peer = request.client.host if request.client else ""
    named = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    try:
        near = not ip_address(peer).is_global
    except ValueError:
        near = True
    return _network(named) or _network(peer) or "" if near else _network(peer) or ""


def _network(address: str) -> str | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ip_network(f"{found}/{_PREFIXES[found.version]}", strict=False))


def too_many(seconds: int) -> ProblemError:
    """Make the refusal for too many wrong tokens."""
    text = "Too many requests with wrong tokens came from your network. A right token is still accepted."
    return ProblemError("too_many_attempts", text, headers={"Retry-After": str(seconds)})
