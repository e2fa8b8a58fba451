"""The life of a customer as data: phases, who must act, and THE TABLE that decides the phase.

Iron's answer wins: the customer's status read now, together with the newest identification, decides. The table is
checked when this module is imported: every combination meets exactly one row, every phase is reached, and whatever
Iron has not told us about leads to an operator, never to a guess. Source: design section 3, iron-api sections 2 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import product


class Phase(StrEnum):
    """What is true of an onboarding now."""

    RECEIVED = "received"  # we: create the customer
    CUSTOMER_CREATED = "customer_created"  # we: create the identification
    IDENTIFICATION_PENDING = "identification_pending"  # the customer opens the link
    STEP_UP_REQUIRED = "step_up_required"  # the customer provides what Iron asks for again
    IN_REVIEW = "in_review"  # Iron reviews
    DECLINED = "declined"  # the customer may ask for another round, or an operator decides
    EXPIRED = "expired"  # we: another round with a new link
    SIGNINGS_REQUIRED = "signings_required"  # the customer signs
    ACTIVE = "active"  # nobody; may fall back at any time
    SUSPENDED = "suspended"  # Iron decides
    ARCHIVED = "archived"  # final
    ON_HOLD = "on_hold"  # an operator looks; we keep watching
    FAILED = "failed"  # Iron refuses the request; a correction makes a new revision
    CANCELLED = "cancelled"  # ended by a person


#: Phase -> its name for people.
STATUSES: Mapping[Phase, str] = {
    Phase.RECEIVED: "Received",
    Phase.CUSTOMER_CREATED: "Created at Iron",
    Phase.IDENTIFICATION_PENDING: "Waiting for identification",
    Phase.STEP_UP_REQUIRED: "More information needed",
    Phase.IN_REVIEW: "In review at Iron",
    Phase.DECLINED: "Declined",
    Phase.EXPIRED: "Link expired",
    Phase.SIGNINGS_REQUIRED: "Documents to sign",
    Phase.ACTIVE: "Active",
    Phase.SUSPENDED: "Suspended by Iron",
    Phase.ARCHIVED: "Closed by Iron",
    Phase.ON_HOLD: "On hold",
    Phase.FAILED: "Needs correction",
    Phase.CANCELLED: "Cancelled",
}


class Actor(StrEnum):
    """Who must act before anything can change."""

    US = "us"
    CUSTOMER = "customer"
    IRON = "iron"
    OPERATOR = "operator"
    NOBODY = "nobody"


class CustomerStatus(StrEnum):
    """Iron's status of a customer. Source: iron-api 2.2."""

    USER_REQUIRED = "UserRequired"
    IDENTIFICATION_REQUIRED = "IdentificationRequired"
    SIGNINGS_REQUIRED = "SigningsRequired"
    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    ARCHIVED = "Archived"


class IdentificationStatus(StrEnum):
    """Iron's status of an identification. Source: iron-api 2.3."""

    PENDING = "Pending"
    PROCESSED = "Processed"
    PENDING_REVIEW = "PendingReview"
    APPROVED = "Approved"
    DECLINED = "Declined"
    EXPIRED = "Expired"
    ARCHIVED = "Archived"


#: Statuses in which an identification is under way: no other one may be created beside it.
IN_FLIGHT = frozenset(
    {IdentificationStatus.PENDING, IdentificationStatus.PROCESSED, IdentificationStatus.PENDING_REVIEW}
)

#: Stands in a row for a status that Iron has never told us about.
UNKNOWN = "an unknown status"
#: Stands in a row for "no identification yet".
NONE = "none"

