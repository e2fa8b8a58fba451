"""Each step against the sandbox in this process: what it does on Iron, and what it says is true then."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import httpx
import pytest

from ops.sandbox import Fault, ManualClock, Sandbox, SandboxTransport, Switches
from pipelines.advance import after_error, after_outcome, begin
from pipelines.attempt import Attempt
from pipelines.errors import IronError, NotFoundError, ServerFaultError
from pipelines.iron import Iron
from pipelines.job import parse_job
from pipelines.lifecycle import Phase
from pipelines.model import Done, Outcome, Policy, Record, Refused, Signing, Wait
from pipelines.onboarding import CALLS, HAS_EFFECT, SENDS_INPUT, STEPS

EMAIL = "marker+manual@example.com"
JOB = parse_job(
    {"idempotency_key": "k-1", "external_id": "crm-1", "customer": {"customer_type": "Person", "email": EMAIL}}
).canonical()
DAY_S = 86_400


class Stage(httpx.BaseTransport):
    """One record, one Iron that does nothing by itself, and every request that left."""

    def __init__(self, **switches: Any) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, switches=Switches(**switches))
        self.inner = SandboxTransport(self.sandbox)
        self.iron = Iron(self, "http://iron.test/api", "sandbox-key")
        self.requests: list[tuple[str, str, str | None, bytes]] = []
        self.record = replace(begin(JOB), since_ms=self.now_ms())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note a request and pass it on."""
        path = request.url.raw_path.decode()
        self.requests.append((request.method, path, request.headers.get("idempotency-key"), request.content))
        return self.inner.handle_request(request)

    def now_ms(self) -> int:
        """The ledger's time is the sandbox's."""
        return int(self.clock.now() * 1000)

    def attempt(self) -> Attempt:
        """The circumstances of the next run of a step."""
        return Attempt("default", Policy(), self.now_ms, lambda: JOB, effect=self.record.effect)

    def step(self, name: str | None = None) -> Outcome | IronError:
        """Run the record's step, or another one; answers what it returned or raised, and keeps what is next."""
        record = self.record = replace(self.record, step=name or self.record.step)
        attempt = self.attempt()
        try:
            outcome = STEPS[record.step](record, self.iron, attempt)
        except IronError as error:
            self.record = after_error(record, error, attempt).record
            return error
        self.record = after_outcome(record, outcome, attempt).record
        return outcome

    def steps(self, *names: str) -> Record:
        """Run steps that have to be the ones that are due."""
        for name in names:
            assert self.record.step == name
            assert isinstance(self.step(), Done), name
        return self.record

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.sandbox.advance(seconds)

    def move(self, step: str, **more: Any) -> None:
        """Move the customer or the newest identification on Iron."""
        self.sandbox.move("crm-1", step, **more)

    def identified(self) -> Record:
        """Bring the record to its first identification."""
        return self.steps("create_customer", "create_identification")

    def to_sign(self) -> Record:
        """Bring the record to the documents that are to be signed."""
        self.identified()
        self.move("approve")
        self.later(5)
        return self.steps("refresh", "fetch_required_signings")

    def consent(self) -> None:
        """The customer agrees to everything that is asked for."""
        agreed = (replace(one, consented_ms=one.consented_ms or self.now_ms()) for one in self.record.signings)
        self.record = replace(self.record, signings=tuple(agreed), step="submit_signings")

    def begin_elsewhere(self, key: str = "dashboard") -> str:
        """Somebody else begins an identification of the customer."""
        path = f"/api/customers/{self.record.customer_id}/identifications/v2"
        answer = self.sandbox.request("POST", path, {"type": "Link"}, key=key)
        assert answer.status == 201
        return str(answer.json()["id"])

    @property
    def effects(self) -> dict[str, int]:
        """What Iron has done for our customer."""
        return self.sandbox.effects.group().get("crm-1", {})

    def posts(self) -> list[tuple[str, str, str | None, bytes]]:
        """The requests that could have changed something."""
        return [request for request in self.requests if request[0] == "POST"]


@pytest.fixture
def stage() -> Stage:
    """A new job, and an Iron with its default switches."""
    return Stage()


# --- all steps -------------------------------------------------------------------------------------------------------


def test_the_whole_story(stage: Stage) -> None:
    """The steps follow each other from the job to active, with one effect of each kind and one signing a document."""
    record = stage.to_sign()
    assert [signing.display_name for signing in record.signings] == ["Terms and Conditions", "Privacy Policy"]
    stage.consent()
    stage.steps("submit_signings", "submit_signings")
    record = stage.steps("refresh")
    assert record.phase is Phase.ACTIVE
    assert stage.effects == {"customers": 1, "identifications": 1, "signings": 2}
    assert (record.round, record.effect, record.problem) == (1, None, None)


