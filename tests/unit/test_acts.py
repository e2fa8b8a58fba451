"""What people do, in every phase: applied or passed over with a sentence, and never across a call in doubt."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from pipelines.acts import ACTS as ROWS
from pipelines.acts import MAX_ROUNDS_ASKED, Applied, apply_acts, refusal
from pipelines.advance import after_acts, after_error, after_outcome
from pipelines.attempt import Attempt
from pipelines.begin import begin
from pipelines.errors import AnswerLostError, InputLostError, RequestRefusedError
from pipelines.job import parse_job
from pipelines.keys import canonical_json
from pipelines.lifecycle import FINISHED, IdentificationStatus, Phase
from pipelines.model import STRIKES, Done, Effect, Next, Policy, Problem, Record, Signing
from pipelines.onboarding import STEPS

NOW_MS = 1_768_471_200_000
ACTS = ("sign", "correct", "cancel", "restart", "renew", "retry", "reidentify", "archive", "archive_identification")
JOB = parse_job(
    {"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "marker@example.com"}}
).canonical()
NEW = replace(begin(JOB), since_ms=NOW_MS)
CUSTOMER = {"customer_id": "c-1", "customer_status": "IdentificationRequired"}
NEWEST = {"identification_id": "i-1", "identification_status": "Pending", "link": "https://v/1", "round": 1}
WAITING = replace(NEW, phase=Phase.IDENTIFICATION_PENDING, step="refresh", round_ms=NOW_MS, **CUSTOMER, **NEWEST)
PROBLEM = Problem("access_refused", "Iron refuses access.", True, NOW_MS, operator=True)


def act(name: str, **more: Any) -> bytes:
    """An act as the ledger stores it."""
    known: dict[str, Any] = {"act": name, "by": "ops", "at_ms": NOW_MS + 7}
    if name == "sign":
        known["documents"] = ["d-1"]
    if name == "reidentify":
        known["run"] = "r-1"
    if name == "correct":
        fields = ("external_id", "risk_tier", "labels", "identification_type", "with_edd")
        known |= {field: getattr(NEW, field) for field in fields}
        known |= {"fingerprint": "corrected", "parts": {"customer": "sealed-customer"}}
    return canonical_json(known | more)


def at(effect: Effect | None = None, now_ms: int = NOW_MS) -> Attempt:
    """The circumstances of an attempt."""

    def lost() -> dict[str, Any]:
        raise InputLostError

    return Attempt("default", Policy(), lambda: now_ms, lost, effect=effect)


def applied(record: Record, *acts: bytes, now_ms: int = NOW_MS) -> Next:
    """What is next after acts of which one at least is taken into account."""
    following = after_acts(record, acts, at(record.effect, now_ms))
    assert following is not None
    return following


def read(record: Record, **changes: Any) -> Record:
    """The record after a read that found these things."""
    return after_outcome(record, Done(changes), at(record.effect)).record


def effect_of(record: Record) -> Effect:
    """An effect of the record's own next call."""
    if record.customer_id is None:
        return Effect("create_customer", ("k-1",), first_ms=NOW_MS - 1_000)
    if record.phase is Phase.SIGNINGS_REQUIRED:
        return Effect("submit_signings", ("c-1", "d-2", "0"), first_ms=NOW_MS - 1_000)
    return Effect("create_identification", ("c-1", record.identification_id or ""), first_ms=NOW_MS - 1_000)


def struck(record: Record, effect: Effect, now_ms: int = NOW_MS) -> Record:
    """The record after Iron has refused the details of its next call once more."""
    error = RequestRefusedError("Refused. (HTTP 422)", status=422)
    error.of_effect = True
    return after_error(record, error, at(effect.after(error, now_ms, Policy()), now_ms)).record


