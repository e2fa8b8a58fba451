"""What a customer and the identifications make true of a record when read. Pure except for the reads of Iron."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from pipelines.attempt import Attempt
from pipelines.errors import InputLostError, IronError, RateLimitedError
from pipelines.iron import BEFORE_ALL, Customer, Identification, Iron
from pipelines.lifecycle import IN_FLIGHT, CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Again, Done, Outcome, Record, Wait
from pipelines.reasons import OF_IDENTIFICATION
from pipelines.signing import signed

#: Statuses after which another identification may follow.
OVER = frozenset({"Declined", "Expired", "Archived"})
#: Statuses of an identification that this release knows.
KNOWN_STATUSES = frozenset(IdentificationStatus)
#: Statuses of an identification that the customer has done something with: the next one begins a new row of rounds.
_USED = frozenset({"Processed", "PendingReview", "Approved", "Declined"})
#: Updates of a corrected customer sent before we leave it to an operator: Iron may write an e-mail differently.
MAX_UPDATES = 3


def after_reading(record: Record, customer: Customer, iron: Iron, attempt: Attempt) -> Outcome:
    """Return what a customer who was just read makes true; one more call where the newest identification matters."""
    changes: dict[str, Any] = {"customer_status": customer.status, "update": _differs(record, customer, attempt)}
    keep: dict[str, Any] = {}
    if customer.status == CustomerStatus.ACTIVE and _just_begun(record, attempt):
        return Wait("Iron does not show the new identification with the customer yet")
    if customer.status == CustomerStatus.IDENTIFICATION_REQUIRED:
        listed = None if _says_enough(record, customer) else _list_of(customer, iron) or []
        if listed is not None and _may_be_begun(record, listed, attempt):
            return Wait("Iron does not show yet whether our new identification has begun", "create_identification")
        found, keep = _identification_now(record, customer, listed, attempt)
        changes |= found
    else:
        changes |= _identification_then(record, customer, iron, attempt)
        changes |= {"link": None, "reasons": (), "reject_labels": ()}
    if customer.status in (CustomerStatus.ACTIVE, CustomerStatus.SIGNINGS_REQUIRED):
        changes |= {"restart": False}
    # Some customers sign before they are identified: only an approval tells that they were. Iron's facts, section 2.
    if customer.status == CustomerStatus.ACTIVE:
        changes |= {"was_active": True}
    if customer.status == CustomerStatus.ACTIVE:  # then all that was agreed to is signed, also where an answer was lost
        signings = tuple(map(partial(signed, now_ms=attempt.now_ms()), record.signings))
        changes |= {"signings": signings, "rounds_asked": 0}
    elif customer.status != CustomerStatus.SIGNINGS_REQUIRED:
        kept = (signing for signing in record.signings if signing.signed_ms or signing.consented_ms)
        changes |= {"signings": tuple(kept)}
    return Done(changes, keep=keep)


def _identification_now(
    record: Record, customer: Customer, listed: list[Identification] | None, attempt: Attempt
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a customer who is to be identified makes true of the newest identification, and what of it to keep.

    `listed`: the identifications that Iron lists; None: the customer says enough.
    """
    if listed is None:
        return _told_by(customer.identification_status), {}
    newest = newest_of(not_older(record, listed))
    if newest is None:  # the list lags behind, or is odd: there is the customer's own word, if it is of this one
        same = record.identification_id in (None, *(customer.identification_ids or ()))
        return _told_by(customer.identification_status) if same else {}, {}
    changes = identified(record, newest, attempt) | _begun(record, newest, attempt)
    changes["identifications"] = len(listed)
    keep = said_of(record, newest)
    return changes, keep | ({"identification": None} if record.identification_id is None else {})


def _may_be_begun(record: Record, listed: list[Identification], attempt: Attempt) -> bool:
    """Return whether an active customer is to be identified by our own call, whose effect the list may not show yet."""
    effect, newest = attempt.effect, newest_of(not_older(record, listed))
    called = effect is not None and effect.step == "create_identification" and effect.in_doubt
    if record.phase is not Phase.ACTIVE or not called:
        return False
    return newest is None or (newest.id == record.identification_id and newest.url is None)


def said_of(record: Record, newest: Identification) -> dict[str, Any]:
    """Return what reviewers wrote, by the part of the input that keeps it; what was said of another one goes."""
    if (newest.id, newest.status) == (record.identification_id, record.identification_status):
        return {}
    given = {"review_comment": newest.review_comment, "step_comments": dict(newest.comments)}
    gone = OF_IDENTIFICATION if record.identification_id not in (None, newest.id) else ()
    return dict.fromkeys(gone) | {name: text for name, text in given.items() if text}


def _list_of(customer: Customer, iron: Iron) -> list[Identification] | None:
    """Read a customer's identifications; None for an answer that is no list, where the customer tells their state."""
    try:
        return iron.identifications(customer.id)
    except IronError as error:
        if error.weather or isinstance(error, RateLimitedError) or customer.identification_status is None:
            raise
        return None


def _says_enough(record: Record, customer: Customer) -> bool:
    """Return whether a customer's own word on the newest identification is enough to know the phase.

    It names no link, no reason and no date, and not which identification it means. So it is enough only where that is
    the one we know, in a first identification, and where none of these matters: while Iron reviews, and when it has
    just approved. Source: ops/docs/decisions/0017.
    """
    status, ids = customer.identification_status, customer.identification_ids
    if record.was_active or record.restart or ids is None or record.identification_id not in ids:
        return False
    if len(ids) != max(record.identifications, 1):
        return False
    if status == IdentificationStatus.APPROVED:  # with a link it is a step-up: only the list tells
        return record.identification_status != IdentificationStatus.APPROVED
    return status in (IdentificationStatus.PROCESSED, IdentificationStatus.PENDING_REVIEW)


