"""Whom a webhook wakes, and what happens first then. Source: decision 0017, workers/ledger/lua/news.lua."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from tests.world import PLENTY, World
from workers.ledger import LEASE_MS, Claim, Ledger, New, Nudge
from workers.ledger.hints import UNCLEAR, hint

#: A due time that only news can bring forward, in seconds.
FAR_S = 365 * 86_400.0
ACTIVE = hint("customer", "c-1", "Active")
SIGNS = hint("customer", "c-1", "SigningsRequired")
APPROVED = hint("identification", "i-1", "Approved")
#: A record whose customer has documents to sign, as the ledger's JSON shows it.
SHOWN: dict[str, Any] = {
    "phase": Phase.SIGNINGS_REQUIRED,
    "step": "refresh",
    "customer_id": "c-1",
    "customer_status": "SigningsRequired",
    "identification_id": "i-1",
    "identification_status": "Approved",
}
PENDING: dict[str, Any] = SHOWN | {
    "phase": Phase.IDENTIFICATION_PENDING,
    "customer_status": "IdentificationRequired",
    "identification_status": "Pending",
}


class Clock:
    """Milliseconds to put the ledger's clock ahead of the server's."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(client: redis.Redis, clock: Clock) -> Ledger:
    return Ledger(client, PLENTY, clock)


def claimed(ledger: Ledger) -> Claim:
    """Take the record in hand for whatever its step is."""
    record = read(ledger)
    claim = ledger.claim("k-1", record.version, record.step)
    assert isinstance(claim, Claim), claim
    return claim


def read(ledger: Ledger) -> Record:
    found = ledger.read("k-1")
    assert found is not None
    return found.record


def due_in_s(ledger: Ledger) -> float:
    found = ledger.read("k-1")
    assert found is not None
    assert found.due_ms is not None
    return (found.due_ms - found.now_ms) / 1000


def commit(ledger: Ledger, claim: Claim, delay_s: float | None = FAR_S, **changes: Any) -> Nudge | None:
    return ledger.commit(claim, Next(replace(claim.record, **changes), delay_s))


def resting(ledger: Ledger, delay_s: float = FAR_S, **shown: Any) -> None:
    """Let a record rest that shows this."""
    ledger.create([New(Record("k-1", external_id="k-1", fingerprint="f"), {})])
    commit(ledger, claimed(ledger), delay_s, **shown)


# --- what is news -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        pytest.param(SHOWN, SIGNS, id="status of the customer"),
        pytest.param(SHOWN, APPROVED, id="status of the identification"),
        pytest.param(PENDING, hint("created", None, None), id="creation"),
        pytest.param(PENDING, hint("identification", "i-1", "Pending"), id="phase of the identification"),
    ],
)
def test_what_a_record_shows_already_wakes_nobody(ledger: Ledger, shown: dict[str, Any], said: str) -> None:
    """A webhook that tells what the record shows sends no nudge and brings no due time forward."""
    resting(ledger, **shown)
    assert ledger.wake("c-1", said) is None
    assert due_in_s(ledger) > FAR_S - 60


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        pytest.param(SHOWN, ACTIVE, id="another status of the customer"),
        pytest.param(SHOWN, hint("identification", "i-2", "Approved"), id="another identification"),
        pytest.param(PENDING, hint("identification", "i-1", "Expired"), id="another phase"),
        pytest.param(SHOWN, UNCLEAR, id="what nobody understands"),
        pytest.param(SHOWN, hint("customer", "c-1", "Frozen"), id="an unknown status"),
        pytest.param(SHOWN, "!", id="a reason to look"),
    ],
)
def test_news_is_read_at_once(ledger: Ledger, shown: dict[str, Any], said: str) -> None:
    """A webhook that tells anything else has the customer read now."""
    resting(ledger, **shown)
    assert ledger.wake("c-1", said) == Nudge("interactive", "refresh", "k-1", 2)
    assert due_in_s(ledger) < 60


def test_what_is_expected_is_read_soon(ledger: Ledger) -> None:
    """A status that may lead to the phase which the record is in has the customer read within seconds."""
    resting(ledger, **SHOWN | {"identification_status": "Processed", "phase": Phase.STEP_UP_REQUIRED})
    assert ledger.wake("c-1", hint("identification", "i-1", "Pending")) is None
    assert 0 < due_in_s(ledger) <= 3


@pytest.mark.parametrize("known_s", [0.0, 2.0])
def test_news_puts_nothing_off(ledger: Ledger, known_s: float) -> None:
    """Webhooks in a row, each a reason to read soon, make nobody wait longer than without them."""
    resting(ledger, known_s + 1, **SHOWN | {"identification_status": "Processed", "phase": Phase.STEP_UP_REQUIRED})
    for _ in range(5):
        ledger.wake("c-1", hint("identification", "i-1", "Pending"))
    assert due_in_s(ledger) <= known_s + 1


