"""From what a step found out to what is due next: pauses, rounds, problems and people's acts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import advance
from pipelines.advance import LATE_PAUSE_S, after_acts, after_crashes, after_error, after_outcome
from pipelines.attempt import Attempt, effect_in_hand
from pipelines.begin import adopted, begin, input_parts, joined
from pipelines.errors import (
    AccessRefusedError,
    AnswerLostError,
    AnswerUnreadableError,
    ConflictError,
    HeldBackError,
    InputLostError,
    IronError,
    NotFoundError,
    NothingDueError,
    OnboardingError,
    RateLimitedError,
    RenewedError,
    RequestRefusedError,
    ServerFaultError,
    SettlingError,
    UnreachableError,
)
from pipelines.iron import Customer
from pipelines.job import parse_job
from pipelines.keys import canonical_json, fingerprint
from pipelines.lifecycle import FINISHED, CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Done, Effect, Next, Partly, Policy, Problem, Record, Refused, Signing, Wait
from pipelines.onboarding import LIST_EVERY, STEPS
from pipelines.reading import MAX_UPDATES

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
    monkeypatch.setattr(advance, "jittered", lambda pause_s: pause_s)
    monkeypatch.setattr(advance, "spread", lambda _: 0.0)


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
    """After any error of a read it is due again in the same phase, and what is known of the effect is kept."""
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
    assert record.waiting_on() == "operator"
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


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize("step", ["create_identification", "submit_signings", "update_customer"])
def test_after_what_we_did_a_customer_is_read_often_again(step: str) -> None:
    """Each effect of ours makes news likely: the pauses are short again, also long after the phase began."""
    long_ago = replace(WAITING, step=step, reads=30, since_ms=NOW_MS - 10 * 86_400_000, link=None)
    following = after_outcome(long_ago, Done({}), at())
    record = following.record
    assert (record.phase, record.reads, record.fresh_ms) == (long_ago.phase, 0, NOW_MS)
    assert following.delay_s == (0 if step == "update_customer" else POLICY.poll_min_s)
    assert read(record.evolve(step="refresh")).delay_s == POLICY.poll_min_s * 1.5
    late = read(record.evolve(step="refresh"), NOW_MS + 86_400_000)
    assert late.delay_s == POLICY.poll_far_s


@pytest.mark.usefixtures("no_jitter")
def test_what_we_only_read_makes_nothing_fresh() -> None:
    """A read that finds nothing new goes on with the pauses as they were."""
    for step in ("refresh", "handle_step_up", "fetch_required_signings"):
        before = replace(WAITING, step=step, reads=4)
        assert after_outcome(before, Done({}), at()).record.fresh_ms is None
        assert after_outcome(before, Done({}), at()).record.reads == 5


@pytest.mark.usefixtures("no_jitter")
def test_news_ends_what_was_fresh_before() -> None:
    """Another phase counts from its own beginning."""
    before = replace(WAITING, reads=4, fresh_ms=NOW_MS - 1)
    record = read(before, identification_status="Processed").record
    assert (record.reads, record.fresh_ms) == (0, None)


def test_active_is_read_far_apart() -> None:
    """Who is active is looked at as seldom as the sweep looks."""
    following = read(WAITING, customer_status="Active", identified_ms=NOW_MS)
    assert following.record.phase is Phase.ACTIVE
    assert following.delay_s is not None
    assert 0.8 * POLICY.poll_far_s <= following.delay_s <= POLICY.poll_far_s


def test_active_since_when_is_read_soon() -> None:
    """Who is active and has no date to count from is read again as after any change: Iron's list made no sense."""
    following = read(WAITING, customer_status="Active", identified_ms=None)
    assert following.delay_s is not None
    assert 0.8 * POLICY.poll_min_s <= following.delay_s <= POLICY.poll_min_s


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
    assert record.waiting_on() == "operator"


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
    assert found[0].waiting_on() == "customer"
    assert found[-1].waiting_on() == "operator"


