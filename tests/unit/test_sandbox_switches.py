"""The provider's undocumented choices, one by one: what each switch changes in what a caller sees."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox import Answer, Fault, Sandbox, Switches

HERE = Path(__file__).parent
TIMES = {
    "z": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "micros": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "offset": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00",
    "micros_offset": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00",
    "elsewhere": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+05:30",
}


def iron(**switches: Any) -> Sandbox:
    """A provider that has chosen so."""
    return Sandbox(switches=Switches(**switches))


def create(
    sandbox: Sandbox, email: str = "ada+manual@example.com", external_id: str = "crm-1", key: str = "", **more: Any
) -> Answer:
    """Ask for a customer."""
    body = {"customer_type": "Person", "email": email, "external_id": external_id}
    return sandbox.request("POST", "/api/customers", body, key=key or f"c {external_id} {email}", **more)


def identify(sandbox: Sandbox, customer_id: str, key: str = "i") -> Answer:
    """Ask for an identification."""
    return sandbox.request("POST", f"/api/customers/{customer_id}/identifications/v2", {"type": "Link"}, key=key)


def sign(sandbox: Sandbox, customer_id: str, content_id: str, key: str = "s", **more: Any) -> Answer:
    """Sign a document."""
    body = {"content_id": content_id, "signed": True, **more}
    return sandbox.request("POST", f"/api/customers/{customer_id}/signings", body, key=key)


def read(sandbox: Sandbox, path: str) -> Any:
    """Read something that is there."""
    answer = sandbox.request("GET", f"/api{path}")
    assert answer.status == 200, answer.body
    return answer.json()


def started(sandbox: Sandbox) -> tuple[str, str]:
    """A customer whose identification waits for a hand."""
    customer_id = create(sandbox).json()["id"]
    return customer_id, identify(sandbox, customer_id).json()["id"]


def approved(sandbox: Sandbox) -> tuple[str, str]:
    """A customer who has to sign."""
    customer_id, identification_id = started(sandbox)
    sandbox.move(identification_id, "approve")
    sandbox.advance(2)
    return customer_id, identification_id


def active(sandbox: Sandbox) -> tuple[str, str]:
    """A customer who is through."""
    customer_id, identification_id = approved(sandbox)
    for document in read(sandbox, f"/customers/{customer_id}/required-signings"):
        assert sign(sandbox, customer_id, document["id"], document["id"]).status == 201
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"
    return customer_id, identification_id


def test_every_switch_has_a_test() -> None:
    """A switch that no test of the sandbox names changes nothing that we know of."""
    tests = [file.read_text() for file in HERE.glob("test_sandbox_*.py") if file.name != "test_sandbox_drawing.py"]
    unknown = {name for name in Switches.model_fields if not any(name in text for text in tests)}
    assert not unknown


# --- Requests and headers


@pytest.mark.parametrize("status", [400, 403, 406, 422])
def test_versions(status: Any) -> None:
    """Known versions are taken and named in the answer; any other gets the status of the day."""
    sandbox = iron(bad_version=status)
    path = "/api/customers"
    assert sandbox.request("GET", path).headers["x-api-version"] == "2025-03-13"
    for version in ("2025-03-13", "2026-07-01", "2026-08-01", "2026-10-15"):
        answer = sandbox.request("GET", path, headers={"X-API-Version": version})
        assert (answer.status, answer.headers["x-api-version"]) == (200, version)
    assert sandbox.request("GET", path, headers={"X-API-Version": "2027-01-15"}).status == status
    sandbox.switches.known_versions = ("2027-01-15",)
    assert sandbox.request("GET", path, headers={"X-API-Version": "2027-01-15"}).status == 200
    assert sandbox.request("GET", path, headers={"X-API-Version": "2026-10-15"}).status == status
    sandbox.switches.version_echo = False
    assert "x-api-version" not in sandbox.request("GET", path).headers


@pytest.mark.parametrize("status", [400, 401, 403, 406])
def test_refusals_to_all(status: Any) -> None:
    """While all are refused, every call is, whatever it is, and nothing happens."""
    sandbox = iron(refuse_all=status)
    assert create(sandbox).status == status
    assert sandbox.request("GET", "/api/customers").status == status
    sandbox.switches.refuse_all = None
    assert read(sandbox, "/customers")["items"] == []
    assert create(sandbox).status == 201


def test_unknown_members() -> None:
    """Members that no document names are refused in every body, or overlooked, also inside; known ones still count."""
    body = {"customer_type": "Person", "email": "ada@example.com", "external_id": "crm-1", "first_name": "Ada"}
    for members, statuses in (("refuse", (400, 400, 422)), ("take", (201, 201, 404))):
        sandbox = iron(unknown_members=members)
        customer_id = create(sandbox).json()["id"]
        link = {"type": "Link", "return_url": "https://here.invalid"}
        paths = f"/api/customers/{customer_id}/identifications/v2", f"/api/customers/{customer_id}/signings"
        made = sandbox.request("POST", "/api/customers", body, key="x")
        identified = sandbox.request("POST", paths[0], link, key="y")
        signed = sandbox.request(
            "POST", paths[1], {"signed": True, "content_id": str(uuid.UUID(int=1)), "evidence": "web"}, key="z"
        )
        assert (made.status, identified.status, signed.status) == statuses
    wrong = {"customer_type": "Person", "email": 7, "first_name": "Ada"}
    assert sandbox.request("POST", "/api/customers", wrong, key="w").status == 400


@pytest.mark.parametrize("status", [400, 422])
def test_what_cannot_be_read(status: Any) -> None:
    """Bodies, parameters and headers that cannot be read get the status of the day; so do signings theirs."""
    sandbox = iron(bad_request=status, bad_signing=status)
    customer_id = create(sandbox).json()["id"]
    paths = ("/api/customers?page_size=x", "/api/customers?status=x", "/api/customers/7", "/api/terms-and-conditions")
    assert {sandbox.request("GET", path).status for path in paths} == {status}
    assert sandbox.request("POST", "/api/customers", {"email": 1}, key="k").status == status
    assert sandbox.request("POST", "/api/customers", {}).status == status
    assert sandbox.request("POST", f"/api/customers/{customer_id}/signings", {}, key="s").status == status


def test_large_pages() -> None:
    """A page larger than the largest is refused or cut."""
    assert iron().request("GET", "/api/customers?page_size=101").status == 400
    assert iron(large_page="clamp").request("GET", "/api/customers?page_size=101").status == 200
    assert iron(large_page="clamp").request("GET", "/api/customers?page_size=0").status == 400


@pytest.mark.parametrize(("way", "status"), [("refuse", 400), ("not_found", 404), ("first_page", 200)])
def test_stale_cursors(way: Any, status: int) -> None:
    """A cursor that leads nowhere is refused, not found, or counts as none."""
    sandbox = iron(stale_cursor=way)
    customer_id, identification_id = started(sandbox)
    nowhere = uuid.UUID(int=9)
    for path, first in (("/customers", customer_id), (f"/customers/{customer_id}/identifications", identification_id)):
        answer = sandbox.request("GET", f"/api{path}?cursor={nowhere}")
        assert answer.status == status
        assert status != 200 or answer.json()["items"][0]["id"] == first


# --- Idempotency


def test_retention_may_differ() -> None:
    """Identifications remember keys as documented; elsewhere they may be forgotten earlier."""
    sandbox = iron(retention_s=120, retention_elsewhere_s=60, pending_identification="supersede")
    customer_id = create(sandbox).json()["id"]
    first = identify(sandbox, customer_id).json()["id"]
    sandbox.advance(61)
    assert create(sandbox).json()["id"] != customer_id
    assert identify(sandbox, customer_id).json()["id"] == first
    sandbox.advance(60)
    assert identify(sandbox, customer_id).json()["id"] != first


def test_scope_of_keys() -> None:
    """One key may serve two endpoints, or is refused at the second."""
    sandbox = iron()
    customer_id = create(sandbox, key="same").json()["id"]
    assert identify(sandbox, customer_id, "same").status == 201
    sandbox = iron(key_scope="everywhere")
    customer_id = create(sandbox, key="same").json()["id"]
    assert identify(sandbox, customer_id, "same").status == 409
    assert create(sandbox, key="same").json()["id"] == customer_id


def test_form_of_keys() -> None:
    """A key may have to be a UUID."""
    sandbox = iron(key_form="uuid")
    assert create(sandbox, key="mine").status == 400
    assert create(sandbox, key=str(uuid.UUID(int=5))).status == 201


@pytest.mark.parametrize(("way", "status"), [("conflict", 409), ("replay", 201)])
def test_twins_in_flight(way: Any, status: int) -> None:
    """A request whose twin is under way is refused, or gets the twin's answer; there is one effect."""
    sandbox = iron(in_flight=way)
    sandbox.faults.add(Fault(operation="create_customer", delay_s=30, times=1))
    create(sandbox)
    assert create(sandbox).status == status
    assert sandbox.effects.totals() == {"create_customer": 1}


