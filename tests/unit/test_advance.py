"""From what a step found out to what is due next: pauses, rounds, problems and people's acts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import advance
from pipelines.advance import (
    adopted,
    after_acts,
    after_crashes,
    after_error,
    after_outcome,
    begin,
    input_parts,
    joined,
    waiting_on,
)
from pipelines.attempt import Attempt, effect_in_hand
from pipelines.errors import (
    AccessRefusedError,
    AnswerLostError,
    AnswerUnreadableError,
    ConflictError,
    HeldBackError,
    InputLostError,
    IronError,
    NotFoundError,
    OnboardingError,
    RateLimitedError,
    RenewedError,
    ServerFaultError,
    SettlingError,
    UnreachableError,
)
from pipelines.iron import Customer
from pipelines.job import parse_job
from pipelines.keys import canonical_json, fingerprint
from pipelines.lifecycle import FINISHED, CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Done, Effect, Next, Policy, Problem, Record, Refused, Signing, Wait
from pipelines.onboarding import STEPS

NOW_MS = 1_768_471_200_000
POLICY = Policy()
JOB = parse_job(
    {"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "ada@example.com"}}
).canonical()
PENDING = {
    "customer_id": "c-1",
    "customer_status": "IdentificationRequired",
    "identification_id": "i-1",
    "identification_status": "Pending",
    "link": "https://v/1",
    "round": 1,
    "round_ms": NOW_MS,
}
WAITING = replace(
    Record("k-1", phase=Phase.IDENTIFICATION_PENDING, step="refresh", since_ms=NOW_MS, external_id="k-1"), **PENDING
)
EFFECT = Effect("create_customer", ("k-1",), first_ms=1, last_ms=2)


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses as they are before they are spread."""
    monkeypatch.setattr(advance, "_jittered", lambda pause_s: pause_s)
    monkeypatch.setattr(advance, "_spread", lambda _: 0.0)


def at(now_ms: int = NOW_MS, *, policy: Policy = POLICY, effect: Effect | None = None) -> Attempt:
    """The circumstances of an attempt at a time."""
    return Attempt("default", policy, lambda: now_ms, lambda: JOB["customer"], effect=effect)


def act(name: str, **more: Any) -> bytes:
    """An act as the ledger stores it."""
    return canonical_json({"act": name, "by": "ops", "at_ms": NOW_MS + 5, **more})


def read(record: Record, now_ms: int = NOW_MS, *, policy: Policy = POLICY, **changes: Any) -> Next:
    """What is next after a read that found these things."""
    return after_outcome(record, Done(changes), at(now_ms, policy=policy))


# --- the beginning ---------------------------------------------------------------------------------------------------


def test_a_new_record_begins_with_the_customer() -> None:
    """A job becomes a record that is to be created on Iron, and holds nothing personal."""
    record = begin(JOB)
    assert (record.phase, record.step, record.external_id) == (Phase.RECEIVED, "create_customer", "k-1")
    assert record.fingerprint == fingerprint(JOB)
    assert "ada" not in repr(record)


def test_only_what_carries_data_is_stored_as_input() -> None:
    """The customer is encrypted for later, and the identification where it is more than a link."""
    given_data = {"type": "Token", "token": "t"}
    assert input_parts(JOB) == {"customer": JOB["customer"]}
    assert input_parts(JOB | {"identification": given_data}) == {
        "customer": JOB["customer"],
        "identification": given_data,
    }


# --- a customer that was found on Iron -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [*(one.value for one in CustomerStatus), "Frozen"])
def test_an_adopted_customer_is_followed_and_nothing_is_begun(status: str) -> None:
    """Without a job nobody asked for an identification: whatever Iron says, reading is all that is done by itself."""
    record = adopted(Customer("c-1", status, external_id="crm-9"), None)
    assert (record.key, record.external_id, record.step, record.adopted) == ("crm-9", "crm-9", "refresh", True)
    for newest in (None, *IdentificationStatus, "Pondering"):
        known = {"identification_id": newest and "i-1", "identification_status": newest}
        following = read(record, customer_status=status, **known)
        for _ in range(3):
            assert following.record.step not in ("create_customer", "create_identification")
            if following.record.phase in FINISHED:
                break
            assert following.record.step in STEPS
            assert following.delay_s is not None
            following = read(following.record)


