"""An identification with data of its own: sent once as given, kept until the answer is definite."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from ops.sandbox import Fault
from pipelines.errors import (
    AnswerLostError,
    AnswerUnreadableError,
    RequestRefusedError,
)
from pipelines.job import JobRules, parse_job
from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.model import Done, Refused
from pipelines.view import read_view
from tests.given_details import BUSINESS, PERSON, TOKEN
from tests.stage import EMAIL, Stage

GIVEN = {"Token": TOKEN, "Person": PERSON, "Business": BUSINESS}


def test_a_status_that_is_new_is_no_beginning(stage: Stage) -> None:
    """The identification before, shown with a status that nobody knows, is not the one that a restart asked for."""
    stage.identified()
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    stage.sandbox.faults.add(Fault(operation="list_identifications", odd="unknown_status", times=1))
    assert isinstance(stage.step("create_identification"), AnswerUnreadableError)
    stage.steps("refresh")
    assert (stage.record.phase, stage.record.restart) == (Phase.DECLINED, True)
    stage.steps("create_identification")
    assert stage.effects["identifications"] == 2


def job_with(identification: dict[str, Any]) -> dict[str, Any]:
    """The job with data of its own for the identification."""
    kind = "Business" if identification["type"] == "Business" else "Person"
    customer = {"customer_type": kind, "email": EMAIL}
    job = {"idempotency_key": "k-1", "external_id": "crm-1", "customer": customer, "identification": identification}
    return parse_job(job).canonical()


@pytest.mark.parametrize("kind", GIVEN)
def test_given_data_go_out_as_they_were_given_once(kind: str) -> None:
    """The first identification has the job's own body; then the part is dropped, and each later round is a link."""
    job = job_with(GIVEN[kind])
    stage = Stage(job)
    stage.steps("create_customer")
    outcome = stage.step()
    assert isinstance(outcome, Done)
    assert outcome.keep == {"identification": None}
    assert stage.posts()[-1][3] == canonical_json(job["identification"])
    assert set(stage.parts) == {"customer"}
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    outcome = stage.step()
    assert isinstance(outcome, Done)
    assert "identification" not in outcome.keep
    assert set(stage.parts) == {"customer"}
    assert json.loads(stage.posts()[-1][3])["type"] == "Link"
    assert stage.effects["identifications"] == 2


class Newer(httpx.BaseTransport):
    """An Iron that knows a field of which this release has not heard: the sandbox gets the rest."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on without that field."""
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        known = {name: value for name, value in json.loads(request.content or b"{}").items() if name != "language"}
        content = canonical_json(known) if request.content else b""
        return self.inner.handle_request(httpx.Request(request.method, request.url, headers=headers, content=content))


def newer(identification: dict[str, Any]) -> Stage:
    """A job whose identification has that field, at such an Iron, with its customer."""
    customer = {"customer_type": "Person", "email": EMAIL}
    job = {"idempotency_key": "k-1", "external_id": "crm-1", "customer": customer, "identification": identification}
    stage = Stage(parse_job(job, JobRules(unknown_fields="pass")).canonical())
    stage.inner = Newer(stage.inner)
    stage.steps("create_customer")
    return stage


