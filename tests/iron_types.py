"""The types of Iron's answers, written from the fact sheet (sections 2, 3 and 6), as JSON Schemas.

Strict about types and required members, open to members that are not named here: no schema of Iron's is closed.
Optional members may be missing; whether they may be null instead is the reader's question, since Iron's prose and its
schemas disagree about that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

UUID: Schema = {"type": "string", "pattern": r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"}
TIME: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNTRY: Schema = {"type": "string", "pattern": r"^[A-Z]{2}$"}
CENTS: Schema = {"type": "string", "pattern": r"^-?\d+$"}
TRUE: Schema = {"const": True}
NOTHING: Schema = {"not": {}}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


@dataclass(frozen=True)
class Object:
    """An object with required and optional members."""

    required: dict[str, Any]
    optional: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Many:
    """An array of one type."""

    of: Any


@dataclass(frozen=True)
class Either:
    """One of several types, which nothing tells apart."""

    of: tuple[Any, ...]


def schema(kind: Any, *, nulls: bool) -> Schema:
    """Write a type as a JSON Schema. `nulls`: whether an optional member may be null where it is not missing."""
    if isinstance(kind, Many):
        return {"type": "array", "items": schema(kind.of, nulls=nulls)}
    if isinstance(kind, Either):
        return {"anyOf": [schema(one, nulls=nulls) for one in kind.of]}
    if not isinstance(kind, Object):
        return dict(kind)
    members = {name: schema(one, nulls=nulls) for name, one in (kind.required | kind.optional).items()}
    for name in kind.optional:
        if nulls:
            members[name] = {"anyOf": [members[name], {"type": "null"}]}
    return {"type": "object", "required": list(kind.required), "properties": members}


# --- Section 2: objects and enums

CUSTOMER_STATUS = one_of(
    "UserRequired", "IdentificationRequired", "SigningsRequired", "Active", "Suspended", "Archived"
)
IDENTIFICATION_STATUS = one_of("Pending", "Processed", "PendingReview", "Approved", "Declined", "Expired", "Archived")
CUSTOMER = Object(
    {
        "id": UUID,
        "customer_type": one_of("Person", "Business"),
        "email": TEXT,
        "name": TEXT,
        "status": CUSTOMER_STATUS,
        "identification_ids": Many(UUID),
        "signing_ids": Many(UUID),
        "partner_id": UUID,
        "created_at": TIME,
        "updated_at": TIME,
    },
    {
        "external_id": TEXT,
        "identification_status": IDENTIFICATION_STATUS,
        "active_email": TEXT,
        "spending_limit_euro": TEXT,
    },
)
STEP = Object({"result": IDENTIFICATION_STATUS, "retry": FLAG}, {"comment": TEXT})
#: A person's steps or a business's; nothing tells them apart but the names.
STEPS = Object(
    {},
    dict.fromkeys(
        (
            *("identity", "selfie", "proof_of_residence", "questionnaire"),
            *("company_data", "company_beneficiaries", "company_documents"),
        ),
        STEP,
    ),
)
IDENTIFICATION = Object(
    {"id": UUID, "status": IDENTIFICATION_STATUS, "created_at": TIME, "updated_at": TIME},
    {
        "customer_id": UUID,
        "partner_id": UUID,
        "url": TEXT,
        "review_comment": TEXT,
        "step_status": STEPS,
        "with_edd": FLAG,
        "residence_country": COUNTRY,
    },
)
DOCUMENT = Object({"id": UUID, "display_name": TEXT, "url": TEXT})
SIGNING = Object(
    {"id": UUID, "customer_id": UUID, "created_at": TIME, "updated_at": TIME},
    {"content_id": UUID, "document_id": UUID},
)


def paged(kind: Any) -> Object:
    """A page of a list (1.5)."""
    return Object({"items": Many(kind)}, {"cursor": UUID, "prev_cursor": UUID})


# --- Section 3: what single endpoints answer

REQUIREMENT = Object(
    {
        "code": one_of(
            *("kyc_selfie", "kyc_identity", "kyc_proof_of_residence", "kyc_questionnaire"),
            *("kyb_company_data", "kyb_company_beneficiaries", "kyb_company_documents", "kyb_questionnaire"),
            *("identification_kyc", "identification_kyb"),
            *("kyc_data_missing", "kyc_data_invalid", "kyb_data_missing", "kyb_data_invalid"),
        ),
        "reject_labels": Many(TEXT),
        "reject_reasons": Many(Object({"code": TEXT, "description": TEXT})),
        "missing_questions": Many(Object({"id": TEXT, "title": TEXT}, {"section_id": TEXT})),
    },
    {"retryable": FLAG, "identification_id": UUID, "description": TEXT},
)
REQUIREMENTS = Object(
    {
        **dict.fromkeys(("complete", "pending", "missing", "issues"), Many(REQUIREMENT)),
        "requirements_due": Many(one_of("kyc", "kyb")),
    }
)
QUESTIONNAIRE = Object(
    {"id": UUID, "intended_use": TEXT},
    dict.fromkeys(
        (
            *("employment_status", "monthly_income", "expected_monthly_volume"),
            *("occupation", "source_of_funds", "source_of_funds_proof"),
        ),
        TEXT,
    ),
)
ABILITY = one_of("Active", "Pending", "Unavailable", "Blocked", "Maintenance")


def rails(*names: str) -> Object:
    """The abilities of one currency: each rail, for the customer and for third parties."""
    return Object({name + who: ABILITY for name in names for who in ("", "_thirdparty")})


FIAT_ABILITIES = Object(
    {
        "eur": rails("sepa", "swift"),
        "gbp": rails("fps", "chaps", "swift"),
        "usd": rails("ach", "wire", "swift", "rtp", "fednow"),
    }
)
CURRENCY = Either((Object({"code": TEXT}), Object({"token": TEXT, "blockchain": TEXT})))
ABILITIES = Object(
    {
        "fiat_deposit": FIAT_ABILITIES,
        "fiat_payout": FIAT_ABILITIES,
        "currencies": Many(
            Object(
                {
                    "currency": CURRENCY,
                    "flows": Many(one_of("Onramp", "Offramp", "Swap", "Mint", "Redeem")),
                    "counterparts": Many(CURRENCY),
                }
            )
        ),
    }
)
#: null stands for no cap.
LIMIT = Object(
    {"period_start": TIME, "period_end": TIME, "used_eur": CENTS},
    {"threshold_eur": CENTS, "remaining_eur": CENTS},
)
TOPICS = one_of(
    *("Transaction", "NewBankAccount", "NewAutoramp", "DepositAddressCreated", "RegisterFiatAddressStatus"),
    *(
        "RegisterAutorampStatus",
        "TransactionStatus",
        "CustomerCreated",
        "CustomerStatus",
        "IdentificationStatus",
        "Ping",
    ),
)
WEBHOOK = Object(
    {
        "id": UUID,
        "label": TEXT,
        "url": TEXT,
        "partner_id": UUID,
        "topics": Many(TOPICS),
        "enabled": FLAG,
        "created_at": TIME,
        "updated_at": TIME,
    },
    {"last_failure": TIME, "last_failure_reason": TEXT},
)

#: By method and path below `/api`: the status of success, and the type of its body.
TYPES: dict[tuple[str, str], tuple[int, Any]] = {
    ("POST", "/customers"): (201, CUSTOMER),
    ("GET", "/customers"): (200, paged(CUSTOMER)),
    ("GET", "/customers/{id}"): (200, CUSTOMER),
    ("PUT", "/customers/{id}"): (204, NOTHING),
    ("GET", "/customers/{external_id}/external"): (200, CUSTOMER),
    ("PUT", "/customers/{id}/archive"): (200, CUSTOMER),
    ("POST", "/customers/{id}/identifications/v2"): (201, IDENTIFICATION),
    ("GET", "/customers/{id}/identifications"): (200, paged(IDENTIFICATION)),
    ("GET", "/identifications/{id}"): (200, IDENTIFICATION),
    ("PUT", "/identifications/{id}/archive"): (200, IDENTIFICATION),
    ("GET", "/identifications/{id}/compliance-questionnaire"): (200, QUESTIONNAIRE),
    ("GET", "/customers/{id}/requirements"): (200, REQUIREMENTS),
    ("GET", "/customers/{id}/required-signings"): (200, Many(DOCUMENT)),
    ("POST", "/customers/{id}/signings"): (201, SIGNING),
    ("GET", "/customers/{id}/signings"): (200, paged(SIGNING)),
    ("GET", "/terms-and-conditions"): (200, Many(DOCUMENT)),
    ("GET", "/customers/{id}/abilities"): (200, ABILITIES),
    ("GET", "/customers/{id}/spending-limit"): (200, Object({"fiat_onramp": LIMIT, "crypto_offramp": LIMIT})),
    ("POST", "/sandbox/identification/{id}"): (201, IDENTIFICATION),
    ("POST", "/sandbox/reset"): (200, TRUE),
    ("GET", "/customers/{id}/microdeposits"): (
        200,
        Many(Object({"amount": TEXT, "currency_code": TEXT, "created_at": TIME}, {"counterparty_name": TEXT})),
    ),
    ("GET", "/country_subdivisions/{country_code}"): (200, Many(Object({"code": TEXT, "name": TEXT}))),
    ("GET", "/fiatcurrencies"): (
        200,
        Many(Object({"code": TEXT, "name": TEXT, "countries": Many(Object({"code": COUNTRY}))})),
    ),
    ("GET", "/cryptocurrencies"): (
        200,
        Many(Object({"code": TEXT, "chain": TEXT, "mint_only": FLAG}, {"address": TEXT, "name": TEXT})),
    ),
    ("GET", "/fee-profiles"): (200, paged(Object({"id": UUID, "partner_id": UUID}))),
    ("GET", "/webhooks"): (200, paged(WEBHOOK)),
    ("PATCH", "/webhooks/{id}"): (200, WEBHOOK),
    ("POST", "/webhooks/{id}/ping"): (200, TRUE),
}

#: Section 1.6: every refusal but a 500.
ERROR = TEXT
#: Section 6.2: the inner message of each event of this domain.
MESSAGES: dict[str, Any] = {
    "customer_created": Object({"id": UUID, "kind": one_of("CustomerCreated")}),
    "customer_status": Object({"id": UUID, "status": CUSTOMER_STATUS}),
    "identification_status": Object({"id": UUID, "status": IDENTIFICATION_STATUS}),
    "ping": Object({"id": UUID}),
}


def event(kind: str) -> Object:
    """A webhook's body whose message stands without a wrapper."""
    return Object(
        {"type": one_of(kind), "timestamp": TIME, "data": Object({"customer_id": UUID, "message": MESSAGES[kind]})}
    )
