"""Adoption: makes records for customers that exist on Iron and not here.

They were onboarded in the partner's dashboard, by another system, or by a ledger that is lost. An adopted record is
followed like any other; nothing is begun for it until a job with its external id joins it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pipelines.begin import adopted
from pipelines.errors import NotFoundError
from pipelines.iron import NO_FILTERS, Customer, Filters, Iron
from workers.budget.unbound_calls import Aside
from workers.ledger import Created, Ledger, Lists, New

#: Digests an e-mail address, so that its holder is found by it.
Digest = Callable[[str], bytes]
#: Hears a sentence for people; waits for this many seconds.
Say = Callable[[str], object]
Sleep = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Found:
    """A customer on Iron, and what became of it.

    `result`: known, adopted, would_adopt, or external_id_taken by `holder`.
    """

    customer: Customer
    result: str
    key: str
    holder: str | None = None


def adopt(
    ledger: Ledger,
    iron: Iron,
    *,
    filters: Filters = NO_FILTERS,
    sub_partner_id: str | None = None,
    dry_run: bool = False,
    email_digest: Digest = lambda _: b"",
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Iterator[Found]:
    """Page through Iron's list and adopt what has no record; `dry_run` only says what would be adopted.

    Calls leave when the budget allows; `say` hears what is waited for. Raises IronError, and HeldBackError when no call
    may leave; what was found before is adopted.
    """
    aside = Aside(ledger, iron, sub_partner_id, say=say, sleep=sleep)
    cursor: str | None = None
    while True:
        customers, cursor = aside.ask(partial(Iron.customers, filters=filters, cursor=cursor))
        yield from adopt_these(
            ledger, customers, sub_partner_id=sub_partner_id, dry_run=dry_run, email_digest=email_digest
        )
        if cursor is None:
            return


def look_up(
    ledger: Ledger,
    iron: Iron,
    *,
    external_id: str | None = None,
    iron_id: str | None = None,
    sub_partner_id: str | None = None,
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Customer | None:
    """Look for one customer on Iron, by the one id or the other; None: not there. Raises as `adopt` does."""
    aside = Aside(ledger, iron, sub_partner_id, say=say, sleep=sleep)
    if iron_id is None:
        return aside.ask(lambda asked: asked.customer_by_external_id(str(external_id)))
    try:
        return aside.ask(lambda asked: asked.customer(iron_id))
    except NotFoundError:
        return None


def adopt_these(
    ledger: Ledger,
    customers: Sequence[Customer],
    *,
    sub_partner_id: str | None = None,
    dry_run: bool = False,
    email_digest: Digest = lambda _: b"",
) -> Iterator[Found]:
    """Adopt those of these customers that have no record.

    `email_digest`: what their e-mail addresses are found by; they themselves are not stored.
    """
    keys = Lists(ledger).keys_of_customers([customer.id for customer in customers])
    yield from (Found(customer, "known", key) for customer, key in zip(customers, keys, strict=True) if key is not None)
    strangers = [customer for customer, key in zip(customers, keys, strict=True) if key is None]
    records = [adopted(customer, sub_partner_id) for customer in strangers]
    if dry_run:
        yield from (
            Found(customer, "would_adopt", record.key) for customer, record in zip(strangers, records, strict=True)
        )
        return
    new = [
        New(record, {}, email_digest(customer.email) if customer.email else b"", "adopted")
        for customer, record in zip(strangers, records, strict=True)
    ]
    answers = ledger.create(new) if new else []
    for customer, record, answer in zip(strangers, records, answers, strict=True):
        yield Found(customer, _result(answer), record.key, answer.holder)


def _result(answer: Created) -> str:
    return {"created": "adopted", "exists": "key_taken"}.get(answer.status, answer.status)
