"""The ledger's script on a real Redis: who may write, what a repeated call answers, and that nothing is left behind."""

from __future__ import annotations

import gc
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
import redis

from pipelines.errors import StaleClaimError
from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from tests.world import PLENTY, World
from workers.budget.gate import Gate
from workers.ledger import CLOCK_TOLERANCE_MS, LEASE_MS, PREFIX, Claim, Ledger, Lists, New, NotClaimed, Nudge


class Clock:
    """Milliseconds to put the ledger's clock ahead of the server's."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


class Repeating(Ledger):
    """Sends every call twice, as redis-py does when the first answer is lost, and sees only the second answer.

    Not `take`: an answer of it that is lost is nudges lost, which the pulse sends again a few seconds later.
    """

    def _call(self, operation: str, *arguments: Any, pipeline: Any = None, **more: Any) -> Any:
        if operation != "take" and pipeline is None:
            super()._call(operation, *arguments, **more)
        return super()._call(operation, *arguments, pipeline=pipeline, **more)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(client: redis.Redis, clock: Clock) -> Ledger:
    return Ledger(client, PLENTY, clock)


def a_record(key: str = "k-1", **changes: Any) -> Record:
    return Record(key=key, external_id=changes.pop("external_id", key), fingerprint="f", **changes)


def create(ledger: Ledger, record: Record) -> Any:
    return ledger.create([New(record, {"customer": b"sealed"})])[0]


def claimed(ledger: Ledger, version: int = 1, step: str = "create_customer", key: str = "k-1") -> Claim:
    claim = ledger.claim(key, version, step)
    assert isinstance(claim, Claim), claim
    return claim


def following(claim: Claim, delay_s: float | None = 0, **changes: Any) -> Next:
    wanted = {"phase": Phase.CUSTOMER_CREATED, "step": "create_identification", "customer_id": "c-1"} | changes
    return Next(replace(claim.record, **wanted), delay_s)


def dump(client: redis.Redis) -> dict[bytes, Any]:
    """Everything the ledger holds, to compare."""
    readers = {b"string": client.get, b"hash": client.hgetall, b"list": lambda k: client.lrange(k, 0, -1)}
    readers[b"zset"] = lambda k: client.zrange(k, 0, -1, withscores=True)
    readers[b"stream"] = client.xrange
    return {key: readers[client.type(key)](key) for key in sorted(client.scan_iter(PREFIX + "*"))}


@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
def test_a_history_begins_at_the_servers_time(jump_s: float, client: redis.Redis) -> None:
    """What a new record's history says of its time is the server's, however our own clock jumps after it was asked."""
    now_s = 1_000_000.0
    ledger = Ledger(client, PLENTY, clock=lambda: now_s)
    create(ledger, a_record("k-1"))
    now_s += jump_s
    create(ledger, a_record("k-2"))
    create(ledger, a_record("k-3"))
    for key in ("k-1", "k-2", "k-3"):
        read = ledger.read(key)
        assert read is not None
        assert abs(ledger.history(key)[0]["at_ms"] - read.record.created_ms) <= CLOCK_TOLERANCE_MS
        assert read.now_ms - read.record.created_ms < 60_000


def test_created_once(ledger: Ledger, client: redis.Redis) -> None:
    """The same job again finds the record, unchanged."""
    assert create(ledger, a_record()).status == "created"
    before = dump(client)
    again = create(ledger, a_record())
    assert (again.status, again.record.phase) == ("exists", "received")
    assert dump(client) == before


def test_create_repeated(ledger: Ledger, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A creation whose answer was lost answers the same when it is sent again, and stores nothing twice."""
    monkeypatch.setattr("workers.ledger.ledger.call_token", lambda: "the-token-of-one-call")
    assert create(ledger, a_record()).status == "created"
    before = dump(client)
    assert create(ledger, a_record()).status == "created"
    assert dump(client) == before


def test_external_id_taken(ledger: Ledger, client: redis.Redis) -> None:
    """A second key with a known external id is refused and told who has it."""
    create(ledger, a_record("k-1", external_id="e"))
    before = dump(client)
    refused = create(ledger, a_record("k-2", external_id="e"))
    assert (refused.status, refused.holder) == ("external_id_taken", "k-1")
    assert dump(client) == before


def test_one_of_two_claims(ledger: Ledger) -> None:
    """Of two claimers one gets the record."""
    create(ledger, a_record())
    claimed(ledger)
    assert ledger.claim("k-1", 1, "create_customer") == NotClaimed("leased")