def test_a_customer_without_an_external_id_is_named_by_irons() -> None:
    """What Iron calls the customer makes a key that no job of ours has by chance."""
    record = adopted(Customer("c-1", "Active"), "partner")
    assert (record.key, record.external_id, record.sub_partner_id) == ("iron-c-1", "iron-c-1", "partner")
    assert record.was_active


def test_a_job_takes_over_an_adopted_customer() -> None:
    """What the job says and what Iron showed are both in the record, and the status is read before anything begins."""
    found = adopted(Customer("c-1", "IdentificationRequired", external_id="k-1"), None)
    wanted = begin(JOB | {"risk_tier": "high", "labels": {"source": "crm"}})
    record = joined(found, wanted)
    assert (record.fingerprint, record.risk_tier, record.labels) == (wanted.fingerprint, "high", {"source": "crm"})
    assert (record.customer_id, record.adopted, record.step) == ("c-1", False, "refresh")
    assert read(record).record.step == "create_identification"


# --- every phase -----------------------------------------------------------------------------------------------------

STATUSES = st.sampled_from([*(one.value for one in CustomerStatus), "Frozen"])
NEWEST = st.none() | st.sampled_from([*(one.value for one in IdentificationStatus), "Pondering"])


@given(
    status=STATUSES,
    newest=NEWEST,
    link=st.none() | st.just("https://v/1"),
    was_active=st.booleans(),
    may_retry=st.booleans(),
    round_=st.integers(0, 5),
    before=st.sampled_from(Phase),
    signed=st.none() | st.just(1),
    consented=st.none() | st.just(1),
)
def test_whatever_is_not_finished_has_a_due_time(
    status: str, newest: str | None, link: str | None, was_active: bool, may_retry: bool, round_: int, before: Phase,
    signed: int | None, consented: int | None,
) -> None:  # fmt: skip
    """After each read there is a step, which watches at least, and a pause; only an end has no due time."""
    record = replace(WAITING, phase=before, identification_id=None)
    following = read(
        record,
        customer_status=status,
        identification_status=newest,
        identification_id=newest and "i-1",
        link=link,
        was_active=was_active,
        may_retry=may_retry,
        round=round_,
        signings=(Signing("d-1", signed_ms=signed, consented_ms=consented),),
    )
    if following.record.phase in FINISHED:
        assert (following.record.step, following.delay_s) == ("refresh", None)
    else:
        assert following.record.step in STEPS
        assert following.delay_s is not None
        assert 0 <= following.delay_s <= POLICY.poll_far_s
    assert (following.record.problem is not None) == (following.record.phase is Phase.ON_HOLD)
    begins = following.record.step == "create_identification"
    assert not begins or newest in (None, "Expired")


ERRORS = [UnreachableError(), AnswerLostError(), ServerFaultError(status=500), ConflictError(), NotFoundError()]


@pytest.mark.parametrize("error", [*ERRORS, AccessRefusedError(), RateLimitedError(), InputLostError()], ids=repr)
@pytest.mark.parametrize("attempts", [0, 3, 1_000])
def test_no_error_strands_a_record(error: OnboardingError, attempts: int) -> None:
    """After any error the same step is due again in the same phase, and what is known of the effect is kept."""
    record = replace(WAITING, attempts=attempts)
    following = after_error(record, error, at(effect=EFFECT))
    assert (following.record.step, following.record.phase) == ("refresh", Phase.IDENTIFICATION_PENDING)
    assert following.delay_s is not None
    assert 0.5 < following.delay_s <= 305
    assert following.record.effect == EFFECT


