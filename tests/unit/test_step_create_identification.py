"""The step that begins an identification: what is adopted, what follows what, rounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.sandbox import Fault
from pipelines.errors import (
    AnswerLostError,
    ConflictError,
)
from pipelines.lifecycle import Phase
from pipelines.model import Done, Effect
from tests.stage import EMAIL, SPACING_S, Stage


@pytest.mark.parametrize("pending", ["conflict", "supersede"])
def test_an_identification_of_somebody_else_is_adopted(pending: str) -> None:
    """One that began between our two steps is adopted, whether Iron refuses a second one or lets it supersede."""
    stage = Stage(pending_identification=pending)
    stage.steps("create_customer")
    stage.record = replace(stage.record, none_yet=False)
    theirs = stage.begin_elsewhere()
    record = stage.steps("create_identification")
    assert (record.identification_id, record.phase) == (theirs, Phase.IDENTIFICATION_PENDING)
    assert record.link is not None
    assert stage.effects["identifications"] == 1


def test_a_conflict_leads_to_what_is_there(stage: Stage) -> None:
    """Even where no look came first, Iron's 409 makes us read the customer, and what is newest is adopted."""
    stage.steps("create_customer")
    theirs = stage.begin_elsewhere()
    assert isinstance(stage.step(), ConflictError)
    assert (stage.record.step, stage.record.tried, stage.delay_s) == ("refresh", "create_identification", 0)
    record = stage.steps("refresh")
    assert (record.identification_id, record.step, record.problem) == (theirs, "refresh", None)
    assert stage.effects["identifications"] == 1


def test_a_conflict_that_shows_nothing_looks_before_the_next_call(stage: Stage) -> None:
    """The read after a 409 shows no identification: the step comes later, looks, and adopts what came meanwhile."""
    stage.steps("create_customer")
    stage.sandbox.faults.add(Fault(operation="create_identification", status=409, times=1))
    assert isinstance(stage.step(), ConflictError)
    stage.steps("refresh")
    assert stage.delay_s
    theirs = stage.begin_elsewhere()
    assert stage.steps("create_identification").identification_id == theirs
    assert stage.effects["identifications"] == 1


@pytest.mark.parametrize("adopted", [True, False])
def test_what_was_none_long_ago_may_be_there_now(adopted: bool) -> None:
    """That a customer has no identification is believed for the settle time at most, and never of one we adopted."""
    stage = Stage(pending_identification="supersede")
    if adopted:
        body = {"customer_type": "Person", "email": EMAIL, "external_id": "crm-1"}
        stage.sandbox.request("POST", "/api/customers", body, key="dashboard")
    assert stage.steps("create_customer").none_yet is not adopted
    stage.later(0 if adopted else 120)
    theirs = stage.begin_elsewhere()
    assert stage.steps("create_identification").identification_id == theirs
    assert stage.effects["identifications"] == 1


