"""Answers of the sandbox, field by field, against tables transcribed from the provider's documentation (section 2)."""

import re
import uuid
from typing import Any

import pytest

from ops.sandbox import Answer, Sandbox, Switches

CUSTOMER_STATUSES = {"UserRequired", "IdentificationRequired", "SigningsRequired", "Active", "Suspended", "Archived"}
IDENTIFICATION_STATUSES = {"Pending", "Processed", "PendingReview", "Approved", "Declined", "Expired", "Archived"}

# Field: (type, required), from the tables of the same name.
CUSTOMER = {
    "id": ("uuid", True),
    "customer_type": ({"Person", "Business"}, True),
    "email": ("string", True),
    "name": ("string", True),
    "status": (CUSTOMER_STATUSES, True),
    "identification_ids": ("uuid[]", True),
    "signing_ids": ("uuid[]", True),
    "partner_id": ("uuid", True),
    "created_at": ("date-time", True),
    "updated_at": ("date-time", True),
    "external_id": ("string", False),
    "identification_status": (IDENTIFICATION_STATUSES, False),
    "active_email": ("string", False),
    "spending_limit_euro": ("string", False),
}
IDENTIFICATION = {
    "id": ("uuid", True),
    "status": (IDENTIFICATION_STATUSES, True),
    "created_at": ("date-time", True),
    "updated_at": ("date-time", True),
    "customer_id": ("uuid", False),
    "partner_id": ("uuid", False),
    "url": ("string", False),
    "review_comment": ("string", False),
    "step_status": ("object", False),
    "with_edd": ("boolean", False),
    "residence_country": ("string(2)", False),
}
STEP = {"result": (IDENTIFICATION_STATUSES, True), "retry": ("boolean", True), "comment": ("string", False)}
PERSON_STEPS = {"identity", "selfie", "proof_of_residence", "questionnaire"}
BUSINESS_STEPS = {"company_data", "company_beneficiaries", "company_documents", "questionnaire"}
DOCUMENT = {"id": ("uuid", True), "display_name": ("string", True), "url": ("string", True)}
SIGNING = {
    "id": ("uuid", True),
    "customer_id": ("uuid", True),
    "created_at": ("date-time", True),
    "updated_at": ("date-time", True),
    "content_id": ("uuid", False),
    "document_id": ("uuid", False),
}
PAGE = {"items": ("array", True), "cursor": ("uuid", False), "prev_cursor": ("uuid", False)}

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def holds(kind: Any, value: Any) -> bool:
    """Tell whether a value is of a documented type."""
    if isinstance(kind, set):
        return value in kind
    match kind:
        case "uuid":
            return isinstance(value, str) and str(uuid.UUID(value)) == value
        case "uuid[]":
            return isinstance(value, list) and all(holds("uuid", one) for one in value)
        case "date-time":
            return isinstance(value, str) and INSTANT.fullmatch(value) is not None
        case "string(2)":
            return isinstance(value, str) and len(value) == 2
        case _:
            return isinstance(value, {"string": str, "boolean": bool, "object": dict, "array": list}[kind])


def check(table: dict[str, tuple[Any, bool]], value: dict[str, Any], *, omitted: bool = False) -> None:
    """Assert that an object has what the table says, and nothing else."""
    assert set(value) <= set(table)
    for name, (kind, required) in table.items():
        if required:
            assert holds(kind, value[name]), name
        elif omitted:
            assert name not in value or holds(kind, value[name]), name
        else:
            assert value[name] is None or holds(kind, value[name]), name


def create(sandbox: Sandbox, email: str = "ada@example.com", kind: str = "Person", external_id: str = "crm-1") -> str:
    """Create a customer and return its id."""
    body = {"customer_type": kind, "email": email, "external_id": external_id}
    answer = sandbox.request("POST", "/api/customers", body, key=f"customer {external_id}")
    assert answer.status == 201
    return str(answer.json()["id"])


def identify(sandbox: Sandbox, customer_id: str, key: str = "identification") -> str:
    """Create a hosted identification and return its id."""
    answer = sandbox.request("POST", f"/api/customers/{customer_id}/identifications/v2", {"type": "Link"}, key=key)
    assert answer.status == 201
    return str(answer.json()["id"])


def sign_all(sandbox: Sandbox, customer_id: str) -> list[Answer]:
    """Sign whatever is required."""
    documents = sandbox.request("GET", f"/api/customers/{customer_id}/required-signings").json()
    return [
        sandbox.request(
            "POST",
            f"/api/customers/{customer_id}/signings",
            {"content_id": one["id"], "signed": True},
            key=f"sign {customer_id} {one['id']}",
        )
        for one in documents
    ]


