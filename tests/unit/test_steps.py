"""Each step against the sandbox in this process: what it does on Iron, and what it says is true then."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import httpx
import pytest

from ops.sandbox import Fault, ManualClock, Sandbox, SandboxTransport, Switches
from pipelines.advance import EXPLAINED_WITHIN, REFUSED_PAUSE_S, TOLD, after_acts, after_outcome
from pipelines.attempt import Ask, Attempt, Place, effect_in_hand
from pipelines.begin import begin, input_parts
from pipelines.errors import (
    AnswerLostError,
    AnswerUnreadableError,
    ConflictError,
    InputLostError,
    IronError,
    NotFoundError,
    NothingDueError,
    OnboardingError,
    OutcomeUnknownError,
    RateLimitedError,
    RenewedError,
    RequestRefusedError,
    ServerFaultError,
    StaleClaimError,
)
from pipelines.iron import Iron
from pipelines.job import JobRules, parse_job
from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.model import STRIKES, Done, Effect, Next, Outcome, Partly, Policy, Record, Refused, Signing
from pipelines.onboarding import CARRIES, HAS_EFFECT, INPUT, MAX_UPDATES, MOST_CALLS, SECURED, SIGNING_FOR_S, STEPS
from pipelines.reidentification import InForce
from pipelines.view import read_view
from tests.bodies import BUSINESS, PERSON, TOKEN

EMAIL = "marker+manual@example.com"
JOB = parse_job(
    {"idempotency_key": "k-1", "external_id": "crm-1", "customer": {"customer_type": "Person", "email": EMAIL}}
).canonical()
DAY_S = 86_400
#: Pause from the beginning of a round to that of the next one, as the policy has it.
SPACING_S = 3_600
#: What an act names of a job, beside its parts.
FIELDS = ("external_id", "risk_tier", "labels", "identification_type", "with_edd", "fingerprint")


class Stage(httpx.BaseTransport):
    """One record, one Iron that does nothing by itself, and every request that left."""

    def __init__(self, job: dict[str, Any] = JOB, **switches: Any) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, switches=Switches(**switches))
        self.inner: httpx.BaseTransport = SandboxTransport(self.sandbox)
        self.iron = Iron(self, "http://iron.test/api", "sandbox-key")
        self.requests: list[tuple[str, str, str | None, bytes]] = []
        #: The most calls that one run of a step made.
        self.most: dict[str, int] = {}
        #: What is stored encrypted, here in plain.
        self.parts: dict[str, Any] = input_parts(job)
        self.kept: list[dict[str, Any]] = []
        self.delay_s: float | None = 0
        #: How long each call takes, in seconds.
        self.call_s = 0.0
        self.rule, self.places, self.asks = InForce(), Place("granted"), list[Ask]()
        self.record = replace(begin(job), created_ms=self.now_ms(), since_ms=self.now_ms())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note a request and pass it on."""
        path = request.url.raw_path.decode()
        self.requests.append((request.method, path, request.headers.get("idempotency-key"), request.content))
        if self.call_s:
            self.later(self.call_s)
        return self.inner.handle_request(request)

    def now_ms(self) -> int:
        """The ledger's time is the sandbox's."""
        return int(self.clock.now() * 1000)

    def attempt(self, abandoned_ms: int | None = None) -> Attempt:
        """The circumstances of the next run of a step."""
        effect = effect_in_hand(self.record, abandoned_ms, has_effect=self.record.step in HAS_EFFECT)
        rule, place = lambda: self.rule, self.place
        there = INPUT.get(self.record.step, "") in self.parts
        return Attempt(
            "default", Policy(), self.now_ms, self.input, effect=effect, rule=rule, place=place, has_input=there
        )

    def place(self, ask: Ask) -> Place:
        """Give places among a day's starts as a test says."""
        self.asks.append(ask)
        return self.places

    def input(self) -> Any:
        """The part of the input that the step asks for, if it is still there."""
        part = self.parts.get(INPUT.get(self.record.step, ""))
        if part is None:
            raise InputLostError
        return part

    def step(self, name: str | None = None, *, abandoned_ms: int | None = None) -> Outcome | OnboardingError:
        """Run the record's step, or another one; answers what it returned or raised, and commits what is next."""
        record = self.record = replace(self.record, step=name or self.record.step)
        attempt, before = self.attempt(abandoned_ms), len(self.requests)
        outcome: Outcome
        try:
            outcome = STEPS[record.step](record, self.iron, attempt)
        except OnboardingError as error:
            outcome = Partly({}, error)
        self.most[record.step] = max(self.most.get(record.step, 0), len(self.requests) - before)
        self.commit(after_outcome(record, outcome, attempt))
        return outcome.error if isinstance(outcome, Partly) else outcome

    def come_again(self, name: str) -> Outcome | OnboardingError:
        """Run a step again that met an error: where there is a customer, who is read first, as that is due."""
        if self.record.customer_id is not None:
            assert (self.record.step, self.record.tried) == ("refresh", name)
            self.steps("refresh")
        assert self.record.step == name
        return self.step()

    def refused(self) -> str:
        """Let Iron refuse the details of the step that is due, as often as that takes; answers the step."""
        name = self.record.step
        assert isinstance(self.step(), RequestRefusedError)
        assert isinstance(self.come_again(name), RequestRefusedError)
        assert self.record.phase is Phase.FAILED
        return name

    def commit(self, following: Next) -> None:
        """Store a record as the ledger does, and the parts of the input to keep."""
        record = following.record
        since_ms = self.record.since_ms if record.phase is self.record.phase else self.now_ms()
        names = ("key", "version", "lane", "phase", "step", "created_ms", "updated_ms")
        script = {name: getattr(record, name) for name in names} | {"since_ms": since_ms}
        self.record = Record.restored(json.loads(canonical_json(record.stored())), **script)
        self.delay_s = following.delay_s
        if following.keep:
            self.kept.append(following.keep)
        sealed = {name: json.loads(part) if part else None for name, part in following.sealed.items()}
        parts = self.parts | following.keep | sealed
        self.parts = {name: part for name, part in parts.items() if part is not None}

    def act(self, name: str, **more: Any) -> Record:
        """Somebody acts, and the act is applied."""
        act = canonical_json({"act": name, "by": "ops", "at_ms": self.now_ms(), **more})
        following = after_acts(self.record, [act], self.attempt())
        assert following is not None
        self.commit(following)
        return self.record

    def correct(self, **changes: Any) -> Record:
        """A person corrects the job."""
        job = corrected(**changes)
        wanted = begin(job)
        parts = {name: canonical_json(part).decode() for name, part in input_parts(job).items()}
        return self.act("correct", parts=parts, **{name: getattr(wanted, name) for name in FIELDS})

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

    def to_the_list(self) -> None:
        """Read a customer whose documents were all signed until the list of documents is read, a few times at most."""
        for _ in range(3):
            self.steps("refresh")
            assert self.record.phase is Phase.SIGNINGS_REQUIRED
            if self.record.step == "fetch_required_signings":
                break

    def consent(self) -> None:
        """The customer agrees to everything that is asked for."""
        self.act("sign", documents=[signing.id for signing in self.record.signings])
        assert self.record.step == "submit_signings"

    def expired(self) -> Record:
        """Bring the record to an expired link whose pause is over."""
        self.identified()
        self.move("expire")
        self.steps("refresh")
        self.later(SPACING_S)
        return self.steps("refresh")

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


