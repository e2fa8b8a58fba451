"""The event stream: written by the commit itself, once, and read in pages that say when something is missing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import redis

from pipelines.errors import StaleClaimError
from pipelines.events import Event, place
from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from tests.integration.test_ledger import Repeating, a_record, claimed, create, following
from tests.world import PLENTY, World
from workers.events.stream import OLDEST, STREAM, EventsGoneError, EventStream
from workers.ledger import LEASE_MS, Ledger, New


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def add(client: redis.Redis, id_: str) -> None:
    client.xadd(STREAM, {"key": "k-1", "what": "active active nobody 3"}, id_)


def test_a_whole_life_is_told_in_order(world: World) -> None:
    """Whoever follows the stream sees each phase of a customer, and whose turn it is in between, in order."""
    record = world.onboard()
    events = EventStream(world.ledger).after()
    assert [(event.name, event.waiting_on) for event in events] == [
        ("received", "us"),
        ("customer_created", "us"),
        ("identification_pending", "customer"),
        ("in_review", "iron"),
        ("signings_required", "us"),
        ("needs_changed", "customer"),
        ("needs_changed", "us"),
        ("needs_changed", "iron"),
        ("active", "nobody"),
    ]
    assert {event.key for event in events} == {record.key}
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert [event.version for event in events] == sorted({event.version for event in events})
    assert events[-1].version == record.version


def test_an_event_holds_nothing_personal(world: World) -> None:
    """Neither the hosted link nor anything of the customer is in the stream."""
    world.submit(labels={"source": "crm"})
    record = world.run_until("k-1", Phase.IDENTIFICATION_PENDING)
    stored = repr(world.client.xrange(STREAM))
    assert record.link
    for secret in (record.link, record.customer_id, record.identification_id, "example.com", "Ada", "crm"):
        assert secret
        assert secret not in stored


def test_acts_of_people_are_told(world: World) -> None:
    """A cancellation and its taking back are events like any other."""
    world.submit(tag="manual")
    world.run_until("k-1", Phase.IDENTIFICATION_PENDING)
    at = EventStream(world.ledger).newest()
    world.act("k-1", "cancel", reason="a test")
    world.run_until("k-1", Phase.CANCELLED)
    world.act("k-1", "restart", reason="a test")
    world.run_until("k-1", Phase.IDENTIFICATION_PENDING)
    assert names(EventStream(world.ledger).after(at)) == ["cancelled", "identification_pending"]


def test_a_job_that_joins_is_told_under_its_own_key(world: World) -> None:
    """Upstream hears of an adopted customer's phase under the key of the job that took it over."""
    adopted = Record(
        key="iron-1", lane="bulk", external_id="e-1", adopted=True, customer_id="c-1", customer_status="Active",
        phase=Phase.ACTIVE, step="refresh",
    )  # fmt: skip
    world.ledger.create([New(adopted, {})])
    assert world.submit("k-1", external_id="e-1").status == "created"
    found = EventStream(world.ledger).after()
    assert [(event.key, event.name) for event in found] == [("iron-1", "active"), ("k-1", "active")]


def test_a_call_that_is_repeated_tells_once(client: redis.Redis) -> None:
    """When redis-py repeats a create or a commit whose answer was lost, there is one event."""
    ledger = Repeating(client, PLENTY)
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.commit(claim, following(claim))
    assert names(EventStream(ledger).after()) == ["received", "customer_created"]


def test_a_refused_commit_tells_nothing(client: redis.Redis) -> None:
    """Who slept past the lease has nothing to tell."""
    shift = [0]
    ledger = Ledger(client, PLENTY, lambda: shift[0])
    create(ledger, a_record())
    sleeper = claimed(ledger)
    shift[0] += LEASE_MS + 1
    claimed(ledger)
    with pytest.raises(StaleClaimError):
        ledger.commit(sleeper, following(sleeper))
    assert names(EventStream(ledger).after()) == ["received"]


def test_a_job_that_exists_or_is_refused_tells_nothing(world: World) -> None:
    """Only what changes a record is an event."""
    world.submit("k-1", external_id="e")
    world.submit("k-1", external_id="e")
    world.submit("k-2", external_id="e")
    assert names(EventStream(world.ledger).after()) == ["received"]