@pytest.mark.parametrize(
    ("key", "version", "step", "reason"),
    [
        ("k-2", 1, "create_customer", "gone"),
        ("k-1", 2, "create_customer", "superseded"),
        ("k-1", 1, "refresh", "superseded"),
    ],
)
def test_not_claimed(ledger: Ledger, key: str, version: int, step: str, reason: str) -> None:
    """A nudge for something else than what is due ends in one call."""
    create(ledger, a_record())
    assert ledger.claim(key, version, step) == NotClaimed(reason)


def test_commit(ledger: Ledger) -> None:
    """A commit writes phase, version, index, history and due time together, and gives the nudge to send."""
    create(ledger, a_record())
    nudge = ledger.commit(claimed(ledger), following_now(ledger))
    assert nudge == Nudge("interactive", "create_identification", "k-1", 2)
    read = ledger.read("k-1")
    assert read is not None
    assert (read.record.phase, read.record.version, read.claimed) == ("customer_created", 2, False)
    assert read.due_ms is not None
    assert 0 < read.due_ms - read.now_ms <= 5000
    assert Lists(ledger).phases().keys() == {Phase.CUSTOMER_CREATED}
    assert [entry["phase"] for entry in ledger.history("k-1")] == ["received", "customer_created"]
    assert ledger.wake("c-1") == Nudge("interactive", "refresh", "k-1", 2)  # news is read first


def following_now(ledger: Ledger) -> Next:
    read = ledger.read("k-1")
    assert read is not None
    record = replace(
        read.record, phase=Phase.CUSTOMER_CREATED, step="create_identification", customer_id="c-1", none_yet=True
    )
    return Next(record, 0)


def test_stale_fence(ledger: Ledger, client: redis.Redis, clock: Clock) -> None:
    """A worker that slept past its lease cannot write once somebody else has the record, nor later."""
    create(ledger, a_record())
    sleeper = claimed(ledger)
    clock.ms += LEASE_MS + 1
    successor = claimed(ledger)
    with pytest.raises(StaleClaimError):
        ledger.commit(sleeper, following(sleeper))
    assert ledger.read("k-1").record.version == 1  # type: ignore[union-attr]
    ledger.commit(successor, following(successor))
    before = dump(client)
    with pytest.raises(StaleClaimError):
        ledger.commit(sleeper, following(sleeper, customer_id="c-2"))
    assert dump(client) == before


def test_fence_after_rollback(ledger: Ledger, client: redis.Redis) -> None:
    """A ledger that forgot a claim and gave the record away again refuses the first claimer: fences never repeat."""
    create(ledger, a_record())
    forgotten = claimed(ledger)
    client.delete(f"{PREFIX}claims")
    claimed(ledger)
    with pytest.raises(StaleClaimError):
        ledger.commit(forgotten, following(forgotten))


def test_expired_lease(ledger: Ledger, clock: Clock) -> None:
    """A claim that ended without a commit is told to the next claimer: how often, and since when."""
    create(ledger, a_record())
    first = claimed(ledger)
    clock.ms += LEASE_MS + 1
    second = claimed(ledger)
    assert (second.crashes, second.abandoned_ms) == (1, first.now_ms)
    clock.ms += LEASE_MS + 1
    third = claimed(ledger)
    assert (third.crashes, third.abandoned_ms) == (2, first.now_ms)
    ledger.commit(third, following(third))
    assert claimed(ledger, 2, "create_identification").crashes == 0


def test_claim_is_due_at_its_end(ledger: Ledger, clock: Clock) -> None:
    """A record in hand is not due before its lease ends, and is then."""
    create(ledger, a_record())
    claimed(ledger)
    clock.ms += LEASE_MS - 500
    assert ledger.take({"interactive": 10}).nudges == ()
    clock.ms += 501
    assert ledger.take({"interactive": 10}).nudges == (Nudge("interactive", "create_customer", "k-1", 1),)


def test_renewed(ledger: Ledger, clock: Clock) -> None:
    """A renewed claim holds on; one that is lost is not brought back."""
    create(ledger, a_record())
    claim = claimed(ledger)
    clock.ms += LEASE_MS - 500
    ledger.renew([claim])
    clock.ms += LEASE_MS - 500
    assert ledger.claim("k-1", 1, "create_customer") == NotClaimed("leased")
    clock.ms += 501
    successor = claimed(ledger)
    before = claim.holds_until
    ledger.renew([claim, successor])
    assert claim.holds_until == before
    ledger.commit(successor, following(successor))


