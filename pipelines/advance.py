"""From what a step found out to what the record says next: phase, step and due time. Pure; nothing here calls Iron.

Whoever runs steps uses five functions: `begin` for a new job, `after_outcome` and `after_error` for what a step
returned or raised, `after_acts` for what people did, and `before_acts` for what of it could not be applied yet. All but
the first give a `Next` to commit.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.acts import apply_acts
from pipelines.attempt import Attempt
from pipelines.errors import (
    AnswerLostError,
    ConflictError,
    HeldBackError,
    NotFoundError,
    OnboardingError,
    RateLimitedError,
    RenewedError,
    ServerFaultError,
    SettlingError,
    UnreachableError,
)
from pipelines.iron import Customer
from pipelines.keys import fingerprint
from pipelines.lifecycle import FINISHED, IN_FLIGHT, OWN_PHASES, Actor, CustomerStatus, Phase, Row, decide
from pipelines.model import Done, Effect, Next, Outcome, Policy, Problem, Record, Refused, Wait
from pipelines.reidentification import Doing, plan

#: The lane of those who are about to be identified again.
REIDENTIFY = "reidentify"

#: Growth of the pause from one read to the next while a change is fresh.
POLL_GROWTH = 1.5
#: First pause after an attempt that failed, in seconds; it doubles with each further one.
BACKOFF_MIN_S = 1.0
#: Longest pause between two attempts, in seconds; longer still where the settle time is, so that it passes between
#: two calls.
BACKOFF_MAX_S = 300.0
#: Pause where only an operator can help; long enough to be quiet, short enough to notice the repair.
OPERATOR_PAUSE_S = 300.0
#: Pause after a 429 that does not say how long.
RATE_LIMITED_PAUSE_S = 5.0
#: Pause of a record whose claims end again and again without a commit: slow, but never given up.
POISON_PAUSE_S = 3_600.0
#: Troubles in a row after which an operator hears of a record that meets them while Iron is well for the others:
#: with the pauses between them about a quarter of an hour.
LASTING = 10
#: Problems that are the weather.
WEATHER = frozenset(error.code for error in (UnreachableError, AnswerLostError, ServerFaultError))
#: Each pause is drawn from this part of itself up to all of it, so that a fleet does not move in step.
JITTER_FROM = 0.8


def begin(job: Mapping[str, Any], import_name: str = "", mark: str = "") -> Record:
    """Make the record of a new onboarding from a job as its model writes it.

    `import_name`: the import it came with; `mark`: the job's fingerprint, where it is known already.
    """
    return Record(
        key=job["idempotency_key"],
        lane=job["lane"],
        external_id=job["external_id"],
        fingerprint=mark or fingerprint(job),
        risk_tier=job["risk_tier"],
        sub_partner_id=job["sub_partner_id"],
        labels=dict(job["labels"]),
        identification_type=job["identification"]["type"],
        with_edd=job["identification"].get("with_edd") is True,
        import_name=import_name,
    )


def adopted(customer: Customer, sub_partner_id: str | None) -> Record:
    """Make the record of a customer that was found on Iron without a job of ours."""
    known = customer.external_id or f"iron-{customer.id}"
    record = Record(
        key=known,
        lane="bulk",
        external_id=known,
        sub_partner_id=sub_partner_id,
        adopted=True,
        customer_id=customer.id,
        customer_status=customer.status,
        identification_status=customer.identification_status,
        was_active=customer.status in (CustomerStatus.ACTIVE, CustomerStatus.SIGNINGS_REQUIRED),
        step="refresh",
    )
    return record.evolve(phase=_row(record).phase)


def joined(record: Record, wanted: Record) -> Record:
    """Let a job take over an adopted record: what the job says, and what Iron showed."""
    fields = (
        *("key", "lane", "external_id", "fingerprint", "risk_tier", "labels", "identification_type", "with_edd"),
        "import_name",
    )
    return record.evolve(**{name: getattr(wanted, name) for name in fields}, adopted=False, step="refresh")


def input_parts(job: Mapping[str, Any]) -> dict[str, Any]:
    """Split off what has to be encrypted: the customer, and the identification if the record does not hold it all.

    Of a link it holds everything but fields that this release does not know.
    """
    identification = job["identification"]
    in_record = identification["type"] == "Link" and identification.keys() <= {"type", "with_edd"}
    return {"customer": job["customer"]} | ({} if in_record else {"identification": identification})


def after_outcome(record: Record, outcome: Outcome, attempt: Attempt) -> Next:
    """Say what is next after a step that returned."""
    match outcome:
        case Done(changes, note, keep, event):
            now_true = record.evolve(**changes, effect=_still_in_doubt(record, attempt), attempts=0)
            now_true = now_true.evolve(problem=record.problem if given_up(now_true) else None)
            return replace(_onward(record, now_true, attempt, note), keep=keep, event=event)
        case Wait(because, then, until_ms):
            waiting = record.evolve(effect=attempt.effect, problem=None, attempts=0, step=then)
            waiting = _in_lane(waiting.evolve(reads=record.reads + 1))
            if until_ms is not None:
                return Next(waiting, max(0.001, (until_ms - attempt.now_ms()) / 1000), because, rule=_rule(attempt))
            return Next(waiting, _jittered(poll_pause_s(waiting, attempt)), because)
        case Refused(code, text):
            now_ms = attempt.now_ms()
            problem = Problem.of(code, text, retryable=False, operator=True, now_ms=now_ms, before=record.problem)
            if record.phase is Phase.ACTIVE:  # the customer stays what Iron says; only the new identification failed
                again = record.again.withdrawn() if record.again else None
                refused = record.evolve(effect=attempt.effect, problem=problem, attempts=0, again=again)
                return _onward(record, refused, attempt, text)
            failed = record.evolve(phase=Phase.FAILED, effect=attempt.effect, problem=problem, reads=0)
            failed = failed.evolve(step=_what_next(failed, attempt, entered=True)[0])
            return Next(failed, None, text)


def after_error(record: Record, error: OnboardingError, attempt: Attempt) -> Next:
    """Say what is next after a step that did not know: the same step again, later."""
    known = record.evolve(effect=attempt.effect)
    match error:
        case RateLimitedError():
            pause_s = error.retry_after_s if error.retry_after_s is not None else RATE_LIMITED_PAUSE_S
            return Next(known, pause_s + _spread(RATE_LIMITED_PAUSE_S), error.code)
        case HeldBackError():
            return Next(known, error.retry_after_s + _spread(BACKOFF_MIN_S), f"{error.code}: {error.reason}")
        case RenewedError():
            return Next(known, 0, str(error))
    if error.weather:
        return _after_weather(known, error, attempt)
    now_ms = attempt.now_ms()
    problem = Problem.of(
        error.code, str(error), retryable=error.retryable, operator=error.operator, now_ms=now_ms, before=record.problem
    )
    if isinstance(error, ConflictError | NotFoundError):
        lasting = now_ms - problem.first_seen_ms >= attempt.policy.settle_s * 1000
        problem = replace(problem, operator=lasting)
    tried = known.evolve(problem=problem, attempts=record.attempts + 1)
    if isinstance(error, SettlingError):
        return Next(tried, attempt.policy.settle_s, error.code)
    pause_s = OPERATOR_PAUSE_S if error.operator else backoff_s(record.attempts, attempt.policy)
    return Next(tried, _jittered(pause_s), error.code)


def _after_weather(record: Record, error: OnboardingError, attempt: Attempt) -> Next:
    """Say what is next when Iron or the way to it is in trouble: later, and it is no failed attempt of this onboarding.

    While the trouble is everybody's, the breaker lets no call leave, so that a record meets it once or twice. One that
    meets it again and again, though the breaker is closed, has a trouble of its own, and an operator hears of it.
    """
    if attempt.probe:
        return Next(record, _jittered(BACKOFF_MIN_S), error.code)
    before = record.problem
    if before is not None and before.code in WEATHER:
        before = replace(before, code=error.code)  # 503 now, no answer then: it is the same trouble
    problem = Problem.of(error.code, str(error), retryable=True, operator=False, now_ms=attempt.now_ms(), before=before)
    problem = replace(problem, operator=problem.count >= LASTING)
    return Next(record.evolve(problem=problem), _jittered(backoff_s(problem.count - 1, attempt.policy)), error.code)


def after_crashes(record: Record, crashes: int, attempt: Attempt) -> Next:
    """Say what is next for a record whose claims keep ending without a commit: an operator, and a slow retry."""
    text = f"{crashes} workers in a row ended while they had this onboarding in hand."
    problem = Problem.of(
        "poisonous", text, retryable=True, operator=True, now_ms=attempt.now_ms(), before=record.problem
    )
    return Next(record.evolve(effect=attempt.effect, problem=problem), _jittered(POISON_PAUSE_S), problem.code)


def after_acts(record: Record, stored: Sequence[bytes], attempt: Attempt) -> Next | None:
    """Apply what people did, in the order in which they did it; None: all of it has to wait for a call in doubt."""
    applied = apply_acts(record.evolve(effect=attempt.effect), stored)
    if not applied.acts:
        return None
    following = _onward(record, applied.record, attempt, applied.note)
    soon_s, step = following.delay_s, following.record.step
    if soon_s is not None:
        soon_s = min(soon_s, attempt.policy.poll_min_s)  # whoever acts wants to see what comes of it
        if step == "refresh" and following.record.phase is record.phase and record.step in _ON_ENTERING.values():
            soon_s, step = 0, record.step  # what is to be done once on entering the phase is not done yet
    record = following.record.evolve(step=step)
    return replace(following, record=record, delay_s=soon_s, sealed=applied.sealed, applied=applied.acts)


def before_acts(following: Next, stored: Sequence[bytes]) -> Next:
    """Let acts that had to wait for a call in doubt be applied at once, if they need not wait any more."""
    left = [act for act in stored if act not in following.applied]
    return replace(following, delay_s=0) if left and apply_acts(following.record, left).acts else following


def waiting_on(record: Record) -> Actor:
    """Say who must act before this onboarding can move on."""
    if record.problem is not None and record.problem.operator:
        return Actor.OPERATOR
    if record.phase is Phase.ON_HOLD:
        return Actor.OPERATOR
    if record.phase in OWN_PHASES:
        return OWN_PHASES[record.phase]
    if record.phase is Phase.SIGNINGS_REQUIRED:
        return _who_signs(record)
    return _row(record).who


def _who_signs(record: Record) -> Actor:
    """Say whose turn it is: ours while documents are fetched or submitted, Iron's when all are signed."""
    open_ = [signing for signing in record.signings if not signing.signed_ms]
    if any(not signing.consented_ms for signing in open_):
        return Actor.CUSTOMER
    return Actor.IRON if record.signings and not open_ else Actor.US


