"""What the sandbox refuses: headers, paths, queries and bodies that the provider would refuse (sections 1, 3 and 5)."""

import base64
import copy
from typing import Any

import pytest

from ops.sandbox import Answer, Sandbox, Switches
from pipelines.identification.fields import MAX_COMPANY_DEPTH
from tests.given_details import WHOLE

PIXEL = base64.b64encode(b"a file").decode()

KYC = {
    "employment_status": "Employed",
    "yearly_gross_income": "From20001To30000",
    "source_of_wealth": "Salary",
    "expected_monthly_transaction_count": "LessThan5",
    "expected_monthly_transaction_volume": "LessThan500",
}
EDD = {"occupation": "Education", "approximate_net_worth": "UpTo25000", "source_of_funds_proof": PIXEL}
ADDRESS = {"street_1": "Example Street 1", "city": "Berlin", "zip_code": "10115", "country": "DE"}
UK = ADDRESS | {"city": "London", "country": "GB"}
LINK: dict[str, Any] = {"type": "Link", "with_edd": False}
TOKEN: dict[str, Any] = {
    "type": "Token",
    "token": "share-token",
    "intended_use": "Trading",
    "ip_address": "192.0.2.1",
    "kyc_questionnaire": KYC,
    "edd_questionnaire": EDD,
}
PERSON: dict[str, Any] = {
    "type": "Person",
    "sharing_consent": True,
    "consent_collected_at": "2026-01-10T09:00:00Z",
    "first_name": "Ada",
    "last_name": "Example",
    "full_name": "Ada Example",
    "date_of_birth": "1990-02-28",
    "phone_number": "+4915112345678",
    "email_address": "ada@example.com",
    "address": ADDRESS,
    "identity": {
        "identity_country_code": "DE",
        "identity_document_type": "Passport",
        "identity_document_front": PIXEL,
        "selfie": PIXEL,
        "selfie_collected_at": "2026-01-10T09:00:00+01:00",
        "ip_address": "2001:db8::1",
        "nationality": "DE",
    },
    "intended_use": "Investing",
    "kyc_questionnaire": KYC,
    "documents": [{"name": "proof.pdf", "file": PIXEL, "type": "ProofOfAddress"}],
}
DIRECTOR: dict[str, Any] = {
    "roles": ["Director", "UltimateBeneficialOwner"],
    "share_percentage": "60.5",
    "beneficiary_info": {
        "first_name": "Ada",
        "last_name": "Example",
        "date_of_birth": "1990-02-28",
        "address": ADDRESS,
        "email_address": "ada@example.com",
        "phone_number": "+4915112345678",
        "tax_jurisdiction_country_code": "DE",
        "birth_place": {"place": "Berlin", "state": "Berlin", "country": "DE"},
        "identity": {
            "identity_country_code": "DE",
            "identity_document_type": "NationalId",
            "identity_document_front": PIXEL,
            "nationality": "DE",
            "selfie": PIXEL,
            "selfie_collected_at": "2026-01-10T09:00:00Z",
        },
    },
}
COMPANY: dict[str, Any] = {
    "company_info": {
        "company_name": "Example GmbH",
        "registration_number": "HRB 1",
        "country": "DE",
        "incorporation_date": "2015-05-05",
        "legal_address": "Example Street 1, Berlin",
        "postal_address": "Example Street 1, Berlin",
        "address": ADDRESS,
        "email": "office@example.com",
        "tax_identification_number": "1",
        "website": "https://example.com",
        "company_type": "LimitedLiabilityCompany",
    },
    "beneficiaries": [DIRECTOR],
    "documents": [{"type": "StateRegistry", "country": "DE", "file": PIXEL}],
}
BUSINESS: dict[str, Any] = {
    "type": "Business",
    "company_data": COMPANY,
    "phone": "+4930123456",
    "ip_address": "192.0.2.1",
    "questionnaire": {
        "type": "Generic",
        "business_details": {
            "industry_type": "EducationAndTraining",
            "business_model_description": "Courses",
            "main_business_countries": ["DE"],
            "has_licenses_or_registrations": False,
            "requires_aml_program": False,
            "estimated_annual_revenue": "Under100K",
        },
        "planned_activities": {
            "purpose_and_intended_use": "EcommerceSales",
            "estimated_monthly_volume": "TenToTwentyFiveThousand",
            "estimated_monthly_transactions": "LessThanTen",
            "sends_funds_on_customer_behalf": False,
        },
        "source_of_funds": {
            "source_of_funds": "BusinessRevenue",
            "source_of_funds_description": "Sales",
            "customer_funds_handling_details": "None",
        },
    },
}
SOLE_PROP: dict[str, Any] = {
    "type": "SoleProp",
    "business_details": {
        "industry_type": "Other",
        "business_model_description": "Courses",
        "main_business_countries": ["DE"],
        "estimated_annual_revenue": "Under100K",
    },
    "planned_activities": {
        "purpose_and_intended_use": "Other",
        "estimated_monthly_volume": "TenToTwentyFiveThousand",
        "estimated_monthly_transactions": "LessThanTen",
    },
    "source_of_funds": {"source_of_funds": "BusinessRevenue"},
}
BODIES = {"Link": LINK, "Token": TOKEN, "Person": PERSON, "Business": BUSINESS}
ABSENT = object()


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with one field set, or taken away; numbers in the path are places in lists."""
    copied: Any = copy.deepcopy(body)
    *way, last = path.split(".")
    place = copied
    for step in way:
        place = place[int(step) if step.isdecimal() else step]
    if value is ABSENT:
        del place[last]
    else:
        place[int(last) if last.isdecimal() else last] = value
    return dict(copied)


def submit(sandbox: Sandbox, body: object, kind: str = "Person") -> Answer:
    """Create a fresh customer and submit an identification."""
    number = len(sandbox.effects)
    customer = {"customer_type": kind, "email": "ada@example.com"}
    customer_id = sandbox.request("POST", "/api/customers", customer, key=f"customer {number}").json()["id"]
    path = f"/api/customers/{customer_id}/identifications/v2"
    return sandbox.request("POST", path, body, key=f"identification {number}")


def refused(sandbox: Sandbox, answer: Answer, status: int = 400) -> None:
    """Assert a refusal in the documented form that created no identification."""
    assert answer.status == status, answer.body
    assert isinstance(answer.json(), str)
    assert "create_identification" not in sandbox.effects.totals()


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still."""
    return Sandbox()


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("Link", "Person", "Pending"),
        ("Link", "Business", "Pending"),
        ("Token", "Person", "Processed"),
        ("Person", "Person", "Processed"),
        ("Business", "Business", "Processed"),
    ],
)
def test_complete_bodies_are_accepted(sandbox: Sandbox, name: str, kind: str, status: str) -> None:
    """Each of the four types is accepted; only Link, and data with gaps, leave a link to be followed."""
    answer = submit(sandbox, BODIES[name], kind)
    assert answer.status == 201, answer.body
    assert answer.json()["status"] == status
    assert (answer.json()["url"] is not None) is (status == "Pending")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (changed(TOKEN, "kyc_questionnaire", ABSENT), "Person"),
        (changed(BUSINESS, "company_data.documents", []), "Business"),
    ],
)
def test_gaps_are_asked_for_by_link(sandbox: Sandbox, body: dict[str, Any], kind: str) -> None:
    """Submitted data with gaps stay Pending and get a link that asks for the rest."""
    answer = submit(sandbox, body, kind)
    assert (answer.status, answer.json()["status"]) == (201, "Pending")
    assert answer.json()["url"]


