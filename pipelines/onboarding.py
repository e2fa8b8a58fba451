"""The steps of an onboarding, in the order of the story.

A step is a function of the record, Iron and the attempt; its name is also the actor's, the log field's, the metric
label's and the test id's. It returns a value saying what is now true and raises only when it does not know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from pipelines.attempt import ANY_SUBJECT, Ask, Attempt
from pipelines.errors import (
    AnswerUnreadableError,
    InputLostError,
    IronError,
    NotFoundError,
    NothingDueError,
    OnboardingError,
    RateLimitedError,
    RequestRefusedError,
    StaleClaimError,
)
from pipelines.iron import BEFORE_ALL, IDENTIFICATION, Customer, Document, Identification, Iron, Requirements
from pipelines.keys import iron_id
from pipelines.lifecycle import IN_FLIGHT, CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Again, Done, Effect, Outcome, Partly, Record, Refused, Signing, Wait
from pipelines.reasons import OF_IDENTIFICATION
from pipelines.reidentification import Doing, announced, announced_start, date_of, plan, turn_ms

Step = Callable[[Record, Iron, Attempt], Outcome]


def create_customer(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Create the customer on Iron, or adopt the one that has our external id."""
    fields = attempt.input()
    body = {name: value for name, value in fields.items() if value is not None} | {"external_id": record.external_id}
    before, made = attempt.effect, []

    def call(key: str) -> Customer:
        made.append(iron.create_customer(body, key))
        return made[0]

    customer = attempt.perform(
        record,
        (record.external_id,),
        call=call,
        look=lambda: _existing(iron, record.external_id),
    )
    return Done(
        {
            "customer_id": customer.id,
            "customer_status": customer.status,
            "api_version": customer.api_version,
            # Only an answer that cannot be a replayed one says that there is no identification now.
            "none_yet": bool(made) and before is None and customer.identification_ids == (),
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
    customer_id = _customer_id(record)
    follows = record.identification_id
    again = record.phase is Phase.ACTIVE
    if again and not _may_begin_again(record, attempt):
        return Done({"again": replace(record.again or Again(), day="")}, "no start now: look again")
    called = attempt.effect is not None and (attempt.effect.in_doubt or attempt.effect.strikes > 0)
    given = follows is None and (record.identification_type != "Link" or attempt.has_input)
    if given and record.identification_type == "Token" and not called and _token_is_over(record, attempt):
        return Refused(
            "token_expired", "The Sumsub share token is older than 10 minutes. Correct the job with a fresh one."
        )
    body = _body(record, attempt, given=given)

    def look() -> Identification | None:
        newest = _newest(_not_older(record, iron.identifications(customer_id)))
        if newest and newest.id == follows and newest.status not in KNOWN_STATUSES:
            message = "Iron shows the identification before with a status that this release does not know."
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
    changes = _identified(record, identification, attempt) | {"restart": False}
    if again:
        changes |= {"again": replace(record.again or Again(), day="", begun_ms=attempt.now_ms())}
    if identification.id != follows:
        changes |= {"customer_status": CustomerStatus.IDENTIFICATION_REQUIRED.value, "was_active": False}
    keep = _said_of(record, identification) | ({"identification": None} if given else {})
    return Done(changes, keep=keep)


def refresh(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Read the customer and, where the customer does not say enough, the newest identification."""
    return _seen(record, iron.customer(_customer_id(record)), iron, attempt)


def _seen(record: Record, customer: Customer, iron: Iron, attempt: Attempt) -> Outcome:
    """Say what a customer who was just read makes true; one more call where the newest identification matters."""
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
        signings = tuple(map(partial(_signed, now_ms=attempt.now_ms()), record.signings))
        changes |= {"signings": signings, "rounds_asked": 0}
    elif customer.status != CustomerStatus.SIGNINGS_REQUIRED:
        kept = (signing for signing in record.signings if signing.signed_ms or signing.consented_ms)
        changes |= {"signings": tuple(kept)}
    return Done(changes, keep=keep)


def _identification_now(
    record: Record, customer: Customer, listed: list[Identification] | None, attempt: Attempt
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Say what a customer who is to be identified makes true of the newest identification, and what of it to keep.

    `listed`: the identifications that Iron lists; None: the customer says enough.
    """
    if listed is None:
        return _told_by(customer.identification_status), {}
    newest = _newest(_not_older(record, listed))
    if newest is None:  # the list lags behind, or is odd: there is the customer's own word, if it is of this one
        same = record.identification_id in (None, *(customer.identification_ids or ()))
        return _told_by(customer.identification_status) if same else {}, {}
    changes = _identified(record, newest, attempt) | _begun(record, newest, attempt)
    changes["identifications"] = len(listed)
    keep = _said_of(record, newest)
    return changes, keep | ({"identification": None} if record.identification_id is None else {})


def _may_be_begun(record: Record, listed: list[Identification], attempt: Attempt) -> bool:
    """Say whether an active customer is to be identified by our own call, whose effect the list may not show yet."""
    effect, newest = attempt.effect, _newest(_not_older(record, listed))
    called = effect is not None and effect.step == "create_identification" and effect.in_doubt
    if record.phase is not Phase.ACTIVE or not called:
        return False
    return newest is None or (newest.id == record.identification_id and newest.url is None)


def _said_of(record: Record, newest: Identification) -> dict[str, Any]:
    """Give what reviewers wrote, by the part of the input under which it is kept; what was said of another one goes."""
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
    """Say whether a customer's own word on the newest identification is enough to know the phase.

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
    """Say what a customer's own word on the newest identification makes true."""
    if status is None:
        return {}
    changes: dict[str, Any] = {"identification_status": status, "none_yet": False}
    if status == IdentificationStatus.APPROVED:
        changes |= {"was_active": True, "link": None}
    return changes


def _identification_then(record: Record, customer: Customer, iron: Iron, attempt: Attempt) -> dict[str, Any]:
    """Say what a customer who is past identification makes true of it; for the first date of an active one, read it."""
    active = customer.status == CustomerStatus.ACTIVE
    if active and record.identified_ms is None:
        listed = _list_of(customer, iron)
        changes = {} if listed is None else _known_since(record, listed, attempt) | {"identifications": len(listed)}
        changes |= _told_by(customer.identification_status)
    else:
        changes = _told_by(customer.identification_status)
    shown = changes.get("identification_status", record.identification_status)
    if active and shown in IN_FLIGHT:  # a list that lags behind says so, or the customer's own word
        changes["identification_status"] = IdentificationStatus.APPROVED.value  # or Iron would not have them active
    return changes


def reidentify(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Look whether an active customer is to be identified again now: give notice of it, or take a place for the start.

    The customer and the newest identification are read first, and the plan is made of what they show: who is not
    active any more, or was identified meanwhile, is left alone. The identification itself is begun by the next step.
    """
    customer = iron.customer(_customer_id(record))
    if customer.status != CustomerStatus.ACTIVE:
        return _seen(record, customer, iron, attempt)
    now_ms = attempt.now_ms()
    changes = _known_since(record, _not_older(record, iron.identifications(customer.id)), attempt)
    changes |= {"customer_status": customer.status, "was_active": True, "link": None}
    seen = record.evolve(**changes)
    if seen.identification_status in IN_FLIGHT:
        return Wait("an identification is under way", until_ms=now_ms + int(attempt.policy.settle_s * 1000))
    found = plan(seen, attempt.rule(), now_ms)
    again = seen.again or Again()
    match found.doing if found else None:
        case Doing.NOTICE:
            at_ms = announced(seen, attempt.rule(), now_ms)
            told = Again(noticed_ms=now_ms, announced_ms=at_ms)
            note = f"notice: identified again from {attempt.rule().policy.hours.day(at_ms)}"
            return Done(changes | {"again": told}, note, event="reidentification_due")
        case Doing.START:
            return _take_place(seen, changes, attempt)
        case Doing.WAIT if found and found.at_ms is not None and again.asked and _stands(seen, attempt):
            return Wait("asked for before its time", "reidentify", found.at_ms)
    return Done(changes | {"again": again.withdrawn() if again.asked else seen.again}, "nothing to begin now")


def _stands(record: Record, attempt: Attempt) -> bool:
    """Say whether a request is still good: a person's always, a run's while the date has not moved away."""
    again = record.again or Again()
    return again.by_hand or announced_start(record, attempt.rule()) is not None


def _take_place(record: Record, changes: dict[str, Any], attempt: Attempt) -> Outcome:
    """Ask for one of the day's starts."""
    rule, now_ms, again = attempt.rule(), attempt.now_ms(), record.again or Again()
    hours, cap, due = rule.policy.hours, rule.policy.max_per_day, date_of(record, rule)
    today = hours.day(now_ms)
    run = again.run if again.asked else today.isoformat()
    by_hand = again.asked and again.by_hand
    order_ms = again.asked_ms if by_hand and again.asked_ms else hours.moment(due or today, 0)
    place = attempt.place(Ask(record.key, run, today, order_ms, cap))
    match place.answer:
        case "granted":
            started = replace(again, run=run, day=today.isoformat())
            return Done(changes | {"again": started}, f"one of the starts of {today}")
        case "full":
            at_ms = turn_ms(rule, now_ms, place.ahead + place.taken - cap)
            return Wait(f"the {cap} starts of {today} are taken", "reidentify", at_ms)
        case "cancelled" if again.asked:
            return Done(changes | {"again": again.withdrawn()}, f"the run {run} is cancelled")
        case _:
            pause_ms = now_ms + PAUSED_MS
            return Wait(f"the run {run} is {place.answer}", "reidentify", hours.next_open(pause_ms))


def update_customer(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Bring the e-mail and the external id on Iron up to the corrected input.

    A repetition changes nothing, so the call needs no key; the refresh that follows sees whether it took.
    """
    try:
        iron.update_customer(_customer_id(record), email=attempt.input()["email"], external_id=record.external_id)
    except RequestRefusedError as error:
        error.of_effect = True
        return Partly({"updates": record.updates + (not error.concerns_caller)}, error)
    return Done({"update": False, "updates": record.updates + 1})


def handle_step_up(record: Record, iron: Iron, attempt: Attempt) -> Outcome:  # noqa: ARG001 -- a step's signature
    """Read what Iron wants of a customer who was approved before; never begin another identification."""
    return _explained(iron.requirements(_customer_id(record)))


def explain_decline(record: Record, iron: Iron, attempt: Attempt) -> Outcome:  # noqa: ARG001 -- a step's signature
    """Read why Iron declined, and whether the customer may try again."""
    requirements = iron.requirements(_customer_id(record))
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
    return Done({"signings": _required(record, _documents(record, iron), attempt)})


def _documents(record: Record, iron: Iron) -> list[Document]:
    """Read the documents. Raises NothingDueError where there are none: the customer's status asks for some."""
    documents = iron.required_signings(_customer_id(record))
    if not documents:
        raise NothingDueError
    return documents


def submit_signings(record: Record, iron: Iron, attempt: Attempt) -> Outcome:
    """Submit the signatures that the customer has consented to, after one look; the list that Iron shows is the truth.

    One after the other, as long as there is time. Where one is refused or lost, those before it are told as signed. One
    that was refused comes last the next time: Iron may list what is signed already, and waits for the others.
    """
    customer_id, began_ms = _customer_id(record), attempt.now_ms()
    signings = _required(record, _documents(record, iron), attempt)
    doubtful = attempt.effect is not None and not _answered(attempt.effect)
    while (due := _in_hand(signings, attempt)) and attempt.now_ms() - began_ms < SIGNING_FOR_S * 1000:
        if doubtful and not _in_doubt(due, attempt):
            break  # what people did had to wait for certainty: it comes before the next signature
        _turn_to(due, attempt)
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


#: Every step by its name. Adding one touches this file and its tests.
STEPS: MappingProxyType[str, Step] = MappingProxyType(
    {
        step.__name__: step
        for step in (
            create_customer,
            create_identification,
            refresh,
            fetch_required_signings,
            submit_signings,
            update_customer,
            handle_step_up,
            explain_decline,
            reidentify,
        )
    }
)

#: Calls to Iron that one run of a step makes at most: they must end within the step's limit. A look and an operation;
#: only signatures go on after that, while there is time, and a job for `iron-<id>` looks twice.
MOST_CALLS = 2

#: For how long one run of a step begins further signatures, in seconds: a third of the step's limit, so that the last
#: one has as long as any other call.
SIGNING_FOR_S = 20.0
#: Every so many reads of a customer who has documents to sign, their list is read as well: it may change.
LIST_EVERY = 4

#: The class of Iron's budget that a step must be sure of before it begins: its look would be wasted otherwise.
SECURED: MappingProxyType[str, str] = MappingProxyType({"create_identification": IDENTIFICATION})

#: Steps that change something on Iron under an idempotency key.
HAS_EFFECT = frozenset({"create_customer", "create_identification", "submit_signings"})

#: The part of the encrypted input that a step needs, if the record has it.
INPUT: MappingProxyType[str, str] = MappingProxyType(
    {
        "create_customer": "customer",
        "create_identification": "identification",
        "update_customer": "customer",
        "refresh": "customer",
        "reidentify": "customer",
    }
)

#: Calls that carry a job's details, and which those are: only their refusal counts against the job.
CARRIES: MappingProxyType[str, str] = MappingProxyType(
    {
        "create_customer": "the customer's details",
        "create_identification": "the identification's details",
        "update_customer": "the corrected e-mail or external id",
    }
)

#: Statuses of an identification that the customer has done something with: the next one begins a new row of rounds.
_USED = frozenset({"Processed", "PendingReview", "Approved", "Declined"})
#: Statuses of an identification that this release knows.
KNOWN_STATUSES = frozenset(IdentificationStatus)
#: Statuses after which another identification may follow.
OVER = frozenset({"Declined", "Expired", "Archived"})

#: Pause before a run that is paused is asked again, in milliseconds; `--resume` wakes those who wait.
PAUSED_MS = 3_600_000

#: Life of a Sumsub share token, in milliseconds. Source: iron-api 5.2, where the sample's is 600 s.
TOKEN_LIFE_MS = 600_000

#: Updates of a corrected customer sent before we leave it to an operator: Iron may write an e-mail differently.
MAX_UPDATES = 3


def _customer_id(record: Record) -> str:
    if record.customer_id is None:
        message = f"{record.step} needs a customer on Iron"
        raise ValueError(message)
    return record.customer_id


def _token_is_over(record: Record, attempt: Attempt) -> bool:
    given_ms = record.created_ms if record.input_ms is None else record.input_ms
    return attempt.now_ms() - given_ms >= TOKEN_LIFE_MS


def _differs(record: Record, customer: Customer, attempt: Attempt) -> bool:
    """Say whether Iron shows another e-mail or external id than the corrected input.

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


def _body(record: Record, attempt: Attempt, *, given: bool) -> Mapping[str, Any]:
    """Give what goes to Iron: the job's own body, if there is one and it is of the job's kind, or a link."""
    body = attempt.input() if given else {}
    return body if body.get("type") == record.identification_type else {"type": "Link", "with_edd": record.with_edd}


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
    """Say whether the record knows which identification is the newest: one that was adopted does not at first."""
    return record.identification_id is not None or record.identification_status is None


def _began_ms(record: Record, newest: Identification, attempt: Attempt) -> int:
    """Give when an identification began: as Iron says it, else when we first saw it."""
    if newest.created_at != BEFORE_ALL:
        return int(newest.created_at.timestamp() * 1000)
    same = newest.id == record.identification_id and record.identified_ms is not None
    return record.identified_ms or 0 if same else attempt.now_ms()


def _known_since(record: Record, identifications: list[Identification], attempt: Attempt) -> dict[str, Any]:
    """Say what an active customer's identifications make true; without any, count from when we first knew them."""
    newest = _newest(identifications)
    if newest is None:
        return {"identified_ms": record.identified_ms or record.created_ms}
    changes = _identified(record, newest, attempt)
    return changes | {"link": None}


def _begun(record: Record, newest: Identification, attempt: Attempt) -> dict[str, Any]:
    """Take a new identification as the one that was to begin: then it is no step-up, also where an answer was lost."""
    effect, again = attempt.effect, record.again or Again()
    called = effect is not None and effect.step == "create_identification" and effect.in_doubt
    if newest.id == record.identification_id or record.phase is not Phase.ACTIVE or not (called or again.starting):
        return {}
    return {"was_active": False, "again": replace(again, day="", begun_ms=attempt.now_ms())}


def _just_begun(record: Record, attempt: Attempt) -> bool:
    """Say whether Iron may show a customer as active only because its look-ups lag behind our new identification."""
    if record.phase is not Phase.IDENTIFICATION_PENDING or record.again is None or record.again.begun_ms is None:
        return False
    return attempt.now_ms() - record.again.begun_ms < attempt.policy.settle_s * 1000


def _may_begin_again(record: Record, attempt: Attempt) -> bool:
    """Say whether the start that this customer has a place for may still happen: same day, open hours, same plan."""
    rule, now_ms, again = attempt.rule(), attempt.now_ms(), record.again
    if again is None or not again.starting or not rule.policy.hours.is_open(now_ms):
        return False
    found = plan(record, rule, now_ms)
    return again.day == rule.policy.hours.day(now_ms).isoformat() and found is not None and found.doing is Doing.START


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


def _signed(signing: Signing, now_ms: int) -> Signing:
    agreed = signing.consented_ms is not None and signing.signed_ms is None
    return replace(signing, signed_ms=now_ms) if agreed else signing


def _in_hand(signings: tuple[Signing, ...], attempt: Attempt) -> Signing | None:
    """Choose the signature to submit: the one whose call is in doubt first, the one that Iron did not take last."""
    agreed = [signing for signing in signings if signing.consented_ms and not signing.signed_ms]
    return min(agreed, key=lambda signing: _rank(signing, attempt), default=None)


def _rank(signing: Signing, attempt: Attempt) -> int:
    effect = attempt.effect
    if effect is None or effect.subject[1:2] != (signing.id,):
        return 1
    return 2 if _answered(effect) else 0


def _answered(effect: Effect) -> bool:
    """Say whether Iron answered the last call, and did not take it, so that other signatures may go before.

    A 409 may be about our own call, still under way: its key is safe to send later, as long as it is the first one.
    """
    return not (effect.last_ms or effect.abandoned) or effect.refused or (effect.conflict and not effect.generation)


def _turn_to(signing: Signing, attempt: Attempt) -> None:
    """Let go of a signature that Iron did not take for another one; a worker that may be asleep is not forgotten."""
    effect = attempt.effect
    if effect is not None and effect.abandoned and effect.subject[1:2] not in ((), (signing.id,)):
        attempt.effect = Effect(effect.step, ANY_SUBJECT, first_ms=effect.first_ms, abandoned=True)


def _in_doubt(signing: Signing, attempt: Attempt) -> bool:
    """Say whether an earlier attempt may have submitted this signature."""
    effect = attempt.effect
    if effect is None or effect.step != "submit_signings":
        return False
    return effect.abandoned or effect.subject[1:2] == (signing.id,)


def _gone(signing: Signing, attempt: Attempt) -> Signing:
    """Judge a document that Iron requires no longer: signed by the call in doubt, or replaced meanwhile."""
    ours = signing.consented_ms is not None and _in_doubt(signing, attempt)
    return replace(signing, signed_ms=attempt.now_ms()) if ours and signing.signed_ms is None else signing