def test_what_only_an_operator_can_mend_calls_one_at_once() -> None:
    """The operator is told at the first time, and the pause is long at once."""
    following = after_error(begin(JOB), InputLostError(), at())
    assert following.record.waiting_on() == "operator"
    assert following.delay_s is not None
    assert 240 <= following.delay_s <= 300


#: Refusals that say nothing about a job: they concern whoever calls.
OF_THE_CALLER = [AccessRefusedError(status=401), AccessRefusedError(status=403), RequestRefusedError(status=400)]


@pytest.mark.parametrize("error", [*OF_THE_CALLER, RequestRefusedError(status=404)], ids=repr)
@pytest.mark.parametrize("step", ["create_customer", "refresh"])
def test_a_refusal_of_the_caller_fails_no_job(step: str, error: IronError) -> None:
    """However often it comes, no attempt is counted, nothing is given up, and an operator hears of the third one."""
    record, told = begin(JOB) if step == "create_customer" else WAITING, []
    for number in range(20):
        following = after_error(record, error, at(NOW_MS + number * 1000))
        assert following.delay_s
        record = following.record
        assert record.problem is not None
        assert (record.step, record.attempts, record.problem.retryable) == (step, 0, True)
        assert record.phase is not Phase.FAILED
        told.append(record.waiting_on() == "operator")
    assert told == [False] * 2 + [True] * 18


def test_a_refusal_of_the_caller_is_no_weather() -> None:
    """An outage before it does not bring the operator sooner, and its end has a problem of its own."""
    stormy = replace(begin(JOB), problem=Problem("iron_fault", "", True, 1, count=9))
    problem = after_error(stormy, OF_THE_CALLER[0], at()).record.problem
    assert problem is not None
    assert (problem.code, problem.count, problem.operator) == ("access_refused", 1, False)


def test_a_poisonous_record_is_slow_and_not_given_up() -> None:
    """An operator is told how many workers ended, and the step stays due."""
    following = after_crashes(WAITING, 5, at())
    assert following.record.problem is not None
    assert (following.record.problem.code, following.record.problem.operator) == ("poisonous", True)
    assert following.record.step == "refresh"
    assert following.delay_s is not None
    assert 2_880 <= following.delay_s <= 3_600


# --- no answer is a dead end -----------------------------------------------------------------------------------------

READY = replace(
    WAITING, phase=Phase.CUSTOMER_CREATED, step="create_identification", identification_id=None,
    identification_status=None, link=None, round=0,
)  # fmt: skip
#: A record for each step but the first and the read itself, which leads to it again when nothing is different.
LEADS_TO = {
    "create_identification": READY,
    "update_customer": replace(WAITING, step="update_customer", update=True, revision=1),
    "archive_at_iron": replace(WAITING, step="archive_at_iron", archive="customer"),
    "handle_step_up": replace(WAITING, phase=Phase.STEP_UP_REQUIRED, step="handle_step_up", was_active=True),
    "explain_decline": replace(
        WAITING, phase=Phase.DECLINED, step="explain_decline", identification_status="Declined"
    ),
    "fetch_required_signings": replace(
        WAITING, phase=Phase.SIGNINGS_REQUIRED, step="fetch_required_signings", customer_status="SigningsRequired"
    ),
    "submit_signings": replace(
        WAITING, phase=Phase.SIGNINGS_REQUIRED, step="submit_signings", customer_status="SigningsRequired",
        signings=(Signing("d-1", consented_ms=1),),
    ),
}  # fmt: skip
EACH_STEP = pytest.mark.parametrize("step", LEADS_TO)

#: Answers of Iron that no step foresees: it answered, so the customer can be read at once.
UNFORESEEN = [
    ConflictError(status=409),
    NotFoundError(status=404),
    AnswerUnreadableError(status=200),
    NothingDueError(),
]


def test_what_follows_is_said_of_each_step() -> None:
    """Each step that calls Iron about a customer has a record here; an active customer's next one has its own tests."""
    assert set(LEADS_TO) == set(STEPS) - {"create_customer", "refresh", "reidentify"}


