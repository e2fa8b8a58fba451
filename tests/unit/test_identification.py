"""Identifications with data: every field of Iron's tables, and what the fields must be to each other."""

from __future__ import annotations

import base64
import json
from itertools import combinations
from typing import Any, get_args

import pytest

from pipelines.identification import Business, Person, Token
from pipelines.identification.business import (
    GenericBusinessDetails,
    GenericPlannedActivities,
    GenericSourceOfFunds,
    SolePropBusinessDetails,
    SolePropPlannedActivities,
    SolePropSourceOfFunds,
)
from pipelines.identification.countries import COUNTRIES
from pipelines.identification.fields import MAX_COMPANY_DEPTH, MAX_FILE_BYTES, MAX_UNKNOWN_DEPTH
from pipelines.job import Job, JobInvalidError, JobRules, parse_job
from pipelines.keys import fingerprint
from tests.given_details import (
    ADDRESS,
    BUSINESS,
    COMPANY,
    DIRECTOR,
    FILE,
    GENERIC,
    HUMAN,
    PERSON,
    TIME,
    WHOLE,
)


def job(identification: dict[str, Any]) -> dict[str, Any]:
    """Give a job with this identification, for the customer that it is for."""
    customer_type = "Business" if identification["type"] == "Business" else "Person"
    return {
        "idempotency_key": "k",
        "customer": {"customer_type": customer_type, "email": "a@b.cd"},
        "identification": identification,
    }


def changed(identification: dict[str, Any], pointer: str, value: object) -> dict[str, Any]:
    """Give an identification with another value in one place; `...` takes the field away."""
    result: Any = json.loads(json.dumps(identification))
    place = result
    *steps, last = pointer.split("/")[1:]
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return result


def problems(identification: dict[str, Any], rules: JobRules = JobRules()) -> list[tuple[str, str]]:  # noqa: B008
    """Give pointer (below the identification) and code of every problem."""
    try:
        parse_job(job(identification), rules)
    except JobInvalidError as error:
        return [(problem.pointer.removeprefix("/identification"), problem.code) for problem in error.problems]
    return []


def at(value: Any, pointer: str) -> Any:
    """Give what stands in one place."""
    for step in pointer.split("/")[1:]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def fields(value: object, pointer: str = "") -> list[str]:
    """List the pointers of all fields in a value."""
    if isinstance(value, dict):
        return [
            place for name, part in value.items() for place in [f"{pointer}/{name}", *fields(part, f"{pointer}/{name}")]
        ]
    if isinstance(value, list):
        return [place for number, part in enumerate(value) for place in fields(part, f"{pointer}/{number}")]
    return []


@pytest.mark.parametrize("kind", WHOLE)
def test_whole(kind: str) -> None:
    """An identification with every field is taken, and its canonical form is the body that goes to Iron."""
    parsed = parse_job(job(WHOLE[kind]))
    assert parsed.canonical()["identification"] == WHOLE[kind]
    assert parse_job(parsed.canonical()) == parsed


@pytest.mark.parametrize(
    ("model", "required"),
    [
        (Token, "type token intended_use"),
        (
            Person,
            (
                "type sharing_consent consent_collected_at first_name last_name full_name date_of_birth phone_number "
                "email_address address identity intended_use kyc_questionnaire"
            ),
        ),
        (Business, "type company_data phone ip_address questionnaire"),
    ],
)
def test_required_fields(model: Any, required: str) -> None:
    """The required fields are those of iron-api.md section 5."""
    assert {name for name, field in model.model_fields.items() if field.is_required()} == set(required.split())


#: What Iron may call the day on which a beneficiary's identity document expires.
EXPIRY_NAMES = (
    "identity_document_expiry_date",
    "identity_document_expiration_date",
    "identity_expiry_date",
    "identity_expiration_date",
    "expiry_date",
    "expiration_date",
)

#: What a Generic questionnaire asks and that of a sole proprietor does not: three of them Iron asks no more.
MAYBE_GONE = [
    f"{part}/{name}"
    for part, generic, sole in (
        ("business_details", GenericBusinessDetails, SolePropBusinessDetails),
        ("planned_activities", GenericPlannedActivities, SolePropPlannedActivities),
        ("source_of_funds", GenericSourceOfFunds, SolePropSourceOfFunds),
    )
    for name in generic.model_fields
    if name not in sole.model_fields
]

