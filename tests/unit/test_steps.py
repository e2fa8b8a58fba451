"""What holds for every step: its budget of calls, repetitions, refusals, corrections. The sandbox is in process."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from ops.sandbox import Fault
from pipelines.advance import REFUSED_PAUSE_S, TOLD
from pipelines.errors import (
    AnswerLostError,
    IronError,
    OnboardingError,
    RequestRefusedError,
)
from pipelines.lifecycle import Phase
from pipelines.model import Done
from pipelines.onboarding import MOST_CALLS, STEPS
from pipelines.view import read_view
from tests.stage import DAY_S, EMAIL, Stage


def test_the_whole_story(stage: Stage) -> None:
    """The steps follow each other from the job to active, with one effect of each kind and one signing a document."""
    record = stage.to_sign()
    assert [signing.display_name for signing in record.signings] == ["Terms and Conditions", "Privacy Policy"]
    stage.consent()
    record = stage.steps("submit_signings", "refresh")
    assert record.phase is Phase.ACTIVE
    assert stage.effects == {"customers": 1, "identifications": 1, "signings": 2}
    assert (record.round, record.effect, record.problem) == (1, None, None)


def test_no_step_makes_more_calls_than_its_budget(stage: Stage) -> None:
    """Along the whole story no step calls Iron more often than the budget counts for it, but for further signatures."""
    stage.identified()
    stage.correct()
    stage.steps("update_customer", "refresh")
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    stage.steps("create_identification")
    stage.move("approve")
    stage.later(5)
    stage.steps("refresh", "fetch_required_signings")
    stage.consent()
    stage.steps("submit_signings", "refresh")
    stage.move("stepup")
    stage.steps("refresh", "handle_step_up")
    stage.move("approve")
    stage.later(5)
    stage.steps("refresh")
    stage.act("reidentify", run="r-1")
    stage.steps("reidentify", "create_identification")
    stage.act("archive")
    stage.steps("archive_at_iron")
    assert set(stage.most) == set(STEPS)
    assert stage.most.pop("submit_signings") == 1 + len(stage.record.signings)
    assert max(stage.most.values()) == MOST_CALLS


@pytest.mark.parametrize("status", [409, 500, 429, 403])
@pytest.mark.parametrize("operation", ["create_customer", "create_identification", "create_signing"])
def test_no_answer_costs_more_calls_than_the_budget(operation: str, status: int, stage: Stage) -> None:
    """Whatever Iron answers, and however often, one run of a step looks once and calls once."""
    stage.sandbox.faults.add(Fault(operation=operation, status=status))
    if operation == "create_signing":
        stage.to_sign()
        stage.consent()
    elif operation == "create_identification":
        stage.steps("create_customer")
        stage.record = replace(stage.record, none_yet=False)
    for pause_s in (0, 1, 200, 200, 1, DAY_S):
        stage.later(pause_s)
        assert isinstance(stage.step(), OnboardingError)
        if stage.record.step == "refresh":
            stage.steps("refresh")
    assert max(stage.most.values()) <= MOST_CALLS


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"create_customer"}))
def test_no_step_but_the_first_runs_without_a_customer(name: str, stage: Stage) -> None:
    """A step that needs the customer says so, and calls nothing."""
    with pytest.raises(ValueError, match=f"{name} needs a customer"):
        STEPS[name].run(replace(stage.record, step=name), stage.iron, stage.attempt())
    assert stage.requests == []


LOST: list[dict[str, Any]] = [{"lost": "reset"}, {"lost": "timeout"}, {"status": 503}]


#: What is lost, before and after the effect. What had its effect for a customer who exists is not sent again: the read
#: shows it.
LOSSES = [
    *product(("create_customer",), ("before", "after"), (*LOST, {"malformed": True})),
    *product(("create_identification", "create_signing"), ("before",), LOST),
]


@pytest.mark.parametrize(("operation", "when", "lost"), LOSSES, ids=str)
def test_a_repetition_sends_the_same_bytes(operation: str, when: Any, lost: dict[str, Any], stage: Stage) -> None:
    """After an answer that was lost or spoilt the same key and bytes go out until it comes, for one effect."""
    stage.sandbox.faults.add(Fault(operation=operation, when=when, times=2, **lost))
    if operation == "create_signing":
        stage = only_terms(stage)
        stage.sandbox.faults.add(Fault(operation=operation, when=when, times=2, **lost))
        stage.to_sign()
        stage.consent()
    elif operation == "create_identification":
        stage.steps("create_customer")
    stage.requests.clear()
    name = stage.record.step
    outcomes = [stage.step(), stage.come_again(name), stage.come_again(name)]
    assert [isinstance(outcome, IronError) for outcome in outcomes] == [True, True, False]
    assert len(stage.posts()) == 3
    assert len(set(stage.posts())) == 1
    (effect,) = stage.sandbox.effects.where(operation=operation)
    assert effect.idempotency_key == stage.posts()[0][2]


def only_terms(stage: Stage) -> Stage:
    """The same Iron, where there is one document to sign."""
    switches = stage.sandbox.switches.model_dump(exclude_unset=True)
    return Stage(**switches | {"documents": ("Terms",)})


@pytest.mark.parametrize("lost", [*LOST, {"malformed": True}], ids=str)
@pytest.mark.parametrize("operation", ["create_identification", "create_signing"])
def test_what_had_its_effect_is_seen_and_not_sent_again(operation: str, lost: dict[str, Any], stage: Stage) -> None:
    """The answer was lost, the effect was not: the read that comes before the step shows it, and no call follows."""
    stage.sandbox.faults.add(Fault(operation=operation, when="after", times=1, **lost))
    if operation == "create_signing":
        stage = Stage(documents=("Terms",))
        stage.sandbox.faults.add(Fault(operation=operation, when="after", times=1, **lost))
        stage.to_sign()
        stage.consent()
    else:
        stage.steps("create_customer")
    stage.requests.clear()
    assert isinstance(stage.step(), IronError)
    record = stage.steps("refresh")
    expected = Phase.ACTIVE if operation == "create_signing" else Phase.IDENTIFICATION_PENDING
    assert (record.phase, record.step, record.effect, record.problem) == (expected, "refresh", None, None)
    assert record.link is not None or operation == "create_signing"
    assert len(stage.posts()) == 1
    assert len(stage.sandbox.effects.where(operation=operation)) == 1


@pytest.mark.parametrize("lag_s", [30, 300])
def test_what_had_its_effect_and_does_not_show_yet_is_not_made_twice(lag_s: float) -> None:
    """Iron's list lags behind a lost creation: whatever is read meanwhile, one identification is there in the end."""
    stage = Stage(record_lag_s=lag_s)
    stage.steps("create_customer")
    stage.sandbox.faults.add(Fault(operation="create_identification", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    for _ in range(20):
        stage.later(20)
        assert isinstance(stage.step(), Done)
    assert (stage.record.phase, stage.record.step) == (Phase.IDENTIFICATION_PENDING, "refresh")
    assert stage.record.link is not None
    assert stage.effects["identifications"] == 1


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("operation", ["create_customer", "create_identification"])
def test_two_refusals_end_the_onboarding(operation: str, status: int, stage: Stage) -> None:
    """What Iron refuses is sent once more after a read, and then not again; the reason repeats no input."""
    stage.sandbox.faults.add(Fault(operation=operation, status=status, body=f"bad {EMAIL}"))
    if operation == "create_identification":
        stage.steps("create_customer")
    stage.requests.clear()
    error = stage.step()
    assert isinstance(error, RequestRefusedError)
    assert error.of_effect
    assert stage.record.phase is not Phase.FAILED
    assert isinstance(stage.come_again(operation), RequestRefusedError)
    assert len(stage.posts()) == 2
    assert len(set(stage.posts())) == 1
    problem = stage.record.problem
    assert problem is not None
    assert (problem.code, problem.operator, problem.retryable) == ("request_refused", True, False)
    assert problem.text == f"Iron rejected {STEPS[operation].carries} (HTTP {status}). Correct the details to go on."
    assert "marker" not in repr(stage.record)
    assert stage.kept == [{"iron_said": {"status": status, "text": f"bad {EMAIL}"}}]
    watch = "create_customer" if operation == "create_customer" else "refresh"
    assert (stage.record.phase, stage.record.step, stage.delay_s) == (Phase.FAILED, watch, None)
    assert stage.record.effect is not None
    assert not stage.record.effect.in_doubt


def test_a_code_of_irons_stands_in_the_reason(stage: Stage) -> None:
    """A code says what is wrong and nothing about a person: whoever corrects the job sees it."""
    stage.sandbox.faults.add(Fault(operation="create_customer", status=400, body="country_not_supported"))
    stage.refused()
    assert stage.record.problem is not None
    assert "(HTTP 400, country_not_supported)" in stage.record.problem.text


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("operation", ["create_customer", "create_identification"])
def test_one_refusal_is_outlived(operation: str, status: int, stage: Stage) -> None:
    """A refusal that does not come again is no answer: seconds later the onboarding goes on, and nothing is wrong."""
    if operation == "create_identification":
        stage.steps("create_customer")
    stage.sandbox.faults.add(Fault(operation=operation, status=status, stored="nothing", times=1))
    assert isinstance(stage.step(), RequestRefusedError)
    if stage.record.step == "refresh":
        assert stage.delay_s == 0
        stage.steps("refresh")
    assert stage.delay_s is not None
    assert 0 < stage.delay_s <= REFUSED_PAUSE_S
    record = stage.steps(operation)
    assert (record.problem, record.attempts, record.effect) == (None, 0, None)
    assert len(set(stage.posts()[-2:])) == 1


#: Refusals of whoever calls: their status, and what they answer.
CALLERS = [
    *product((401, 403, 405, 406, 415), ("create_customer", "create_identification", "create_signing")),
    *product((400, 401, 403, 422), ("get_customer", "get_customer_by_external_id", "list_identifications")),
    (404, "create_customer"),
]


@pytest.mark.parametrize(("status", "operation"), CALLERS)
def test_a_refusal_of_the_caller_fails_nobody(status: int, operation: str, stage: Stage) -> None:
    """Whatever is refused for what all calls share: no job fails, none counts an attempt, and it goes on afterwards."""
    calls: dict[str, dict[str, Any]] = {
        "get_customer": {"method": "GET", "path": "/customers/*"},
        "get_customer_by_external_id": {"method": "GET", "path": "/customers/*/external"},
        "list_identifications": {"method": "GET", "path": "/customers/*/identifications"},
    }
    if operation == "create_signing":
        stage.to_sign()
        stage.consent()
    elif operation == "get_customer":
        stage.identified()
    elif operation in ("create_identification", "list_identifications"):
        stage.steps("create_customer")
        stage.record = replace(stage.record, none_yet=False)
    name = stage.sandbox.faults.add(Fault(status=status, **calls.get(operation, {"operation": operation})))
    refused = 0
    for _ in range(4 * TOLD):
        refused += isinstance(stage.step(), IronError)
        assert stage.record.phase is not Phase.FAILED
        assert stage.record.attempts == 0
    assert refused >= 2 * TOLD
    assert read_view(stage.record, 1)["waiting_on"] == "operator"
    stage.sandbox.faults.clear(name)
    for _ in range(2):
        assert isinstance(stage.step(), Done)
    assert (stage.record.problem, stage.record.tried) == (None, "")


@pytest.mark.parametrize("status", [404, 409, 410])
@pytest.mark.parametrize("operation", ["create_identification", "create_signing"])
def test_no_answer_to_an_effect_is_a_dead_end(operation: str, status: int, stage: Stage) -> None:
    """Whatever Iron says, the customer is read before the step comes again, and what the read shows is followed."""
    if operation == "create_signing":
        stage.to_sign()
        stage.consent()
    else:
        stage.steps("create_customer")
    name = stage.record.step
    stage.sandbox.faults.add(Fault(operation=operation, status=status))
    for _ in range(3):
        assert isinstance(stage.step(), IronError)
        assert (stage.record.step, stage.record.tried, stage.delay_s) == ("refresh", name, 0)
        stage.steps("refresh")
        assert (stage.record.step, stage.record.tried) == (name, name)
        assert stage.delay_s
    assert isinstance(stage.step(), IronError)
    stage.move("suspend")
    record = stage.steps("refresh")
    assert (record.phase, record.step, record.tried, record.problem) == (Phase.SUSPENDED, "refresh", "", None)


@pytest.mark.parametrize("operation", ["create_customer", "create_identification"])
def test_what_was_refused_is_sent_again_after_a_correction(operation: str) -> None:
    """Iron replays its refusal under the old key for a day: the correction goes out under another, for one effect."""
    stage = Stage(stored_errors="4xx")
    stage.sandbox.faults.add(Fault(operation=operation, status=422, stored="injected", times=1))
    if operation == "create_identification":
        stage.steps("create_customer")
    stage.refused()
    stage.act("retry")
    stage.steps(operation)
    assert stage.effects["customers"] == 1
    keys = [key for _, path, key, _ in stage.posts() if path.endswith("v2") == (operation == "create_identification")]
    assert keys[0] == keys[1] != keys[2]
    assert len(keys) == 3


def test_a_corrected_body_goes_out_under_the_next_key(stage: Stage) -> None:
    """The corrected customer is created, once, and the body is the corrected one."""
    stage.sandbox.faults.add(Fault(operation="create_customer", status=422, times=2))
    stage.refused()
    stage.correct()
    stage.steps("create_customer")
    (_, _, old, refused), _, (_, _, new, sent) = stage.posts()
    assert (old == new, b"manual" in refused, b"right" in sent) == (False, True, True)
    assert stage.effects["customers"] == 1


def test_a_correction_after_one_refusal_goes_out_under_the_next_key() -> None:
    """Iron remembers the refused bytes under their key: what is corrected before the second try has its own."""
    stage = Stage(stored_errors="4xx")
    stage.sandbox.faults.add(Fault(operation="create_customer", status=422, stored="injected", times=1))
    assert isinstance(stage.step(), RequestRefusedError)
    stage.correct()
    stage.steps("create_customer")
    (_, _, old, refused), (_, _, new, sent) = stage.posts()
    assert (old == new, b"manual" in refused, b"right" in sent) == (False, True, True)
    assert stage.effects["customers"] == 1