def test_a_steps_own_event(client: redis.Redis) -> None:
    """A commit may tell of something by name, beside the phase."""
    ledger = Ledger(client, PLENTY)
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.commit(claim, replace(following(claim, 60), event="reidentification_due"))
    assert names(EventStream(ledger).after()) == ["received", "customer_created", "reidentification_due"]


def test_the_stream_goes_on_after_a_wipe(world: World) -> None:
    """Losing all events costs their readers this news; what comes later has greater ids, and old cursors go on."""
    world.submit("k-1")
    stream = EventStream(world.ledger)
    at = stream.newest()
    world.client.delete(STREAM)
    while world.ledger.now_ms() <= int(at.partition("-")[0]):
        pass  # a wipe and a job within one millisecond are not meant
    world.submit("k-2")
    [event] = stream.after(at)
    assert (event.key, event.name) == ("k-2", "received")
    world.drain()
    assert world.record("k-1").phase != Phase.RECEIVED


def test_pages(client: redis.Redis) -> None:
    """Pages of any size, read on by the last id, give every event once and in order."""
    for number in range(1, 8):
        add(client, f"{number}-0")
    stream, at, seen = EventStream(Ledger(client)), OLDEST, []
    while page := stream.after(at, 3):
        seen += [event.id for event in page]
        at = page[-1].id
    assert seen == [f"{number}-0" for number in range(1, 8)]
    assert [event.id for event in stream.between("2-0", "4-0")] == ["2-0", "3-0", "4-0"]
    assert [event and event.id for event in stream.some(["5-0", "5-1"])] == ["5-0", None]
    assert stream.newest() == "7-0"


def test_old_events_are_dropped(client: redis.Redis) -> None:
    """Events are kept as long as is set; a reader who was away for longer is told, one who had read them is not."""
    ledger = Ledger(client)
    stream = EventStream(ledger)
    now_ms = ledger.now_ms()
    for age_s in (100, 90, 80, 10):
        add(client, f"{now_ms - age_s * 1000}-0")
    first, second, third, fourth = (event.id for event in stream.after())
    assert stream.drop_old(60) == 3
    assert stream.drop_old(60) == 0
    assert [event.id for event in stream.after()] == [fourth]
    assert [event.id for event in stream.after(third)] == [fourth]
    for behind in (first, second):
        with pytest.raises(EventsGoneError) as told:
            stream.after(behind)
        assert told.value.oldest == third
    assert stream.drop_old(5) == 1
    assert stream.newest() == fourth


def test_too_many_events_are_dropped(client: redis.Redis) -> None:
    """However young they are, there is an upper bound on how many are kept, and what is left follows its cursor."""
    ledger = Ledger(client)
    stream = EventStream(ledger)
    for _ in range(1_000):
        add(client, "*")
    assert stream.drop_old(3_600, at_most=300) > 600
    left = stream.after(limit=1_000)
    assert 300 <= len(left) < 400
    gone = stream.gone()
    assert gone
    assert place(gone) < place(left[0].id)
    assert stream.after(gone)[0].id == left[0].id


def test_what_an_event_costs(client: redis.Redis) -> None:
    """An event takes less than 100 bytes of Redis's memory."""
    ledger = Ledger(client)
    ledger.create([New(a_record(f"crm-2026-{number:06d}"), {}) for number in range(2_000)])
    used = client.memory_usage(STREAM, samples=0)
    assert client.xlen(STREAM) == 2_000
    print(f"{used / 2_000:.1f} bytes an event")
    assert used / 2_000 < 100


def test_every_kind_of_event_can_be_read_back(client: redis.Redis) -> None:
    """What the script writes is what the reader gives, whatever is in a key."""
    key = 'a key "with" spaces, ünïcode and 🦊'
    ledger = Ledger(client)
    create(ledger, a_record(key))
    [event] = EventStream(ledger).after()
    assert re.fullmatch(r"\d{13}-\d+", event.id)
    assert (event.key, event.name, event.phase, event.waiting_on, event.version) == (
        key,
        "received",
        "received",
        "us",
        1,
    )


def test_the_next_commit_goes_on(client: redis.Redis) -> None:
    """A commit that changes nothing for anybody outside adds no event."""
    ledger = Ledger(client, PLENTY)
    create(ledger, a_record())
    claim = claimed(ledger)
    ledger.commit(claim, Next(claim.record, 60))
    assert names(EventStream(ledger).after()) == ["received"]
