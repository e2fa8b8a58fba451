"""One onboarding over HTTP: where it stands, its history, its personal data. Contract, sections 4 and 6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ops.gateway.api import paging, shapes
from ops.gateway.http.access import Who, refusals
from ops.gateway.http.path_keys import Key
from ops.gateway.http.problems import ProblemError
from pipelines.errors import InputLostError
from pipelines.reasons import iron_says
from pipelines.times import timestamp
from pipelines.view import read_view
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, Read
from workers.secrets.links import CustomerLinks

#: Shows a record as everybody reads it.
Show = Callable[[Read], dict[str, Any]]


def routes(ledger: Ledger, door: FrontDoor, show: Show) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["onboardings"])

    @router.get(
        "/v1/onboardings/{key}",
        summary="Read an onboarding",
        responses={200: {"model": shapes.Onboarding}, **refusals("onboarding_unknown")},
    )
    def read(key: Key) -> JSONResponse:
        """Say where the customer stands, who must act, what is needed, and what happens next."""
        return JSONResponse(show(found(ledger, key)))

    @router.get(
        "/v1/onboardings/{key}/history",
        summary="Read its history",
        responses={
            200: {"model": shapes.History},
            **refusals("onboarding_unknown", "cursor_malformed", "invalid_request"),
        },
    )
    def history(key: Key, limit: paging.Limit = paging.PAGE, cursor: paging.Cursor = None) -> JSONResponse:
        """Tell what happened, oldest first; each entry is chained to the one before by its digest."""
        found(ledger, key)
        first = paging.number(paging.place_of(cursor, key) or 0)
        entries = ledger.history(key, first, limit + 1)
        following = paging.cursor_of(first + limit, key) if len(entries) > limit else None
        told = [{"at": timestamp(entry["at_ms"]), **entry} for entry in entries[:limit]]
        return JSONResponse({"history": told, "next_cursor": following})

    @router.get(
        "/v1/onboardings/{key}/personal",
        summary="Read what is stored about the customer",
        responses={200: {"model": shapes.Personal}, **refusals("onboarding_unknown", "input_lost", "not_durable")},
    )
    def personal(key: Key, caller: Who) -> JSONResponse:
        """Open the personal data, and what Iron says in its own words; who read them goes into the history first."""
        try:
            opened = door.personal(key, by=caller.name)
        except KeyError:
            raise _unknown() from None
        except InputLostError as error:
            raise ProblemError("input_lost", str(error)) from None
        said = iron_says(found(ledger, key).record, opened)
        answer = {"idempotency_key": key, "personal": opened, "iron_says": said}
        return JSONResponse(answer)

    return router


def showing(links: CustomerLinks) -> Show:
    """Make what shows a record as everybody reads it."""
    return lambda read: read_view(read.record, read.due_ms, links.link(read))


def found(ledger: Ledger, key: str) -> Read:
    """Read a record. Raises ProblemError when there is none."""
    if (read := ledger.read(key)) is None:
        raise _unknown()
    return read


def _unknown() -> ProblemError:
    return ProblemError("onboarding_unknown", "Check the key, or submit the job first.")
