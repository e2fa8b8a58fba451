"""Doubt is resolved by looking: rule 5 and races h and i of the design, over one effect, a clock and recorded calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipelines.attempt import Attempt, effect_in_hand
from pipelines.errors import (
    AccessRefusedError,
    AnswerLostError,
    AnswerUnreadableError,
    ConflictError,
    IronError,
    NotFoundError,
    OnboardingError,
    RateLimitedError,
    RequestRefusedError,
    ServerFaultError,
    StaleClaimError,
    UnreachableError,
)
from pipelines.keys import idempotency_key
from pipelines.model import STRIKES, Effect, Policy, Record

POLICY = Policy(settle_s=120, retention_s=86_400, retention_used=0.8, max_generations=1)
#: Beyond this many seconds after its first call a key is not relied on.
FORGOTTEN_S = 69_120
RETENTION_S = 86_400
SUBJECT = ("crm-1",)
RECORD = Record("k-1", external_id="crm-1", step="create_customer")


def named(key: str, sub_partner_id: str | None = None) -> str:
    """A key by its generation, as these tests speak of it."""
    for generation in range(5):
        derived = idempotency_key(
            installation="default",
            sub_partner_id=sub_partner_id,
            step="create_customer",
            subject=SUBJECT,
            generation=generation,
        )
        if key == derived:
            return f"call {generation}"
    return "call under an unknown key"


def fault(status: int = 500) -> ServerFaultError:
    """A fault of Iron."""
    return ServerFaultError(status=status)


@dataclass
class Story:
    """One effect over many attempts: what is stored between them is what a commit would store."""

    now_s: float = 1_000.0
    record: Record = RECORD
    happened: list[str] = field(default_factory=list)

    def attempt(
        self,
        answer: Any = "made",
        *,
        found: Any = None,
        none_yet: bool = False,
        abandoned_ms: int | None = None,
        strikes: int = STRIKES,
    ) -> list[str]:
        """Perform the effect once; answers what was called in this attempt, and the result or the error's name."""
        seen: list[str] = []

        def call(key: str) -> Any:
            seen.append(named(key, self.record.sub_partner_id))
            if isinstance(answer, Exception):
                raise answer
            return answer

        def look() -> str | None:
            seen.append("look")
            if isinstance(found, Exception):
                raise found
            return found

        effect = effect_in_hand(self.record, abandoned_ms, has_effect=True)
        attempt = Attempt("default", POLICY, lambda: int(self.now_s * 1000), dict, effect=effect)
        try:
            made = attempt.perform(self.record, SUBJECT, call=call, look=look, none_yet=none_yet, strikes=strikes)
            seen.append(made)
        except OnboardingError as error:
            seen.append(type(error).__name__)
        assert len([one for one in seen if one == "look" or one.startswith("call")]) <= 2
        stored = replace(self.record, effect=attempt.effect).stored()
        self.record = Record.restored(stored, key="k-1", step="create_customer")
        self.happened += seen
        return seen

    def later(self, seconds: float, answer: Any = "made", **more: Any) -> list[str]:
        """The same after so many seconds."""
        self.now_s += seconds
        return self.attempt(answer, **more)

    @property
    def effect(self) -> Effect:
        """What is stored."""
        assert self.record.effect is not None
        return self.record.effect


# --- the first call of a key -----------------------------------------------------------------------------------------


def test_the_first_call_looks_first() -> None:
    """Nobody can tell a new record from a lost one: look, then call."""
    assert Story().attempt() == ["look", "call 0", "made"]


def test_what_is_there_already_is_adopted() -> None:
    """What the look finds is the result, and nothing is called."""
    assert Story().attempt(found="theirs") == ["look", "theirs"]


def test_known_to_be_none_needs_no_look() -> None:
    """Where Iron has just said that there is none, the first look is left out."""
    assert Story().attempt(none_yet=True) == ["call 0", "made"]


def test_an_abandoned_claim_is_looked_after_in_spite_of_that() -> None:
    """A claim that ended without a commit may have called: then the look comes first all the same."""
    assert Story().attempt(none_yet=True, abandoned_ms=990_000) == ["look", "call 0", "made"]


