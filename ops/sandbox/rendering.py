"""How records look on the wire (section 2 of the fact sheet), with optional and unknown fields as switched."""

from ops.sandbox.clock import stamp
from ops.sandbox.records import Customer, Document, Identification, Signing
from ops.sandbox.switches import Switches

PERSON_STEPS = ("identity", "selfie", "proof_of_residence", "questionnaire")
BUSINESS_STEPS = ("company_data", "company_beneficiaries", "company_documents", "questionnaire")

Json = dict[str, object]


class Rendering:
    """Write records as the provider would."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    def customer(self, customer: Customer) -> Json:
        """Write a Customer."""
        newest = customer.newest
        required: Json = {
            "id": customer.id,
            "customer_type": customer.customer_type,
            "email": customer.email,
            "name": customer.name,
            "status": self._status(customer.status),
            "identification_ids": [one.id for one in customer.identifications],
            "signing_ids": [one.id for one in customer.signings],
            "partner_id": customer.partner_id,
            "created_at": stamp(customer.created_at),
            "updated_at": stamp(customer.updated_at),
        }
        optional: Json = {
            "external_id": customer.external_id,
            "identification_status": self._status(newest.status) if newest else None,
            "active_email": None,
            "spending_limit_euro": None,
        }
        return self._joined(required, optional)

    def identification(self, identification: Identification) -> Json:
        """Write an Identification."""
        customer = identification.customer
        approved = identification.status == "Approved" and identification is customer.newest
        required: Json = {
            "id": identification.id,
            "status": self._status(identification.status),
            "created_at": stamp(identification.created_at),
            "updated_at": stamp(identification.updated_at),
        }
        optional: Json = {
            "customer_id": customer.id,
            "partner_id": None,
            "url": identification.url,
            "review_comment": identification.review_comment,
            "step_status": self._step_status(identification),
            "with_edd": identification.with_edd,
            "residence_country": identification.residence_country if approved else None,
        }
        return self._joined(required, optional)

    def signing(self, signing: Signing) -> Json:
        """Write a Signing."""
        at = stamp(signing.created_at)
        required: Json = {"id": signing.id, "customer_id": signing.customer.id, "created_at": at, "updated_at": at}
        return self._joined(required, {"content_id": signing.content_id, "document_id": None})

    def document(self, document: Document) -> Json:
        """Write a required signing."""
        return self._joined({"id": document.id, "display_name": document.display_name, "url": document.url}, {})

    def page(self, items: list[Json], cursor: str | None, prev_cursor: str | None) -> Json:
        """Write one page of a list."""
        return self._joined({"items": items}, {"cursor": cursor, "prev_cursor": prev_cursor})

    def _step_status(self, identification: Identification) -> Json | None:
        """Write the result of each step, once there is a decision."""
        if identification.status not in {"Approved", "Declined"}:
            return None
        steps = PERSON_STEPS if identification.customer.customer_type == "Person" else BUSINESS_STEPS
        result: Json = {step: self._joined({"result": "Approved", "retry": False}, {"comment": None}) for step in steps}
        if identification.status == "Declined":
            failed: Json = {"result": "Declined", "retry": bool(identification.retry)}
            result[steps[0]] = self._joined(failed, {"comment": identification.review_comment})
        return result

    def _status(self, status: str) -> str:
        """Write a status, under another name if a switch says so."""
        renamed = self._switches.renamed_statuses
        return renamed.get(status, status) if renamed else status

    def _joined(self, required: Json, optional: Json) -> Json:
        """Put an object together."""
        if self._switches.optional_fields == "omitted":
            required.update((name, value) for name, value in optional.items() if value is not None)
        else:
            required.update(optional)
        if self._switches.unknown_fields:
            required["x_unknown"] = {"of": "a later version"}
        return required
