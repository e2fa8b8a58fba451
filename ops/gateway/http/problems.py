"""Refusals as RFC 9457 `application/problem+json`, each with a stable `code`: the one table of all of them.

A code is a promise (contract section 6): add, never rename. `detail` is a sentence for the person who reads it; it
never repeats what the caller sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import redis
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from workers.ledger import NotDurableError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

#: code -> status and title. The status is the code's: the same code never comes with another one.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "bad_request": (400, "The request is malformed."),
    "cursor_malformed": (400, "The cursor is invalid or belongs to other filters."),
    "idempotency_key_malformed": (400, "The header Idempotency-Key is malformed."),
    "idempotency_key_mismatch": (400, "The header and the job name different idempotency keys."),
    "idempotency_key_missing": (400, "The job has no idempotency key."),
    "not_json": (400, "The body is not JSON."),
    "signature_missing": (401, "The delivery is not signed."),
    "signature_wrong": (401, "The signature does not match the body."),
    "timestamp_malformed": (401, "The timestamp is not a number of seconds."),
    "timestamp_stale": (401, "The delivery was signed too long ago."),
    "timestamp_future": (401, "The delivery was signed in the future."),
    "token_missing": (401, "The request has no API token."),
    "token_unknown": (401, "The API token is invalid."),
    "role_insufficient": (403, "This token's role is not allowed to do this."),
    "import_of_another": (403, "Only the sender can read this import's refused rows."),
    "import_unknown": (404, "There is no import with this name."),
    "not_found": (404, "No such address."),
    "onboarding_unknown": (404, "There is no customer with this key."),
    "method_not_allowed": (405, "Method not allowed here."),
    "body_too_slow": (408, "The body did not arrive in time."),
    "act_refused": (409, "This action is not possible in the current status."),
    "external_id_taken": (409, "Another customer has this external ID."),
    "import_cancelled": (409, "The import with this name is cancelled."),
    "import_name_taken": (409, "This name is used by an import of another file. Choose another name."),
    "input_lost": (409, "The customer's stored details can no longer be read."),
    "events_gone": (410, "Events after this cursor have been deleted."),
    "body_too_large": (413, "The body is too large."),
    "body_encoded": (415, "The body is compressed."),
    "media_type_unsupported": (415, "Unsupported content type."),
    "idempotency_key_reused": (422, "This key already belongs to a different job. Nothing was changed."),
    "invalid_file": (422, "The file cannot be imported."),
    "invalid_job": (422, "The job has mistakes."),
    "invalid_request": (422, "The request has mistakes."),
    "too_many_attempts": (429, "Too many requests with wrong tokens."),
    "too_many_searches": (429, "Too many searches by e-mail address."),
    "unexpected": (500, "Internal error. Report the request_id; nothing is known to be changed."),
    "api_tokens_missing": (503, "No API tokens are configured."),
    "imports_busy": (503, "Too many imports are loading. Try again later."),
    "ledger_away": (503, "The database is not reachable."),
    "not_durable": (503, "Stored, but not confirmed on disk."),
    "not_ready": (503, "The gateway is not ready."),
    "webhook_secret_missing": (503, "Webhooks cannot be verified."),
    "no_temporary_space": (507, "The gateway has no room for the file."),
}

#: What the framework itself refuses with, by status.
_OF_STATUS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class ProblemError(Exception):
    """A refusal. Raise it anywhere below a route."""

    def __init__(
        self, code: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        """`members` are further members of the body, by name."""
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def answer(request: Request, problem: ProblemError) -> JSONResponse:
    """Write a refusal; its code goes into the request's line as well."""
    status, title = PROBLEMS[problem.code]
    line = request.scope.get("state", {}).get("line", {})
    line["code"] = problem.code
    body: dict[str, Any] = {
        "type": f"urn:onboarding:problem:{problem.code}",
        "title": title,
        "status": status,
        "code": problem.code,
        **({"detail": problem.detail} if problem.detail else {}),
        **problem.members,
        "request_id": line.get("request_id"),
    }
    return JSONResponse(body, status, problem.headers, MEDIA_TYPE)


#: How long to wait before the ledger is asked again, in seconds: it is away for a restart, or for long.
_RETRY_AFTER_S = 5


def install(app: FastAPI) -> None:
    """Make every refusal a problem: ours, the framework's, and what Redis raises below a route."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        return answer(request, error if isinstance(error, ProblemError) else ProblemError("unexpected"))

    async def refused_by_framework(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.BAD_REQUEST
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(app, request.scope["path"])) or headers.get("Allow", "")
        return answer(request, ProblemError(_OF_STATUS.get(status, "bad_request"), headers=headers))

    async def refused_parameters(request: Request, error: Exception) -> JSONResponse:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        return answer(request, ProblemError("invalid_request", errors=[_parameter(one) for one in found]))

    async def ledger_away(request: Request, error: Exception) -> JSONResponse:
        log.warning("ledger.away", error=type(error).__name__)
        headers = {"Retry-After": str(_RETRY_AFTER_S)}
        if isinstance(error, NotDurableError):
            text = "Send the same request again. It is safe to repeat."
            return answer(request, ProblemError("not_durable", text, headers=headers))
        return answer(request, ProblemError("ledger_away", "Retry after the seconds in Retry-After.", headers=headers))

    app.add_exception_handler(ProblemError, refused)
    app.add_exception_handler(RequestValidationError, refused_parameters)
    app.add_exception_handler(redis.RedisError, ledger_away)
    app.add_exception_handler(HTTPException, refused_by_framework)


def _methods(app: FastAPI, path: str) -> list[str]:
    """Name the methods that an address takes; the framework names those of one of its routes only."""
    paths: Mapping[str, Mapping[str, Any]] = app.openapi()["paths"]
    found = {
        method.upper()
        for template, methods in paths.items()
        for method in methods
        if compile_path(template)[0].match(path)
    }
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _parameter(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a parameter, without what was sent."""
    place, *path = (str(step) for step in found["loc"])
    pointer = "".join(f"/{step}" for step in (place, *path))
    if found["type"] == "missing":
        return {"pointer": pointer, "code": "missing", "text": "Required."}
    return {"pointer": pointer, "code": "invalid", "text": f"{found['msg'].rstrip('.')}."}


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe for OpenAPI the refusals that a route may answer with."""
    statuses = sorted({PROBLEMS[code][0] for code in codes})
    return {
        status: {
            "description": " ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes if PROBLEMS[code][0] == status),
            "content": {
                MEDIA_TYPE: {
                    "schema": SCHEMA,
                    "examples": {
                        code: {
                            "value": {
                                "type": f"urn:onboarding:problem:{code}",
                                "title": PROBLEMS[code][1],
                                "status": status,
                                "code": code,
                                "request_id": "5f0c6e2f9b5d4f0c8a3e1d2c4b5a6978",
                            }
                        }
                        for code in codes
                        if PROBLEMS[code][0] == status
                    },
                }
            },
        }
        for status in statuses
    }


#: The shape of every refusal.
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Everything that is wrong, not only the first mistake.",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "text"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into what was sent."},
                    "code": {"type": "string"},
                    "text": {"type": "string"},
                },
            },
        },
    },
}
