"""The job's shape and defaults, and how its problems are told."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.identification.fields import PATTERN_CODES, TEXTS
from pipelines.job import CODES, Job, JobInvalidError, JobRules, parse_job
from pipelines.keys import canonical_json

CONTRACT = {
    "idempotency_key": "crm-2026-000123",
    "external_id": "crm-000123",
    "customer": {"customer_type": "Person", "email": "ada@example.com", "name": "Ada Example"},
    "identification": {"type": "Link", "with_edd": False},
    "risk_tier": "standard",
    "lane": "interactive",
    "sub_partner_id": None,
    "labels": {"source": "crm"},
}
LEAST = {"idempotency_key": "k", "customer": {"customer_type": "Person", "email": "a@b.cd"}}


def problems(value: object) -> list[tuple[str, str]]:
    """Give pointer and code of every problem of a job."""
    with pytest.raises(JobInvalidError) as told:
        parse_job(value)
    return [(problem.pointer, problem.code) for problem in told.value.problems]


def least(**fields: Any) -> dict[str, Any]:
    """Give the least job with other fields."""
    return LEAST | fields


def test_contract() -> None:
    """The job of the contract is taken as it stands there, and its canonical form is the same."""
    assert parse_job(CONTRACT).canonical() == CONTRACT


def test_defaults() -> None:
    """The least job has the contract's defaults, and the external id is the key."""
    assert parse_job(LEAST).canonical() == {
        "idempotency_key": "k",
        "external_id": "k",
        "customer": {"customer_type": "Person", "email": "a@b.cd", "name": None},
        "identification": {"type": "Link", "with_edd": False},
        "risk_tier": "standard",
        "lane": "interactive",
        "sub_partner_id": None,
        "labels": {},
    }


def test_null_is_absent() -> None:
    """Optional fields may be null, as many serializers write them."""
    job = parse_job(least(external_id=None, sub_partner_id=None, customer={**LEAST["customer"], "name": None}))  # type: ignore[dict-item]
    assert job == parse_job(LEAST)


def test_canonical_is_json_and_a_job() -> None:
    """The canonical form survives JSON and gives the same job again."""
    job = parse_job(CONTRACT)
    assert parse_job(json.loads(json.dumps(job.canonical()))) == job


def test_sub_partner_is_written_one_way() -> None:
    """A sub-partner's UUID is the same in capitals."""
    job = parse_job(least(sub_partner_id="123E4567-E89B-42D3-A456-426614174000"))
    assert job.sub_partner_id == "123e4567-e89b-42d3-a456-426614174000"


def test_never_changed() -> None:
    """A job cannot be altered."""
    with pytest.raises(ValidationError, match="frozen"):
        parse_job(LEAST).lane = "bulk"  # type: ignore[misc]


def test_shown_without_personal_data() -> None:
    """A job that slips into a log or an error shows its key and nothing of the customer."""
    assert repr(parse_job(CONTRACT)) == "Job(idempotency_key='crm-2026-000123')"
    assert "ada" not in f"{parse_job(CONTRACT).customer} {parse_job(CONTRACT).customer!r}".lower()


@pytest.mark.parametrize("key", [1, b"x", "\ud800", ""])
def test_fields_that_json_does_not_have(key: object) -> None:
    """A field whose name is no text, or none that can be written, is refused like any other."""
    assert problems({"customer": {key: 1}})


def test_all_problems_at_once() -> None:
    """Every problem comes in one answer, in the order of the pointers, with a sentence."""
    value = {
        "customer": {"customer_type": "person", "email": "ada", "name": "", "age": 7},
        "identification": {"type": "Link", "with_edd": "yes"},
        "risk_tier": 1,
        "lane": "fast",
        "sub_partner_id": "x",
        "labels": {"a": 1, "b": "", "c": "x" * 129},
        "notes": "",
    }
    assert problems(value) == [
        ("/customer/age", "unknown_field"),
        ("/customer/customer_type", "not_one_of"),
        ("/customer/email", "not_an_email"),
        ("/customer/name", "empty"),
        ("/idempotency_key", "missing"),
        ("/identification/with_edd", "not_a_boolean"),
        ("/labels/a", "not_text"),
        ("/labels/b", "empty"),
        ("/labels/c", "too_long"),
        ("/lane", "not_one_of"),
        ("/notes", "unknown_field"),
        ("/risk_tier", "not_one_of"),
        ("/sub_partner_id", "not_a_uuid"),
    ]


@pytest.mark.parametrize("value", [None, 1, "text", [], [LEAST], True])
def test_not_an_object(value: object) -> None:
    """What is no object is told at the root."""
    assert problems(value) == [("", "not_an_object")]