def poll_pause_s(record: Record, attempt: Attempt) -> float:
    """Give the pause before the next read: growing while the phase is fresh, then far."""
    policy = attempt.policy
    age_s = (attempt.now_ms() - record.since_ms) / 1000
    pause_s = policy.poll_min_s * POLL_GROWTH ** min(record.reads, 50)
    return pause_s if age_s + pause_s < policy.poll_for_s else policy.poll_far_s


def backoff_s(before: int, policy: Policy) -> float:
    """Give the pause after an attempt with so many before it that failed as well, in seconds.

    The longest outlasts the settle time.
    """
    longest_s = max(BACKOFF_MAX_S, policy.settle_s * 1.5)
    return min(BACKOFF_MIN_S * 2.0 ** min(before, 30), longest_s)


def _still_in_doubt(record: Record, attempt: Attempt) -> Effect | None:
    """Keep the effect of another step: only the step that made the call knows when its outcome is certain."""
    effect = attempt.effect
    return effect if effect is not None and effect.step != record.step else None


def _onward(before: Record, record: Record, attempt: Attempt, note: str) -> Next:
    """Let the table decide the phase, and the phase the step and the pause."""
    phase = _phase(record, attempt.policy)
    entered = phase is not before.phase or record.identification_id != before.identification_id
    record = record.evolve(phase=phase, reads=0 if entered else record.reads + 1)
    if phase is not Phase.ACTIVE and record.again is not None and (record.again.asked or record.again.starting):
        record = record.evolve(again=record.again.withdrawn())  # something else came first
    if phase is Phase.ON_HOLD and record.problem is None:
        record = record.evolve(problem=_why_on_hold(record, before, attempt.now_ms()))
    step, pause_s = _what_next(record, attempt, entered=entered)
    rule = _rule(attempt) if phase is Phase.ACTIVE else None
    return Next(_in_lane(record.evolve(step=step, effect=_carried(record, before))), pause_s, note, rule=rule)