def test_another_subject_is_another_effect() -> None:
    """What is known of one effect says nothing about another."""
    other = Effect("create_customer", ("crm-2",), generation=1, first_ms=1, last_ms=1, error="HTTP 500")
    story = Story(record=replace(RECORD, effect=other))
    assert story.attempt(fault()) == ["look", "call 0", "ServerFaultError"]
    assert story.effect == Effect("create_customer", SUBJECT, 0, 1_000_000, 1_000_000, "HTTP 500")


def test_the_sub_partner_is_part_of_the_key() -> None:
    """The key of a sub-partner's customer is its own."""
    partner = "0199c0de-0000-4000-8000-000000000001"
    story = Story(record=replace(RECORD, sub_partner_id=partner))
    assert story.attempt() == ["look", "call 0", "made"]


@pytest.mark.parametrize("known", [None, Effect("create_customer", SUBJECT, first_ms=500, last_ms=600)])
def test_an_abandoned_claim_is_noted_before_its_step_runs(known: Effect | None) -> None:
    """A claim without a commit may have called, whatever the next claim does: its effect is in doubt since then."""
    record = replace(RECORD, effect=known)
    effect = effect_in_hand(record, 900, has_effect=True)
    assert effect is not None
    assert (effect.abandoned, effect.first_ms) == (True, 500 if known else 900)
    assert effect_in_hand(record, None, has_effect=True) is known
    assert effect_in_hand(record, 900, has_effect=False) is known


# --- an outcome that is not known ------------------------------------------------------------------------------------

DOUBTS = [AnswerLostError(), AnswerUnreadableError(status=200), fault(), ConflictError(status=409)]


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: type(doubt).__name__)
def test_a_doubt_is_noted(doubt: IronError) -> None:
    """After a call in doubt the effect says when it was first called and when last."""
    story = Story()
    story.attempt(doubt)
    story.later(30, doubt)
    assert (story.effect.first_ms, story.effect.last_ms) == (1_000_000, 1_030_000)
    assert story.effect.generation == 0


@pytest.mark.parametrize("pause_s", [1, 30, 119, 3_600, FORGOTTEN_S - 1])
def test_inside_the_retention_the_same_key_goes_out_again(pause_s: float) -> None:
    """After a lost answer the same key is sent at once, without a look."""
    story = Story()
    story.attempt(AnswerLostError())
    assert story.later(pause_s) == ["call 0", "made"]


@pytest.mark.parametrize(
    ("found", "then"), [(None, ["look", "call 0", "made"]), ("ours", ["look", "ours"])], ids=["none", "found"]
)
def test_after_most_of_the_retention_the_look_comes_first(found: str | None, then: list[str]) -> None:
    """From 80 % of the retention on, a key is used only after a look that found nothing."""
    story = Story()
    story.attempt(AnswerLostError())
    assert story.later(FORGOTTEN_S, found=found) == then


def test_the_retention_counts_from_the_first_call() -> None:
    """Repetitions do not make Iron remember for longer; the count is new when all of the retention is over."""
    story = Story()
    story.attempt(AnswerLostError())
    for _ in range(4):
        assert story.later(17_000, AnswerLostError())[0] == "call 0"
    assert story.later(FORGOTTEN_S - 68_000, AnswerLostError()) == ["look", "call 0", "AnswerLostError"]
    assert story.effect.first_ms == 1_000_000
    assert story.later(RETENTION_S - FORGOTTEN_S, AnswerLostError()) == ["look", "call 0", "AnswerLostError"]
    assert story.effect.first_ms == story.effect.last_ms == int(story.now_s * 1000)
    assert story.later(FORGOTTEN_S - 1) == ["call 0", "made"]


def test_an_abandoned_claim_counts_as_the_first_call() -> None:
    """The retention counts from the earliest claim that may have called."""
    story = Story()
    story.attempt(AnswerLostError(), abandoned_ms=400_000)
    assert story.effect.first_ms == 400_000
    assert story.effect.abandoned
    assert story.later(FORGOTTEN_S - 601)[0] == "call 0"
    assert Story(400.0 + FORGOTTEN_S, story.record).attempt()[0] == "look"


