"""Every answer of the sandbox fits the types that the fact sheet gives, with absent members as null and left out."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ops.sandbox import Answer, Sandbox, Switches
from ops.sandbox.api.routes import ROUTES
from tests import given_details, iron_types
from tests.iron_types import TYPES, Many, Object, schema

NULLS = pytest.mark.parametrize("optional", ["null", "omitted"])


def fits(kind: Any, value: object, *, nulls: bool) -> None:
    """Assert that a value is of a type; the message names the place and no value."""
    for error in Draft202012Validator(schema(kind, nulls=nulls)).iter_errors(value):
        raise AssertionError(f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.validator}")


class Client:
    """Calls a sandbox by route, and checks every answer against its type."""

    def __init__(self, optional: Any = "null", **switches: Any) -> None:
        self.nulls = optional == "null"
        self.sandbox = Sandbox(switches=Switches(optional_fields=optional, **switches))
        self.seen: set[tuple[str, str]] = set()
        self.number = 0

    def call(self, method: str, template: str, body: object = None, query: str = "", **names: str) -> Any:
        """Make a call that succeeds; answers its body."""
        status, kind = TYPES[method, template]
        answer = self.send(method, template, body, query, **names)
        assert answer.status == status, (method, template, answer.status)
        self.seen.add((method, template))
        if kind is iron_types.NOTHING:
            assert answer.body == b""
            return None
        fits(kind, answer.json(), nulls=self.nulls)
        return answer.json()

    def send(self, method: str, template: str, body: object = None, query: str = "", **names: str) -> Answer:
        """Make a call."""
        self.number += 1
        path = template.format(**names) + (f"?{query}" if query else "")
        return self.sandbox.request(method, f"/api{path}", body, key=str(uuid.UUID(int=self.number)))

    def customer(self, tag: str = "manual", kind: str = "Person", **more: str) -> str:
        """Create a customer; answers the id."""
        email = f"c{self.number}+{tag}@example.com"
        return str(self.call("POST", "/customers", {"customer_type": kind, "email": email, **more})["id"])

    def identify(self, customer: str, body: object = None) -> str:
        """Create an identification; answers the id."""
        template = "/customers/{id}/identifications/v2"
        return str(self.call("POST", template, body or {"type": "Link"}, id=customer)["id"])

    def look(self, customer: str) -> None:
        """Read all there is to read of a customer."""
        for template in (
            *("/customers/{id}", "/customers/{id}/requirements", "/customers/{id}/abilities"),
            *("/customers/{id}/identifications", "/customers/{id}/signings", "/customers/{id}/spending-limit"),
            "/customers/{id}/microdeposits",
        ):
            self.call("GET", template, id=customer)
        self.call("GET", "/customers", query="page_size=1")
        for one in self.sandbox.provider.store.customers[customer].identifications:
            self.call("GET", "/identifications/{id}", id=one.id)

    def sign(self, customer: str) -> None:
        """Sign whatever is required."""
        for document in self.call("GET", "/customers/{id}/required-signings", id=customer):
            self.call("POST", "/customers/{id}/signings", {"content_id": document["id"], "signed": True}, id=customer)

    def move(self, subject: str, step: str) -> None:
        """Let something happen on the provider's side, and what follows from it."""
        self.sandbox.move(subject, step)
        self.sandbox.advance(3)


def drive(client: Client) -> None:
    """Call every route, with customers in all their states."""
    client.sandbox.request("POST", "/_sandbox/webhooks", {"url": "https://here.invalid/hook"})
    for template in ("/fiatcurrencies", "/cryptocurrencies", "/fee-profiles", "/webhooks"):
        client.call("GET", template)
    client.call("GET", "/terms-and-conditions", query="country=DE")
    for country in ("US", "ca", "DE"):
        client.call("GET", "/country_subdivisions/{country_code}", country_code=country)
    person = through(client, "Person", {"type": "Link", "with_edd": True})
    through(client, "Business", given_details.BUSINESS)
    through(client, "Person", given_details.PERSON)
    token = client.identify(client.customer(), given_details.TOKEN)
    client.call("GET", "/identifications/{id}/compliance-questionnaire", id=token)
    declined(client, "Person")
    declined(client, "Business")
    client.call("PUT", "/customers/{id}", {"email": "new@example.com", "external_id": "crm-9"}, id=person)
    client.call("GET", "/customers/{external_id}/external", external_id="crm-9")
    pinged(client, person)
    ended(client, person)
    client.call("POST", "/sandbox/reset")


