"""The first call: a worker process asks Iron once at its start, and its log says at once what is wrong.

It goes on in the background and stops nothing: whatever comes of it, the process works. It waits for the fleet's budget
like any other call, behind all records (workers/budget/unbound_calls.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import redis
import structlog

from pipelines.errors import HeldBackError
from pipelines.iron import Iron
from workers.budget.gate import BudgetStatus, Gate
from workers.budget.unbound_calls import LANE, Aside
from workers.ledger import PREFIX, Ledger
from workers.operate.diagnosis import Diagnosis, cause_of, diagnosed, fields
from workers.process.background import Background

log = structlog.get_logger()

#: So long, in seconds, no other process with the same settings asks: all that start together, and not a later restart.
ASKED_S = 10
#: Pause after Redis did not answer, in seconds.
AWAY_S = 10.0


class _EndedError(Exception):
    """The process ends while the call waits."""


class FirstCall(Background):
    """Asks Iron once, says what came of it, and ends."""

    def __init__(self, ledger: Ledger, iron: Iron, sleep: Callable[[float], object] | None = None) -> None:
        """Take the ledger, whose budget the call comes out of; the thread starts with `start`.

        `sleep` waits for this many seconds; unless it is given, a wait ends with the process.
        """
        super().__init__("first call")
        self._ledger = ledger
        self._iron = iron
        self._sleep = sleep or self._wait
        self._mine = False

    def run_once(self) -> None:
        """Ask, unless another process with the same settings has just done so, and log what came of it."""
        self._mine = self._mine or self._first()
        if not self._mine:
            return
        said = _say_what_holds_back(Gate(self._ledger).standing())
        aside = Aside(self._ledger, self._iron, sleep=self._sleep)
        try:
            _say(diagnosed(aside.ask, self._iron.api_version))
        except HeldBackError as error:
            if not said:
                log.warning("first_call.held_back", reason=error.reason)

    def turn(self) -> float:
        """Ask; while Redis is away it waits here. Then there is no other turn, whatever happens."""
        try:
            self.run_once()
        except redis.RedisError as error:
            log.warning("first_call.interrupted", error=type(error).__name__)
            return AWAY_S
        except _EndedError:
            pass
        except Exception:
            self._stopped.set()
            raise
        self._stopped.set()
        return 0.0

    def _first(self) -> bool:
        """Return whether no other process asked lately. A digest of the settings: another machine's may be right."""
        settings = f"{self._iron.base_url}\n{self._iron.api_version}\n{self._iron.api_key}"
        digest = hashlib.blake2b(settings.encode(), digest_size=8).hexdigest()
        return bool(self._ledger.client.set(f"{PREFIX}first_call:{digest}", 1, nx=True, ex=ASKED_S))

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _EndedError


def _say_what_holds_back(standing: BudgetStatus) -> bool:
    """Say at once that the call has to wait; answers whether that is so."""
    if LANE in standing.paused:
        reason = "paused"
    elif standing.closed_until_ms is not None:
        reason = "closed"
    elif standing.breaker != "closed":
        reason = "open"
    else:
        return False
    refusal = standing.refusal
    told = {} if refusal is None else fields(refusal, cause_of(refusal))
    log.warning("first_call.held_back", reason=reason, **told)
    return True


def _say(found: Diagnosis) -> None:
    """Write what came of the call: an error where somebody has to do something."""
    if found.outcome == "accepted":
        log.info("iron.accepted", api_version=found.api_version or None)
        if found.cause:
            log.warning("iron.version_differs", api_version=found.api_version, **fields(None, found.cause))
    elif found.outcome == "away":
        log.warning("iron.away", code=found.code, status=found.status)
    else:
        event = "iron.unreachable" if found.outcome == "unreachable" else "iron.refused"
        log.error(event, code=found.code, **fields(found.status, found.cause))