@pytest.mark.parametrize(
    "key",
    [
        "k",
        "K-1_2.3:4/5",
        "a b",
        "\u00fc",
        "\u5ba2\u6237-1",
        "; DROP",
        "1E5",
        "A-1.0",
        "2026",
        "Null-7",
        "#1001",
        "x" * 255,
    ],
)
def test_good_keys(key: str) -> None:
    """A key may hold any printable characters."""
    assert parse_job(least(idempotency_key=key)).idempotency_key == key


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "empty"),
        ("x" * 256, "too_long"),
        (" k", "not_printable"),
        ("k ", "not_printable"),
        ("k\n", "not_printable"),
        ("k\tl", "not_printable"),
        ("k\0", "not_printable"),
        ("k\x7f", "not_printable"),
        ("k\u200b", "not_printable"),
        ("k\u202ek", "not_printable"),
        ("k\u2028k", "not_printable"),
        ("\ud800", "not_printable"),
        (7, "not_text"),
        (b"k", "not_text"),
        (None, "not_text"),
    ],
)
def test_bad_keys(key: object, code: str) -> None:
    """A key that a header, a log or a table would change is refused, as is one that is no text."""
    assert problems(least(idempotency_key=key)) == [("/idempotency_key", code)]


@pytest.mark.parametrize(
    "email",
    [
        "a@b.cd",
        "ada.lovelace+approve@mail.example.com",
        "o'hara@example.ie",
        "\u00fc@b\u00fccher.example",
        "x@1.example",
    ],
)
def test_good_emails(email: str) -> None:
    """Addresses as people have them are taken, tags and scripts included."""
    assert parse_job(least(customer={"customer_type": "Person", "email": email})).customer.email == email


@pytest.mark.parametrize(
    "email",
    ["ada", "a@b", "a@@b.cd", "a@b@c.de", "@b.cd", "a@", "a@.cd", "a@b.", "a@b..cd", "a b@c.de", "a@b.c d", "a@b.cd\n",
     "Ada <a@b.cd>", "<a@b.cd>", "a@b.cd,e@f.gh", "mailto:a@b.cd", f"{'x' * 65}@b.cd"],
)  # fmt: skip
def test_bad_emails(email: str) -> None:
    """What is not one plain address is refused."""
    assert problems(least(customer={"customer_type": "Person", "email": email})) == [
        ("/customer/email", "not_an_email")
    ]


def test_long_email() -> None:
    """An address has at most 254 characters."""
    email = f"a@{'x' * 250}.cd"
    assert problems(least(customer={"customer_type": "Person", "email": email})) == [("/customer/email", "too_long")]


@pytest.mark.parametrize(
    "name",
    [
        "\u05e2\u05d3\u05d4",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "O'Hara-Z\u00fc",
        "\u674e \u5c0f\u9f99",
        "\u0928\u0940\u0932\u092e",
    ],
)
def test_names_in_any_script(name: str) -> None:
    """Names in any script are taken as they are, with their joiners."""
    assert parse_job(least(customer={**LEAST["customer"], "name": name})).customer.name == name  # type: ignore[dict-item]


@pytest.mark.parametrize("name", [" ", "\u00a0", "Ada\n", "Ada\x1b[31m", "\u202eadA", "Ada\u2066"])
def test_names_that_deceive(name: str) -> None:
    """Names without a visible sign, with control characters or with a change of direction are refused."""
    assert problems(least(customer={**LEAST["customer"], "name": name})) == [("/customer/name", "not_printable")]  # type: ignore[dict-item]


def test_labels_are_few_and_short() -> None:
    """Sixteen labels are taken, seventeen are not; keys end at 64 characters and values at 128."""
    sixteen = {f"k{number}": "v" for number in range(16)}
    assert parse_job(least(labels=sixteen)).labels == sixteen
    assert problems(least(labels=sixteen | {"more": "v"})) == [("/labels", "too_many")]
    assert problems(least(labels={"k" * 65: "v"})) == [("/labels/?", "too_long")]
    assert problems(least(labels=[])) == [("/labels", "not_an_object")]


def test_type_of_identification() -> None:
    """Without a type it is Link; an unknown one is told at the type, with those that there are."""
    assert parse_job(least(identification={"with_edd": True})).identification.type == "Link"
    with pytest.raises(JobInvalidError) as told:
        parse_job(least(identification={"type": "Passport"}))
    (problem,) = told.value.problems
    assert (problem.pointer, problem.code) == ("/identification/type", "not_one_of")
    assert problem.text == "Give one of: 'Link', 'Token', 'Person', 'Business'."
    assert problems(least(identification={"type": 7})) == [("/identification/type", "not_one_of")]
    assert problems(least(identification=[])) == [("/identification", "not_an_object")]


