"""The body of a company's identification (section 5.4 of the fact sheet), with its rules across fields.

What changed in October 2026 is accepted in both forms: which API version asks for which fields is not known.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from ops.sandbox.api import enums
from ops.sandbox.api.fields import (
    Country,
    Date,
    Email,
    File,
    Ip,
    PastDate,
    PastTimestamp,
    Phone,
    Share,
    Strict,
    Text,
    Timestamp,
)
from ops.sandbox.api.postal import Address

#: Companies that own companies: the documentation says "limited depth" and no number. So many levels below the top are
#: allowed, as deep as the product takes them.
DEEPEST = 4
#: Documents of one company; four until 2026-10-05.
MOST_DOCUMENTS = 8


class BirthPlace(Strict):
    """Where a person was born."""

    place: Text
    state: Text
    country: Country


class BeneficiaryIdentity(Strict):
    """A beneficiary's identity document."""

    identity_country_code: Country
    identity_document_type: enums.IdentityDocumentType
    identity_document_front: File
    nationality: Country
    identity_document_back: File | None = None
    identity_number: Text | None = None
    # One of these is the day on which the document expires, since 2026-10-08; the real name has not been seen.
    identity_document_expiry_date: Date | None = None
    identity_document_expiration_date: Date | None = None
    identity_expiry_date: Date | None = None
    identity_expiration_date: Date | None = None
    expiry_date: Date | None = None
    expiration_date: Date | None = None
    selfie: File | None = None
    selfie_collected_at: Timestamp | None = None

    @model_validator(mode="after")
    def _dated_selfie(self) -> "BeneficiaryIdentity":
        """Require the time of a selfie."""
        if self.selfie is not None and self.selfie_collected_at is None:
            raise ValueError("selfie_collected_at is required with selfie")
        return self


class PersonBeneficiary(Strict):
    """A person behind a company."""

    first_name: Text
    last_name: Text
    date_of_birth: PastDate
    address: Address
    email_address: Email
    phone_number: Phone
    tax_jurisdiction_country_code: Country
    identity: BeneficiaryIdentity
    birth_place: BirthPlace | None = None
    middle_name: str | None = None
    proof_of_address: File | None = None
    tax_identification_number: Text | None = None


class CompanyBeneficiary(Strict):
    """A company behind a company."""

    company_data: "CompanyData"


def _kind(value: object) -> str:
    """Tell the two beneficiaries apart: the union has no tag."""
    has_company = "company_data" in value if isinstance(value, dict) else isinstance(value, CompanyBeneficiary)
    return "company" if has_company else "person"


class Beneficiary(Strict):
    """Somebody behind a company, and what makes them so."""

    roles: Annotated[tuple[enums.Role, ...], Field(min_length=1)]
    beneficiary_info: Annotated[
        Annotated[PersonBeneficiary, Tag("person")] | Annotated[CompanyBeneficiary, Tag("company")],
        Discriminator(_kind),
    ]
    share_percentage: Share | None = None
    #: A name or a mark: the documents do not say which.
    attesting_party: Text | bool | None = None
    attested_at: PastTimestamp | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Beneficiary":
        """Require the time of an attestation, and a selfie of who acts for the company."""
        if self.attesting_party is not None and self.attested_at is None:
            raise ValueError("attested_at is required with attesting_party")
        person = self.beneficiary_info
        if (
            isinstance(person, PersonBeneficiary)
            and person.identity.selfie is None
            and {"Director", "Representative"} & {*self.roles}
        ):
            raise ValueError("a Director or Representative needs a selfie")
        return self

    @property
    def owned(self) -> Decimal:
        """The share held as ultimate beneficial owner."""
        return Decimal(self.share_percentage or 0) if "UltimateBeneficialOwner" in self.roles else Decimal(0)


class CompanyFacts(Strict):
    """What the register says."""

    company_name: Text
    registration_number: Text
    country: Country
    incorporation_date: PastDate
    legal_address: Text
    postal_address: Text
    address: Address
    email: Email
    tax_identification_number: Text
    website: Text
    company_type: enums.CompanyType
    alternative_names: tuple[Text, ...] | None = None