@pytest.mark.parametrize(("name", "kind"), [("Business", "Person"), ("Person", "Business"), ("Token", "Business")])
def test_type_must_fit_the_customer(sandbox: Sandbox, name: str, kind: str) -> None:
    """A person's data on a company, and the reverse, are refused."""
    refused(sandbox, submit(sandbox, BODIES[name], kind))


#: What only a Generic questionnaire asks: three of them are gone since 2026-10-08.
MAYBE_GONE = (
    "has_licenses_or_registrations",
    "requires_aml_program",
    "sends_funds_on_customer_behalf",
    "source_of_funds_description",
    "customer_funds_handling_details",
)


def required_fields(body: dict[str, Any], prefix: str = "") -> list[str]:
    """List every field of a sample that must not be missing."""
    optional = {
        "with_edd",
        "ip_address" if body.get("type") == "Token" else "",
        "edd_questionnaire",
        "share_percentage",
        "birth_place",
        *MAYBE_GONE,
    }
    optional |= {"kyc_questionnaire"} if body.get("type") == "Token" else set()
    optional |= {"documents"} if body.get("type") == "Person" else set()
    found = []
    for name, value in body.items():
        path = f"{prefix}{name}"
        if name not in optional:
            found.append(path)
        if isinstance(value, dict):
            found += required_fields(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found += required_fields(value[0], f"{path}.0.")
    return found


CASES = [(name, path) for name, body in BODIES.items() for path in required_fields(body)]


@pytest.mark.parametrize(("name", "path"), CASES, ids=str)
def test_a_missing_field_is_refused(sandbox: Sandbox, name: str, path: str) -> None:
    """Without any one of its required fields, at any depth, a body is refused."""
    kind = "Business" if name == "Business" else "Person"
    refused(sandbox, submit(sandbox, changed(BODIES[name], path, ABSENT), kind))


def objects(body: dict[str, Any], prefix: str = "") -> list[str]:
    """List every object in a sample."""
    found = [prefix]
    for name, value in body.items():
        if isinstance(value, dict):
            found += objects(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found += objects(value[0], f"{prefix}{name}.0.")
    return found


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, body in BODIES.items() for path in objects(body)])
def test_an_unknown_field_is_refused(sandbox: Sandbox, name: str, path: str) -> None:
    """A field that no document names is refused at any depth."""
    kind = "Business" if name == "Business" else "Person"
    refused(sandbox, submit(sandbox, changed(BODIES[name], f"{path}surprise", 1), kind))


