"""`GET /v1/summary`: the same value as `onboarding summary --json`."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ops.gateway.api import shapes
from ops.gateway.http.access import refusals
from workers.engine.broker import NudgeBroker
from workers.engine.inventory import look
from workers.ledger import Ledger
from workers.operate.summary import summarised


def routes(ledger: Ledger, broker: NudgeBroker) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["onboardings"])

    @router.get("/v1/summary", summary="Count everything", responses={200: {"model": shapes.Summary}, **refusals()})
    def summary() -> JSONResponse:
        """Return counts and oldest per phase, what waits in each lane, the budget, the last sweep."""
        return JSONResponse(summarised(ledger, broker.depths(), look(broker)))

    return router