@pytest.mark.parametrize("kind", ["Token", "Person"])
def test_business_is_not_a_person(kind: str) -> None:
    """A business is not identified as a person, nor with due diligence for persons, and the rest is told beside it."""
    value = {"idempotency_key": "k", "customer": {"customer_type": "Business", "email": "a@b.cd"}}
    assert ("/identification/type", "customer_type_mismatch") in problems(value | {"identification": {"type": kind}})
    assert problems(value | {"identification": {"with_edd": True}}) == [
        ("/identification/with_edd", "edd_not_for_business")
    ]


def test_person_is_not_a_business() -> None:
    """A person is not identified as a business."""
    found = problems(least(identification={"type": "Business"}))
    assert ("/identification/type", "customer_type_mismatch") in found
    assert ("/identification/company_data", "missing") in found


SECRET = "Secret Person"


@pytest.mark.parametrize("rules", [JobRules(), JobRules(unknown_fields="pass")])
@given(
    value=st.recursive(
        st.sampled_from([None, True, 7, 1.5, SECRET, "\ud800", f"{SECRET}\n", "x" * 5000]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from([
                    "idempotency_key", "external_id", "customer", "identification", "labels", "customer_type", "email",
                    "type", "with_edd", "company_data", "beneficiaries", "roles", "questionnaire", "beneficiary_info",
                    "address", "identity", "documents", "<Link>", SECRET, "",
                ]) | st.text(max_size=3),
                inner | st.sampled_from(["Link", "Token", "Person", "Business", "Generic", "SoleProp"]),
                max_size=8,
            )
        ),
        max_leaves=40,
    )
)  # fmt: skip
def test_anything(rules: JobRules, value: object) -> None:
    """Whatever is sent is taken, or refused with known codes and without a word of it in pointers and sentences."""
    refused: JobInvalidError | None = None
    try:
        taken = parse_job(value, rules)
        assert parse_job(json.loads(canonical_json(taken.canonical())), rules) == taken
    except JobInvalidError as error:
        refused = error
    if refused:
        assert refused.problems
        assert all(problem.code in TEXTS and problem.code != "invalid" for problem in refused.problems)
        assert "Secret" not in str(refused)
        assert "{" not in str(refused)


def test_unknown_field_like_a_tag() -> None:
    """A field that looks like our own mark in a path keeps its place in the pointer."""
    assert problems(least(customer={**LEAST["customer"], "<Link>": 1})) == [("/customer/?", "unknown_field")]  # type: ignore[dict-item]


#: The errors of each kind of pydantic's core schema, strict, as far as the constraints of a job bring them about.
RAISES = {
    "any": set[str](),
    "bool": {"bool_type"},
    "default": {"default_factory_not_called"},
    "definition-ref": {"recursion_loop"},
    "definitions": set[str](),
    "dict": {"dict_type", "too_long"},
    "function-after": set[str](),
    "function-before": set[str](),
    "list": {"list_type", "too_long", "too_short"},
    "literal": {"literal_error"},
    "model": {"model_type"},
    "model-field": {"missing"},
    "model-fields": {"extra_forbidden", "invalid_key"},
    "nullable": set[str](),
    "str": {"string_type", "string_too_short", "string_too_long", "string_pattern_mismatch", "string_unicode"},
    "tagged-union": {"union_tag_invalid"},
}


def kinds(schema: object) -> set[str]:
    """Collect the kinds of schema in a core schema."""
    if isinstance(schema, dict):
        own = {schema["type"]} if isinstance(schema.get("type"), str) else set()
        return own.union(
            *(kinds(part) for name, part in schema.items() if name not in ("metadata", "serialization", "function"))
        )
    return set().union(*(kinds(part) for part in schema)) if isinstance(schema, (list, tuple)) else set()


def test_codes_are_complete() -> None:
    """Every error that the models can raise has a code of ours, every code has a text, and no entry is idle."""
    found = kinds(Job.__pydantic_core_schema__)
    assert found <= RAISES.keys()
    can = set().union(*(RAISES[kind] for kind in found))
    assert can - {"default_factory_not_called"} == CODES.keys()
    assert set(CODES.values()) | set(PATTERN_CODES.values()) <= TEXTS.keys()


def test_texts_are_sentences() -> None:
    """Each text is one sentence with a remedy, and codes are snake case."""
    for code, text in TEXTS.items():
        assert set(code) <= set(string.ascii_lowercase + string.digits + "_")
        assert text[0].isupper()
        assert text.endswith(".")