SOLE = changed(
    changed(BUSINESS, "questionnaire", SOLE_PROP), "company_data.company_info.company_type", "SoleProprietorship"
)
NESTED = changed(
    BUSINESS,
    "company_data.beneficiaries",
    [DIRECTOR, {"roles": ["Shareholder"], "beneficiary_info": {"company_data": COMPANY}}],
)


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        (LINK, "type", "Direct"),
        (LINK, "with_edd", "true"),
        (TOKEN, "intended_use", "Fun"),
        (TOKEN, "ip_address", "1.2.3"),
        (TOKEN, "kyc_questionnaire.employment_status", "Busy"),
        (PERSON, "sharing_consent", False),
        (PERSON, "sharing_consent", 1),
        (PERSON, "consent_collected_at", "2026-01-10T09:00:00+00:00"),
        (PERSON, "consent_collected_at", "2026-13-10T09:00:00Z"),
        (PERSON, "date_of_birth", "1990-02-30"),
        (PERSON, "date_of_birth", "28.02.1990"),
        (PERSON, "date_of_birth", "2090-01-01"),
        (PERSON, "phone_number", "015112345678"),
        (PERSON, "phone_number", "+49 151 12345678"),
        (PERSON, "email_address", "ada"),
        (PERSON, "address.country", "DEU"),
        (PERSON, "address.country", "XX"),
        (PERSON, "address.country", "US"),
        (PERSON, "identity.nationality", "US"),
        *((PERSON, "address", UK | {"zip_code": code}) for code in ("10115", "EC1A", "EC1A  1BB", "FIQQ 1ZZ")),
        (BUSINESS, "company_data.company_info.address", UK | {"zip_code": "10115"}),
        (BUSINESS, "company_data.beneficiaries.0.beneficiary_info.address", UK | {"zip_code": "10115"}),
        (PERSON, "identity.selfie_collected_at", "2026-01-10T09:00:00"),
        (PERSON, "identity.selfie", f"data:image/png;base64,{PIXEL}"),
        (PERSON, "identity.selfie", "not base64!"),
        (PERSON, "identity.selfie", ""),
        (PERSON, "identity.identity_document_type", "LibraryCard"),
        (PERSON, "documents.0.name", "no-extension"),
        (PERSON, "documents.0.type", "Passport"),
        (BUSINESS, "company_data.beneficiaries", []),
        (BUSINESS, "company_data.beneficiaries.0.roles", []),
        (BUSINESS, "company_data.beneficiaries.0.roles", ["UltimateBeneficialOwner"]),
        (BUSINESS, "company_data.beneficiaries.0.share_percentage", "100.1"),
        (BUSINESS, "company_data.beneficiaries.0.share_percentage", 60),
        (BUSINESS, "company_data.beneficiaries", [DIRECTOR, DIRECTOR]),
        (BUSINESS, "company_data.beneficiaries.0.attesting_party", "Ada Example"),
        (BUSINESS, "company_data.beneficiaries.0.attested_at", "2026-02-01T00:00:00Z"),
        (BUSINESS, "company_data.documents", COMPANY["documents"] * 9),
        (BUSINESS, "company_data.company_info.company_type", "Club"),
        (BUSINESS, "questionnaire.type", "Other"),
        (BUSINESS, "phone", ""),
        (BUSINESS, "company_data.beneficiaries.0.beneficiary_info.identity.expiry_date", "28.02.2031"),
        (SOLE, "company_data.company_info.tax_identification_number", ""),
        (NESTED, "company_data.beneficiaries.1.beneficiary_info.company_data.beneficiaries.0.roles", ["Shareholder"]),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)
