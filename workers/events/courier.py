"""The courier: holds the endpoints of this worker process and has a dispatcher for each; and drops old events.

An endpoint is held by one process at a time, by a lease; whichever process looks first takes what is free. What one
endpoint does, or does not, concerns its own dispatcher only.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import redis
import structlog

from pipelines.iron.proxy import Proxy
from pipelines.iron.transport import ThreadTransport
from pipelines.pauses import around
from workers.addresses import is_public
from workers.events.dispatcher import AWAY_S, IN_FLIGHT, Dispatcher, Held
from workers.events.endpoints import MOST, Endpoints, NoEndpointError
from workers.events.sender import Sender
from workers.events.stream import OLDEST, EventStream
from workers.ledger import Ledger
from workers.process.background import Background
from workers.process.counters import Counters
from workers.proxies import Proxies
from workers.secrets.vault import Vault

log = structlog.get_logger()

#: A courier that does not look for this long has lost its endpoints to another process, in ms.
LEASE_MS = 15_000
#: Pause between two looks at leases and at the stream, in seconds: the delay before a delivery, on average the half.
LOOK_S = 0.25
#: The same while there is no endpoint at all.
IDLE_LOOK_S = 2.0
#: Pause between two looks for old events to drop, in seconds.
DROP_EVERY_S = 60.0
#: Seconds that deliveries under way may take when the process ends; what is cut off is delivered again.
END_GRACE_S = 5.0


def new_transport(proxies: Proxies | None = None) -> httpx.BaseTransport:
    """Make a transport for the deliveries to one endpoint: no retries, as many connections as needed.

    Where a proxy is set it is asked for a tunnel to the address that was judged, and never for a name, which it would
    look up by itself. An address of a private network is called directly: the proxy's own network is none of ours.
    """
    if proxies and proxies.set:

        def outward(scheme: str, name: str, host: str, port: int) -> Proxy | None:
            return proxies(scheme, name, host, port) if is_public(host) else None

        return ThreadTransport(proxy=outward)
    return httpx.HTTPTransport(limits=httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT))


@dataclass(slots=True)
class _Kept:
    """A dispatcher, and its transport."""

    dispatcher: Dispatcher
    transport: httpx.BaseTransport


class Courier(Background):
    """Holds endpoints, has a dispatcher for each, and drops old events."""

    def __init__(
        self,
        ledger: Ledger,
        vault: Vault,
        *,
        source: str,
        private: bool,
        kept_s: float,
        transport: Callable[[], httpx.BaseTransport] = new_transport,
        counters: Counters | None = None,
    ) -> None:
        """`source` is the events' CloudEvents source; `private`: endpoints may be in private networks.

        `kept_s`: how long events are kept; `transport` makes one for each endpoint; `counters` counts deliveries.
        """
        super().__init__("courier")
        self._ledger = ledger
        self._vault = vault
        self._source = source
        self._private = private
        self._kept_s = kept_s
        self._transport = transport
        self._counters = counters or Counters()
        self._token = secrets.token_urlsafe(12)
        self._at_work: dict[str, _Kept] = {}
        self._leaving: list[_Kept] = []
        self._newest: str | None = None
        self._drop_at = 0.0

    def turn(self) -> float:
        """Look what there is to hold; answers the pause before the next look."""
        try:
            held = self.run_once()
            self._drop_old()
        except redis.RedisError as error:
            log.warning("courier.interrupted", error=type(error).__name__)
            return AWAY_S
        return LOOK_S if held else IDLE_LOOK_S

    def run_once(self) -> int:
        """Renew the leases, begin with what is new or changed, and end what is not ours any more."""
        hanging = [name for name, kept in self._at_work.items() if kept.dispatcher.hangs()]
        self._leaving = [kept for kept in self._leaving if not self._left(kept)]
        leaving = [kept.dispatcher.held.name for kept in self._leaving]
        newest, pairs = self._ledger.call("courier_hold", self._token, LEASE_MS, MOST, *hanging, *leaving)
        self._newest = newest.decode() if newest else OLDEST
        names = [text.decode() for text in pairs]
        held = {name: Held(name, epoch) for name, epoch in zip(names[::2], names[1::2], strict=True)}
        for name in [name for name, kept in self._at_work.items() if kept.dispatcher.held != held.get(name)]:
            self._let_go(name)
        for name in held.keys() - self._at_work.keys():
            self._begin(held[name])
        return len(held)

    def stop(self) -> None:
        """Stop, let deliveries under way end for a moment, and let other processes go on at once."""
        super().stop()
        for name in list(self._at_work):
            self._let_go(name)
        until = time.monotonic() + END_GRACE_S
        for kept in self._leaving:
            kept.dispatcher.over(max(0.0, until - time.monotonic()))
            kept.transport.close()
            kept.dispatcher.close()
        names = [kept.dispatcher.held.name for kept in self._leaving]
        if names:
            try:
                self._ledger.call("courier_release", self._token, *names)
            except redis.RedisError as error:
                log.warning("courier.interrupted", error=type(error).__name__)

    def _begin(self, held: Held) -> None:
        try:
            standing = Endpoints(self._ledger).find(held.name)
        except NoEndpointError:  # removed this very moment
            return
        transport = self._transport()
        dispatcher = Dispatcher(
            self._ledger,
            self._vault,
            held,
            standing,
            token=self._token,
            sender=Sender(transport, private=self._private),
            source=self._source,
            newest=lambda: self._newest,
            counters=self._counters,
        )
        self._at_work[held.name] = _Kept(dispatcher, transport)
        dispatcher.start()

    def _let_go(self, name: str) -> None:
        kept = self._at_work.pop(name)
        kept.dispatcher.halt()
        self._leaving.append(kept)

    def _left(self, kept: _Kept) -> bool:
        """Return whether a dispatcher has ended; then what it used is closed."""
        if not kept.dispatcher.over():
            return False
        kept.dispatcher.close()
        kept.transport.close()
        return True

    def _drop_old(self) -> None:
        if time.monotonic() < self._drop_at:
            return
        self._drop_at = time.monotonic() + around(DROP_EVERY_S)
        EventStream(self._ledger).drop_old(self._kept_s)
