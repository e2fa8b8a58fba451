"""The endpoints of identifications (sections 3.7 to 3.10 and 3.18 of the fact sheet)."""

from ops.sandbox.api.bodies import (
    Decision,
    LinkIdentification,
    NewIdentification,
    PersonIdentification,
    TokenIdentification,
)
from ops.sandbox.api.calls import Call
from ops.sandbox.api.company import BusinessIdentification
from ops.sandbox.api.paging import ordered, page_of
from ops.sandbox.api.provider import Provider
from ops.sandbox.api.rendering import Json
from ops.sandbox.wire.answers import Answer, RefusalError, answer_json
from ops.sandbox.world.records import IN_FLIGHT, Customer, Identification

#: Where customers live as far as a hosted form tells; submitted data say it themselves.
HOSTED_COUNTRY = "DE"
#: The optional answers of the legacy questionnaire. Files are not kept.
LEGACY_ANSWERS = (
    "employment_status",
    "monthly_income",
    "expected_monthly_volume",
    "occupation",
    "source_of_funds",
    "source_of_funds_proof",
)
#: The customer's statuses in which nothing can be submitted.
BLOCKED = frozenset({"Suspended", "Archived", "UserRequired"})


def create_identification(provider: Provider, call: Call) -> Answer:
    """Create an identification; from now on it is the one that counts."""
    customer = provider.customer(call)
    body = call.read(NewIdentification).root
    _check_type(customer, body.type)
    if customer.status in BLOCKED:
        raise RefusalError(provider.switches.blocked_customer, "forbidden for this customer")
    newest = customer.newest
    superseding = provider.switches.pending_identification == "supersede"
    pending = IN_FLIGHT if provider.switches.pending_means == "in_flight" else {"Pending"}
    if newest is not None and newest.status in pending and not superseding:
        raise RefusalError(409, "Customer has a pending identification")
    identification = Identification(provider.ids.new(call.at), customer, body.type, "Pending", call.at, call.at)
    if isinstance(body, LinkIdentification):
        if body.with_edd and customer.customer_type == "Business":
            raise RefusalError(400, "with_edd is for individuals only")
        identification.with_edd = body.with_edd
        identification.residence_country = HOSTED_COUNTRY
        complete = False
    else:
        complete = _take_over(identification, body)
    if complete:
        identification.status = provider.switches.submitted_becomes
    else:
        identification.url = provider.lifecycle.link(identification)
    _file(provider, customer, identification, call)
    provider.count(call, "create_identification", customer, identification.id)
    answer = answer_json(201, provider.rendering.identification(identification))
    provider.lifecycle.begin(identification, call.at)
    return answer


def _check_type(customer: Customer, kind: str) -> None:
    """Refuse a person's data for a company and the reverse."""
    if customer.customer_type == "Person" and kind == "Business":
        raise RefusalError(400, "type Business is for Business customers")
    if customer.customer_type == "Business" and kind in {"Token", "Person"}:
        raise RefusalError(400, f"type {kind} is for Person customers")


def _take_over(
    identification: Identification, body: TokenIdentification | PersonIdentification | BusinessIdentification
) -> bool:
    """Keep what later answers show of submitted data; tell whether nothing is missing."""
    if isinstance(body, BusinessIdentification):
        identification.residence_country = body.company_data.company_info.country
        return bool(body.company_data.documents)
    identification.intended_use = body.intended_use
    identification.with_edd = body.edd_questionnaire is not None or None
    if body.kyc_questionnaire is not None:
        identification.answers["employment_status"] = body.kyc_questionnaire.employment_status
    if body.edd_questionnaire is not None:
        identification.answers["occupation"] = body.edd_questionnaire.occupation
    if isinstance(body, PersonIdentification):
        identification.residence_country = body.address.country
        return True
    identification.residence_country = HOSTED_COUNTRY
    return body.kyc_questionnaire is not None


def _file(provider: Provider, customer: Customer, identification: Identification, call: Call) -> None:
    """Make it the newest one; whatever the customer was, identification is required now."""
    before, becomes = customer.newest, provider.switches.superseded_becomes
    if before is not None and before.status in IN_FLIGHT and becomes != "itself":
        before.script += 1
        provider.lifecycle.set_identification(before, becomes, call.at)
    provider.file(identification)
    customer.due = ()
    provider.lifecycle.set_customer(customer, "IdentificationRequired", call.at)


def list_identifications(provider: Provider, call: Call) -> Answer:
    """List a customer's identifications, in whatever order a switch says."""
    customer = provider.customer(call)
    newest_at = call.at - provider.switches.record_lag_s
    visible = [one for one in customer.identifications if one.created_at <= newest_at]
    page, after, before = page_of(ordered(visible, provider.switches.list_order), call)
    return answer_json(
        200, provider.rendering.page([provider.rendering.identification(one) for one in page], after, before)
    )


def get_identification(provider: Provider, call: Call) -> Answer:
    """Read an identification by id, whoever's it is."""
    return answer_json(200, provider.rendering.identification(provider.identification(call.uuid(1))))


def archive_identification(provider: Provider, call: Call) -> Answer:
    """Archive for good; the customer's status stays, unless a switch says otherwise."""
    identification = provider.identification(call.uuid(1))
    if identification.status != "Archived":
        identification.script += 1
        provider.lifecycle.archive_identification(identification, call.at)
        customer = identification.customer
        if provider.switches.archiving_puts_back and identification is customer.newest:
            provider.lifecycle.put_back(customer, call.at)
        provider.count(call, "archive_identification", customer, identification.id)
    return answer_json(200, provider.rendering.identification(identification))


def get_compliance_questionnaire(provider: Provider, call: Call) -> Answer:
    """Read the legacy questionnaire; hosted forms leave none behind, and what has other values today is not in it."""
    identification = provider.identification(call.uuid(1))
    if identification.intended_use is None:
        raise RefusalError(404, "Questionnaire not found")
    required: Json = {"id": identification.id, "intended_use": identification.intended_use}
    optional: Json = {name: identification.answers.get(name) for name in LEGACY_ANSWERS}
    return answer_json(200, provider.rendering.joined(required, optional))


def decide_identification(provider: Provider, call: Call) -> Answer:
    """Approve or decline at once, as only the provider's sandbox can."""
    identification = provider.identification(call.uuid(2))
    body = call.read(Decision)
    if identification.status not in IN_FLIGHT and not identification.asked:
        raise RefusalError(provider.switches.decided_again, "Identification is not pending")
    identification.script += 1
    move = provider.lifecycle.approve if body.approved else provider.lifecycle.decline
    move(identification, call.at)
    provider.count(call, "decide_identification", identification.customer, identification.id)
    return answer_json(201, provider.rendering.identification(identification))