def test_lease_checked_before_a_call(ledger: Ledger) -> None:
    """A call to Iron does not leave when the lease may be over on the worker's own clock."""
    create(ledger, a_record())
    claim = claimed(ledger)
    claim.before_call()
    claim.holds_until = claim.started
    with pytest.raises(StaleClaimError):
        claim.before_call()


def test_wake_in_hand(ledger: Ledger) -> None:
    """News that arrives while a record is in hand makes it due at once after the commit."""
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.commit(claim, following(claim, 3600, phase=Phase.IN_REVIEW, step="refresh"))
    claim = claimed(ledger, 2, "refresh")
    assert ledger.wake("c-1") is None
    nudge = ledger.commit(claim, Next(claim.record, 3600))
    assert nudge == Nudge("interactive", "refresh", "k-1", 3)


def test_going_on(ledger: Ledger) -> None:
    """A commit whose nudge would be sent at once answers the claim of what follows."""
    create(ledger, a_record())
    claim = claimed(ledger)
    onward = ledger.commit_and_claim(claim, following(claim))
    assert onward is not None
    assert (onward.record.version, onward.record.step, onward.crashes) == (2, "create_identification", 0)
    read = ledger.read("k-1")
    assert read is not None
    assert read.claimed
    assert ledger.claim("k-1", 2, "create_identification") == NotClaimed("leased")
    ledger.commit(onward, following(onward, 60))


def test_going_on_with_news(ledger: Ledger) -> None:
    """News that arrived meanwhile is gone on with, though the step asked for an hour; without news it is left alone."""
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.act("k-1", {"act": "read", "by": "a test"})
    onward = ledger.commit_and_claim(claim, following(claim, 3600))
    assert onward is not None
    assert len(onward.acts) == 1
    assert ledger.commit_and_claim(onward, following(onward, 3600)) is None
    read = ledger.read("k-1")
    assert read is not None
    assert not read.claimed


def test_going_on_paced(ledger: Ledger) -> None:
    """What was committed stays committed where the budget is against going on; the record is due when it allows it."""
    create(ledger, a_record())
    claim = claimed(ledger)
    Gate(ledger).close_tap(60)
    assert ledger.commit_and_claim(claim, following(claim)) is None
    read = ledger.read("k-1")
    assert read is not None
    assert (read.record.version, read.claimed) == (2, False)
    assert read.due_ms is not None
    assert read.due_ms > read.now_ms + 50_000


def test_going_on_stale(ledger: Ledger, clock: Clock) -> None:
    """A worker that has lost its claim neither writes nor goes on."""
    create(ledger, a_record())
    sleeper = claimed(ledger)
    clock.ms += LEASE_MS + 1
    successor = claimed(ledger)
    with pytest.raises(StaleClaimError):
        ledger.commit_and_claim(sleeper, following(sleeper))
    assert ledger.commit_and_claim(successor, following(successor)) is not None


def test_going_on_repeated(client: redis.Redis, clock: Clock) -> None:
    """A call that arrives twice answers one claim, also when the news that it goes on with was used up by the first."""
    ledger = Repeating(client, PLENTY, clock)
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.act("k-1", {"act": "read", "by": "a test"})
    onward = ledger.commit_and_claim(claim, following(claim, 3600))
    assert onward is not None
    assert (onward.record.version, onward.crashes) == (2, 0)
    assert ledger.commit(onward, following(onward, 60)) is None


@pytest.mark.parametrize("news", ["webhook", "act"])
def test_wake_of_a_claim_that_may_yet_commit(ledger: Ledger, clock: Clock, news: str) -> None:
    """News after a lease's end makes the record due, also when the worker that was late commits after it."""
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.commit(claim, following(claim, 3600, phase=Phase.IN_REVIEW, step="refresh"))
    late = claimed(ledger, 2, "refresh")
    clock.ms += LEASE_MS + 1
    act = {"act": "cancel", "by": "ops"}
    assert ledger.wake("c-1") if news == "webhook" else ledger.act("k-1", act)
    assert ledger.commit(late, Next(late.record, 365 * 86_400.0)) == Nudge("interactive", "refresh", "k-1", 3)


def test_wake_too_early(ledger: Ledger) -> None:
    """News about a customer whom no record knows yet is kept until one does."""
    create(ledger, a_record())
    claim = claimed(ledger)
    assert ledger.wake("c-1") is None
    assert ledger.commit(claim, following(claim, 3600, phase=Phase.IN_REVIEW, step="refresh")) is not None