def read(sandbox: Sandbox, path: str) -> Any:
    """Read something that is there."""
    answer = sandbox.request("GET", f"/api{path}")
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still."""
    return Sandbox()


@pytest.mark.parametrize("optional", ["null", "omitted"])
def test_every_object_has_the_documented_fields(optional: Any) -> None:
    """Through a whole onboarding every answer has the documented fields, types and enums, and no others."""
    sandbox = Sandbox(switches=Switches(optional_fields=optional))
    omitted = optional == "omitted"
    customer_id = create(sandbox)
    identification_id = identify(sandbox, customer_id)
    for _ in range(40):
        sandbox.advance(0.25)
        check(CUSTOMER, read(sandbox, f"/customers/{customer_id}"), omitted=omitted)
        check(IDENTIFICATION, read(sandbox, f"/identifications/{identification_id}"), omitted=omitted)
    documents = read(sandbox, f"/customers/{customer_id}/required-signings")
    assert [one["display_name"] for one in documents] == ["Terms and Conditions", "Privacy Policy"]
    for one in documents:
        check(DOCUMENT, one)
    for answer in sign_all(sandbox, customer_id):
        assert answer.status == 201
        check(SIGNING, answer.json(), omitted=omitted)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"
    for path, table in (
        ("/customers", CUSTOMER),
        (f"/customers/{customer_id}/identifications", IDENTIFICATION),
        (f"/customers/{customer_id}/signings", SIGNING),
    ):
        page = read(sandbox, path)
        check(PAGE, page, omitted=omitted)
        assert page["items"]
        for item in page["items"]:
            check(table, item, omitted=omitted)


@pytest.mark.parametrize(("kind", "steps"), [("Person", PERSON_STEPS), ("Business", BUSINESS_STEPS)])
def test_step_status_has_the_keys_of_the_customer_type(sandbox: Sandbox, kind: str, steps: set[str]) -> None:
    """A decided identification shows each step with result, retry and comment, for persons and businesses."""
    identification_id = identify(sandbox, create(sandbox, "ada+decline@example.com", kind))
    sandbox.advance(10)
    status = read(sandbox, f"/identifications/{identification_id}")["step_status"]
    assert set(status) == steps
    for step in status.values():
        check(STEP, step)
    assert [step["retry"] for step in status.values() if step["result"] == "Declined"] == [True]


def test_a_new_customer_awaits_identification(sandbox: Sandbox) -> None:
    """A fresh customer is IdentificationRequired, has no records, and is named after its id when it has no name."""
    customer_id = create(sandbox)
    customer = read(sandbox, f"/customers/{customer_id}")
    assert (customer["status"], customer["identification_ids"]) == ("IdentificationRequired", [])
    assert customer["name"] == f"Customer {customer_id}"


def test_external_id_is_not_unique_and_is_counted(sandbox: Sandbox) -> None:
    """Two keys make two customers of one external id; the meter shows it."""
    body = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm/1 ä"}
    ids = [sandbox.request("POST", "/api/customers", body, key=key).json()["id"] for key in ("one", "two")]
    assert read(sandbox, "/customers/crm%2F1%20%C3%A4/external")["id"] == ids[0]
    assert sandbox.effects.group() == {"crm/1 ä": {"customers": 2, "identifications": 0, "signings": 0}}
    assert set(sandbox.effects.duplicates()) == {"crm/1 ä"}


def test_paging_goes_through_all_customers_both_ways(sandbox: Sandbox) -> None:
    """Cursors lead through every customer exactly once, newest first, and back."""
    ids = [create(sandbox, external_id=f"crm-{number}") for number in range(25)]
    seen: list[str] = []
    cursor, path = None, "/customers?page_size=10"
    pages = []
    while True:
        page = read(sandbox, path + (f"&cursor={cursor}" if cursor else ""))
        pages.append([one["id"] for one in page["items"]])
        seen += pages[-1]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]
    back = read(sandbox, f"{path}&prev_cursor={page['prev_cursor']}")
    assert [one["id"] for one in back["items"]] == pages[-2]
    ascending = read(sandbox, "/customers?page_size=100&sort_order=asc")
    assert [one["id"] for one in ascending["items"]] == ids
    assert len(read(sandbox, "/customers")["items"]) == 10


def test_search_and_filters(sandbox: Sandbox) -> None:
    """search_term matches name, id, e-mail and external id in any case; filters take lists."""
    first, second = create(sandbox, "ada@example.com"), create(sandbox, "Bob@example.com", "Business", "erp-2")
    identify(sandbox, second)

    def found(query: str) -> list[str]:
        return [one["id"] for one in read(sandbox, f"/customers?{query}")["items"]]

    assert found("search_term=CRM-1") == [first]
    assert found("search_term=bob%40") == [second]
    assert found(f"search_term={first}") == [first]
    assert found("search_term=nobody") == []
    assert found("customer_type=Business&customer_type=Person") == [second, first]
    assert found("identification_status=Pending,Processed") == [second]
    assert found("status=Active,Suspended") == []
    assert found("has_transactions=true") == []


def test_search_spans_blocks(sandbox: Sandbox) -> None:
    """A search finds customers wherever they are in a long list, in order, over pages."""
    for number in range(1200):
        create(sandbox, external_id=f"crm-{number:04d}")
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = read(sandbox, f"/customers?search_term=crm-05&page_size=7{cursor}")
        found += [one["external_id"] for one in page["items"]]
        cursor = f"&cursor={page['cursor']}" if page["cursor"] else None
    assert found == [f"crm-{number:04d}" for number in range(599, 499, -1)]


@pytest.mark.parametrize("lag_s", [0, 5, 30])
def test_look_ups_lag_behind_creation(lag_s: float) -> None:
    """With a lag, external id, list and search do not see a new customer yet; its id does."""
    sandbox = Sandbox(switches=Switches(lookup_lag_s=lag_s))
    customer_id = create(sandbox)
    assert sandbox.request("GET", f"/api/customers/{customer_id}").status == 200
    for elapsed in (0.0, max(0.0, lag_s - 0.5), float(lag_s)):
        sandbox.clock.advance(elapsed - (sandbox.clock.now() - 1_768_471_200.0))
        seen = elapsed >= lag_s
        assert sandbox.request("GET", "/api/customers/crm-1/external").status == (200 if seen else 404)
        assert bool(read(sandbox, "/customers")["items"]) is seen
        assert bool(read(sandbox, "/customers?search_term=crm-1")["items"]) is seen


def test_sub_partners_do_not_see_each_other(sandbox: Sandbox) -> None:
    """A customer of a sub-partner is found with its header only; endpoints without the header ignore it."""
    header = {"X-SUB-PARTNER-ID": str(uuid.UUID(int=1))}
    body = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm-1"}
    customer_id = sandbox.request("POST", "/api/customers", body, key="k", headers=header).json()["id"]
    path = f"/api/customers/{customer_id}"
    assert sandbox.request("GET", path).status == 404
    assert sandbox.request("GET", path, headers=header).status == 200
    assert sandbox.request("GET", "/api/customers/crm-1/external").status == 404
    assert read(sandbox, "/customers")["items"] == []
    assert sandbox.request("GET", path, headers={"X-SUB-PARTNER-ID": "no uuid"}).status == 400
    identification = sandbox.request("POST", f"{path}/identifications/v2", {"type": "Link"}, key="i", headers=header)
    assert sandbox.request("GET", f"/api/identifications/{identification.json()['id']}").status == 200


def test_update_and_archive(sandbox: Sandbox) -> None:
    """An update changes e-mail and external id and answers 204 without a body; archiving takes everything with it."""
    customer_id = create(sandbox)
    identification_id = identify(sandbox, customer_id)
    body = {"email": "new@example.com", "external_id": "crm-9"}
    answer = sandbox.request("PUT", f"/api/customers/{customer_id}", body)
    assert (answer.status, answer.body) == (204, b"")
    assert read(sandbox, "/customers/crm-9/external")["email"] == "new@example.com"
    assert sandbox.request("GET", "/api/customers/crm-1/external").status == 404
    assert sandbox.request("PUT", f"/api/customers/{customer_id}", {"email": "x@example.com"}).status == 204
    assert read(sandbox, f"/customers/{customer_id}")["external_id"] == "crm-9"
    assert sandbox.request("PUT", f"/api/customers/{customer_id}/archive").json()["status"] == "Archived"
    assert read(sandbox, f"/identifications/{identification_id}")["status"] == "Archived"
    sandbox.advance(60)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Archived"
    link = sandbox.request("POST", f"/api/customers/{customer_id}/identifications/v2", {"type": "Link"}, key="after")
    assert link.status == 403
    counted = ["create_customer", "create_identification", "update_customer", "update_customer", "archive_customer"]
    assert [one.operation for one in sandbox.effects] == counted


def test_archiving_an_identification_leaves_the_customer(sandbox: Sandbox) -> None:
    """Archiving an identification is final for it and changes nothing else."""
    customer_id = create(sandbox)
    identification_id = identify(sandbox, customer_id)
    answer = sandbox.request("PUT", f"/api/identifications/{identification_id}/archive")
    assert (answer.status, answer.json()["status"]) == (200, "Archived")
    sandbox.advance(60)
    assert read(sandbox, f"/identifications/{identification_id}")["status"] == "Archived"
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "IdentificationRequired"


def test_standing(sandbox: Sandbox) -> None:
    """Requirements, abilities, limits and terms have their documented keys, and follow the customer's status."""
    customer_id = create(sandbox)
    path = f"/customers/{customer_id}"
    due = read(sandbox, f"{path}/requirements")
    assert set(due) == {"complete", "pending", "missing", "issues", "requirements_due"}
    assert due["requirements_due"] == ["kyc"]
    identify(sandbox, customer_id)
    sandbox.advance(10)
    sign_all(sandbox, customer_id)
    assert read(sandbox, f"{path}/requirements")["requirements_due"] == []
    abilities = read(sandbox, f"{path}/abilities")
    assert set(abilities) == {"fiat_deposit", "fiat_payout", "currencies"}
    assert abilities["fiat_deposit"]["eur"]["sepa_thirdparty"] == "Active"
    limit = read(sandbox, f"{path}/spending-limit")["fiat_onramp"]
    assert set(limit) == {"period_start", "period_end", "used_eur", "threshold_eur", "remaining_eur"}
    assert [set(one) for one in read(sandbox, "/terms-and-conditions?country=DE")] == [set(DOCUMENT)] * 2