def corrected(email: str = "marker+right@example.com", **changes: Any) -> dict[str, Any]:
    """The job as it should have been."""
    customer = {"customer_type": "Person", "email": email}
    return parse_job({"idempotency_key": "k-1", "external_id": "crm-1", "customer": customer, **changes}).canonical()


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


def test_tables_speak_of_steps() -> None:
    """Tables beside the steps speak of all of them and of no other."""
    assert set(STEPS) > set(SECURED)
    assert set(INPUT.values()) == {"customer", "identification"}
    assert set(STEPS) > set(INPUT)
    assert set(STEPS) > HAS_EFFECT
    assert set(STEPS) > set(CARRIES)
    assert set(CARRIES) == {*HAS_EFFECT, "update_customer"} - {"submit_signings"}


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"create_customer"}))
def test_no_step_but_the_first_runs_without_a_customer(name: str, stage: Stage) -> None:
    """A step that needs the customer says so, and calls nothing."""
    with pytest.raises(ValueError, match=f"{name} needs a customer"):
        STEPS[name](replace(stage.record, step=name), stage.iron, stage.attempt())
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
    assert problem.text == f"Iron rejected {CARRIES[operation]} (HTTP {status}). Correct the job to go on."
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


# --- an identification with data of its own --------------------------------------------------------------------------

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


# --- update_customer -------------------------------------------------------------------------------------------------


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
        assert record.problem.text.startswith(f"Iron rejected the corrected e-mail or external id (HTTP {status})")
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


# --- handle_step_up, explain_decline ---------------------------------------------------------------------------------


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


