"""Wrong API tokens: counted by network and over all, slowed down, logged and told to Prometheus.

A right token is let in wherever it comes from, however many wrong ones came before: 256 random bits are not guessed,
and nobody can shut others out by guessing. So callers who share a proxy with a guesser notice nothing.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network

import structlog
from fastapi import Request

from ops.gateway.http.problems import ProblemError
from ops.gateway.http.windows import Windows
from workers.secrets.vault import derived

log = structlog.get_logger()

#: Wrong tokens of one network in a minute, beyond which the answer is 429.
OF_A_NETWORK = 20
#: The same over all networks.
OVER_ALL = 200
#: Bytes of the keyed digest by which lines of one network can be told to belong together.
_DIGEST_BYTES = 6
#: What belongs to one subscriber: a /24 of IPv4, a /64 of IPv6.
_PREFIXES = {4: 24, 6: 64}


class Attempts:
    """Counts what was refused in this process."""

    def __init__(
        self,
        ring: Sequence[str],
        told: Callable[[str], object] = lambda _: None,
        most: int = OF_A_NETWORK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the key ring, which keys the digests, and who is told at which door. `most`: of a network a minute."""
        self._key = derived(ring[0], "networks of refused attempts", 32)
        self._told = told
        self._by_network, self._over_all = Windows(most, clock), Windows(OVER_ALL, clock)

    def refused(self, request: Request, door: str) -> int | None:
        """Count a wrong token; returns the seconds to wait where there were too many, else None."""
        self._told(door)
        network = network_of(request)
        counts = [self._by_network.count(network), self._over_all.count("")]
        late = [count for count in counts if count.beyond]
        if not late or any(count.first_beyond for count in late):  # the others beyond a limit have no line
            outcome = "limited" if late else "refused"
            origin, count = self._digest(network), counts[0].count
            log.warning("auth.refused", origin=origin, where=door, count=count, outcome=outcome)
        return max((count.left_s for count in late), default=None)

    def _digest(self, network: str) -> str:
        return hmac.digest(self._key, network.encode(), "sha256")[:_DIGEST_BYTES].hex()


def network_of(request: Request) -> str:
    """Name the network that a request comes from; behind a proxy of ours, the one that the proxy names.

    A peer in a private network may name any network, which only makes the count by network finer; that over all stays.
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