def test_a_wrong_value_is_refused(sandbox: Sandbox, body: dict[str, Any], path: str, value: object) -> None:
    """Enums, formats and the rules across fields are enforced, and no message repeats the value."""
    kind = "Business" if body["type"] == "Business" else "Person"
    answer = submit(sandbox, changed(body, path, value), kind)
    refused(sandbox, answer)
    if path.endswith(("email_address", "phone_number", "selfie")) and value:
        assert str(value) not in answer.json()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("company_data.beneficiaries.0.beneficiary_info.birth_place", ABSENT),
        ("company_data.beneficiaries.0.beneficiary_info.identity.identity_document_expiry_date", "2031-02-28"),
        ("company_data.beneficiaries.0.beneficiary_info.identity.expiration_date", "2031-02-28"),
        ("company_data.documents", COMPANY["documents"] * 8),
        ("phone", "(030) 12 34 56"),
        ("questionnaire.planned_activities.sends_funds_on_customer_behalf", True),
        *((f"questionnaire.business_details.{name}", ABSENT) for name in MAYBE_GONE[:2]),
        ("questionnaire.planned_activities.sends_funds_on_customer_behalf", ABSENT),
        *((f"questionnaire.source_of_funds.{name}", ABSENT) for name in MAYBE_GONE[3:]),
    ],
)
def test_what_changed_in_october_is_accepted(sandbox: Sandbox, path: str, value: object) -> None:
    """A company's body fits older and newer API versions: what only one of them requires may be left out."""
    assert submit(sandbox, changed(BUSINESS, path, value), "Business").status == 201


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("address", UK | {"zip_code": code}) for code in ("EC1A 1BB", "ec1a1bb", "M1 1AE", "GIR 0AA")),
        ("identity.selfie_collected_at", "2026-01-10t09:00:00.5z"),
        ("identity.selfie_collected_at", "2026-01-10T09:00:00-05:30"),
    ],
)
def test_forms_that_are_accepted(sandbox: Sandbox, path: str, value: object) -> None:
    """A postcode in either case, with the blank or without, and times as RFC 3339 has them, are accepted."""
    assert submit(sandbox, changed(PERSON, path, value)).status == 201