@EACH_STEP
@pytest.mark.parametrize("error", [*UNFORESEEN, *OF_THE_CALLER], ids=repr)
def test_after_an_answer_the_customer_is_read_at_once(step: str, error: OnboardingError) -> None:
    """Iron answers, so it can be asked what is true now: the read comes before the step, and without a pause."""
    before = LEADS_TO[step]
    following = after_error(before, error, at(effect=EFFECT))
    record = following.record
    assert (record.step, record.tried, following.delay_s) == ("refresh", step, 0)
    assert (record.phase, record.effect) == (before.phase, EFFECT)
    assert record.problem is not None
    assert record.problem.code == error.code


@EACH_STEP
@pytest.mark.parametrize("error", STORMS, ids=repr)
def test_after_no_answer_the_customer_is_read_after_the_pause(step: str, error: OnboardingError) -> None:
    """Where Iron did not answer a read would not be answered either: it waits as long as the step would have."""
    following = after_error(LEADS_TO[step], error, at(effect=EFFECT))
    assert (following.record.step, following.record.tried) == ("refresh", step)
    assert following.delay_s is not None
    assert 0.8 <= following.delay_s <= 1


@EACH_STEP
@pytest.mark.parametrize(
    "error", [RateLimitedError(), HeldBackError(), RenewedError(), SettlingError()], ids=lambda error: error.code
)
def test_what_was_not_looked_at_needs_no_read(step: str, error: OnboardingError) -> None:
    """A 429, a call that did not leave, a key that is about to be used and a look too early: the step itself comes."""
    record = after_error(LEADS_TO[step], error, at(effect=EFFECT)).record
    assert (record.step, record.tried) == (step, "")


@pytest.mark.parametrize("error", [*UNFORESEEN, *STORMS, *OF_THE_CALLER], ids=repr)
def test_without_a_customer_nothing_can_be_read(error: OnboardingError) -> None:
    """The first step looks by itself, so it comes again."""
    following = after_error(begin(JOB), error, at(effect=EFFECT))
    assert (following.record.step, following.record.tried) == ("create_customer", "")
    assert following.delay_s


def reads_and_tries(before: Record, error: OnboardingError, times: int) -> list[tuple[float, float]]:
    """The pauses before the read and before the step, for the same answer so many times in a row."""
    record, found, now_ms, step = before, list[tuple[float, float]](), NOW_MS, before.step
    for _ in range(times):
        met = after_error(record, error, at(now_ms))
        assert (met.record.step, met.record.tried) == ("refresh", step)
        now_ms += int((met.delay_s or 0) * 1000)
        changes = {"update": True} if before.update else {}
        led = after_outcome(met.record, Done(changes), at(now_ms))
        record = led.record
        assert (record.step, record.tried, record.problem) == (step, step, met.record.problem)
        assert record.attempts == met.record.attempts
        now_ms += int((led.delay_s or 0) * 1000)
        found.append((met.delay_s or 0, led.delay_s or 0))
    return found


@EACH_STEP
@pytest.mark.usefixtures("no_jitter")
def test_a_step_that_comes_again_and_again_comes_ever_later(step: str) -> None:
    """While the customer still leads to the step it is tried after 1, 2, 4 ... seconds, each time after a read."""
    found = reads_and_tries(LEADS_TO[step], ConflictError(status=409), 4)
    assert found == [(0, 1), (0, 2), (0, 4), (0, 8)]


@EACH_STEP
@pytest.mark.usefixtures("no_jitter")
def test_a_step_that_meets_answers_that_help_nobody_for_days_comes_once_an_hour(step: str) -> None:
    """Iron's budget is what others wait for; the step is never given up."""
    record = after_error(LEADS_TO[step], ConflictError(status=409), at()).record
    for days, pause_s in ((0.5, 1), (1.5, LATE_PAUSE_S), (300, LATE_PAUSE_S)):
        changes = {"update": True} if record.update else {}
        led = after_outcome(record, Done(changes), at(NOW_MS + int(days * 86_400_000)))
        assert (led.record.step, led.delay_s) == (step, pause_s)