def refused(record: Record, generation: int = 0) -> Record:
    """The record after Iron has refused its next call for good: twice, and the customer was read in between."""
    effect: Effect | None = replace(effect_of(record), generation=generation)
    for _ in range(STRIKES):
        assert effect is not None
        step = record.step
        record = struck(record, effect)
        if record.step == "refresh" and record.phase is not Phase.FAILED:
            record = read(record)
            assert record.step == step
        effect = record.effect
    return record


#: A record in each phase, as the pipeline itself brings it there.
RECORDS: dict[Phase, Record] = {
    Phase.RECEIVED: NEW,
    Phase.CUSTOMER_CREATED: read(NEW, **CUSTOMER),
    Phase.IDENTIFICATION_PENDING: WAITING,
    Phase.STEP_UP_REQUIRED: read(WAITING, was_active=True),
    Phase.IN_REVIEW: read(WAITING, identification_status="Processed"),
    Phase.DECLINED: read(WAITING, identification_status="Declined"),
    Phase.EXPIRED: read(WAITING, identification_status="Expired"),
    Phase.SIGNINGS_REQUIRED: read(
        WAITING, customer_status="SigningsRequired", signings=(Signing("d-1"), Signing("d-2"))
    ),
    Phase.ACTIVE: read(WAITING, customer_status="Active", identification_status="Approved"),
    Phase.SUSPENDED: read(WAITING, customer_status="Suspended", identification_status="Approved"),
    Phase.ARCHIVED: read(WAITING, customer_status="Archived", identification_status="Approved"),
    Phase.ON_HOLD: read(WAITING, identification_status="Archived"),
    Phase.FAILED: refused(NEW),
    Phase.CANCELLED: applied(WAITING, act("cancel")).record,
}
#: The phases in which each act makes sense.
TAKEN = {
    "sign": {Phase.SIGNINGS_REQUIRED},
    "correct": set(Phase) - {Phase.CANCELLED, Phase.ARCHIVED},
    "cancel": set(Phase) - {Phase.CANCELLED, Phase.ARCHIVED},
    "restart": {Phase.DECLINED, Phase.EXPIRED, Phase.ON_HOLD, Phase.CANCELLED},
    "renew": {Phase.DECLINED, Phase.EXPIRED},
    "retry": {Phase.FAILED, Phase.ON_HOLD},
    "reidentify": {Phase.ACTIVE},
    "archive": set(Phase) - {Phase.RECEIVED, Phase.FAILED, Phase.ARCHIVED},
    "archive_identification": set(Phase)
    - {Phase.RECEIVED, Phase.CUSTOMER_CREATED, Phase.FAILED, Phase.ON_HOLD, Phase.ARCHIVED},
}
EACH_PHASE = pytest.mark.parametrize("phase", Phase)
EACH_ACT = pytest.mark.parametrize("name", ACTS)


# --- every act in every phase ----------------------------------------------------------------------------------------


def test_there_is_a_record_in_each_phase() -> None:
    """What follows is said of all of them."""
    assert {phase: record.phase for phase, record in RECORDS.items()} == {phase: phase for phase in Phase}


@EACH_PHASE
@EACH_ACT
def test_an_act_is_applied_or_passed_over_with_a_sentence(name: str, phase: Phase) -> None:
    """Where it makes sense it is applied, elsewhere it changes nothing and the history says why; stored no longer."""
    record, stored = RECORDS[phase], act(name, reason="as agreed")
    result = apply_acts(record, [stored])
    assert result.acts == (stored,)
    why_not = refusal(record, name)
    assert (why_not is None) == (phase in TAKEN[name])
    if why_not is None:
        assert result.note == f"ops {ROWS[name].done}: “as agreed”."
        assert result.record != record
    else:
        assert re.fullmatch(r"[A-Z].{15,}\.", why_not)
        assert result == Applied(record, (stored,), f"Not done: {name} by ops: “as agreed”. {why_not}")