#: Fields that may be left out, by their names; where one name is both, by the end of the pointer.
OPTIONAL = (
    "edd_questionnaire",
    "Person/documents",
    "Person/tax_identification_number",
    "beneficiary_info/tax_identification_number",
    "Token/ip_address",
    "Token/kyc_questionnaire",
    "address/street_2",
    "address/state",
    "identity_document_back",
    "identity_number",
    "middle_name",
    "proof_of_address",
    "alternative_names",
    "share_percentage",
    "birth_place",
    *EXPIRY_NAMES,
    *MAYBE_GONE,
)

#: Fields whose absence is another problem than that they are missing, or none at all; each has its own test.
OTHERWISE = ("type", "attesting_party", "attested_at", "selfie", "selfie_collected_at")

EVERY_FIELD = [(kind, place) for kind, whole in WHOLE.items() for place in fields(whole)]


@pytest.mark.parametrize(("kind", "pointer"), [(kind, place) for kind, place in EVERY_FIELD if place != "/type"])
def test_each_field(kind: str, pointer: str) -> None:
    """Each field is required or optional as in Iron's tables; a wrong kind of value and an unknown field are told."""
    parent, name = pointer.rsplit("/", 1)
    if name not in OTHERWISE:
        optional = f"{kind}{pointer}".endswith(OPTIONAL)
        assert problems(changed(WHOLE[kind], pointer, ...)) == ([] if optional else [(pointer, "missing")])
    assert any(place.startswith(pointer) for place, _ in problems(changed(WHOLE[kind], pointer, 7)))
    assert problems(changed(WHOLE[kind], f"{parent}/surprise", 1)) == [(f"{parent}/surprise", "unknown_field")]


#: Times that come from the partner's own systems, in any offset.
TIMES_WITH_OFFSET = [
    ("Person", "/identity/selfie_collected_at"),
    ("Business", "/company_data/beneficiaries/0/attested_at"),
    ("Business", "/company_data/beneficiaries/0/beneficiary_info/identity/selfie_collected_at"),
]

#: What is no postcode of the United Kingdom. The last three are of overseas territories, which are countries of ISO.
UK_NONE = (
    *("10117", "E", "EC1A", "EC1A  1BB", " EC1A 1BB", "EC1A-1BB", "EC1A 1B", "EC1A 1BBB", "1C1A 1BB", "ECAA 1BB"),
    *("EC1A BBB", "EC123 1BB", "ECAA1 1BB", "EC1A 1CB", "EC1A 1BO", "\uff25C1A 1BB", "EC1A 1BB.", "GIR 1AA"),
    *("FIQQ 1ZZ", "ASCN 1ZZ", "BBND 1ZZ"),
)


