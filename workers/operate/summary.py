"""The whole at a glance: counts and oldest of each phase, lanes, budget, sweep, deliveries. Contract, sections 5 and 6.

`onboarding summary --json`, `GET /v1/summary` and the console show this one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.iron import CALL, IDENTIFICATION
from pipelines.times import timestamp
from workers.budget.gate import BudgetStatus, Gate
from workers.engine.inventory import Inventory
from workers.events.endpoints import Endpoints
from workers.intake.rejections import Refusals
from workers.ledger import Ledger, Lists
from workers.ledger.limits import Budget
from workers.reconcile.cursor import SweepCursor
from workers.reidentification import policy_store
from workers.stages import ages

#: Places with messages that do not move that are named, those with most first.
MOST_PLACES = 50


def summarised(ledger: Ledger, queued: Mapping[str, int], lying: Inventory) -> dict[str, Any]:
    """Return the counts; `queued` is how many nudges are in the queue of each lane, `lying` what is in the broker."""
    phases, standing = Lists(ledger).phases(), Gate(ledger).standing()
    return {
        "total": sum(count for count, _ in phases.values()),
        "phases": {
            phase.value: {"count": count, "oldest_since": timestamp(oldest)}
            for phase, (count, oldest) in phases.items()
        },
        "lanes": {lane: {**counts, "queued": queued[lane]} for lane, counts in Lists(ledger).lanes().items()},
        "budget": _budget(ledger.budget, standing),
        "breaker": standing.breaker,
        "refusal": standing.refusal,
        "paused": {
            lane: {"by": pause.by, "at": timestamp(pause.at_ms), "reason": pause.reason}
            for lane, pause in standing.paused.items()
        },
        "sweep": _sweep(ledger),
        "endpoints": _endpoints(ledger),
        "refused": Refusals(ledger).count(),
        "messages": _messages(lying),
        "reidentification": policy_store.summarised(ledger),
        "stages": ages.summarised(ledger),
    }


def _budget(budget: Budget, standing: BudgetStatus) -> dict[str, Any]:
    """Return the ceilings set here, what is used of them now, and until when Iron wants no call."""
    per_second, per_minute = budget.rate_per_second, budget.identifications_per_minute
    closed_ms = standing.closed_until_ms
    return {
        "rate_per_second": per_second,
        "identifications_per_minute": per_minute,
        "rate_per_second_now": round(per_second * standing.parts[CALL], 3),
        "identifications_per_minute_now": round(per_minute * standing.parts[IDENTIFICATION], 3),
        "closed_until": None if closed_ms is None else timestamp(closed_ms),
    }


def _sweep(ledger: Ledger) -> dict[str, Any]:
    """Return what the last sweep found, and whether one is under way."""
    state = SweepCursor(ledger).sweep_state()
    finished = state.get("finished")
    counts = {name: int(state[f"last_{name}"]) for name in ("read", "differ", "unknown")} if finished else {}
    return {"running": "place" in state, "finished_at": timestamp(int(finished)) if finished else None, **counts}


def _messages(lying: Inventory) -> dict[str, Any]:
    """Return the messages that wait for their time, and what does not move, by queue and place."""
    stuck = [
        {"queue": one.queue, "place": one.place, "count": one.count, "oldest_age_s": seconds(one.age_ms)}
        for one in lying.stuck()[:MOST_PLACES]
    ]
    return {"delayed": lying.delayed(), "stuck": stuck, "partial": lying.partial}


def seconds(ms: float | None) -> float | None:
    """Return a length of time in seconds, where there is one."""
    return None if ms is None else round(ms / 1000, 1)


def _endpoints(ledger: Ledger) -> dict[str, int]:
    """Count the endpoints by state, and the onboardings whose events one of them refuses."""
    standings = Endpoints(ledger).all()
    states = [standing.progress.state for standing in standings]
    counts = {state: states.count(state) for state in ("active", "failing", "paused")}
    return {"total": len(states), **counts, "parked": sum(len(standing.parked) for standing in standings)}
