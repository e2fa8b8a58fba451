"""The steps that read what Iron asks for, and why it declined."""

from __future__ import annotations

from typing import Any

import pytest

from ops.sandbox import Fault
from pipelines.advance import EXPLAINED_WITHIN
from pipelines.errors import (
    IronError,
    NothingDueError,
    RequestRefusedError,
    ServerFaultError,
)
from pipelines.lifecycle import Phase
from pipelines.model import STRIKES, Done
from pipelines.view import read_view
from tests.stage import EMAIL, Stage


def test_a_step_up_says_what_is_wanted(stage: Stage) -> None:
    """The codes of Iron's requirements are in the record, once read; the link stays, no identification is begun."""
    stage.to_sign()
    stage.consent()
    stage.steps("submit_signings", "refresh")
    stage.move("stepup")
    stage.steps("refresh")
    assert (stage.record.step, stage.delay_s, stage.record.reasons) == ("handle_step_up", 0, ())
    stage.requests.clear()
    record = stage.steps("handle_step_up")
    assert [request[:2] for request in stage.requests] == [("GET", f"/api/customers/{record.customer_id}/requirements")]
    assert record.reasons == ("identification_kyc",)
    assert (record.phase, record.step) == (Phase.STEP_UP_REQUIRED, "refresh")
    assert read_view(record, 1)["needs"][0]["link"] == record.link
    assert stage.steps("refresh").step == "refresh"
    assert stage.effects["identifications"] == 1


@pytest.mark.parametrize(("move", "may_retry"), [("decline", True), ("decline-final", False)])
def test_a_decline_says_why(move: str, may_retry: bool, stage: Stage) -> None:
    """Codes and whether to try again are read once, and a later read does not lose them."""
    stage.identified()
    stage.move(move)
    assert stage.steps("refresh").step == "explain_decline"
    record = stage.steps("explain_decline")
    assert record.reasons == ("kyc_identity",)
    assert (record.may_retry, record.phase, record.step) == (may_retry, Phase.DECLINED, "refresh")
    again = stage.steps("refresh")
    assert (again.reasons, again.may_retry, again.step) == (record.reasons, may_retry, "refresh")
    assert read_view(again, 1)["waiting_on"] == ("customer" if may_retry else "operator")


def test_what_the_requirements_call_final_stays_final(stage: Stage) -> None:
    """A list of identifications that says less than the requirements does not open the way again."""
    stage.identified()
    stage.move("decline")
    stage.steps("refresh")
    customer = stage.sandbox.provider.store.customers[str(stage.record.customer_id)]
    assert customer.newest is not None
    customer.newest.retry = False
    assert stage.steps("explain_decline").may_retry is False
    customer.newest.retry = True
    assert stage.steps("refresh").may_retry is False


def to_an_explanation(stage: Stage, name: str) -> None:
    """Bring a record to the step that reads why."""
    if name == "handle_step_up":
        stage.to_sign()
        stage.move("stepup")
        stage.step("refresh")
    else:
        stage.identified()
        stage.move("decline")
        stage.steps("refresh")


@pytest.mark.parametrize("name", ["handle_step_up", "explain_decline"])
def test_an_explanation_that_fails_is_repeated(name: str, stage: Stage) -> None:
    """The phase is told already; why is read again after a pause."""
    to_an_explanation(stage, name)
    stage.sandbox.faults.add(Fault(path="/customers/*/requirements", status=503, times=1))
    assert isinstance(stage.step(), ServerFaultError)
    assert isinstance(stage.come_again(name), Done)
    assert stage.record.reasons
    assert (stage.record.reasons_read, stage.record.step) == (True, "refresh")


NO_EXPLANATION: list[dict[str, Any]] = [
    *({"status": 404}, {"status": 409}, {"status": 200, "body": [5]}),
    *({"status": 200, "body": {}}, {"status": 200, "body": {"missing": [], "issues": None}}),
]


@pytest.mark.parametrize("answer", NO_EXPLANATION, ids=str)
def test_an_explanation_that_never_comes_is_given_up(answer: dict[str, Any], stage: Stage) -> None:
    """The customer is followed without reasons, and what Iron decides next is heard of."""
    stage.identified()
    stage.move("decline")
    stage.steps("refresh")
    stage.sandbox.faults.add(Fault(path="/customers/*/requirements", **answer))
    for _ in range(EXPLAINED_WITHIN):
        assert isinstance(stage.step(), IronError | NothingDueError)
        stage.steps("refresh")
    record = stage.record
    assert (record.phase, record.step, record.reasons, record.problem) == (Phase.DECLINED, "refresh", (), None)
    assert read_view(record, 1)["waiting_on"] == "customer"
    stage.move("approve")
    stage.later(5)
    assert stage.steps("refresh").phase is Phase.SIGNINGS_REQUIRED