def test_a_refusal_is_an_end() -> None:
    """What Iron refuses waits for a person: nothing is due, the operator is told, and the effect is kept."""
    following = after_outcome(begin(JOB), Refused("request_refused", "Wrong."), at(effect=EFFECT))
    record = following.record
    assert (record.phase, record.step, following.delay_s) == (Phase.FAILED, "create_customer", None)
    assert record.problem == Problem("request_refused", "Wrong.", False, NOW_MS, operator=True)
    assert waiting_on(record) == "operator"
    assert record.effect == EFFECT


REFUSED_EFFECT = replace(EFFECT, step="create_identification", subject=("c-1", ""), refused=True)


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        ({"identification_id": None, "identification_status": None, "link": None}, "failed"),
        ({"identification_status": "Expired"}, "failed"),
        ({"identification_status": "Declined"}, "failed"),
        ({"customer_status": "UserRequired"}, "failed"),
        ({"identification_status": "Pending"}, "identification_pending"),
        ({"identification_status": "Processed"}, "in_review"),
        ({"customer_status": "SigningsRequired"}, "signings_required"),
        ({"customer_status": "Active"}, "active"),
        ({"customer_status": "Suspended"}, "suspended"),
        ({"customer_status": "Archived"}, "archived"),
    ],
)
def test_what_failed_goes_on_when_iron_goes_on(found: dict[str, Any], phase: str) -> None:
    """A read of a failed onboarding watches Iron's customer: it moves on with Iron, and never back to the refusal."""
    failed = after_outcome(WAITING, Refused("request_refused", "Wrong."), at(effect=REFUSED_EFFECT)).record
    assert (failed.phase, failed.step) == (Phase.FAILED, "refresh")
    following = after_outcome(failed, Done(found), at(effect=REFUSED_EFFECT))
    assert following.record.phase == phase
    assert following.record.step != "create_identification"
    assert (following.delay_s is None) == (phase in ("failed", "archived"))


# --- polling ---------------------------------------------------------------------------------------------------------


def pauses(record: Record, count: int, **known: Any) -> list[float]:
    """The pauses of so many reads that find nothing new, each after the pause before it."""
    found, now_ms = [], NOW_MS
    for _ in range(count):
        following = read(record, now_ms, **known)
        assert following.delay_s is not None
        record = following.record
        found.append(following.delay_s)
        now_ms += int(following.delay_s * 1000)
    return found


@pytest.mark.usefixtures("no_jitter")
def test_pauses_between_reads_grow_to_the_longest() -> None:
    """While nothing changes each pause is half as long again, and none is longer than the sweep's."""
    found = pauses(WAITING, 40)
    assert found[:3] == [7.5, 11.25, 16.875]
    assert found == sorted(found)
    assert found[-1] == POLICY.poll_far_s == max(found)


@pytest.mark.usefixtures("no_jitter")
def test_a_change_begins_with_short_pauses_again() -> None:
    """Another phase, or another identification, is news: the first pause is the shortest."""
    long_ago = replace(WAITING, reads=30, since_ms=NOW_MS - 10 * 86_400_000)
    assert read(long_ago).delay_s == POLICY.poll_far_s
    assert read(long_ago, identification_status="Processed").delay_s == POLICY.poll_min_s
    assert read(long_ago, identification_id="i-2").delay_s == POLICY.poll_min_s


@pytest.mark.usefixtures("no_jitter")
def test_after_the_fresh_time_only_the_long_pause_is_left() -> None:
    """A pause that would end beyond the time for which a change is fresh goes far: one read a sweep is left."""
    policy = Policy(poll_min_s=5, poll_for_s=100, poll_far_s=1_000)
    assert read(WAITING, NOW_MS + 92_499, policy=policy).delay_s == 7.5
    assert read(WAITING, NOW_MS + 92_500, policy=policy).delay_s == 1_000
    assert read(replace(WAITING, reads=20), NOW_MS + 1, policy=policy).delay_s == 1_000