def test_act(ledger: Ledger, clock: Clock) -> None:
    """What a person did is handed to the next claim, once, and stays until a commit applied it."""
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.act("k-1", {"act": "sign", "documents": [], "by": "consent"})
    clock.ms += LEASE_MS + 1
    claim = claimed(ledger)
    assert [json.loads(act)["act"] for act in claim.acts] == ["sign"]
    ledger.act("k-1", {"act": "sign", "documents": ["d"], "by": "consent"})
    assert ledger.commit(claim, replace(following(claim, 3600), applied=claim.acts)) is not None
    claim = claimed(ledger, 2, "create_identification")
    assert [json.loads(act)["documents"] for act in claim.acts] == [["d"]]
    with pytest.raises(KeyError):
        ledger.act("nobody", {"act": "sign"})


def test_finished_has_no_due_time(ledger: Ledger, client: redis.Redis) -> None:
    """A record with nothing left to do is due never, and leaves no claim behind."""
    create(ledger, a_record())
    claim = claimed(ledger)
    assert ledger.commit(claim, following(claim, None, phase=Phase.FAILED)) is None
    read = ledger.read("k-1")
    assert read is not None
    assert read.due_ms is None
    assert client.hlen(f"{PREFIX}claims") == 0


def test_newer_release(ledger: Ledger, client: redis.Redis, clock: Clock) -> None:
    """A record written by a newer release is left alone and looked at again later."""
    create(ledger, a_record())
    key = f"{PREFIX}record:k-1"
    client.set(key, b"9" + client.get(key)[1:])  # type: ignore[index]
    assert ledger.claim("k-1", 1, "create_customer") == NotClaimed("newer")
    clock.ms += 29_000
    assert ledger.take({"interactive": 1}).nudges == ()
    clock.ms += 1_001
    assert len(ledger.take({"interactive": 1}).nudges) == 1


def test_tap_closed(ledger: Ledger, clock: Clock) -> None:
    """While Iron wants no call, nothing is claimed, and what was asked for is due when the tap opens."""
    create(ledger, a_record())
    Gate(ledger).close_tap(5)
    Gate(ledger).close_tap(1)
    assert ledger.claim("k-1", 1, "create_customer") == NotClaimed("paced")
    clock.ms += 4_000
    assert ledger.take({"interactive": 1}).nudges == ()
    clock.ms += 1_001
    assert len(ledger.take({"interactive": 1}).nudges) == 1
    claimed(ledger)


def test_every_call_repeated(client: redis.Redis) -> None:
    """A whole onboarding in which the answer of every single script call is lost once: same effects, same history."""
    world = World(client)
    plain = world.ledger
    repeating = Repeating(client, PLENTY, lambda: world.shift_ms)
    world.ledger = world.runner.ledger = world.pulse._ledger = world.door._ledger = repeating
    assert world.onboard().phase == "active"
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 2}}
    steps = [entry.get("step") for entry in plain.history("k-1")]
    assert steps[:3] == [None, "create_customer", "create_identification"]
    assert steps.count("submit_signings") == 1
    assert world.record().version == len(steps)


def test_as_many_connections_as_a_worker_may_have_threads(client: redis.Redis) -> None:
    """A process with 256 threads, and some of its own, has a connection for each of them at the same moment."""
    pool = client.connection_pool
    taken = [pool.get_connection() for _ in range(300)]
    try:
        assert len(set(map(id, taken))) == 300
    finally:
        for connection in taken:
            pool.release(connection)
        pool.disconnect()


def test_connections_are_used_again(ledger: Ledger) -> None:
    """Calls one after the other share a connection, whatever threads make them."""

    def connected() -> int:
        return int(ledger.client.info("clients")["connected_clients"])

    ledger.read("k-1")
    before = connected()
    for _ in range(20):
        thread = threading.Thread(target=ledger.read, args=("k-1",))
        thread.start()
        thread.join()
    assert connected() == before


def test_connections_end_with_the_ledger(client: redis.Redis) -> None:
    """A ledger that nobody has any more closes its connections, whoever looks at one of them still."""

    def connected() -> int:
        return int(client.info("clients")["connected_clients"])

    gc.collect()  # what other tests have left
    before = connected()
    ledger = Ledger(client)
    ledger.read("k-1")
    assert connected() == before + 1
    (connection,) = ledger._scripts["read"]._connections.free()
    del ledger
    gc.collect()
    assert connected() == before
    assert not connection.is_connected