@pytest.mark.parametrize("body", [{"type": "Link", "with_edd": True}, TOKEN, PERSON])
def test_unknown_fields_go_out_as_they_were_given_once(body: dict[str, Any]) -> None:
    """A body with fields that we do not know goes out whole, the same after a lost answer; later rounds are links."""
    wanted = body | {"language": {"written": None, "spoken": ["de"]}}
    stage = newer(wanted)
    assert set(stage.parts) == {"customer", "identification"}
    stage.sandbox.faults.add(Fault(operation="create_identification", when="before", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    assert isinstance(stage.come_again("create_identification"), Done)
    assert [json.loads(post[3]) for post in stage.posts()[-2:]] == [wanted, wanted]
    assert len(set(stage.posts()[-2:])) == 1
    assert set(stage.parts) == {"customer"}
    stage.move("decline")
    stage.steps("refresh", "explain_decline")
    stage.act("restart")
    stage.step()
    assert json.loads(stage.posts()[-1][3]) == {"type": "Link", "with_edd": body.get("with_edd", False)}
    assert stage.effects["identifications"] == 2


def test_a_part_of_another_kind_is_no_links(stage: Stage) -> None:
    """What an earlier release left of data for a job that is by link now does not go out."""
    stage.parts["identification"] = PERSON
    stage.identified()
    assert json.loads(stage.posts()[-1][3]) == {"type": "Link", "with_edd": False}
    assert stage.kept == [{"identification": None}]


def test_a_link_keeps_and_drops_nothing(stage: Stage) -> None:
    """A first identification by link has no part of its own."""
    stage.identified()
    assert stage.kept == []
    assert json.loads(stage.posts()[-1][3]) == {"type": "Link", "with_edd": False}


@pytest.mark.parametrize("when", ["before", "after"])
def test_given_data_are_kept_until_the_answer_is_definite(when: Any) -> None:
    """After a lost answer the part stays until the step or a read knows that Iron has the data; then it goes."""
    stage = Stage(job_with(PERSON))
    stage.steps("create_customer")
    stage.sandbox.faults.add(Fault(operation="create_identification", when=when, lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    assert set(stage.parts) == {"customer", "identification"}
    stage.steps("refresh")
    if when == "before":
        assert set(stage.parts) == {"customer", "identification"}
        stage.steps("create_identification")
        assert len(set(stage.posts()[-2:])) == 1
    assert stage.record.identification_id is not None
    assert stage.effects["identifications"] == 1
    assert set(stage.parts) == {"customer"}


@pytest.mark.parametrize(("age_s", "goes_out"), [(0, True), (599, True), (600, False), (3_600, False)])
def test_a_token_goes_out_while_it_lives(age_s: float, goes_out: bool) -> None:
    """A share token of more than ten minutes is refused before any call, and the operator hears what to do."""
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    stage.later(age_s)
    stage.requests.clear()
    outcome = stage.step()
    if goes_out:
        assert isinstance(outcome, Done)
        assert stage.effects["identifications"] == 1
        return
    assert isinstance(outcome, Refused)
    assert outcome.code == "token_expired"
    assert stage.requests == []
    assert (stage.record.phase, stage.delay_s) == (Phase.FAILED, None)
    assert read_view(stage.record, None)["waiting_on"] == "operator"


def test_a_fresh_token_is_as_old_as_its_correction() -> None:
    """After a correction the ten minutes count from the correction, and the new token is what goes out."""
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    stage.later(3_600)
    assert isinstance(stage.step(), Refused)
    stage.correct(email=EMAIL, identification=TOKEN | {"token": TOKEN["token"] + "fresh"})
    stage.steps("update_customer", "refresh", "create_identification")
    assert b"e30.fresh" in stage.posts()[-1][3]
    assert stage.effects["identifications"] == 1
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    stage.later(3_600)
    stage.step()
    stage.correct(email=EMAIL, identification=TOKEN)
    stage.later(600)
    stage.steps("update_customer", "refresh")
    assert isinstance(stage.step(), Refused)


def test_an_old_token_whose_call_is_in_doubt_goes_out_again() -> None:
    """Only the same bytes under the same key bring certainty, however old the token is by then."""
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    stage.sandbox.faults.add(Fault(operation="create_identification", when="before", lost="timeout", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    stage.later(3_600)
    assert isinstance(stage.come_again("create_identification"), Done)
    assert len(set(stage.posts()[-2:])) == 1
    assert stage.effects["identifications"] == 1


def test_an_old_token_that_was_taken_is_not_sent_again() -> None:
    """The answer to it was lost: the read shows the identification, however old the token is by then."""
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    stage.sandbox.faults.add(Fault(operation="create_identification", when="after", lost="timeout", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    stage.later(3_600)
    record = stage.steps("refresh")
    assert record.phase in (Phase.IDENTIFICATION_PENDING, Phase.IN_REVIEW)
    assert len([path for _, path, _, _ in stage.posts() if path.endswith("v2")]) == 1
    assert stage.effects["identifications"] == 1


def test_an_old_token_that_was_refused_once_goes_out_again() -> None:
    """It was young when it was sent: its second try is Iron's to judge, not its age's."""
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    stage.later(599)
    stage.sandbox.faults.add(Fault(operation="create_identification", status=400, stored="nothing", times=1))
    assert isinstance(stage.step(), RequestRefusedError)
    stage.later(2)
    assert isinstance(stage.come_again("create_identification"), Done)
    assert stage.effects["identifications"] == 1


def test_an_old_token_of_an_abandoned_claim_goes_out_again() -> None:
    """A worker that died with the claim may have called: then the token's age is no reason to stop."""
    stage = Stage(job_with(TOKEN))
    stage.steps("create_customer")
    begun_ms = stage.now_ms()
    stage.later(3_600)
    assert isinstance(stage.step(abandoned_ms=begun_ms), Done)
    assert stage.effects["identifications"] == 1
