"""Everything the provider has, in one place, and the few questions that several endpoints ask of it."""

from ops.sandbox.api.answers import RefusalError
from ops.sandbox.api.calls import Call
from ops.sandbox.api.rendering import Rendering
from ops.sandbox.world.effects import Effect, Effects
from ops.sandbox.world.ids import Ids
from ops.sandbox.world.lifecycle import Lifecycle
from ops.sandbox.world.outbox import Outbox
from ops.sandbox.world.records import Customer, Identification
from ops.sandbox.world.store import Store
from ops.sandbox.world.switches import Switches

#: Every API key belongs to the one partner of this sandbox, so that keys can be rotated.
PARTNER_ID = "01990000-0000-7000-8000-000000000001"


class Provider:
    """The provider's tables, rules and choices."""

    def __init__(self, switches: Switches, seed: int, speed: float) -> None:
        self.switches = switches
        self.ids = Ids(seed)
        self.store = Store()
        self.effects = Effects()
        self.outbox = Outbox(self.ids, seed, switches)
        self.lifecycle = Lifecycle(switches, self.ids, self.outbox, speed, self.file)
        self.rendering = Rendering(switches)

    def customer(self, call: Call) -> Customer:
        """Return the customer that the path names, if the caller's sub-partner may see it."""
        customer = self.store.customers.get(call.uuid(1))
        if customer is None or (call.method == "GET" and call.at < customer.created_at + self.switches.customer_lag_s):
            raise RefusalError(404, "Customer not found")
        if customer.sub_partner_id != call.sub_partner_id:
            status = self.switches.wrong_sub_partner
            raise RefusalError(status, "Customer not found" if status == 404 else "forbidden")
        return customer

    def identification(self, identification_id: str) -> Identification:
        """Return an identification by its id."""
        identification = self.store.identifications.get(identification_id)
        if identification is None:
            raise RefusalError(404, "Identification not found")
        return identification

    def file(self, identification: Identification) -> None:
        """Put a new identification into the tables; it is its customer's newest."""
        identification.customer.identifications.append(identification)
        self.store.identifications[identification.id] = identification

    def count(self, call: Call, operation: str, customer: Customer | None, subject: str | None) -> None:
        """Note an executed effect."""
        effect = Effect(
            operation,
            call.idempotency_key,
            customer.id if customer else None,
            customer.external_id if customer else None,
            subject,
            call.at,
        )
        call.effect = effect
        self.effects.add(effect)
