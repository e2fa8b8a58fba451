"""The step that reads the customer: what is true then, and what is not taken for news."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.sandbox import Fault
from pipelines.errors import (
    NotFoundError,
)
from pipelines.lifecycle import Phase
from tests.stage import SPACING_S, Stage


@pytest.mark.parametrize(
    ("move", "phase"),
    [
        ("process", "in_review"), ("review", "in_review"), ("decline", "declined"), ("decline-final", "declined"),
        ("expire", "expired"), ("archive-identification", "on_hold"), ("suspend", "suspended"),
        ("archive", "archived"), ("userrequired", "on_hold"), ("newterms", "signings_required"),
    ],
)  # fmt: skip
def test_what_iron_says_is_what_is_true(move: str, phase: str, stage: Stage) -> None:
    """After a read the record has Iron's words and the table's phase."""
    stage.identified()
    stage.move(move)
    record = stage.steps("refresh")
    assert record.phase == phase
    assert record.may_retry == (move != "decline-final")


def reads(stage: Stage) -> list[str]:
    """What a read of the customer asks Iron for, by the last part of the path."""
    stage.requests.clear()
    stage.steps("refresh")
    return [path.split("?")[0].rsplit("/", 1)[-1] for _, path, _, _ in stage.requests]


def test_one_call_tells_how_the_review_goes() -> None:
    """While Iron reviews and when it has approved, the customer's own word is enough; the list is not asked for."""
    stage = Stage(approval_delay_s=60)
    customer = str(stage.identified().customer_id)
    assert reads(stage) == [customer, "identifications"], "a link may change, so it is read while it matters"
    for move, phase in (("process", Phase.IN_REVIEW), ("review", Phase.IN_REVIEW), ("approve", Phase.IN_REVIEW)):
        stage.move(move)
        assert reads(stage) == [customer], move
        assert stage.record.phase is phase
    assert stage.record.link is None


@pytest.mark.parametrize("move", ["decline", "expire", "archive-identification"])
def test_what_needs_more_than_a_word_is_read_from_the_list(move: str, stage: Stage) -> None:
    """A decline has reasons, an end a date: these are not in the customer's own word."""
    customer = str(stage.identified().customer_id)
    stage.move(move)
    assert reads(stage) == [customer, "identifications"]


@pytest.mark.parametrize("move", ["process", "review"])
def test_a_word_on_another_identification_is_not_taken_for_ours(move: str) -> None:
    """The customer has more identifications than we know of: the list tells which one the word is about."""
    stage = Stage(pending_identification="supersede")
    customer = str(stage.identified().customer_id)
    theirs = stage.begin_elsewhere()
    stage.move(move)
    assert reads(stage) == [customer, "identifications"]
    assert (stage.record.identification_id, stage.record.phase) == (theirs, Phase.IN_REVIEW)
    assert reads(stage) == [customer], "now it is the one we know"


@pytest.mark.parametrize(
    "odd", ["400", "403", "404", "409", "410", "422", "empty_list", "null", "empty_object", "missing_member"]
)
@pytest.mark.parametrize(("move", "phase"), [("decline", "declined"), ("expire", "expired"), ("process", "in_review")])
def test_an_odd_list_leaves_the_customers_own_word(odd: Any, move: str, phase: str) -> None:
    """Whatever Iron answers in place of the list, the customer says how the identification is, and that is followed."""
    stage = Stage()
    stage.identified()
    stage.sandbox.switches.odd_reads = {"list_identifications": odd}
    stage.move(move)
    record = stage.steps("refresh")
    assert (record.phase, record.problem) == (phase, None)
    assert stage.effects["identifications"] == 1


def test_a_customer_whose_members_are_missing_is_still_followed() -> None:
    """Iron's samples leave members out: the list is read instead, and who is active is shown with what led there."""
    stage = Stage(left_out=("identification_status", "identification_ids"))
    stage.to_sign()
    stage.consent()
    record = stage.steps("submit_signings", "refresh")
    assert (record.phase, record.identification_status) == (Phase.ACTIVE, "Approved")
    assert stage.effects == {"customers": 1, "identifications": 1, "signings": 2}


