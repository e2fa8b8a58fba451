"""Lists of onboardings: `GET /v1/onboardings` page by page, and `POST /v1/find`. Contract, section 6."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from ops.gateway.api import paging, shapes
from ops.gateway.api.onboardings import Show
from ops.gateway.api.openapi import body_of
from ops.gateway.api.validation import checked
from ops.gateway.http import json_body
from ops.gateway.http.access import Who, refusals
from ops.gateway.http.json_body import JsonBody
from ops.gateway.http.problems import ProblemError
from ops.gateway.searches import Searches
from pipelines.lifecycle import Phase
from workers.ledger import Ledger, Listed
from workers.operate.search import Filters, page

OfPhase = Annotated[Phase | None, Query(alias="phase", description="Only those in this phase.")]
OfLabels = Annotated[
    list[str] | None,
    Query(alias="label", max_length=16, description="Only those with this label, as name=value; may be repeated."),
]
OfExternalId = Annotated[
    str | None, Query(alias="external_id", max_length=255, description="Only the one with this external id.")
]
OfImport = Annotated[str | None, Query(alias="import", max_length=64, description="Only those of this import.")]


def routes(ledger: Ledger, searches: Searches, show: Show) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["onboardings"])

    @router.get(
        "/v1/onboardings",
        summary="List onboardings",
        responses={200: {"model": shapes.Onboardings}, **refusals("cursor_malformed", "invalid_request")},
    )
    def listed(
        phase: OfPhase = None,
        labels: OfLabels = None,
        external_id: OfExternalId = None,
        import_name: OfImport = None,
        limit: paging.Limit = paging.PAGE,
        cursor: paging.Cursor = None,
    ) -> JSONResponse:
        """List those longest in their phase first; those of an import in the order of its rows.

        Whoever is there all the time is listed, whatever moves while the pages are read; one that changes its phase
        meanwhile comes again, as it is then. A page may be short, or empty, while there is a `next_cursor`.
        """
        filters = Filters(phase, _pairs(labels or ()), external_id, import_name)
        asked = [phase, filters.labels, external_id, import_name]
        found = page(ledger, filters, _place(paging.place_of(cursor, asked)), limit)
        return _answered(map(show, found.reads), paging.cursor_of(found.following, asked) if found.following else None)

    @router.post(
        "/v1/find",
        summary="Find onboardings",
        openapi_extra=body_of(shapes.Search),
        responses={
            200: {"model": shapes.Onboardings},
            **refusals(*json_body.REFUSALS, "invalid_request", "too_many_searches"),
        },
    )
    def search(caller: Who, body: JsonBody) -> JSONResponse:
        """Find by idempotency key, external id, e-mail address or Iron's customer id.

        By e-mail address the roles operator, compliance and admin find, 60 times a minute with one token.
        What is looked for may be personal, so it stands in the body and in no address.
        """
        return _answered(map(show, searches.find(caller, checked(shapes.Search, body).text)), None)

    return router


def _pairs(labels: Iterable[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for place, label in enumerate(labels):
        name, sign, value = label.partition("=")
        if not sign or not name:
            error = {"pointer": f"/query/label/{place}", "code": "invalid", "text": "Write a label as name=value."}
            raise ProblemError("invalid_request", errors=[error])
        pairs.append((name, value))
    return tuple(sorted(set(pairs)))


def _place(place: Any) -> Listed | None:
    match place:
        case None:
            return None
        case [at, str(key)]:
            return Listed(paging.number(at), key)
        case _:
            raise paging.malformed()


def _answered(views: Iterable[dict[str, Any]], cursor: str | None) -> JSONResponse:
    return JSONResponse({"onboardings": list(views), "next_cursor": cursor})