@EACH_PHASE
@EACH_ACT
def test_no_act_strands_a_record(name: str, phase: Phase) -> None:
    """After any act there is a step to run, and a due time unless the phase is an end."""
    following = applied(RECORDS[phase], act(name))
    assert following.record.step in STEPS
    ended = following.record.phase in FINISHED and not following.record.archive
    assert (following.delay_s is None) == ended
    assert following.applied == (act(name),)
    if phase not in TAKEN[name]:
        assert following.record.phase is phase
        assert following.sealed == {}


@EACH_PHASE
@EACH_ACT
def test_what_changes_a_call_waits_while_one_is_in_doubt(name: str, phase: Phase) -> None:
    """Whatever changes a call stays stored until Iron's answer is definite; consent does not wait."""
    record = replace(RECORDS[phase], effect=replace(effect_of(RECORDS[phase]), last_ms=NOW_MS - 500))
    abandoned = replace(record, effect=replace(effect_of(record), abandoned=True))
    for doubtful in (record, abandoned):
        result = apply_acts(doubtful, [act(name)])
        following = after_acts(doubtful, [act(name)], at(doubtful.effect))
        if name == "sign":
            assert result.acts == (act("sign"),)
            assert following is not None
            assert following.record.effect == doubtful.effect
        else:
            assert result == Applied(doubtful)
            assert following is None


@EACH_ACT
def test_which_acts_wait_for_certainty(name: str) -> None:
    """Consent is the only act that changes no call."""
    assert ROWS[name].waits == (name != "sign")


@pytest.mark.parametrize(
    "certain",
    [
        effect_of(NEW),
        replace(effect_of(NEW), last_ms=NOW_MS - 5, refused=True),
        None,
    ],
    ids=["not called", "refused", "none"],
)
@pytest.mark.parametrize("name", ["cancel", "correct", "retry"])
def test_nothing_waits_where_the_outcome_is_certain(name: str, certain: Effect | None) -> None:
    """An effect that was never called, or that Iron refused for good, holds up nobody."""
    record = replace(NEW, phase=Phase.FAILED, effect=certain, problem=PROBLEM)
    assert apply_acts(record, [act(name)]).acts == (act(name),)
    assert refusal(record, name) is None


def test_the_attempts_doubt_counts() -> None:
    """A claim that may have called without a commit is only known to the attempt: its doubt holds acts up as well."""
    abandoned = Effect("create_customer", (), first_ms=NOW_MS - 5, abandoned=True)
    assert after_acts(NEW, [act("correct")], at(abandoned)) is None


# --- order -----------------------------------------------------------------------------------------------------------


def test_acts_are_applied_in_their_order() -> None:
    """Each act meets the record as the one before has left it."""
    cancelled = applied(RECORDS[Phase.DECLINED], act("restart"), act("cancel"))
    assert (cancelled.record.phase, cancelled.delay_s) == (Phase.CANCELLED, None)
    reopened = applied(RECORDS[Phase.DECLINED], act("cancel"), act("restart"))
    assert (reopened.record.phase, reopened.record.restart) == (Phase.DECLINED, False)
    assert reopened.note == f"ops {ROWS['cancel'].done}. ops {ROWS['restart'].done}."


def test_the_last_correction_counts() -> None:
    """Two corrections are two revisions; what the second one says is what is true, part by part."""
    first = act("correct", fingerprint="one", parts={"customer": "1", "identification": "1"}, labels={"a": "1"})
    second = act("correct", fingerprint="two", parts={"customer": "2"}, labels={}, at_ms=NOW_MS + 9)
    following = applied(RECORDS[Phase.RECEIVED], first, second)
    record = following.record
    assert (record.revision, record.fingerprint, record.labels, record.input_ms) == (2, "two", {}, NOW_MS + 9)
    assert following.sealed == {"customer": "2", "identification": "1"}