@pytest.mark.usefixtures("no_jitter")
def test_a_change_that_is_never_fresh_is_left_to_the_sweep() -> None:
    """Who polls for no time at all reads far apart from the beginning."""
    policy = Policy(poll_for_s=0, poll_far_s=1_000)
    assert read(WAITING, identification_status="Processed", policy=policy).delay_s == 1_000


@pytest.mark.usefixtures("no_jitter")
def test_waiting_for_iron_grows_too() -> None:
    """A step that has to wait counts as a read, keeps the phase and clears the problem."""
    record = replace(WAITING, reads=2, problem=Problem("x", "X.", True, 1), attempts=4)
    following = after_outcome(record, Wait("not yet"), at(effect=EFFECT))
    assert following.delay_s == 5 * 1.5**3
    assert (following.record.phase, following.record.step, following.note) == (record.phase, "refresh", "not yet")
    assert (following.record.attempts, following.record.problem, following.record.effect) == (0, None, EFFECT)


def test_a_fleet_does_not_move_in_step() -> None:
    """Each pause is spread over its last fifth, and never longer than it is."""
    found = {read(replace(WAITING, reads=9)).delay_s for _ in range(200)}
    whole = 5 * 1.5**10
    assert all(0.8 * whole <= pause <= whole for pause in found if pause is not None)
    assert len(found) > 100


def test_active_is_read_far_apart() -> None:
    """Who is active is looked at as seldom as the sweep looks."""
    following = read(WAITING, customer_status="Active")
    assert following.record.phase is Phase.ACTIVE
    assert following.delay_s is not None
    assert 0.8 * POLICY.poll_far_s <= following.delay_s <= POLICY.poll_far_s


# --- errors ----------------------------------------------------------------------------------------------------------


def again(error: OnboardingError, times: int, *, every_s: float = 10) -> list[Next]:
    """The same error so many times in a row."""
    record, found = WAITING, []
    for number in range(times):
        found.append(after_error(record, error, at(NOW_MS + int(number * every_s * 1000))))
        record = found[-1].record
    return found


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize("error", [AnswerLostError(), AnswerUnreadableError()], ids=repr)
def test_pauses_after_errors_double_to_a_limit(error: OnboardingError) -> None:
    """1, 2, 4 ... seconds, at most five minutes, however often; the weather's like those of the onboarding's own."""
    found = [following.delay_s for following in again(error, 12)]
    assert found == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    often = replace(WAITING, attempts=10**6, problem=Problem(error.code, "", True, 1, count=10**6))
    assert after_error(often, error, at()).delay_s == 300


@pytest.mark.parametrize("settle_s", [61, 120, 300, 3_600])
def test_the_settle_time_passes_between_two_late_attempts(settle_s: float) -> None:
    """The longest pause, however it is spread, outlasts the settle time: what hangs on that time comes about."""
    policy = Policy(settle_s=settle_s)
    often = replace(WAITING, attempts=50, problem=Problem("answer_lost", "", True, 1, count=50))
    for error in (AnswerLostError(), AnswerUnreadableError()):
        following = after_error(often, error, at(policy=policy))
        assert following.delay_s is not None
        assert following.delay_s > settle_s


STORMS = [UnreachableError(), AnswerLostError(), ServerFaultError(status=503)]


@pytest.mark.parametrize("error", STORMS, ids=repr)
def test_the_weather_burns_no_attempt(error: OnboardingError) -> None:
    """However often Iron cannot be reached, it is no failed attempt; pauses and problem are counted by themselves."""
    found = [following.record for following in again(error, 20)]
    assert {record.attempts for record in found} == {0}
    assert [record.problem.count for record in found if record.problem] == list(range(1, 21))


