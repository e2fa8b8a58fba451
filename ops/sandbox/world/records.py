"""What the provider keeps: customers, identifications, signings, documents.

Only facts. How they change is in `lifecycle`, how they look on the wire in `rendering`.
"""

from dataclasses import dataclass, field

IN_FLIGHT = frozenset({"Pending", "Processed", "PendingReview"})


@dataclass(slots=True, eq=False, frozen=True)
class Document:
    """Something to be signed."""

    id: str
    display_name: str
    url: str


@dataclass(slots=True, eq=False)
class Signing:
    """One consent of one customer to one document."""

    id: str
    customer: "Customer"
    content_id: str
    created_at: float


@dataclass(slots=True, eq=False)
class Identification:
    """One attempt to identify a customer.

    `script` is the number of the script that may move it: a move made by hand raises it, so that what was scheduled
    before is without effect.
    """

    id: str
    customer: "Customer"
    kind: str
    status: str
    created_at: float
    updated_at: float
    url: str | None = None
    review_comment: str | None = None
    retry: bool | None = None
    with_edd: bool | None = None
    residence_country: str | None = None
    intended_use: str | None = None
    #: Something is asked for on a record that stays approved.
    asked: bool = False
    #: The answers that the job gave, as far as the legacy questionnaire has them.
    answers: dict[str, str | None] = field(default_factory=dict)
    script: int = 0


@dataclass(slots=True, eq=False)
class Customer:
    """One customer of the partner.

    `due` holds the documents required now, `listed` those that were when they were asked for; `pace` is its place (0 to
    1) in every range of delays; `status_before` is what it was until `status_since`.
    """

    id: str
    customer_type: str
    email: str
    name: str
    status: str
    partner_id: str
    created_at: float
    updated_at: float
    position: int
    tag: str
    pace: float
    external_id: str | None = None
    sub_partner_id: str | None = None
    identifications: list[Identification] = field(default_factory=list)
    signings: list[Signing] = field(default_factory=list)
    due: tuple[Document, ...] = ()
    listed: tuple[Document, ...] = ()
    status_before: str | None = None
    status_since: float = 0.0
    twist_done: bool = False
    script: int = 0

    @property
    def newest(self) -> Identification | None:
        """The identification that counts."""
        return self.identifications[-1] if self.identifications else None

    @property
    def approved(self) -> bool:
        """Whether any identification has been approved."""
        return any(one.status == "Approved" for one in self.identifications)
