"""The whole at a glance: counts and oldest of each phase, lanes, budget, sweep, deliveries. Contract, sections 5 and 6.

`onboarding summary --json`, `GET /v1/summary` and the console show this one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.view import timestamp
from workers import reidentify
from workers.endpoints import Endpoints
from workers.ledger import Ledger
from workers.refused import Refusals


def summarised(ledger: Ledger, queued: Mapping[str, int]) -> dict[str, Any]:
    """Give the counts; `queued` is how many nudges are in the queue of each lane."""
    phases = ledger.phases()
    return {
        "total": sum(count for count, _ in phases.values()),
        "phases": {
            phase.value: {"count": count, "oldest_since": timestamp(oldest)}
            for phase, (count, oldest) in phases.items()
        },
        "lanes": {lane: {**counts, "queued": queued[lane]} for lane, counts in ledger.lanes().items()},
        "budget": {
            "rate_per_second": ledger.budget.rate_per_second,
            "identifications_per_minute": ledger.budget.identifications_per_minute,
        },
        "sweep": _sweep(ledger),
        "endpoints": _endpoints(ledger),
        "refused": Refusals(ledger).count(),
        "reidentification": reidentify.summarised(ledger),
    }


def _sweep(ledger: Ledger) -> dict[str, Any]:
    """Tell of the last sweep, and whether one is under way."""
    state = ledger.sweep_state()
    finished = state.get("finished")
    counts = {name: int(state[f"last_{name}"]) for name in ("read", "differ", "unknown")} if finished else {}
    return {"running": "place" in state, "finished_at": timestamp(int(finished)) if finished else None, **counts}


def _endpoints(ledger: Ledger) -> dict[str, int]:
    """Count the endpoints by state, and the onboardings whose events one of them refuses."""
    standings = Endpoints(ledger).all()
    states = [standing.progress.state for standing in standings]
    counts = {state: states.count(state) for state in ("active", "failing", "paused")}
    return {"total": len(states), **counts, "parked": sum(len(standing.parked) for standing in standings)}