def test_a_replayed_answer_says_nothing_about_now() -> None:
    """The answer to a repeated creation may be an old one: that there was no identification is not believed."""
    stage = Stage(pending_identification="supersede")
    stage.sandbox.faults.add(Fault(operation="create_customer", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    customer = stage.iron.customer_by_external_id("crm-1")
    assert customer is not None
    stage.record = replace(stage.record, customer_id=customer.id)
    theirs = stage.begin_elsewhere()
    stage.record = replace(stage.record, customer_id=None)
    assert not stage.steps("create_customer").none_yet
    assert stage.steps("create_identification").identification_id == theirs
    assert stage.effects["identifications"] == 1


def test_a_claim_without_a_commit_makes_us_look() -> None:
    """A worker that may have called before it died leaves a doubt: the next one looks, though there was none before."""
    stage = Stage(pending_identification="supersede")
    stage.steps("create_customer")
    theirs = stage.begin_elsewhere()
    assert isinstance(stage.step(abandoned_ms=stage.now_ms() - 7_000), Done)
    assert stage.record.identification_id == theirs
    assert stage.effects["identifications"] == 1


def test_a_round_that_somebody_else_began_is_adopted() -> None:
    """After an expired link, one in flight that is not the one we followed is adopted; no other is begun beside it."""
    stage = Stage(pending_identification="supersede")
    record = stage.expired()
    assert (record.phase, record.step) == (Phase.EXPIRED, "create_identification")
    theirs = stage.begin_elsewhere()
    record = stage.steps("create_identification")
    assert (record.identification_id, record.round) == (theirs, 2)
    assert stage.effects["identifications"] == 2


def test_a_new_round_follows_the_one_that_expired(stage: Stage) -> None:
    """An expired link is followed by a new identification with a key and a link of its own."""
    first = stage.expired()
    second = stage.steps("create_identification")
    assert second.identification_id != first.identification_id
    assert second.link not in (None, first.link)
    assert (second.round, second.phase) == (2, Phase.IDENTIFICATION_PENDING)
    assert stage.effects["identifications"] == 2
    assert len({key for _, _, key, _ in stage.posts()}) == 3


def test_rounds_in_a_row_are_counted() -> None:
    """Each link that follows an expired one counts, until a person is asked; whatever else came begins at 1 again."""
    stage = Stage()
    stage.expired()
    assert stage.steps("create_identification").round == 2
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    assert stage.steps("create_identification").round == 1
    stage.move("approve")
    stage.later(5)
    stage.steps("refresh", "fetch_required_signings")
    stage.consent()
    stage.steps("submit_signings", "refresh")
    assert stage.record.phase is Phase.ACTIVE
    stage.begin_elsewhere()
    assert stage.steps("refresh").round == 1


def test_an_old_customers_rounds_are_not_held_against_a_new_one(stage: Stage) -> None:
    """A customer who was through after three links has all rounds again when identification is asked for anew."""
    stage.identified()
    stage.record = replace(stage.record, round=3)
    stage.move("approve")
    stage.later(5)
    stage.steps("refresh")
    stage.begin_elsewhere()
    stage.record = replace(stage.record, step="refresh")
    stage.steps("refresh", "handle_step_up")
    stage.move("expire")
    record = stage.steps("refresh")
    assert (record.phase, record.round) == (Phase.EXPIRED, 1)


def test_the_last_of_the_rounds_is_followed_by_none(stage: Stage) -> None:
    """As many links as allowed expire; then an operator is told, nothing is begun, and a restart begins at 1."""
    stage.expired()
    for number in (2, 3):
        assert stage.steps("create_identification").round == number
        stage.move("expire")
        stage.steps("refresh")
        if number == 2:
            stage.later(SPACING_S)
            stage.steps("refresh")
    assert stage.record.phase is Phase.ON_HOLD
    stage.later(10 * SPACING_S)
    stage.steps("refresh")
    assert stage.effects["identifications"] == 3
    stage.act("restart")
    assert stage.steps("create_identification").round == 1
    assert stage.effects["identifications"] == 4


@pytest.mark.parametrize("pause_s", [0, 1_800, SPACING_S - 1])
def test_waking_does_not_begin_a_round_early(pause_s: float, stage: Stage) -> None:
    """A webhook in the pause after an expired link runs a read, and no identification is begun before its time."""
    stage.identified()
    stage.move("expire")
    stage.steps("refresh")
    stage.later(pause_s)
    stage.steps("refresh", "refresh")
    assert (stage.record.phase, stage.record.step) == (Phase.EXPIRED, "refresh")
    assert stage.delay_s == SPACING_S - pause_s
    assert stage.effects["identifications"] == 1


@pytest.mark.parametrize("late", [False, True], ids=["in the pause", "after the last read"])
@pytest.mark.parametrize("status", ["stepup", "review", "approve"])
def test_what_is_in_flight_again_is_not_superseded(status: str, late: bool) -> None:
    """An expired identification that Iron takes up again is followed, whenever that happens before the new one."""
    stage = Stage(pending_identification="supersede", approval_delay_s=60)
    if late:
        stage.expired()
        assert stage.record.step == "create_identification"
        stage.move(status)
    else:
        stage.identified()
        stage.move("expire")
        stage.steps("refresh")
        stage.move(status)
        stage.later(30)
    assert isinstance(stage.step(), Done)
    assert stage.record.phase in (Phase.IDENTIFICATION_PENDING, Phase.IN_REVIEW)
    assert (stage.record.step, stage.record.round) == ("refresh", 1)
    assert stage.effects["identifications"] == 1


@pytest.mark.parametrize("move", ["decline", "decline-final", "archive-identification"])
def test_a_restart_follows_the_newest(move: str, stage: Stage) -> None:
    """What a person begins anew is one identification under a key that names the one before."""
    before = stage.identified()
    stage.move(move)
    stage.steps("refresh")
    stage.act("restart")
    record = stage.steps("create_identification")
    assert record.identification_id not in (None, before.identification_id)
    assert (record.restart, record.phase, record.may_retry) == (False, Phase.IDENTIFICATION_PENDING, True)
    effect = Effect("create_identification", (str(before.customer_id), str(before.identification_id)))
    assert stage.posts()[-1][2] == effect.key("default", None)
    assert stage.effects["identifications"] == 2


@pytest.mark.parametrize("status", ["Active", "SigningsRequired"])
def test_a_restart_is_over_when_iron_is_through(status: str, stage: Stage) -> None:
    """Iron admits the customer before the new identification began: none is begun, nor when the customer falls back."""
    stage.identified()
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    stage.move("status", status=status)
    stage.step("refresh")
    assert not stage.record.restart
    assert stage.record.step != "create_identification"
    assert stage.effects["identifications"] == 1