@pytest.mark.parametrize(
    "definite",
    [UnreachableError(), RateLimitedError(), NotFoundError(status=404), AccessRefusedError(status=403)],
    ids=lambda error: type(error).__name__,
)
def test_a_call_that_had_no_effect_leaves_no_doubt(definite: IronError) -> None:
    """When Iron did not act, the next attempt is again a first call: it looks."""
    story = Story()
    assert story.attempt(definite)[1] == "call 0"
    assert story.effect.last_ms is None
    assert story.later(3_600) == ["look", "call 0", "made"]


@pytest.mark.parametrize("definite", [UnreachableError(), RateLimitedError()], ids=lambda error: type(error).__name__)
def test_a_later_call_that_had_no_effect_ends_no_doubt(definite: IronError) -> None:
    """What an earlier call left open stays open."""
    story = Story()
    story.attempt(AnswerLostError())
    story.later(30, definite)
    assert story.effect.last_ms == 1_000_000


def test_what_is_not_irons_answer_passes_through() -> None:
    """A claim that ended stops the call and is told to whoever runs the step."""
    attempt = Attempt("default", POLICY, lambda: 0, dict)

    def call(_: str) -> str:
        raise StaleClaimError

    with pytest.raises(StaleClaimError):
        attempt.perform(RECORD, SUBJECT, call=call, look=lambda: None)
    assert attempt.effect == Effect("create_customer", SUBJECT)


# --- race h: Iron replays a stored fault -----------------------------------------------------------------------------

SETTLE_S = 120


def faulty(*errors: IronError, pause_s: float = SETTLE_S) -> Story:
    """A story that begins with these answers, one pause apart."""
    story = Story()
    story.attempt(errors[0])
    for error in errors[1:]:
        story.later(pause_s, error)
    return story


def test_a_fault_that_stays_gets_a_new_generation() -> None:
    """Settle, the same key again, the same fault, settle, a look that finds nothing: generation 1, then its call."""
    story = faulty(fault(), fault())
    assert story.later(SETTLE_S) == ["look", "RenewedError"]
    assert story.effect == Effect("create_customer", SUBJECT, 1, first_ms=1_000_000, renewals=1)
    assert story.later(0) == ["look", "call 1", "made"]
    assert story.happened == [
        *("look", "call 0", "ServerFaultError"),
        *("look", "call 0", "ServerFaultError"),
        *("look", "RenewedError"),
        *("look", "call 1", "made"),
    ]


def test_a_generation_is_kept_before_it_is_called() -> None:
    """A worker that dies after the call under generation 1 leaves a record that says so: no way back to 0."""
    story = faulty(fault(), fault(), fault())
    assert story.happened[-2:] == ["look", "RenewedError"]
    before = story.record
    assert story.later(1) == ["look", "call 1", "made"]
    story.record = before  # the worker died before its commit
    assert story.later(7, abandoned_ms=int(story.now_s * 1000) - 7_000) == ["look", "call 1", "made"]


def test_what_the_look_finds_keeps_the_generation_from_rising() -> None:
    """The look that would end in a new generation finds the effect: it is the result, and the key stays what it was."""
    story = faulty(fault(), fault())
    assert story.later(SETTLE_S, found="ours") == ["look", "ours"]
    assert story.effect.generation == 0


def test_what_the_look_finds_then_is_adopted() -> None:
    """The fault hid an effect: it is found after the settle time, and no new key is made."""
    assert faulty(fault()).later(SETTLE_S, found="ours") == ["look", "ours"]
    assert faulty(fault(), fault()).later(SETTLE_S, found="ours") == ["look", "ours"]


def test_never_more_than_the_cap() -> None:
    """However long Iron faults, one new generation is the last; after the retention it begins at 0 again."""
    story = faulty(*[fault()] * 100)
    assert {one for one in story.happened if one.startswith("call")} == {"call 0", "call 1"}
    assert story.effect.generation == 1
    calls = [one for one in story.happened if one.startswith("call")]
    assert calls == sorted(calls)
    assert story.later(FORGOTTEN_S, fault()) == ["look", "call 0", "ServerFaultError"]
    assert story.effect.generation == 0
    assert not story.effect.confirmed