@pytest.mark.parametrize(
    ("kind", "pointer", "value", "code"),
    [
        ("Person", "/sharing_consent", False, "consent_missing"),
        ("Person", "/consent_collected_at", "2026-11-22T10:00:00+00:00", "not_a_timestamp"),
        ("Person", "/consent_collected_at", "2026-11-22T10:00:00", "not_a_timestamp"),
        ("Person", "/consent_collected_at", "2026-02-30T10:00:00Z", "not_a_timestamp"),
        ("Person", "/consent_collected_at", "2026-11-22T25:00:00Z", "not_a_timestamp"),
        *(
            (kind, place, time, "not_a_time_with_offset")
            for kind, place in TIMES_WITH_OFFSET
            for time in (
                "2026-11-22T10:00:00",
                "2026-11-22",
                "2026-02-30T10:00:00Z",
                "2026-11-22T25:00:00+01:00",
                "2026-11-22T10:00:00+0100",
                "2026-11-22T10:00:00+24:00",
                "2026-11-22T10:00:00-01:60",
                "2026-11-22T10:00:00 CET",
                "2026-11-22T10:00Z",
            )
        ),
        ("Person", "/date_of_birth", "28.02.1990", "not_a_date"),
        ("Person", "/date_of_birth", "1990-02-30", "not_a_date"),
        ("Person", "/date_of_birth", "19900228", "not_a_date"),
        ("Person", "/phone_number", "030 123456", "not_a_phone_number"),
        ("Person", "/phone_number", "+0301234567", "not_a_phone_number"),
        ("Person", "/phone_number", "+4930123456789012", "not_a_phone_number"),
        ("Person", "/phone_number", "+\u0664\u0669123456789", "not_a_phone_number"),
        ("Person", "/email_address", "ada", "not_an_email"),
        ("Person", "/address/country", "de", "not_a_country"),
        ("Person", "/address/country", "UK", "not_a_country"),
        ("Person", "/identity/nationality", "DEU", "not_a_country"),
        ("Person", "/identity/ip_address", "203.0.113", "not_an_ip_address"),
        ("Person", "/identity/ip_address", "fe80::1%eth0", "not_an_ip_address"),
        ("Person", "/identity/identity_document_type", "LibraryCard", "not_one_of"),
        ("Person", "/identity/selfie", "", "empty"),
        ("Person", "/identity/selfie", f"data:image/png;base64,{FILE}", "data_url_prefix"),
        ("Person", "/identity/selfie", "no base64!", "not_a_file_in_base64"),
        ("Person", "/identity/selfie", "YQ", "not_a_file_in_base64"),
        ("Person", "/identity/selfie", f"{FILE}\n", "not_a_file_in_base64"),
        ("Person", "/identity/selfie", "\u00e4\u00e4\u00e4\u00e4", "not_a_file_in_base64"),
        ("Person", "/documents/0/name", "bill", "file_name_without_extension"),
        ("Person", "/documents/0/name", "../bill.pdf", "file_name_without_extension"),
        ("Person", "/kyc_questionnaire/source_of_wealth", "Luck", "not_one_of"),
        ("Token", "/token", "a b", "not_printable"),
        ("Token", "/intended_use", "trading", "not_one_of"),
        ("Business", "/questionnaire/type", "Other", "not_one_of"),
        ("Business", "/company_data/company_info/company_type", "GmbH", "not_one_of"),
        ("Business", "/company_data/beneficiaries/0/share_percentage", "100.1", "not_a_percentage"),
        ("Business", "/company_data/beneficiaries/0/share_percentage", "-1", "not_a_percentage"),
        ("Business", "/company_data/beneficiaries/0/share_percentage", "1e1", "not_a_percentage"),
        ("Business", "/company_data/beneficiaries/0/share_percentage", 60.5, "not_text"),
        ("Business", "/company_data/documents", COMPANY["documents"] * 9, "too_many"),  # type: ignore[operator]
        ("Business", "/company_data/beneficiaries", [], "too_few"),
        ("Business", "/questionnaire/business_details/main_business_countries", [], "too_few"),
    ],
)  # fmt: skip
def test_formats(kind: str, pointer: str, value: object, code: str) -> None:
    """A value of the right kind and the wrong form is told once, at its place, with its own code."""
    assert problems(changed(WHOLE[kind], pointer, value)) == [(pointer, code)]


@pytest.mark.parametrize(("kind", "pointer"), TIMES_WITH_OFFSET)
@pytest.mark.parametrize(
    "time",
    [
        "2025-11-22T10:00:00Z",
        "2025-11-22T11:00:00+01:00",
        "2025-11-22T04:30:00.123456789-05:30",
        "2025-11-22T10:00:00-00:00",
        "2025-11-22t10:00:00z",
        "2025-11-22T23:59:59+14:00",
    ],
)
def test_times_with_offset(kind: str, pointer: str, time: str) -> None:
    """A selfie and an attestation have their time as RFC 3339 writes it, with any offset, sent on as it was given."""
    known = changed(WHOLE[kind], pointer, time)
    assert parse_job(job(known)).canonical()["identification"] == known


#: Where addresses are: a pointer to each.
ADDRESSES = [(kind, place) for kind, place in EVERY_FIELD if place.endswith("/address")]


