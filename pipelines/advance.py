"""From what a step found out to what the record says next: phase, step and due time. Pure; nothing here calls Iron.

The code that runs steps uses six functions: `begin` for a new job, `after_outcome` and `after_error` for what a step
returned or raised, `after_acts` for what people did, `before_acts` for what of it could not be applied yet, and
`timed` for the clocks of the stage and of reminders. All but the first give a `Next` to commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.acts import apply_acts
from pipelines.attempt import ANY_SUBJECT, Attempt
from pipelines.errors import (
    AnswerLostError,
    ArchiveRefusedError,
    HeldBackError,
    IronError,
    NothingDueError,
    OnboardingError,
    RateLimitedError,
    RenewedError,
    RequestRefusedError,
    ServerFaultError,
    SettlingError,
    UnreachableError,
)
from pipelines.lifecycle import FINISHED, IN_FLIGHT, CustomerStatus, Phase
from pipelines.model import Done, Effect, Next, Outcome, Partly, Policy, Problem, Record, Refused, Signing, Wait
from pipelines.onboarding import LIST_EVERY, STEPS
from pipelines.pauses import jittered, spread
from pipelines.reading import MAX_UPDATES, knows_newest
from pipelines.reidentification import Doing, plan
from pipelines.reminders import with_reminder
from pipelines.stages.clock import turn_ms

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
#: Pause before a step comes again that has met answers which help nobody for longer than polls go on, in seconds.
LATE_PAUSE_S = 3_600.0
#: Pause before details that Iron refused once are sent again, in seconds: longer than a slip of one of Iron's machines,
#: shorter than the sender of the job waits.
REFUSED_PAUSE_S = 2.0
#: Pause before the read that follows our own last signature, in seconds: a webhook is usually faster, and makes it
#: needless.
SIGNED_PAUSE_S = 1.0
#: Attempts to read why Iron declined, or what it asks for; after them the customer is shown without reasons.
EXPLAINED_WITHIN = 5
#: Pause after a 429 that does not say how long.
RATE_LIMITED_PAUSE_S = 5.0
#: Pause of a record whose claims end again and again without a commit: slow, but never given up.
POISON_PAUSE_S = 3_600.0
#: Troubles in a row after which an operator hears of a record that meets them while Iron is well for the others:
#: with the pauses between them about a quarter of an hour.
LASTING = 10
#: Refusals of the caller in a row after which an operator hears of it: the first may be one machine of Iron's.
TOLD = 3
#: Problems that are the weather.
WEATHER = frozenset(error.code for error in (UnreachableError, AnswerLostError, ServerFaultError))


def after_outcome(record: Record, outcome: Outcome, attempt: Attempt) -> Next:
    """Return what is next after a step that returned."""
    match outcome:
        case Done(changes, note, keep, event):
            now_true = record.evolve(**changes, attempts=0, tried="")
            now_true = now_true.evolve(effect=_still_in_doubt(now_true, attempt))
            now_true = now_true.evolve(problem=record.problem if _stays(now_true) else None)
            if STEPS[record.step].has_effect or STEPS[record.step].changes_iron:
                now_true = _fresh(now_true, attempt)
            following = _onward(record, now_true, attempt, note)
            following = _again_later(record, following, attempt)
            return replace(following, keep=keep, event=event, read=record.step == "refresh")
        case Wait(because, then, until_ms):
            waiting = record.evolve(effect=attempt.effect, problem=None, attempts=0, tried="", step=then)
            waiting = _in_lane(waiting.evolve(reads=record.reads + 1))
            if until_ms is not None:
                return Next(waiting, max(0.001, (until_ms - attempt.now_ms()) / 1000), because, rule=_rule(attempt))
            return Next(waiting, jittered(poll_pause_s(waiting, attempt)), because)
        case Refused(code, text):
            return _failed(record, code, text, attempt)
        case Partly(changes, error):
            return after_error(record.evolve(**changes), error, attempt)


def _again_later(before: Record, following: Next, attempt: Attempt) -> Next:
    """Let a step come again that met an unforeseen answer, since the customer, read now, still leads to it.

    Its pause grows with its attempts. After an outage it comes at once: the pause was before the read.
    """
    record, problem = following.record, before.problem
    if before.step != "refresh" or record.step != before.tried or record.phase is not before.phase:
        return following
    again = record.evolve(tried=before.tried, attempts=before.attempts, problem=problem)
    if problem is None or problem.code in WEATHER:
        return replace(following, record=again)
    refused = problem.code == RequestRefusedError.code and STEPS[record.step].carries
    pause_s = REFUSED_PAUSE_S if refused else backoff_s(max(before.attempts, problem.count) - 1, attempt.policy)
    if attempt.now_ms() - problem.first_seen_ms > attempt.policy.poll_for_s * 1000:
        pause_s = max(pause_s, LATE_PAUSE_S)
    return replace(following, record=again, delay_s=jittered(pause_s))


def _fresh(record: Record, attempt: Attempt) -> Record:
    """Begin the reads of a customer again: we or a person did something, so that news is near."""
    return record.evolve(reads=-1, fresh_ms=attempt.now_ms())


def _stays(record: Record) -> bool:
    """Return whether a problem stays when a step is through: one that only a person can end."""
    problem = record.problem
    untold = problem is not None and problem.code == RequestRefusedError.code and record.updates >= MAX_UPDATES
    refused = problem is not None and problem.code == ArchiveRefusedError.code
    return record.phase is Phase.FAILED or given_up(record) or untold or refused


def _failed(record: Record, code: str, text: str, attempt: Attempt) -> Next:
    """Return what is next when what was submitted cannot be used: nothing, until somebody corrects it."""
    now_ms = attempt.now_ms()
    problem = Problem.of(code, text, retryable=False, operator=True, now_ms=now_ms, before=record.problem)
    if record.phase is Phase.ACTIVE:  # the customer stays what Iron says; only the new identification failed
        again = record.again.withdrawn() if record.again else None
        refused = record.evolve(effect=attempt.effect, problem=problem, attempts=0, tried="", again=again)
        return _onward(record, refused, attempt, text)
    failed = record.evolve(phase=Phase.FAILED, effect=attempt.effect, problem=problem, reads=0, attempts=0, tried="")
    failed = failed.evolve(step=_what_next(failed, attempt, entered=True)[0])
    return Next(failed, None, text)


def after_error(record: Record, error: OnboardingError, attempt: Attempt) -> Next:
    """Return what is next after a step that did not know.

    No answer is a dead end (design section 2, rule 6): the customer is read, and the table decides whether the step
    comes again. The step itself comes again only where no call was made, or where a key is about to be used again.
    """
    known = record.evolve(effect=attempt.effect)
    match error:
        case RateLimitedError():
            pause_s = error.retry_after_s if error.retry_after_s is not None else RATE_LIMITED_PAUSE_S
            return Next(known, pause_s + spread(RATE_LIMITED_PAUSE_S), error.code)
        case HeldBackError():
            return Next(known, error.retry_after_s + spread(BACKOFF_MIN_S), f"{error.code}: {error.reason}")
        case RenewedError():
            return Next(known, 0, str(error))
        case IronError() if (record.phase, record.step) == (Phase.FAILED, "refresh"):  # what is told is why it failed
            pause_s = backoff_s(record.attempts, attempt.policy)
            return Next(known.evolve(attempts=record.attempts + 1), jittered(pause_s), error.code)
        case RequestRefusedError() if STEPS[record.step].carries and not error.concerns_caller:
            following = _after_refusal(known, error, attempt)
        case IronError() if error.weather or error.concerns_caller:
            following = _after_weather(known, error, attempt)
        case SettlingError():
            return replace(_after_trouble(known, error, attempt), delay_s=attempt.policy.settle_s)
        case _:
            following = _after_trouble(known, error, attempt)
    following = replace(following, record=_with_irons_code(following.record, error))
    return replace(_read_first(following), keep=_said(error, following.record.problem))


def _read_first(following: Next) -> Next:
    """Let the customer be read before a step comes again; at once where Iron answered, later where it did not."""
    record = following.record
    if record.customer_id is None or record.step == "refresh" or record.phase is Phase.FAILED:
        return following
    problem = record.problem
    answered = problem is not None and problem.code not in WEATHER
    read_first = record.evolve(step="refresh", tried=record.step)
    if STEPS[record.step].on_entering and record.attempts >= EXPLAINED_WITHIN:
        read_first = read_first.evolve(reasons_read=True)
    return replace(following, record=read_first, delay_s=0 if answered else following.delay_s)


def _after_refusal(record: Record, error: RequestRefusedError, attempt: Attempt) -> Next:
    """Return what is next when Iron refuses details: once more, then it is Iron's answer to this job."""
    said = str(error).partition("(")[2].partition(")")[0]
    text = f"Iron rejected {STEPS[record.step].carries} ({said}). Correct the details to go on."
    effect = record.effect
    if effect is not None and effect.refused and effect.step == record.step:
        return _failed(record, error.code, text, attempt)
    lasting = record.step == "update_customer" and record.updates >= MAX_UPDATES
    problem = Problem.of(
        error.code, text, retryable=not lasting, operator=lasting, now_ms=attempt.now_ms(), before=record.problem
    )
    tried = record.evolve(problem=problem, attempts=record.attempts + 1)
    return Next(tried, jittered(REFUSED_PAUSE_S), error.code)