def _in_lane(record: Record) -> Record:
    """Put a record into the lane of its step: `reidentify` until the new identification has begun, then home again."""
    away = record.phase is Phase.ACTIVE and record.step in ("reidentify", "create_identification")
    if away and not record.home:
        return record.evolve(lane=REIDENTIFY, home=record.lane)
    return record.evolve(lane=record.home, home="") if record.home and not away else record


def _rule(attempt: Attempt) -> int:
    return attempt.rule().version


def _carried(record: Record, before: Record) -> Effect | None:
    """Carry an effect on until the customer is in a phase that does not lead to its step any more."""
    effect = record.effect
    if effect is None or record.phase in (before.phase, Phase.CANCELLED):
        return effect
    return effect if record.phase in _LEADING_TO[effect.step] else None


def _row(record: Record) -> Row:
    return decide(
        record.customer_status or "",
        record.identification_status,
        has_url=record.link is not None,
        was_active=record.was_active,
        may_retry=record.may_retry,
    )


def _phase(record: Record, policy: Policy) -> Phase:
    if record.phase is Phase.CANCELLED:
        return record.phase
    phase = Phase.RECEIVED if record.customer_id is None else _row(record).phase
    refused = record.effect.step if record.effect else "create_identification"
    if record.phase is Phase.FAILED and phase in _LEADING_TO[refused]:
        return record.phase  # what Iron refused is refused until somebody corrects it
    exhausted = phase is Phase.EXPIRED and record.round >= policy.max_rounds and not record.restart
    return Phase.ON_HOLD if exhausted else phase


