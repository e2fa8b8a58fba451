"""The endpoints of customers (sections 3.1 to 3.6 of the fact sheet)."""

from collections.abc import Callable, Iterator
from itertools import islice

from ops.sandbox.answers import Answer, RefusalError, answer_json
from ops.sandbox.bodies import CustomerUpdate, NewCustomer
from ops.sandbox.calls import Call
from ops.sandbox.enums import CUSTOMER_STATUSES, CUSTOMER_TYPES, IDENTIFICATION_STATUSES
from ops.sandbox.provider import PARTNER_ID, Provider
from ops.sandbox.records import Customer
from ops.sandbox.stories import pace_of, tag_of

LONGEST_TERM = 256


def create_customer(provider: Provider, call: Call) -> Answer:
    """Create a customer. Neither external id nor e-mail need be unique: that is for the caller to see to."""
    body = call.read(NewCustomer)
    customer_id = provider.ids.new(call.at)
    customer = Customer(
        id=customer_id,
        customer_type=body.customer_type,
        email=body.email,
        name=body.name or f"Customer {customer_id}",
        status="IdentificationRequired",
        partner_id=PARTNER_ID,
        created_at=call.at,
        updated_at=call.at,
        position=len(provider.store.order),
        tag=tag_of(body.email),
        pace=pace_of(body.external_id or customer_id),
        external_id=body.external_id,
        sub_partner_id=call.sub_partner_id,
    )
    provider.store.add_customer(customer)
    provider.outbox.customer_created(customer, call.at)
    provider.count(call, "create_customer", customer, customer_id)
    return answer_json(201, provider.rendering.customer(customer))


def get_customer(provider: Provider, call: Call) -> Answer:
    """Read a customer by id."""
    return answer_json(200, provider.rendering.customer(provider.customer(call)))


def get_customer_by_external_id(provider: Provider, call: Call) -> Answer:
    """Read the oldest customer with an external id that look-ups can see by now."""
    visible = _visible(provider, call)
    for customer in provider.store.with_external_id(call.parts[1]):
        if visible(customer):
            return answer_json(200, provider.rendering.customer(customer))
    raise RefusalError(404, "Customer not found")


def list_customers(provider: Provider, call: Call) -> Answer:
    """List and search, newest first unless asked otherwise."""
    size = call.page_size()
    cursor, prev_cursor = call.cursor("cursor"), call.cursor("prev_cursor")
    if cursor is not None and prev_cursor is not None:
        raise RefusalError(400, "cursor and prev_cursor exclude each other")
    term = call.one("search_term")
    if term is not None and len(term) > LONGEST_TERM:
        raise RefusalError(400, "failed to parse parameter `search_term`: longer than 256 characters")
    wanted = _wanted(provider, call)
    forward = 1 if call.choice("sort_order", frozenset({"asc", "desc"})) == "asc" else -1

    def walk(start: int, step: int) -> Iterator[Customer]:
        return provider.store.walk(start=start, step=step, term=term, wanted=wanted)

    if prev_cursor is not None:
        start = _position(provider, prev_cursor) - forward
        page = list(islice(walk(start, -forward), size))[::-1]
    else:
        start = (
            _position(provider, cursor) + forward if cursor else (0 if forward > 0 else len(provider.store.order) - 1)
        )
        page = list(islice(walk(start, forward), size))
    after = before = None
    if page:
        after = page[-1].id if next(walk(page[-1].position + forward, forward), None) else None
        if cursor is not None or prev_cursor is not None:
            before = page[0].id if next(walk(page[0].position - forward, -forward), None) else None
    return answer_json(200, provider.rendering.page([provider.rendering.customer(one) for one in page], after, before))


def _position(provider: Provider, cursor: str) -> int:
    """Return the place in the list that a cursor stands for: it is the id of the last customer seen."""
    customer = provider.store.customers.get(cursor)
    if customer is None:
        raise RefusalError(400, "unknown cursor")
    return customer.position


def _wanted(provider: Provider, call: Call) -> Callable[[Customer], bool]:
    """Turn the filters of the query into one test."""
    visible = _visible(provider, call)
    statuses = call.choices("status", CUSTOMER_STATUSES)
    identification = call.choices("identification_status", IDENTIFICATION_STATUSES)
    types = call.choices("customer_type", CUSTOMER_TYPES)
    traded = call.choice("has_transactions", frozenset({"true", "false"}))

    def wanted(customer: Customer) -> bool:
        newest = customer.newest
        return (
            (statuses is None or customer.status in statuses)
            and (identification is None or (newest is not None and newest.status in identification))
            and (types is None or customer.customer_type in types)
            and traded != "true"
            and visible(customer)
        )

    return wanted


def _visible(provider: Provider, call: Call) -> Callable[[Customer], bool]:
    """Return the test for what look-ups of this caller can see now."""
    newest_at = call.at - provider.switches.lookup_lag_s

    def visible(customer: Customer) -> bool:
        return customer.created_at <= newest_at and customer.sub_partner_id == call.sub_partner_id

    return visible


def update_customer(provider: Provider, call: Call) -> Answer:
    """Change e-mail and external id; the script chosen at the creation stays."""
    customer = provider.customer(call)
    body = call.read(CustomerUpdate)
    if customer.status == "Archived":
        raise RefusalError(400, "Customer is archived")
    provider.store.rename(customer, email=body.email, external_id=body.external_id)
    customer.updated_at = call.at
    provider.count(call, "update_customer", customer, customer.id)
    if provider.switches.update_status == 204:
        return Answer(204)
    return answer_json(200, provider.rendering.customer(customer))


def archive_customer(provider: Provider, call: Call) -> Answer:
    """Archive for good; a second time changes nothing."""
    customer = provider.store.customers.get(call.uuid(1))
    if customer is None:
        raise RefusalError(400, "Customer not found")
    if customer.status != "Archived":
        provider.lifecycle.archive(customer, call.at)
        provider.count(call, "archive_customer", customer, customer.id)
    return answer_json(200, provider.rendering.customer(customer))