def test_replays_without_headers() -> None:
    """A stored answer comes with or without its headers, with the same body."""
    sandbox = iron(replay_headers=False)
    first, again = create(sandbox), create(sandbox)
    assert set(first.headers) == {"content-type", "content-length", "x-api-version"}
    assert set(again.headers) == {"content-length"}
    assert (first.status, first.body) == (again.status, again.body)


# --- Customers


@pytest.mark.parametrize("status", [400, 409])
def test_unique_external_ids(status: Any) -> None:
    """An external id that is taken is refused, though look-ups do not see its customer yet; a replay is none."""
    sandbox = iron(duplicate_external_id=status, lookup_lag_s=30)
    customer_id = create(sandbox).json()["id"]
    assert sandbox.request("GET", "/api/customers/crm-1/external").status == 404
    assert create(sandbox, key="another").status == status
    assert create(sandbox).json()["id"] == customer_id
    assert create(sandbox, external_id="CRM-1").status == 201
    sub_partner = {"X-SUB-PARTNER-ID": str(uuid.UUID(int=1))}
    assert create(sandbox, key="theirs", headers=sub_partner).status == 201
    update = {"email": "ada+manual@example.com", "external_id": "crm-1"}
    assert sandbox.request("PUT", f"/api/customers/{customer_id}", update).status == 204
    other = sandbox.provider.store.with_external_id("CRM-1")[0].id
    assert sandbox.request("PUT", f"/api/customers/{other}", update).status == status


