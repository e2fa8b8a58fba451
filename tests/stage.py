"""A step on the stage: one record, a sandbox in this process, a clock that a test turns. No Redis."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx

from ops.sandbox import ManualClock, Sandbox, SandboxTransport, Switches
from pipelines.advance import after_acts, after_outcome
from pipelines.attempt import Ask, Attempt, Place, effect_in_hand
from pipelines.begin import begin, input_parts
from pipelines.errors import (
    InputLostError,
    OnboardingError,
    RequestRefusedError,
)
from pipelines.iron import Iron
from pipelines.job import parse_job
from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.model import Done, Next, Outcome, Partly, Policy, Record
from pipelines.onboarding import STEPS
from pipelines.reidentification import InForce

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
        effect = effect_in_hand(self.record, abandoned_ms, has_effect=STEPS[self.record.step].has_effect)
        rule, place = lambda: self.rule, self.place
        there = STEPS[self.record.step].part in self.parts
        return Attempt(
            "default", Policy(), self.now_ms, self.input, effect=effect, rule=rule, place=place, has_input=there
        )

    def place(self, ask: Ask) -> Place:
        """Give places among a day's starts as a test says."""
        self.asks.append(ask)
        return self.places

    def input(self) -> Any:
        """The part of the input that the step asks for, if it is still there."""
        part = self.parts.get(STEPS[self.record.step].part)
        if part is None:
            raise InputLostError
        return part

    def step(self, name: str | None = None, *, abandoned_ms: int | None = None) -> Outcome | OnboardingError:
        """Run the record's step, or another one; answers what it returned or raised, and commits what is next."""
        record = self.record = replace(self.record, step=name or self.record.step)
        attempt, before = self.attempt(abandoned_ms), len(self.requests)
        outcome: Outcome
        try:
            outcome = STEPS[record.step].run(record, self.iron, attempt)
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