@EACH_STEP
@pytest.mark.usefixtures("no_jitter")
def test_after_an_outage_the_step_comes_at_once(step: str) -> None:
    """The pause was before the read; when the read is answered, Iron is well."""
    found = reads_and_tries(LEADS_TO[step], ServerFaultError(status=503), 4)
    assert found == [(1, 0), (2, 0), (4, 0), (8, 0)]


@EACH_STEP
@pytest.mark.usefixtures("no_jitter")
def test_refusals_of_the_caller_come_ever_later_too(step: str) -> None:
    """They count no attempt, and the pauses grow all the same."""
    found = reads_and_tries(LEADS_TO[step], AccessRefusedError(status=403), 4)
    assert found == [(0, 1), (0, 2), (0, 4), (0, 8)]


@EACH_STEP
def test_what_the_read_shows_is_what_follows(step: str) -> None:
    """Where the customer, read now, leads elsewhere, the step does not come again, and nothing is wrong any more."""
    met = after_error(LEADS_TO[step], ConflictError(status=409), at()).record
    following = read(met, customer_status="Suspended", update=False, archive="")
    record = following.record
    assert (record.phase, record.step) == (Phase.SUSPENDED, "refresh")
    assert (record.tried, record.attempts, record.problem) == ("", 0, None)
    assert following.delay_s


@EACH_STEP
def test_a_result_of_the_step_ends_the_trouble(step: str) -> None:
    """When the step is through at last, its attempts and its problem are over."""
    met = after_error(LEADS_TO[step], ConflictError(status=409), at()).record
    led = read(met, update=step == "update_customer").record
    assert led.step == step
    record = after_outcome(led, Done({"reasons_read": True, "update": False, "archive": ""}), at()).record
    assert (record.tried, record.attempts, record.problem) == ("", 0, None)


def test_a_read_that_fails_does_not_forget_the_step() -> None:
    """The read between two attempts meets trouble as well: it comes again, and the step is still the one to come."""
    met = after_error(READY, ConflictError(status=409), at()).record
    failed = after_error(met, UnreachableError(), at())
    assert (failed.record.step, failed.record.tried) == ("refresh", "create_identification")
    assert read(failed.record).record.step == "create_identification"


def test_acts_between_the_read_and_the_step_are_taken() -> None:
    """A record that is read because of an answer takes what people do, as any other."""
    met = after_error(LEADS_TO["submit_signings"], ConflictError(status=409), at()).record
    following = after_acts(met, [act("cancel")], at())
    assert following is not None
    assert (following.record.phase, following.delay_s) == (Phase.CANCELLED, None)


@pytest.mark.parametrize("step", ["handle_step_up", "explain_decline"])
def test_an_explanation_is_given_up(step: str) -> None:
    """After five answers that explain nothing the customer is followed without reasons, and nobody waits for them."""
    record, asked = LEADS_TO[step], 0
    while record.step == step:
        record = after_error(record, NotFoundError(status=404), at()).record
        record = read(record).record
        asked += 1
        assert asked < 50
    assert asked == advance.EXPLAINED_WITHIN
    assert (record.step, record.phase, record.problem) == ("refresh", LEADS_TO[step].phase, None)


@pytest.mark.parametrize("error", [ServerFaultError(status=503), AccessRefusedError(status=403)], ids=repr)
@pytest.mark.parametrize("step", ["handle_step_up", "explain_decline"])
def test_an_explanation_is_not_given_up_for_what_is_everybodys(step: str, error: IronError) -> None:
    """An outage or a refused key says nothing about the reasons: they are read when it is over."""
    reads_and_tries(LEADS_TO[step], error, 3 * advance.EXPLAINED_WITHIN)


