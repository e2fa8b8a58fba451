"""The customer's consent to documents: checked against what the record asks for, stored as an act, its evidence sealed.

The command `sign`, the gateway and the demo's upstream system all come through here. Nothing is sent to Iron; a worker
does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.consent import Consent
from pipelines.lifecycle import Phase
from pipelines.model import Record, Signing
from pipelines.times import timestamp
from workers.ledger import Ledger, Nudge
from workers.secrets.vault import Place, Vault


class NotAskedError(Exception):
    """The record does not ask for consent to these documents; the message says for which it does.

    `strange` are the documents, which the message does not repeat: they are what somebody typed.
    """

    def __init__(self, why: str, strange: Sequence[str]) -> None:
        """Keep the documents."""
        super().__init__(f"{why}; nothing was stored.")
        self.strange = tuple(strange)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The documents that were not agreed to before, and the nudge to send now, if there is one."""

    fresh: tuple[str, ...] = ()
    nudge: Nudge | None = None


def open_documents(record: Record) -> list[Signing]:
    """Give the documents that the customer has still to agree to."""
    if record.phase is not Phase.SIGNINGS_REQUIRED:
        return []
    return [signing for signing in record.signings if signing.consented_ms is None and signing.signed_ms is None]


def record_consent(ledger: Ledger, vault: Vault, record: Record, consent: Consent, *, by: str = "consent") -> Recorded:
    """Store the consent to documents and make the record due.

    Raises NotAskedError when the record does not ask for one of them; then nothing is stored. Raises KeyError when the
    record is gone meanwhile.
    """
    agreed = {signing.id for signing in record.signings if signing.consented_ms or signing.signed_ms}
    asked = {signing.id: signing for signing in open_documents(record)}
    wanted = list(dict.fromkeys(consent.documents))
    if strange := [document for document in wanted if document not in asked and document not in agreed]:
        raise NotAskedError(_why(record, list(asked)), strange)
    fresh = [document for document in wanted if document in asked]
    if not fresh:
        return Recorded()
    evidence = {
        "documents": [{"id": document, "url": asked[document].url} for document in fresh],
        "signed_by": consent.signed_by,
        "signed_at": _in_utc(consent.signed_at) if consent.signed_at else timestamp(ledger.now_ms()),
        "evidence": consent.evidence,
    }
    act = {"act": "sign", "documents": fresh, "by": by}
    return Recorded(tuple(fresh), ledger.act(record.key, act, vault.seal(Place("evidence", record.key), evidence)))


def _in_utc(moment: str) -> str:
    at = datetime.fromisoformat(moment.upper()).astimezone(UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _why(record: Record, asked: Sequence[str]) -> str:
    if record.phase is not Phase.SIGNINGS_REQUIRED:
        return f"{record.key} is in the phase {record.phase} and asks for no signature"
    those = f"it asks for {', '.join(asked)}" if asked else "it asks for no other now; read it again"
    return f"{record.key} does not ask for this: {those}"