def test_a_generation_holds_only_inside_the_first_ones_retention() -> None:
    """Generation 1 is forgotten with generation 0: counted from generation 0's first call, not from its own."""
    story = faulty(fault(), fault(), fault(), AnswerLostError())
    assert story.happened[-2] == "call 1"
    assert story.effect.first_ms == 1_000_000
    assert story.later(FORGOTTEN_S - 3 * SETTLE_S - 1)[0] == "call 1"
    assert story.later(1) == ["look", "call 0", "made"]


@pytest.mark.parametrize("pause_s", [1, 60, SETTLE_S - 1])
def test_a_late_generation_settles_before_it_is_forgotten(pause_s: float) -> None:
    """Generation 1 was called a moment before the retention's end: a look that finds nothing counts after settling."""
    story = faulty(fault(), fault(), fault(), AnswerLostError())
    late_s = FORGOTTEN_S - 3 * SETTLE_S - 1
    assert story.later(late_s, AnswerLostError())[0] == "call 1"
    assert story.later(pause_s) == ["look", "SettlingError"]
    assert story.effect.generation == 1
    assert story.later(0, found="ours") == ["look", "ours"]
    assert story.later(SETTLE_S - pause_s) == ["look", "call 0", "made"]


@pytest.mark.parametrize("answered", [True, False])
def test_a_late_generation_waits_for_whoever_may_sleep_with_it(answered: bool) -> None:
    """A worker that had generation 1 in hand may call yet: 0 is begun again when it cannot be asleep any more."""
    story = faulty(fault(), fault(), fault())
    if answered:
        assert story.later(0, AnswerLostError())[1] == "call 1"
    begun_ms = int(story.now_s + FORGOTTEN_S - 7) * 1000
    assert story.later(FORGOTTEN_S, abandoned_ms=begun_ms) == ["look", "SettlingError"]
    assert (story.effect.generation, story.effect.in_doubt) == (1, True)
    story.now_s = 1_000 + 2 * RETENTION_S - 1
    assert story.attempt() == ["look", "SettlingError"]
    assert story.later(0, found="the sleeper's") == ["look", "the sleeper's"]
    assert story.later(1) == ["look", "call 0", "made"]


@pytest.mark.parametrize("pause_s", [1, 30, SETTLE_S - 1])
def test_no_new_generation_before_the_settle_time(pause_s: float) -> None:
    """Faults that come faster than the settle time never make a new key, however many they are."""
    story = faulty(*[fault()] * 50, pause_s=pause_s)
    assert story.happened == ["look", *["call 0", "ServerFaultError"] * 50]
    assert story.later(SETTLE_S) == ["look", "call 0", "made"]


@pytest.mark.parametrize(
    "answers",
    [
        [fault(), fault(503), fault()],
        [fault(), AnswerLostError(), fault()],
        [fault(), ConflictError(status=409), fault()],
        [fault(), fault(), AnswerLostError()],
    ],
    ids=["another fault", "a lost answer", "a conflict", "confirmed, then lost"],
)
def test_only_the_same_fault_in_a_row_counts(answers: list[IronError]) -> None:
    """Another answer in between begins the count anew."""
    story = faulty(*answers[:2])
    story.later(30 if answers[2].code == "answer_lost" else SETTLE_S, answers[2])
    assert story.happened[-2] == "call 0"
    assert story.later(SETTLE_S)[-2:] == ["call 0", "made"]
    assert story.effect.generation == 0


@pytest.mark.parametrize("doubt", [AnswerLostError(), AnswerUnreadableError(status=200), ConflictError(status=409)])
def test_no_new_generation_for_what_is_no_fault(doubt: IronError) -> None:
    """A lost answer, an odd one and a conflict are repeated under the same key for ever."""
    story = faulty(*[doubt] * 20)
    assert "call 1" not in story.happened