@pytest.mark.parametrize(("kind", "pointer"), ADDRESSES)
def test_uk_postcodes(kind: str, pointer: str) -> None:
    """A postcode of the United Kingdom has its form at each address, with the blank or without; others are free."""
    for code in ("EC1A 1BB", "W1A0AX", "m1 1ae", "B33 8TH", "CR26XH", "dn55 1pt", "GIR 0AA", "BF1 2AU", "BX1 1LT"):
        place = ADDRESS | {"country": "GB", "zip_code": code}
        assert problems(changed(WHOLE[kind], pointer, place)) == []
    for code in UK_NONE:
        place = ADDRESS | {"country": "GB", "zip_code": code}
        assert problems(changed(WHOLE[kind], pointer, place)) == [(f"{pointer}/zip_code", "not_a_uk_postcode")]
    for country in ("IE", "FK", "GI", "US"):
        place = ADDRESS | {"country": country, "zip_code": "FIQQ 1ZZ"}
        assert ("not_a_uk_postcode") not in [code for _, code in problems(changed(WHOLE[kind], pointer, place))]


def test_uk_postcode_of_an_owner_of_an_owner() -> None:
    """Addresses of companies and people further up are looked at, too; a postcode that is no text is told once."""
    human = HUMAN | {"address": ADDRESS | {"country": "GB"}}
    within = company(owner("10", "Director", beneficiary_info=human))
    where = "/company_data/beneficiaries/1/beneficiary_info/company_data/beneficiaries/0/beneficiary_info/address"
    assert problems(business(DIRECTOR, nested(within))) == [(f"{where}/zip_code", "not_a_uk_postcode")]
    for wrong, code in ((7, "not_text"), ("", "empty"), (None, "not_text")):
        place = ADDRESS | {"country": "GB", "zip_code": wrong}
        assert problems(changed(PERSON, "/address", place)) == [("/address/zip_code", code)]


@pytest.mark.parametrize("reason", ["/address/country", "/identity/nationality"])
def test_tax_number_of_the_united_states(reason: str) -> None:
    """Citizens and residents of the United States give their SSN or ITIN, told beside the other problems."""
    american = changed(PERSON, reason, "US")
    place = "/tax_identification_number"
    assert problems(american) == []
    for absent in (..., None):
        assert problems(changed(american, place, absent)) == [(place, "us_tax_number_missing")]
    assert problems(changed(changed(american, place, ...), "/date_of_birth", "1990")) == [
        ("/date_of_birth", "not_a_date"),
        (place, "us_tax_number_missing"),
    ]
    assert problems(changed(PERSON, place, ...)) == []


def test_file_size() -> None:
    """A file of 10 MB is taken and one byte more is not, whatever its padding."""
    for surplus in (-2, -1, 0):
        text = base64.b64encode(b"x" * (MAX_FILE_BYTES + surplus)).decode()
        assert problems(changed(PERSON, "/identity/selfie", text)) == []
    text = base64.b64encode(b"x" * (MAX_FILE_BYTES + 1)).decode()
    assert problems(changed(PERSON, "/identity/selfie", text)) == [("/identity/selfie", "file_too_large")]


def test_countries() -> None:
    """There are 249 assigned codes, all of two capital letters."""
    assert len(COUNTRIES) == 249 + len(["XK"])
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in COUNTRIES)


def test_sole_proprietor() -> None:
    """A sole proprietor answers fewer questions, and is not asked the others."""
    questionnaire = {
        "type": "SoleProp",
        "business_details": {
            name: value
            for name, value in GENERIC["business_details"].items()  # type: ignore[attr-defined]
            if name not in ("has_licenses_or_registrations", "requires_aml_program")
        },
        "planned_activities": dict(list(GENERIC["planned_activities"].items())[:3]),  # type: ignore[attr-defined]
        "source_of_funds": {"source_of_funds": "Other"},
    }
    sole = changed(BUSINESS, "/questionnaire", questionnaire)
    assert problems(sole) == []
    assert problems(changed(sole, "/questionnaire/business_details/requires_aml_program", True)) == [
        ("/questionnaire/business_details/requires_aml_program", "unknown_field")
    ]


def test_tax_number_of_a_sole_proprietor() -> None:
    """The owner of a sole proprietorship needs a tax number."""
    sole = changed(BUSINESS, "/company_data/company_info/company_type", "SoleProprietorship")
    place = "/company_data/beneficiaries/0/beneficiary_info/tax_identification_number"
    assert problems(sole) == []
    assert problems(changed(sole, place, ...)) == [(place, "tax_number_missing")]


