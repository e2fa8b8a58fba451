"""The endpoints of documents and signatures (sections 3.11 to 3.13 of the fact sheet)."""

from ops.sandbox.api.bodies import NewSigning
from ops.sandbox.api.calls import Call
from ops.sandbox.api.identifications import BLOCKED
from ops.sandbox.api.paging import ordered, page_of
from ops.sandbox.api.provider import Provider
from ops.sandbox.wire.answers import Answer, RefusalError, answer_json
from ops.sandbox.world.records import Customer, Signing

#: What required-signings may say where nothing is to be signed; the first three texts are what public clients match.
NOTHING_TO_SIGN = {
    "conflict_not_in_status": (409, "Customer is not in status SigningsRequired"),
    "conflict_none_due": (409, "Customer does not require signings"),
    "conflict_none": (409, "no required signings"),
    "not_found": (404, "No required signings"),
    "gone": (410, "No required signings any more"),
    "bad": (400, "Customer does not require signings"),
    "forbidden": (403, "forbidden for this customer"),
}


def get_required_signings(provider: Provider, call: Call) -> Answer:
    """Read what must be signed now."""
    customer = provider.customer(call)
    if customer.status == "SigningsRequired":
        ready = call.at >= customer.status_since + provider.switches.documents_lag_s
        documents = customer.listed if provider.switches.signed_stay_listed and customer.due else customer.due
        return answer_json(200, [provider.rendering.document(one) for one in documents] if ready else [])
    otherwise: str = provider.switches.required_signings_otherwise
    if otherwise in {"empty", "null"}:
        return answer_json(200, [] if otherwise == "empty" else None)
    if otherwise == "conflict":
        otherwise = "conflict_none_due" if customer.status == "Active" else "conflict_not_in_status"
    raise RefusalError(*NOTHING_TO_SIGN[otherwise])


def create_signing(provider: Provider, call: Call) -> Answer:
    """Record a consent; the last one that is required makes the customer Active."""
    customer = provider.customer(call)
    body = call.read(NewSigning, status=provider.switches.bad_signing)
    if customer.status in BLOCKED:
        raise RefusalError(provider.switches.blocked_customer, "forbidden for this customer")
    if body.content_id is None:
        raise RefusalError(provider.switches.bad_signing, "content_id is required")
    if not body.signed:
        raise RefusalError(provider.switches.bad_signing, "signed must be true")
    content_id = body.content_id.lower()
    if all(one.id != content_id for one in customer.due):
        before = _signed_again(provider, customer, content_id)
        if before is not None:
            return answer_json(201, provider.rendering.signing(before))
    signing = Signing(provider.ids.new(call.at), customer, content_id, call.at)
    customer.signings.append(signing)
    provider.store.signings[signing.id] = signing
    provider.count(call, "create_signing", customer, content_id)
    provider.lifecycle.signed(customer, content_id, call.at)
    return answer_json(201, provider.rendering.signing(signing))


def _signed_again(provider: Provider, customer: Customer, content_id: str) -> Signing | None:
    """Judge the signing of what is not required (any more): give the record to show, None for a second one."""
    switches = provider.switches
    before = next((one for one in reversed(customer.signings) if one.content_id == content_id), None)
    if before is None and all(one.id != content_id for one in provider.lifecycle.terms):
        raise RefusalError(switches.unknown_document, "Document not found")
    again = switches.signing_again
    if again == "accept" or (again == "same" and before):
        return before if again == "same" else None
    status = switches.bad_signing if isinstance(again, str) else again
    raise RefusalError(status, "already signed" if before else "not required")


def list_signings(provider: Provider, call: Call) -> Answer:
    """List a customer's signatures, in whatever order a switch says."""
    customer = provider.customer(call)
    newest_at = call.at - provider.switches.record_lag_s
    visible = [one for one in customer.signings if one.created_at <= newest_at]
    page, after, before = page_of(ordered(visible, provider.switches.list_order), call)
    return answer_json(200, provider.rendering.page([provider.rendering.signing(one) for one in page], after, before))
