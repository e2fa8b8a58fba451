"""`POST /v1/onboardings/{key}/signings`: the customer's consent to documents. Contract, section 6."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ops.gateway.api import shapes
from ops.gateway.api.onboardings import Show, found
from ops.gateway.api.openapi import body_of
from ops.gateway.api.validation import checked
from ops.gateway.http import json_body
from ops.gateway.http.access import Who, refusals
from ops.gateway.http.json_body import JsonBody
from ops.gateway.http.path_keys import Key
from ops.gateway.http.problems import ProblemError
from pipelines import consent
from workers.intake.consent import NotAskedError, record_consent
from workers.ledger import Ledger, Nudge
from workers.secrets.vault import Vault


def routes(ledger: Ledger, vault: Vault, send: Callable[[Nudge], object], show: Show) -> APIRouter:
    """Make the route. `send` puts a nudge on the queue, and does not wait for that."""
    router = APIRouter(tags=["onboardings"])

    @router.post(
        "/v1/onboardings/{key}/signings",
        summary="Pass on the customer's consent",
        status_code=202,
        openapi_extra=body_of(consent.Consent),
        responses={
            202: {"model": shapes.Onboarding, "description": "Stored; a worker submits it. The record as it is now."},
            200: {"model": shapes.Onboarding, "description": "All of it was recorded before; nothing changed."},
            **refusals(*json_body.REFUSALS, "onboarding_unknown", "act_refused", "not_durable", "invalid_request"),
        },
    )
    def sign(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
        """Record the consent to documents; a worker submits the signatures to Iron."""
        given = checked(consent.Consent, body, ledger.told_ms)
        record = found(ledger, key).record
        try:
            recorded = record_consent(ledger, vault, record, given, by=caller.name)
        except NotAskedError as error:
            raise ProblemError("act_refused", str(error)) from None
        if recorded.nudge is not None:
            send(recorded.nudge)
        return JSONResponse(show(found(ledger, key)), 202 if recorded.fresh else 200)

    return router