def test_a_trouble_of_its_own_calls_an_operator() -> None:
    """A record that meets trouble ten times in a row, whatever its kind, though Iron is well, needs a person."""
    record, told = WAITING, []
    for number in range(12):
        record = after_error(record, STORMS[number % 3], at(NOW_MS + number * 1000)).record
        assert record.problem is not None
        assert record.problem.code == STORMS[number % 3].code
        told.append(record.problem.operator)
    assert told == [False] * 9 + [True] * 3
    assert waiting_on(record) == "operator"


@pytest.mark.parametrize("error", STORMS, ids=repr)
def test_a_probe_says_nothing_about_its_record(error: OnboardingError) -> None:
    """Who finds out for all that Iron is still in trouble has no problem of its own, and is soon there again."""
    before = replace(WAITING, problem=Problem("iron_fault", "", True, 1, count=9), attempts=2)
    following = after_error(before, error, replace(at(effect=EFFECT), probe=True))
    assert following.record == replace(before, effect=EFFECT)
    assert following.delay_s is not None
    assert 0 < following.delay_s <= 1


@pytest.mark.parametrize("reason", ["paused", "closed", "open", "budget"])
def test_a_call_that_may_not_leave_is_not_a_failed_attempt(reason: str) -> None:
    """Nothing was called: neither attempt nor problem, and the record comes back when calls may leave again."""
    record = replace(WAITING, attempts=3, problem=None)
    following = after_error(record, HeldBackError(reason=reason, retry_after_s=5.0), at(effect=EFFECT))
    assert following.delay_s is not None
    assert 5 <= following.delay_s <= 6
    assert following.record == replace(record, effect=EFFECT)
    assert following.note == f"held_back: {reason}"


@pytest.mark.parametrize("attempts", [0, 7])
def test_a_new_generation_is_used_at_once(attempts: int) -> None:
    """The generation is in the record before its call: no pause, no problem, and it is no failed attempt."""
    before = Problem("iron_fault", "Fault.", True, NOW_MS - 5)
    effect = replace(EFFECT, generation=1, last_ms=None)
    record = replace(begin(JOB), attempts=attempts, problem=before)
    following = after_error(record, RenewedError(), at(effect=effect))
    assert following.delay_s == 0
    assert following.record == replace(record, effect=effect)
    assert "generation" in following.note


def test_a_look_up_that_does_not_count_yet_is_repeated_after_the_settle_time() -> None:
    """The pause is the settle time in full, whatever the number of attempts: an earlier look could not count either."""
    policy = Policy(settle_s=77)
    following = after_error(replace(begin(JOB), attempts=3), SettlingError(), at(effect=EFFECT, policy=policy))
    assert following.delay_s == 77
    assert (following.record.attempts, following.record.effect, following.record.step) == (4, EFFECT, "create_customer")
    assert following.record.problem is not None
    assert (following.record.problem.code, following.record.problem.operator) == ("settling", False)


def test_problems_are_counted_and_keep_their_beginning() -> None:
    """The same problem has one beginning and a count; another one, or a result, ends it."""
    third = again(UnreachableError(), 3)[-1].record
    assert third.problem is not None
    assert (third.problem.code, third.problem.count) == ("iron_unreachable", 3)
    assert (third.problem.first_seen_ms, third.attempts) == (NOW_MS, 0)
    other = after_error(third, ConflictError(), at(NOW_MS + 99_000)).record.problem
    assert other is not None
    assert (other.count, other.first_seen_ms) == (1, NOW_MS + 99_000)
    through = read(third).record
    assert (through.problem, through.attempts) == (None, 0)


