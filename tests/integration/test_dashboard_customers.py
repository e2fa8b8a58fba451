"""Customers made in the partner's dashboard, who get jobs later: signed and active at once, also after a loss.

Source: contract section 5 (`adopt`), design section 5, races g and j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from ops.sandbox.world.clock import MANUAL_START
from pipelines.iron import Iron
from tests.chaos.simulator import BEGINNING_MS, on_time_of
from tests.world import API_KEY, BASE_URL, World
from workers.reconcile.adopt import adopt

if TYPE_CHECKING:
    from pipelines.model import Record

#: How many, and for how long after the last signature the record may not show it, in seconds.
CUSTOMERS, SOON_S = 60, 5.0


class Dashboard:
    """Customers that others have made at Iron, and the jobs that come for them."""

    def __init__(self, client: redis.Redis) -> None:
        self.world = world = World(client)
        on_time_of(world.ledger, lambda: BEGINNING_MS + world.shift_ms)
        world.ledger.clock = lambda: world.shift_ms / 1000
        for number in range(CUSTOMERS):
            self.make(number)
        self.by_id = world.sandbox.provider.store.customers

    def make(self, number: int) -> None:
        """Make a customer: every second one at the documents, the others with an unused link or with none.

        A fifth of them has no external id.
        """
        tag = "manual" if number % 4 != 3 else "approve"
        body = {"customer_type": "Person", "email": f"c-{number}+{tag}@example.com", "name": "Ada Example"}
        if number % 5:
            body["external_id"] = f"e-{number}"
        customer_id = self.call("", body, f"customer-{number}")
        if number % 4 != 3:
            self.call(f"/{customer_id}/identifications/v2", {"type": "Link"}, f"identification-{number}")
        if number % 2 == 0:
            self.world.sandbox.move(customer_id, "approve")

    def call(self, path: str, body: dict[str, Any], key: str) -> str:
        """Do what the dashboard does; answers the id of what was made."""
        answer = self.world.sandbox.request("POST", f"/api/customers{path}", body, key=key)
        assert answer.status == 201
        made: str = answer.json()["id"]
        return made

    def adopt(self) -> None:
        """Bring all of them into the ledger."""
        found = list(adopt(self.world.ledger, Iron(self.world.transport, BASE_URL, API_KEY)))
        assert [one.result for one in found] == ["adopted"] * CUSTOMERS

    def join(self) -> None:
        """Hand in a job for each, with its e-mail and its external id; who has none is named by Iron's id."""
        for customer_id, customer in self.by_id.items():
            external_id = customer.external_id or f"iron-{customer_id}"
            details = {"customer_type": "Person", "email": customer.email, "name": customer.name}
            job = {"idempotency_key": f"job-{external_id}", "external_id": external_id, "customer": details}
            assert self.world.door.submit(job).status == "created"

    def lose(self) -> None:
        """Lose the whole ledger and the queue, bring all back, and hand in all jobs again."""
        self.world.client.flushdb()
        self.world.queue.nudges.clear()
        self.world.hear()
        self.adopt()
        self.join()

    def identify(self) -> None:
        """Let those be approved whose link was not used yet."""
        for customer_id, customer in self.by_id.items():
            if customer.status == "IdentificationRequired" and customer.tag == "manual":
                self.world.sandbox.move(customer_id, "approve")

    def read_documents(self) -> None:
        """Let everybody's documents be read."""
        everybody = self.by_id.values()
        self.world.run(until=lambda: all(one.status == "SigningsRequired" for one in everybody), seconds=600)
        self.world.run(until=lambda: len(self.signing()) == CUSTOMERS, seconds=600)

    def sign_first(self) -> None:
        """Let everybody agree to one document, and let it be signed."""
        self.read_documents()
        for record in self.signing():
            self.world.act(record.key, "sign", documents=[record.signings[0].id])
        self.world.run(until=lambda: all(one.signings for one in self.by_id.values()), seconds=600)

    def sign_all(self) -> None:
        """Let everybody agree to the rest, one a second; every third one does so in the dashboard."""
        self.read_documents()
        for number, record in enumerate(self.signing()):
            left = [one.id for one in record.signings if not one.consented_ms]
            if number % 3:
                self.world.act(record.key, "sign", documents=left)
            else:
                self.sign_elsewhere(str(record.customer_id), left)
            self.wait(1)
        self.world.run(until=self.active, seconds=600)

    def sign_elsewhere(self, customer_id: str, documents: list[str]) -> None:
        """Sign documents in the dashboard."""
        for document in documents:
            self.call(f"/{customer_id}/signings", {"signed": True, "content_id": document}, f"{customer_id} {document}")

    def wait(self, seconds: float) -> None:
        """Let time pass while the pipeline works."""
        end_ms = self.world.shift_ms + seconds * 1000
        self.world.sandbox.provider.lifecycle.at(self.world.clock.now() + seconds, lambda _: None)
        self.world.run(until=lambda: self.world.shift_ms >= end_ms)

    def signing(self) -> list[Record]:
        """Give the records of those who are asked for documents that are known here."""
        records = [record for record in self.world.records() if record.phase == "signings_required"]
        return [record for record in records if any(not one.consented_ms for one in record.signings)]

    def active(self) -> bool:
        """Say whether everybody is active here."""
        return [record.phase.value for record in self.world.records()] == ["active"] * CUSTOMERS

    def late_s(self) -> list[float]:
        """Give for each record how long after the last signature at Iron it became active, in seconds."""
        records = self.world.records()
        signed = [max(one.created_at for one in self.by_id[str(record.customer_id)].signings) for record in records]
        since = [(record.since_ms - BEGINNING_MS) / 1000 for record in records]
        return [shown - (at - MANUAL_START) for shown, at in zip(since, signed, strict=True)]

    def books(self) -> list[tuple[str, int, int, int]]:
        """Give of each customer at Iron: the status, and how many identifications, signatures, documents signed."""
        return [
            (one.status, len(one.identifications), len(one.signings), len({each.content_id for each in one.signings}))
            for one in self.by_id.values()
        ]


