"""What is the case for a customer who opens the link: one pure function from the record to one of a few situations.

Every phase has its situation, whatever else is the case. What a customer may do is decided where all acts are
decided, in pipelines/acts.py; here it only becomes a button.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.acts import refusal
from pipelines.lifecycle import Actor, Phase
from pipelines.model import Record
from workers.ledger import Read

Name = Literal[
    "identify", "step_up", "preparing", "delayed", "review", "expired", "expired_for_good", "declined",
    "declined_final", "signings", "finishing", "active", "suspended", "closed", "revoked", "unknown", "away",
]  # fmt: skip

#: A new link that is due within this time is on its way, in milliseconds; the page waits for it.
SOON_MS = 60_000

#: Phases in which nothing else matters.
_PLAIN: dict[Phase, Name] = {
    Phase.IDENTIFICATION_PENDING: "review",  # without a link there is nothing for the customer to do
    Phase.STEP_UP_REQUIRED: "review",
    Phase.IN_REVIEW: "review",
    Phase.ACTIVE: "active",
    Phase.SUSPENDED: "suspended",
    Phase.ARCHIVED: "closed",
    Phase.CANCELLED: "closed",
    Phase.FAILED: "delayed",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a page says and offers."""

    name: Name
    #: What the button does: open the hosted page, or ask for a new round. None: there is no button.
    button: Literal["open", "renew"] | None = None
    #: It changes by itself within seconds, so the page looks again.
    changing: bool = False
    #: The hosted page. It is a secret: it stands in no page, only in the redirection to it.
    link: str | None = None
    #: Iron's codes and labels of what it wants, or why it declined.
    reasons: tuple[str, ...] = ()
    #: Names of the documents to be signed.
    documents: tuple[str, ...] = ()


def situation(read: Read) -> Situation:
    """Return the situation of the customer."""
    record = read.record
    match record.phase:
        case Phase.RECEIVED | Phase.CUSTOMER_CREATED:
            stuck = record.adopted or record.waiting_on() is Actor.OPERATOR
            found = Situation("delayed") if stuck else Situation("preparing", changing=True)
        case Phase.IDENTIFICATION_PENDING | Phase.STEP_UP_REQUIRED if record.link:
            name: Name = "identify" if record.phase is Phase.IDENTIFICATION_PENDING else "step_up"
            found = Situation(name, "open", link=record.link, reasons=_reasons(record))
        case Phase.EXPIRED | Phase.DECLINED | Phase.ON_HOLD:
            found = _over(read)
        case Phase.SIGNINGS_REQUIRED:
            found = _signings(record)
        case phase:
            found = Situation(_PLAIN[phase])
    return found


def _over(read: Read) -> Situation:
    """Return the situation when an identification came to nothing: another is on its way, can be had, or cannot."""
    record, phase = read.record, read.record.phase
    looking = phase is Phase.DECLINED and record.step == "explain_decline"  # whether there may be another round
    soon = phase is Phase.EXPIRED and read.due_ms is not None and read.due_ms - read.now_ms < SOON_MS
    by_itself = soon and not record.adopted and (record.problem is None or not record.problem.operator)
    if record.restart or read.acts_waiting or looking or by_itself:
        return Situation("preparing", changing=True)
    renewable = refusal(record, "renew") is None
    if phase is Phase.DECLINED:
        name: Name = "declined" if renewable else "declined_final"
        return Situation(name, "renew", reasons=_reasons(record)) if renewable else Situation(name)
    if renewable:
        return Situation("expired", "renew")
    return Situation("expired_for_good" if phase is Phase.EXPIRED else "delayed")


def _reasons(record: Record) -> tuple[str, ...]:
    """Return what it is about, by Iron's codes and labels."""
    return (*record.reasons, *record.reject_labels)


def _signings(record: Record) -> Situation:
    if record.waiting_on() is Actor.CUSTOMER:
        wanted = (signing for signing in record.signings if not signing.signed_ms and not signing.consented_ms)
        return Situation("signings", documents=tuple(signing.display_name for signing in wanted))
    return Situation("finishing", changing=record.waiting_on() is not Actor.OPERATOR)