@pytest.mark.parametrize(("asked_s", "least_s"), [(None, 5), (0.0, 0), (30.0, 30), (3_600.0, 3_600)])
def test_a_rate_limit_is_not_a_failed_attempt(asked_s: float | None, least_s: float) -> None:
    """A 429 costs the pause that Iron asks for and a little spread, and neither an attempt nor a problem."""
    record = replace(WAITING, attempts=3, problem=None)
    following = after_error(record, RateLimitedError(retry_after_s=asked_s), at(effect=EFFECT))
    assert following.delay_s is not None
    assert least_s <= following.delay_s <= least_s + 5
    assert (following.record.attempts, following.record.problem) == (3, None)
    assert following.record.effect == EFFECT


@pytest.mark.parametrize("error", [ConflictError(), NotFoundError()], ids=repr)
def test_a_lasting_conflict_calls_an_operator(error: IronError) -> None:
    """409 and 404 are usual for a moment; after the settle time somebody hears of it, and repeating goes on."""
    found = [following.record for following in again(error, 20, every_s=10)]
    told = [record.problem.operator for record in found if record.problem]
    assert told == [False] * 12 + [True] * 8
    assert waiting_on(found[0]) == "customer"
    assert waiting_on(found[-1]) == "operator"


@pytest.mark.parametrize("error", [AccessRefusedError(), InputLostError()], ids=repr)
def test_what_only_an_operator_can_mend_calls_one_at_once(error: OnboardingError) -> None:
    """The operator is told at the first time, and the pause is long at once."""
    following = after_error(WAITING, error, at())
    assert waiting_on(following.record) == "operator"
    assert following.delay_s is not None
    assert 240 <= following.delay_s <= 300


def test_a_poisonous_record_is_slow_and_not_given_up() -> None:
    """An operator is told how many workers ended, and the step stays due."""
    following = after_crashes(WAITING, 5, at())
    assert following.record.problem is not None
    assert (following.record.problem.code, following.record.problem.operator) == ("poisonous", True)
    assert following.record.step == "refresh"
    assert following.delay_s is not None
    assert 2_880 <= following.delay_s <= 3_600


# --- doubt -----------------------------------------------------------------------------------------------------------


def test_a_result_ends_the_doubt_of_its_own_step() -> None:
    """When the step that called returns, the outcome is known."""
    record = replace(begin(JOB), effect=EFFECT)
    following = after_outcome(
        record, Done({"customer_id": "c-1", "customer_status": "IdentificationRequired"}), at(effect=EFFECT)
    )
    assert following.record.effect is None


def test_a_read_does_not_end_another_steps_doubt() -> None:
    """While the phase stays, a call in doubt stays in doubt, whatever was read meanwhile."""
    effect = replace(EFFECT, step="submit_signings")
    record = replace(WAITING, phase=Phase.SIGNINGS_REQUIRED, customer_status="SigningsRequired", effect=effect)
    assert after_outcome(record, Done({}), at(effect=effect)).record.effect == effect


@pytest.mark.parametrize("known", [None, EFFECT])
def test_an_abandoned_claim_is_not_forgotten(known: Effect | None) -> None:
    """Whatever the next claim commits instead of the step, that a worker may still call stays in the record."""
    record = replace(begin(JOB), effect=known)
    effect = effect_in_hand(record, 900, has_effect=True)
    for following in (after_crashes(record, 5, at(effect=effect)), after_acts(record, [SIGN], at(effect=effect))):
        assert following is not None
        assert following.record.effect is not None
        assert following.record.effect.abandoned


# --- rounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("passed_s", "pause_s"), [(0, 3_600), (600, 3_000), (3_600, 0), (86_400, 0)])
def test_a_new_round_is_spaced(passed_s: int, pause_s: float) -> None:
    """After an expired link a new round begins so long after the one before; until then waking it only reads."""
    following = read(WAITING, NOW_MS + passed_s * 1000, identification_status="Expired")
    assert following.record.phase is Phase.EXPIRED
    assert following.record.step == ("refresh" if pause_s else "create_identification")
    assert following.delay_s == pause_s


