"""The steps that read documents and submit signatures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from ops.sandbox import Fault
from pipelines.errors import (
    AnswerLostError,
    ConflictError,
    IronError,
    NothingDueError,
    OutcomeUnknownError,
    RateLimitedError,
    RenewedError,
    RequestRefusedError,
    ServerFaultError,
    StaleClaimError,
)
from pipelines.lifecycle import Phase
from pipelines.model import Done, Policy, Signing
from pipelines.onboarding import SIGNING_FOR_S, STEPS
from tests.stage import Stage

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
        STEPS["submit_signings"].run(stage.record, iron, stage.attempt())
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