def test_any_of_the_questions_may_be_gone() -> None:
    """Iron removed three questions of a Generic questionnaire, which ones nobody said: each subset of them passes."""
    assert len(MAYBE_GONE) == 8
    for size in range(len(MAYBE_GONE) + 1):
        for gone in combinations(MAYBE_GONE, size):
            asked = BUSINESS
            for name in gone:
                asked = changed(asked, f"/questionnaire/{name}", ...)
            assert problems(asked) == []


def test_the_questions_that_stay_are_checked() -> None:
    """A question that may be gone is checked strictly where it is answered."""
    for name in MAYBE_GONE:
        assert [place for place, _ in problems(changed(BUSINESS, f"/questionnaire/{name}", 7))] == [
            f"/questionnaire/{name}"
        ]


def test_documents_of_a_company() -> None:
    """A company may have eight documents, and none."""
    for count in (0, 8):
        assert problems(changed(BUSINESS, "/company_data/documents", COMPANY["documents"] * count)) == []  # type: ignore[operator]


@pytest.mark.parametrize("name", EXPIRY_NAMES)
def test_expiry_of_a_beneficiarys_document(name: str) -> None:
    """The day is taken under each name that Iron may use, must be one, and goes to Iron as it was given."""
    where = f"/company_data/beneficiaries/0/beneficiary_info/identity/{name}"
    known = changed(BUSINESS, where, "2031-02-28")
    assert parse_job(job(known)).canonical()["identification"] == known
    for wrong in ("2031-02-30", "28.02.2031", ""):
        assert problems(changed(BUSINESS, where, wrong)) == [(where, "not_a_date")]


@pytest.mark.parametrize(
    "phone",
    [
        "+4930123456",
        "030 123456",
        "(030) 12 34 56",
        "030/123456-0",
        "+1 (212) 555-0123 ext. 42",
        "1.212.555.0123x7",
        "110110",
    ],
)
def test_phone_of_a_business(phone: str) -> None:
    """A company's number may be written as on its letterhead, and goes to Iron as it was given."""
    known = changed(BUSINESS, "/phone", phone)
    assert parse_job(job(known)).canonical()["identification"]["phone"] == phone


@pytest.mark.parametrize(
    "phone", ["", "n/a", "123", "call Ada", "+", "030 123456\n", "\u0660\u0661\u0662\u0663\u0664\u0665", "1" * 31]
)
def test_no_phone_of_a_business(phone: str) -> None:
    """What nobody can call is no number."""
    assert problems(changed(BUSINESS, "/phone", phone)) == [("/phone", "not_a_business_phone")]


def owner(share: str, *roles: str, **changes: Any) -> dict[str, Any]:
    """Give a beneficiary who does not attest."""
    return {"roles": list(roles), "beneficiary_info": HUMAN, "share_percentage": share, **changes}


def nested(company: dict[str, Any], share: str = "10") -> dict[str, Any]:
    """Give a company as a beneficiary."""
    return owner(share, "Shareholder", beneficiary_info={"company_data": company})


def company(*beneficiaries: dict[str, Any]) -> dict[str, Any]:
    """Give a company with these beneficiaries."""
    return COMPANY | {"beneficiaries": list(beneficiaries)}


def business(*beneficiaries: dict[str, Any]) -> dict[str, Any]:
    """Give a business with these beneficiaries."""
    return BUSINESS | {"company_data": company(*beneficiaries)}


def test_shares() -> None:
    """The owners' shares of each company are at most 100 together, exactly; other roles do not count."""
    ubo = "UltimateBeneficialOwner"
    assert problems(business(DIRECTOR, owner("39.5", ubo), owner("100", "Shareholder"))) == []
    assert problems(business(DIRECTOR, owner("39.5000000001", ubo))) == [
        ("/company_data/beneficiaries", "shares_over_100")
    ]
    within = company(owner("60", "Director", ubo), owner("50", ubo))
    where = "/company_data/beneficiaries/1/beneficiary_info/company_data/beneficiaries"
    assert problems(business(DIRECTOR, nested(within))) == [(where, "shares_over_100")]


