"""The steps of an onboarding, in the order of the story, and the table of them.

A step is a function of the record, Iron and the attempt; its name is also the actor's, the log field's, the metric
label's and the test id's. It returns a value saying what is now true and raises only when it does not know.

`STEPS` holds one row a step: everything else that is to be known of a step is in its row. Adding a step touches this
file and its tests; `tests/unit/test_step_rows.py` adds one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from pipelines.attempt import Attempt
from pipelines.errors import (
    AnswerUnreadableError,
    ArchiveRefusedError,
    ConflictError,
    NotFoundError,
    NothingDueError,
    OnboardingError,
    RequestRefusedError,
    StaleClaimError,
)
from pipelines.iron import IDENTIFICATION, Customer, Document, Identification, Iron, Requirements
from pipelines.keys import iron_id
from pipelines.lifecycle import CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Again, Done, Outcome, Partly, Record, Refused
from pipelines.reading import KNOWN_STATUSES, OVER, after_reading, id_at_iron, identified, newest_of, not_older, said_of
from pipelines.reidentify import may_begin_again, reidentify
from pipelines.signing import answered, in_doubt, in_hand, required, turn_to
from pipelines.step import Step, always, table

#: Calls to Iron that one run of a step makes at most: they must end within the step's limit. A look and an operation;
#: only signatures go on after that, while there is time, and a job for `iron-<id>` looks twice.
MOST_CALLS = 2
#: For how long one run of a step begins further signatures, in seconds: a third of the step's limit, so that the last
#: one has as long as any other call.
SIGNING_FOR_S = 20.0
#: Attempts to archive at Iron before a refusal is taken for its answer.
ARCHIVE_ATTEMPTS = 3
#: After this many reads of a customer who has documents to sign, their list is read as well: it may change.
LIST_EVERY = 4
#: Life of a Sumsub share token, in milliseconds. Source: iron-api 5.2, where the sample's is 600 s.
TOKEN_LIFE_MS = 600_000


def create_customer(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Create the customer on Iron, or adopt the one that has our external id."""
    fields = attempt.input()
    body = {name: value for name, value in fields.items() if value is not None} | {"external_id": record.external_id}
    before = attempt.effect
    customer = attempt.perform(
        record,
        (record.external_id,),
        call=lambda key: iron.create_customer(body, key),
        look=lambda: _existing(iron, record.external_id),
    )
    return Done(
        {
            "customer_id": customer.id,
            "customer_status": customer.status,
            "api_version": customer.api_version,
            # Only an answer that cannot be a replayed one says that there is no identification now.
            "none_yet": attempt.called and before is None and customer.identification_ids == (),
        }
    )


def _existing(iron: Iron, external_id: str) -> Customer | None:
    """Find the customer that a job means: one that Iron has without an external id goes by Iron's own id."""
    if (customer_id := iron_id(external_id)) is not None:
        with contextlib.suppress(NotFoundError):
            return iron.customer(customer_id)
    return iron.customer_by_external_id(external_id)


