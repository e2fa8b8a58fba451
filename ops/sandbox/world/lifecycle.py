"""What happens to a customer, when, and why: the scripts by e-mail tag and every change of a status.

The same moves are open to the control interface.
"""

import hashlib
from collections.abc import Callable

from ops.sandbox.world.ids import Ids, token_of
from ops.sandbox.world.outbox import Outbox
from ops.sandbox.world.records import IN_FLIGHT, Customer, Document, Identification
from ops.sandbox.world.schedule import Schedule
from ops.sandbox.world.scripts import (
    APPROVAL_DELAY_S,
    EXPIRY_S,
    STORIES,
    SUSPENSION_S,
    TO_DECISION_S,
    TO_FINISH_S,
    TO_REVIEW_S,
    TWIST_S,
    Range,
    Story,
)
from ops.sandbox.world.switches import Switches


class Lifecycle(Schedule):
    """The provider's side of every customer's life."""

    def __init__(
        self, switches: Switches, ids: Ids, outbox: Outbox, speed: float, file: Callable[[Identification], None]
    ) -> None:
        super().__init__(speed)
        self.switches = switches
        self.ids = ids
        self.outbox = outbox
        #: Files a record that the provider opens itself.
        self._file = file
        self._terms: tuple[tuple[str, ...], tuple[Document, ...]] = ((), ())

    # Documents

    @property
    def terms(self) -> tuple[Document, ...]:
        """The documents to be signed today."""
        names, documents = self._terms
        if names != self.switches.documents:
            names = self.switches.documents
            documents = tuple(self._document(name) for name in names)
            self._terms = (names, documents)
        return documents

    def _document(self, name: str) -> Document:
        """Publish a document; its id depends on its name alone."""
        digits = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        content_id = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
        return Document(content_id, name, f"https://documents.sandbox.invalid/{content_id}")

    # Identifications

    def begin(self, identification: Identification, at: float) -> None:
        """Start the customer's script for a new identification."""
        story = _story(identification.customer)
        self.outbox.identification_status(identification, at)
        if self.switches.approval == "by_call":
            return
        if story.expires:
            self._later(at, EXPIRY_S * story.stretch, self.expire, identification)
        elif story.ending is not None:
            self._play(identification, at)

    def _play(self, identification: Identification, at: float) -> None:
        """Start the way from the link, or from submitted data, to the decision."""
        if self.switches.approval == "by_call":
            return
        if identification.status == "Pending" or identification.asked:
            self._later(at, _span(TO_FINISH_S, identification.customer), self._finish, identification)
        else:
            self._begin_review(identification, at)

    def _begin_review(self, identification: Identification, at: float) -> None:
        """Let compliance see it soon, or at once what it has already."""
        if identification.status == "PendingReview":
            self._later(at, _span(TO_DECISION_S, identification.customer), self._decide, identification)
        else:
            self._later(at, _span(TO_REVIEW_S, identification.customer), self._hand_in, identification)

    def _finish(self, identification: Identification, at: float) -> None:
        """Let the customer finish the form."""
        self.process(identification, at)
        self._later(at, _span(TO_REVIEW_S, identification.customer), self._hand_in, identification)

    def _hand_in(self, identification: Identification, at: float) -> None:
        """Let compliance take it up."""
        self.review(identification, at)
        self._later(at, _span(TO_DECISION_S, identification.customer), self._decide, identification)

    def _decide(self, identification: Identification, at: float) -> None:
        """Let compliance decide as the tag says."""
        match _story(identification.customer).ending:
            case "decline":
                self.decline(identification, at)
            case "decline-final":
                self.decline_final(identification, at)
            case _:
                self.approve(identification, at)

    def process(self, identification: Identification, at: float) -> None:
        """Let the customer finish the hosted form; a record that stays approved does not show it."""
        if not identification.asked:
            self.set_identification(identification, "Processed", at)

    def review(self, identification: Identification, at: float) -> None:
        """Pass it on to compliance."""
        if not identification.asked:
            self.set_identification(identification, "PendingReview", at)

    def approve(self, identification: Identification, at: float) -> None:
        """Approve; the customer's own status follows a moment later."""
        identification.review_comment = identification.retry = None
        self.set_identification(identification, "Approved", at)
        self._anyway(at, self._delay_s(identification.customer), self._admit, identification)

    def _delay_s(self, customer: Customer) -> float:
        """Return how long it takes from an approval to the customer's next status."""
        delay_s = self.switches.approval_delay_s
        return _point(APPROVAL_DELAY_S, customer.pace) if delay_s is None else delay_s

    def decline(self, identification: Identification, at: float) -> None:
        """Decline; the customer may try again."""
        identification.review_comment = "The document photo is not readable. Please try again with a clear photo."
        identification.retry = True
        self.set_identification(identification, "Declined", at)

    def decline_final(self, identification: Identification, at: float) -> None:
        """Decline for good."""
        identification.review_comment = "The identification cannot be accepted."
        identification.retry = False
        self.set_identification(identification, "Declined", at)

    def expire(self, identification: Identification, at: float) -> None:
        """Let the attempt lapse."""
        self.set_identification(identification, "Expired", at)

    def archive_identification(self, identification: Identification, at: float) -> None:
        """Make the attempt invalid for good."""
        self.set_identification(identification, "Archived", at)

    def step_up(self, identification: Identification, at: float) -> Identification:
        """Ask for missing information, and take the customer offline until it is given.

        Returns the record that asks: the same one, Pending or still Approved, or a new one.
        """
        asking, status = identification, "Pending"
        if self.switches.step_up == "new_record":
            asking = self._opened(identification.customer, at)
        elif self.switches.step_up == "approved" and identification.status == "Approved":
            status = "Approved"
        self.set_identification(asking, status, at, url=self.link(asking))
        if asking is asking.customer.newest:
            self.set_customer(asking.customer, "IdentificationRequired", at)
        return asking

    def _opened(self, customer: Customer, at: float) -> Identification:
        """Open a record that the provider itself asks for."""
        identification = Identification(self.ids.new(at), customer, "StepUp", "Pending", at, at)
        identification.residence_country = customer.identifications[-1].residence_country
        self._file(identification)
        return identification

    def set_identification(
        self, identification: Identification, status: str, at: float, *, url: str | None = None
    ) -> None:
        """Write a status; the link goes when the customer has used it."""
        identification.status = status
        identification.updated_at = at
        identification.asked = url is not None and status == "Approved"
        if url is not None or (status != "Pending" and not self.switches.keep_url):
            identification.url = url
        self.outbox.identification_status(identification, at)

    def link(self, identification: Identification) -> str:
        """Return the hosted link of an identification."""
        return self.switches.link_prefix + token_of(identification.id)

    # Customers

    def _admit(self, identification: Identification, at: float) -> None:
        """Move an approved customer on; only the newest identification counts."""
        customer = identification.customer
        if (
            identification is customer.newest
            and identification.status == "Approved"
            and not identification.asked
            and customer.status == "IdentificationRequired"
        ):
            self.require_signings(customer, at, self.terms, again=self._signs_again(identification))

    def welcome(self, customer: Customer, at: float) -> None:
        """Let a new customer sign first, where that is the order."""
        if self.switches.order == "sign_first" and self.terms:
            self.require_signings(customer, at, self.terms)

    def _signs_again(self, identification: Identification) -> bool:
        """Return whether a new identification asks for every document again."""
        others = (one for one in identification.customer.identifications if one is not identification)
        return (
            self.switches.new_round_signs == "all"
            and identification.kind != "StepUp"
            and any(one.status == "Approved" for one in others)
            and all(one.created_at < identification.created_at for one in identification.customer.signings)
        )

    def require_signings(
        self, customer: Customer, at: float, documents: tuple[Document, ...], *, again: bool = False
    ) -> None:
        """Ask for what is not signed yet, or for everything again; nothing left means Active."""
        signed = set() if again else {signing.content_id for signing in customer.signings}
        customer.due = tuple(one for one in documents if one.id not in signed) if signed else documents
        customer.listed = customer.due
        by_way_of = self.switches.nothing_to_sign == "signings_required"
        self.set_customer(customer, "SigningsRequired" if customer.due or by_way_of else "Active", at)
        if not customer.due and by_way_of:
            self._anyway(at, self._delay_s(customer), self._let_through, customer)

    def signed(self, customer: Customer, content_id: str, at: float) -> None:
        """Take a document off the list; after the last one the customer is Active, or still to be identified."""
        customer.due = tuple(one for one in customer.due if one.id != content_id)
        if self.switches.activation_delay_s:
            self._anyway(at, self.switches.activation_delay_s, self._let_through, customer)
        else:
            self._let_through(customer, at)

    def _let_through(self, customer: Customer, at: float) -> None:
        """Move on who has nothing left to sign."""
        if not customer.due and customer.status == "SigningsRequired":
            first = self.switches.order == "sign_first" and not customer.approved
            self.set_customer(customer, "IdentificationRequired" if first else "Active", at)

    def put_back(self, customer: Customer, at: float) -> None:
        """Ask a customer for an identification again, who was through with it."""
        if customer.status in {"Active", "SigningsRequired"}:
            customer.due = ()
            self.set_customer(customer, "IdentificationRequired", at)

    def set_customer(self, customer: Customer, status: str, at: float) -> None:
        """Write a status; the first Active starts what the tag has in store."""
        customer.updated_at = at
        if customer.status == status:
            return
        customer.status_before, customer.status_since = customer.status, at
        customer.status = status
        self.outbox.customer_status(customer, at)
        twist = _story(customer).twist
        if status == "Active" and twist is not None and not customer.twist_done:
            customer.twist_done = True
            twists = {"step_up": self._ask_again, "new_terms": self.new_terms, "suspend": self._suspend}
            self._later(at, _point(TWIST_S, customer.pace), twists[twist], customer)

    def _ask_again(self, customer: Customer, at: float) -> None:
        """Step up, and let the customer answer."""
        identification = customer.newest
        if identification is not None and identification.status not in IN_FLIGHT:
            self._play(self.step_up(identification, at), at)

    def new_terms(self, customer: Customer, at: float) -> None:
        """Require one more document, never seen by this customer."""
        edition = len(customer.signings) + len(customer.due)
        self.require_signings(customer, at, (*customer.due, self._document(f"Terms and Conditions, edition {edition}")))

    def _suspend(self, customer: Customer, at: float) -> None:
        """Suspend for a while."""
        self.set_customer(customer, "Suspended", at)
        self._later(at, _point(SUSPENSION_S, customer.pace), self.restore, customer)

    def restore(self, customer: Customer, at: float) -> None:
        """End a suspension."""
        self.set_customer(customer, "Active", at)

    def archive(self, customer: Customer, at: float) -> None:
        """Archive a customer and all identifications, for good."""
        customer.script += 1
        customer.due = ()
        for identification in customer.identifications:
            identification.script += 1
            if identification.status != "Archived":
                self.archive_identification(identification, at)
        self.set_customer(customer, "Archived", at)


def _story(customer: Customer) -> Story:
    """Return the script chosen by the tag in the customer's e-mail."""
    return STORIES[customer.tag]


def _span(span: Range, customer: Customer) -> float:
    """Return the customer's own point in a range, as long as the script stretches it."""
    return _point(span, customer.pace) * _story(customer).stretch


def _point(span: Range, pace: float) -> float:
    """Return a point in a range."""
    return span[0] + (span[1] - span[0]) * pace