def test_an_act_that_waits_does_not_hold_up_the_next() -> None:
    """Consent behind a correction is applied while the correction waits for a call in doubt."""
    doubtful = Effect("submit_signings", ("c-1", "d-2", "0"), first_ms=1, last_ms=2)
    record = replace(RECORDS[Phase.SIGNINGS_REQUIRED], effect=doubtful)
    for acts in permutations((act("sign"), act("correct"), act("cancel"))):
        following = applied(record, *acts)
        assert following.applied == (act("sign"),)
        assert (following.record.step, following.delay_s) == ("submit_signings", 0)
        assert (following.record.revision, following.record.phase) == (0, Phase.SIGNINGS_REQUIRED)
        assert following.sealed == {}


@EACH_PHASE
def test_an_act_of_a_later_release_stays_stored(phase: Phase) -> None:
    """What this worker does not know waits for one that does, and the others go on."""
    unknown = canonical_json({"act": "dance", "by": "ops", "at_ms": 1, "tempo": "allegro"})
    assert after_acts(RECORDS[phase], [unknown], at()) is None
    assert apply_acts(RECORDS[phase], [unknown]) == Applied(RECORDS[phase])
    assert applied(RECORDS[phase], unknown, act("retry"), unknown).applied == (act("retry"),)


def test_a_field_of_a_later_release_is_ignored() -> None:
    """A known act that says more than this release reads is applied."""
    assert applied(WAITING, act("cancel", mood="fine")).record.phase is Phase.CANCELLED


def test_an_unknown_act_is_refused_in_words() -> None:
    """Whoever asks before storing hears that there is no such act."""
    assert refusal(WAITING, "dance") == "There is no such action."


# --- sign ------------------------------------------------------------------------------------------------------------


def test_consent_is_noted_once_and_submitted_at_once() -> None:
    """The time of the first consent is kept, only documents that were agreed to are touched."""
    record = RECORDS[Phase.SIGNINGS_REQUIRED]
    following = applied(record, act("sign"), act("sign", at_ms=NOW_MS + 99))
    assert following.record.signings == (Signing("d-1", consented_ms=NOW_MS + 7), Signing("d-2"))
    assert (following.record.step, following.delay_s) == ("submit_signings", 0)


@pytest.mark.parametrize("phase", sorted(FINISHED))
def test_consent_reopens_nothing(phase: Phase) -> None:
    """An onboarding that is over stays over, also where a document was open."""
    record = replace(RECORDS[phase], signings=(Signing("d-1"),))
    following = applied(record, act("sign"))
    assert (following.record.phase, following.delay_s) == (phase, None)
    assert following.record.signings == record.signings
    assert following.note == f"Not done: sign by ops. {refusal(record, 'sign')}"


def test_consent_to_what_is_signed_already_is_passed_over() -> None:
    """Where no document is open there is nothing to agree to."""
    record = replace(RECORDS[Phase.ACTIVE], signings=(Signing("d-1", consented_ms=1, signed_ms=2),))
    assert refusal(record, "sign") == "No document needs consent now."


# --- correct ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", [0, 1, 4])
@pytest.mark.parametrize("name", ["correct", "retry"])
def test_after_a_refusal_the_next_generation_of_the_same_subject_follows(name: str, generation: int) -> None:
    """Iron replays its refusal under the old key; the new one is for the same thing, inside the same retention."""
    before = refused(NEW, generation)
    assert before.phase is Phase.FAILED
    following = applied(before, act(name))
    assert (following.record.phase, following.record.step, following.delay_s) == (Phase.RECEIVED, "create_customer", 0)
    assert following.record.effect == Effect("create_customer", ("k-1",), generation + 1, first_ms=NOW_MS - 1_000)
    assert (following.record.problem, following.record.attempts) == (None, 0)


@pytest.mark.parametrize("name", ["correct", "retry"])
def test_between_two_refusals_a_person_begins_the_count_anew(name: str) -> None:
    """Iron has refused the old bytes under their key once: what follows has a key and two tries of its own."""
    once = struck(NEW, effect_of(NEW))
    assert once.effect is not None
    assert once.effect.strikes == 1
    effect = applied(once, act(name)).record.effect
    assert effect is not None
    assert (effect.generation, effect.strikes) == (1, 0)


