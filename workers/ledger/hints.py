"""What a webhook says, as the ledger compares it with a record: a hint, a line of text. Pure.

A webhook is a reason to read the customer and never more. But most webhooks tell what our own call has just caused, or
what the record shows already: those wake nobody. `workers/ledger/lua/news.lua` compares; the phases to which a status
leads come from the table of a customer's life. Source: design section 4, iron-api 6.2.
"""

from __future__ import annotations

import re
from typing import Literal

from pipelines.lifecycle import TABLE, UNKNOWN, CustomerStatus, IdentificationStatus

#: A reason to read the customer at once, whatever the record shows.
LOOK = "!"
#: What a webhook says that nobody understands: a reason to read the customer, as soon as webhooks may.
UNCLEAR = "unclear - - -"

#: What may stand in a hint: an id or a status of Iron's.
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KNOWN = frozenset({*CustomerStatus, *IdentificationStatus})


def hint(kind: Literal["created", "customer", "identification"], id_: str | None, status: str | None) -> str:
    """Write what a webhook says of a customer."""
    if kind == "created":
        return "created - - -"
    if id_ is None or status is None or status not in _KNOWN or not _WORD.fullmatch(id_):
        return UNCLEAR
    return f"{kind} {id_} {status} {','.join(phases(kind, status))}"


def phases(kind: str, status: str) -> list[str]:
    """Name the phases to which a status leads, of the customer or of the newest identification."""
    if kind == "customer":
        found = {row.phase.value for row in TABLE if row.customer == status}
    else:
        rows = (row for row in TABLE if row.customer == CustomerStatus.IDENTIFICATION_REQUIRED)
        found = {row.phase.value for row in rows if status in (row.identification or ()) and status != UNKNOWN}
    return sorted(found) or ["-"]
