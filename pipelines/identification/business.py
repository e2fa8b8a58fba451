"""Identification of a business with data collected by the partner: the company, its owners and directors, its activity.

What the fields must be to each other is in `checks`. Source: iron-api.md sections 5.4 and 5.6; and Iron's changelog of
October 2026 where Iron has changed since (iron-conformance.md): older and newer API versions ask for different fields,
so what only one of them requires is optional here.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag

from pipelines.identification.fields import (
    BusinessPhone,
    Country,
    Date,
    Details,
    Email,
    File,
    FoundingDate,
    IpAddress,
    Key,
    LastDate,
    Name,
    Number,
    Percentage,
    Phone,
    Prose,
    Text,
    TimeWithOffset,
)
from pipelines.identification.person import Address, DocumentType

#: Documents of one company. Four until 2026-10-05.
MAX_COMPANY_DOCUMENTS: Final = 8

Role = Literal["UltimateBeneficialOwner", "Representative", "Director", "Shareholder"]

IndustryType = Literal[
    "Agriculture",
    "Automotive",
    "BankingAndFinancialServices",
    "ConstructionAndRealEstate",
    "CryptocurrencyAndBlockchain",
    "CryptocurrencyMining",
    "DecentralisedFinance",
    "NftPlatforms",
    "CryptoPaymentProcessors",
    "CryptoWalletProviders",
    "CryptoExchanges",
    "CryptoCustodyServices",
    "EcommerceAndOnlineMarketplaces",
    "EducationAndTraining",
    "EnergyAndUtilities",
    "EntertainmentAndMedia",
    "GamingAndEsports",
    "HealthcareAndPharmaceuticals",
    "HospitalityAndTourism",
    "InformationTechnologyAndSoftware",
    "Insurance",
    "LegalAndProfessionalServices",
    "LogisticsAndTransportation",
    "ManufacturingAndIndustrial",
    "MetaversePlatforms",
    "MiningAndNaturalResources",
    "NonProfitAndCharitable",
    "RetailAndWholesaleTrade",
    "Telecommunications",
    "VentureCapitalAndPrivateEquity",
    "CasinosAndGambling",
    "MoneyServiceBusinesses",
    "SocialMediaAndNetworking",
    "CrowdfundingPlatforms",
    "RegTech",
    "Other",
]


class BirthPlace(Details):
    """Where a person was born."""

    place: Text
    state: Text
    country: Country


class BeneficiaryIdentity(Details):
    """A beneficiary's identity document, and the selfie of those who act for the company."""

    identity_country_code: Country
    identity_document_type: DocumentType
    identity_document_front: File
    identity_document_back: File | None = None
    identity_number: Text | None = None
    # The day on which the document expires came on 2026-10-08; its name has not been seen. These follow Iron's habits
    # (`identity_document_type`, `incorporation_date`); whichever is given goes to Iron as it is.
    identity_document_expiry_date: LastDate | None = None
    identity_document_expiration_date: LastDate | None = None
    identity_expiry_date: LastDate | None = None
    identity_expiration_date: LastDate | None = None
    expiry_date: LastDate | None = None
    expiration_date: LastDate | None = None
    nationality: Country
    selfie: File | None = None
    selfie_collected_at: TimeWithOffset | None = None


class PersonBeneficiaryInfo(Details):
    """A person who owns a company or acts for it."""

    first_name: Name
    middle_name: Text | None = None
    last_name: Text
    date_of_birth: Date
    address: Address
    email_address: Email
    phone_number: Phone
    tax_jurisdiction_country_code: Country
    tax_identification_number: Number | None = None
    birth_place: BirthPlace | None = None  # required before 2026-10-05
    identity: BeneficiaryIdentity
    proof_of_address: File | None = None


class CompanyBeneficiaryInfo(Details):
    """A company that owns a company."""

    company_data: CompanyData


def _kind(value: object) -> str:
    """Iron tells the two apart by this one field."""
    has_company = "company_data" in value if isinstance(value, dict) else hasattr(value, "company_data")
    return "<company>" if has_company else "<person>"


class CompanyBeneficiary(Details):
    """Somebody who owns a company or acts for it, and how."""

    roles: Annotated[list[Role], Field(min_length=1, max_length=4)]
    beneficiary_info: Annotated[
        Annotated[PersonBeneficiaryInfo, Tag("<person>")] | Annotated[CompanyBeneficiaryInfo, Tag("<company>")],
        Discriminator(_kind),
    ]
    share_percentage: Percentage | None = None
    attesting_party: bool | None = None
    attested_at: TimeWithOffset | None = None


class CompanyInfo(Details):
    """What a company is."""

    company_name: Name
    alternative_names: Annotated[list[Text], Field(max_length=100)] | None = None
    registration_number: Number
    country: Country
    incorporation_date: FoundingDate
    legal_address: Text
    postal_address: Text
    address: Address
    email: Email
    tax_identification_number: Number
    website: Key
    company_type: Literal[
        "LimitedLiabilityCompany",
        "PubliclyListedCompany",
        "SoleProprietorship",
        "Partnership",
        "Corporation",
        "Trust",
        "PrivateFoundation",
        "Charity",
        "NonprofitCorporation",
        "NonprofitOrganization",
        "PublicAgenciesOrAuthorities",
        "StockCorporationOutOfStock",
        "GeneralCorporation",
    ]