def _told_by(status: str | None) -> dict[str, Any]:
    """Return what a customer's own word on the newest identification makes true."""
    if status is None:
        return {}
    changes: dict[str, Any] = {"identification_status": status, "none_yet": False}
    if status == IdentificationStatus.APPROVED:
        changes |= {"was_active": True, "link": None}
    return changes


def _identification_then(record: Record, customer: Customer, iron: Iron, attempt: Attempt) -> dict[str, Any]:
    """Return what a customer past identification makes true of it; for the first date of an active one, read it."""
    active = customer.status == CustomerStatus.ACTIVE
    if active and record.identified_ms is None:
        listed = _list_of(customer, iron)
        changes = {} if listed is None else known_since(record, listed, attempt) | {"identifications": len(listed)}
        changes |= _told_by(customer.identification_status)
    else:
        changes = _told_by(customer.identification_status)
    shown = changes.get("identification_status", record.identification_status)
    if active and shown in IN_FLIGHT:  # a list that lags behind says so, or the customer's own word
        changes["identification_status"] = IdentificationStatus.APPROVED.value  # or Iron would not have them active
    return changes


def _just_begun(record: Record, attempt: Attempt) -> bool:
    """Return whether Iron may show a customer as active only because its look-ups lag behind our new identification."""
    if record.phase is not Phase.IDENTIFICATION_PENDING or record.again is None or record.again.begun_ms is None:
        return False
    return attempt.now_ms() - record.again.begun_ms < attempt.policy.settle_s * 1000


def _differs(record: Record, customer: Customer, attempt: Attempt) -> bool:
    """Return whether Iron shows another e-mail or external id than the corrected input.

    A late PUT may bring an old one back, so each refresh compares. Source: design section 5, race e.
    """
    if record.revision == 0 or record.updates >= MAX_UPDATES:
        return False
    try:
        wanted = attempt.input()["email"]
    except InputLostError:  # the onboarding ended long ago; what was to be told is still to be told
        return record.update
    other_email = customer.email is not None and customer.email.casefold() != wanted.casefold()
    return other_email or customer.external_id not in (None, record.external_id)


def identified(record: Record, newest: Identification, attempt: Attempt) -> dict[str, Any]:
    """Return what the newest identification makes true."""
    same = (newest.id, newest.status) == (record.identification_id, record.identification_status)
    changes: dict[str, Any] = {
        "identification_id": newest.id,
        "identification_status": newest.status,
        "link": newest.url,
        "may_retry": newest.may_retry and (record.may_retry or not same),
        "none_yet": False,
        "identified_ms": _began_ms(record, newest, attempt),
    }
    if newest.id != record.identification_id:
        in_a_row = 1 if record.identification_status in _USED else record.round + 1
        changes |= {"round": in_a_row, "round_ms": attempt.now_ms(), "reasons": (), "reject_labels": ()}
        if knows_newest(record):  # a new round that was asked for has begun, whoever tells us so
            changes |= {"restart": False}
    if newest.status == "Approved":
        changes |= {"was_active": True}
    return changes


def knows_newest(record: Record) -> bool:
    """Return whether the record knows which identification is the newest: one that was adopted does not at first."""
    return record.identification_id is not None or record.identification_status is None


def _began_ms(record: Record, newest: Identification, attempt: Attempt) -> int:
    """Return when an identification began: as Iron says it, else when we first saw it."""
    if newest.created_at != BEFORE_ALL:
        return int(newest.created_at.timestamp() * 1000)
    same = newest.id == record.identification_id and record.identified_ms is not None
    return record.identified_ms or 0 if same else attempt.now_ms()


def known_since(record: Record, identifications: list[Identification], attempt: Attempt) -> dict[str, Any]:
    """Return what an active customer's identifications make true; without any, count from when we first knew them."""
    newest = newest_of(identifications)
    if newest is None:
        return {"identified_ms": record.identified_ms or record.created_ms}
    changes = identified(record, newest, attempt)
    return changes | {"link": None}


def _begun(record: Record, newest: Identification, attempt: Attempt) -> dict[str, Any]:
    """Take a new identification as the one that was to begin: then it is no step-up, also where an answer was lost."""
    effect, again = attempt.effect, record.again or Again()
    called = effect is not None and effect.step == "create_identification" and effect.in_doubt
    if newest.id == record.identification_id or record.phase is not Phase.ACTIVE or not (called or again.starting):
        return {}
    return {"was_active": False, "again": replace(again, day="", begun_ms=attempt.now_ms())}


def not_older(record: Record, identifications: list[Identification]) -> list[Identification]:
    """Leave out a list that does not yet show the identification we know: Iron's look-ups lag behind."""
    known = record.identification_id
    if known is None or any(item.id == known for item in identifications):
        return identifications
    return []


def newest_of(identifications: list[Identification]) -> Identification | None:
    """Return the last of a list in Iron's order, or None."""
    return identifications[-1] if identifications else None


def id_at_iron(record: Record) -> str:
    """Return the customer's id at Iron. Raises ValueError where a step came before there was one: a defect."""
    if record.customer_id is None:
        message = f"{record.step} needs a customer on Iron"
        raise ValueError(message)
    return record.customer_id