#: Phases that lead to a step which changes Iron. Any other one is news that things went on without it.
_LEADING_TO = {
    "create_customer": frozenset({Phase.RECEIVED}),
    "create_identification": frozenset({Phase.CUSTOMER_CREATED, Phase.EXPIRED, Phase.DECLINED, Phase.ON_HOLD}),
    "submit_signings": frozenset({Phase.SIGNINGS_REQUIRED}),
}


#: Steps that follow at once in a phase, however it came about.
_AT_ONCE = {Phase.RECEIVED: "create_customer", Phase.CUSTOMER_CREATED: "create_identification"}
#: Steps that follow once, when a phase is entered.
_ON_ENTERING = {Phase.STEP_UP_REQUIRED: "handle_step_up", Phase.DECLINED: "explain_decline"}


def _what_next(record: Record, attempt: Attempt, *, entered: bool) -> tuple[str, float | None]:
    """Give the step that follows and the pause before it, in seconds; None: nothing is due any more."""
    if record.phase in FINISHED:
        return ("refresh" if record.customer_id else "create_customer"), None
    if step := _at_once(record, entered=entered):
        return step, 0
    fresh = record.evolve(since_ms=attempt.now_ms()) if entered else record
    poll_s = _jittered(poll_pause_s(fresh, attempt))
    if record.phase is Phase.SIGNINGS_REQUIRED:
        return _what_to_sign(record, poll_s, entered=entered)
    if record.phase is Phase.EXPIRED and not record.adopted:
        rest_s = _spacing_s(record, attempt)
        return ("refresh", rest_s) if rest_s > 0 else ("create_identification", 0)
    if record.phase is Phase.ACTIVE:
        return _next_identification(record, attempt)
    return "refresh", poll_s