def _after_trouble(record: Record, error: OnboardingError, attempt: Attempt) -> Next:
    """Return what is next after an answer that helps nobody: an operator hears of it when it lasts."""
    now_ms = attempt.now_ms()
    problem = Problem.of(
        error.code, str(error), retryable=error.retryable, operator=error.operator, now_ms=now_ms, before=record.problem
    )
    if isinstance(error, IronError | NothingDueError):
        problem = replace(problem, operator=now_ms - problem.first_seen_ms >= attempt.policy.settle_s * 1000)
    pause_s = OPERATOR_PAUSE_S if error.operator else backoff_s(record.attempts, attempt.policy)
    return Next(record.evolve(problem=problem, attempts=record.attempts + 1), jittered(pause_s), error.code)


def _with_irons_code(record: Record, error: OnboardingError) -> Record:
    """Let the problem that an answer made name Iron's own code of it."""
    problem = record.problem
    if not isinstance(error, IronError) or problem is None or problem.code != error.code:
        return record
    return record.evolve(problem=replace(problem, iron_code=error.iron_code))


def _said(error: OnboardingError, problem: Problem | None) -> dict[str, Any]:
    """Keep what Iron said with an answer, encrypted, once for each trouble: it may hold personal data."""
    if not isinstance(error, IronError) or not error.said or problem is None or problem.count > 1:
        return {}
    return {"iron_said": {"status": error.status, "text": error.said}}