_PENDING = IdentificationStatus.PENDING.value
_APPROVED = IdentificationStatus.APPROVED.value
_DECLINED = IdentificationStatus.DECLINED.value
_STATUSES = frozenset(IdentificationStatus)
_CUSTOMER_STATUSES = frozenset(CustomerStatus)
_IDENTIFICATIONS = (NONE, *(status.value for status in IdentificationStatus), UNKNOWN)
_CUSTOMERS = (*(status.value for status in CustomerStatus), UNKNOWN)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. A condition that is None holds for every value."""

    customer: str
    phase: Phase
    who: Actor
    identification: tuple[str, ...] | None = None
    has_url: bool | None = None
    was_active: bool | None = None
    may_retry: bool | None = None

    def covers(self, customer: str, identification: str, has_url: bool, was_active: bool, may_retry: bool) -> bool:  # noqa: FBT001 -- the columns of the table, in their order
        """Return whether this row is the one for the combination."""
        return (
            self.customer == customer
            and (self.identification is None or identification in self.identification)
            and self.has_url in (None, has_url)
            and self.was_active in (None, was_active)
            and self.may_retry in (None, may_retry)
        )


_IDENTIFY = CustomerStatus.IDENTIFICATION_REQUIRED.value

#: THE TABLE. Customer status, phase, who must act, then the conditions on the newest identification.
TABLE = (
    Row(_IDENTIFY, Phase.CUSTOMER_CREATED, Actor.US, (NONE,)),
    Row(_IDENTIFY, Phase.IDENTIFICATION_PENDING, Actor.CUSTOMER, (_PENDING,), was_active=False),
    Row(_IDENTIFY, Phase.STEP_UP_REQUIRED, Actor.CUSTOMER, (_PENDING,), was_active=True),
    Row(_IDENTIFY, Phase.STEP_UP_REQUIRED, Actor.CUSTOMER, (_APPROVED,), has_url=True),
    Row(_IDENTIFY, Phase.IN_REVIEW, Actor.IRON, (_APPROVED,), has_url=False),
    Row(_IDENTIFY, Phase.IN_REVIEW, Actor.IRON, ("Processed", "PendingReview")),
    Row(_IDENTIFY, Phase.DECLINED, Actor.CUSTOMER, (_DECLINED,), may_retry=True),
    Row(_IDENTIFY, Phase.DECLINED, Actor.OPERATOR, (_DECLINED,), may_retry=False),
    Row(_IDENTIFY, Phase.EXPIRED, Actor.US, ("Expired",)),
    Row(_IDENTIFY, Phase.ON_HOLD, Actor.OPERATOR, ("Archived", UNKNOWN)),
    Row("SigningsRequired", Phase.SIGNINGS_REQUIRED, Actor.CUSTOMER),
    Row("Active", Phase.ACTIVE, Actor.NOBODY),
    Row("Suspended", Phase.SUSPENDED, Actor.IRON),
    Row("Archived", Phase.ARCHIVED, Actor.NOBODY),
    Row("UserRequired", Phase.ON_HOLD, Actor.OPERATOR),
    Row(UNKNOWN, Phase.ON_HOLD, Actor.OPERATOR),
)

#: Phases that Iron's statuses do not decide: before the customer exists, and the pipeline's own ends.
OWN_PHASES = {
    Phase.RECEIVED: Actor.US,
    Phase.FAILED: Actor.OPERATOR,
    Phase.CANCELLED: Actor.NOBODY,
}

#: Phases with nothing left to do or to watch: such a record has no due time.
FINISHED = frozenset({Phase.ARCHIVED, Phase.FAILED, Phase.CANCELLED})


@lru_cache(maxsize=1024)
def decide(
    customer: str,
    identification: str | None,
    *,
    has_url: bool = False,
    was_active: bool = False,
    may_retry: bool = True,
) -> Row:
    """Find the row of the table for what Iron says now.

    `customer` and `identification` are Iron's words; None: there is no identification. `was_active`: this customer was
    approved or active before the newest identification asked for more. `may_retry`: a declined customer may try again.
    """
    known = customer if customer in _CUSTOMER_STATUSES else UNKNOWN
    newest = NONE if identification is None else identification if identification in _STATUSES else UNKNOWN
    return next(row for row in TABLE if row.covers(known, newest, has_url, was_active, may_retry))


def check_table() -> None:
    """Raise ValueError unless every combination meets exactly one row and every phase has a way in."""
    flags = (False, True)
    for combination in product(_CUSTOMERS, _IDENTIFICATIONS, flags, flags, flags):
        rows = [row for row in TABLE if row.covers(*combination)]
        if len(rows) != 1:
            message = f"{combination} meets {len(rows)} rows of the table"
            raise ValueError(message)
    unreachable = set(Phase) - {row.phase for row in TABLE} - set(OWN_PHASES)
    if unreachable:
        message = f"no row leads to {sorted(unreachable)}"
        raise ValueError(message)


check_table()
