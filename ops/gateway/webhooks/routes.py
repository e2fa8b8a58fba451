"""`POST /webhooks/iron`: verified on the raw bytes, stored as a wake-up, answered before any work. Source: iron-api 6.

A delivery is a hint to read the customer again and nothing more: one that is doubled, late or out of order is harmless,
so none is remembered. Bodies, signatures and secrets are neither logged nor repeated in an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from ops.gateway.http.body_limits import BODY_WITHIN_S, read_body
from ops.gateway.http.problems import ProblemError, documented
from ops.gateway.http.request_log import note
from ops.gateway.webhooks.envelope import NotJsonError, read_envelope
from ops.gateway.webhooks.wakeups import LedgerAwayError, WakeUps
from workers.secrets.signature import Verdict, verify

#: Iron's webhooks are below 1 KB; this leaves room for what they may grow to.
LIMIT_BYTES = 256 * 1024

_UNVERIFIABLE = (
    "IRON_WEBHOOK_SECRET is not set, so webhooks cannot be verified."
    " Set it to the secret that Iron's dashboard shows for this webhook, and restart the gateway."
)
_AWAY = "Nothing was stored. Send the delivery again; until then the customer is read at the next due time."
_REFUSALS = (
    *("not_json", "signature_missing", "signature_wrong", "timestamp_malformed", "timestamp_stale"),
    *("timestamp_future", "body_encoded", "body_too_slow", "body_too_large", "ledger_away", "webhook_secret_missing"),
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a delivery is measured by. Without secrets the endpoint is off."""

    secrets: Sequence[str]
    #: A delivery may have been signed this many seconds before or after now.
    tolerance_s: float
    clock: Callable[[], float] = time.time
    body_within_s: float = BODY_WITHIN_S


def routes(verification: Verification, wakeups: WakeUps) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/iron",
        summary="Iron's webhooks",
        response_class=Response,
        responses={200: {"description": "Stored; nothing more is needed."}, **documented(*_REFUSALS)},
    )
    async def iron(request: Request) -> Response:
        """Verify a delivery and wake the customer it names."""
        if not verification.secrets:
            raise ProblemError("webhook_secret_missing", _UNVERIFIABLE)
        body = await read_body(request, LIMIT_BYTES, verification.body_within_s)
        _refuse_unless_genuine(request, body, verification)
        await _take(request, body, wakeups)
        return Response()

    return router


def _refuse_unless_genuine(request: Request, body: bytes, verification: Verification) -> None:
    verdict = verify(
        request.headers.get("webhook-timestamp"),
        request.headers.getlist("webhook-signature"),
        body,
        secrets=verification.secrets,
        now_s=verification.clock(),
        tolerance_s=verification.tolerance_s,
    )
    if verdict is not Verdict.GENUINE:
        raise ProblemError(verdict.value)


async def _take(request: Request, body: bytes, wakeups: WakeUps) -> None:
    """Do what a genuine delivery asks for, and note what that was.

    What Iron has signed and we cannot use is accepted all the same: Iron repeats whatever is not answered 2xx and shows
    the hook as failing, and no repetition would make it any better. Only what is not JSON at all is refused.
    """
    try:
        envelope = read_envelope(body)
    except NotJsonError:
        raise ProblemError("not_json") from None
    note(request, type=envelope.type, outcome=envelope.meaning, reason=envelope.reason)
    if envelope.customer_id is None:
        return
    try:
        nudged = await wakeups.wake(envelope.customer_id, envelope.hint)
    except LedgerAwayError as error:
        note(request, outcome="refused", error=str(error))
        raise ProblemError("ledger_away", _AWAY, headers={"Retry-After": "5"}) from None
    # Without a nudge the record is in hand or not known yet, so that the wake is kept; or it shows that status already.
    note(request, outcome="woken" if nudged else "kept")
