"""The step that archives at Iron, for good: once, as a person decided, and never by itself."""

from __future__ import annotations

import pytest

from ops.sandbox import Fault
from pipelines.errors import ArchiveRefusedError, IronError
from pipelines.lifecycle import Phase
from pipelines.model import Done
from pipelines.onboarding import ARCHIVE_ATTEMPTS
from tests.stage import Stage


def waiting(stage: Stage, act: str) -> Stage:
    """A customer with a link whom somebody wants archived."""
    stage.steps("create_customer", "create_identification")
    stage.act(act, reason="a mistaken double")
    assert stage.record.step == "archive_at_iron"
    return stage


def archived(stage: Stage) -> list[str]:
    """The requests that archived something."""
    return [path for method, path, *_ in stage.requests if method == "PUT" and path.endswith("/archive")]


def test_a_customer_is_archived_once(stage: Stage) -> None:
    """One call, and the record is archived at once; then nothing is due any more."""
    waiting(stage, "archive").steps("archive_at_iron")
    assert stage.record.phase is Phase.ARCHIVED
    assert (stage.record.archive, stage.delay_s) == ("", None)
    assert archived(stage) == [f"/api/customers/{stage.record.customer_id}/archive"]


def test_an_identification_is_archived_alone(stage: Stage) -> None:
    """The customer stays as Iron says; the archived identification is shown, and somebody has to look."""
    waiting(stage, "archive_identification").steps("archive_at_iron", "refresh")
    assert stage.record.identification_status == "Archived"
    assert stage.record.phase is Phase.ON_HOLD
    assert archived(stage) == [f"/api/identifications/{stage.record.identification_id}/archive"]


def test_a_cancelled_customer_can_be_archived(stage: Stage) -> None:
    """It stays cancelled here, and the call is made all the same."""
    stage.steps("create_customer", "create_identification")
    stage.act("cancel", reason="a mistaken double")
    stage.act("archive", reason="a mistaken double")
    stage.steps("archive_at_iron")
    assert (stage.record.phase, stage.record.step, stage.delay_s) == (Phase.CANCELLED, "refresh", None)
    assert len(archived(stage)) == 1


@pytest.mark.parametrize("lost", ["reset", "timeout"])
def test_a_lost_answer_is_looked_into(lost: str, stage: Stage) -> None:
    """Iron did it and the answer was lost: the customer is read, and nothing is sent again."""
    waiting(stage, "archive")
    stage.sandbox.faults.add(Fault(operation="archive_customer", lost=lost, when="after", times=1))
    assert isinstance(stage.step(), IronError)
    assert stage.record.step == "refresh"
    stage.sandbox.faults.clear()
    stage.steps("refresh")
    assert stage.record.phase is Phase.ARCHIVED
    assert stage.record.archive == ""
    assert len(archived(stage)) == 1


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_is_given_up_and_told(status: int, stage: Stage) -> None:
    """After some attempts an operator hears of it, the customer goes on, and it can be asked for again."""
    waiting(stage, "archive")
    stage.sandbox.faults.add(Fault(operation="archive_customer", status=status))
    for number in range(ARCHIVE_ATTEMPTS):
        assert isinstance(stage.step(), ArchiveRefusedError if number == ARCHIVE_ATTEMPTS - 1 else IronError)
        stage.steps("refresh")
    problem = stage.record.problem
    assert problem is not None
    assert (problem.code, problem.operator, stage.record.waiting_on()) == ("archive_refused", True, "operator")
    assert (stage.record.archive, stage.record.step) == ("", "refresh")
    assert isinstance(stage.step(), Done)
    assert stage.record.problem == problem
    assert len(archived(stage)) == ARCHIVE_ATTEMPTS
    stage.sandbox.faults.clear()
    stage.act("archive", reason="once more")
    stage.steps("archive_at_iron")
    assert (stage.record.phase, stage.record.problem) == (Phase.ARCHIVED, None)


def test_trouble_of_iron_is_outlived(stage: Stage) -> None:
    """A fault of Iron's is no refusal: it is done later, and no attempt is counted."""
    waiting(stage, "archive")
    stage.sandbox.faults.add(Fault(operation="archive_customer", status=503))
    for _ in range(ARCHIVE_ATTEMPTS + 1):
        assert isinstance(stage.step("archive_at_iron"), IronError)
        stage.steps("refresh")
    assert stage.record.archive == "customer"
    stage.sandbox.faults.clear()
    stage.step("archive_at_iron")
    assert stage.record.phase is Phase.ARCHIVED
