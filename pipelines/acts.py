"""What people do: sign, correct, cancel, restart, renew, retry, reidentify, archive; read personal data, revoke links.

An act is stored at once and applied by the next claim, so that it never collides with a step under way. Whatever would
change a call waits while such a call is in doubt; consent does not. Source: design section 5, race e.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pipelines.lifecycle import FINISHED, IN_FLIGHT, STATUSES, CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Again, Record

#: New rounds that a customer may ask for before a person has to look: enough for real trouble with a camera, and few
#: enough that a link in the wrong hands costs little.
MAX_ROUNDS_ASKED = 5


@dataclass(frozen=True, slots=True)
class Applied:
    """The record after the acts that could be applied, and which these were, as stored."""

    record: Record
    acts: tuple[bytes, ...] = ()
    note: str = ""
    sealed: dict[str, str] = field(default_factory=dict)
    #: Whether any of them may change what Iron shows: then the customer is read more often for a while.
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the table of acts."""

    #: Why it makes no sense for this record now, in a sentence; None where it does.
    refuses: Callable[[Record], str | None]
    apply: Callable[[Record, Mapping[str, Any]], Record]
    #: What the person did, for the history: it follows their name.
    done: str
    #: Whether it waits until a call in doubt is certain: it changes what is sent to Iron, or ends it.
    waits: bool = True
    #: Whether something may be different at Iron afterwards.
    moves: bool = True


def apply_acts(record: Record, stored: Sequence[bytes]) -> Applied:
    """Apply stored acts in their order; one that has to wait does not hold up the others."""
    doubtful = record.effect is not None and record.effect.in_doubt
    done: list[bytes] = []
    notes: list[str] = []
    sealed: dict[str, str] = {}
    moves = False
    for raw in stored:
        act = json.loads(raw)
        name = act["act"]
        row = ACTS.get(name)
        if row is None or (doubtful and row.waits):
            continue  # an act of a newer release waits for a worker that knows it
        why_not = row.refuses(record)
        if why_not is None:
            record = row.apply(record, act)
            sealed |= _wanted_parts(record, act)
            moves = moves or row.moves
        notes.append(_note(act, row.done, why_not))
        done.append(raw)
    return Applied(record, tuple(done), " ".join(notes), sealed, moves)


def _wanted_parts(record: Record, act: Mapping[str, Any]) -> dict[str, str]:
    """Take the parts of a correction that will be sent: an identification's only where another round may use it."""
    parts: dict[str, str] = act.get("parts", {})
    sent = record.identification_id is not None and not record.given
    return {name: part for name, part in parts.items() if not (sent and name == "identification" and part)}


def refusal(record: Record, act: str) -> str | None:
    """Return in a sentence why this act makes no sense now, or None when it does."""
    row = ACTS.get(act)
    return row.refuses(record) if row else "There is no such action."


def _note(act: Mapping[str, Any], done: str, why_not: str | None) -> str:
    """Return the sentence of the history: who did it and why, or why it was not done."""
    by, reason = act.get("by", "somebody"), f": “{act['reason']}”" if act.get("reason") else ""
    return f"{by} {done}{reason}." if why_not is None else f"Not done: {act['act']} by {by}{reason}. {why_not}"


def _status(record: Record) -> str:
    return f"The status is “{STATUSES[record.phase]}”."


#: Why nothing can be done any more.
_CLOSED = "Iron closed this customer. This is final."
#: Why no other identification may start now.
IN_PROGRESS = "An identification is in progress. A new one would replace it, so wait until it ends."


def _may_sign(record: Record) -> str | None:
    if record.phase in FINISHED:
        return f"{_status(record)} No consent is needed any more."
    return None if any(not signing.signed_ms for signing in record.signings) else "No document needs consent now."


def _may_correct(record: Record) -> str | None:
    if record.phase is Phase.CANCELLED:
        return "This customer is cancelled. Restart first, then correct."
    return _CLOSED if record.phase is Phase.ARCHIVED else None


def _may_cancel(record: Record) -> str | None:
    if record.phase is Phase.CANCELLED:
        return "This customer is already cancelled."
    return _CLOSED if record.phase is Phase.ARCHIVED else None


def _may_restart(record: Record) -> str | None:
    if record.phase is Phase.CANCELLED:
        return None
    if record.identification_status in IN_FLIGHT:
        return IN_PROGRESS
    if record.phase in (Phase.DECLINED, Phase.EXPIRED):
        return None
    if record.phase is Phase.ON_HOLD and record.customer_status == CustomerStatus.IDENTIFICATION_REQUIRED:
        return None
    return f"{_status(record)} Only a declined, expired, on-hold or cancelled customer can be restarted."


def _may_renew(record: Record) -> str | None:
    """Return why the customer may not have a new round now: an operator may more, and nobody without end."""
    if record.restart:
        return "A new identification is already being created."
    if record.phase is Phase.CANCELLED or (record.phase is Phase.DECLINED and not record.may_retry):
        return f"{_status(record)} Only an operator can restart."
    if record.phase is Phase.ON_HOLD and (record.problem is None or record.problem.code != "rounds_exhausted"):
        return "An operator has to decide first."
    if record.rounds_asked >= MAX_ROUNDS_ASKED:
        return f"The customer has used all {record.rounds_asked} tries. An operator has to decide."
    return _may_restart(record)


def _may_retry(record: Record) -> str | None:
    needed = record.problem is not None or record.phase in (Phase.FAILED, Phase.ON_HOLD)
    return None if needed else "There is nothing to retry: no problem is recorded."