@pytest.mark.parametrize("path", ["address.country", "identity.nationality"])
def test_the_united_states_ask_for_a_tax_number(sandbox: Sandbox, path: str) -> None:
    """With their tax number, residents and citizens are accepted."""
    american = changed(PERSON, path, "US")
    assert submit(sandbox, changed(american, "tax_identification_number", "123-45-6789")).status == 201


@pytest.mark.parametrize("kind", WHOLE)
def test_what_the_product_takes_whole_is_accepted(sandbox: Sandbox, kind: str) -> None:
    """Each identification with every field that the product knows is accepted."""
    assert submit(sandbox, WHOLE[kind], "Business" if kind == "Business" else "Person").status == 201


def test_sole_proprietor_gives_a_tax_number(sandbox: Sandbox) -> None:
    """The owner of a sole proprietorship needs a tax number; with it the body is accepted."""
    refused(sandbox, submit(sandbox, SOLE, "Business"))
    path = "company_data.beneficiaries.0.beneficiary_info.tax_identification_number"
    assert submit(sandbox, changed(SOLE, path, "123"), "Business").status == 201


def test_companies_nest_to_a_limit(sandbox: Sandbox) -> None:
    """A company may be owned by companies as deep as the product takes them, and not endlessly."""
    assert submit(sandbox, NESTED, "Business").status == 201
    company, answers = COMPANY, []
    for _ in range(MAX_COMPANY_DEPTH):
        answers.append(submit(sandbox, changed(BUSINESS, "company_data", company), "Business").status)
        owner = {"roles": ["Shareholder"], "beneficiary_info": {"company_data": company}}
        company = changed(COMPANY, "beneficiaries", [DIRECTOR, owner])
    assert answers == [201] * MAX_COMPANY_DEPTH
    assert submit(sandbox, changed(BUSINESS, "company_data", company), "Business").status == 400


@pytest.mark.parametrize(("size", "status"), [(10 * 1024 * 1024, 201), (10 * 1024 * 1024 + 1, 400)])
def test_a_file_has_at_most_10_mb(sandbox: Sandbox, size: int, status: int) -> None:
    """The limit is on the decoded file, to the byte."""
    body = changed(PERSON, "identity.selfie", base64.b64encode(bytes(size)).decode())
    assert submit(sandbox, body).status == status


def test_with_edd_is_for_persons(sandbox: Sandbox) -> None:
    """Enhanced due diligence cannot be asked of a company, and is shown on a person's record."""
    refused(sandbox, submit(sandbox, {"type": "Link", "with_edd": True}, "Business"))
    assert submit(sandbox, {"type": "Link", "with_edd": True}).json()["with_edd"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"email": "ada@example.com"},
        {"customer_type": "Person"},
        {"customer_type": "Robot", "email": "ada@example.com"},
        {"customer_type": "Person", "email": "ada"},
        {"customer_type": "Person", "email": "ada@office.local"},
        {"customer_type": "Person", "email": "ada@example.com", "first_name": "Ada"},
        {"customer_type": "Person", "email": "ada@example.com", "external_id": ""},
        {"customer_type": "Person", "email": "ada@example.com", "external_id": 1},
        [],
        None,
    ],
)
def test_wrong_customers_are_refused(sandbox: Sandbox, body: object) -> None:
    """A customer needs type and e-mail, and has no fields beyond the documented four."""
    answer = sandbox.request("POST", "/api/customers", body, key="k")
    assert answer.status == 400
    assert isinstance(answer.json(), str)
    assert len(sandbox.effects) == 0