def _after_weather(record: Record, error: OnboardingError, attempt: Attempt) -> Next:
    """Return what is next when the trouble is everybody's: later, and it is no failed attempt of this onboarding.

    That is Iron or the way to it in trouble, or Iron refusing the caller. Meanwhile the breaker lets no call leave,
    so that a record meets it once or twice. One that meets it again and again, though the breaker is closed, has a
    trouble of its own, and an operator hears of it.
    """
    if attempt.probe:
        return Next(record, jittered(BACKOFF_MIN_S), error.code)
    before = record.problem
    if before is not None and before.code in WEATHER and error.code in WEATHER:
        before = replace(before, code=error.code)  # 503 now, no answer then: it is the same trouble
    problem = Problem.of(error.code, str(error), retryable=True, operator=False, now_ms=attempt.now_ms(), before=before)
    problem = replace(problem, operator=problem.count >= (LASTING if error.weather else TOLD))
    return Next(record.evolve(problem=problem), jittered(backoff_s(problem.count - 1, attempt.policy)), error.code)


def after_crashes(record: Record, crashes: int, attempt: Attempt) -> Next:
    """Return what is next for a record whose claims keep ending without a commit: an operator, and a slow retry."""
    text = f"{crashes} workers in a row ended while they processed this customer. We now try once an hour."
    problem = Problem.of(
        "poisonous", text, retryable=True, operator=True, now_ms=attempt.now_ms(), before=record.problem
    )
    return Next(record.evolve(effect=attempt.effect, problem=problem), jittered(POISON_PAUSE_S), problem.code)


def after_acts(record: Record, stored: Sequence[bytes], attempt: Attempt) -> Next | None:
    """Apply what people did, in the order in which they did it; None: all of it has to wait for a call in doubt."""
    applied = apply_acts(record.evolve(effect=attempt.effect), stored)
    if not applied.acts:
        return None
    done = _fresh(applied.record, attempt) if applied.moves else applied.record
    following = _onward(record, done, attempt, applied.note)
    soon_s = following.delay_s
    if soon_s is not None:
        soon_s = min(soon_s, attempt.policy.poll_min_s)  # a person who acts wants to see what comes of it
    return replace(following, delay_s=soon_s, sealed=applied.sealed, applied=applied.acts)


def timed(before: Record, following: Next, attempt: Attempt) -> Next:
    """Note since when whoever must act must act, and let the customer be reminded when that is due."""
    now_ms = attempt.now_ms()
    record = following.record.evolve(turn_ms=turn_ms(before, following.record, now_ms))
    return with_reminder(before, replace(following, record=record), attempt.reminders(), now_ms)


def before_acts(following: Next, stored: Sequence[bytes]) -> Next:
    """Let acts that had to wait for a call in doubt be applied at once, if they need not wait any more."""
    left = [act for act in stored if act not in following.applied]
    return replace(following, delay_s=0) if left and apply_acts(following.record, left).acts else following