@pytest.mark.parametrize("known", [False, True], ids=["first date", "date known"])
@pytest.mark.parametrize("word", [None, "Pending", "Processed", "PendingReview"])
@pytest.mark.parametrize("listed", [[], ["Pending"], ["PendingReview"]], ids=str)
def test_an_active_customers_identification_is_not_under_way(
    listed: list[str], word: str | None, known: bool, stage: Stage
) -> None:
    """Whatever lags behind, the list or the customer's own word, a customer who is active was approved."""
    stage.identified()
    stage.record = replace(stage.record, identified_ms=stage.now_ms() if known else None)
    shown = {"id": stage.record.customer_id, "status": "Active", "identification_status": word}
    items = [{"id": stage.record.identification_id, "status": status, "url": "https://x"} for status in listed]
    answers: dict[str, Any] = {"/customers/*/identifications": {"items": items}, "/customers/*": shown}
    for path, body in answers.items():
        stage.sandbox.faults.add(Fault(method="GET", path=path, status=200, body=body))
    record = stage.steps("refresh")
    assert (record.phase, record.identification_status, record.link) == (Phase.ACTIVE, "Approved", None)


def test_unknown_words_lead_to_an_operator(stage: Stage) -> None:
    """A status that no release of ours knows is never guessed at, and reading goes on."""
    stage.identified()
    stage.move("identification-status", status="Pondering")
    record = stage.steps("refresh")
    assert (record.phase, record.step, record.identification_status) == (Phase.ON_HOLD, "refresh", "Pondering")
    assert record.problem is not None
    assert record.problem.code == "unknown_status"


def test_a_step_up_is_no_new_identification(stage: Stage) -> None:
    """What Iron asks for again has its link on the same identification, and none is created."""
    first = stage.to_sign()
    stage.move("stepup")
    stage.step("refresh")
    record = stage.record
    assert (record.phase, record.step) == (Phase.STEP_UP_REQUIRED, "handle_step_up")
    record = stage.steps("handle_step_up")
    assert (record.phase, record.step) == (Phase.STEP_UP_REQUIRED, "refresh")
    assert record.link is not None
    assert (record.identification_id, record.round) == (first.identification_id, 1)
    assert stage.effects["identifications"] == 1


def test_a_step_up_that_the_customer_is_through_with_is_in_review(stage: Stage) -> None:
    """When Iron reviews what it asked for again, the link is gone, and it is Iron's turn."""
    stage.to_sign()
    stage.move("stepup")
    stage.steps("refresh", "handle_step_up")
    stage.move("process")
    record = stage.steps("refresh")
    assert (record.phase, record.identification_status, record.link) == (Phase.IN_REVIEW, "Processed", None)


def test_a_list_that_lags_behind_changes_nothing() -> None:
    """A list that does not show the identification we know says nothing about it."""
    stage = Stage(record_lag_s=60)
    before = stage.identified()
    for _ in range(3):
        stage.later(10)
        record = stage.steps("refresh")
        assert (record.identification_id, record.link, record.phase) == (
            before.identification_id,
            before.link,
            Phase.IDENTIFICATION_PENDING,
        )
    stage.later(60)
    stage.move("process")
    assert stage.steps("refresh").phase is Phase.IN_REVIEW


def test_an_older_list_is_not_taken_for_news() -> None:
    """A list that shows the round before and not yet the one we know does not lead back."""
    stage = Stage(record_lag_s=60)
    stage.identified()
    stage.later(SPACING_S)
    stage.move("expire")
    stage.steps("refresh")
    second = stage.steps("create_identification")
    record = stage.steps("refresh")
    assert (record.identification_id, record.round, record.phase) == (
        second.identification_id,
        2,
        Phase.IDENTIFICATION_PENDING,
    )
    assert stage.effects["identifications"] == 2


def test_the_link_is_not_kept_when_it_is_over(stage: Stage) -> None:
    """Once the customer is through, the hosted link is no part of the record."""
    assert stage.identified().link
    stage.move("newterms")
    assert stage.steps("refresh").link is None


def test_an_unknown_customer_is_told(stage: Stage) -> None:
    """A customer that Iron does not know (any more) is an error to repeat, not a new customer."""
    stage.identified()
    stage.record = replace(stage.record, customer_id="0199aaaa-0000-7000-8000-000000000001")
    assert isinstance(stage.step("refresh"), NotFoundError)
    assert stage.record.step == "refresh"