@pytest.mark.parametrize("at_s", [1, 1_000, 3_599])
def test_waking_does_not_shorten_the_spacing(at_s: int) -> None:
    """A webhook in the pause leads to a read and to the rest of the same pause."""
    expired = read(WAITING, identification_status="Expired").record
    woken = read(expired, NOW_MS + at_s * 1000)
    assert (woken.record.step, woken.delay_s) == ("refresh", 3_600 - at_s)
    assert read(woken.record, NOW_MS + 3_600_000).record.step == "create_identification"


@pytest.mark.parametrize(
    ("status", "phase", "step"),
    [
        ("Pending", "identification_pending", "refresh"),
        ("Processed", "in_review", "refresh"),
        ("PendingReview", "in_review", "refresh"),
        ("Approved", "step_up_required", "handle_step_up"),
    ],
)
def test_what_is_in_flight_again_gets_no_new_round(status: str, phase: str, step: str) -> None:
    """An expired identification that Iron takes up again in the pause is followed, not superseded."""
    expired = read(WAITING, identification_status="Expired").record
    following = read(expired, NOW_MS + 3_600_000, identification_status=status)
    assert (following.record.phase, following.record.step) == (phase, step)


@pytest.mark.parametrize(("round_", "phase"), [(1, "expired"), (2, "expired"), (3, "on_hold"), (4, "on_hold")])
def test_rounds_are_capped(round_: int, phase: str) -> None:
    """After as many expired links as allowed an operator is told, and reading goes on."""
    following = read(replace(WAITING, round=round_), identification_status="Expired")
    assert following.record.phase == phase
    if phase == "on_hold":
        assert following.record.problem is not None
        assert following.record.problem.code == "rounds_exhausted"
        assert following.record.step == "refresh"
        assert waiting_on(following.record) == "operator"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({"customer_status": "UserRequired"}, "user_required"),
        ({"identification_status": "Archived"}, "identification_archived"),
        ({"identification_status": "Pondering"}, "unknown_status"),
        ({"customer_status": "Frozen"}, "unknown_status"),
    ],
)
def test_who_is_on_hold_knows_why(found: dict[str, str], code: str) -> None:
    """Each reason has its code, and is counted while it lasts."""
    first = read(WAITING, **found).record
    second = read(first, NOW_MS + 60_000).record
    assert first.problem is not None
    assert second.problem is not None
    assert (first.problem.code, first.problem.operator) == (code, True)
    assert (second.problem.count, second.problem.first_seen_ms) == (2, NOW_MS)


def test_a_cancelled_record_stays_cancelled() -> None:
    """Whatever Iron says, what a person ended is over; a step to watch it with is kept."""
    following = read(replace(WAITING, phase=Phase.CANCELLED), customer_status="Active")
    assert (following.record.phase, following.record.step, following.delay_s) == (Phase.CANCELLED, "refresh", None)


# --- signing, and what people do -------------------------------------------------------------------------------------

SIGN = act("sign", documents=["d-1"])
TO_SIGN = replace(
    WAITING,
    phase=Phase.SIGNINGS_REQUIRED,
    customer_status="SigningsRequired",
    step="fetch_required_signings",
    signings=(Signing("d-1"), Signing("d-2")),
)


def test_entering_the_signing_phase_reads_the_documents_at_once() -> None:
    """The list is fetched without a pause, and polled while the customer reads."""
    entered = read(WAITING, customer_status="SigningsRequired")
    assert (entered.record.step, entered.delay_s) == ("fetch_required_signings", 0)
    fetched = read(entered.record, signings=(Signing("d-1"),))
    assert fetched.record.step == "fetch_required_signings"
    assert fetched.delay_s