@pytest.mark.parametrize("status", [400, 409])
def test_unique_addresses(status: Any) -> None:
    """An e-mail address that is taken is refused, until its customer has another one."""
    sandbox = iron(duplicate_email=status)
    customer_id = create(sandbox).json()["id"]
    assert create(sandbox, external_id="crm-2").status == status
    assert sandbox.request("PUT", f"/api/customers/{customer_id}", {"email": "eve@example.com"}).status == 204
    assert create(sandbox, external_id="crm-2", key="again").status == 201


def test_look_up_by_external_id() -> None:
    """Of several the oldest or the newest is found; archived ones or not; in any case or not."""
    sandbox = iron(external_lookup="newest")
    ids = [create(sandbox, key=key).json()["id"] for key in ("one", "two")]
    assert read(sandbox, "/customers/crm-1/external")["id"] == ids[1]
    sandbox.switches.external_lookup = "oldest"
    assert read(sandbox, "/customers/crm-1/external")["id"] == ids[0]
    sandbox.move(ids[0], "archive")
    assert read(sandbox, "/customers/crm-1/external")["id"] == ids[0]
    sandbox.switches.external_archived = False
    assert read(sandbox, "/customers/crm-1/external")["id"] == ids[1]
    assert sandbox.request("GET", "/api/customers/CRM-1/external").status == 404
    sandbox.switches.external_case = "ignored"
    assert read(sandbox, "/customers/CRM-1/external")["id"] == ids[1]
    sandbox.switches.duplicate_external_id = 409
    assert create(sandbox, external_id="Crm-1", key="three").status == 409


def test_length_of_external_ids() -> None:
    """An external id may have so many characters."""
    sandbox = iron(longest_external_id=10)
    assert create(sandbox, external_id="x" * 11).status == 400
    assert create(sandbox, external_id="x" * 10).status == 201
    assert create(iron(), external_id="x" * 256).status == 400


def test_sign_first() -> None:
    """In the older order a new customer signs, is identified, and then is Active without more."""
    sandbox = iron(order="sign_first")
    customer_id = create(sandbox, "ada@example.com").json()["id"]
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"
    for document in read(sandbox, f"/customers/{customer_id}/required-signings"):
        sign(sandbox, customer_id, document["id"], document["id"])
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "IdentificationRequired"
    identify(sandbox, customer_id)
    sandbox.advance(20)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"


@pytest.mark.parametrize("status", [403, 404])
def test_another_sub_partners_customer(status: Any) -> None:
    """Another sub-partner's customer is forbidden or not there; so is none at all never forbidden."""
    sandbox = iron(wrong_sub_partner=status)
    header = {"X-SUB-PARTNER-ID": str(uuid.UUID(int=1))}
    customer_id = create(sandbox, headers=header).json()["id"]
    assert sandbox.request("GET", f"/api/customers/{customer_id}").status == status
    assert sandbox.request("GET", f"/api/customers/{uuid.UUID(int=3)}").status == 404


def test_updates() -> None:
    """An update answers 204 without, or 200 with the customer; of an unknown customer 404 or 400."""
    sandbox = iron(update_status=200, update_missing=400)
    customer_id = create(sandbox).json()["id"]
    answer = sandbox.request("PUT", f"/api/customers/{customer_id}", {"email": "new@example.com"})
    assert (answer.status, answer.json()["email"]) == (200, "new@example.com")
    nobody = f"/api/customers/{uuid.UUID(int=3)}"
    assert sandbox.request("PUT", nobody, {"email": "new@example.com"}).status == 400
    assert iron().request("PUT", nobody, {"email": "new@example.com"}).status == 404


