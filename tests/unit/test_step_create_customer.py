"""The step that creates the customer at Iron, or adopts the one who is there."""

from __future__ import annotations

import pytest

from ops.sandbox import Fault
from pipelines.errors import (
    IronError,
    RenewedError,
    ServerFaultError,
)
from pipelines.model import Effect
from tests.stage import DAY_S, EMAIL, Stage


def test_a_customer_who_exists_is_adopted(stage: Stage) -> None:
    """A customer with our external id, made by whomever, becomes ours; none is created beside."""
    body = {"customer_type": "Person", "email": EMAIL, "external_id": "crm-1"}
    known = stage.sandbox.request("POST", "/api/customers", body, key="dashboard").json()["id"]
    record = stage.steps("create_customer")
    assert (record.customer_id, record.step) == (known, "create_identification")
    assert stage.effects["customers"] == 1
    assert stage.posts() == []


def test_a_new_customer_needs_no_list(stage: Stage) -> None:
    """Iron says with the creation that there is no identification; the next step does not ask again."""
    assert stage.steps("create_customer").none_yet
    stage.steps("create_identification")
    assert [request[:2] for request in stage.requests] == [
        ("GET", "/api/customers/crm-1/external"),
        ("POST", "/api/customers"),
        ("POST", f"/api/customers/{stage.record.customer_id}/identifications/v2"),
    ]


def test_a_customers_body_is_the_jobs(stage: Stage) -> None:
    """What goes to Iron is the customer of the job with the external id, and nothing that is absent."""
    stage.steps("create_customer")
    assert stage.posts()[0][3] == (
        b'{"customer_type":"Person","email":"marker+manual@example.com","external_id":"crm-1"}'
    )


@pytest.mark.parametrize("pause_s", [1, 3_600, 2 * DAY_S])
def test_a_lost_creation_is_found_again(pause_s: float) -> None:
    """However long after a lost answer: one customer, by the key inside the retention and by the look after it."""
    stage = Stage(lookup_lag_s=60)
    stage.sandbox.faults.add(Fault(operation="create_customer", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), IronError)
    stage.later(pause_s)
    stage.steps("create_customer")
    assert stage.effects["customers"] == 1


def test_a_replayed_fault_is_outlived(stage: Stage) -> None:
    """A fault that Iron stores and replays costs a new generation, kept before its call; there is one customer."""
    stage.sandbox.faults.add(Fault(operation="create_customer", status=500, stored="injected", times=1))
    for _ in range(2):
        assert isinstance(stage.step(), ServerFaultError)
        stage.later(200)
    assert isinstance(stage.step(), RenewedError)
    assert (stage.record.effect or Effect("", ())).generation == 1
    assert (stage.record.step, stage.delay_s) == ("create_customer", 0)
    stage.steps("create_customer")
    assert stage.effects["customers"] == 1
    assert len({key for _, _, key, _ in stage.posts()}) == 2


def test_a_fault_that_hid_the_customer_is_seen_through(stage: Stage) -> None:
    """The customer was created, the fault is replayed: the look after the settle time finds it, no new key is made."""
    stage.sandbox.faults.add(Fault(operation="create_customer", status=500, when="after", stored="injected", times=1))
    assert isinstance(stage.step(), ServerFaultError)
    stage.later(200)
    stage.steps("create_customer")
    assert stage.effects["customers"] == 1
    assert len(stage.posts()) == 1
