"""The customer's consent to documents: checked against what the record asks for, stored as an act, its evidence sealed.

The command `sign` and the demo's upstream system both come through here. Nothing is sent to Iron; a worker does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ops.cli.exits import CommandError
from pipelines.lifecycle import Phase
from pipelines.model import Record, Signing

if TYPE_CHECKING:
    from ops.cli.session import Session


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agreed, when, and where the proof of it is. Personal: it is only ever stored sealed."""

    signed_by: str
    signed_at: datetime
    evidence: str | None = None


def open_documents(record: Record) -> list[Signing]:
    """Give the documents that the customer has still to agree to."""
    if record.phase is not Phase.SIGNINGS_REQUIRED:
        return []
    return [signing for signing in record.signings if signing.consented_ms is None and signing.signed_ms is None]


def record_consent(session: Session, record: Record, documents: Sequence[str], consent: Consent) -> list[str]:
    """Store the consent to these documents and wake the record; answers those that were not agreed to before.

    Raises CommandError when the record does not ask for one of them; then nothing is stored.
    """
    agreed = {signing.id for signing in record.signings if signing.consented_ms or signing.signed_ms}
    asked = {signing.id: signing for signing in open_documents(record)}
    wanted = list(dict.fromkeys(documents))
    if strange := [document for document in wanted if document not in asked and document not in agreed]:
        raise CommandError(_not_asked(record, strange, list(asked)))
    fresh = [document for document in wanted if document in asked]
    if not fresh:
        return []
    evidence = {
        "documents": [{"id": document, "url": asked[document].url} for document in fresh],
        "signed_by": consent.signed_by,
        "signed_at": consent.signed_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "evidence": consent.evidence,
    }
    act = {"act": "sign", "documents": fresh, "by": "consent"}
    nudge = session.ledger.act(record.key, act, session.vault.seal(record.key, evidence))
    if nudge:
        session.send(nudge)
    return fresh


def _not_asked(record: Record, strange: Sequence[str], asked: Sequence[str]) -> str:
    if record.phase is not Phase.SIGNINGS_REQUIRED:
        return f"{record.key} is in the phase {record.phase} and asks for no signature; nothing was stored."
    those = f"it asks for {', '.join(asked)}" if asked else "it asks for no other now; look with `onboarding status`"
    return f"{record.key} does not ask for the document {', '.join(strange)}: {those}; nothing was stored."