@pytest.mark.parametrize("status", [400, 403, 409])
def test_blocked_customers(status: Any) -> None:
    """A suspended customer's identifications and signatures are refused."""
    sandbox = iron(blocked_customer=status)
    customer_id = create(sandbox).json()["id"]
    sandbox.move(customer_id, "suspend")
    assert identify(sandbox, customer_id).status == status
    assert sign(sandbox, customer_id, str(uuid.UUID(int=1))).status == status


# --- Identifications


@pytest.mark.parametrize(
    ("becomes", "status"), [("itself", "Pending"), ("Expired", "Expired"), ("Archived", "Archived")]
)
def test_superseded_identifications(becomes: Any, status: str) -> None:
    """What is superseded stays as it is, or ends."""
    sandbox = iron(pending_identification="supersede", superseded_becomes=becomes)
    customer_id, identification_id = started(sandbox)
    assert identify(sandbox, customer_id, "second").status == 201
    assert read(sandbox, f"/identifications/{identification_id}")["status"] == status


@pytest.mark.parametrize("status", ["Processed", "PendingReview"])
def test_complete_data(status: Any) -> None:
    """Complete data are taken as finished input, or are in review at once; then they are approved."""
    sandbox = iron(submitted_becomes=status)
    customer_id = create(sandbox, "ada@example.com").json()["id"]
    questionnaire = {
        "employment_status": "Employed",
        "yearly_gross_income": "LessThan20000",
        "source_of_wealth": "Salary",
        "expected_monthly_transaction_count": "LessThan5",
        "expected_monthly_transaction_volume": "LessThan500",
    }
    body = {"type": "Token", "token": "t", "intended_use": "Trading", "kyc_questionnaire": questionnaire}
    answer = sandbox.request("POST", f"/api/customers/{customer_id}/identifications/v2", body, key="i")
    assert answer.json()["status"] == status
    sandbox.advance(10)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"


@pytest.mark.parametrize(("back", "status"), [(False, "Active"), (True, "IdentificationRequired")])
def test_archiving_the_newest_identification(back: bool, status: str) -> None:
    """Archiving the identification of an Active customer may put the customer back."""
    sandbox = iron(archiving_puts_back=back)
    customer_id, identification_id = active(sandbox)
    sandbox.request("PUT", f"/api/identifications/{identification_id}/archive")
    assert read(sandbox, f"/customers/{customer_id}")["status"] == status


@pytest.mark.parametrize("status", [400, 404, 409])
def test_deciding_again(status: Any) -> None:
    """A decision on what is decided is refused."""
    sandbox = iron(decided_again=status)
    _, identification_id = approved(sandbox)
    path = f"/api/sandbox/identification/{identification_id}"
    assert sandbox.request("POST", path, {"approved": True}, key="d").status == status


def test_approval_by_call() -> None:
    """By call, nothing goes on until the provider's own sandbox is told to approve; also a step-up waits."""
    sandbox = iron(approval="by_call")
    customer_id = create(sandbox, "ada+stepup@example.com").json()["id"]
    identification_id = identify(sandbox, customer_id).json()["id"]
    path = f"/api/sandbox/identification/{identification_id}"
    sandbox.advance(86_400 * 30)
    assert read(sandbox, f"/identifications/{identification_id}")["status"] == "Pending"
    assert sandbox.request("POST", path, {"approved": True}, key="d").json()["status"] == "Approved"
    sandbox.advance(2)
    for document in read(sandbox, f"/customers/{customer_id}/required-signings"):
        sign(sandbox, customer_id, document["id"], document["id"])
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"
    sandbox.advance(86_400)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "IdentificationRequired"
    assert sandbox.request("POST", path, {"approved": True}, key="e").status == 201
    sandbox.advance(2)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"


@pytest.mark.parametrize(
    ("way", "status", "records"), [("pending", "Pending", 1), ("approved", "Approved", 1), ("new_record", "Pending", 2)]
)
@pytest.mark.parametrize("by", ["script", "call", "page"])
def test_step_ups(way: Any, status: str, records: int, by: str) -> None:
    """A step-up asks on the same record, Pending or Approved, or on a new one; answered, it makes Active."""
    sandbox = iron(step_up=way, approval="by_itself" if by == "script" else "by_call")
    customer_id, _ = active(sandbox)
    if by == "script":
        customer = sandbox.provider.store.customers[customer_id]
        sandbox.provider.lifecycle._ask_again(customer, sandbox.clock.now())
    else:
        sandbox.move(customer_id, "stepup")
    found = read(sandbox, f"/customers/{customer_id}/identifications")["items"]
    assert (len(found), found[0]["status"]) == (records, status)
    assert found[0]["url"]
    customer = read(sandbox, f"/customers/{customer_id}")
    assert (customer["status"], len(customer["identification_ids"])) == ("IdentificationRequired", records)
    if by == "call":
        path = f"/api/sandbox/identification/{found[0]['id']}"
        assert sandbox.request("POST", path, {"approved": True}, key="d").status == 201
    if by == "page":
        query = found[0]["url"].partition("?")[2]
        sandbox.handle("POST", "/start", query, {}, b"step=approve")
    sandbox.advance(10)
    found = read(sandbox, f"/customers/{customer_id}/identifications")["items"]
    assert (found[0]["status"], found[0]["url"]) == ("Approved", None)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"


