"""The claims that this process has in hand, renewed together by one script call every two seconds.

A lease is short so that a crash shows at once, and renewed so that a slow answer of Iron costs nothing. Renewal of a
claim ends with the step's own limit: a step that hangs loses its record like one that died.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
import structlog

from workers.ledger import RENEW_EVERY_S, STEP_LIMIT_S, Claim, Ledger
from workers.process.background import Background

log = structlog.get_logger()


class Leases(Background):
    """Keeps claims alive while their steps run."""

    def __init__(self, ledger: Ledger) -> None:
        """Begin with no claim in hand; the thread starts with `start`."""
        super().__init__("leases")
        self._ledger = ledger
        self._claims: dict[str, Claim] = {}

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
        oldest = self._ledger.clock() - STEP_LIMIT_S
        claims = [claim for claim in list(self._claims.values()) if claim.started > oldest]
        self._ledger.renew(claims)
        return len(claims)

    def turn(self) -> float:
        """Renew; while Redis is away the leases go on for as long as they last."""
        try:
            self.run_once()
        except redis.RedisError as error:
            log.warning("leases.interrupted", error=type(error).__name__)
        return RENEW_EVERY_S
