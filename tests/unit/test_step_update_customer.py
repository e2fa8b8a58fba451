"""The step that brings a correction to Iron."""

from __future__ import annotations

from typing import Any

import pytest

from ops.sandbox import Fault
from pipelines.errors import (
    AnswerLostError,
    InputLostError,
    IronError,
    RequestRefusedError,
)
from pipelines.lifecycle import Phase
from pipelines.model import Done
from pipelines.reading import MAX_UPDATES
from pipelines.view import read_view
from tests.stage import EMAIL, Stage


@pytest.mark.parametrize("status", [200, 204])
def test_a_correction_reaches_the_customer(status: Any) -> None:
    """E-mail and external id go out by PUT without a key, whatever Iron answers; a read follows at once and agrees."""
    stage = Stage(update_status=status)
    stage.identified()
    stage.correct()
    assert (stage.record.step, stage.delay_s) == ("update_customer", 0)
    record = stage.steps("update_customer")
    assert stage.requests[-1] == (
        "PUT",
        f"/api/customers/{record.customer_id}",
        None,
        b'{"email":"marker+right@example.com","external_id":"crm-1"}',
    )
    assert (record.update, record.updates, record.step, stage.delay_s) == (False, 1, "refresh", 0)
    record = stage.steps("refresh")
    assert (record.update, record.updates, record.step) == (False, 1, "refresh")
    assert stage.iron.customer(str(record.customer_id)).email == "marker+right@example.com"
    assert stage.effects["identifications"] == 1


def test_an_update_is_sent_until_it_is_through(stage: Stage) -> None:
    """A PUT that was lost is sent again, as long as the customer does not show it."""
    stage.identified()
    stage.correct()
    stage.sandbox.faults.add(Fault(method="PUT", when="before", lost="reset", times=2))
    assert isinstance(stage.step(), AnswerLostError)
    for _ in range(2):
        assert stage.record.update
        outcome = stage.come_again("update_customer")
    assert isinstance(outcome, Done)
    stage.steps("refresh")
    assert (stage.record.update, stage.record.updates, stage.record.problem) == (False, 1, None)
    assert stage.iron.customer(str(stage.record.customer_id)).email == "marker+right@example.com"


def test_an_update_that_took_is_not_sent_again(stage: Stage) -> None:
    """The answer to the PUT was lost, and the customer shows what it was to bring."""
    stage.identified()
    stage.correct()
    stage.sandbox.faults.add(Fault(method="PUT", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    record = stage.steps("refresh")
    assert (record.update, record.step, record.problem) == (False, "refresh", None)
    assert len([method for method, *_ in stage.requests if method == "PUT"]) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_update_is_left_to_an_operator(status: int, stage: Stage) -> None:
    """As often as updates are sent it is tried; then the problem stays, and the onboarding goes on without it."""
    stage.identified()
    stage.correct()
    stage.sandbox.faults.add(Fault(method="PUT", status=status, body=f"bad {EMAIL}"))
    assert isinstance(stage.step(), RequestRefusedError)
    assert read_view(stage.record, 1)["waiting_on"] == "customer"
    for _ in range(MAX_UPDATES - 1):
        assert isinstance(stage.come_again("update_customer"), RequestRefusedError)
    assert stage.record.updates == MAX_UPDATES
    for _ in range(3):
        record = stage.steps("refresh")
        assert (record.phase, record.step) == (Phase.IDENTIFICATION_PENDING, "refresh")
        assert read_view(record, 1)["waiting_on"] == "operator"
        assert record.problem is not None
        assert record.problem.text.startswith(f"Iron rejected the corrected e-mail or external ID (HTTP {status})")
    assert len([method for method, *_ in stage.requests if method == "PUT"]) == MAX_UPDATES
    stage.move("approve")
    stage.later(5)
    assert stage.steps("refresh").phase is Phase.SIGNINGS_REQUIRED
    assert "marker" not in repr(stage.record)
    assert stage.parts["iron_said"] == {"status": status, "text": f"bad {EMAIL}"}


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415])
def test_an_update_that_is_not_looked_at_counts_for_nothing(status: int, stage: Stage) -> None:
    """A refusal that is not about the details leaves the correction all its tries, and nothing is given up."""
    stage.identified()
    stage.correct()
    name = stage.sandbox.faults.add(Fault(method="PUT", status=status))
    assert isinstance(stage.step(), IronError)
    for _ in range(2 * MAX_UPDATES):
        assert isinstance(stage.come_again("update_customer"), IronError)
    assert stage.record.updates == 0
    stage.sandbox.faults.clear(name)
    assert isinstance(stage.come_again("update_customer"), Done)
    assert stage.steps("refresh").problem is None


@pytest.mark.parametrize("field", ["email", "external_id"])
def test_a_late_put_is_noticed(field: str, stage: Stage) -> None:
    """After a correction each read compares, and what an older PUT has brought back is updated, three times at most."""
    stage.identified()
    stage.correct()
    stage.steps("update_customer", "refresh")
    customer_id = str(stage.record.customer_id)
    right = {"email": "marker+right@example.com", "external_id": "crm-1"}
    wrong = right | {field: "marker+wrong@example.com" if field == "email" else "crm-old"}
    for number in range(2, MAX_UPDATES + 1):
        stage.iron.update_customer(customer_id, **wrong)
        assert (stage.steps("refresh").step, stage.delay_s) == ("update_customer", 0)
        assert stage.steps("update_customer").updates == number
        stage.steps("refresh")
    assert stage.iron.customer(customer_id).email == right["email"]
    stage.iron.update_customer(customer_id, **wrong)
    record = stage.steps("refresh")
    assert (record.update, record.updates, record.step) == (False, MAX_UPDATES, "refresh")
    stage.correct()
    stage.steps("update_customer", "refresh")
    assert stage.iron.customer(customer_id).external_id == "crm-1"


def test_only_a_corrected_customer_is_compared(stage: Stage) -> None:
    """Without a correction somebody else's e-mail is Iron's business: it is adopted, not overwritten."""
    stage.identified()
    stage.iron.update_customer(str(stage.record.customer_id), email="marker+other@example.com", external_id="crm-1")
    assert stage.steps("refresh").step == "refresh"


def test_an_email_in_other_letters_is_the_same(stage: Stage) -> None:
    """Iron may write an e-mail in small letters: that is no difference."""
    stage.identified()
    stage.correct(email="Marker+Right@Example.com")
    stage.steps("update_customer")
    small = "marker+right@example.com"
    stage.iron.update_customer(str(stage.record.customer_id), email=small, external_id="crm-1")
    assert not stage.steps("refresh").update


def test_a_read_does_without_the_input(stage: Stage) -> None:
    """When the input is gone there is nothing to compare with, and reading goes on."""
    stage.identified()
    stage.correct()
    stage.steps("update_customer")
    stage.parts = {}
    stage.iron.update_customer(str(stage.record.customer_id), email="marker+x@example.com", external_id="crm-1")
    assert not stage.steps("refresh").update


def test_an_update_without_the_input_calls_an_operator(stage: Stage) -> None:
    """A correction whose input no key of the ring opens is not dropped in silence."""
    stage.identified()
    stage.correct()
    stage.parts = {}
    stage.requests.clear()
    assert isinstance(stage.step(), InputLostError)
    assert (stage.record.update, stage.record.tried, stage.requests) == (True, "update_customer", [])
    for _ in range(3):
        assert read_view(stage.record, 1)["waiting_on"] == "operator"
        stage.steps("refresh")
        assert stage.record.update
        assert stage.delay_s
        assert isinstance(stage.step("update_customer"), InputLostError)