def poll_pause_s(record: Record, attempt: Attempt) -> float:
    """Return the pause before the next read: growing while the phase is fresh, then far."""
    policy = attempt.policy
    age_s = (attempt.now_ms() - max(record.since_ms, record.fresh_ms or 0)) / 1000
    pause_s = policy.poll_min_s * POLL_GROWTH ** min(max(record.reads, 0), 50)
    return pause_s if age_s + pause_s < policy.poll_for_s else policy.poll_far_s


def backoff_s(before: int, policy: Policy) -> float:
    """Return the pause after an attempt with so many before it that failed as well, in seconds.

    The longest outlasts the settle time.
    """
    longest_s = max(BACKOFF_MAX_S, policy.settle_s * 1.5)
    return min(BACKOFF_MIN_S * 2.0 ** min(before, 30), longest_s)


def _still_in_doubt(record: Record, attempt: Attempt) -> Effect | None:
    """Keep the effect of another step: only the step that made the call knows when its outcome is certain.

    A worker that may be asleep may hold any of the signatures: the doubt stays until there is none left to make.
    """
    effect = attempt.effect
    if effect is None or effect.step != record.step:
        return effect
    left = any(signing.consented_ms and not signing.signed_ms for signing in record.signings)
    if record.step != "submit_signings" or not effect.abandoned or not left:
        return None
    return Effect(effect.step, ANY_SUBJECT, first_ms=effect.first_ms, abandoned=True)


def _onward(before: Record, record: Record, attempt: Attempt, note: str) -> Next:
    """Let the table decide the phase, and the phase the step and the pause."""
    phase = _phase(record, attempt.policy)
    entered = phase is not before.phase or record.identification_id != before.identification_id
    record = record.evolve(phase=phase, reads=0 if entered else record.reads + 1)
    if entered:
        record = record.evolve(reasons_read=False, fresh_ms=None)
    if record.archive and _archived(record):
        record = record.evolve(archive="")
    if before.phase is Phase.FAILED and phase is not before.phase:
        record = record.evolve(problem=None)  # Iron went on without what it refused
    elsewhere = phase not in (Phase.ACTIVE, Phase.ON_HOLD)  # what is on hold may be active all the while
    if elsewhere and record.again is not None and (record.again.asked or record.again.starting):
        record = record.evolve(again=record.again.withdrawn())  # something else came first
    if phase is Phase.ON_HOLD and record.problem is None:
        record = record.evolve(problem=_why_on_hold(record, before, attempt.now_ms()))
    step, pause_s = _what_next(record, attempt, entered=entered)
    rule = _rule(attempt) if phase is Phase.ACTIVE else None
    return Next(_in_lane(record.evolve(step=step, effect=_carried(record, before))), pause_s, note, rule=rule)


def _in_lane(record: Record) -> Record:
    """Put a record into the lane of its step: `reidentify` until the new identification has begun, then home again."""
    away = record.phase is Phase.ACTIVE and (record.tried or record.step) in ("reidentify", "create_identification")
    if away and not record.home:
        return record.evolve(lane=REIDENTIFY, home=record.lane)
    return record.evolve(lane=record.home, home="") if record.home and not away else record


def _rule(attempt: Attempt) -> int:
    return attempt.rule().version


def _carried(record: Record, before: Record) -> Effect | None:
    """Carry an effect on until a read shows it, or the phase does not lead to its step any more."""
    effect = record.effect
    if effect is None:
        return None
    if effect.step == "create_identification" and knows_newest(before):
        follows = effect.subject[1] if effect.subject else before.identification_id or ""
        if follows != (record.identification_id or ""):
            return None  # it has begun, or another one has: the next one follows that
    if record.phase in (before.phase, Phase.CANCELLED):
        return effect
    return effect if record.phase in STEPS[effect.step].doubtful_in else None


def _phase(record: Record, policy: Policy) -> Phase:
    if record.phase is Phase.CANCELLED:
        return record.phase
    phase = Phase.RECEIVED if record.customer_id is None else record.row().phase
    refused = record.effect.step if record.effect else "create_identification"
    if record.phase is Phase.FAILED and phase in STEPS[refused].doubtful_in:
        return record.phase  # what Iron refused is refused until somebody corrects it
    exhausted = phase is Phase.EXPIRED and record.round >= policy.max_rounds and not record.restart
    return Phase.ON_HOLD if exhausted else phase


#: Steps that follow at once in a phase, however it came about.
_AT_ONCE = {step.at_once_in: name for name, step in STEPS.items() if step.at_once_in}
#: Steps that follow once in a phase: they read what it is about.
_ON_ENTERING = {step.on_entering: name for name, step in STEPS.items() if step.on_entering}