@pytest.mark.parametrize("when", [0, 1, 2])
def test_no_new_generation_after_an_abandoned_claim(when: int) -> None:
    """A worker that may be asleep with this key in hand forbids another key until the retention is over."""
    story = Story()
    for number in range(6):
        more = {"abandoned_ms": 1_000_000} if number == when else {}
        story.later(SETTLE_S, fault(), **more)
    assert "call 1" not in story.happened
    assert story.later(FORGOTTEN_S, fault())[:2] == ["look", "call 0"]
    assert not story.effect.abandoned


# --- race i: a conflict ----------------------------------------------------------------------------------------------


def test_a_conflict_is_looked_at_in_the_next_attempt() -> None:
    """A 409 ends the attempt, so that it makes two calls at most; the next one looks, and adopts what is there."""
    story = Story()
    assert story.attempt(ConflictError(status=409), none_yet=True) == ["call 0", "ConflictError"]
    assert story.effect.conflict
    assert story.later(1, found="theirs", none_yet=True) == ["look", "theirs"]


def test_a_conflict_that_shows_nothing_keeps_the_key() -> None:
    """Our own first request may be at work: the same key later, looked for each time, never another one."""
    story = Story()
    assert story.attempt(ConflictError(status=409)) == ["look", "call 0", "ConflictError"]
    for pause_s in (1, 60, SETTLE_S, 3_600):
        assert story.later(pause_s, ConflictError(status=409)) == ["look", "call 0", "ConflictError"]
    assert (story.effect.generation, story.effect.error) == (0, None)
    assert story.later(SETTLE_S) == ["look", "call 0", "made"]


@pytest.mark.parametrize("doubt", [AnswerLostError(), fault()], ids=lambda doubt: type(doubt).__name__)
def test_a_conflict_is_looked_at_once(doubt: IronError) -> None:
    """After another answer a conflict is over: the key goes out again without a look."""
    story = faulty(ConflictError(status=409), doubt, pause_s=1)
    assert not story.effect.conflict
    assert story.later(1) == ["call 0", "made"]


def test_a_conflict_leaves_a_doubt() -> None:
    """While nobody knows what is in flight, acts that change the call have to wait."""
    story = faulty(ConflictError(status=409))
    assert story.effect.in_doubt


# --- a refusal -------------------------------------------------------------------------------------------------------


def refusal(status: int = 422) -> RequestRefusedError:
    """A refusal, as the client raises it: whether it answers an effect is not known there."""
    return RequestRefusedError(status=status)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_counts_when_it_came_twice(status: int) -> None:
    """The first one is a strike, and the next attempt looks and sends the same key; the second one is Iron's answer."""
    story = Story()
    assert story.attempt(refusal(status)) == ["look", "call 0", "RequestRefusedError"]
    assert story.effect == Effect("create_customer", SUBJECT, 0, 1_000_000, strikes=1)
    assert not story.effect.in_doubt
    assert story.later(2, refusal(status)) == ["look", "call 0", "RequestRefusedError"]
    assert story.effect == Effect("create_customer", SUBJECT, 0, 1_000_000, 1_002_000, strikes=STRIKES, refused=True)
    assert not story.effect.in_doubt


def test_a_refusal_that_does_not_come_again_is_no_answer() -> None:
    """One machine of Iron's may refuse what the next one takes: the effect comes about under the same key."""
    story = Story()
    story.attempt(refusal())
    assert story.later(2) == ["look", "call 0", "made"]


def test_a_refusal_is_told_as_an_answer_to_the_effect() -> None:
    """What the operation raises is marked as its answer; what the look before it raises is not."""
    answers = []
    for call, found in ((refusal(), None), ("made", refusal())):
        Story().attempt(call, found=found)
        answers.append(call if isinstance(call, IronError) else found)
    assert [answer.of_effect for answer in answers if answer] == [True, False]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_refusal_of_a_look_is_no_strike(status: int) -> None:
    """A look carries no details: however often Iron refuses it, nothing is held against the job, and no call leaves."""
    story = Story()
    for _ in range(5):
        assert story.later(2, found=refusal(status)) == ["look", "RequestRefusedError"]
    assert story.effect == Effect("create_customer", SUBJECT)