def test_a_step_up_right_after_the_approval() -> None:
    """Who is asked for more before the approval has taken effect is not let through by it."""
    sandbox = iron(step_up="approved")
    customer_id, identification_id = started(sandbox)
    sandbox.move(identification_id, "approve")
    sandbox.move(identification_id, "stepup")
    sandbox.advance(60)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "IdentificationRequired"
    sandbox.move(identification_id, "approve")
    sandbox.advance(2)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"


def test_a_late_link() -> None:
    """The link of a new identification may come a moment later."""
    sandbox = iron(url_delay_s=3)
    customer_id = create(sandbox).json()["id"]
    answer = identify(sandbox, customer_id).json()
    assert answer["url"] is None
    sandbox.advance(3)
    assert read(sandbox, f"/identifications/{answer['id']}")["url"]


def test_rotating_links() -> None:
    """Each read gives another link, and all of them lead to the page."""
    sandbox = iron(url_rotates=True)
    _, identification_id = started(sandbox)
    links = {read(sandbox, f"/identifications/{identification_id}")["url"] for _ in range(3)}
    assert len(links) == 3
    for link in links:
        assert sandbox.handle("GET", "/start", link.partition("?")[2]).status == 200


@pytest.mark.parametrize(
    ("when", "told"), [("decided", (False, True)), ("always", (True, True)), ("never", (False, False))]
)
def test_when_steps_are_told(when: Any, told: tuple[bool, bool]) -> None:
    """The steps of an identification are told once it is decided, always, or never."""
    sandbox = iron(step_status=when)
    _, identification_id = started(sandbox)
    before = read(sandbox, f"/identifications/{identification_id}")["step_status"]
    sandbox.move(identification_id, "decline")
    after = read(sandbox, f"/identifications/{identification_id}")["step_status"]
    assert (before is not None, after is not None) == told


def test_comments() -> None:
    """Reviewers write comments or not."""
    sandbox = iron(review_comments=False)
    customer_id, identification_id = started(sandbox)
    sandbox.move(identification_id, "decline")
    shown = read(sandbox, f"/identifications/{identification_id}")
    assert shown["review_comment"] is None
    assert shown["step_status"]["identity"]["comment"] is None
    assert read(sandbox, f"/customers/{customer_id}/requirements")["missing"][0]["description"] is None


def test_retryable() -> None:
    """Whether a new attempt makes sense is said or is null; what blocks for good still stands among the issues."""
    sandbox = iron(retryable_said=False)
    customer_id, identification_id = started(sandbox)
    sandbox.move(identification_id, "decline-final")
    (item,) = read(sandbox, f"/customers/{customer_id}/requirements")["issues"]
    assert item["retryable"] is None


# --- Signatures


@pytest.mark.parametrize("way", ["active", "signings_required"])
def test_nothing_left_to_sign(way: Any) -> None:
    """After a new identification of one who has signed everything: Active at once, or by way of an empty list."""
    sandbox = iron(nothing_to_sign=way, approval_delay_s=1)
    customer_id, _ = active(sandbox)
    identification_id = identify(sandbox, customer_id, "second").json()["id"]
    sandbox.move(identification_id, "approve")
    sandbox.advance(1)
    if way == "signings_required":
        assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"
        assert read(sandbox, f"/customers/{customer_id}/required-signings") == []
        sandbox.advance(1)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"


def test_everything_is_signed_again() -> None:
    """A new identification may ask for every document again, a step-up never does."""
    sandbox = iron(new_round_signs="all", step_up="new_record")
    customer_id, _ = active(sandbox)
    sandbox.advance(1)
    sandbox.move(identify(sandbox, customer_id, "second").json()["id"], "approve")
    sandbox.advance(2)
    documents = read(sandbox, f"/customers/{customer_id}/required-signings")
    assert len(documents) == 2
    for document in documents:
        assert sign(sandbox, customer_id, document["id"], f"again {document['id']}").status == 201
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"
    sandbox.advance(1)
    sandbox.move(customer_id, "stepup")
    sandbox.move(customer_id, "approve")
    sandbox.advance(2)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"


