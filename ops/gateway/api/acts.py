"""What people do to a customer over HTTP: retry, correct, restart, cancel, reidentify, archive. Contract, section 6.

An act is stored at once, answered 202, and applied by a worker, so that it never collides with a step under way. The
history says whose token it was, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ops.gateway.api import shapes
from ops.gateway.api.onboardings import Show, found
from ops.gateway.api.openapi import body_of
from ops.gateway.api.validation import all_problems, checked, checked_job
from ops.gateway.http import json_body
from ops.gateway.http.access import Who, refusals
from ops.gateway.http.json_body import JobBody, JsonBody
from ops.gateway.http.path_keys import Key
from ops.gateway.http.problems import ProblemError
from pipelines.acts import refusal
from pipelines.job import Job, Judge
from pipelines.keys import composed
from workers.intake.submit import ExternalIdTakenError, FrontDoor
from workers.ledger import Ledger, Nudge
from workers.reidentification.policy_store import in_force
from workers.reidentification.runs import ask

_SUMMARIES = {
    "retry": "Try again what ended in a problem",
    "restart": "Begin a new identification, or take up a cancelled onboarding",
    "cancel": "End an onboarding here",
    "revoke-links": "Make the customer's links void",
}
_DESCRIPTIONS = {
    "retry": "Try again once the cause is gone, such as a wrong API key. Details that Iron rejected need"
    " `correct` instead.",
    "restart": "For a customer who was declined and may try again, or whose links expired. Never while an"
    " identification is under way.",
    "cancel": "Nothing is changed on Iron. `restart` takes it up again.",
    "revoke-links": "Every `customer_link` so far stops working at once; the answer has the new one.",
}
_STORED: dict[int | str, dict[str, Any]] = {
    202: {"model": shapes.Onboarding, "description": "Stored; a worker applies it. The record as it is now."}
}
_REFUSALS = (*json_body.REFUSALS, "onboarding_unknown", "act_refused", "not_durable")


def routes(ledger: Ledger, door: FrontDoor, send: Callable[[Nudge], object], show: Show) -> APIRouter:
    """Make the routes. `send` puts a nudge on the queue, and does not wait for that."""
    router = APIRouter(tags=["acts"])

    def stored(key: str, nudge: Nudge | None, status: int = 202) -> JSONResponse:
        if nudge is not None:
            send(nudge)
        return JSONResponse(show(found(ledger, key)), status)

    def plain(name: str) -> Callable[..., JSONResponse]:
        def act(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
            why = {"by": caller.name, "reason": checked(shapes.Act, body).reason}
            _refuse_useless(ledger, key, name.replace("-", "_"))
            nudge = ledger.revoke_links(key, why) if name == "revoke-links" else ledger.act(key, {"act": name, **why})
            return stored(key, nudge)

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
        "/v1/onboardings/{key}/actions/reidentify",
        summary="Identify an active customer again",
        status_code=202,
        openapi_extra=body_of(shapes.Act),
        responses={**_STORED, **refusals(*_REFUSALS, "invalid_request")},
    )
    def reidentify(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
        """Ask for a new identification; it starts when the policy's quiet hours and its cap a day allow.

        It takes the customer offline until it is done. Whoever is in the day's run already is answered the same.
        """
        reason = checked(shapes.Act, body).reason
        found(ledger, key)
        run = f"hand-{in_force(ledger).policy.hours.day(ledger.now_ms())}"
        if refused := ask(ledger, [key], run=run, by=caller.name, reason=reason).refused:
            raise ProblemError("act_refused", f"{refused[0][1]} Nothing was changed.")
        return stored(key, None)

    _add_archive(router, ledger, stored)

    @router.post(
        "/v1/onboardings/{key}/actions/correct",
        summary="Replace the input with corrected one",
        status_code=202,
        openapi_extra=body_of(shapes.Correction),
        responses={**_STORED, **refusals(*_REFUSALS, "invalid_job", "external_id_taken")},
    )
    def correct(key: Key, caller: Who, body: JobBody) -> JSONResponse:
        """Send again what Iron refused, and bring Iron's e-mail and external id of a customer who exists up to it."""
        why, job = _correction(key, body, door.judge)
        _refuse_useless(ledger, key, "correct", restart=why.restart)
        try:
            return stored(key, door.correct(job, by=caller.name, reason=why.reason, restart=why.restart))
        except ExternalIdTakenError as error:
            raise ProblemError("external_id_taken", str(error), holder=error.holder) from None

    return router


def _add_archive(router: APIRouter, ledger: Ledger, stored: Callable[..., JSONResponse]) -> None:
    @router.post(
        "/v1/onboardings/{key}/actions/archive",
        summary="Archive at Iron, for good",
        status_code=202,
        openapi_extra=body_of(shapes.Archiving),
        responses={**_STORED, **refusals(*_REFUSALS, "invalid_request")},
    )
    def archive(key: Key, caller: Who, body: JsonBody) -> JSONResponse:
        """Archive the customer, with all identifications, or the newest identification alone. Nobody can undo it."""
        asked = checked(shapes.Archiving, body)
        if asked.confirm != key:
            text = "This is not the key of the address. Nothing was changed."
            raise ProblemError("invalid_request", errors=[{"pointer": "/confirm", "code": "another_key", "text": text}])
        name = "archive" if asked.what == "customer" else "archive_identification"
        _refuse_useless(ledger, key, name)
        return stored(key, ledger.act(key, {"act": name, "by": caller.name, "reason": asked.reason}))


def _refuse_useless(ledger: Ledger, key: str, name: str, *, restart: bool = False) -> None:
    """Refuse an act that makes no sense now; `restart`: a restart comes with it."""
    record = found(ledger, key).record
    if why := refusal(record, name) or (refusal(record, "restart") if restart else None):
        raise ProblemError("act_refused", f"{why} Nothing was changed.")


def _correction(key: str, body: Any, judge: Judge) -> tuple[shapes.Correcting, Job]:
    """Read a correction: why it is made and the job, with every problem of both at once."""
    if not isinstance(body, dict):
        checked(shapes.Correction, body)
    head = {name: value for name, value in body.items() if name != "job"}
    job = body.get("job")
    errors = all_problems(("", lambda: checked(shapes.Correcting, head)), ("/job", lambda: checked_job(job, judge)))
    named = job.get("idempotency_key", key) if isinstance(job, dict) else key
    if not isinstance(named, str) or composed(named) != key:
        text = "A correction keeps the key of the onboarding: write that of the address."
        errors.append({"pointer": "/job/idempotency_key", "code": "another_key", "text": text})
    if errors:
        raise ProblemError("invalid_job", errors=errors)
    return checked(shapes.Correcting, head), checked_job(job, judge)