def _next_identification(record: Record, attempt: Attempt) -> tuple[str, float]:
    """Give the step and the pause of an active customer: the due time is the next notice or start, if there is one."""
    far_s = _jittered(attempt.policy.poll_far_s)
    if given_up(record):
        return "refresh", far_s
    if record.again is not None and record.again.starting:
        return "create_identification", 0
    now_ms = attempt.now_ms()
    found = plan(record, attempt.rule(), now_ms)
    if found is None or found.at_ms is None:
        return "refresh", far_s
    if found.doing is not Doing.WAIT:
        return "reidentify", 0
    return "refresh", min(far_s, max(0.001, (found.at_ms - now_ms) / 1000))


def given_up(record: Record) -> bool:
    """Say whether Iron refused to identify this active customer again: nothing more is tried until a person does."""
    effect = record.effect
    if record.phase is not Phase.ACTIVE or effect is None or not effect.refused:
        return False
    return effect.subject == (record.customer_id, record.identification_id or "")


def _at_once(record: Record, *, entered: bool) -> str | None:
    """Give the step that is to be done now, if there is one. For an adopted customer nothing is begun."""
    if record.update:
        return "update_customer"
    if record.step == "update_customer":
        return "refresh"  # a late PUT may have overwritten this one: look
    if record.restart and _may_begin(record):
        return "create_identification"
    if record.phase in _AT_ONCE and not record.adopted:
        return _AT_ONCE[record.phase]
    return _ON_ENTERING.get(record.phase) if entered else None


def _may_begin(record: Record) -> bool:
    """Say whether a new identification may begin for a customer who exists."""
    wanted = record.customer_status == CustomerStatus.IDENTIFICATION_REQUIRED
    return wanted and record.identification_status not in IN_FLIGHT


def _what_to_sign(record: Record, poll_s: float, *, entered: bool) -> tuple[str, float]:
    open_ = [signing for signing in record.signings if not signing.signed_ms]
    if any(signing.consented_ms for signing in open_):
        return "submit_signings", 0
    if entered:
        return "fetch_required_signings", 0
    if record.step == "submit_signings" and not open_:
        return "refresh", 0
    return "fetch_required_signings", poll_s


def _spacing_s(record: Record, attempt: Attempt) -> float:
    """Give the pause before an automatic new round: counted from the beginning of the one that expired."""
    passed_s = (attempt.now_ms() - (record.round_ms or 0)) / 1000
    return max(0.0, attempt.policy.round_spacing_s - passed_s)


def _why_on_hold(record: Record, before: Record, now_ms: int) -> Problem:
    if record.identification_status == "Expired":
        code, text = (
            "rounds_exhausted",
            f"{record.round} links in a row expired unused. Ask the customer, then restart.",
        )
    elif record.customer_status == "UserRequired":
        code, text = "user_required", "Iron wants a user of its dashboard for this customer first."
    elif record.identification_status == "Archived":
        code, text = "identification_archived", "The identification was archived on Iron's side."
    else:
        code, text = "unknown_status", "Iron shows a status that this release does not know. Update, or ask Iron."
    return Problem.of(code, text, retryable=False, operator=True, now_ms=now_ms, before=before.problem)


def _jittered(pause_s: float) -> float:
    return pause_s * random.uniform(JITTER_FROM, 1.0)  # noqa: S311 -- spreads load, keeps no secret


def _spread(upto_s: float) -> float:
    return random.uniform(0.0, upto_s)  # noqa: S311 -- spreads load, keeps no secret