def test_documents_may_come_later() -> None:
    """Signatures are required before the documents are there."""
    sandbox = iron(documents_lag_s=30)
    customer_id, _ = approved(sandbox)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"
    assert read(sandbox, f"/customers/{customer_id}/required-signings") == []
    sandbox.advance(30)
    assert len(read(sandbox, f"/customers/{customer_id}/required-signings")) == 2


@pytest.mark.parametrize(
    ("otherwise", "status", "text"),
    [
        ("conflict", 409, "does not require signings"),
        ("conflict_not_in_status", 409, "not in status SigningsRequired"),
        ("conflict_none", 409, "no required signings"),
        ("not_found", 404, ""),
        ("gone", 410, ""),
        ("bad", 400, ""),
        ("forbidden", 403, ""),
        ("empty", 200, "[]"),
        ("null", 200, "null"),
    ],
)
def test_nothing_is_required(otherwise: Any, status: int, text: str) -> None:
    """Required signings of an Active customer are answered in one of many ways."""
    sandbox = iron(required_signings_otherwise=otherwise)
    customer_id, _ = active(sandbox)
    answer = sandbox.request("GET", f"/api/customers/{customer_id}/required-signings")
    assert answer.status == status
    assert text in answer.body.decode()


def test_signed_documents_may_stay_listed() -> None:
    """Documents stay in the list until the last one is signed, or leave it one by one."""
    for stay, left in ((False, 1), (True, 2)):
        sandbox = iron(signed_stay_listed=stay)
        customer_id, _ = approved(sandbox)
        first, second = read(sandbox, f"/customers/{customer_id}/required-signings")
        sign(sandbox, customer_id, first["id"], "1")
        assert len(read(sandbox, f"/customers/{customer_id}/required-signings")) == left
        sign(sandbox, customer_id, second["id"], "2")
        assert sandbox.request("GET", f"/api/customers/{customer_id}/required-signings").status == 409


@pytest.mark.parametrize(("again", "status"), [("refuse", 422), (404, 404), (409, 409), ("accept", 201)])
def test_signing_again(again: Any, status: int) -> None:
    """Signing what is signed is refused in one of many ways, or makes a second record."""
    sandbox = iron(signing_again=again)
    customer_id, _ = active(sandbox)
    content_id = read(sandbox, f"/customers/{customer_id}/signings")["items"][0]["content_id"]
    assert sign(sandbox, customer_id, content_id, "again").status == status


def test_signing_again_answers_the_one_there_is() -> None:
    """Who signs twice may get the first record again, which is the only one; what was never signed is still refused."""
    sandbox = iron(signing_again="same")
    customer_id, _ = approved(sandbox)
    document = read(sandbox, f"/customers/{customer_id}/required-signings")[0]["id"]
    first = sign(sandbox, customer_id, document).json()
    assert sign(sandbox, customer_id, document, "again").json()["id"] == first["id"]
    assert sandbox.effects.group()["crm-1"]["signings"] == 1
    stranger_id = create(sandbox, "bob+manual@example.com", "crm-2").json()["id"]
    assert sign(sandbox, stranger_id, document, "too early").status == 422


def test_from_the_last_signature_to_active() -> None:
    """It may take a while until a customer who has signed everything is active; meanwhile nothing is left to sign."""
    sandbox = iron(activation_delay_s=20)
    customer_id, _ = approved(sandbox)
    for document in read(sandbox, f"/customers/{customer_id}/required-signings"):
        assert sign(sandbox, customer_id, document["id"], document["id"]).status == 201
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"
    assert read(sandbox, f"/customers/{customer_id}/required-signings") == []
    sandbox.advance(20)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "Active"


@pytest.mark.parametrize(("means", "status"), [("in_flight", 409), ("pending", 201)])
def test_what_is_pending(means: Any, status: int) -> None:
    """An identification that the customer has finished may stand in the way of the next one, or not."""
    sandbox = iron(pending_means=means)
    customer_id, identification_id = started(sandbox)
    assert identify(sandbox, customer_id, "second").status == 409
    sandbox.move(identification_id, "process")
    assert identify(sandbox, customer_id, "third").status == status


def test_empty_groups_of_requirements() -> None:
    """A group without requirements may be null."""
    sandbox = iron(requirements_empty="null")
    customer_id, identification_id = started(sandbox)
    sandbox.move(identification_id, "process")
    found = read(sandbox, f"/customers/{customer_id}/requirements")
    assert (found["missing"], found["issues"], len(found["pending"])) == (None, None, 1)


@pytest.mark.parametrize("status", [404, 422])
def test_unknown_documents(status: Any) -> None:
    """Signing what nobody has published is refused."""
    sandbox = iron(unknown_document=status)
    customer_id, _ = approved(sandbox)
    assert sign(sandbox, customer_id, str(uuid.UUID(int=1))).status == status