class CompanyDocument(Strict):
    """A document of the company."""

    type: enums.CompanyDocumentType
    country: Country
    file: File


class CompanyData(Strict):
    """A company at any level."""

    company_info: CompanyFacts
    beneficiaries: tuple[Beneficiary, ...]
    documents: Annotated[tuple[CompanyDocument, ...], Field(max_length=MOST_DOCUMENTS)]

    @model_validator(mode="after")
    def _directed_and_owned(self) -> "CompanyData":
        """Require a Director on each level, and owners of at most all of it."""
        if not any("Director" in one.roles for one in self.beneficiaries):
            raise ValueError("each level needs at least one Director")
        if sum(one.owned for one in self.beneficiaries) > 100:
            raise ValueError("the shares of ultimate beneficial owners exceed 100")
        if self.company_info.company_type == "SoleProprietorship":
            for one in self.beneficiaries:
                person = one.beneficiary_info
                owner = "UltimateBeneficialOwner" in one.roles and isinstance(person, PersonBeneficiary)
                if owner and isinstance(person, PersonBeneficiary) and person.tax_identification_number is None:
                    raise ValueError("the owner of a sole proprietorship needs a tax_identification_number")
        return self

    @property
    def depth(self) -> int:
        """How many levels of companies are below this one."""
        below = [one.beneficiary_info for one in self.beneficiaries]
        return max((1 + one.company_data.depth for one in below if isinstance(one, CompanyBeneficiary)), default=0)


# What only a Generic questionnaire asks is optional: three of these fields are gone, and nobody has seen which.


class GenericDetails(Strict):
    """What a company does."""

    industry_type: enums.Industry
    business_model_description: Text
    main_business_countries: Annotated[tuple[Country, ...], Field(min_length=1)]
    estimated_annual_revenue: enums.AnnualRevenue
    has_licenses_or_registrations: bool | None = None
    requires_aml_program: bool | None = None


class GenericActivities(Strict):
    """What a company plans."""

    purpose_and_intended_use: enums.BusinessPurpose
    estimated_monthly_volume: enums.BusinessVolume
    estimated_monthly_transactions: enums.BusinessTransactions
    sends_funds_on_customer_behalf: bool | None = None
    sends_funds_on_customer_behalf_description: Text | None = None
    flow_of_funds_diagram: File | None = None
    source_of_funds_document: File | None = None


class GenericFunds(Strict):
    """Where a company's money comes from."""

    source_of_funds: enums.BusinessFunds
    source_of_funds_description: Text | None = None
    customer_funds_handling_details: Text | None = None


class GenericQuestionnaire(Strict):
    """Questions to a company."""

    type: Literal["Generic"]
    business_details: GenericDetails
    planned_activities: GenericActivities
    source_of_funds: GenericFunds


class SolePropDetails(Strict):
    """What a sole proprietor does."""

    industry_type: enums.Industry
    business_model_description: Text
    main_business_countries: Annotated[tuple[Country, ...], Field(min_length=1)]
    estimated_annual_revenue: enums.AnnualRevenue


class SolePropActivities(Strict):
    """What a sole proprietor plans."""

    purpose_and_intended_use: enums.BusinessPurpose
    estimated_monthly_volume: enums.BusinessVolume
    estimated_monthly_transactions: enums.BusinessTransactions


class SolePropFunds(Strict):
    """Where a sole proprietor's money comes from."""

    source_of_funds: enums.BusinessFunds


class SolePropQuestionnaire(Strict):
    """Questions to a sole proprietor."""

    type: Literal["SoleProp"]
    business_details: SolePropDetails
    planned_activities: SolePropActivities
    source_of_funds: SolePropFunds


class BusinessIdentification(Strict):
    """Section 5.4."""

    type: Literal["Business"]
    company_data: CompanyData
    phone: Text
    ip_address: Ip
    questionnaire: Annotated[GenericQuestionnaire | SolePropQuestionnaire, Field(discriminator="type")]

    @model_validator(mode="after")
    def _shallow(self) -> "BusinessIdentification":
        """Companies within companies end somewhere."""
        if self.company_data.depth > DEEPEST:
            raise ValueError(f"companies are nested more than {DEEPEST} levels deep")
        return self
