"""`POST /v1/onboardings`: the door for jobs over HTTP. Contract, sections 3 and 6."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ops.gateway.api import idempotency, shapes
from ops.gateway.api.batching import Submissions
from ops.gateway.api.openapi import body_of
from ops.gateway.api.validation import checked_job
from ops.gateway.http import json_body
from ops.gateway.http.access import Guard, refusals
from ops.gateway.http.body_limits import read_body
from ops.gateway.http.fast_routes import straight
from ops.gateway.http.path_keys import address_of
from ops.gateway.http.problems import ProblemError
from ops.gateway.http.request_log import note
from pipelines.job import Job
from pipelines.view import read_view
from workers.intake.submit import FrontDoor, Submitted
from workers.ledger import New
from workers.secrets.links import CustomerLinks


def routes(door: FrontDoor, submissions: Submissions, links: CustomerLinks, check: Guard) -> APIRouter:
    """Make the route, which is guarded by `check`."""
    router = APIRouter(tags=["onboardings"], route_class=straight(check))

    @router.post(
        "/v1/onboardings",
        summary="Submit a job",
        status_code=202,
        openapi_extra=body_of(Job, header=idempotency.HEADER),
        responses={
            202: {"model": shapes.Onboarding, "description": "Accepted: the ledger has it."},
            200: {"model": shapes.Onboarding, "description": "This very job was accepted before; nothing changed."},
            **refusals(
                *json_body.REFUSALS,
                *idempotency.REFUSALS,
                *("invalid_job", "idempotency_key_reused", "external_id_taken", "not_durable"),
            ),
        },
    )
    async def submit(request: Request) -> JSONResponse:
        """Accept a job: one customer to be onboarded. The same job again answers with the record that exists.

        Its idempotency key is the header `Idempotency-Key` or the field. After an answer 503, or none at all, send the
        same again.
        """
        job = await _job(request, door)
        note(request, key=job.record.key)
        answer = await submissions.submit(job)
        note(request, outcome=answer.status)
        return _answered(answer, links)

    return router


async def _job(request: Request, door: FrontDoor) -> New:
    json_body.must_be_json(request)
    async with json_body.room_for(request):
        body = await read_body(request, json_body.LIMIT_BYTES)
        if len(body) > json_body.IN_A_THREAD_BYTES:
            return await asyncio.to_thread(_prepared, request, body, door)
        return _prepared(request, body, door)


def _prepared(request: Request, body: bytes, door: FrontDoor) -> New:
    job = checked_job(idempotency.named_once(request, json_body.parse_json(body)), door.judge)
    return door.prepared(job, request.state.caller.name)


def _answered(answer: Submitted, links: CustomerLinks) -> JSONResponse:
    """Tell what became of a job."""
    if answer.holder is not None:
        raise ProblemError("external_id_taken", answer.sentence, holder=answer.holder)
    if answer.record is None or not answer.accepted:
        raise ProblemError("idempotency_key_reused", answer.sentence)
    record, status = answer.record, 202 if answer.status == "created" else 200
    view = read_view(record, answer.due_ms, links.link_to(record.key, answer.link_serial))
    return JSONResponse(view, status, {"Location": address_of(record.key)})
