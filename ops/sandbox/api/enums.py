"""The provider's closed lists of values (sections 2 and 5.6 of the fact sheet)."""

from typing import Literal

CustomerType = Literal["Person", "Business"]

#: What a webhook may be told of (section 3.19).
Topic = Literal[
    "Transaction",
    "NewBankAccount",
    "NewAutoramp",
    "DepositAddressCreated",
    "RegisterFiatAddressStatus",
    "RegisterAutorampStatus",
    "TransactionStatus",
    "CustomerCreated",
    "CustomerStatus",
    "IdentificationStatus",
    "Ping",
]

CUSTOMER_TYPES = frozenset({"Person", "Business"})
CUSTOMER_STATUSES = frozenset(
    {"UserRequired", "IdentificationRequired", "SigningsRequired", "Active", "Suspended", "Archived"},
)
IDENTIFICATION_STATUSES = frozenset(
    {"Pending", "Processed", "PendingReview", "Approved", "Declined", "Expired", "Archived"},
)

IntendedUse = Literal[
    "Investing",
    "PaymentToFriendsFamilyorOthers",
    "PurchaseDigitalAssets",
    "OnlinePurchasesOfGoodsOrServices",
    "Trading",
]
EmploymentStatus = Literal["Employed", "SelfEmployed", "Unemployed", "Retired", "Student"]
YearlyGrossIncome = Literal[
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
SourceOfWealth = Literal["Salary", "Savings", "Investments", "CryptoTrading", "Other"]
MonthlyCount = Literal["LessThan5", "Between5And10", "MoreThan10"]
MonthlyVolume = Literal["LessThan500", "MoreThan500LessThan2000", "MoreThan2000"]
NetWorth = Literal[
    "UpTo25000",
    "Between25001And50000",
    "Between50001And100000",
    "Between100001And300000",
    "Between300001And500000",
    "Between500001And1000000",
    "Over1000001",
]
Occupation = Literal[
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
IdentityDocumentType = Literal["Passport", "NationalId", "DriverLicense", "ResidencePermit"]
AttachmentType = Literal[
    "BusinessRegistrationDocument", "MemorandumOfAssociation", "ShareholdersRegistry", "Other", "ProofOfAddress"
]
Role = Literal["UltimateBeneficialOwner", "Representative", "Director", "Shareholder"]
CompanyType = Literal[
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
CompanyDocumentType = Literal[
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
AnnualRevenue = Literal["Under100K", "From100KTo1M", "From1MTo10M", "From10MTo50M", "From50MTo250M", "Over250M"]
BusinessTransactions = Literal[
    "LessThanTen", "TenToTwentyFive", "TwentyFiveToFifty", "FiftyToOneHundred", "MoreThanOneHundred"
]
BusinessVolume = Literal[
    "TenToTwentyFiveThousand",
    "TwentyFiveToFiftyThousand",
    "FiftyToOneHundredThousand",
    "OneHundredToTwoHundredFiftyThousand",
    "TwoHundredFiftyToFiveHundredThousand",
    "MoreThanFiveHundredThousand",
]
BusinessPurpose = Literal[
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
BusinessFunds = Literal[
    "BusinessRevenue",
    "ShareholderFunds",
    "VcPrivateEquity",
    "AssetSale",
    "IcoProceeds",
    "CryptoActivityProceeds",
    "LoanProceeds",
    "Other",
]
Industry = Literal[
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
