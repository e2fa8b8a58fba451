"""Request bodies, checked as strictly as the provider would: customers, signings, identifications of people.

Sections 3 and 5 of the fact sheet. Companies are in `company`.
"""

import re
from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints, model_validator

from ops.sandbox.api import enums
from ops.sandbox.api.company import BusinessIdentification
from ops.sandbox.api.fields import Country, Email, File, Ip, PastDate, Phone, Strict, Text, Timestamp, UtcTimestamp
from ops.sandbox.api.postal import Address

UUID = re.compile(r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
ExternalId = Annotated[str, StringConstraints(min_length=1)]


class NewCustomer(Strict):
    """Section 3.1."""

    customer_type: enums.CustomerType
    email: Email
    name: str | None = None
    external_id: ExternalId | None = None


class CustomerUpdate(Strict):
    """Section 3.5."""

    email: Email
    external_id: ExternalId | None = None


class NewSigning(Strict):
    """Section 3.12. `content_type` is of older generations; public clients still send it and are accepted."""

    signed: bool
    content_id: Annotated[str, Field(pattern=UUID)] | None = None
    content_type: Literal["Document", "Url", "Text"] | None = None


class Decision(Strict):
    """Section 3.18."""

    approved: bool


class KycQuestionnaire(Strict):
    """Section 5.5."""

    employment_status: enums.EmploymentStatus
    yearly_gross_income: enums.YearlyGrossIncome
    source_of_wealth: enums.SourceOfWealth
    expected_monthly_transaction_count: enums.MonthlyCount
    expected_monthly_transaction_volume: enums.MonthlyVolume


class EddQuestionnaire(Strict):
    """Section 5.5."""

    occupation: enums.Occupation
    approximate_net_worth: enums.NetWorth
    source_of_funds_proof: File


class PersonIdentity(Strict):
    """Section 5.3."""

    identity_country_code: Country
    identity_document_type: enums.IdentityDocumentType
    identity_document_front: File
    selfie: File
    selfie_collected_at: Timestamp
    ip_address: Ip
    nationality: Country
    identity_document_back: File | None = None
    identity_number: Text | None = None


class Attachment(Strict):
    """Section 5.3, IdentityDocument."""

    name: Annotated[str, Field(pattern=r"^.+\.[A-Za-z0-9]+$")]
    file: File
    type: enums.AttachmentType


class LinkIdentification(Strict):
    """Section 5.1."""

    type: Literal["Link"]
    with_edd: bool | None = None


class TokenIdentification(Strict):
    """Section 5.2."""

    type: Literal["Token"]
    token: Text
    intended_use: enums.IntendedUse
    ip_address: Ip | None = None
    kyc_questionnaire: KycQuestionnaire | None = None
    edd_questionnaire: EddQuestionnaire | None = None


class PersonIdentification(Strict):
    """Section 5.3."""

    type: Literal["Person"]
    sharing_consent: bool
    consent_collected_at: UtcTimestamp
    first_name: Text
    last_name: Text
    full_name: Text
    date_of_birth: PastDate
    phone_number: Phone
    email_address: Email
    address: Address
    identity: PersonIdentity
    intended_use: enums.IntendedUse
    kyc_questionnaire: KycQuestionnaire
    edd_questionnaire: EddQuestionnaire | None = None
    documents: tuple[Attachment, ...] | None = None
    tax_identification_number: Text | None = None

    @model_validator(mode="after")
    def _consents_and_taxes(self) -> "PersonIdentification":
        """Require consent, and a tax number of citizens and residents of the United States."""
        if not self.sharing_consent:
            raise ValueError("sharing_consent must be true")
        american = "US" in (self.address.country, self.identity.nationality)
        if american and self.tax_identification_number is None:
            raise ValueError("tax_identification_number is required of citizens and residents of the United States")
        return self


AnyIdentification = LinkIdentification | TokenIdentification | PersonIdentification | BusinessIdentification


class NewIdentification(RootModel[Annotated[AnyIdentification, Field(discriminator="type")]]):
    """Section 3.7: one of four, told apart by `type`."""
