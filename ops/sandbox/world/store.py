"""All records by id, by external id and in the order of creation.

Look-ups by external id, lists and searches can lag behind creation; look-ups by id never do. Nothing here changes a
status.
"""

from collections.abc import Callable, Iterator

from ops.sandbox.world.records import Customer, Identification, Signing

#: Customers whose searchable text is joined and searched as one string: large enough that the search runs at memory
#: speed, small enough that a change does not cost much to join again.
BLOCK = 512


class Store:
    """The provider's tables."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.identifications: dict[str, Identification] = {}
        self.signings: dict[str, Signing] = {}
        self.order: list[Customer] = []
        self._by_external: dict[str, list[Customer]] = {}
        self._by_email: dict[str, list[Customer]] = {}
        self._blocks: dict[int, str] = {}

    def add_customer(self, customer: Customer) -> None:
        """File a new customer; its `position` must be the next one."""
        self.customers[customer.id] = customer
        self.order.append(customer)
        self._blocks.pop(customer.position // BLOCK, None)
        if customer.external_id is not None:
            self._by_external.setdefault(customer.external_id.casefold(), []).append(customer)
        self._by_email.setdefault(customer.email, []).append(customer)

    def rename(self, customer: Customer, *, email: str, external_id: str | None) -> None:
        """Change what a customer can be found by; no external id leaves the known one."""
        self._by_email[customer.email].remove(customer)
        customer.email = email
        self._by_email.setdefault(email, []).append(customer)
        self._blocks.pop(customer.position // BLOCK, None)
        if external_id is None or external_id == customer.external_id:
            return
        if customer.external_id is not None:
            self._by_external[customer.external_id.casefold()].remove(customer)
        customer.external_id = external_id
        self._by_external.setdefault(external_id.casefold(), []).append(customer)

    def with_external_id(self, external_id: str, *, any_case: bool = False) -> list[Customer]:
        """Return all customers with this external id, in the order in which they got it."""
        found = self._by_external.get(external_id.casefold(), [])
        return [one for one in found if any_case or one.external_id == external_id]

    def with_email(self, email: str) -> list[Customer]:
        """Return all customers with this address."""
        return self._by_email.get(email, [])

    def walk(
        self, *, start: int, step: int, term: str | None, wanted: Callable[[Customer], bool]
    ) -> Iterator[Customer]:
        """Go through the customers from a position, upwards or downwards, and yield those that match."""
        if term:
            places = self._places(start, step, term.lower())
        else:
            places = iter(range(start, len(self.order) if step > 0 else -1, step))
        for place in places:
            customer = self.order[place]
            if wanted(customer):
                yield customer

    def _places(self, start: int, step: int, needle: str) -> Iterator[int]:
        """Yield the positions whose text holds the needle."""
        block, last = start // BLOCK, (len(self.order) - 1) // BLOCK
        while 0 <= block <= last:
            text = self._blocks.get(block)
            if text is None:
                members = self.order[block * BLOCK : (block + 1) * BLOCK]
                text = self._blocks[block] = "\n".join(map(_searchable, members))
            if needle in text:
                found = [block * BLOCK + row for row, line in enumerate(text.split("\n")) if needle in line]
                yield from (place for place in found[::step] if (place - start) * step >= 0)
            block += step


def _searchable(customer: Customer) -> str:
    """Join the fields that a search term is compared with."""
    return f"{customer.name}\t{customer.id}\t{customer.email}\t{customer.external_id or ''}".lower().replace("\n", " ")