@EACH_STEP
@pytest.mark.parametrize("error", UNFORESEEN, ids=repr)
def test_an_answer_that_lasts_calls_an_operator(step: str, error: OnboardingError) -> None:
    """While it is younger than the settle time it may be a moment's; then somebody hears of it, and trying goes on."""
    record, told = LEADS_TO[step], []
    for passed_s in (0, 60, 119, 120):
        record = after_error(record, error, at(NOW_MS + passed_s * 1000)).record
        told.append(record.problem is not None and record.problem.operator)
        record = record.evolve(step=step)
    assert told == [False, False, False, True]


@pytest.mark.usefixtures("no_jitter")
def test_an_input_that_cannot_be_read_is_not_asked_for_all_the_time() -> None:
    """A correction whose input no key opens stays with the operator while the customer is read."""
    before = LEADS_TO["update_customer"]
    met = after_error(before, InputLostError(), at()).record
    assert met.waiting_on() == "operator"
    led = read(met, update=True)
    assert (led.record.step, led.record.waiting_on()) == ("update_customer", "operator")
    assert led.delay_s


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(
    "error",
    [NotFoundError(status=404), RequestRefusedError(status=400), ServerFaultError(status=503), AnswerUnreadableError()],
    ids=repr,
)
def test_why_a_job_failed_stays_while_its_customer_cannot_be_read(error: IronError) -> None:
    """What the operator has to correct is Iron's answer to the job; what failed is read again, ever later."""
    problem = Problem.of("request_refused", "Correct it.", retryable=False, operator=True, now_ms=1, before=None)
    record = replace(WAITING, phase=Phase.FAILED, problem=problem)
    pauses = []
    for _ in range(4):
        following = after_error(record, error, at())
        record = following.record
        assert (record.phase, record.step, record.problem) == (Phase.FAILED, "refresh", problem)
        pauses.append(following.delay_s)
    assert pauses == [1, 2, 4, 8]


# --- a refusal -------------------------------------------------------------------------------------------------------


#: What the effects of the records here are about.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "create_customer": ("k-1",),
    "create_identification": ("c-1", ""),
    "submit_signings": ("c-1", "d-1", "0"),
    "update_customer": (),
}


def struck(
    step: str, strikes: int, status: int = 400, *, text: str = "Refused. (HTTP 400)"
) -> tuple[IronError, Effect]:
    """A refusal of a job's details, and the effect after so many of them."""
    error = RequestRefusedError(text, status=status, said="marker: Ada is unknown")
    error.of_effect = True
    refused = strikes > 1
    subject = SUBJECTS[step]
    return error, Effect(step, subject, first_ms=1, last_ms=2 if refused else None, strikes=strikes, refused=refused)


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize("before", [begin(JOB), READY], ids=lambda record: record.step)
def test_two_refusals_in_a_row_end_a_job(before: Record) -> None:
    """After the first the details go out once more, two seconds later and after a read; the second fails the job."""
    step = before.step
    error, effect = struck(step, 1)
    once = after_error(before, error, at(effect=effect))
    assert once.record.problem is not None
    assert (once.record.problem.operator, once.record.problem.retryable) == (False, True)
    assert once.record.phase is before.phase
    if before.customer_id is None:
        assert (once.record.step, once.delay_s) == (step, advance.REFUSED_PAUSE_S)
        led = once
    else:
        assert (once.record.step, once.record.tried, once.delay_s) == ("refresh", step, 0)
        led = after_outcome(once.record, Done({}), at(effect=effect))
        assert (led.record.step, led.delay_s, led.record.effect) == (step, advance.REFUSED_PAUSE_S, effect)
    error, effect = struck(step, 2)
    failed = after_error(led.record, error, at(effect=effect))
    assert (failed.record.phase, failed.delay_s) == (Phase.FAILED, None)
    assert failed.record.step == ("create_customer" if before.customer_id is None else "refresh")
    problem = failed.record.problem
    assert problem is not None
    assert (problem.code, problem.retryable, problem.operator) == ("request_refused", False, True)
    assert (failed.record.effect, failed.record.attempts, failed.record.tried) == (effect, 0, "")