# --- signings --------------------------------------------------------------------------------------------------------


NOTHING = [
    "conflict",
    "conflict_not_in_status",
    "conflict_none",
    "empty",
    "not_found",
    "gone",
    "bad",
    "forbidden",
    "null",
]


@pytest.mark.parametrize("otherwise", NOTHING)
@pytest.mark.parametrize("name", ["fetch_required_signings", "submit_signings"])
def test_nothing_to_sign_leads_to_the_customer(name: str, otherwise: Any) -> None:
    """However Iron says that nothing is to be signed, the customer is read, and what the read shows is followed."""
    stage = Stage(required_signings_otherwise=otherwise)
    stage.identified()
    assert isinstance(stage.step(name), NothingDueError if otherwise == "empty" else IronError)
    assert (stage.record.step, stage.record.tried, stage.delay_s) == ("refresh", name, 0)
    record = stage.steps("refresh")
    assert (record.phase, record.step, record.tried) == (Phase.IDENTIFICATION_PENDING, "refresh", "")
    assert record.problem is None
    assert stage.effects["signings"] == 0


def test_an_empty_list_is_asked_again_while_there_is_to_sign() -> None:
    """Iron asks for signatures and lists no document yet: the list is read again, ever later, until it shows them."""
    stage = Stage(documents_lag_s=30)
    stage.identified()
    stage.move("approve")
    stage.later(5)
    stage.steps("refresh")
    assert isinstance(stage.step(), NothingDueError)
    pauses = []
    for _ in range(3):
        stage.steps("refresh")
        assert (stage.record.step, stage.record.phase) == ("fetch_required_signings", Phase.SIGNINGS_REQUIRED)
        pauses.append(stage.delay_s or 0)
        assert isinstance(stage.step(), NothingDueError)
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    stage.later(30)
    assert isinstance(stage.come_again("fetch_required_signings"), Done)
    assert len(stage.record.signings) == 2
    assert stage.record.problem is None


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
    stage.to_the_list()
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
    stage.steps("refresh")
    stage.consent()
    stage.steps("submit_signings")
    assert [signing.signed_ms for signing in stage.record.signings] == [None, stage.now_ms()]
    stage.steps("submit_signings")
    doubtful, repeated, other = stage.posts()[-3:]
    assert doubtful == repeated
    assert other != doubtful
    assert [signing.signed_ms for signing in stage.record.signings] == [stage.now_ms()] * 2


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize("again", ["refuse", 404, 409])
def test_a_document_that_iron_does_not_take_keeps_no_other_waiting(again: str | int, *, asleep: bool) -> None:
    """Iron may list what is signed and refuse it: the others are signed, and a sleeping worker is not forgotten."""
    stage = Stage(signed_stay_listed=True, signing_again=again)
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", when="after", lost="reset", times=1))
    assert isinstance(stage.step("submit_signings"), IronError)
    first = str(stage.record.effect.subject[1]) if stage.record.effect else ""
    stage.later(Policy().retention_s * 2)  # Iron has forgotten the key
    for _ in range(4):
        if asleep and stage.record.effect:
            stage.record = replace(stage.record, effect=replace(stage.record.effect, abandoned=True))
        stage.record = replace(stage.record, step="submit_signings")
        stage.step()
        stage.later(2)
    signed = {signing.id: signing.signed_ms is not None for signing in stage.record.signings}
    assert signed == {one: one != first for one in signed}
    assert stage.effects["signings"] == 2
    assert bool(stage.record.effect and stage.record.effect.abandoned) is asleep
    assert stage.steps("refresh").phase is Phase.ACTIVE


def signings_sent(stage: Stage) -> list[str | None]:
    """The keys of the signatures that were sent, in their order."""
    return [key for _, path, key, _ in stage.posts() if path.endswith("/signings")]


def test_all_documents_are_signed_in_one_go(stage: Stage) -> None:
    """One look at the list, then each document that was agreed to under a key of its own; then the customer is read."""
    stage.to_sign()
    stage.consent()
    stage.requests.clear()
    record = stage.steps("submit_signings")
    assert [method for method, *_ in stage.requests] == ["GET", "POST", "POST"]
    assert len(set(signings_sent(stage))) == 2
    assert [signing.signed_ms for signing in record.signings] == [stage.now_ms()] * 2
    assert (record.step, record.effect) == ("refresh", None)
    assert stage.delay_s is not None
    assert 0 < stage.delay_s <= 1