def _what_next(record: Record, attempt: Attempt, *, entered: bool) -> tuple[str, float | None]:
    """Return the step that follows and the pause before it, in seconds; None: nothing is due any more."""
    if record.phase in FINISHED and not record.archive:
        return ("refresh" if record.customer_id else "create_customer"), None
    if step := _at_once(record):
        return step, 0
    fresh = record.evolve(since_ms=attempt.now_ms()) if entered else record
    poll_s = jittered(poll_pause_s(fresh, attempt))
    if record.phase is Phase.SIGNINGS_REQUIRED:
        return _what_to_sign(record, poll_s)
    if record.phase is Phase.EXPIRED and not record.adopted:
        rest_s = _spacing_s(record, attempt)
        return ("refresh", rest_s) if rest_s > 0 else ("create_identification", 0)
    if record.phase is Phase.ACTIVE:
        return _next_identification(record, attempt, poll_s)
    return "refresh", poll_s


def _next_identification(record: Record, attempt: Attempt, poll_s: float) -> tuple[str, float]:
    """Return step and pause of an active customer: the due time is the next notice or start, if there is one."""
    if record.identified_ms is None:
        return "refresh", poll_s  # Iron's list made no sense: the date is read again
    far_s = jittered(attempt.policy.poll_far_s)
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
    """Return whether Iron refused to identify this active customer again: nothing more is tried until a person does."""
    effect = record.effect
    if record.phase is not Phase.ACTIVE or effect is None or not effect.refused:
        return False
    return effect.subject == (record.customer_id, record.identification_id or "")


def _at_once(record: Record) -> str | None:
    """Return the step that is to be done now, if there is one. For an adopted customer nothing is begun."""
    if record.archive:
        return "archive_at_iron"
    if record.update:
        return "update_customer"
    if record.step == "update_customer":
        return "refresh"  # a late PUT may have overwritten this one: look
    if record.restart and _may_begin(record):
        return "create_identification"
    if record.phase in _AT_ONCE and not record.adopted:
        return _AT_ONCE[record.phase]
    return None if record.reasons_read else _ON_ENTERING.get(record.phase)


def _may_begin(record: Record) -> bool:
    """Return whether a new identification may begin for a customer who exists."""
    wanted = record.customer_status == CustomerStatus.IDENTIFICATION_REQUIRED
    return wanted and record.identification_status not in IN_FLIGHT


def _archived(record: Record) -> bool:
    """Return whether Iron shows as archived what a person wanted archived."""
    status = record.identification_status if record.archive == "identification" else record.customer_status
    return status == CustomerStatus.ARCHIVED


def _what_to_sign(record: Record, poll_s: float) -> tuple[str, float]:
    open_ = [signing for signing in record.signings if not signing.signed_ms]
    if any(signing.consented_ms for signing in open_):
        return "submit_signings", 0
    if record.step != "fetch_required_signings" and _documents_may_differ(record, open_):
        return "fetch_required_signings", 0
    if record.signings and not open_ and record.reads == 0:
        return "refresh", min(SIGNED_PAUSE_S, poll_s)
    return "refresh", poll_s


def _documents_may_differ(record: Record, open_: Sequence[Signing]) -> bool:
    """Return whether the list of documents is to be read: none is known, or the customer was read a few times since.

    Where all known ones are signed, also with the read that led here: there are new ones.
    """
    if not record.signings:
        return True
    if open_:
        return record.reads > 0 and record.reads % LIST_EVERY == 0
    return record.reads > 1 or (record.reads == 0 and record.step == "refresh")


def _spacing_s(record: Record, attempt: Attempt) -> float:
    """Return the pause before an automatic new round: counted from the beginning of the one that expired."""
    passed_s = (attempt.now_ms() - (record.round_ms or 0)) / 1000
    return max(0.0, attempt.policy.round_spacing_s - passed_s)


def _why_on_hold(record: Record, before: Record, now_ms: int) -> Problem:
    if record.row().phase is Phase.EXPIRED:
        code, text = (
            "rounds_exhausted",
            f"The customer let {record.round} links expire. Ask the customer, then restart.",
        )
    elif record.customer_status == "UserRequired":
        code, text = "user_required", "Iron needs a dashboard user for this customer. Create one at Iron, then retry."
    elif record.customer_status in set(CustomerStatus) and record.identification_status == "Archived":
        code, text = "identification_archived", "Iron archived the identification. Ask Iron why, then restart."
    else:
        code, text = (
            "unknown_status",
            "Iron sent a status this version does not know. Update the program, or ask Iron.",
        )
    return Problem.of(code, text, retryable=False, operator=True, now_ms=now_ms, before=before.problem)