@pytest.mark.parametrize(
    ("tag", "group", "retryable"), [("decline", "missing", True), ("decline-final", "issues", False)]
)
def test_requirements_tell_why_a_customer_was_declined(sandbox: Sandbox, tag: str, group: str, retryable: bool) -> None:
    """A decline shows as a requirement whose `retryable` says whether a new attempt makes sense."""
    customer_id = create(sandbox, f"ada+{tag}@example.com")
    identify(sandbox, customer_id)
    sandbox.advance(10)
    (item,) = read(sandbox, f"/customers/{customer_id}/requirements")[group]
    assert item["retryable"] is retryable
    assert item["code"] == "kyc_identity"
    assert item["reject_labels"]


def test_unknown_fields_and_statuses_can_be_switched_on(sandbox: Sandbox) -> None:
    """Objects can carry fields and statuses that no document names."""
    sandbox.switches.unknown_fields = True
    sandbox.switches.renamed_statuses = {"IdentificationRequired": "SomethingNew"}
    customer = read(sandbox, f"/customers/{create(sandbox)}")
    assert customer["status"] == "SomethingNew"
    assert customer["x_unknown"]


def test_sandbox_helpers_of_the_provider(sandbox: Sandbox) -> None:
    """The provider's own helpers approve, decline and reset."""
    customer_id = create(sandbox, "ada+manual@example.com")
    identification_id = identify(sandbox, customer_id)
    path = f"/api/sandbox/identification/{identification_id}"
    assert sandbox.request("POST", path, {"approved": True}, key="d").json()["status"] == "Approved"
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "IdentificationRequired"
    sandbox.advance(2)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"
    again = sandbox.request("POST", path, {"approved": False}, key="e")
    assert again.status == 404
    assert sandbox.request("POST", "/api/sandbox/reset", key="r").json() is True
    assert read(sandbox, "/customers")["items"] == []
    assert sandbox.effects.totals()["create_customer"] == 1


def test_the_same_calls_give_the_same_bytes() -> None:
    """Two sandboxes with one seed and one clock answer alike, byte for byte."""

    def run() -> list[bytes]:
        sandbox = Sandbox(seed=7)
        customer_id = create(sandbox)
        identification_id = identify(sandbox, customer_id)
        bodies = []
        for _ in range(20):
            sandbox.advance(0.5)
            bodies.append(sandbox.request("GET", f"/api/identifications/{identification_id}").body)
        return [*bodies, *(one.body for one in sign_all(sandbox, customer_id))]

    assert run() == run()