@pytest.mark.parametrize(("call_s", "signed"), [(1.0, 5), (9.0, 2), (SIGNING_FOR_S, 0), (SIGNING_FOR_S - 1, 1)])
def test_signatures_stop_in_time(call_s: float, signed: int) -> None:
    """No signature is begun when the time for them is over; what is left follows at once, and all are signed once."""
    stage = Stage(documents=tuple("abcde"))
    stage.to_sign()
    stage.consent()
    stage.call_s = call_s
    record = stage.steps("submit_signings")
    assert [signing.signed_ms is not None for signing in record.signings].count(True) == signed
    if signed < 5:
        assert (record.step, stage.delay_s) == ("submit_signings", 0)
    stage.call_s = 0
    if signed < 5:
        stage.steps("submit_signings")
    assert stage.steps("refresh").phase is Phase.ACTIVE
    assert stage.effects["signings"] == len(signings_sent(stage)) == 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"lost": "reset"}, AnswerLostError),
        ({"status": 500}, ServerFaultError),
        ({"status": 409}, ConflictError),
        ({"status": 422}, RequestRefusedError),
        ({"status": 429}, RateLimitedError),
    ],
    ids=str,
)
def test_what_was_signed_before_an_error_is_kept(fault: dict[str, Any], error: type[IronError]) -> None:
    """The second of three signatures fails: the first is told as signed, the third waits, and each is signed once."""
    stage = Stage(documents=tuple("abc"))
    stage.to_sign()
    stage.consent()
    first, second, _ = (signing.id for signing in stage.record.signings)
    stage.sandbox.faults.add(Fault(operation="create_signing", skip=1, times=1, stored="nothing", **fault))
    assert isinstance(stage.step(), error)
    assert [signing.signed_ms is not None for signing in stage.record.signings].count(True) == 1
    assert next(signing for signing in stage.record.signings if signing.id == first).signed_ms is not None
    effect = stage.record.effect
    assert effect is not None
    assert effect.subject == (stage.record.customer_id, second, "0")
    if error is RateLimitedError:
        stage.steps("submit_signings")
    else:
        assert isinstance(stage.come_again("submit_signings"), Done)
    if issubclass(error, OutcomeUnknownError) and error is not ConflictError:  # certainty first, then the others
        assert (stage.record.step, stage.delay_s, stage.record.effect) == ("submit_signings", 0, None)
        assert [signing.signed_ms is not None for signing in stage.record.signings].count(True) == 2
        stage.steps("submit_signings")
    keys = signings_sent(stage)
    assert Counter(keys)[keys[1]] == 2
    assert len(set(keys)) == 3
    assert stage.steps("refresh").phase is Phase.ACTIVE
    assert stage.effects["signings"] == 3


def test_a_lease_that_ends_between_two_signatures_ends_the_claim(stage: Stage) -> None:
    """Whoever lost the record commits nothing, not even what was signed: the next one sees it in the list."""
    stage.to_sign()
    stage.consent()
    calls = iter(range(10))

    def before_call(_: str) -> None:
        if next(calls) == 2:
            raise StaleClaimError

    iron = stage.iron.on_behalf_of(None, before_call)
    with pytest.raises(StaleClaimError):
        STEPS["submit_signings"](stage.record, iron, stage.attempt())
    assert stage.effects["signings"] == 1
    stage.step(abandoned_ms=stage.now_ms())
    assert stage.steps("refresh").phase is Phase.ACTIVE
    assert stage.effects["signings"] == len(set(signings_sent(stage))) == 2


def test_certainty_comes_before_the_next_signature(stage: Stage) -> None:
    """What people did waits for the call in doubt alone: when that is certain no other one is begun before it."""
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", when="before", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    assert isinstance(stage.come_again("submit_signings"), Done)
    assert stage.effects["signings"] == 1
    assert stage.act("cancel").phase is Phase.CANCELLED
    assert stage.effects["signings"] == 1