def test_no_step_makes_more_calls_than_its_budget(stage: Stage) -> None:
    """Along the whole story no step calls Iron more often than the budget counts for it."""
    stage.identified()
    stage.move("approve")
    stage.later(5)
    stage.requests.clear()
    for name in ("refresh", "fetch_required_signings", "submit_signings", "submit_signings", "refresh"):
        before = len(stage.requests)
        if name == "submit_signings":
            stage.consent()
        assert isinstance(stage.step(name), Done)
        assert len(stage.requests) - before <= CALLS[name]["call"]


def test_every_step_has_its_budget() -> None:
    """Tables beside the steps speak of all of them and of no other."""
    assert set(CALLS) == set(STEPS)
    assert set(STEPS) > HAS_EFFECT > SENDS_INPUT


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"create_customer"}))
def test_no_step_but_the_first_runs_without_a_customer(name: str, stage: Stage) -> None:
    """A step that needs the customer says so, and calls nothing."""
    with pytest.raises(ValueError, match=f"{name} needs a customer"):
        STEPS[name](replace(stage.record, step=name), stage.iron, stage.attempt())
    assert stage.requests == []


LOST: list[dict[str, Any]] = [{"lost": "reset"}, {"lost": "timeout"}, {"status": 503}]


#: What is lost, before and after the effect. A signature that had its effect is not sent again: the list shows it.
LOSSES = [
    *product(("create_customer", "create_identification"), ("before", "after"), (*LOST, {"malformed": True})),
    *product(("create_signing",), ("before",), LOST),
]


@pytest.mark.parametrize(("operation", "when", "lost"), LOSSES, ids=str)
def test_a_repetition_sends_the_same_bytes(operation: str, when: Any, lost: dict[str, Any], stage: Stage) -> None:
    """After an answer that was lost or spoilt the same key and bytes go out until it comes, for one effect."""
    stage.sandbox.faults.add(Fault(operation=operation, when=when, times=2, **lost))
    if operation == "create_signing":
        stage.to_sign()
        stage.consent()
    elif operation == "create_identification":
        stage.steps("create_customer")
    stage.requests.clear()
    outcomes = [stage.step() for _ in range(3)]
    assert [isinstance(outcome, IronError) for outcome in outcomes] == [True, True, False]
    assert len(stage.posts()) == 3
    assert len(set(stage.posts())) == 1
    (effect,) = stage.sandbox.effects.where(operation=operation)
    assert effect.idempotency_key == stage.posts()[0][2]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("operation", ["create_customer", "create_identification", "create_signing"])
def test_a_refusal_ends_the_onboarding(operation: str, status: int, stage: Stage) -> None:
    """What Iron refuses is not sent again, and the reason repeats no input."""
    stage.sandbox.faults.add(Fault(operation=operation, status=status, body=f"bad {EMAIL}"))
    if operation == "create_signing":
        stage.to_sign()
        stage.consent()
    elif operation == "create_identification":
        stage.steps("create_customer")
    outcome = stage.step()
    assert isinstance(outcome, Refused)
    assert outcome.code == "request_refused"
    assert f"HTTP {status}" in outcome.text
    assert "marker" not in outcome.text
    assert (stage.record.phase, stage.record.step) == (Phase.FAILED, "")


# --- create_customer -------------------------------------------------------------------------------------------------


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
    """A fault that Iron stores and replays costs a new generation, and there is one customer all the same."""
    stage.sandbox.faults.add(Fault(operation="create_customer", status=500, stored="injected", times=1))
    for _ in range(2):
        assert isinstance(stage.step(), ServerFaultError)
        stage.later(200)
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


# --- create_identification -------------------------------------------------------------------------------------------


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
    """Even where no look came first, Iron's 409 makes us look, and what is newest is adopted."""
    stage.steps("create_customer")
    theirs = stage.begin_elsewhere()
    record = stage.steps("create_identification")
    assert record.identification_id == theirs
    assert stage.effects["identifications"] == 1


def test_a_round_that_somebody_else_began_is_adopted() -> None:
    """After an expired link, one in flight that is not the one we followed is adopted; no other is begun beside it."""
    stage = Stage(pending_identification="supersede")
    stage.identified()
    stage.move("expire")
    record = stage.steps("refresh")
    assert (record.phase, record.step) == (Phase.EXPIRED, "create_identification")
    theirs = stage.begin_elsewhere()
    record = stage.steps("create_identification")
    assert (record.identification_id, record.round) == (theirs, 2)
    assert stage.effects["identifications"] == 2


def test_a_new_round_follows_the_one_that_expired(stage: Stage) -> None:
    """An expired link is followed by a new identification with a key and a link of its own."""
    first = stage.identified()
    stage.move("expire")
    stage.steps("refresh")
    second = stage.steps("create_identification")
    assert second.identification_id != first.identification_id
    assert second.link not in (None, first.link)
    assert (second.round, second.phase) == (2, Phase.IDENTIFICATION_PENDING)
    assert stage.effects["identifications"] == 2
    assert len({key for _, _, key, _ in stage.posts()}) == 3


