"""A plain model of the ledger beside the real one on a real Redis: whatever is done in whatever order, they agree."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipelines.errors import ClockJumpedError, StaleClaimError
from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from tests.world import PLENTY
from workers.events.stream import EventStream
from workers.ledger import CLOCK_TOLERANCE_MS, LEASE_MS, Claim, Ledger, Lists, New, NotClaimed
from workers.ledger.clock import monotonic_s
from workers.ledger.import_store import ImportStore

KEYS = ("k-0", "k-1", "k-2")
NUDGE_MS = 5000
#: What may pass between the model's look at the clock and the script's, on a machine that is busy.
SLACK_MS = 900


@dataclass
class Model:
    """What the ledger should hold for one key."""

    version: int = 1
    phase: Phase = Phase.RECEIVED
    step: str = "create_customer"
    due_ms: int | None = 0
    fence: str = ""
    lease_ms: int = 0
    crashes: int = 0
    woken: bool = False
    entries: int = 1
    told: list[str] = field(default_factory=lambda: ["received"])
    #: A row of the import that nobody has taken in hand yet.
    waits: bool = False


class TwiceLedger(Ledger):
    """A ledger whose calls arrive twice, as when redis-py repeats one whose answer was lost."""

    def _call(self, operation: str, *arguments: Any, **more: Any) -> Any:
        super()._call(operation, *arguments, **more)
        return super()._call(operation, *arguments, **more)


class LedgerMachine(RuleBasedStateMachine):
    """Jobs, claims, commits by anybody, wakes and time."""

    client: redis.Redis

    @initialize()
    def begin(self) -> None:
        self.client.flushdb()
        self.shift_ms = 0
        self.jumped_s = 0
        self.ledger = Ledger(self.client, PLENTY, lambda: self.shift_ms, self.clock)
        ImportStore(self.ledger).begin_import("list", "digest", "olga")
        self.paused = False
        self.models: dict[str, Model] = {}
        self.claims: list[Claim] = []
        #: How far the worker's clock had jumped when a claim was made, by fence.
        self.jumped_before: dict[str, int] = {}

    def clock(self) -> float:
        """The worker's own clock."""
        return monotonic_s() + self.shift_ms / 1000 + self.jumped_s

    def now_ms(self) -> int:
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000 + self.shift_ms

    @rule(key=st.sampled_from(KEYS))
    def create(self, key: str) -> None:
        answer = self.ledger.create([New(Record(key=key, external_id=key, fingerprint="f"), {})])[0]
        assert (answer.status == "created") == (key not in self.models)
        if answer.status == "created":
            self.models[key] = Model(due_ms=self.now_ms() + NUDGE_MS)

    @rule(key=st.sampled_from(KEYS))
    def load(self, key: str) -> None:
        record = Record(key=key, external_id=key, fingerprint="f", lane="bulk", import_name="list")
        [answer] = ImportStore(self.ledger).load("list", {}, [New(record, {})]).created() or []
        assert (answer.status == "created") == (key not in self.models)
        if answer.status == "created":
            self.models[key] = Model(due_ms=self.now_ms(), waits=True)

    @rule(paused=st.booleans())
    def halt(self, paused: bool) -> None:
        if paused:
            ImportStore(self.ledger).halt_import("list", "paused", "olga", "")
        else:
            ImportStore(self.ledger).resume_import("list")
        self.paused = paused

    @precondition(lambda self: self.models)
    @rule(data=st.data(), behind=st.sampled_from([0, 0, 0, 1]))
    def claim(self, data: st.DataObject, behind: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.models)))
        model = self.models[key]
        now = self.now_ms()
        answer = self.ledger.claim(key, model.version - behind, model.step)
        if behind:
            assert answer == NotClaimed("superseded")
        elif model.fence and model.lease_ms > now:
            assert answer == NotClaimed("leased")
        elif model.waits and self.paused:
            assert answer == NotClaimed("halted")
        else:
            assert isinstance(answer, Claim)
            model.waits = False
            model.crashes = model.crashes + 1 if model.fence else 0
            assert answer.crashes == model.crashes
            model.fence, model.woken = answer.fence, False
            model.lease_ms = model.due_ms = now + LEASE_MS
            self.claims.append(answer)
            self.jumped_before[answer.fence] = self.jumped_s

    @rule(seconds=st.sampled_from([-86_400, -30, -5, 5, 30, 3600]))
    def jump(self, seconds: int) -> None:
        self.jumped_s += seconds

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        model, before = self.models[claim.record.key], claim.holds_until
        self.ledger.renew([claim])
        held = model.fence == claim.fence
        if held:
            model.lease_ms = model.due_ms = self.now_ms() + LEASE_MS
        assert (claim.holds_until != before) == (held and self.trusted(claim))

    def trusted(self, claim: Claim) -> bool:
        """Whether the worker's clock went on like the server's since a claim."""
        return abs(self.jumped_s - self.jumped_before[claim.fence]) * 1000 < CLOCK_TOLERANCE_MS

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), delay_s=st.sampled_from([None, 0, 60]))
    def commit(self, data: st.DataObject, delay_s: float | None) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        key = claim.record.key
        model = self.models[key]
        phase = Phase.FAILED if delay_s is None else Phase.IN_REVIEW
        record = replace(claim.record, phase=phase, step="refresh", customer_id=f"c-{key}")
        now = self.now_ms()
        if model.fence != claim.fence:
            with pytest.raises(StaleClaimError):
                self.ledger.commit(claim, Next(record, delay_s))
            return
        if not self.trusted(claim):
            with pytest.raises(ClockJumpedError):
                self.ledger.commit(claim, Next(record, delay_s))
            return
        nudge = self.ledger.commit(claim, Next(record, delay_s))
        at_once = delay_s == 0 or model.woken
        assert (nudge is not None) == at_once
        wait_ms = NUDGE_MS if at_once else int((delay_s or 0) * 1000)
        model.due_ms = None if delay_s is None and not at_once else now + wait_ms
        model.told += [phase.value] if phase is not model.phase else []
        model.version, model.phase, model.step = model.version + 1, phase, record.step
        model.fence, model.woken, model.crashes = "", False, 0
        model.entries += 1
        self.claims.remove(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), delay_s=st.sampled_from([0, 60]), repeated=st.booleans())
    def commit_and_claim(self, data: st.DataObject, delay_s: float, repeated: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        key = claim.record.key
        model = self.models[key]
        record = replace(claim.record, phase=Phase.IN_REVIEW, step="refresh", customer_id=f"c-{key}")
        now = self.now_ms()
        ledger = TwiceLedger(self.client, PLENTY, lambda: self.shift_ms, self.clock) if repeated else self.ledger
        if model.fence != claim.fence:
            with pytest.raises(StaleClaimError):
                ledger.commit_and_claim(claim, Next(record, delay_s))
            return
        if not self.trusted(claim):
            with pytest.raises(ClockJumpedError):
                ledger.commit_and_claim(claim, Next(record, delay_s))
            return
        answer = ledger.commit_and_claim(claim, Next(record, delay_s))
        assert (answer is not None) == (delay_s == 0 or model.woken)
        model.told += ["in_review"] if model.phase is not Phase.IN_REVIEW else []
        model.version, model.phase, model.step = model.version + 1, Phase.IN_REVIEW, "refresh"
        model.fence, model.woken, model.crashes = "", False, 0
        model.entries += 1
        self.claims.remove(claim)
        model.due_ms = now + int(delay_s * 1000)
        if answer is not None:
            assert (answer.crashes, answer.record.version) == (0, model.version)
            model.fence, model.lease_ms, model.due_ms = answer.fence, now + LEASE_MS, now + LEASE_MS
            self.claims.append(answer)
            self.jumped_before[answer.fence] = self.jumped_s

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def wake(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.models)))
        model, now = self.models[key], self.now_ms()
        nudge = self.ledger.act(key, {"act": "sign", "documents": [], "by": "consent"})
        self.client.delete(f"onboarding:acts:{key}")
        model.woken = bool(model.fence)
        in_hand = model.woken and model.lease_ms > now
        assert (nudge is None) == in_hand
        if not in_hand:
            model.due_ms = now + NUDGE_MS

    @rule(seconds=st.sampled_from([1, 4, 7, 61]))
    def pass_time(self, seconds: int) -> None:
        self.shift_ms += seconds * 1000

    @rule()
    def take(self) -> None:
        now = self.now_ms()
        taken = {nudge.key for nudge in self.ledger.take({"interactive": 10, "bulk": 10}).nudges}
        for key, model in self.models.items():
            if model.waits and self.paused:
                assert key not in taken, key
            elif model.due_ms is not None and abs(model.due_ms - now) > SLACK_MS:
                assert (key in taken) == (model.due_ms < now), key
            if key in taken:
                model.due_ms = now + NUDGE_MS

    @invariant()
    def agree(self) -> None:
        for key, model in self.models.items():
            read = self.ledger.read(key)
            assert read is not None
            assert (read.record.version, read.record.phase, read.record.step) == (
                model.version,
                model.phase,
                model.step,
            )
            assert (read.due_ms is None) == (model.due_ms is None)
            if read.due_ms is not None and model.due_ms is not None:
                assert abs(read.due_ms - model.due_ms) < SLACK_MS
            assert len(self.ledger.history(key)) == model.entries
        told = EventStream(self.ledger).after()
        for key, model in self.models.items():
            assert [event.name for event in told if event.key == key] == model.told
        phases = [model.phase for model in self.models.values()]
        assert {phase: count for phase, (count, _) in Lists(self.ledger).phases().items()} == {
            phase: phases.count(phase) for phase in set(phases)
        }
        [(fields, waiting)] = ImportStore(self.ledger).import_fields(["list"])
        assert waiting == sum(model.waits for model in self.models.values())
        assert self.client.llen("onboarding:imported:list") == sum(
            int(count) for name, count in fields.items() if name.startswith("phase:")
        )


def test_ledger_machine(client: redis.Redis) -> None:
    """The ledger agrees with the model after every step of random stories."""
    LedgerMachine.client = client
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
