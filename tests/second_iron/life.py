"""Customers, identifications, documents and signatures as they truly are, and what happens to them by itself.

Nothing in here lies: what Iron shows of it, and how, is answers.py's. Source: iron-api sections 2 and 4.
"""

from __future__ import annotations

import heapq
import itertools
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.second_iron.questions import Draw
from tests.second_iron.webhooks import Webhooks

#: Statuses of an identification that is neither decided nor over. Source: iron-api 2.3.
IN_FLIGHT = ("Pending", "Processed", "PendingReview")
#: Titles of the documents that every customer signs.
TITLES = ("Terms of Service", "Privacy Policy")
#: What happens once to a customer who became Active, by tag of the e-mail.
AFTERWARDS = {"stepup": "step_up", "newterms": "new_terms", "suspend": "suspend"}
#: Tags whose customers identify by themselves and are approved.
APPROVED = ("approve", "slow", *AFTERWARDS)
#: Least time between two identifications of one customer, in seconds: whole seconds must tell which is the newer.
APART_S = 1.0


@dataclass(kw_only=True)
class Traced:
    """Something with a status, and when it had which."""

    id: str
    made_at: float
    by_api: bool
    history: list[tuple[float, str]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return self.history[-1][1]

    @property
    def updated_at(self) -> float:
        return max(self.made_at, self.history[-1][0])

    def status_at(self, at: float) -> str | None:
        """Give the status it had at a time, None before it existed."""
        return next((status for since, status in reversed(self.history) if since <= at), None)


@dataclass(kw_only=True)
class Identification(Traced):
    """An attempt to identify. `asked`: more is wanted of one that stays Approved, and its url is open again."""

    customer: Customer
    kind: str
    edd: bool = False
    linked: bool = True
    asked: bool = False
    final: bool = False
    links: int = 0

    @property
    def open(self) -> bool:
        return self.asked or self.status in IN_FLIGHT

    @property
    def was_approved(self) -> bool:
        return any(status == "Approved" for _, status in self.history)


@dataclass
class Document:
    """Something to sign. `gone_at`: when it was signed or replaced."""

    id: str
    title: str
    due_since: float = 0.0
    gone_at: float | None = None
    signed: bool = False


@dataclass(kw_only=True)
class Signing(Traced):
    """A signature."""

    customer: Customer
    content_id: str


@dataclass(kw_only=True)
class Customer(Traced):
    """A customer. `forced` is a status that somebody set by hand, over all that would follow from the rest."""

    kind: str
    email: str
    name: str
    external_id: str | None
    sub_partner: str | None = None
    sign_first: bool = False
    identifications: list[Identification] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    signings: list[Signing] = field(default_factory=list)
    suspended: bool = False
    archived: bool = False
    forced: str | None = None
    was_active: bool = False

    @property
    def tag(self) -> str:
        found = re.search(r"\+([a-z-]+)@", self.email)
        return found[1] if found else "manual"

    @property
    def due(self) -> list[Document]:
        return [document for document in self.documents if document.gone_at is None]


class Life:
    """All that Iron knows, and what will happen next."""

    def __init__(self, now: Callable[[], float], draw: Draw, webhooks: Webhooks) -> None:
        self._now, self.draw, self.webhooks = now, draw, webhooks
        self.customers: dict[str, Customer] = {}
        self.identifications: dict[str, Identification] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._happening: float | None = None
        self._titles = {title: self.new_id() for title in TITLES}

    # --- time ----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Give the time of what is happening, in unix seconds; it may be past where the clock made a leap."""
        return self._now() if self._happening is None else self._happening

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.time() + seconds, next(self._count), what))

    def run_due(self) -> None:
        """Let everything happen that is due by now, each at its own time."""
        while self._timers and self._timers[0][0] <= self._now():
            self._happening, _, what = heapq.heappop(self._timers)
            try:
                what()
            finally:
                self._happening = None

    def next_at(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    # --- records -------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        bits = self.draw.random.getrandbits(128)
        if self.draw("ids", next(self._count)) == "by_time":
            bits = bits & ((1 << 80) - 1) | int(self.time() * 1000) << 80
        return str(uuid.UUID(int=bits, version=4))

    def enrol(self, *, kind: str, email: str, name: str | None, external_id: str | None, **more: object) -> Customer:
        """Make a customer, who has two documents to sign once identified."""
        id_ = self.new_id()
        default = {"customer": f"Customer {id_}", "email": email, "empty": ""}[self.draw("name_default")]
        own = self.draw("content_ids") == "own"
        customer = Customer(
            id=id_, made_at=self.time(), kind=kind, email=email, name=name or default, external_id=external_id, **more
        )
        customer.documents = [Document(self.new_id() if own else self._titles[title], title) for title in TITLES]
        customer.history.append((self.time(), self._rightful(customer)))
        self.customers[id_] = customer
        self.webhooks.tell(self.time(), id_, "customer_created", "Event", {"id": id_, "kind": "CustomerCreated"})
        return customer

    def begin(
        self, customer: Customer, kind: str, *, by_api: bool, edd: bool = False, complete: bool = False
    ) -> Identification:
        """Begin an identification, which is the customer's newest from now on."""
        before = customer.identifications[-1].made_at + APART_S if customer.identifications else 0.0
        made_at = max(self.time(), before)
        identification = Identification(
            id=self.new_id(), made_at=made_at, by_api=by_api, customer=customer, kind=kind, edd=edd, linked=not complete
        )
        identification.history.append((self.time(), "Processed" if complete else "Pending"))
        self.identifications[identification.id] = identification
        customer.identifications.append(identification)
        if self.draw("webhook_of_begin") == "sent":
            self._tell(identification)
        self.settle(customer)
        self._play(identification)
        return identification

    def bring_to(self, customer: Customer, status: str) -> None:
        """Give a new customer all that belongs to a status, as if it had always been so."""
        now = self.time()
        if status in ("SigningsRequired", "Active"):
            approved = Identification(id=self.new_id(), made_at=now, by_api=False, customer=customer, kind="Link")
            approved.history.append((now, "Approved"))
            self.identifications[approved.id] = approved
            customer.identifications.append(approved)
        for document in customer.due if status == "Active" else ():
            self.sign(customer, document.id, by_api=False)
        customer.was_active = status == "Active"
        customer.forced = status if status != self._rightful(customer) else None
        customer.history = [(now, status)]

    def _move(self, record: Customer | Identification, status: str) -> None:
        record.history.append((self.time(), status))
        self._tell(record)

    def _tell(self, record: Customer | Identification) -> None:
        customer = record if isinstance(record, Customer) else record.customer
        wrapper, type_ = "IdentificationStatus", "identification_status"
        if isinstance(record, Customer):
            wrapper, type_ = "CustomerStatus", "customer_status"
        self.webhooks.tell(self.time(), customer.id, type_, wrapper, {"id": record.id, "status": record.status})

    # --- a customer's status follows from the rest ---------------------------------------------------------------

    def counting(self, customer: Customer) -> Identification | None:
        """Give the identification that drives the customer's status: the newest."""
        for identification in reversed(customer.identifications):
            if identification.status != "Archived" or self.draw("archived_counts", identification.id) == "counts":
                return identification
        return None

    def _rightful(self, customer: Customer) -> str:
        if customer.archived or customer.forced or customer.suspended:
            return "Archived" if customer.archived else customer.forced or "Suspended"
        newest = self.counting(customer)
        missing = {
            "IdentificationRequired": newest is None or newest.status != "Approved" or newest.asked,
            "SigningsRequired": bool(customer.due),
        }
        order = reversed(missing) if customer.sign_first else iter(missing)
        return next((status for status in order if missing[status]), "Active")

    def settle(self, customer: Customer) -> None:
        """Bring the customer's status in line with the rest, perhaps with a detour."""
        status, before = self._rightful(customer), customer.status
        if (status, before) == ("Active", "IdentificationRequired"):
            status = self.draw("nothing_to_sign", customer.id)
            if status != "Active":
                self.later(self.draw.between(1, 10), partial(self.settle, customer))
        if status == before:
            return
        self._move(customer, status)
        if status == "SigningsRequired":
            for document in customer.due:
                document.due_since = self.time()
        if status == "Active" and not customer.was_active:
            customer.was_active = True
            self._play_afterwards(customer)

    def _hold(self, customer: Customer, status: str) -> None:
        """Show another status for a while."""
        customer.forced = status
        self.settle(customer)
        self.later(self.draw.between(5, 60), partial(self._release, customer, status))

    def _release(self, customer: Customer, status: str) -> None:
        if customer.forced == status:
            customer.forced = None
            self.settle(customer)

    # --- what happens to an identification -----------------------------------------------------------------------

    def finish(self, identification: Identification) -> None:
        """Let the customer come to the end of the form."""
        if identification.status == "Pending":
            self._move(identification, "Processed")

    def review(self, identification: Identification) -> None:
        if identification.status in IN_FLIGHT[:2]:
            self._move(identification, "PendingReview")

    def approve(self, identification: Identification) -> None:
        if not identification.open:
            return
        identification.asked = False
        self._move(identification, "Approved")
        self.later(self.draw("approval_delay_s", identification.id), partial(self.settle, identification.customer))

    def decline(self, identification: Identification, *, final: bool = False) -> None:
        if not identification.open:
            return
        identification.asked, identification.final = False, final
        self._move(identification, "Declined")
        self._over(identification, self.draw("after_decline"))

    def expire(self, identification: Identification) -> None:
        if not identification.open:
            return
        identification.asked = False
        self._move(identification, "Expired")
        self._over(identification, self.draw("after_expiry"))

    def _over(self, identification: Identification, shown: str) -> None:
        customer = identification.customer
        self.settle(customer)
        if shown != "stays" and identification is self.counting(customer) and not customer.forced:
            self._hold(customer, shown)

    def put_away(self, identification: Identification) -> None:
        """Archive an identification."""
        if identification.status != "Archived":
            identification.asked = False
            self._move(identification, "Archived")
            self.settle(identification.customer)

    # --- what happens to a customer ------------------------------------------------------------------------------

    def step_up(self, customer: Customer) -> None:
        """Want more of a customer who was approved before."""
        newest = self.counting(customer)
        if newest is None or newest.status != "Approved":
            return
        shape = self.draw("step_up")
        if shape == "new record":
            self.begin(customer, newest.kind, by_api=False)
            return
        newest.linked, newest.asked, newest.links = True, shape == "Approved", newest.links + 1
        if shape == "Pending":
            self._move(newest, shape)
        self.settle(customer)
        self._play(newest)

    def new_terms(self, customer: Customer) -> None:
        """Want one more signature."""
        again = self.draw("new_terms_id", customer.id) == "same"
        old = next((document for document in customer.documents if document.signed), None)
        id_ = old.id if again and old else self.new_id()
        customer.documents.append(Document(id_, "New Terms", due_since=self.time()))
        self.settle(customer)

    def suspend(self, customer: Customer) -> None:
        customer.suspended = True
        self.settle(customer)

    def restore(self, customer: Customer) -> None:
        customer.suspended = False
        self.settle(customer)

    def archive(self, customer: Customer) -> None:
        """Close a customer and all identifications for good."""
        customer.archived = True
        for identification in customer.identifications:
            self.put_away(identification)
        self.settle(customer)

    def sign(self, customer: Customer, content_id: str, *, by_api: bool = True) -> Signing:
        """Record a signature, for the document that is due under this id where there is one."""
        signing = Signing(
            id=self.new_id(), made_at=self.time(), by_api=by_api, customer=customer, content_id=content_id
        )
        signing.history.append((self.time(), "Signed"))
        customer.signings.append(signing)
        for document in customer.due:
            if document.id == content_id:
                document.signed, document.gone_at = True, self.time()
                self._replace_the_rest(customer)
        if not customer.due:
            self.later(self.draw("activation_delay_s", customer.id), partial(self.settle, customer))
        return signing

    def _replace_the_rest(self, customer: Customer) -> None:
        """Perhaps let new versions take the place of what is not signed yet, once in a customer's life."""
        if len(customer.signings) > 1 or not customer.due or self.draw("documents_replaced", customer.id) == "no":
            return
        for document in customer.due:
            document.gone_at = self.time()
            customer.documents.append(Document(self.new_id(), document.title, due_since=self.time()))

    # --- what customers do by themselves, by tag of their e-mail -------------------------------------------------

    def _play(self, identification: Identification) -> None:
        tag, between = identification.customer.tag, self.draw.between
        if tag == "expire":
            self.later(between(7, 9), partial(self.expire, identification))
        ends = dict.fromkeys(APPROVED, self.approve) | {
            "decline": self.decline,
            "decline-final": partial(self.decline, final=True),
        }
        if tag not in ends:
            return
        path, slow = self.draw("review_path", identification.id), 60 if tag == "slow" else 1
        at_s = between(2, 6) * slow
        if path != "straight":
            self.later(at_s, partial(self.finish, identification))
        if path == "every step":
            self.later(at_s := at_s + between(0, 3) * slow, partial(self.review, identification))
        self.later(at_s + between(0.5, 10) * slow, partial(ends[tag], identification))

    def _play_afterwards(self, customer: Customer) -> None:
        what = AFTERWARDS.get(customer.tag)
        if what:
            at_s = self.draw.between(5, 30)
            self.later(at_s, partial(getattr(self, what), customer))
            if what == "suspend":
                self.later(at_s + self.draw.between(20, 120), partial(self.restore, customer))

    # --- what people do ------------------------------------------------------------------------------------------

    def named(self, external_id: str) -> Customer:
        """Give the first customer with an external id; LookupError where there is none."""
        found = [customer for customer in self.customers.values() if customer.external_id == external_id]
        if not found:
            raise LookupError("no customer has this external id")
        return next((customer for customer in found if not customer.archived), found[0])

    def act(self, customer: Customer, what: str) -> None:
        """Do what people at Iron, or the customer, do; what does not fit any more changes nothing."""
        newest = self.counting(customer)
        word, _, status = what.partition(":")
        of_customer = ("step_up", "new_terms", "suspend", "restore", "archive")
        of_identification = {"finish": {}, "review": {}, "approve": {}, "expire": {}, "decline": {}}
        of_identification |= {"decline_final": {"final": True}}
        if word not in ("begin", "status", *of_customer, *of_identification):
            raise ValueError(f"nobody does this: {what}")
        forced, customer.forced = customer.forced, status or None
        if customer.forced != forced:
            self.settle(customer)
        if word in of_customer:
            getattr(self, word)(customer)
        elif word == "begin":
            self.begin(customer, "Link", by_api=False)
        elif word in of_identification and newest:
            getattr(self, word.removesuffix("_final"))(newest, **of_identification[word])