def _may_reidentify(record: Record) -> str | None:
    """Refuse where a new identification would harm; of an active customer the step itself looks for one in flight."""
    if record.phase is not Phase.ACTIVE and record.identification_status in IN_FLIGHT:
        return IN_PROGRESS
    if record.phase is Phase.STEP_UP_REQUIRED:
        return "Iron is asking this customer for more. Wait: a new identification would cancel that request."
    if record.phase is not Phase.ACTIVE:
        return f"{_status(record)} Only an active customer can be identified again."
    if record.again is not None and (record.again.asked or record.again.starting):
        return f"Already requested, in the run {record.again.run}."
    return None


def _sign(record: Record, act: Mapping[str, Any]) -> Record:
    """Note the customer's consent to documents; one that is not asked for any more is passed over."""
    agreed = set(act["documents"])
    signings = (
        replace(signing, consented_ms=act["at_ms"]) if signing.id in agreed and not signing.consented_ms else signing
        for signing in record.signings
    )
    return record.evolve(signings=tuple(signings))


def _correct(record: Record, act: Mapping[str, Any]) -> Record:
    """Take the corrected input from now on; what Iron refused is sent again under the next generation of its key.

    Data of an identification that the first round no longer needs are for the next one, where there may be one; with
    `restart` that one begins now.
    """
    may = record.restart or record.given or _may_restart(record) is None
    again = record.identification_id is not None and may
    fields = {name: act[name] for name in ("external_id", "risk_tier", "labels", "identification_type", "with_edd")}
    corrected = replace(
        _tried_again(record),
        **fields,
        fingerprint=act["fingerprint"],
        revision=record.revision + 1,
        input_ms=act["at_ms"],
        given=again and bool(act.get("parts", {}).get("identification")),
    )
    corrected = corrected.evolve(update=record.customer_id is not None, updates=0)
    return _restart(corrected, act) if again and act.get("restart") else corrected


def _cancel(record: Record, act: Mapping[str, Any]) -> Record:  # noqa: ARG001 -- an act's signature
    return record.evolve(phase=Phase.CANCELLED, problem=None)


def _restart(record: Record, act: Mapping[str, Any]) -> Record:  # noqa: ARG001 -- an act's signature
    reopened = record.phase is Phase.CANCELLED
    return replace(_tried_again(record), restart=not reopened, round=0, rounds_asked=0)


def _renew(record: Record, act: Mapping[str, Any]) -> Record:  # noqa: ARG001 -- an act's signature
    """Begin a round that the customer asked for: counted, and as one of those in a row."""
    return replace(_tried_again(record), restart=True, rounds_asked=record.rounds_asked + 1)


def _retry(record: Record, act: Mapping[str, Any]) -> Record:  # noqa: ARG001 -- an act's signature
    return _tried_again(record)


def _reidentify(record: Record, act: Mapping[str, Any]) -> Record:
    """Ask for a new identification: by hand whatever the date is, else only if the policy's date has come."""
    before = record.again if record.again is not None and record.again.begun_ms is None else Again()
    asked = replace(before, run=act["run"], asked_ms=act["at_ms"], by_hand=not act.get("due", False))
    effect = record.effect
    if effect is not None and (effect.refused or effect.strikes):
        effect = effect.renewed()  # a person's decision to try once more what Iron refused
    return record.evolve(again=asked, effect=effect, problem=None)


def _may_archive(record: Record) -> str | None:
    if record.customer_id is None:
        return "The customer does not exist at Iron yet. Cancel instead."
    return _CLOSED if record.phase is Phase.ARCHIVED else None


def _may_archive_identification(record: Record) -> str | None:
    if record.identification_id is None:
        return "There is no identification to archive."
    if record.identification_status == IdentificationStatus.ARCHIVED:
        return "The newest identification is already archived."
    return _may_archive(record)


def _archive(record: Record, act: Mapping[str, Any]) -> Record:
    """Want something archived at Iron; the step does it."""
    return record.evolve(
        archive="identification" if act["act"] == "archive_identification" else "customer", problem=None
    )


def _always(record: Record) -> str | None:  # noqa: ARG001 -- a rule's signature
    return None


def _unchanged(record: Record, act: Mapping[str, Any]) -> Record:  # noqa: ARG001 -- an act's signature
    return record


def _tried_again(record: Record) -> Record:
    """Let the table decide again, with a key under which Iron has not refused yet."""
    effect = record.effect
    if effect is not None and (effect.refused or effect.strikes):
        effect = effect.renewed()
    return record.evolve(phase=Phase.RECEIVED, effect=effect, problem=None, attempts=0)


#: Every act by its name, one row each.
ACTS: MappingProxyType[str, Act] = MappingProxyType(
    {
        "sign": Act(_may_sign, _sign, "passed on the customer's consent", waits=False),
        "correct": Act(_may_correct, _correct, "corrected the details"),
        "cancel": Act(_may_cancel, _cancel, "cancelled the onboarding"),
        "restart": Act(_may_restart, _restart, "restarted the onboarding"),
        "renew": Act(_may_renew, _renew, "asked for a new identification"),
        "retry": Act(_may_retry, _retry, "retried the last step"),
        "reidentify": Act(_may_reidentify, _reidentify, "asked for re-identification"),
        "archive": Act(_may_archive, _archive, "asked for the customer to be archived at Iron"),
        "archive_identification": Act(
            _may_archive_identification, _archive, "asked for the identification to be archived at Iron"
        ),
        "read": Act(_always, _unchanged, "read the personal data", waits=False, moves=False),
        "revoke_links": Act(  # done when stored; the history says by whom
            _always, _unchanged, "revoked the customer's links", waits=False, moves=False
        ),
    }
)