def test_a_storm_of_webhooks_reads_once_a_second(ledger: Ledger, clock: Clock) -> None:
    """The first piece of news is read at once, those of the second after it when that second is over."""
    resting(ledger, **SHOWN)
    assert ledger.wake("c-1", ACTIVE) is not None
    commit(ledger, claimed(ledger))
    assert ledger.wake("c-1", UNCLEAR) is None
    assert 0 < due_in_s(ledger) <= 1
    clock.ms += 1_001
    assert ledger.wake("c-1", UNCLEAR) is not None


# --- news while the record is in hand ---------------------------------------------------------------------------------


def test_what_a_commit_shows_already_lets_nobody_be_read(ledger: Ledger) -> None:
    """A webhook that tells what the claim in hand finds out by itself costs no read after its commit."""
    resting(ledger, **PENDING)
    claim = claimed(ledger)
    assert ledger.wake("c-1", SIGNS) is None
    assert commit(ledger, claim, **SHOWN) is None
    assert due_in_s(ledger) > FAR_S - 60


@pytest.mark.parametrize("delay_s", [0.0, 5.0, FAR_S, None])
def test_news_while_a_record_is_in_hand_is_read_first(ledger: Ledger, delay_s: float | None) -> None:
    """Whatever step a commit asks for, and when: what it does not show yet is read before, and now."""
    resting(ledger, **PENDING)
    claim = claimed(ledger)
    ledger.wake("c-1", ACTIVE)
    nudge = commit(ledger, claim, delay_s, **SHOWN | {"step": "fetch_required_signings"})
    assert nudge == Nudge("interactive", "refresh", "k-1", 3)
    assert read(ledger).step == "refresh"


def test_nobody_goes_on_past_news(ledger: Ledger) -> None:
    """A worker that would go on with the next step in hand reads the customer instead."""
    resting(ledger, **PENDING)
    claim = claimed(ledger)
    ledger.wake("c-1", ACTIVE)
    onward = ledger.commit_and_claim(claim, Next(replace(claim.record, **SHOWN | {"step": "submit_signings"}), 0))
    assert onward == Nudge("interactive", "refresh", "k-1", 3)


def test_many_webhooks_for_one_commit(ledger: Ledger) -> None:
    """More webhooks than are kept for a commit are a reason to read the customer, whatever they said."""
    resting(ledger, **PENDING)
    claim = claimed(ledger)
    for _ in range(100):
        ledger.wake("c-1", SIGNS)
    assert commit(ledger, claim, **SHOWN) is not None


@pytest.mark.parametrize("before_ms", [0, LEASE_MS + 1])
def test_news_outlives_a_worker(ledger: Ledger, clock: Clock, before_ms: int) -> None:
    """What a webhook said about a record whose worker then died, or had died, is read after the next one's commit."""
    resting(ledger, **SHOWN | {"step": "fetch_required_signings"})
    claimed(ledger)
    clock.ms += before_ms
    ledger.wake("c-1", ACTIVE)
    clock.ms += LEASE_MS + 1
    assert commit(ledger, claimed(ledger), step="refresh") == Nudge("interactive", "refresh", "k-1", 3)


# --- news about a claim that was lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["create_identification", "submit_signings", "update_customer"])
def test_a_lost_claims_step_goes_before_news(ledger: Ledger, clock: Clock, step: str) -> None:
    """A step whose worker died comes again before the read, and is told of it: only it knows what to look for."""
    resting(ledger, **SHOWN | {"step": step})
    lost = claimed(ledger)
    clock.ms += LEASE_MS + 1
    assert ledger.wake("c-1", ACTIVE) == Nudge("interactive", step, "k-1", 2)
    assert claimed(ledger).abandoned_ms == lost.now_ms


def test_without_a_lost_claim_news_goes_first(ledger: Ledger) -> None:
    """A step that nobody has begun is put off for the read: the customer may not lead to it any more."""
    resting(ledger, **SHOWN | {"step": "submit_signings"})
    assert ledger.wake("c-1", ACTIVE) == Nudge("interactive", "refresh", "k-1", 2)


def test_a_signature_by_a_dead_worker_is_told_in_spite_of_news(world: World) -> None:
    """One of two documents is signed, its worker dead, and a webhook comes: the record says that it is signed."""
    world.submit()
    world.run(until=lambda: bool(world.record().signings))
    signed, other = (signing.id for signing in world.record().signings)
    world.runner.going_on = False
    world.act("k-1", "sign", documents=[signed])
    nudge = world.queue.nudges.popleft()
    world.run_step(nudge.step, nudge.key, nudge.version)
    world.queue.nudges.clear()
    record = world.record()
    dead = world.ledger.claim("k-1", record.version, "submit_signings")
    assert isinstance(dead, Claim)
    world.runner._attempt(dead)
    assert world.effects()["k-1"]["signings"] == 1
    world.advance(LEASE_MS / 1000 + 1)
    world.ledger.wake(str(record.customer_id), UNCLEAR)
    world.run(until=lambda: world.record().version > record.version + 1, seconds=60)
    told = {signing.id: signing.signed_ms is not None for signing in world.record().signings}
    assert told == {signed: True, other: False}