@pytest.mark.parametrize(
    ("step", "what"),
    [("create_customer", "the customer's details"), ("create_identification", "the identification's details")],
)
@pytest.mark.parametrize("said", ["HTTP 400", "HTTP 422, country_not_supported"])
def test_a_refusal_says_what_iron_rejected(step: str, what: str, said: str) -> None:
    """Which details, the status and Iron's code, and what to do; nothing of Iron's other words."""
    before = begin(JOB) if step == "create_customer" else READY
    error, effect = struck(step, 2, text=f"Iron rejected the request ({said}).")
    problem = after_error(before, error, at(effect=effect)).record.problem
    assert problem is not None
    assert problem.text == f"Iron rejected {what} ({said}). Correct the details to go on."


def test_what_iron_said_is_kept_once_and_sealed() -> None:
    """Iron's words may be personal: a part to encrypt, at the first of a kind of trouble, never in the record."""
    error, effect = struck("create_customer", 1)
    first = after_error(begin(JOB), error, at(effect=effect))
    assert first.keep == {"iron_said": {"status": 400, "text": "marker: Ada is unknown"}}
    assert "marker" not in repr(first.record)
    assert "marker" not in first.note
    second = after_error(first.record, *(struck("create_customer", 2)[0], at(effect=struck("create_customer", 2)[1])))
    assert second.keep == {}
    other = after_error(second.record, ConflictError("Conflict.", status=409, said="in flight"), at())
    assert other.keep == {"iron_said": {"status": 409, "text": "in flight"}}
    assert after_error(begin(JOB), ConflictError(status=409), at()).keep == {}


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_signature_fails_nobody(status: int) -> None:
    """It carries no details: the customer is read, and it is tried again, however often it is refused."""
    record = LEADS_TO["submit_signings"]
    for _ in range(5):
        error, effect = struck("submit_signings", 2, status)
        following = after_error(record, error, at(effect=effect))
        assert (following.record.step, following.record.tried) == ("refresh", "submit_signings")
        record = after_outcome(following.record, Done({}), at(effect=effect)).record
        assert (record.phase, record.step, record.effect) == (Phase.SIGNINGS_REQUIRED, "submit_signings", effect)


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_update_stays_with_an_operator(status: int) -> None:
    """After as many updates as are sent the problem stays, whatever is read, and the onboarding goes on."""
    record = LEADS_TO["update_customer"]
    for number in range(1, MAX_UPDATES + 1):
        error, _ = struck("update_customer", 1, status)
        record = after_outcome(record, Partly({"updates": number}, error), at()).record
        assert (record.step, record.tried, record.phase) == ("refresh", "update_customer", WAITING.phase)
        assert (record.waiting_on() == "operator") == (number == MAX_UPDATES)
        if number < MAX_UPDATES:
            record = read(record, update=True).record
            assert record.step == "update_customer"
    for _ in range(3):
        record = read(record, update=False).record
        assert (record.step, record.waiting_on(), record.phase) == ("refresh", "operator", WAITING.phase)
        assert record.problem is not None
        assert (record.problem.code, record.problem.retryable) == ("request_refused", False)


def test_a_refused_update_is_not_taken_for_another_calls_refusal() -> None:
    """That Iron has refused a signature says nothing about the update: it counts by itself, and fails nobody."""
    _, of_a_signature = struck("submit_signings", 2)
    signing = LEADS_TO["submit_signings"]
    before = signing.evolve(step="update_customer", update=True, revision=1, effect=of_a_signature)
    error, _ = struck("update_customer", 1)
    following = after_outcome(before, Partly({"updates": 1}, error), at(effect=of_a_signature))
    assert following.record.phase is Phase.SIGNINGS_REQUIRED
    assert (following.record.step, following.record.tried) == ("refresh", "update_customer")