def test_a_correction_that_comes_before_any_call_needs_no_generation() -> None:
    """Nothing was sent under the key yet: the corrected body is the first."""
    assert applied(NEW, act("correct")).record.effect is None
    uncalled = replace(NEW, effect=effect_of(NEW))
    assert applied(uncalled, act("correct")).record.effect == effect_of(NEW)


def test_a_correction_waits_for_the_doubt_and_then_takes_the_next_generation() -> None:
    """While the answer is lost the old bytes go out; once Iron has refused them, the correction is applied."""
    doubtful = effect_of(NEW).after(AnswerLostError(), NOW_MS, Policy())
    lost = after_error(NEW, AnswerLostError(), at(doubtful)).record
    assert after_acts(lost, [act("correct")], at(lost.effect)) is None
    once = struck(lost, doubtful, NOW_MS + 5)
    assert once.effect is not None
    assert after_acts(once, [act("correct")], at(once.effect)) is None, "the old call is in doubt until the second one"
    failed = struck(once, once.effect, NOW_MS + 9)
    assert failed.phase is Phase.FAILED
    following = applied(failed, act("correct"))
    assert following.record.effect == Effect("create_customer", ("k-1",), 1, first_ms=NOW_MS - 1_000)


@pytest.mark.parametrize("phase", sorted(TAKEN["correct"]))
def test_a_correction_says_what_is_true_from_now_on(phase: Phase) -> None:
    """Everything of the job but its key is as corrected, and counted; a customer that exists is updated first."""
    corrected = {"risk_tier": "high", "labels": {"b": "2"}, "identification_type": "Person", "with_edd": True}
    record = RECORDS[phase]
    following = applied(record, act("correct", external_id="crm-2", **corrected))
    now = following.record
    assert {name: getattr(now, name) for name in corrected} == corrected
    assert (now.key, now.external_id, now.fingerprint) == ("k-1", "crm-2", "corrected")
    assert (now.revision, now.input_ms, now.updates) == (1, NOW_MS + 7, 0)
    assert now.update == (record.customer_id is not None)
    assert (now.step, following.delay_s) == ("update_customer" if now.update else "create_customer", 0)


def test_parts_of_a_correction_are_handed_on_sealed() -> None:
    """What is encrypted stays so: the parts are stored as they came, and the record holds none of them."""
    parts = {"customer": "sealed-1", "identification": "sealed-2"}
    following = applied(RECORDS[Phase.RECEIVED], act("correct", parts=parts))
    assert following.sealed == parts
    assert following.keep == {}
    assert "sealed" not in repr(following.record)


def test_an_identification_is_not_kept_after_the_first_round() -> None:
    """Only the first round sends data of its own: what a later correction says of it is not stored."""
    parts = {"customer": "sealed-1", "identification": "sealed-2"}
    assert applied(WAITING, act("correct", parts=parts)).sealed == {"customer": "sealed-1"}


@pytest.mark.parametrize("phase", [Phase.CANCELLED, Phase.ARCHIVED])
def test_parts_of_a_correction_that_is_passed_over_are_not(phase: Phase) -> None:
    """Input that nobody uses is not kept."""
    assert applied(RECORDS[phase], act("correct")).sealed == {}


def test_an_updates_count_begins_anew_with_each_correction() -> None:
    """The updates that an earlier correction took leave the later one its own."""
    assert applied(replace(WAITING, revision=1, updates=3), act("correct")).record.updates == 0


