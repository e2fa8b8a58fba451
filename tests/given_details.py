"""Identifications with data, whole and valid, for tests that send or check them."""

from __future__ import annotations

import base64

FILE = base64.b64encode(b"a file").decode()
TIME = "2025-11-22T10:00:00Z"
ADDRESS = {"street_1": "Unter den Linden 1", "city": "Berlin", "zip_code": "10117", "country": "DE"}
KYC = {
    "employment_status": "Employed",
    "yearly_gross_income": "From50001To60000",
    "source_of_wealth": "Salary",
    "expected_monthly_transaction_count": "LessThan5",
    "expected_monthly_transaction_volume": "LessThan500",
}
EDD = {"occupation": "Retail", "approximate_net_worth": "UpTo25000", "source_of_funds_proof": FILE}
TOKEN = {
    "type": "Token",
    "token": "_act-sbx-jwt-eyJhbGciOiJub25lIn0.e30.",
    "intended_use": "Trading",
    "ip_address": "2001:db8::1",
    "kyc_questionnaire": KYC,
    "edd_questionnaire": EDD,
}
PERSON = {
    "type": "Person",
    "sharing_consent": True,
    "consent_collected_at": TIME,
    "first_name": "Ada",
    "last_name": "Example",
    "full_name": "Ada Example",
    "date_of_birth": "1990-02-28",
    "phone_number": "+4930123456",
    "email_address": "ada@example.com",
    "address": ADDRESS | {"street_2": "Hof", "state": "BE"},
    "identity": {
        "identity_country_code": "DE",
        "identity_document_type": "Passport",
        "identity_document_front": FILE,
        "identity_document_back": FILE,
        "identity_number": "C01X00T47",
        "selfie": FILE,
        "selfie_collected_at": TIME,
        "ip_address": "203.0.113.7",
        "nationality": "DE",
    },
    "intended_use": "Investing",
    "kyc_questionnaire": KYC,
    "edd_questionnaire": EDD,
    "documents": [{"name": "bill.pdf", "file": FILE, "type": "ProofOfAddress"}],
    "tax_identification_number": "12345678911",
}
HUMAN = {
    "first_name": "Ada",
    "middle_name": "B.",
    "last_name": "Example",
    "date_of_birth": "1990-02-28",
    "address": ADDRESS,
    "email_address": "ada@example.com",
    "phone_number": "+4930123456",
    "tax_jurisdiction_country_code": "DE",
    "tax_identification_number": "12345678911",
    "birth_place": {"place": "Berlin", "state": "BE", "country": "DE"},
    "identity": {
        "identity_country_code": "DE",
        "identity_document_type": "NationalId",
        "identity_document_front": FILE,
        "identity_document_expiry_date": "2031-02-28",
        "nationality": "DE",
        "selfie": FILE,
        "selfie_collected_at": TIME,
    },
    "proof_of_address": FILE,
}
DIRECTOR = {
    "roles": ["Director", "UltimateBeneficialOwner"],
    "beneficiary_info": HUMAN,
    "share_percentage": "60.5",
    "attesting_party": True,
    "attested_at": TIME,
}
COMPANY = {
    "company_info": {
        "company_name": "Example GmbH",
        "alternative_names": ["Beispiel"],
        "registration_number": "HRB 1",
        "country": "DE",
        "incorporation_date": "2020-02-29",
        "legal_address": "Unter den Linden 1, Berlin",
        "postal_address": "Unter den Linden 1, Berlin",
        "address": ADDRESS,
        "email": "office@example.com",
        "tax_identification_number": "DE1",
        "website": "https://example.com",
        "company_type": "LimitedLiabilityCompany",
    },
    "beneficiaries": [DIRECTOR],
    "documents": [{"type": "IncorporationCert", "country": "DE", "file": FILE}],
}
GENERIC = {
    "type": "Generic",
    "business_details": {
        "industry_type": "RegTech",
        "business_model_description": "We sell\nexamples.",
        "main_business_countries": ["DE", "FR"],
        "has_licenses_or_registrations": False,
        "requires_aml_program": False,
        "estimated_annual_revenue": "Under100K",
    },
    "planned_activities": {
        "purpose_and_intended_use": "EcommerceSales",
        "estimated_monthly_volume": "TenToTwentyFiveThousand",
        "estimated_monthly_transactions": "LessThanTen",
        "sends_funds_on_customer_behalf": True,
        "sends_funds_on_customer_behalf_description": "Payouts.",
        "flow_of_funds_diagram": FILE,
        "source_of_funds_document": FILE,
    },
    "source_of_funds": {
        "source_of_funds": "BusinessRevenue",
        "source_of_funds_description": "Sales.",
        "customer_funds_handling_details": "None are held.",
    },
}
BUSINESS = {
    "type": "Business",
    "company_data": COMPANY,
    "phone": "+4930123456",
    "ip_address": "203.0.113.7",
    "questionnaire": GENERIC,
}
WHOLE = {"Token": TOKEN, "Person": PERSON, "Business": BUSINESS}