def test_a_part_that_is_true_is_kept_with_the_error() -> None:
    """What a step found out before its error is true all the same, and the error leads on as it always does."""
    before = LEADS_TO["submit_signings"]
    signed = (Signing("d-1", consented_ms=1, signed_ms=2),)
    error = AnswerLostError()
    following = after_outcome(before, Partly({"signings": signed}, error), at())
    assert following.record.signings == signed
    plain = after_error(before.evolve(signings=signed), error, at())
    assert following.record == plain.record


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


@pytest.mark.parametrize(("follows", "left"), [("", False), ("i-0", False), ("i-1", True)])
@pytest.mark.parametrize("status", ["Declined", "Expired", "Archived"])
def test_an_identification_that_is_over_ends_the_doubt_about_its_beginning(
    status: str, follows: str, left: bool
) -> None:
    """A read that shows what our call began ends its doubt, however short it was; one that shows the last does not."""
    doubt = Effect("create_identification", ("c-1", follows), first_ms=1, last_ms=2)
    before = replace(READY, identification_id=follows or None, identification_status="Expired" if follows else None)
    shown = {"identification_id": "i-1", "identification_status": status, "round": 1, "round_ms": NOW_MS}
    following = after_outcome(before.evolve(step="refresh"), Done(shown), at(effect=doubt))
    assert following.record.phase in {Phase.DECLINED, Phase.EXPIRED, Phase.ON_HOLD}
    assert following.record.effect == (doubt if left else None)


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
        assert following.record.waiting_on() == "operator"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({"customer_status": "UserRequired"}, "user_required"),
        ({"identification_status": "Archived"}, "identification_archived"),
        ({"identification_status": "Pondering"}, "unknown_status"),
        ({"customer_status": "Frozen"}, "unknown_status"),
        ({"customer_status": "Frozen", "identification_status": "Archived"}, "unknown_status"),
        ({"customer_status": "Frozen", "identification_status": "Expired"}, "unknown_status"),
        ({"customer_status": "UserRequired", "identification_status": "Expired"}, "user_required"),
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
    """The list is fetched without a pause where none is known; then the customer is polled."""
    entered = read(WAITING, customer_status="SigningsRequired")
    assert (entered.record.step, entered.delay_s) == ("fetch_required_signings", 0)
    fetched = read(entered.record, signings=(Signing("d-1"),))
    assert fetched.record.step == "refresh"
    assert fetched.delay_s


def test_new_documents_are_read_at_once_where_all_known_ones_are_signed() -> None:
    """Who is to sign again has new documents: the read that tells so leads to their list."""
    signed = (Signing("d-1", consented_ms=1, signed_ms=2),)
    active = replace(TO_SIGN, phase=Phase.ACTIVE, customer_status="Active", step="refresh", signings=signed, reads=7)
    entered = read(active, customer_status="SigningsRequired")
    assert (entered.record.step, entered.delay_s) == ("fetch_required_signings", 0)


def test_a_customer_without_known_documents_is_asked_about_them_again() -> None:
    """However the list got lost, whoever is to sign and has nothing to sign leads to the list."""
    assert read(replace(TO_SIGN, step="refresh", signings=())).record.step == "fetch_required_signings"


def test_the_documents_may_change_while_the_customer_reads() -> None:
    """Every so many reads the list is read as well, and in between it is left alone."""
    record, steps = replace(TO_SIGN, step="refresh"), []
    for _ in range(3 * LIST_EVERY):
        following = read(record)
        assert (following.delay_s == 0) == (following.record.step == "fetch_required_signings")
        record = following.record
        steps.append(record.step)
    assert steps.count("fetch_required_signings") == 3
    assert steps[LIST_EVERY - 1] == "fetch_required_signings"
    assert {steps[i + 1] for i, step in enumerate(steps[:-1]) if step != "refresh"} == {"refresh"}