def test_consent_leads_to_submission_at_once() -> None:
    """What the customer agreed to is noted with its time, once, and submitted without a pause."""
    again = act("sign", documents=["d-1"], at_ms=NOW_MS + 9)
    following = after_acts(TO_SIGN, [SIGN, again], at(effect=EFFECT))
    assert following is not None
    assert following.applied == (SIGN, again)
    assert following.record.signings == (Signing("d-1", consented_ms=NOW_MS + 5), Signing("d-2"))
    assert (following.record.step, following.delay_s) == ("submit_signings", 0)
    assert following.record.effect == EFFECT
    assert "sign" in following.note


def test_consent_to_what_is_not_asked_for_changes_nothing() -> None:
    """A document that Iron does not require (any more) is passed over."""
    following = after_acts(TO_SIGN, [act("sign", documents=["d-9"])], at())
    assert following is not None
    assert following.record.signings == TO_SIGN.signings
    assert following.record.step == "fetch_required_signings"


def test_documents_are_submitted_one_by_one() -> None:
    """As long as an agreed document is unsigned the next submission follows at once; then the customer is read."""
    one = Signing("d-1", consented_ms=1, signed_ms=2)
    two = Signing("d-2", consented_ms=1)
    submitting = replace(TO_SIGN, step="submit_signings", signings=(one, two))
    following = read(submitting)
    assert (following.record.step, following.delay_s) == ("submit_signings", 0)
    through = read(submitting, signings=(one, replace(two, signed_ms=3)))
    assert (through.record.step, through.delay_s) == ("refresh", 0)


def test_a_signed_record_that_iron_still_asks_for_reads_the_list_again() -> None:
    """When the read shows no progress yet, the list is asked again after a pause, not at once and not never."""
    one = Signing("d-1", consented_ms=1, signed_ms=2)
    following = read(replace(TO_SIGN, step="refresh", signings=(one,)))
    assert following.record.step == "fetch_required_signings"
    assert following.delay_s


# --- who must act ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", Phase)
def test_a_problem_for_an_operator_comes_first(phase: Phase) -> None:
    """Where an operator has to act, nobody else is waited for."""
    problem = Problem("x", "X.", False, 1, operator=True)
    assert waiting_on(replace(WAITING, phase=phase, problem=problem)) == "operator"


@pytest.mark.parametrize(
    ("signings", "who"),
    [
        ((), "us"),
        ((Signing("d-1"),), "customer"),
        ((Signing("d-1", consented_ms=1), Signing("d-2")), "customer"),
        ((Signing("d-1", consented_ms=1, signed_ms=2), Signing("d-2")), "customer"),
        ((Signing("d-1", consented_ms=1),), "us"),
        ((Signing("d-1", consented_ms=1), Signing("d-2", consented_ms=1, signed_ms=2)), "us"),
        ((Signing("d-1", consented_ms=1, signed_ms=2),), "iron"),
    ],
)
def test_whose_turn_it_is_to_sign(signings: tuple[Signing, ...], who: str) -> None:
    """We fetch and submit, the customer agrees to each document, and when all are signed it is Iron's turn."""
    assert waiting_on(replace(TO_SIGN, signings=signings)) == who


@pytest.mark.parametrize(
    ("found", "step"),
    [
        ({"identification_status": "Declined"}, "explain_decline"),
        ({"identification_status": "Pending", "was_active": True}, "handle_step_up"),
    ],
)
def test_why_is_read_once(found: dict[str, Any], step: str) -> None:
    """Entering a phase that wants an explanation reads it at once; after that the status is polled."""
    entered = read(WAITING, **found)
    assert (entered.record.step, entered.delay_s) == (step, 0)
    after = read(entered.record, reasons=("photo",))
    assert after.record.step == "refresh"
    assert after.delay_s
    assert read(after.record).record.step == "refresh"


def test_a_decline_that_turns_out_final_is_the_operators() -> None:
    """What the explanation says about another try decides who must act, in the same phase."""
    declined = read(WAITING, identification_status="Declined").record
    assert waiting_on(declined) == "customer"
    final = read(declined, may_retry=False).record
    assert (final.phase, waiting_on(final)) == (Phase.DECLINED, "operator")