# --- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", sorted(TAKEN["cancel"]))
def test_cancelling_ends_it(phase: Phase) -> None:
    """Nothing is due any more, nothing is wrong any more, and a step to watch with is kept."""
    following = applied(replace(RECORDS[phase], problem=PROBLEM), act("cancel"))
    record = following.record
    assert (record.phase, following.delay_s) == (Phase.CANCELLED, None)
    assert record.problem is None
    assert record.effect == RECORDS[phase].effect, "a restart goes on with the generation that Iron has not refused"
    assert record.step == ("refresh" if record.customer_id else "create_customer")


# --- what follows an act ---------------------------------------------------------------------------------------------


@EACH_ACT
def test_after_an_act_the_customer_is_read_often_again(name: str) -> None:
    """Whoever acts waits for what comes of it: the pauses are counted from the act, whatever was counted before."""
    (phase, *_) = sorted(TAKEN[name] - FINISHED)
    before = replace(RECORDS[phase], reads=30, since_ms=NOW_MS - 10 * 86_400_000)
    record = applied(before, act(name)).record
    assert record.reads == 0
    assert record.fresh_ms in (NOW_MS, None)
    assert (record.fresh_ms is None) == (record.phase is not before.phase)


@pytest.mark.parametrize("name", ["read", "revoke_links"])
def test_after_a_look_nothing_is_read_more_often(name: str) -> None:
    """Who only looks, or revokes links, changes nothing on Iron: the pauses go on growing."""
    before = replace(WAITING, reads=30)
    record = applied(before, act(name)).record
    assert (record.reads, record.fresh_ms) == (31, None)


# --- restart ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passed_s", [0, 86_400])
@pytest.mark.parametrize("phase", [Phase.DECLINED, Phase.EXPIRED, Phase.ON_HOLD])
def test_a_restart_begins_an_identification_that_follows_the_newest(phase: Phase, passed_s: int) -> None:
    """Without any spacing, since a person asked; the rounds are counted from the beginning again."""
    record = RECORDS[phase]
    following = applied(record, act("restart"), now_ms=NOW_MS + passed_s * 1000)
    assert (following.record.step, following.delay_s) == ("create_identification", 0)
    assert (following.record.restart, following.record.round) == (True, 0)
    assert following.record.identification_id == record.identification_id
    assert (following.record.problem is None) == (phase is not Phase.ON_HOLD)


@pytest.mark.parametrize("problem", ["rounds_exhausted", "final decline"])
def test_a_restart_leads_on_where_the_pipeline_had_stopped(problem: str) -> None:
    """After all rounds were used, or a decline for good, a person may still begin another one."""
    if problem == "rounds_exhausted":
        record = read(replace(WAITING, round=3), identification_status="Expired")
        assert record.phase is Phase.ON_HOLD
    else:
        record = read(WAITING, identification_status="Declined", may_retry=False)
    following = applied(record, act("restart"))
    assert (following.record.step, following.delay_s) == ("create_identification", 0)
    assert following.record.phase is not Phase.ON_HOLD


@EACH_PHASE
@pytest.mark.parametrize("status", ["Pending", "Processed", "PendingReview"])
def test_a_restart_never_supersedes_what_is_in_flight(status: str, phase: Phase) -> None:
    """Whatever the phase: while an identification is under way no other one is begun."""
    record = replace(RECORDS[phase], **CUSTOMER, identification_id="i-1", identification_status=status)
    following = applied(record, act("restart"))
    assert following.record.step != "create_identification"
    assert not following.record.restart
    if phase is not Phase.CANCELLED:
        assert str(refusal(record, "restart")) in following.note


@pytest.mark.parametrize("status", ["Pending", "Processed", "PendingReview"])
def test_a_restart_gives_way_to_what_came_meanwhile(status: str) -> None:
    """Between the act and its identification Iron took the old one up again: it is followed, none is begun."""
    restarted = applied(RECORDS[Phase.EXPIRED], act("restart")).record
    assert read(restarted, identification_status=status).step == "refresh"