def test_consent_leads_to_submission_at_once() -> None:
    """What the customer agreed to is noted with its time, once, and submitted without a pause."""
    again = act("sign", documents=["d-1"], at_ms=NOW_MS + 9)
    following = after_acts(TO_SIGN, [SIGN, again], at(effect=EFFECT))
    assert following is not None
    assert following.applied == (SIGN, again)
    assert following.record.signings == (Signing("d-1", consented_ms=NOW_MS + 5), Signing("d-2"))
    assert (following.record.step, following.delay_s) == ("submit_signings", 0)
    assert following.record.effect == EFFECT
    assert following.note.startswith("ops passed on")


def test_consent_to_what_is_not_asked_for_changes_nothing() -> None:
    """A document that Iron does not require (any more) is passed over."""
    following = after_acts(TO_SIGN, [act("sign", documents=["d-9"])], at())
    assert following is not None
    assert following.record.signings == TO_SIGN.signings
    assert following.record.step == "refresh"
    assert following.delay_s


@pytest.mark.usefixtures("no_jitter")
def test_what_is_left_of_the_documents_follows_at_once() -> None:
    """As long as an agreed document is unsigned one follows at once; after the last one, a read in a second."""
    one = Signing("d-1", consented_ms=1, signed_ms=2)
    two = Signing("d-2", consented_ms=1)
    submitting = replace(TO_SIGN, step="submit_signings", signings=(one, two), reads=9)
    following = read(submitting)
    assert (following.record.step, following.delay_s) == ("submit_signings", 0)
    through = read(submitting, signings=(one, replace(two, signed_ms=3)))
    assert (through.record.step, through.delay_s) == ("refresh", advance.SIGNED_PAUSE_S)


def test_a_signed_record_that_iron_still_asks_for_reads_the_list_again() -> None:
    """When reads show no progress the list is asked again: not at once, since Iron lags behind, and not never."""
    one = Signing("d-1", consented_ms=1, signed_ms=2)
    record, steps = replace(TO_SIGN, step="submit_signings", signings=(one,)), []
    for _ in range(4):
        following = read(record)
        record = following.record
        steps.append(record.step)
        assert following.delay_s or record.step == "fetch_required_signings"
    assert steps == ["refresh", "refresh", "fetch_required_signings", "refresh"]


# --- who must act ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", Phase)
def test_a_problem_for_an_operator_comes_first(phase: Phase) -> None:
    """Where an operator has to act, nobody else is waited for."""
    problem = Problem("x", "X.", False, 1, operator=True)
    assert replace(WAITING, phase=phase, problem=problem).waiting_on() == "operator"


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
    assert replace(TO_SIGN, signings=signings).waiting_on() == who


@pytest.mark.parametrize(
    ("found", "step"),
    [
        ({"identification_status": "Declined"}, "explain_decline"),
        ({"identification_status": "Pending", "was_active": True}, "handle_step_up"),
    ],
)
def test_why_is_read_once(found: dict[str, Any], step: str) -> None:
    """A phase that wants an explanation has it read at once, until it was read; after that the status is polled."""
    entered = read(WAITING, **found)
    assert (entered.record.step, entered.delay_s) == (step, 0)
    assert read(entered.record.evolve(step="refresh")).record.step == step, "what was put before it does not replace it"
    after = read(entered.record, reasons=("photo",), reasons_read=True)
    assert after.record.step == "refresh"
    assert after.delay_s
    assert read(after.record).record.step == "refresh"


def test_why_is_read_for_each_identification() -> None:
    """What was read of one identification says nothing about the next one."""
    declined = read(WAITING, identification_status="Declined", reasons_read=True).record
    told = read(declined, reasons_read=True).record
    assert told.step == "refresh"
    assert read(told, identification_id="i-2").record.step == "explain_decline"


def test_a_decline_that_turns_out_final_is_the_operators() -> None:
    """What the explanation says about another try decides who must act, in the same phase."""
    declined = read(WAITING, identification_status="Declined").record
    assert declined.waiting_on() == "customer"
    final = read(declined, may_retry=False).record
    assert (final.phase, final.waiting_on()) == (Phase.DECLINED, "operator")
