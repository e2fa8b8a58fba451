"""How records look on the wire (section 2 of the fact sheet), with optional and unknown fields as switched."""

from collections.abc import Sequence

from ops.sandbox.api.paging import ordered
from ops.sandbox.world.clock import stamp
from ops.sandbox.world.records import Customer, Document, Identification, Signing
from ops.sandbox.world.switches import Switches

PERSON_STEPS = ("identity", "selfie", "proof_of_residence", "questionnaire")
BUSINESS_STEPS = ("company_data", "company_beneficiaries", "company_documents", "questionnaire")

Json = dict[str, object]


class Rendering:
    """Write records as the provider would."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        #: The time of the request that is being answered.
        self.at = 0.0
        self._links = 0

    def customer(self, customer: Customer) -> Json:
        """Write a Customer."""
        newest = customer.newest
        required: Json = {
            "id": customer.id,
            "customer_type": customer.customer_type,
            "email": customer.email,
            "name": customer.name,
            "status": self._status(self.status_of(customer)),
            "identification_ids": self._ids(customer.identifications),
            "signing_ids": self._ids(customer.signings),
            "partner_id": customer.partner_id,
            "created_at": self.stamp(customer.created_at),
            "updated_at": self.stamp(customer.updated_at),
        }
        optional: Json = {
            "external_id": customer.external_id,
            "identification_status": self._status(newest.status) if newest else None,
            "active_email": None,
            "spending_limit_euro": None,
        }
        return self.joined(required, optional)

    def identification(self, identification: Identification) -> Json:
        """Write an Identification."""
        customer = identification.customer
        approved = identification.status == "Approved" and identification is customer.newest
        required: Json = {
            "id": identification.id,
            "status": self._status(identification.status),
            "created_at": self.stamp(identification.created_at),
            "updated_at": self.stamp(identification.updated_at),
        }
        optional: Json = {
            "customer_id": customer.id,
            "partner_id": None,
            "url": self._link(identification),
            "review_comment": self.comment(identification),
            "step_status": self._step_status(identification),
            "with_edd": identification.with_edd,
            "residence_country": identification.residence_country if approved else None,
        }
        return self.joined(required, optional)

    def signing(self, signing: Signing) -> Json:
        """Write a Signing."""
        at = self.stamp(signing.created_at)
        required: Json = {"id": signing.id, "customer_id": signing.customer.id, "created_at": at, "updated_at": at}
        return self.joined(required, {"content_id": signing.content_id, "document_id": None})

    def document(self, document: Document) -> Json:
        """Write a required signing."""
        return self.joined({"id": document.id, "display_name": document.display_name, "url": document.url}, {})

    def page(self, items: list[Json], cursor: str | None, prev_cursor: str | None) -> Json:
        """Write one page of a list."""
        return self.joined({"items": items}, {"cursor": cursor, "prev_cursor": prev_cursor})

    def _step_status(self, identification: Identification) -> Json | None:
        """Write the result of each step, once there is a decision or whenever a switch says."""
        when, decided = self._switches.step_status, identification.status in {"Approved", "Declined"}
        if when == "never" or not (decided or when == "always"):
            return None
        steps = PERSON_STEPS if identification.customer.customer_type == "Person" else BUSINESS_STEPS
        so_far = "Approved" if decided else identification.status
        result: Json = {step: self.joined({"result": so_far, "retry": False}, {"comment": None}) for step in steps}
        if identification.status == "Declined":
            failed: Json = {"result": "Declined", "retry": bool(identification.retry)}
            result[steps[0]] = self.joined(failed, {"comment": self.comment(identification)})
        return result

    @property
    def says_retryable(self) -> bool:
        """Whether requirements tell if a new attempt makes sense."""
        return self._switches.retryable_said

    def comment(self, identification: Identification) -> str | None:
        """Return the reviewer's comment, if reviewers write any."""
        return identification.review_comment if self._switches.review_comments else None

    def _link(self, identification: Identification) -> str | None:
        """Write the hosted link, once there is one."""
        switches, url = self._switches, identification.url
        if url is None or self.at < identification.created_at + switches.url_delay_s:
            return None
        if not switches.url_rotates:
            return url
        self._links += 1
        return f"{url}-{self._links}"

    def _ids(self, records: Sequence[Identification] | Sequence[Signing]) -> list[str]:
        """Write the ids of a customer's records."""
        return [one.id for one in ordered(records, self._switches.ids_order)]

    def stamp(self, at: float) -> str:
        """Write a time in the form of the day."""
        return stamp(at, self._switches.times)

    def status_of(self, customer: Customer) -> str:
        """Return the status that reads show by now."""
        fresh = self.at < customer.status_since + self._switches.status_lag_s
        return customer.status_before or customer.status if fresh else customer.status

    def _status(self, status: str) -> str:
        """Write a status, under another name if a switch says so."""
        renamed = self._switches.renamed_statuses
        return renamed.get(status, status) if renamed else status

    def joined(self, required: Json, optional: Json) -> Json:
        """Put an object together."""
        if self._switches.optional_fields == "omitted":
            required.update((name, value) for name, value in optional.items() if value is not None)
        else:
            required.update(optional)
        for name in self._switches.left_out:
            required.pop(name, None)
        if self._switches.unknown_fields:
            required["x_unknown"] = {"of": "a later version"}
        return required