def through(client: Client, kind: str, body: object) -> str:
    """Bring a customer through to Active, then through a step-up and new terms."""
    customer = client.customer(kind=kind, name="Ada Example")
    client.look(customer)
    identification = client.identify(customer, body)
    client.look(customer)
    for step in ("process", "review"):
        client.move(identification, step)
        client.look(customer)
    client.call("POST", "/sandbox/identification/{id}", {"approved": True}, id=identification)
    client.look(customer)
    client.sandbox.advance(3)
    client.look(customer)
    client.sign(customer)
    client.look(customer)
    for step in ("stepup", "approve", "newterms"):
        client.move(customer, step)
        client.look(customer)
    client.sign(customer)
    assert client.call("GET", "/customers/{id}", id=customer)["status"] == "Active"
    return customer


def declined(client: Client, kind: str) -> None:
    """Decline a customer for now and for good, let the attempt expire, and suspend."""
    customer = client.customer(kind=kind, external_id=f"crm-{kind}")
    for step in ("decline", "decline-final", "expire"):
        client.identify(customer)
        client.move(customer, step)
        client.look(customer)
    client.move(customer, "suspend")
    client.look(customer)


def pinged(client: Client, customer: str) -> None:
    """Change the webhook, ping it, and let a delivery fail."""
    hook = client.call("GET", "/webhooks")["items"][0]["id"]
    client.call("PATCH", "/webhooks/{id}", {"label": "mine", "topics": ["CustomerStatus"]}, id=hook)
    client.call("POST", "/webhooks/{id}/ping", {"customer_id": customer}, id=hook)
    for request in client.sandbox.take_webhooks():
        client.sandbox.webhooks.report(request, 500, client.sandbox.clock.now())
    client.call("GET", "/webhooks")
    client.call("PATCH", "/webhooks/{id}", {"enabled": False}, id=hook)


def ended(client: Client, customer: str) -> None:
    """Archive an identification, then the customer."""
    identification = client.identify(customer)
    client.call("PUT", "/identifications/{id}/archive", id=identification)
    client.look(customer)
    client.call("PUT", "/customers/{id}/archive", id=customer)
    client.look(customer)


@NULLS
def test_every_answer_fits_its_type(optional: str) -> None:
    """Every route, driven through all states of persons and companies, answers what its type says."""
    client = Client(optional)
    drive(client)
    assert client.seen == set(TYPES)


@NULLS
@pytest.mark.parametrize(
    "switches",
    [
        {"step_up": "approved", "step_status": "always", "ids_order": "shuffled", "list_order": "shuffled"},
        {"step_up": "new_record", "review_comments": False, "retryable_said": False, "unknown_fields": True},
        {"times": "micros_offset", "url_rotates": True, "keep_url": True, "step_status": "never"},
        {"times": "elsewhere", "signed_stay_listed": True, "nothing_to_sign": "signings_required"},
    ],
)
def test_other_choices_fit_too(optional: str, switches: dict[str, Any]) -> None:
    """Whatever else the provider may have chosen within its schemas fits the types as well."""
    drive(Client(optional, **switches))


def test_every_route_has_a_type() -> None:
    """A route without a type is not checked by anything above; a type without a route is of no use."""
    assert {(route.method, route.template) for route in ROUTES} == set(TYPES)
    assert {(route.method, route.template): route.status for route in ROUTES} == {
        route: status for route, (status, _) in TYPES.items()
    }


def test_types_are_strict() -> None:
    """Wrong types, missing members and nulls that are not allowed are found; further members are fine."""
    kind = Object({"id": iron_types.UUID, "of": Many(iron_types.FLAG)}, {"note": iron_types.TEXT})
    good = {"id": str(uuid.UUID(int=1)), "of": [True], "more": 1}
    fits(kind, good, nulls=False)
    fits(kind, {**good, "note": None}, nulls=True)
    for wrong in ({"id": "1"}, {"id": None}, {"of": [1]}, {"of": None}, {"note": 1}, {"note": None}):
        with pytest.raises(AssertionError):
            fits(kind, {**good, **wrong}, nulls=False)
    with pytest.raises(AssertionError):
        fits(kind, {"id": good["id"]}, nulls=True)


def test_refusals_are_strings() -> None:
    """4xx bodies are JSON strings, but for 401, which is plain text."""
    client = Client()
    nobody = str(uuid.UUID(int=7))
    for method, template in TYPES:
        if "{id}" not in template:
            continue
        answer = client.send(method, template, {"nothing": 1}, id=nobody)
        assert 400 <= answer.status < 500, (method, template)
        fits(iron_types.ERROR, answer.json(), nulls=False)
    unauthorized = client.sandbox.request("GET", "/api/customers", api_key="")
    assert (unauthorized.status, unauthorized.body) == (401, b"authorization error")


@NULLS
def test_events_fit_their_types(optional: str) -> None:
    """Webhooks without a wrapper have the schema's form."""
    client = Client(optional, webhook_message="unwrapped")
    client.sandbox.request("POST", "/_sandbox/webhooks", {"url": "https://here.invalid/hook"})
    customer = through(client, "Person", {"type": "Link"})
    hook = client.call("GET", "/webhooks")["items"][0]["id"]
    client.call("POST", "/webhooks/{id}/ping", {"customer_id": customer}, id=hook)
    seen = set()
    for request in client.sandbox.take_webhooks():
        event = json.loads(request.body)
        fits(iron_types.event(event["type"]), event, nulls=False)
        seen.add(event["type"])
    assert seen == set(iron_types.MESSAGES)


