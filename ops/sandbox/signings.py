"""The endpoints of documents and signatures (sections 3.11 to 3.14 of the fact sheet)."""

from ops.sandbox.answers import Answer, RefusalError, answer_json
from ops.sandbox.bodies import NewSigning
from ops.sandbox.calls import Call, required
from ops.sandbox.fields import COUNTRIES
from ops.sandbox.identifications import BLOCKED
from ops.sandbox.paging import page_of
from ops.sandbox.provider import Provider
from ops.sandbox.records import Signing

#: Country codes have two letters elsewhere in this API; some clients send three, and the documentation does not say.
ALPHA_3 = 3


def get_required_signings(provider: Provider, call: Call) -> Answer:
    """Read what must be signed now."""
    customer = provider.customer(call)
    if customer.status == "SigningsRequired":
        return answer_json(200, [provider.rendering.document(one) for one in customer.due])
    match provider.switches.required_signings_otherwise:
        case "empty":
            return answer_json(200, [])
        case "not_found":
            raise RefusalError(404, "No required signings")
        case _ if customer.status == "Active":
            raise RefusalError(409, "Customer does not require signings")
        case _:
            raise RefusalError(409, "Customer is not in status SigningsRequired")


def create_signing(provider: Provider, call: Call) -> Answer:
    """Record a consent; the last one that is required makes the customer Active."""
    customer = provider.customer(call)
    body = call.read(NewSigning, status=422)
    if customer.status in BLOCKED:
        raise RefusalError(403, "forbidden for this customer")
    if body.content_id is None:
        raise RefusalError(422, "content_id is required")
    if not body.signed:
        raise RefusalError(422, "signed must be true")
    content_id = body.content_id.lower()
    if all(one.id != content_id for one in customer.due):
        known = any(one.content_id == content_id for one in customer.signings)
        if not known and all(one.id != content_id for one in provider.lifecycle.terms):
            raise RefusalError(404, "Document not found")
        if provider.switches.signing_again == "refuse":
            raise RefusalError(422, "already signed" if known else "not required")
    signing = Signing(provider.ids.new(call.at), customer, content_id, call.at)
    customer.signings.append(signing)
    provider.store.signings[signing.id] = signing
    provider.count(call, "create_signing", customer, content_id)
    provider.lifecycle.signed(customer, content_id, call.at)
    return answer_json(201, provider.rendering.signing(signing))


def list_signings(provider: Provider, call: Call) -> Answer:
    """List a customer's signatures, newest first."""
    customer = provider.customer(call)
    newest_at = call.at - provider.switches.record_lag_s
    visible = [one for one in customer.signings if one.created_at <= newest_at]
    page, after, before = page_of(visible[::-1], call)
    return answer_json(200, provider.rendering.page([provider.rendering.signing(one) for one in page], after, before))


def get_terms(provider: Provider, call: Call) -> Answer:
    """Read the terms of a country before any customer exists."""
    country = required(call, "country").upper()
    if country not in COUNTRIES and not (len(country) == ALPHA_3 and country.isascii() and country.isalpha()):
        raise RefusalError(400, "failed to parse parameter `country`: unknown country")
    return answer_json(200, [provider.rendering.document(one) for one in provider.lifecycle.terms])
