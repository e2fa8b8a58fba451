"""Refusals as RFC 9457 `application/problem+json`, each with a stable `code`: the one table of all of them.

A code is a promise (contract section 6): add, never rename. `detail` is a sentence for the person who reads it; it
never repeats what the caller sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"

#: code -> status and title. The status is the code's: the same code never comes with another one.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be read."),
    "not_json": (400, "The body is not JSON."),
    "signature_missing": (401, "The delivery is not signed."),
    "signature_wrong": (401, "The signature does not belong to this body."),
    "timestamp_malformed": (401, "The timestamp is not a number of seconds."),
    "timestamp_stale": (401, "The delivery was signed too long ago."),
    "timestamp_future": (401, "The delivery was signed in the future."),
    "not_found": (404, "There is nothing at this address."),
    "method_not_allowed": (405, "This address does not take this method."),
    "body_too_slow": (408, "The body did not arrive in time."),
    "body_too_large": (413, "The body is too large."),
    "unexpected": (500, "The program met something that it does not foresee."),
    "ledger_away": (503, "The ledger cannot be reached."),
    "not_ready": (503, "The gateway is not ready."),
    "webhook_secret_missing": (503, "Webhooks cannot be verified."),
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


def install(app: FastAPI) -> None:
    """Make every refusal a problem, the framework's own included."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        return answer(request, error if isinstance(error, ProblemError) else ProblemError("unexpected"))

    async def refused_by_framework(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.BAD_REQUEST
        headers = error.headers if isinstance(error, HTTPException) else None
        return answer(request, ProblemError(_OF_STATUS.get(status, "bad_request"), headers=headers))

    app.add_exception_handler(ProblemError, refused)
    app.add_exception_handler(HTTPException, refused_by_framework)


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
    },
}