def test_the_questionnaire_has_the_job_s_answers() -> None:
    """The legacy questionnaire gives the answers that were handed in, and none for a hosted form."""
    client = Client()
    customer = client.customer()
    identification = client.identify(customer, given_details.TOKEN)
    template = "/identifications/{id}/compliance-questionnaire"
    answers = client.call("GET", template, id=identification)
    assert (answers["intended_use"], answers["employment_status"], answers["occupation"]) == (
        *(given_details.TOKEN["intended_use"], given_details.KYC["employment_status"]),
        given_details.EDD["occupation"],
    )
    hosted = client.identify(client.customer())
    assert client.send("GET", template, id=hosted).status == 404


def test_what_is_due_follows_the_open_items() -> None:
    """Between Approved and SigningsRequired nothing is due any more; with a step-up it is again."""
    for way in ("pending", "approved", "new_record"):
        client = Client(step_up=way)
        customer = client.customer()
        client.identify(customer)
        client.sandbox.move(customer, "approve")
        shown = client.call("GET", "/customers/{id}/requirements", id=customer)
        assert (shown["requirements_due"], len(shown["complete"])) == ([], 1)
        client.sandbox.advance(3)
        client.sandbox.move(customer, "stepup")
        shown = client.call("GET", "/customers/{id}/requirements", id=customer)
        assert (shown["requirements_due"], len(shown["missing"])) == (["kyc"], 1)


def test_a_document_of_what_is_served() -> None:
    """The root of the host serves an OpenAPI document of each version, whose paths are the routes; no key is needed."""
    sandbox = Sandbox()
    versions = sandbox.handle("GET", "/spec/versions").json()
    assert versions["default"] == "2025-03-13"
    assert [one["version"] for one in versions["versions"]] == list(sandbox.switches.known_versions)
    for one in versions["versions"]:
        document = sandbox.handle("GET", one["spec"]).json()
        assert document["info"]["version"] == one["version"]
        described = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
        assert described == set(TYPES)
        for (method, path), (status, _) in TYPES.items():
            operation = document["paths"][path][method.lower()]
            assert str(status) in operation["responses"]
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
    assert sandbox.handle("GET", "/spec").json()["info"]["version"] == "2025-03-13"
    assert sandbox.handle("GET", "/spec/1999-01-01").status == 404
    assert sandbox.handle("POST", "/spec").status == 405
    assert sandbox.traffic.total == 0


def test_webhook_administration() -> None:
    """A webhook is listed with its last failure, switched off and on, moved, told fewer topics, and pinged."""
    client = Client()
    sandbox = client.sandbox
    assert client.call("GET", "/webhooks")["items"] == []
    sandbox.request("POST", "/_sandbox/webhooks", {"url": "https://here.invalid/hook"})
    hook = client.call("GET", "/webhooks")["items"][0]
    assert (hook["url"], hook["enabled"], hook["last_failure"]) == ("https://here.invalid/hook", True, None)
    customer = client.customer()
    (sent,) = sandbox.take_webhooks()
    sandbox.webhooks.report(sent, 503, sandbox.clock.now())
    failed = client.call("GET", "/webhooks")["items"][0]
    assert failed["last_failure"] is not None
    assert "503" in failed["last_failure_reason"]
    moved = {"enabled": False, "url": "https://there.invalid"}
    assert client.call("PATCH", "/webhooks/{id}", moved, id=hook["id"])["url"] == "https://there.invalid"
    client.identify(customer)
    sandbox.advance(600)
    assert sandbox.take_webhooks() == []
    client.call("POST", "/webhooks/{id}/ping", {"customer_id": customer}, id=hook["id"])
    (ping,) = sandbox.take_webhooks()
    assert (ping.url, json.loads(ping.body)["type"]) == ("https://there.invalid", "ping")
    client.call("PATCH", "/webhooks/{id}", {"enabled": True, "topics": ["CustomerStatus"]}, id=hook["id"])
    (again,) = sandbox.take_webhooks()
    assert again.delivery.number == sent.delivery.number
    client.move(customer, "approve")
    assert [json.loads(one.body)["type"] for one in sandbox.take_webhooks()] == ["customer_status"]
    for wrong in ({"url": "there"}, {"topics": ["Weather"]}, {"secret": "s"}):
        assert client.send("PATCH", "/webhooks/{id}", wrong, id=hook["id"]).status == 400
    assert client.send("POST", "/webhooks/{id}/ping", {"customer_id": hook["id"]}, id=hook["id"]).status == 404
    assert client.send("PATCH", "/webhooks/{id}", {}, id=customer).status == 404
