"""The steps of an onboarding, in the order of the story.

A step is a function of the record, Iron and the attempt; its name is also the actor's, the log field's, the metric
label's and the test id's. It returns a value saying what is now true and raises only when it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pipelines.attempt import Attempt
from pipelines.errors import ConflictError, RequestRefusedError
from pipelines.iron import Customer, Document, Identification, Iron
from pipelines.lifecycle import CustomerStatus
from pipelines.model import Done, Outcome, Record, Refused, Signing, Wait

Step = Callable[[Record, Iron, Attempt], Outcome]


def create_customer(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Create the customer on Iron, or adopt the one that has our external id."""
    fields = attempt.job()["customer"]
    body = {name: value for name, value in fields.items() if value is not None} | {"external_id": record.external_id}
    try:
        customer = attempt.perform(
            record,
            (record.external_id,),
            call=lambda key: iron.create_customer(body, key),
            look=lambda: iron.customer_by_external_id(record.external_id),
        )
    except RequestRefusedError as error:
        return _refused(error, "Iron refuses the customer's details")
    return Done(
        {
            "customer_id": customer.id,
            "customer_status": customer.status,
            "none_yet": customer.identification_ids == (),
        }
    )


def create_identification(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Begin the identification that follows the newest one we know of, or adopt one that somebody else began."""
    customer_id = _customer_id(record)
    follows = record.identification_id
    body = attempt.job()["identification"]

    def look() -> Identification | None:
        newest = _newest(_not_older(record, iron.identifications(customer_id)))
        return newest if newest and newest.id != follows else None

    try:
        identification = attempt.perform(
            record,
            (customer_id, follows or ""),
            call=lambda key: iron.create_identification(customer_id, body, key),
            look=look,
            none_yet=record.none_yet and follows is None,
        )
    except RequestRefusedError as error:
        return _refused(error, "Iron refuses the identification's details")
    status = CustomerStatus.IDENTIFICATION_REQUIRED.value
    return Done(_identified(record, identification, attempt) | {"customer_status": status, "was_active": False})


def refresh(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Read the customer and, while identification is what matters, the newest identification."""
    customer = iron.customer(_customer_id(record))
    changes: dict[str, Any] = {"customer_status": customer.status}
    if customer.status == CustomerStatus.IDENTIFICATION_REQUIRED:
        newest = _newest(_not_older(record, iron.identifications(customer.id)))
        if newest:
            changes |= _identified(record, newest, attempt)
    else:
        changes |= {"link": None}
    if customer.status in (CustomerStatus.ACTIVE, CustomerStatus.SIGNINGS_REQUIRED):
        changes |= {"was_active": True}
    if customer.status != CustomerStatus.SIGNINGS_REQUIRED:
        kept = (signing for signing in record.signings if signing.signed_ms or signing.consented_ms)
        changes |= {"signings": tuple(kept)}
    return Done(changes)


def fetch_required_signings(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Read which documents the customer must sign now.

    Done with the documents; Wait while Iron still moves the customer.
    """
    try:
        documents = iron.required_signings(_customer_id(record))
    except ConflictError:
        return Wait("Iron has nothing to sign yet, or no longer")
    if not documents:
        return Wait("Iron lists no document to sign")
    return Done({"signings": _required(record, documents, attempt)})


def submit_signings(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Submit one signature the customer has consented to; the list that Iron shows is the truth."""
    customer_id = _customer_id(record)
    try:
        documents = iron.required_signings(customer_id)
    except ConflictError:
        return Wait("Iron has nothing to sign yet, or no longer")
    signings = _required(record, documents, attempt)
    due = _in_hand(signings, attempt)
    if due is None:
        return Done({"signings": signings})
    try:
        attempt.perform(
            record,
            (customer_id, due.id, str(due.occasion)),
            call=lambda key: iron.create_signing(customer_id, due.id, key),
            look=lambda: None,  # the list above is the look: what it shows is not signed yet
        )
    except RequestRefusedError as error:
        return _refused(error, "Iron refuses the signature")
    signed = replace(due, signed_ms=attempt.now_ms())
    return Done({"signings": tuple(signed if signing is due else signing for signing in signings)})


#: Every step by its name. Adding one touches this file and its tests.
STEPS: MappingProxyType[str, Step] = MappingProxyType(
    {
        step.__name__: step
        for step in (create_customer, create_identification, refresh, fetch_required_signings, submit_signings)
    }
)

#: Calls to Iron that a step makes at most, by class of the budget.
CALLS: MappingProxyType[str, MappingProxyType[str, int]] = MappingProxyType(
    {
        "create_customer": MappingProxyType({"call": 2}),
        "create_identification": MappingProxyType({"call": 2, "identification": 1}),
        "refresh": MappingProxyType({"call": 2}),
        "fetch_required_signings": MappingProxyType({"call": 1}),
        "submit_signings": MappingProxyType({"call": 2}),
    }
)

#: Steps that change something on Iron.
HAS_EFFECT = frozenset({"create_customer", "create_identification", "submit_signings"})

#: Steps that send the stored input.
SENDS_INPUT = frozenset({"create_customer", "create_identification"})


def _customer_id(record: Record) -> str:
    if record.customer_id is None:
        message = f"{record.step} needs a customer on Iron"
        raise ValueError(message)
    return record.customer_id


def _refused(error: RequestRefusedError, what: str) -> Refused:
    return Refused(error.code, f"{what} (HTTP {error.status}). Correct them and try again.")


def _newest(identifications: list[Identification]) -> Identification | None:
    return identifications[-1] if identifications else None


def _not_older(record: Record, identifications: list[Identification]) -> list[Identification]:
    """Leave out a list that does not yet show the identification we know: Iron's look-ups lag behind."""
    known = record.identification_id
    if known is None or any(item.id == known for item in identifications):
        return identifications
    return []


def _identified(record: Record, newest: Identification, attempt: Attempt) -> dict[str, Any]:
    """Say what the newest identification makes true."""
    changes: dict[str, Any] = {
        "identification_id": newest.id,
        "identification_status": newest.status,
        "link": newest.url,
        "may_retry": newest.may_retry,
        "none_yet": False,
    }
    if newest.id != record.identification_id:
        changes |= {"round": record.round + 1, "round_ms": attempt.now_ms()}
    if newest.status == "Approved":
        changes |= {"was_active": True}
    return changes


def _required(record: Record, documents: list[Document], attempt: Attempt) -> tuple[Signing, ...]:
    """Bring our list of signings up to Iron's: new ones are added, replaced ones dropped, signed ones kept.

    A document that is required although it was signed, and the settle time has passed since, is a new occasion: the
    customer is asked again. Source: design section 5, race o.
    """
    now_ms = attempt.now_ms()
    known = {signing.id: signing for signing in record.signings}
    signings = []
    for document in documents:
        signing = known.pop(document.id, Signing(document.id))
        if signing.signed_ms is not None and now_ms - signing.signed_ms >= attempt.policy.settle_s * 1000:
            signing = Signing(document.id, occasion=signing.occasion + 1)
        signings.append(replace(signing, display_name=document.display_name, url=document.url))
    gone = [_gone(signing, attempt) for signing in known.values()]
    return (*signings, *(signing for signing in gone if signing.signed_ms is not None))


def _in_hand(signings: tuple[Signing, ...], attempt: Attempt) -> Signing | None:
    """Choose the signature to submit: the one whose call is in doubt before any other."""
    agreed = [signing for signing in signings if signing.consented_ms and not signing.signed_ms]
    return min(agreed, key=lambda signing: not _in_doubt(signing, attempt), default=None)


def _in_doubt(signing: Signing, attempt: Attempt) -> bool:
    """Say whether an earlier attempt may have submitted this signature."""
    effect = attempt.effect
    return effect is not None and effect.step == "submit_signings" and effect.subject[1:2] in ((), (signing.id,))


def _gone(signing: Signing, attempt: Attempt) -> Signing:
    """Judge a document that Iron requires no longer: signed by the call in doubt, or replaced meanwhile."""
    ours = signing.consented_ms is not None and _in_doubt(signing, attempt)
    return replace(signing, signed_ms=attempt.now_ms()) if ours and signing.signed_ms is None else signing