@pytest.mark.parametrize("newest", [None, *IdentificationStatus])
def test_a_restart_after_a_cancellation_goes_on_as_the_table_says(newest: str | None) -> None:
    """What a person ended is taken up where Iron has it, and only a missing identification is begun at once."""
    cancelled = replace(
        RECORDS[Phase.CANCELLED], identification_id=newest and "i-1", identification_status=newest, link=None
    )
    following = applied(cancelled, act("restart"))
    assert following.record.phase not in FINISHED
    assert following.delay_s is not None
    assert not following.record.restart
    assert (following.record.step == "create_identification") == (newest is None)


# --- retry -----------------------------------------------------------------------------------------------------------


def test_a_retry_of_what_failed_clears_the_problem() -> None:
    """The table decides anew, and the step that was refused runs at once under a key that was not refused."""
    for before, step in ((NEW, "create_customer"), (RECORDS[Phase.CUSTOMER_CREATED], "create_identification")):
        following = applied(refused(before), act("retry"))
        assert (following.record.problem, following.record.attempts) == (None, 0)
        assert (following.record.phase, following.record.step, following.delay_s) == (before.phase, step, 0)
        assert following.record.effect is not None
        assert (following.record.effect.generation, following.record.effect.refused) == (1, False)
        assert following.record.effect.strikes == 0


@EACH_PHASE
def test_a_retry_wants_a_problem(phase: Phase) -> None:
    """Where something keeps the onboarding from moving a retry is taken, in whatever phase it is."""
    following = applied(replace(RECORDS[phase], problem=PROBLEM, attempts=5), act("retry"))
    assert following.record.attempts == 0
    assert following.record.problem is None or following.record.phase is Phase.ON_HOLD
    assert "Not done" not in following.note


# --- what the customer may do ----------------------------------------------------------------------------------------


def declined_again(record: Record) -> Record:
    """The record after the round that was asked for has begun and was declined as well."""
    pending = {
        "identification_id": f"i-{record.rounds_asked + 1}",
        "identification_status": "Pending",
        "restart": False,
    }
    return read(read(record, **pending), identification_status="Declined")


def test_the_rounds_that_a_customer_asks_for_are_counted() -> None:
    """After so many a person has to look; an operator's restart begins the count anew, and so does success."""
    record = RECORDS[Phase.DECLINED]
    for count in range(MAX_ROUNDS_ASKED):
        assert refusal(record, "renew") is None
        following = applied(record, act("renew"))
        assert (following.record.rounds_asked, following.record.step) == (count + 1, "create_identification")
        record = declined_again(following.record)
    assert "operator" in str(refusal(record, "renew"))
    assert refusal(record, "restart") is None
    assert applied(record, act("restart")).record.rounds_asked == 0


def test_a_round_that_is_asked_for_follows_at_once_and_counts_as_one_in_a_row() -> None:
    """No spacing holds up a customer who is there, and an unused link still counts towards the cap."""
    following = applied(RECORDS[Phase.EXPIRED], act("renew"))
    assert (following.record.restart, following.record.round, following.delay_s) == (True, 1, 0)
    assert refusal(following.record, "renew") is not None


def test_a_customer_who_comes_after_all_is_let_in() -> None:
    """Links that expired unused stop the automatic rounds, not the customer; other holds are an operator's."""
    exhausted = read(replace(RECORDS[Phase.EXPIRED], round=3), identification_status="Expired")
    assert (exhausted.phase, exhausted.problem and exhausted.problem.code) == (Phase.ON_HOLD, "rounds_exhausted")
    assert refusal(exhausted, "renew") is None
    assert applied(exhausted, act("renew")).record.step == "create_identification"
    assert refusal(RECORDS[Phase.ON_HOLD], "renew") is not None


def test_a_final_decline_is_not_the_customers_to_reopen() -> None:
    """Where Iron says that a decline is final, the customer's wish changes nothing."""
    assert refusal(replace(RECORDS[Phase.DECLINED], may_retry=False), "renew") is not None
