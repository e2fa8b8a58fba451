"""Reading without being told: polls grow rare, and the sweep finds every change that no webhook told of."""

from __future__ import annotations

import httpx
import pytest
import redis

from pipelines.errors import AnswerUnreadableError
from pipelines.iron import Iron
from tests.world import API_KEY, BASE_URL, World
from workers.budget.gate import Gate
from workers.ledger import PREFIX
from workers.ledger.limits import Budget
from workers.reconcile.cursor import SweepCursor
from workers.reconcile.sweep import Page, Sweep

DAY_S = 86_400.0


def a_sweep(world: World, interval_s: float = 21_600) -> Sweep:
    return Sweep(world.ledger, Iron(world.transport, BASE_URL, API_KEY), interval_s)


def swept(sweep: Sweep) -> list[Page]:
    """Sweep until there is nothing to read for now."""
    pages = []
    while isinstance(page := sweep.run_once(), Page):
        pages.append(page)
    return pages


def calls_while_waiting(world: World, customers: int, days: int) -> list[float]:
    """Let customers wait with no webhook at all; answers the calls to Iron for each of them, day by day."""
    world.hears = False
    for number in range(customers):
        world.submit(f"k-{number}", "manual")
    world.drain()
    sweep = a_sweep(world)
    calls = []
    for _ in range(days):
        before = world.calls
        end_ms = world.shift_ms + DAY_S * 1000
        while world.shift_ms < end_ms:
            world.pulse.run_once()
            world.drain()
            swept(sweep)
            wait_s = world.next_due_s()
            left_s = (end_ms - world.shift_ms) / 1000 + 0.001
            world.advance(min(3600, left_s, DAY_S if wait_s is None else wait_s + 0.002))
        calls.append((world.calls - before) / customers)
    return calls


@pytest.fixture
def deaf(either: World) -> World:
    """A pipeline that no webhook reaches, on each stand-in for Iron."""
    either.hears = False
    return either


#: Where pages, calls and changed records are counted the second stand-in shows what is true, and refuses nothing.
calm = pytest.mark.second(
    **dict.fromkeys(("read_spell", "unknown_status"), ("none",)),
    **dict.fromkeys(("list_lag_s", "lookup_lag_s"), (0,)),
    customer_shown=("whole",),
    sub_partner=(404, 403),
)


@calm
def test_found_by_the_sweep(deaf: World) -> None:
    """A customer whom Iron suspends in silence is found within one interval, long before the due time."""
    deaf.onboard()
    deaf.move("k-1", "suspend")
    deaf.drain()
    assert deaf.record().phase == "active"
    assert [page.differ for page in swept(a_sweep(deaf))] == [1]
    deaf.run_until("k-1", "suspended", seconds=60)


def test_found_in_the_end(deaf: World) -> None:
    """Whatever Iron's list answers meanwhile, a suspension in silence is found within a few intervals."""
    deaf.onboard()
    deaf.move("k-1", "suspend")
    sweep, began_ms = a_sweep(deaf), deaf.shift_ms

    def found() -> bool:
        sweep.turn()
        return deaf.record().phase == "suspended"

    while not found() and deaf.shift_ms - began_ms < 4 * DAY_S * 1000:
        deaf.pulse.run_once()
        deaf.drain()
        deaf.advance(min(600, (deaf.next_due_s() or 600) + 0.002))
    assert deaf.record().phase == "suspended"


@calm
def test_nothing_differs(deaf: World) -> None:
    """Customers whose record is right are read in pages of 100 and left alone."""
    for number in range(120):
        deaf.submit(f"k-{number}", "manual")
    deaf.drain()
    before = {record.key: record.version for record in deaf.records()}
    pages = swept(a_sweep(deaf))
    assert [(page.read, page.differ, page.unknown, page.last) for page in pages] == [
        (100, 0, 0, False),
        (20, 0, 0, True),
    ]
    assert {record.key: record.version for record in deaf.records()} == before


@calm
def test_one_sweep_at_a_time(deaf: World) -> None:
    """While one process sweeps, another waits; when it dies, the other goes on at its page; then an interval passes."""
    for number in range(250):
        deaf.submit(f"k-{number}", "manual")
    deaf.drain()
    one, other = a_sweep(deaf), a_sweep(deaf)
    assert isinstance(one.run_once(), Page)
    assert isinstance(other.run_once(), float)
    deaf.advance(61)
    assert [page.read for page in swept(other)] == [100, 50]
    assert isinstance(one.run_once(), float)
    state = SweepCursor(deaf.ledger).sweep_state()
    assert (state["last_read"], state["last_differ"], state["last_unknown"]) == ("250", "0", "0")
    deaf.advance(21_600)
    assert len(swept(one)) == 3


@calm
def test_strangers_are_counted(deaf: World) -> None:
    """Customers on Iron that no record knows are counted, and nothing is done about them."""
    job = {"customer_type": "Person", "email": "a@example.com"}
    deaf.request("POST", "/customers", job, key="6f2d7d0e-0b51-4c1e-9a51-0f4a3d0c8e12")
    assert [page.unknown for page in swept(a_sweep(deaf))] == [1]
    assert deaf.records() == []


@calm
def test_sub_partners(deaf: World) -> None:
    """Customers of sub-partners, whom only their own list shows, are swept as well."""
    sub_partner = "6f2d7d0e-0b51-4c1e-9a51-0f4a3d0c8e11"
    deaf.onboard(sub_partner_id=sub_partner)
    deaf.move("k-1", "suspend")
    assert sum(page.differ for page in swept(a_sweep(deaf))) == 1
    deaf.run_until("k-1", "suspended", seconds=60)


@calm
@pytest.mark.parametrize("stand_in", ["sandbox", "second-1"])
def test_calls_while_waiting(either: World) -> None:
    """Customers who wait cost a handful of reads on the first day and at most 0.05 calls a day after it."""
    world = either
    per_day = calls_while_waiting(world, customers=100, days=5 if world.second else 30)
    assert max(per_day[1:]) <= 0.05
    assert {record.phase for record in world.records()} == {"identification_pending"}


def test_rubbish_in_the_list(deaf: World) -> None:
    """A list with something that nothing can store is an answer that makes no sense, and no more than that."""

    class Rubbish(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=b'{"items": [{"id": "\\ud800", "status": "Active"}]}')

    sweep = Sweep(deaf.ledger, Iron(Rubbish(), BASE_URL, API_KEY), 21_600)
    with pytest.raises(AnswerUnreadableError):
        sweep.run_once()
    assert sweep.turn() > 0


def test_a_page_waits_for_its_slot(client: redis.Redis) -> None:
    """A page whose slot is a second away is read then and not before; not at all where a 429 comes meanwhile."""
    world = World(client, budget=Budget(rate_per_second=10))
    slept: list[float] = []
    sweep = Sweep(world.ledger, Iron(world.transport, BASE_URL, API_KEY), 21_600, sleep=slept.append)
    client.hset(f"{PREFIX}pace", "call.free", world.ledger.now_ms() + 1_000)
    assert isinstance(sweep.run_once(), Page)
    assert [0.9 <= pause_s <= 1.0 for pause_s in slept] == [True]
    other = Sweep(world.ledger, sweep._iron, 0.001, sleep=lambda _: Gate(world.ledger).close_tap(30.0))
    client.hset(f"{PREFIX}pace", mapping={"call.free": world.ledger.now_ms() + 1_000, "sweep.free": 0})
    client.hdel(f"{PREFIX}pace", "call.floor.sweep")
    before = world.calls
    assert other.turn() > 1
    assert world.calls == before
