"""Identification of a person: by a hosted link, by a share token, or with data collected by the partner.

Source: iron-api.md sections 5.1 to 5.3, 5.5 and 5.6.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.identification.fields import (
    Consent,
    Country,
    Date,
    Details,
    Email,
    File,
    FileName,
    IpAddress,
    Name,
    Number,
    Phone,
    ShareToken,
    Text,
    Timestamp,
    TimeWithOffset,
)

IntendedUse = Literal[
    "Investing",
    "PaymentToFriendsFamilyorOthers",
    "PurchaseDigitalAssets",
    "OnlinePurchasesOfGoodsOrServices",
    "Trading",
]
DocumentType = Literal["Passport", "NationalId", "DriverLicense", "ResidencePermit"]


class Link(Details):
    """Iron's hosted page collects everything; the customer gets a link. For persons and businesses."""

    type: Literal["Link"] = "Link"
    with_edd: bool = False


class KycQuestionnaire(Details):
    """What Iron asks each person."""

    employment_status: Literal["Employed", "SelfEmployed", "Unemployed", "Retired", "Student"]
    yearly_gross_income: Literal[
        "LessThan20000",
        "From20001To30000",
        "From30001To40000",
        "From40001To50000",
        "From50001To60000",
        "From60001To70000",
        "From70001To80000",
        "From80001To90000",
        "From90001To100000",
        "From100001To110000",
        "From110001To120000",
        "From120001To130000",
        "From130001To140000",
        "From140001To150000",
        "MoreThan150000",
        "From150001To200000",
        "From200001To500000",
        "MoreThan500000",
    ]
    source_of_wealth: Literal["Salary", "Savings", "Investments", "CryptoTrading", "Other"]
    expected_monthly_transaction_count: Literal["LessThan5", "Between5And10", "MoreThan10"]
    expected_monthly_transaction_volume: Literal["LessThan500", "MoreThan500LessThan2000", "MoreThan2000"]


class EddQuestionnaire(Details):
    """What Iron asks a person for enhanced due diligence."""

    occupation: Literal[
        "Agriculture",
        "ArtsAndEntertainment",
        "Construction",
        "Education",
        "FinancialServices",
        "InformationAndTechnology",
        "Retail",
        "RealEstate",
        "Other",
        "BusinessOwner",
        "Healthcare",
        "Industrial",
        "LegalServices",
        "PublicSector",
        "SeniorManagement",
    ]
    approximate_net_worth: Literal[
        "UpTo25000",
        "Between25001And50000",
        "Between50001And100000",
        "Between100001And300000",
        "Between300001And500000",
        "Between500001And1000000",
        "Over1000001",
    ]
    source_of_funds_proof: File


class Token(Details):
    """A person already identified at Sumsub, handed over by a share token that works once and lives some minutes."""

    type: Literal["Token"]
    token: ShareToken
    intended_use: IntendedUse
    ip_address: IpAddress | None = None
    kyc_questionnaire: KycQuestionnaire | None = None
    edd_questionnaire: EddQuestionnaire | None = None


class Address(Details):
    """Where somebody lives or has their seat."""

    street_1: Text
    street_2: Text | None = None
    city: Text
    state: Text | None = None
    zip_code: Text
    country: Country


class PersonIdentity(Details):
    """A person's identity document and selfie."""

    identity_country_code: Country
    identity_document_type: DocumentType
    identity_document_front: File
    identity_document_back: File | None = None
    identity_number: Text | None = None
    selfie: File
    selfie_collected_at: TimeWithOffset
    ip_address: IpAddress
    nationality: Country


class IdentityDocument(Details):
    """A further document about a person."""

    name: FileName
    file: File
    type: Literal[
        "BusinessRegistrationDocument", "MemorandumOfAssociation", "ShareholdersRegistry", "Other", "ProofOfAddress"
    ]


class Person(Details):
    """A person whose data the partner collected, with their consent to hand them over."""

    type: Literal["Person"]
    sharing_consent: Consent
    consent_collected_at: Timestamp
    first_name: Name
    last_name: Text
    full_name: Name
    date_of_birth: Date
    phone_number: Phone
    email_address: Email
    address: Address
    identity: PersonIdentity
    intended_use: IntendedUse
    kyc_questionnaire: KycQuestionnaire
    edd_questionnaire: EddQuestionnaire | None = None
    documents: Annotated[list[IdentityDocument], Field(max_length=100)] | None = None
    tax_identification_number: Number | None = None