@pytest.mark.parametrize("content_type", ["Document", "Url", "Text"])
def test_old_clients_sign(content_type: str) -> None:
    """The content type of older generations is taken."""
    sandbox = iron()
    customer_id, _ = approved(sandbox)
    document = read(sandbox, f"/customers/{customer_id}/required-signings")[0]
    assert sign(sandbox, customer_id, document["id"], content_type=content_type).status == 201


# --- Reads


def test_a_new_customer_may_not_be_readable_yet() -> None:
    """For a while reads of a new customer by its own id find nothing; writes do."""
    sandbox = iron(customer_lag_s=5)
    customer_id = create(sandbox).json()["id"]
    assert sandbox.request("GET", f"/api/customers/{customer_id}").status == 404
    assert identify(sandbox, customer_id).status == 201
    sandbox.advance(5)
    assert sandbox.request("GET", f"/api/customers/{customer_id}").status == 200


def test_reads_may_show_the_status_before() -> None:
    """For a while a customer's reads and lists show the status before the last change."""
    sandbox = iron(status_lag_s=5)
    customer_id, identification_id = started(sandbox)
    sandbox.switches.approval_delay_s = 0
    sandbox.move(identification_id, "approve")
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "IdentificationRequired"
    assert read(sandbox, "/customers?status=SigningsRequired")["items"] == []
    sandbox.advance(5)
    assert read(sandbox, f"/customers/{customer_id}")["status"] == "SigningsRequired"
    assert len(read(sandbox, "/customers?status=SigningsRequired")["items"]) == 1


def test_lists_may_lag() -> None:
    """For a while lists do not show a new identification; its id does."""
    sandbox = iron(record_lag_s=5)
    customer_id, identification_id = started(sandbox)
    assert read(sandbox, f"/customers/{customer_id}/identifications")["items"] == []
    assert read(sandbox, f"/identifications/{identification_id}")["id"] == identification_id
    sandbox.advance(5)
    assert len(read(sandbox, f"/customers/{customer_id}/identifications")["items"]) == 1


def test_order_of_lists() -> None:
    """Lists and the ids that a customer carries come newest or oldest first, or in no order; all are there."""
    seen = set()
    for order in ("newest", "oldest", "shuffled"):
        sandbox = iron(list_order=order, ids_order=order, pending_identification="supersede")
        customer_id = create(sandbox).json()["id"]
        made = [identify(sandbox, customer_id, str(number)).json()["id"] for number in range(12)]
        ids = read(sandbox, f"/customers/{customer_id}")["identification_ids"]
        pages = [read(sandbox, f"/customers/{customer_id}/identifications?page_size=10")]
        pages.append(read(sandbox, f"/customers/{customer_id}/identifications?cursor={pages[0]['cursor']}"))
        assert [one["id"] for page in pages for one in page["items"]] == ids
        assert sorted(ids) == made
        seen.add(tuple(made.index(one) for one in ids))
    assert {tuple(range(12)), tuple(range(11, -1, -1))} < seen
    assert len(seen) == 3


def test_left_out_members() -> None:
    """Named members are missing from every object, also required ones."""
    sandbox = iron(left_out=("created_at", "identification_ids", "url", "cursor"))
    customer_id, identification_id = started(sandbox)
    assert not {"created_at", "identification_ids"} & set(read(sandbox, f"/customers/{customer_id}"))
    assert not {"created_at", "url"} & set(read(sandbox, f"/identifications/{identification_id}"))
    assert "cursor" not in read(sandbox, "/customers")


@pytest.mark.parametrize("times", TIMES)
def test_forms_of_times(times: Any) -> None:
    """Times are written in one of several forms of RFC 3339, and mean the same."""
    sandbox = iron(times=times)
    customer = create(sandbox).json()
    assert re.fullmatch(TIMES[times], customer["created_at"])
    from datetime import datetime

    assert datetime.fromisoformat(customer["created_at"]).timestamp() == sandbox.clock.now()


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        *[(str(status), status, '"not available for this customer"') for status in (400, 403, 404, 409, 410, 422)],
        ("empty_list", 200, "[]"),
        ("null", 200, "null"),
        ("empty_object", 200, "{}"),
    ],
)
def test_odd_reads(kind: Any, status: int, body: str) -> None:
    """A read answers something odd, other reads and writes answer as ever."""
    sandbox = iron(odd_reads={"get_customer": kind})
    customer_id = create(sandbox).json()["id"]
    answer = sandbox.request("GET", f"/api/customers/{customer_id}")
    assert (answer.status, answer.body.decode()) == (status, body)
    assert read(sandbox, "/customers/crm-1/external")["id"] == customer_id
    assert identify(sandbox, customer_id).status == 201