def test_a_worker_that_may_sleep_may_have_any_of_the_signatures(stage: Stage) -> None:
    """It signs one document after the other: whichever fails for the next worker, its key may be in use yet."""
    stage.to_sign()
    stage.consent()
    terms, privacy = stage.record.signings
    stage.step(abandoned_ms=stage.now_ms())
    assert [signing.id for signing in stage.record.signings if signing.signed_ms] == [terms.id]
    stage.sandbox.faults.add(Fault(operation="create_signing", status=500, stored="nothing"))
    assert isinstance(stage.step(), ServerFaultError)
    for _ in range(4):
        stage.later(200)
        stage.steps("refresh")
        assert isinstance(stage.step(), ServerFaultError), "no other key while the first may be used"
    assert stage.record.effect is not None
    assert stage.record.effect.subject == (stage.record.customer_id, privacy.id, "0")
    assert stage.record.effect.generation == 0


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refused_signature_is_looked_into_and_tried_again(status: int, stage: Stage) -> None:
    """It carries no details: no refusal fails anybody, the customer is read each time, and it is signed in the end."""
    stage.to_sign()
    stage.consent()
    name = stage.sandbox.faults.add(Fault(operation="create_signing", status=status, stored="nothing"))
    assert isinstance(stage.step(), IronError)
    for _ in range(3):
        assert isinstance(stage.come_again("submit_signings"), IronError)
        assert stage.record.phase is Phase.SIGNINGS_REQUIRED
    stage.sandbox.faults.clear(name)
    assert isinstance(stage.come_again("submit_signings"), Done)
    record = stage.steps("refresh")
    assert (record.phase, record.problem, record.effect) == (Phase.ACTIVE, None, None)
    assert stage.effects["signings"] == 2


def test_a_refusal_that_iron_replays_is_outlived_by_another_key() -> None:
    """Iron stores the refusal of a signature for a day: after the settle time it goes out under the next key."""
    stage = Stage(documents=("Terms",), stored_errors="4xx")
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", status=422, stored="injected", times=1))
    assert isinstance(stage.step(), RequestRefusedError)
    stage.later(60)
    assert isinstance(stage.come_again("submit_signings"), RequestRefusedError)
    stage.later(120)
    assert isinstance(stage.come_again("submit_signings"), RenewedError)
    assert (stage.record.step, stage.delay_s) == ("submit_signings", 0)
    stage.steps("submit_signings", "refresh")
    assert stage.record.phase is Phase.ACTIVE
    keys = signings_sent(stage)
    assert keys[0] == keys[1] != keys[2]
    assert stage.effects["signings"] == 1


def test_a_signature_that_the_list_shows_as_made_is_noted(stage: Stage) -> None:
    """The answer was lost and Iron requires the document no longer: it was signed, and the other one is sent."""
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), IronError)
    assert isinstance(stage.come_again("submit_signings"), Done)
    assert [signing.signed_ms for signing in stage.record.signings].count(None) == 1
    stage.steps("submit_signings")
    assert [signing.signed_ms for signing in stage.record.signings].count(None) == 0
    assert stage.effects["signings"] == len(set(signings_sent(stage))) == len(signings_sent(stage)) == 2


def test_an_active_customer_has_signed(stage: Stage) -> None:
    """The last answer was lost, and Iron is through with the customer: what was agreed to counts as signed."""
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", skip=1, when="after", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    record = stage.steps("refresh")
    assert (record.phase, record.effect) == (Phase.ACTIVE, None)
    assert [signing.signed_ms is None for signing in record.signings] == [False, False]
    assert stage.effects["signings"] == 2


def test_what_was_not_agreed_to_is_not_called_signed(stage: Stage) -> None:
    """Iron may let a customer through without a document: that one is not shown as signed."""
    stage.to_sign()
    first, second = stage.record.signings
    stage.act("sign", documents=[first.id])
    stage.steps("submit_signings")
    stage.sandbox.provider.lifecycle.set_customer(
        stage.sandbox.provider.store.customers[str(stage.record.customer_id)], "Active", stage.clock.now()
    )
    stage.record = replace(stage.record, step="refresh")
    found = {signing.id: signing.signed_ms for signing in stage.steps("refresh").signings}
    assert found.get(first.id) is not None
    assert found.get(second.id) is None


def test_a_signature_of_doubt_is_asked_for_again_when_it_is_required_again() -> None:
    """It counted as signed when the customer was active; required after that, it is a new occasion without consent."""
    stage = Stage(documents=("Terms",), signing_again="accept")
    stage.to_sign()
    stage.consent()
    stage.sandbox.faults.add(Fault(operation="create_signing", when="after", lost="reset", times=1))
    assert isinstance(stage.step(), AnswerLostError)
    assert stage.steps("refresh").phase is Phase.ACTIVE
    stage.later(200)
    customer = stage.sandbox.provider.store.customers[str(stage.record.customer_id)]
    customer.status, customer.due = "SigningsRequired", stage.sandbox.provider.lifecycle.terms
    stage.to_the_list()
    (asked,) = stage.steps("fetch_required_signings").signings
    assert (asked.occasion, asked.consented_ms, asked.signed_ms) == (1, None, None)
    assert stage.effects["signings"] == 1
