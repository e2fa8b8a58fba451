"""Runs one step of one onboarding: claim, call, commit, send; in that order. Source: design section 2, rule 3.

Where the next step follows at once, the worker goes on with it: its commit takes the next claim in the same call, in
place of a nudge that would only come back to a worker like this one (ops/docs/decisions/0006).

A crash anywhere is picked up when the claim's lease ends; nothing in here is repeated by itself. Whatever a step
raises becomes a later attempt; only a record that somebody else holds now, or Redis being away, leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import redis
import structlog

from pipelines.advance import after_acts, after_crashes, after_outcome, before_acts, timed
from pipelines.attempt import Attempt, effect_in_hand
from pipelines.errors import OnboardingError, RateLimitedError, StaleClaimError
from pipelines.iron import Iron
from pipelines.model import Next, Outcome, Partly, Policy, Record
from pipelines.onboarding import STEPS
from workers.budget.gate import Gate
from workers.budget.permits import Permits, tap_pause_s
from workers.engine.leases import Leases
from workers.ledger import LANES, POISON_CRASHES, Claim, Ledger, NotClaimed, Nudge, WithheldError
from workers.process.counters import Counters
from workers.reidentification.policy_store import Rules
from workers.reminders.policy_store import ReminderRules
from workers.secrets.vault import Place, Vault, of_text

log = structlog.get_logger()

#: For how long a thread goes on with one record, in seconds: longer than the steps from a job to its link take, short
#: beside the limit of a step, and short for a job that waits for a thread.
GOING_ON_S = 5.0


class UnexpectedError(OnboardingError):
    """Internal error in the program. Its log says where."""

    code = "unexpected"
    retryable = True
    operator = True


@dataclass(slots=True)
class Runner:
    """Everything that running a step needs."""

    ledger: Ledger
    leases: Leases
    send: Callable[[Nudge], None]
    iron: Iron
    vault: Vault
    policy: Policy
    installation: str
    counters: Counters = field(default_factory=Counters)
    #: Whether a thread goes on with the next step of a record.
    going_on: bool = True
    #: Whether a customer's calls name the API version under which Iron created the customer.
    keep_version: bool = False
    #: Waits for Iron's budget, this many seconds.
    sleep: Callable[[float], object] = time.sleep
    rules: Rules = field(init=False)
    reminders: ReminderRules = field(init=False)

    def __post_init__(self) -> None:
        """Keep the policies of re-identification and of reminders at hand."""
        self.rules = Rules(self.ledger)
        self.reminders = ReminderRules(self.ledger)

    def end(self) -> None:
        """Go on with nothing any more, since the process is about to end: what follows goes to the queue."""
        self.going_on = False

    def run(self, step: str, key: str, version: int) -> Next | None:
        """Run the step that a nudge asks for, if it is still to be done, and go on with what follows at once.

        Answers what was committed last.
        """
        try:
            claim = self.ledger.claim(key, version, step)
            if isinstance(claim, NotClaimed):
                self.counters.add("nudges_passed", reason=claim.reason)
                log.debug("step.passed", key=key, step=step, version=version, reason=claim.reason)
                return None
            return self._run_claimed(claim)
        except (StaleClaimError, redis.RedisError) as error:
            self.counters.add("steps_interrupted", step=step, error=type(error).__name__)
            log.warning("step.interrupted", key=key, step=step, error=type(error).__name__)
            return None

    def _run_claimed(self, claim: Claim) -> Next:
        """Run the step of a claim and commit, and so on while a claim comes back with it."""
        until = self.ledger.clock() + GOING_ON_S
        while True:
            with self.leases.hold(claim):
                following, going_on = self._committed(claim, self._attempt(claim), until)
            self._tell(claim, following)
            if going_on is None:
                return following
            claim = going_on

    def _committed(self, claim: Claim, following: Next, until: float) -> tuple[Next, Claim | None]:
        """Commit; without the reminder where somebody did something while it was about to be told."""
        try:
            return following, self._commit(claim, following, until)
        except WithheldError:
            if following.instead is None:
                raise
            self.counters.add("reminders_withheld")
            return following.instead, self._commit(claim, following.instead, until)

    def _commit(self, claim: Claim, following: Next, until: float) -> Claim | None:
        """Commit, and either take the next claim or send the nudge.

        Only interactive work goes on: a thread that is through with a step of other lanes is free for it. `until`: the
        moment on our own clock when the thread is free for others in any case.
        """
        record, parts = following.record, self._parts(claim.record.key, following)
        if self.going_on and record.lane == LANES[0] and self.ledger.clock() < until:
            found = self.ledger.commit_and_claim(claim, following, parts)
        else:
            found = self.ledger.commit(claim, following, parts)
        if isinstance(found, Nudge):
            self.send(found)
            return None
        return found

    def _tell(self, claim: Claim, following: Next) -> None:
        """Count the attempt, and write its canonical line."""
        record, before = following.record, claim.record
        took_s, code = claim.clock() - claim.started, record.problem.code if record.problem else None
        self.counters.add("steps", step=before.step, lane=record.lane, code=code or "")
        self.counters.add("iron_calls", claim.calls, step=before.step)
        self.counters.took("step_duration", took_s, step=before.step)
        log.info(
            "step.committed",
            key=record.key,
            step=before.step,
            lane=record.lane,
            version=before.version,
            phase=record.phase.value,
            phase_before=before.phase.value,
            because=following.note if following.note and not following.applied else None,
            code=code,
            attempts=record.attempts,
            crashes=claim.crashes,
            calls=claim.calls,
            wait_ms=round(claim.waited_s * 1000),
            step_ms=round(took_s * 1000, 1),
        )

    def _attempt(self, claim: Claim) -> Next:
        """Find out what is next."""
        record = claim.record
        attempt = Attempt(
            installation=self.installation,
            policy=self.policy,
            now_ms=claim.elapsed_ms,
            input=lambda: self.vault.open(Place("input", record.key, STEPS[record.step].part), claim.sealed_input),
            effect=effect_in_hand(record, claim.abandoned_ms, has_effect=STEPS[record.step].has_effect),
            rule=cache(lambda: self.rules.at(claim.rule)),
            place=self.rules.place,
            reminders=cache(lambda: self.reminders.at(claim.reminders)),
            has_input=claim.sealed_input is not None,
            probe=claim.probe,
        )
        following = before_acts(self._found(claim, attempt), claim.acts)
        return timed(record, following, attempt)

    def _found(self, claim: Claim, attempt: Attempt) -> Next:
        """Find out what is next, by what people did, or by running the step."""
        record = claim.record
        if claim.crashes >= POISON_CRASHES:
            return after_crashes(record, claim.crashes, attempt)
        if claim.acts and (following := after_acts(record, claim.acts, attempt)):
            return following
        permits = Permits(self.ledger, claim, self.sleep)
        version = record.api_version if self.keep_version else ""
        iron = self.iron.on_behalf_of(record.sub_partner_id, permits.before_call, claim.hear, version)
        outcome = self._outcome(record, iron, attempt)
        if isinstance(outcome, Partly):
            claim.troubled_by(outcome.error)
            if isinstance(outcome.error, RateLimitedError):
                Gate(self.ledger).close_tap(tap_pause_s(outcome.error), permits.latest)
        return after_outcome(record, outcome, attempt)

    def _outcome(self, record: Record, iron: Iron, attempt: Attempt) -> Outcome:
        """Run the step; what it raises is an outcome too, except for a claim that is over and Redis being away."""
        try:
            return STEPS[record.step].run(record, iron, attempt)
        except (StaleClaimError, redis.RedisError):
            raise
        except OnboardingError as error:
            return Partly({}, error)
        except Exception:
            log.exception("step.failed", key=record.key, step=record.step)
            return Partly({}, UnexpectedError())

    def _parts(self, key: str, following: Next) -> dict[str, bytes]:
        """Seal the parts of the input to keep; an empty one is dropped."""
        kept = {
            name: b"" if part is None else self.vault.seal(Place("input", key, name), part)
            for name, part in following.keep.items()
        }
        return kept | {name: of_text(part) for name, part in following.sealed.items()}