def test_incomplete_and_unknown_reads() -> None:
    """An object loses the member that matters most, or has a status that no document names."""
    operations = ("get_customer", "list_customers", "get_requirements", "get_required_signings")
    sandbox = iron(odd_reads=dict.fromkeys(operations, "missing_member"))
    customer_id, _ = approved(sandbox)
    path = f"/customers/{customer_id}"
    assert "status" not in read(sandbox, path)
    assert "items" not in read(sandbox, "/customers")
    assert "missing" not in read(sandbox, f"{path}/requirements")
    assert all("id" not in one for one in read(sandbox, f"{path}/required-signings"))
    sandbox.switches.odd_reads = dict.fromkeys(operations, "unknown_status")
    assert read(sandbox, path)["status"] == "Unheardof"
    assert read(sandbox, "/customers")["items"][0]["status"] == "Unheardof"
    assert len(read(sandbox, f"{path}/required-signings")) == 2
    sandbox.switches.odd_reads = dict.fromkeys((*operations, "list_identifications"), "missing_in_items")
    assert "items" in read(sandbox, "/customers")
    assert "status" not in read(sandbox, f"{path}/identifications")["items"][0]
    assert "status" in read(sandbox, path)


@pytest.mark.parametrize("kind", ["missing_member", "missing_in_items", "unknown_status"])
def test_what_is_no_object_cannot_be_spoiled(kind: Any) -> None:
    """An answer that is null as it is stays so."""
    sandbox = iron(required_signings_otherwise="null", odd_reads={"get_required_signings": kind})
    customer_id = create(sandbox).json()["id"]
    assert read(sandbox, f"/customers/{customer_id}/required-signings") is None


def test_unknown_codes_of_requirements() -> None:
    """What is required may have a code that no document names."""
    sandbox = iron(odd_reads={"get_requirements": "unknown_status"})
    customer_id, identification_id = started(sandbox)
    sandbox.move(identification_id, "decline")
    found = read(sandbox, f"/customers/{customer_id}/requirements")
    assert {one["code"] for one in (*found["missing"], *found["issues"])} == {"Unheardof"}


# --- Errors and webhooks


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("string", b'"Customer not found"'),
        ("text", b"Customer not found"),
        ("object", b'{"message":"Customer not found","trace_id":"00-sandbox-00"}'),
        ("empty", b""),
    ],
)
def test_forms_of_errors(form: Any, body: bytes) -> None:
    """A 4xx answer has one of four forms."""
    sandbox = iron(error_bodies=form)
    assert sandbox.request("GET", f"/api/customers/{uuid.UUID(int=1)}").body == body


def test_forms_of_401() -> None:
    """A rejected key is told in plain text, or as a JSON string like the others."""
    for form, body in (("text", b"authorization error"), ("string", b'"authorization error"')):
        sandbox = iron(unauthorized_body=form)
        assert sandbox.request("GET", "/api/customers", api_key="").body == body


def test_messages_of_webhooks() -> None:
    """A message stands in an object named for its kind or not; the id names the attempt or the event."""
    for message, names, same in (("wrapped", {"Event"}, False), ("unwrapped", {"id", "kind"}, True)):
        sandbox = iron(webhook_message=message, webhook_id="event" if same else "attempt", webhook_agent="Test/1")
        sandbox.request("POST", "/_sandbox/webhooks", {"url": "https://here.invalid"})
        create(sandbox)
        (first,) = sandbox.take_webhooks()
        assert set(json.loads(first.body)["data"]["message"]) == names
        assert first.headers["user-agent"] == "Test/1"
        sandbox.webhooks.report(first, 500, sandbox.clock.now())
        sandbox.advance(1)
        (again,) = sandbox.take_webhooks()
        assert (first.headers["webhook-id"] == again.headers["webhook-id"]) is same
        assert str(uuid.UUID(first.headers["webhook-id"])) == first.headers["webhook-id"]
        sandbox.switches.webhook_agent = None
        sandbox.webhooks.report(again, 500, sandbox.clock.now())
        sandbox.advance(2)
        assert "user-agent" not in sandbox.take_webhooks()[0].headers


def test_what_signs_webhooks() -> None:
    """The key is the secret as it is, or what its base64 says after `whsec_`."""
    import hashlib
    import hmac

    for form, key in (("raw", b"whsec_c2FuZGJveA=="), ("decoded", b"sandbox")):
        sandbox = iron(webhook_key=form)
        sandbox.request("POST", "/_sandbox/webhooks", {"url": "https://x.invalid", "secret": "whsec_c2FuZGJveA=="})
        create(sandbox)
        (sent,) = sandbox.take_webhooks()
        signed = sent.headers["webhook-timestamp"].encode() + sent.body
        assert sent.headers["webhook-signature"] == "v1=" + hmac.new(key, signed, hashlib.sha256).hexdigest()
