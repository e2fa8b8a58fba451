"""The header `Idempotency-Key`: a structured-field string as the IETF's draft has it, or the bare key.

Source: draft-ietf-httpapi-idempotency-key-header, RFC 8941 section 3.3.3. The draft's 409 while the first request is
in flight is never given: the ledger decides in one call, so that equal requests at the same moment have equal answers.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request

from ops.gateway.http.problems import ProblemError

HEADER = "Idempotency-Key"
#: The refusals of `named_once`, for a route's documentation.
REFUSALS = ("idempotency_key_malformed", "idempotency_key_mismatch", "idempotency_key_missing")

_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)" *(?:;[ -~]*)?')
_BARE = re.compile(r"[!#-~](?:[ -~]*[!-~])?")


def named_once(request: Request, job: Any) -> Any:
    """Give the job with its idempotency key, from the header or its own field. Raises ProblemError.

    What is no object is given back as it is: what is wrong with it is said by whoever checks the job.
    """
    from_header = header_key(request)
    if not isinstance(job, dict):
        return job
    in_job = job.get("idempotency_key")
    if from_header is None:
        if in_job is None:
            text = f"Send it as the header {HEADER}, or as the field idempotency_key of the job."
            raise ProblemError("idempotency_key_missing", text)
        return job
    if in_job != from_header and "idempotency_key" in job:
        raise ProblemError("idempotency_key_mismatch", "Send the same key in both places, or in one of them.")
    return {**job, "idempotency_key": from_header}


def header_key(request: Request) -> str | None:
    """Read the header; None: there is none. Raises ProblemError when it cannot be read."""
    values = request.headers.getlist(HEADER)
    if not values:
        return None
    [value, *others] = (one.strip() for one in values)
    quoted = _QUOTED.fullmatch(value)
    if not others and quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if not others and _BARE.fullmatch(value):
        return value
    text = f'Send one header {HEADER} of printable ASCII: "the-key" in quotes, or the-key without.'
    raise ProblemError("idempotency_key_malformed", text)