def test_director_on_each_level() -> None:
    """Each company has a Director, told beside the fields' own problems."""
    without = company(owner("10", "Shareholder", extra=1))
    where = "/company_data/beneficiaries/1/beneficiary_info/company_data/beneficiaries"
    assert problems(business(DIRECTOR, nested(without))) == [
        (where, "no_director"),
        (f"{where}/0/extra", "unknown_field"),
    ]
    assert problems(business(owner("10", "Representative"))) == [("/company_data/beneficiaries", "no_director")]


def test_depth() -> None:
    """Companies nest as deep as the limit; what is deeper is told where it begins."""
    inner = company(owner("10", "Director"))
    for depth in range(2, MAX_COMPANY_DEPTH + 2):
        within = BUSINESS | {"company_data": company(DIRECTOR, nested(inner))}
        expected = [] if depth <= MAX_COMPANY_DEPTH else ["nested_too_deep"]
        assert [code for _, code in problems(within)] == expected
        inner = company(owner("10", "Director"), nested(inner))


def test_bottomless() -> None:
    """A company that owns itself, or is nested a thousand times, is refused and breaks nothing."""
    loop = company(owner("10", "Director"))
    loop["beneficiaries"].append(nested(loop))
    assert "nested_too_deep" in [code for _, code in problems(BUSINESS | {"company_data": loop})]
    deep = company(owner("10", "Director"))
    for _ in range(1000):
        deep = company(owner("10", "Director"), nested(deep))
    assert "nested_too_deep" in [code for _, code in problems(BUSINESS | {"company_data": deep})]


@pytest.mark.parametrize("role", ["Director", "Representative"])
def test_selfie(role: str) -> None:
    """Who acts for the company shows their face, with the time; others need not."""
    identity = {name: value for name, value in HUMAN["identity"].items() if not name.startswith("selfie")}  # type: ignore[attr-defined]
    faceless = {"beneficiary_info": HUMAN | {"identity": identity}}
    where = "/company_data/beneficiaries/1/beneficiary_info/identity"
    assert problems(business(DIRECTOR, owner("1", role, **faceless))) == [(f"{where}/selfie", "selfie_missing")]
    assert problems(business(DIRECTOR, owner("1", "Shareholder", **faceless))) == []
    for name, code in (("selfie", "selfie_time_missing"), ("selfie_collected_at", "selfie_time_without_selfie")):
        half = {"beneficiary_info": HUMAN | {"identity": identity | {name: HUMAN["identity"][name]}}}  # type: ignore[index]
        assert problems(business(DIRECTOR, owner("1", "Shareholder", **half))) == [
            (f"{where}/selfie_collected_at", code)
        ]


def test_attestation() -> None:
    """Only a Director of the customer itself attests, and says when."""
    told = {"attesting_party": True, "attested_at": TIME}
    where = "/company_data/beneficiaries/0"
    for name in told:
        half = changed(BUSINESS, f"{where}/{name}", ...)
        assert problems(half) == [(f"{where}/attested_at", "attestation_incomplete")]
    where = "/company_data/beneficiaries/1"
    assert problems(business(DIRECTOR, owner("1", "Representative", **told))) == [
        (f"{where}/attesting_party", "attesting_party_not_allowed")
    ]
    assert problems(business(DIRECTOR, nested(company(owner("1", "Director", **told))))) == [
        (f"{where}/beneficiary_info/company_data/beneficiaries/0/attesting_party", "attesting_party_not_allowed")
    ]
    assert problems(business(DIRECTOR, nested(COMPANY | {"beneficiaries": [owner("1", "Director")]}) | told)) == [
        (f"{where}/attesting_party", "attesting_party_not_allowed")
    ]


PASS = JobRules(unknown_fields="pass")

#: Values that JSON can carry, null among them.
CARRIED = [None, True, 0, -1.5, "", "Ada", [], {}, [{"a": [None]}], {"a": None}, {"": {"b": 2**70}}]

OBJECTS = [
    (kind, place)
    for kind, whole in {"Link": {"type": "Link", "with_edd": False}, **WHOLE}.items()
    for place in ["", *(where for where in fields(whole) if isinstance(at(whole, where), dict))]
]


