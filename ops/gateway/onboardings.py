"""Onboardings over HTTP: hand one in, read one or many. Contract, section 6."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ops.gateway.access import refusals
from ops.gateway.keys import Key
from ops.gateway.problems import ProblemError
from pipelines.view import read_view
from workers.ledger import Ledger, Read
from workers.links import CustomerLinks


def routes(ledger: Ledger, links: CustomerLinks) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["onboardings"])

    @router.get("/v1/onboardings/{key}", summary="Read an onboarding", responses=refusals("onboarding_unknown"))
    def read(key: Key) -> JSONResponse:
        """Say where the customer stands, who must act, what is needed, and what happens next."""
        return JSONResponse(shown(found(ledger, key), links))

    return router


def found(ledger: Ledger, key: str) -> Read:
    """Read a record. Raises ProblemError when there is none."""
    if (read := ledger.read(key)) is None:
        raise ProblemError("onboarding_unknown", "Check the key, or hand in the job first.")
    return read


def shown(read: Read, links: CustomerLinks) -> dict[str, Any]:
    """Show a record as everybody reads it."""
    return read_view(read.record, read.due_ms, links.link(read))
