"""The acts: each is confirmed on a page of its own that says what will happen, and stored as every other act.

A worker applies it, and the history says whose API token it was, and why. There is no act for consent: it is the
customer's, and the system that asks for it passes it on with its evidence (`POST /v1/onboardings/{key}/signings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from ops.gateway import pages
from ops.gateway.http.access import Caller
from ops.gateway.http.request_log import note
from ops.gateway.pages.console.desk import Desk, address_of, line_of
from ops.gateway.pages.console.page import Form, PageError, Present, must, rendered
from ops.gateway.pages.console.session import SignedIn
from ops.gateway.pages.console.words import ACTS, ENTER_A_REASON, Act
from pipelines import strict_json
from pipelines.acts import refusal
from pipelines.job import JobInvalidError
from pipelines.strict_json import StrictJsonError
from workers.intake.submit import ExternalIdTakenError
from workers.ledger import Nudge, Read

#: Longest reason, in characters.
LONGEST_REASON = 500


class _MistakesError(Exception):
    """What was entered cannot be taken; `mistakes` has a sentence for each."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__()
        self.mistakes = mistakes


def add(router: APIRouter, desk: Desk) -> None:
    """Add the pages."""

    @router.get("/console/act")
    def confirm(request: Request, present: Present, key: str, act: str) -> Response:
        chosen = _act(present.caller, act)
        return _confirmation(request, present, desk.read(key), act, chosen)

    @router.post("/console/act")
    def do(request: Request, present: Present, form: Form) -> Response:
        name, caller = form.get("act", ""), present.caller
        chosen = _act(caller, name)
        read = desk.read(form.get("key", ""))
        if refusal(read.record, name):
            return _confirmation(request, present, read, name, chosen)
        try:
            nudge = _stored(desk, read, name, chosen, caller.name, form)
        except _MistakesError as error:
            return _confirmation(request, present, read, name, chosen, form, error.mistakes)
        if nudge is not None:
            desk.send(nudge)
        note(request, key=read.record.key, outcome=name)
        return pages.see(f"{address_of(read.record.key)}&{urlencode({'done': name})}")


def _act(caller: Caller, name: str) -> Act:
    """Find an act that this role may do. Raises PageError."""
    act = ACTS.get(name)
    if act is None:
        raise PageError(404, "Unknown action", "Go back and choose one of the buttons.")
    must(caller, act.route)
    return act


def _stored(desk: Desk, read: Read, name: str, act: Act, by: str, form: Mapping[str, str]) -> Nudge | None:
    """Store an act. Raises _MistakesError, and then nothing is stored."""
    key, reason = read.record.key, form.get("reason", "").strip()
    if act.reason and not reason:
        raise _MistakesError(ENTER_A_REASON)
    if len(reason) > LONGEST_REASON:
        raise _MistakesError(f"The reason is too long: at most {LONGEST_REASON} characters.")
    if name == "revoke_links":
        return desk.ledger.revoke_links(key, {"by": by, "reason": reason})
    if name == "correct":
        return _corrected(desk, key, by, reason, form.get("job", ""))
    return desk.ledger.act(key, {"act": name, "by": by, "reason": reason})


def _corrected(desk: Desk, key: str, by: str, reason: str, text: str) -> Nudge | None:
    try:
        job = desk.door.judge(strict_json.parse(text))
    except JobInvalidError as error:
        raise _MistakesError(*(f"{one.pointer or '/'}: {one.text}" for one in error.problems)) from None
    except StrictJsonError as error:
        raise _MistakesError(f"The job {error.predicate}") from None
    if job.idempotency_key != key:
        raise _MistakesError("/idempotency_key: Keep this customer's key. To use another key, submit a new job.")
    try:
        return desk.door.correct(job, by=by, reason=reason)
    except ExternalIdTakenError as error:
        raise _MistakesError(str(error)) from None


def _confirmation(
    request: Request,
    present: SignedIn,
    read: Read,
    name: str,
    act: Act,
    form: Mapping[str, str] | None = None,
    mistakes: Sequence[str] = (),
) -> Response:
    """Show what an act will do, what is wrong with what was entered, or why it cannot be done now."""
    why_not = refusal(read.record, name)
    return rendered(
        request,
        "act.html",
        present,
        status=409 if why_not else 422 if mistakes else 200,
        record=line_of(read),
        act=act,
        to="/console/act",
        back=address_of(read.record.key),
        subject=read.record.key,
        fields={"key": read.record.key, "act": name},
        hint="Kept in the history for ever, with your name. No personal data.",
        why_not=why_not,
        mistakes=mistakes,
        reason=(form or {}).get("reason", ""),
        job=(form or {}).get("job", ""),
    )