@pytest.mark.parametrize(("kind", "pointer"), OBJECTS)
def test_unknown_fields_are_passed_on(kind: str, pointer: str) -> None:
    """With the rule set, an unknown field at any depth is part of Iron's body unchanged, and of the fingerprint."""
    whole: Any = WHOLE.get(kind, {"type": "Link", "with_edd": False})
    marks = {fingerprint(parse_job(job(whole), PASS).canonical())}
    for value in CARRIED:
        wanted = changed(whole, f"{pointer}/surprise", value)
        taken = parse_job(job(wanted), PASS)
        assert taken.canonical()["identification"] == wanted
        assert parse_job(json.loads(json.dumps(taken.canonical())), PASS) == taken
        marks.add(fingerprint(taken.canonical()))
        assert problems(wanted) == [(f"{pointer}/surprise", "unknown_field")]
    assert len(marks) == len(CARRIED) + 1


def test_known_fields_stay_checked() -> None:
    """Whoever passes unknown fields on still has known ones checked, all problems told at once."""
    wrong = changed(changed(PERSON, "/address/country", "Germany"), "/address/district", "Mitte")
    wrong = changed(wrong, "/intended_use", ...)
    assert problems(wrong, PASS) == [("/address/country", "not_a_country"), ("/intended_use", "missing")]
    assert problems({"type": "Person", "surprise": 1}, PASS) == [
        (f"/{name}", "missing") for name, field in sorted(Person.model_fields.items()) if field.is_required()
        if name != "type"
    ]  # fmt: skip


def test_unknown_fields_elsewhere_are_refused() -> None:
    """The rule is about identifications: the job itself and its customer have their documented fields only."""
    wanted = job({"type": "Link", "surprise": 1}) | {"notes": ""}
    wanted["customer"]["age"] = 7
    with pytest.raises(JobInvalidError) as told:
        parse_job(wanted, PASS)
    assert [(one.pointer, one.code) for one in told.value.problems] == [
        ("/customer/age", "unknown_field"),
        ("/notes", "unknown_field"),
    ]


def test_what_json_cannot_carry_is_refused() -> None:
    """An unknown field is passed on only if it can be: finite numbers, text that can be written, an end in sight."""
    deepest: Any = 1
    for _ in range(MAX_UNKNOWN_DEPTH):
        deepest = [deepest]
    assert problems({"type": "Link", "surprise": deepest}, PASS) == []
    endless: list[Any] = []
    endless.append(endless)
    for value in (float("nan"), float("inf"), "\ud800", {"\ud800": 1}, [deepest], endless, 10**5000, object(), b"x"):
        assert problems({"type": "Link", "surprise": value}, PASS) == [("/surprise", "not_a_json_value")]


@pytest.mark.parametrize("rules", [JobRules(), PASS])
def test_a_field_whose_name_is_no_text_is_refused(rules: JobRules) -> None:
    """A name that JSON does not have is refused whatever the rule."""
    unknown: Any = {"type": "Link", 5: 1}
    assert problems(unknown, rules) == [("/5", "unknown_field")]
    assert problems({"type": "Link", "\ud800": 1}, rules) != []


def test_an_unknown_name_stands_masked() -> None:
    """A name of the sender's own making is not repeated where it is not plain."""
    for name in ("Ada Example", "<Link>", "[key]", "a/b"):
        assert problems({"type": "Link", name: 1}) == [("/?", "unknown_field")]
        assert problems({"type": "Link", name: float("nan")}, PASS) == [("/?", "not_a_json_value")]


def test_unknown_fields_are_not_shown() -> None:
    """What is passed on may be personal, and is in no repr."""
    assert "Mitte" not in repr(parse_job(job(changed(PERSON, "/address/district", "Mitte")), PASS).identification)


def test_types_are_those_of_the_table() -> None:
    """The union of a job's identifications holds the four kinds of the contract."""
    union, _ = get_args(Job.model_fields["identification"].rebuild_annotation())[:2]
    assert {get_args(part)[0].__name__ for part in get_args(union)} == {"Link", "Token", "Person", "Business"}
