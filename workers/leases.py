"""The claims that this process has in hand, renewed together by one script call every two seconds.

A lease is short so that a crash shows at once, and renewed so that a slow answer of Iron costs nothing. Renewal of a
claim ends with the step's own limit: a step that hangs loses its record like one that died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
import structlog

from workers.ledger import RENEW_EVERY_S, STEP_LIMIT_S, Claim, Ledger

log = structlog.get_logger()


class Leases:
    """Keeps claims alive while their steps run."""

    def __init__(self, ledger: Ledger) -> None:
        """Begin with no claim in hand; the thread starts with `start`."""
        self._ledger = ledger
        self._claims: dict[str, Claim] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Start renewing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing; what is still in hand ends with its lease."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Claim]:
        """Renew a claim for as long as the block runs."""
        self._claims[claim.fence] = claim
        try:
            yield claim
        finally:
            del self._claims[claim.fence]

    def run_once(self) -> int:
        """Renew what is in hand and not over its limit; answers how many claims that were."""
        oldest = time.monotonic() - STEP_LIMIT_S
        claims = [claim for claim in list(self._claims.values()) if claim.started > oldest]
        self._ledger.renew(claims)
        return len(claims)

    def _run(self) -> None:
        while not self._stopped.wait(RENEW_EVERY_S):
            try:
                self.run_once()
            except redis.RedisError as error:
                log.warning("leases.interrupted", error=type(error).__name__)
