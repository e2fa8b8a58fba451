"""The endpoints of customers (sections 3.1 to 3.6 of the fact sheet)."""

from collections.abc import Callable, Iterator
from itertools import islice

from ops.sandbox.api.answers import Answer, RefusalError, answer_json
from ops.sandbox.api.bodies import CustomerUpdate, NewCustomer
from ops.sandbox.api.calls import Call
from ops.sandbox.api.enums import CUSTOMER_STATUSES, CUSTOMER_TYPES, IDENTIFICATION_STATUSES
from ops.sandbox.world.provider import PARTNER_ID, Provider
from ops.sandbox.world.records import Customer
from ops.sandbox.world.scripts import pace_of, tag_of

LONGEST_TERM = 256


def create_customer(provider: Provider, call: Call) -> Answer:
    """Create a customer. Neither external id nor e-mail need be unique, unless a switch says so."""
    body = call.read(NewCustomer)
    _check_unique(provider, call, body)
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
    provider.lifecycle.welcome(customer, call.at)
    provider.count(call, "create_customer", customer, customer_id)
    return answer_json(201, provider.rendering.customer(customer))


def get_customer(provider: Provider, call: Call) -> Answer:
    """Read a customer by id."""
    return answer_json(200, provider.rendering.customer(provider.customer(call)))


def get_customer_by_external_id(provider: Provider, call: Call) -> Answer:
    """Read the oldest customer, or the newest, with an external id that look-ups can see by now."""
    visible, switches = _visible(provider, call), provider.switches
    found = provider.store.with_external_id(call.parts[1], any_case=switches.external_case == "ignored")
    for customer in found if switches.external_lookup == "oldest" else found[::-1]:
        if visible(customer) and (switches.external_archived or customer.status != "Archived"):
            return answer_json(200, provider.rendering.customer(customer))
    raise RefusalError(404, "Customer not found")


def list_customers(provider: Provider, call: Call) -> Answer:
    """List and search, newest first unless asked otherwise."""
    size = call.page_size()
    cursor, prev_cursor = call.cursor("cursor"), call.cursor("prev_cursor")
    if cursor is not None and prev_cursor is not None:
        raise RefusalError(400, "cursor and prev_cursor exclude each other")
    cursor, prev_cursor = _known(provider, call, cursor), _known(provider, call, prev_cursor)
    term = call.one("search_term")
    if term is not None and len(term) > LONGEST_TERM:
        raise call.unreadable("failed to parse parameter `search_term`: longer than 256 characters")
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
    return provider.store.customers[cursor].position


def _known(provider: Provider, call: Call, cursor: str | None) -> str | None:
    """Return a cursor that leads somewhere; another one is refused or counts as none."""
    if cursor is not None and cursor not in provider.store.customers:
        call.stale_cursor()
        return None
    return cursor


def _check_unique(
    provider: Provider, call: Call, body: NewCustomer | CustomerUpdate, but: Customer | None = None
) -> None:
    """Refuse an external id that is too long, and what another customer of the caller has, where it must be unique."""
    switches, store = provider.switches, provider.store
    if body.external_id is not None and len(body.external_id) > switches.longest_external_id:
        raise call.unreadable(f"external_id: longer than {switches.longest_external_id} characters")

    def taken(found: list[Customer]) -> bool:
        return any(one is not but and one.sub_partner_id == call.sub_partner_id for one in found)

    any_case = switches.external_case == "ignored"
    same_id = store.with_external_id(body.external_id, any_case=any_case) if body.external_id is not None else []
    if switches.duplicate_external_id != "take" and taken(same_id):
        raise RefusalError(switches.duplicate_external_id, "external_id is already in use")
    if switches.duplicate_email != "take" and taken(store.with_email(body.email)):
        raise RefusalError(switches.duplicate_email, "email is already in use")


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
            (statuses is None or provider.rendering.status_of(customer) in statuses)
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
    try:
        customer = provider.customer(call)
    except RefusalError as refusal:
        status = provider.switches.update_missing if refusal.status == 404 else refusal.status
        raise RefusalError(status, refusal.text) from None
    body = call.read(CustomerUpdate)
    if customer.status == "Archived":
        raise RefusalError(400, "Customer is archived")
    _check_unique(provider, call, body, but=customer)
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