class CompanyDocument(Details):
    """A document about a company."""

    type: Literal[
        "PowerOfAttorney",
        "TransparencyRegistryExtract",
        "DirectorsRegistry",
        "GoodStandingCert",
        "IncorporationArticles",
        "IncorporationCert",
        "IncumbencyCert",
        "InformationStatement",
        "PartnershipAgreement",
        "ProofOfAddress",
        "ProofOfNatureOfBusiness",
        "RegulatoryLicense",
        "SelfDeclarationForm",
        "ShareholderRegistry",
        "StateRegistry",
        "TradeLicense",
        "TrustAgreement",
        "Other",
    ]
    country: Country
    file: File


class CompanyData(Details):
    """A company: the customer itself, or one among its owners."""

    company_info: CompanyInfo
    beneficiaries: Annotated[list[CompanyBeneficiary], Field(min_length=1, max_length=100)]
    documents: Annotated[list[CompanyDocument], Field(max_length=MAX_COMPANY_DOCUMENTS)]


class SolePropBusinessDetails(Details):
    """What a sole proprietor does."""

    industry_type: IndustryType
    business_model_description: Prose
    main_business_countries: Annotated[list[Country], Field(min_length=1, max_length=249)]
    estimated_annual_revenue: Literal[
        "Under100K", "From100KTo1M", "From1MTo10M", "From10MTo50M", "From50MTo250M", "Over250M"
    ]


# On 2026-10-08 Iron removed three fields of the Generic questionnaire; which ones has not been seen. Those that a sole
# proprietor is asked as well stay for certain: Iron would have named both questionnaires. So each field that only a
# Generic one has may be gone, and is optional; for an older API version Iron itself still asks for those it misses.
# That also holds for the three about the funds of others, which belong together and may be the three: whether they come
# with `sends_funds_on_customer_behalf` is no rule here any more.


class GenericBusinessDetails(SolePropBusinessDetails):
    """What a company does, and under which supervision."""

    has_licenses_or_registrations: bool | None = None
    requires_aml_program: bool | None = None


class SolePropPlannedActivities(Details):
    """What a sole proprietor wants Iron for."""

    purpose_and_intended_use: Literal[
        "ReceivingBusinessIncome",
        "BusinessPurchasesAndExpenses",
        "EmployeeAndContractorPayouts",
        "EcommerceSales",
        "TreasuryManagement",
        "PaymentIntermediary",
        "Investments",
        "TaxPlanning",
        "AssetProtection",
        "Other",
    ]
    estimated_monthly_volume: Literal[
        "TenToTwentyFiveThousand",
        "TwentyFiveToFiftyThousand",
        "FiftyToOneHundredThousand",
        "OneHundredToTwoHundredFiftyThousand",
        "TwoHundredFiftyToFiveHundredThousand",
        "MoreThanFiveHundredThousand",
    ]
    estimated_monthly_transactions: Literal[
        "LessThanTen", "TenToTwentyFive", "TwentyFiveToFifty", "FiftyToOneHundred", "MoreThanOneHundred"
    ]


class GenericPlannedActivities(SolePropPlannedActivities):
    """What a company wants Iron for; one that sends funds for its customers tells more."""

    sends_funds_on_customer_behalf: bool | None = None
    sends_funds_on_customer_behalf_description: Prose | None = None
    flow_of_funds_diagram: File | None = None
    source_of_funds_document: File | None = None


class SolePropSourceOfFunds(Details):
    """Where a sole proprietor's money comes from."""

    source_of_funds: Literal[
        "BusinessRevenue",
        "ShareholderFunds",
        "VcPrivateEquity",
        "AssetSale",
        "IcoProceeds",
        "CryptoActivityProceeds",
        "LoanProceeds",
        "Other",
    ]


class GenericSourceOfFunds(SolePropSourceOfFunds):
    """Where a company's money comes from."""

    source_of_funds_description: Prose | None = None
    customer_funds_handling_details: Prose | None = None


class GenericQuestionnaire(Details):
    """What Iron asks a company."""

    type: Literal["Generic"]
    business_details: GenericBusinessDetails
    planned_activities: GenericPlannedActivities
    source_of_funds: GenericSourceOfFunds


class SolePropQuestionnaire(Details):
    """What Iron asks a sole proprietor."""

    type: Literal["SoleProp"]
    business_details: SolePropBusinessDetails
    planned_activities: SolePropPlannedActivities
    source_of_funds: SolePropSourceOfFunds


def _questionnaire(value: object) -> str:
    kind = value.get("type", "Generic") if isinstance(value, dict) else getattr(value, "type", "Generic")
    return f"<{kind}>" if isinstance(kind, str) else "<?>"


class Business(Details):
    """A business whose data the partner collected."""

    type: Literal["Business"]
    company_data: CompanyData
    phone: BusinessPhone
    ip_address: IpAddress
    questionnaire: Annotated[
        Annotated[GenericQuestionnaire, Tag("<Generic>")] | Annotated[SolePropQuestionnaire, Tag("<SoleProp>")],
        Discriminator(_questionnaire),
    ]
