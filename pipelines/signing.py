"""Documents and signatures: what Iron requires, what is agreed to, and which one is submitted next."""

from __future__ import annotations

from dataclasses import replace

from pipelines.attempt import ANY_SUBJECT, Attempt
from pipelines.iron import Document
from pipelines.model import Effect, Record, Signing


def required(record: Record, documents: list[Document], attempt: Attempt) -> tuple[Signing, ...]:
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


def _gone(signing: Signing, attempt: Attempt) -> Signing:
    """Judge a document that Iron requires no longer: signed by the call in doubt, or replaced meanwhile."""
    ours = signing.consented_ms is not None and in_doubt(signing, attempt)
    return replace(signing, signed_ms=attempt.now_ms()) if ours and signing.signed_ms is None else signing


def signed(signing: Signing, now_ms: int) -> Signing:
    """Return the document as signed now if it was agreed to and is not signed yet."""
    agreed = signing.consented_ms is not None and signing.signed_ms is None
    return replace(signing, signed_ms=now_ms) if agreed else signing


def in_hand(signings: tuple[Signing, ...], attempt: Attempt) -> Signing | None:
    """Choose the signature to submit: the one whose call is in doubt first, the one that Iron did not take last."""
    agreed = [signing for signing in signings if signing.consented_ms and not signing.signed_ms]
    return min(agreed, key=lambda signing: _rank(signing, attempt), default=None)


def _rank(signing: Signing, attempt: Attempt) -> int:
    effect = attempt.effect
    if effect is None or effect.subject[1:2] != (signing.id,):
        return 1
    return 2 if answered(effect) else 0


def answered(effect: Effect) -> bool:
    """Return whether Iron answered the last call, and did not take it, so that other signatures may go before.

    A 409 may be about our own call, still under way: its key is safe to send later, as long as it is the first one.
    """
    return not (effect.last_ms or effect.abandoned) or effect.refused or (effect.conflict and not effect.generation)


def turn_to(signing: Signing, attempt: Attempt) -> None:
    """Let go of a signature that Iron did not take for another one; a worker that may be asleep is not forgotten."""
    effect = attempt.effect
    if effect is not None and effect.abandoned and effect.subject[1:2] not in ((), (signing.id,)):
        attempt.effect = Effect(effect.step, ANY_SUBJECT, first_ms=effect.first_ms, abandoned=True)


def in_doubt(signing: Signing, attempt: Attempt) -> bool:
    """Return whether an earlier attempt may have submitted this signature."""
    effect = attempt.effect
    if effect is None or effect.step != "submit_signings":
        return False
    return effect.abandoned or effect.subject[1:2] == (signing.id,)