def test_wrong_signings_are_refused() -> None:
    """A signature needs consent, a document that is required, and a customer who is to sign."""
    sandbox = Sandbox(switches=Switches(approval_delay_s=0))
    customer = {"customer_type": "Person", "email": "ada@example.com"}
    customer_id = sandbox.request("POST", "/api/customers", customer, key="k").json()["id"]
    path = f"/api/customers/{customer_id}"
    sandbox.request("POST", f"{path}/identifications/v2", {"type": "Link"}, key="k")
    content_id = sandbox.request("GET", "/api/terms-and-conditions?country=DE").json()[0]["id"]

    def sign(key: str, **body: object) -> int:
        return sandbox.request("POST", f"{path}/signings", body, key=key).status

    assert sign("early", signed=True, content_id=content_id) == 422
    sandbox.advance(10)
    assert sign("refuses", signed=False, content_id=content_id) == 422
    assert sign("what", signed=True) == 422
    assert sign("form", signed=True, content_id="x") == 422
    assert sign("type", signed="true", content_id=content_id) == 422
    assert sign("extra", signed=True, content_id=content_id, surprise=1) == 422
    assert sign("unknown", signed=True, content_id=customer_id) == 404
    assert "create_signing" not in sandbox.effects.totals()
    assert sign("good", signed=True, content_id=content_id, content_type="Url") == 201
    assert sign("again", signed=True, content_id=content_id) == 422
    sandbox.switches.signing_again = "accept"
    assert sign("twice", signed=True, content_id=content_id) == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/customers/not-a-uuid", 400),
        ("GET", "/api/customers/00000000-0000-4000-8000-000000000000", 404),
        ("GET", "/api/identifications/00000000-0000-4000-8000-000000000000", 404),
        ("GET", "/api/customers?page_size=0", 400),
        ("GET", "/api/customers?page_size=101", 400),
        ("GET", "/api/customers?page_size=x", 400),
        ("GET", "/api/customers?cursor=x", 400),
        ("GET", "/api/customers?cursor=00000000-0000-4000-8000-000000000000", 400),
        ("GET", "/api/customers?status=Happy", 400),
        ("GET", "/api/customers?sort_order=up", 400),
        ("GET", "/api/customers?search_term=" + "x" * 257, 400),
        ("GET", "/api/terms-and-conditions", 400),
        ("GET", "/api/terms-and-conditions?country=Germany", 400),
        ("PATCH", "/api/customers/00000000-0000-4000-8000-000000000000", 405),
        ("GET", "/api/nothing", 404),
        ("GET", "/customers", 404),
    ],
)
def test_wrong_paths_and_queries_are_refused(sandbox: Sandbox, method: str, path: str, status: int) -> None:
    """Ids, pages, filters and routes are checked."""
    answer = sandbox.request(method, path)
    assert answer.status == status
    assert isinstance(answer.json(), str)


def test_headers_are_checked(sandbox: Sandbox) -> None:
    """No call without an API key, no marked POST without an idempotency key, no unknown version, no other body type."""
    body = {"customer_type": "Person", "email": "ada@example.com"}
    for api_key in ("", "1234567"):
        answer = sandbox.request("POST", "/api/customers", body, key="k", api_key=api_key)
        assert (answer.status, answer.body) == (401, b"authorization error")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert sandbox.request("POST", "/api/customers", body).status == 400
    assert sandbox.request("POST", "/api/customers", body, key="").status == 400
    assert sandbox.request("GET", "/api/customers", headers={"X-API-Version": "2020-01-01"}).status == 400
    for version in ("", "2025-03-13", "2026-07-01", "2026-08-01"):
        assert sandbox.request("GET", "/api/customers", headers={"X-API-Version": version}).status == 200
    text = sandbox.request("POST", "/api/customers", body, key="k", headers={"Content-Type": "text/plain"})
    assert text.status == 415
    assert len(sandbox.effects) == 0


def test_error_bodies_can_be_switched(sandbox: Sandbox) -> None:
    """The form of an error body is a JSON string by default, and can be plain text or nothing."""
    path = "/api/customers/not-a-uuid"
    assert sandbox.request("GET", path).headers["content-type"] == "application/json; charset=utf-8"
    sandbox.switches.error_bodies = "text"
    assert sandbox.request("GET", path).headers["content-type"] == "text/plain; charset=utf-8"
    sandbox.switches.error_bodies = "empty"
    assert sandbox.request("GET", path).body == b""