def create_identification(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Begin the identification that follows the newest one we know of, or adopt one that somebody else began."""
    customer_id = id_at_iron(record)
    follows = record.identification_id
    again = record.phase is Phase.ACTIVE
    if again and not may_begin_again(record, attempt):
        return Done({"again": replace(record.again or Again(), day="")}, "no start now; we check again")
    called = attempt.effect is not None and (attempt.effect.in_doubt or attempt.effect.strikes > 0)
    first = follows is None and (record.identification_type != "Link" or attempt.has_input)
    given = first or record.given
    if given and record.identification_type == "Token" and not called and _token_is_over(record, attempt):
        return Refused(
            "token_expired", "The Sumsub share token is older than 10 minutes. Correct the job with a fresh one."
        )
    body = _body(record, attempt, given=given)

    def look() -> Identification | None:
        newest = newest_of(not_older(record, iron.identifications(customer_id)))
        if newest and newest.id == follows and newest.status not in KNOWN_STATUSES:
            message = "Iron shows the previous identification with a status that this version does not know."
            raise AnswerUnreadableError(message)
        over = OVER | {IdentificationStatus.APPROVED} if again else OVER
        return newest if newest and (newest.id != follows or newest.status not in over) else None

    fresh = attempt.now_ms() - record.since_ms < attempt.policy.settle_s * 1000
    identification = attempt.perform(
        record,
        (customer_id, follows or ""),
        call=lambda key: iron.create_identification(customer_id, body, key),
        look=look,
        none_yet=record.none_yet and follows is None and fresh,
    )
    changes = identified(record, identification, attempt) | {"restart": False, "given": False}
    if again:
        changes |= {"again": replace(record.again or Again(), day="", begun_ms=attempt.now_ms())}
    if identification.id != follows:
        changes |= {"customer_status": CustomerStatus.IDENTIFICATION_REQUIRED.value, "was_active": False}
    keep = said_of(record, identification) | ({"identification": None} if given else {})
    return Done(changes, keep=keep)


def _body(record: Record, attempt: Attempt, *, given: bool) -> Mapping[str, Any]:
    """Return what goes to Iron: the job's own body, if there is one and it is of the job's kind, or a link."""
    body = attempt.input() if given else {}
    return body if body.get("type") == record.identification_type else {"type": "Link", "with_edd": record.with_edd}


def _needs_no_data(record: Record) -> bool:
    """Return whether the identification to begin is a link alone, for which nothing is stored."""
    return record.identification_type == "Link" or (record.identification_id is not None and not record.given)


def _token_is_over(record: Record, attempt: Attempt) -> bool:
    given_ms = record.created_ms if record.input_ms is None else record.input_ms
    return attempt.now_ms() - given_ms >= TOKEN_LIFE_MS


def refresh(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Read the customer and, where the customer does not say enough, the newest identification."""
    return after_reading(record, iron.customer(id_at_iron(record)), iron, attempt)


def update_customer(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Bring the e-mail and the external id on Iron up to the corrected input.

    A repetition changes nothing, so the call needs no key; the refresh that follows sees whether it took.
    """
    try:
        iron.update_customer(id_at_iron(record), email=attempt.input()["email"], external_id=record.external_id)
    except RequestRefusedError as error:
        error.of_effect = True
        return Partly({"updates": record.updates + (not error.concerns_caller)}, error)
    return Done({"update": False, "updates": record.updates + 1})


def archive_at_iron(record: Record, iron: Iron, attempt: Attempt) -> Outcome:  # noqa: ARG001 -- a step's signature
    """Archive the customer, or the newest identification, at Iron, as a person decided. It cannot be undone.

    A repetition changes nothing, so the call needs no key. What Iron does not archive in three attempts is given up.
    """
    try:
        if record.archive == "identification":
            iron.archive_identification(record.identification_id or "")
        else:
            iron.archive_customer(id_at_iron(record))
    except (RequestRefusedError, NotFoundError, ConflictError) as error:
        error.of_effect = True
        if error.concerns_caller or record.attempts + 1 < ARCHIVE_ATTEMPTS:
            raise
        return Partly({"archive": ""}, ArchiveRefusedError())
    what = "identification_status" if record.archive == "identification" else "customer_status"
    return Done({"archive": "", what: CustomerStatus.ARCHIVED.value}, f"archived the {record.archive} at Iron")


def handle_step_up(record: Record, iron: Iron, attempt: Attempt) -> Outcome:  # noqa: ARG001 -- a step's signature
    """Read what Iron wants of a customer who was approved before; never begin another identification."""
    return _explained(iron.requirements(id_at_iron(record)))


def explain_decline(record: Record, iron: Iron, attempt: Attempt) -> Outcome:  # noqa: ARG001 -- a step's signature
    """Read why Iron declined, and whether the customer may try again."""
    requirements = iron.requirements(id_at_iron(record))
    may_retry = record.may_retry and requirements.may_retry
    return _explained(requirements, may_retry=may_retry)


def _explained(requirements: Requirements, **changes: Any) -> Done:
    """Keep what Iron wants: codes and labels for everybody, all of it encrypted.

    Raises NothingDueError where it is nothing: the customer's status says that there is something.
    """
    if not requirements.open:
        message = "Iron says neither what is missing nor why it declined."
        raise NothingDueError(message)
    codes = {"reasons": requirements.codes, "reject_labels": requirements.labels, "reasons_read": True}
    said = [item.said() for item in requirements.open]
    return Done({**codes, **changes}, keep={"requirements": {"open": said} if said else None})


def fetch_required_signings(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Read which documents the customer must sign now."""
    return Done({"signings": required(record, _documents(record, iron), attempt)})


def _documents(record: Record, iron: Iron) -> list[Document]:
    """Read the documents. Raises NothingDueError where there are none: the customer's status asks for some."""
    documents = iron.required_signings(id_at_iron(record))
    if not documents:
        raise NothingDueError
    return documents


def submit_signings(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Submit the signatures that the customer has consented to, after one look; the list that Iron shows is the truth.

    One after the other, as long as there is time. Where one is refused or lost, those before it are told as signed. One
    that was refused comes last the next time: Iron may list what is signed already, and waits for the others.
    """
    customer_id, began_ms = id_at_iron(record), attempt.now_ms()
    signings = required(record, _documents(record, iron), attempt)
    doubtful = attempt.effect is not None and not answered(attempt.effect)
    while (due := in_hand(signings, attempt)) and attempt.now_ms() - began_ms < SIGNING_FOR_S * 1000:
        if doubtful and not in_doubt(due, attempt):
            break  # what people did had to wait for certainty: it comes before the next signature
        turn_to(due, attempt)
        try:
            attempt.perform(
                record,
                (customer_id, due.id, str(due.occasion)),
                call=partial(iron.create_signing, customer_id, due.id),
                look=lambda: None,  # the list above is the look: what it shows is not signed yet
                strikes=1,  # it carries no details, so that a refusal fails nobody: the customer is read instead
            )
        except StaleClaimError:
            raise
        except OnboardingError as error:
            return Partly({"signings": signings}, error)
        signed = replace(due, signed_ms=attempt.now_ms())
        signings = tuple(signed if signing is due else signing for signing in signings)
        if doubtful or (attempt.effect and attempt.effect.abandoned):
            break
        attempt.effect = None
    return Done({"signings": signings})


#: Every step by its name, one row each.
STEPS: MappingProxyType[str, Step] = table(
    Step(
        create_customer,
        "We create the customer at Iron",
        at_once_in=Phase.RECEIVED,
        part="customer",
        carries="the customer's details",
        doubtful_in=frozenset({Phase.RECEIVED}),
    ),
    Step(
        create_identification,
        "We create the identification",
        stands_in=frozenset({Phase.CUSTOMER_CREATED, Phase.EXPIRED, Phase.ACTIVE}),
        wanted=lambda record: record.restart,
        at_once_in=Phase.CUSTOMER_CREATED,
        part="identification",
        does_without=_needs_no_data,
        carries="the identification's details",
        secures=IDENTIFICATION,
        doubtful_in=frozenset({Phase.CUSTOMER_CREATED, Phase.EXPIRED, Phase.DECLINED, Phase.ON_HOLD}),
    ),
    Step(
        refresh,
        "We check again",
        stands_in=frozenset(Phase),
        part="customer",
        does_without=always,  # it compares with the input where there is some
        only_reads=True,
    ),
    Step(
        fetch_required_signings,
        "We read which documents to sign",
        stands_in=frozenset({Phase.SIGNINGS_REQUIRED}),
        only_reads=True,
    ),
    Step(
        submit_signings,
        "We submit the signatures the customer has agreed to",
        stands_in=frozenset({Phase.SIGNINGS_REQUIRED}),
        doubtful_in=frozenset({Phase.SIGNINGS_REQUIRED}),
    ),
    Step(
        update_customer,
        "We update the e-mail and external ID at Iron",
        wanted=lambda record: record.update,
        part="customer",
        carries="the corrected e-mail or external ID",
        changes_iron=True,
    ),
    Step(
        archive_at_iron,
        "We archive it at Iron, for good",
        wanted=lambda record: bool(record.archive),
        changes_iron=True,
    ),
    Step(
        handle_step_up,
        "We read what Iron asks for",
        stands_in=frozenset({Phase.STEP_UP_REQUIRED}),
        on_entering=Phase.STEP_UP_REQUIRED,
    ),
    Step(
        explain_decline,
        "We read why Iron declined",
        stands_in=frozenset({Phase.DECLINED}),
        on_entering=Phase.DECLINED,
    ),
    Step(
        reidentify,
        "We check whether re-identification is due",
        stands_in=frozenset({Phase.ACTIVE}),
        part="customer",
        does_without=always,
    ),
)
