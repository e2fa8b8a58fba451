"""Pages of a customer's own short lists (section 1.5 of the fact sheet). A cursor is the id of the last record seen."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ops.sandbox.api.calls import Call


class HasId(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """The record's id."""


Record = TypeVar("Record", bound=HasId)


def ordered(records: Sequence[Record], order: str) -> Sequence[Record]:
    """Bring records, oldest first, into an order: `newest` or `oldest` first, or `shuffled`, always in the same way."""
    match order:
        case "oldest":
            return records
        case "newest":
            return records[::-1]
        case _:
            return sorted(records, key=lambda record: record.id[::-1])


def page_of(records: Sequence[Record], call: Call) -> tuple[Sequence[Record], str | None, str | None]:
    """Return a page, the cursor of the next one and that of the previous one."""
    size, cursor = call.page_size(), call.cursor("cursor")
    start = 0
    if cursor is not None:
        places = [place for place, record in enumerate(records) if record.id == cursor]
        if not places:
            call.stale_cursor()
        start = places[0] + 1 if places else 0
    page = records[start : start + size]
    after = page[-1].id if page and start + size < len(records) else None
    before = records[start - size - 1].id if start > size else None
    return page, after, before
