"""What people do to an onboarding over HTTP: pass on consent, retry, correct, restart, cancel. Contract, section 6.

An act is stored at once, answered 202, and applied by a worker, so that it never collides with a step under way. The
history says whose token it was, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ops.gateway import contents, shapes
from ops.gateway.access import Who, refusals
from ops.gateway.checks import all_problems, checked, checked_job
from ops.gateway.contents import JsonBody
from ops.gateway.keys import Key
from ops.gateway.onboardings import Show, found
from ops.gateway.openapi import body_of
from ops.gateway.problems import ProblemError
from pipelines.acts import refusal
from pipelines.job import Job
from workers.consent import Consent, NotAskedError, record_consent
from workers.ledger import Ledger, Nudge
from workers.submit import ExternalIdTakenError, FrontDoor
from workers.vault import Vault

#: A consent may be dated so far ahead of our clock, which need not be the caller's.
CLOCKS_APART = timedelta(minutes=1)

_SUMMARIES = {
    "retry": "Try again what ended in a problem",
    "restart": "Begin a new identification, or take up a cancelled onboarding",
    "cancel": "End an onboarding here",
}
_DESCRIPTIONS = {
    "retry": "Try again once the cause is gone, such as a wrong API key. What Iron refused for its content needs"
    " `correct`.",
    "restart": "For a customer who was declined and may try again, or whose links expired. Never while an"
    " identification is under way.",
    "cancel": "Nothing is changed on Iron. `restart` takes it up again.",
}
_STORED: dict[int | str, dict[str, Any]] = {
    202: {"model": shapes.Onboarding, "description": "Stored; a worker applies it. The record as it is now."}
}
_REFUSALS = (*contents.REFUSALS, "onboarding_unknown", "act_refused", "not_durable")


def routes(ledger: Ledger, vault: Vault, door: FrontDoor, send: Callable[[Nudge], object], show: Show) -> APIRouter:
    """Make the routes. `send` puts a nudge on the queue, and does not wait for that."""
    router = APIRouter(tags=["acts"])

    def stored(key: str, nudge: Nudge | None, status: int = 202) -> JSONResponse:
        if nudge is not None:
            send(nudge)
        return JSONResponse(show(found(ledger, key)), status)

    def plain(name: str) -> Callable[..., JSONResponse]:
        def act(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
            reason = checked(shapes.Act, body).reason
            _refuse_useless(ledger, key, name)
            return stored(key, ledger.act(key, {"act": name, "by": caller.name, "reason": reason}))

        return act

    for name, summary in _SUMMARIES.items():
        router.add_api_route(
            f"/v1/onboardings/{{key}}/actions/{name}",
            plain(name),
            methods=["POST"],
            status_code=202,
            name=name,
            summary=summary,
            description=_DESCRIPTIONS[name],
            openapi_extra=body_of(shapes.Act),
            responses={**_STORED, **refusals(*_REFUSALS, "invalid_request")},
        )

    @router.post(
        "/v1/onboardings/{key}/actions/correct",
        summary="Replace the input with corrected one",
        status_code=202,
        openapi_extra=body_of(shapes.Correction),
        responses={**_STORED, **refusals(*_REFUSALS, "invalid_job", "external_id_taken")},
    )
    def correct(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
        """Send again what Iron refused, and bring Iron's e-mail and external id of a customer who exists up to it."""
        reason, job = _correction(key, body)
        _refuse_useless(ledger, key, "correct")
        try:
            return stored(key, door.correct(job, by=caller.name, reason=reason))
        except ExternalIdTakenError as error:
            raise ProblemError("external_id_taken", str(error), holder=error.holder) from None

    @router.post(
        "/v1/onboardings/{key}/signings",
        summary="Pass on the customer's consent",
        status_code=202,
        openapi_extra=body_of(shapes.Consent),
        responses={
            **_STORED,
            200: {"model": shapes.Onboarding, "description": "All of it was recorded before; nothing changed."},
            **refusals(*_REFUSALS, "invalid_request"),
        },
    )
    def sign(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
        """Record the consent to documents; a worker submits the signatures to Iron."""
        given = checked(shapes.Consent, body)
        consent = Consent(given.signed_by, _signed_at(given.signed_at), given.evidence)
        record = found(ledger, key).record
        try:
            recorded = record_consent(ledger, vault, record, given.documents, consent, by=caller.name)
        except NotAskedError as error:
            raise ProblemError("act_refused", str(error)) from None
        return stored(key, recorded.nudge, 202 if recorded.fresh else 200)

    return router


def _refuse_useless(ledger: Ledger, key: str, name: str) -> None:
    if why := refusal(found(ledger, key).record, name):
        raise ProblemError("act_refused", f"{why} Nothing was changed.")


def _correction(key: str, body: Any) -> tuple[str, Job]:
    """Read a correction: its reason and the job, with every problem of both at once."""
    if not isinstance(body, dict):
        checked(shapes.Correction, body)
    head = {name: value for name, value in body.items() if name != "job"}
    job = body.get("job")
    errors = all_problems(("", lambda: checked(shapes.Act, head)), ("/job", lambda: checked_job(job)))
    if isinstance(job, dict) and job.get("idempotency_key", key) != key:
        text = "A correction keeps the key of the onboarding: write that of the address."
        errors.append({"pointer": "/job/idempotency_key", "code": "another_key", "text": text})
    if errors:
        raise ProblemError("invalid_job", errors=errors)
    return checked(shapes.Act, head).reason, checked_job(job)


def _signed_at(text: str | None) -> datetime:
    """Read when consent was given."""
    now = datetime.now(UTC)
    if text is None:
        return now
    at = datetime.fromisoformat(text[:19] + "+00:00")
    if at > now + CLOCKS_APART:
        sentence = "This is in the future: consent can only be recorded after it was given."
        raise ProblemError(
            "invalid_request", errors=[{"pointer": "/signed_at", "code": "in_the_future", "text": sentence}]
        )
    return at