@pytest.mark.parametrize("name", ["handle_step_up", "explain_decline"])
def test_an_explanation_that_says_nothing_is_repeated(name: str, stage: Stage) -> None:
    """An answer that lists nothing explains nothing: why is read again, and then known."""
    to_an_explanation(stage, name)
    stage.sandbox.faults.add(Fault(path="/customers/*/requirements", odd="empty_object", times=1))
    assert isinstance(stage.step(), NothingDueError)
    assert isinstance(stage.come_again(name), Done)
    assert stage.record.reasons


@pytest.mark.parametrize("name", ["handle_step_up", "explain_decline"])
def test_what_iron_wants_is_kept_sealed(name: str, stage: Stage) -> None:
    """Codes and labels are in the record; descriptions and reasons may be personal, and are a part of the input."""
    to_an_explanation(stage, name)
    one = {"code": "kyc_selfie", "description": "marker: a beard", "reject_labels": ["BAD_FACE"], "retryable": True}
    body: Any = {"missing": [one | {"missing_questions": [{"title": "marker: why?"}]}], "issues": []}
    stage.sandbox.faults.add(Fault(path="/customers/*/requirements", status=200, body=body))
    record = stage.steps(name)
    assert (record.reasons, record.reject_labels) == (("kyc_selfie",), ("BAD_FACE",))
    assert "marker" not in repr(record)
    told = {"code": "kyc_selfie", "labels": ["BAD_FACE"], "retryable": True, "description": "marker: a beard"}
    assert stage.parts["requirements"] == {"open": [told | {"questions": ["marker: why?"]}]}
    again = stage.steps("refresh")
    assert (again.reject_labels, again.step) == (("BAD_FACE",), "refresh")


def test_reasons_go_with_their_identification(stage: Stage) -> None:
    """What was wrong with the one before is not held against the new one, nor shown of one who is through."""
    stage.identified()
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    assert stage.steps("create_identification").reasons == ()
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    assert stage.record.reasons
    stage.move("approve")
    stage.later(5)
    assert stage.steps("refresh").reasons == ()


def test_irons_code_of_a_refusal_stands_in_the_open(stage: Stage) -> None:
    """Everybody reads which code Iron refused a job with, from the first refusal until it is corrected."""
    stage.sandbox.faults.add(Fault(name="no", operation="create_customer", status=400, body="country_not_supported"))
    for _ in range(STRIKES):
        assert isinstance(stage.step(), RequestRefusedError)
        assert read_view(stage.record, 1)["reasons"] == ["country_not_supported"]
    assert stage.record.phase is Phase.FAILED
    assert read_view(stage.record, 1)["needs"][0]["reasons"] == ["country_not_supported"]
    stage.sandbox.faults.clear("no")
    stage.correct(email="ada+manual@example.com")
    assert read_view(stage.identified(), 1)["reasons"] == []


def test_another_trouble_has_not_the_code_of_the_one_before(stage: Stage) -> None:
    """The code goes with the answer that gave it."""
    for body, reasons in (("country_not_supported", ["country_not_supported"]), (f"bad {EMAIL}", [])):
        stage.sandbox.faults.add(Fault(name=body, operation="create_customer", status=400, body=body, times=1))
        assert isinstance(stage.step(), RequestRefusedError)
        assert read_view(stage.record, 1)["reasons"] == reasons
        assert EMAIL not in repr(stage.record)


def test_words_go_with_their_identification(stage: Stage) -> None:
    """When another identification follows, what Iron said of the one before is kept no more, also where we learn late.

    The second is declined without a word: the first one's must not be taken for it.
    """
    stage.identified()
    stage.move("decline", comment="marker: blurred")
    stage.steps("refresh", "explain_decline")
    assert {"requirements", "review_comment", "step_comments"} <= set(stage.parts)
    stage.act("restart")
    stage.steps("create_identification")
    assert set(stage.parts) == {"customer"}
    stage.move("decline", comment="marker: too dark")
    stage.steps("refresh", "explain_decline")
    stage.sandbox.switches.review_comments = False
    stage.iron.create_identification(str(stage.record.customer_id), {"type": "Link"}, "somebody else's")
    stage.move("decline")
    stage.steps("refresh")
    assert set(stage.parts) == {"customer"}


def test_a_reviewers_comment_is_kept_sealed(stage: Stage) -> None:
    """What Iron's reviewer wrote may be personal: it is a part of the input, never of the record, and kept once."""
    stage.identified()
    stage.move("decline", comment="marker: the passport of Ada is blurred")
    outcome = stage.step()
    assert isinstance(outcome, Done)
    said = "marker: the passport of Ada is blurred"
    assert outcome.keep == {"review_comment": said, "step_comments": {"identity": said}}
    assert "blurred" not in repr(stage.record)
    assert "blurred" not in repr(outcome.changes)
    stage.steps("explain_decline")
    again = stage.step()
    assert isinstance(again, Done)
    assert again.keep == {}
    assert (stage.parts["review_comment"], stage.parts["step_comments"]) == (said, {"identity": said})