# --- refresh ---------------------------------------------------------------------------------------------------------


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
    assert (record.phase, record.step) == (Phase.STEP_UP_REQUIRED, "refresh")
    assert record.link is not None
    assert (record.identification_id, record.round) == (first.identification_id, 1)
    assert stage.effects["identifications"] == 1


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
    stage.later(100)
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


# --- signings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fetch_required_signings", "submit_signings"])
def test_nothing_to_sign_is_waited_for(name: str, stage: Stage) -> None:
    """Iron's 409 on the list of documents means: read the customer again."""
    stage.identified()
    outcome = stage.step(name)
    assert isinstance(outcome, Wait)
    assert (outcome.then, stage.record.step) == ("refresh", "refresh")
    assert stage.effects["signings"] == 0


def test_an_empty_list_is_waited_for() -> None:
    """A list without a document is nothing to present."""
    stage = Stage(required_signings_otherwise="empty")
    stage.identified()
    assert isinstance(stage.step("fetch_required_signings"), Wait)


def test_documents_are_merged(stage: Stage) -> None:
    """New documents are added, replaced ones dropped, consent and signatures kept, names and links renewed."""
    stage.to_sign()
    terms, privacy = stage.record.signings
    signed = Signing("gone-but-signed", "Old", "u", consented_ms=1, signed_ms=2)
    stage.record = replace(
        stage.record,
        signings=(
            replace(terms, consented_ms=5, display_name="before"),
            Signing("replaced", "Old", "u", consented_ms=5),
            signed,
        ),
    )
    stage.step("fetch_required_signings")
    assert stage.record.signings == (replace(terms, consented_ms=5), privacy, signed)


@pytest.mark.parametrize(("passed_s", "again"), [(0, False), (119, False), (120, True)])
def test_required_again_is_a_new_occasion(passed_s: float, again: bool, stage: Stage) -> None:
    """A signed document that is required after the settle time is a new occasion: consent is asked for anew."""
    stage.to_sign()
    terms, privacy = stage.record.signings
    signed = replace(terms, consented_ms=stage.now_ms(), signed_ms=stage.now_ms())
    stage.record = replace(stage.record, signings=(signed, privacy))
    stage.later(passed_s)
    stage.step("fetch_required_signings")
    assert stage.record.signings == (replace(terms, occasion=1) if again else signed, privacy)


def test_another_occasion_has_another_key() -> None:
    """A document that is required again is signed again, under a key of its own."""
    stage = Stage(signing_again="accept", documents=("Terms",))
    stage.to_sign()
    stage.consent()
    stage.steps("submit_signings", "refresh")
    assert stage.record.phase is Phase.ACTIVE
    stage.later(200)
    terms = stage.sandbox.provider.lifecycle.terms
    customer = stage.sandbox.provider.store.customers[str(stage.record.customer_id)]
    customer.status, customer.due = "SigningsRequired", terms
    stage.steps("refresh")
    assert stage.record.step == "fetch_required_signings"
    (asked,) = stage.steps("fetch_required_signings").signings
    assert (asked.occasion, asked.consented_ms, asked.signed_ms) == (1, None, None)
    stage.consent()
    stage.steps("submit_signings")
    keys = [key for _, path, key, _ in stage.posts() if path.endswith("/signings")]
    assert len(set(keys)) == len(keys) == 2
    assert stage.effects["signings"] == 2


def test_only_what_was_consented_to_is_signed(stage: Stage) -> None:
    """A document without consent is not submitted."""
    stage.to_sign()
    terms, privacy = stage.record.signings
    stage.record = replace(stage.record, signings=(terms, replace(privacy, consented_ms=1)), step="submit_signings")
    first, second = stage.steps("submit_signings").signings
    assert (first.signed_ms, second.signed_ms) == (None, stage.now_ms())
    assert stage.effects["signings"] == 1
    assert isinstance(stage.step("submit_signings"), Done)
    assert stage.effects["signings"] == 1


def test_the_signature_in_doubt_comes_first(stage: Stage) -> None:
    """A call whose outcome is not known is brought to its end before another document is signed."""
    stage.to_sign()
    terms, privacy = stage.record.signings
    stage.record = replace(stage.record, signings=(terms, replace(privacy, consented_ms=1)), step="submit_signings")
    stage.sandbox.faults.add(Fault(operation="create_signing", when="before", lost="reset", times=1))
    assert isinstance(stage.step(), IronError)
    stage.consent()
    stage.steps("submit_signings")
    assert len({request[2:] for request in stage.posts()[-2:]}) == 1
    assert stage.record.signings[1].signed_ms == stage.now_ms()


def test_a_signature_that_the_list_shows_as_made_is_noted(stage: Stage) -> None:
    """The answer was lost and Iron requires the document no longer: it was signed, and is not sent again."""
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), IronError)
    stage.steps("submit_signings")
    assert [signing.signed_ms for signing in stage.record.signings].count(None) == 0
    assert stage.effects["signings"] == 2
    assert len([path for _, path, _, _ in stage.posts() if path.endswith("/signings")]) == 2
