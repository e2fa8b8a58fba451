"""Records of onboardings that begin: from a job, from a customer found on Iron, or from both. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.iron import Customer
from pipelines.keys import fingerprint, name_of
from pipelines.lifecycle import CustomerStatus
from pipelines.model import Record


def begin(job: Mapping[str, Any], import_name: str = "", mark: str = "") -> Record:
    """Make the record of a new onboarding from a job as its model writes it.

    `import_name`: the import it came with; `mark`: the job's fingerprint, where it is known already.
    """
    return Record(
        key=job["idempotency_key"],
        lane=job["lane"],
        external_id=job["external_id"],
        fingerprint=mark or fingerprint(job),
        risk_tier=job["risk_tier"],
        sub_partner_id=job["sub_partner_id"],
        labels=dict(job["labels"]),
        identification_type=job["identification"]["type"],
        with_edd=job["identification"].get("with_edd") is True,
        import_name=import_name,
    )


def adopted(customer: Customer, sub_partner_id: str | None) -> Record:
    """Make the record of a customer that was found on Iron without a job of ours."""
    known = customer.external_id or name_of(customer.id)
    record = Record(
        key=known,
        lane="bulk",
        external_id=known,
        sub_partner_id=sub_partner_id,
        adopted=True,
        customer_id=customer.id,
        customer_status=customer.status,
        identification_status=customer.identification_status,
        was_active=customer.status == CustomerStatus.ACTIVE or customer.identification_status == "Approved",
        step="refresh",
    )
    return record.evolve(phase=record.row().phase)


def joined(record: Record, wanted: Record) -> Record:
    """Let a job take over an adopted record: what the job says, and what Iron showed."""
    fields = (
        *("key", "lane", "external_id", "fingerprint", "risk_tier", "labels", "identification_type", "with_edd"),
        "import_name",
    )
    taken = {name: getattr(wanted, name) for name in fields}
    return record.evolve(**taken, adopted=False, step="refresh", reasons_read=False)


def input_parts(job: Mapping[str, Any]) -> dict[str, Any]:
    """Split off what has to be encrypted: the customer, and the identification if the record does not hold it all.

    Of a link it holds everything but fields that this release does not know.
    """
    identification = job["identification"]
    in_record = identification["type"] == "Link" and identification.keys() <= {"type", "with_edd"}
    return {"customer": job["customer"]} | ({} if in_record else {"identification": identification})