@pytest.mark.parametrize("lost", ["never", "identify", "sign_first", "sign_all"])
def test_60_customers_made_in_the_dashboard(client: redis.Redis, lost: str) -> None:
    """Each is active here within 5 s of the last signature, with nothing twice at Iron; also after a lost ledger."""
    dashboard = Dashboard(client)
    dashboard.adopt()
    dashboard.join()
    for act in (dashboard.identify, dashboard.sign_first, dashboard.sign_all):
        if lost == act.__name__:
            dashboard.lose()
        act()
    late_s = dashboard.late_s()
    assert len(late_s) == CUSTOMERS
    assert max(late_s) <= SOON_S
    assert dashboard.books() == [("Active", 1, 2, 2)] * CUSTOMERS


def test_the_ledger_is_lost_when_all_are_active(client: redis.Redis) -> None:
    """All are active again as soon as they are adopted, and their jobs begin nothing."""
    dashboard = Dashboard(client)
    for act in (dashboard.adopt, dashboard.join, dashboard.identify, dashboard.sign_all, dashboard.lose):
        act()
    assert dashboard.active()
    dashboard.wait(600)
    assert dashboard.active()
    assert dashboard.books() == [("Active", 1, 2, 2)] * CUSTOMERS


def test_jobs_that_come_before_adopt_make_nobody_twice(client: redis.Redis) -> None:
    """A job named by Iron's id finds its customer, also where nobody has adopted it yet."""
    dashboard = Dashboard(client)
    for act in (dashboard.join, dashboard.identify, dashboard.sign_all):
        act()
    assert dashboard.books() == [("Active", 1, 2, 2)] * CUSTOMERS