@pytest.mark.parametrize("error", [refusal(404), refusal(405), refusal(415), AccessRefusedError(status=403)], ids=repr)
def test_the_refusal_of_a_caller_is_no_strike(error: IronError) -> None:
    """An answer that cannot be about details says nothing about them, however often it comes."""
    story = Story()
    for _ in range(5):
        story.later(2, error)
    assert (story.effect.strikes, story.effect.refused, story.effect.in_doubt) == (0, False, False)
    story.later(2, refusal())
    story.later(2, error)
    assert (story.effect.strikes, story.effect.refused) == (1, False)


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: type(doubt).__name__)
def test_only_refusals_in_a_row_count(doubt: IronError) -> None:
    """A doubt between two refusals begins their count anew."""
    story = faulty(refusal(), doubt, refusal(), pause_s=1)
    assert (story.effect.strikes, story.effect.refused) == (1, False)
    story.later(1, refusal())
    assert story.effect.refused


@pytest.mark.parametrize("error", [UnreachableError(), RateLimitedError()], ids=lambda error: type(error).__name__)
def test_what_iron_did_not_look_at_is_nothing_between_two_refusals(error: IronError) -> None:
    """A call that never reached Iron's check of the details neither counts nor begins the count anew."""
    story = faulty(refusal(), error, refusal(), pause_s=1)
    assert story.effect.refused


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: type(doubt).__name__)
def test_a_refusal_ends_a_doubt(doubt: IronError) -> None:
    """The same key was refused in the end, twice: what was open before is certain now, and not a moment earlier."""
    story = faulty(doubt, refusal(400), pause_s=1)
    assert story.effect.in_doubt
    story.later(1, refusal(400))
    assert story.effect.refused
    assert not story.effect.in_doubt
    assert (story.effect.error, story.effect.confirmed, story.effect.conflict) == (None, False, False)


# --- a refusal of what carries no details ----------------------------------------------------------------------------


def test_what_carries_no_details_is_refused_at_once() -> None:
    """Where one refusal is an answer, the same key goes out again until the settle time has passed since the last."""
    story = Story()
    assert story.attempt(refusal(), strikes=1) == ["look", "call 0", "RequestRefusedError"]
    assert (story.effect.refused, story.effect.in_doubt, story.effect.generation) == (True, False, 0)
    for pause_s in (1, SETTLE_S - 1):
        assert story.later(pause_s, refusal(), strikes=1) == ["call 0", "RequestRefusedError"]
    assert story.later(SETTLE_S, refusal(), strikes=1) == ["look", "RenewedError"]
    assert story.effect == Effect("create_customer", SUBJECT, 1, first_ms=1_000_000, renewals=1)
    assert story.later(0, strikes=1) == ["look", "call 1", "made"]


def test_what_the_look_finds_after_a_refusal_is_the_result() -> None:
    """Iron refuses what is there already: the look after the settle time finds it, and no new key is made."""
    story = Story()
    story.attempt(refusal(), strikes=1)
    assert story.later(SETTLE_S, found="ours", strikes=1) == ["look", "ours"]
    assert story.effect.generation == 0


def test_refusals_make_one_new_generation_at_most() -> None:
    """However often Iron refuses, one new generation is the last, as after faults."""
    story = Story()
    for _ in range(50):
        story.later(SETTLE_S, refusal(), strikes=1)
    assert {one for one in story.happened if one.startswith("call")} == {"call 0", "call 1"}
    assert story.effect.generation == 1


def test_no_new_generation_after_a_refusal_while_a_worker_may_sleep() -> None:
    """A worker that may be asleep with this key in hand forbids another key, also after a refusal."""
    story = Story()
    story.attempt(refusal(), strikes=1, abandoned_ms=990_000)
    for _ in range(5):
        assert story.later(SETTLE_S, refusal(), strikes=1) == ["look", "call 0", "RequestRefusedError"]
    assert story.effect.generation == 0
