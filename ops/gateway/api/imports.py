"""Imports over HTTP: send a file, follow it, fetch what was refused, pause, resume. Contract, sections 6 and 7."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from ops.gateway.api import shapes
from ops.gateway.api.openapi import body_of
from ops.gateway.api.uploads import Uploads
from ops.gateway.api.validation import checked
from ops.gateway.http import json_body
from ops.gateway.http.access import Caller, Who, refusals
from ops.gateway.http.json_body import JsonBody
from ops.gateway.http.problems import ProblemError
from ops.gateway.http.request_log import note
from pipelines.errors import InputLostError
from pipelines.intake import Lane
from workers.imports.imports import Imports, NoSuchImportError
from workers.secrets.tokens import Role

_NAMED = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$"
Name = Annotated[str, Path(description="Name of the import.", pattern=_NAMED)]
NewName = Annotated[str, Query(alias="name", description="Name of the import; one name, one file.", pattern=_NAMED)]
OfLane = Annotated[Lane, Query(alias="lane", description="Lane of jobs that name none.")]
OddIds = Annotated[
    bool,
    Query(
        alias="allow_odd_ids", description="Take ids that look like a mistake, such as NULL or 1.23E+05, as they are."
    ),
]

#: Media type of a file -> how the name of such a file ends.
_KINDS = {"text/csv": ".csv", "application/jsonl": ".jsonl", "application/x-ndjson": ".jsonl"}
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "CSV with a header row, or JSONL: a job in each line.",
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "idempotency_key,email,customer_type,name\nk-1,ada@example.com,Person,Ada Example\n",
            },
            "application/jsonl": {
                "schema": {"type": "string"},
                "example": '{"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "a@b.com"}}\n',
            },
        },
    }
}
_ONE: dict[int | str, dict[str, Any]] = {200: {"model": shapes.ImportState}}
_REPORT: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in ("text/csv", "application/jsonl")}
_ACTS = {"pause": "Begin nothing more of an import", "resume": "Let a paused import go on"}


def routes(imports: Imports, uploads: Uploads) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["imports"])

    @router.post(
        "/v1/imports",
        summary="Send a file of jobs",
        status_code=202,
        openapi_extra=_FILE,
        responses={
            202: {"model": shapes.ImportState, "description": "Its first rows are in the ledger; the rest follows."},
            **refusals(
                *("media_type_unsupported", "body_encoded", "body_too_large", "body_too_slow", "invalid_file"),
                *("invalid_request", "import_name_taken", "import_cancelled", "imports_busy", "no_temporary_space"),
            ),
        },
    )
    async def send(
        request: Request, name: NewName, caller: Who, lane: OfLane = "bulk", odd_ids: OddIds = False
    ) -> JSONResponse:
        """Load a file. The same file again under its name goes on after an interruption, or changes nothing."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _KINDS:
            text = "Send CSV with the header `Content-Type: text/csv`, or JSONL with `application/jsonl`."
            raise ProblemError("media_type_unsupported", text)
        await uploads.take(request, name, lane, _KINDS[kind], caller.name, odd_ids=odd_ids)
        shown = await asyncio.to_thread(_shown, imports, name)
        return JSONResponse(shown, 202, {"Location": f"/v1/imports/{name}"})

    @router.get("/v1/imports", summary="List imports", responses={200: {"model": shapes.Imports}, **refusals()})
    def listed() -> JSONResponse:
        """Show all imports, the newest first."""
        return JSONResponse({"imports": [one.as_json() for one in imports.all()]})

    @router.get(
        "/v1/imports/{name}",
        summary="Read an import",
        responses={**_ONE, **refusals("import_unknown", "invalid_request")},
    )
    def read(name: Name) -> JSONResponse:
        """Say how far an import is, what became of its rows, and when it will be through, as far as that is known."""
        return JSONResponse(_shown(imports, name))

    @router.get(
        "/v1/imports/{name}/report",
        summary="Fetch the refused rows",
        response_class=StreamingResponse,
        responses={
            200: {"description": "The refused rows as they came, with what is wrong with each.", "content": _REPORT},
            **refusals("import_unknown", "import_of_another", "input_lost", "invalid_request"),
        },
    )
    def report(name: Name, caller: Who, request: Request) -> StreamingResponse:
        """Give the rows that were refused, in the form in which they came, to be corrected and sent again.

        Empty: none was, or it has expired.

        They are personal data: a submitter gets those that it sent itself.
        """
        _may_read(imports, name, caller)
        note(request, outcome="read")
        parts = imports.report(name)
        try:
            first = next(parts, "")
        except InputLostError as error:
            raise ProblemError("input_lost", str(error)) from None
        kind, ending = ("application/jsonl", "jsonl") if first.startswith("{") else ("text/csv", "csv")
        disposition = f'attachment; filename="{name}-report.{ending}"'
        headers = {"Content-Disposition": disposition}
        return StreamingResponse(_all(first, parts), media_type=kind, headers=headers)

    for act, summary in _ACTS.items():
        router.add_api_route(
            f"/v1/imports/{{name}}/actions/{act}",
            _act(imports, act),
            methods=["POST"],
            name=act,
            summary=summary,
            openapi_extra=body_of(shapes.Act),
            responses={**_ONE, **refusals(*json_body.REFUSALS, "import_unknown", "invalid_request")},
        )

    return router


def _act(imports: Imports, act: str) -> Any:
    def route(name: Name, caller: Who, body: JsonBody) -> JSONResponse:
        """Stop or go on with what is not begun; what is begun goes on to its end."""
        reason = checked(shapes.Act, body).reason
        try:
            if act == "pause":
                imports.pause(name, by=caller.name, reason=reason)
            else:
                imports.resume(name)
        except NoSuchImportError:
            raise _unknown() from None
        return JSONResponse(_shown(imports, name))

    return route


def _shown(imports: Imports, name: str) -> dict[str, Any]:
    try:
        return imports.get(name).as_json()
    except NoSuchImportError:
        raise _unknown() from None


def _may_read(imports: Imports, name: str, caller: Caller) -> None:
    """Let a submitter have only what it sent itself. Raises ProblemError."""
    if _shown(imports, name)["by"] != caller.name and caller.role is Role.SUBMITTER:
        raise ProblemError("import_of_another", "Another token sent this file. Its rows are personal data.")


def _unknown() -> ProblemError:
    return ProblemError("import_unknown", "Check the name; `GET /v1/imports` lists all.")


def _all(first: str, parts: Iterator[str]) -> Iterator[str]:
    yield first
    yield from parts
