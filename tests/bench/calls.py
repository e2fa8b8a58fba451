"""How many calls to Iron one customer takes, by endpoint and by what happens to the customer.

Simulated time, the real ledger, pulse and steps, the sandbox in process. Each customer is alone in an empty ledger and
has a pace of its own; pauses are drawn from its seed, so that a run can be repeated. The sandbox's customers take some
seconds for the form and sign at once; one of the ways is that of people who take their time, who are read meanwhile.

    python -m tests.bench.calls [customers]
"""

from __future__ import annotations

import logging
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import redis

from ops.local.embedded import EmbeddedRedis
from ops.sandbox.api.routes import ROUTES
from tests.chaos.simulator import BEGINNING_MS, on_time_of
from tests.world import World
from workers.ledger import connect
from workers.logs import configure_logs

KEY = "k-1"
#: How many customers the last line is about, and the calls a second that Iron is thought to grant.
MANY, RATE = 100_000, 10
#: What the happy path may take. Source: design section 4.
TARGET = 10
#: How long a customer takes for the form and for the documents, in seconds, where people take their time.
FORM_S, DOCUMENTS_S = 600, 300


@dataclass(frozen=True)
class Way:
    """What happens to a customer: a title, the sandbox's tag, whether webhooks arrive, and what people do."""

    title: str
    tag: str
    go: Callable[[World], None]
    hears: bool = True


def sign(world: World) -> None:
    """Agree to each document as soon as it is there, until all is done."""

    def asked() -> bool:
        return any(not signing.consented_ms for signing in world.record(KEY).signings)

    def active() -> bool:
        return world.record(KEY).phase == "active"

    while not active():
        world.run(until=lambda: active() or asked(), seconds=86_400)
        if asked():
            world.consent(KEY)


def again(world: World) -> None:
    """Let the next identification of this customer end well."""
    [customer] = world.sandbox.provider.store.customers.values()
    customer.tag = "approve"


def declined(world: World) -> None:
    """Be declined, ask for a new identification, and be approved."""
    world.run_until(KEY, "declined")
    again(world)
    world.act(KEY, "restart")
    sign(world)


def expired(world: World) -> None:
    """Let the first link run out, and use the second one, which comes by itself."""
    world.run_until(KEY, "expired")
    again(world)
    sign(world)


def stepped_up(world: World) -> None:
    """Become active, answer what Iron asks then, and be active again."""
    sign(world)
    world.run_until(KEY, "step_up_required")
    sign(world)


def slow(world: World) -> None:
    """Take some minutes for the form, and some for the documents."""
    world.run_until(KEY, "identification_pending")
    for step, pause_s in (("process", FORM_S), ("review", 1), ("approve", 1)):
        let_pass(world, pause_s)
        world.sandbox.move(str(world.record(KEY).customer_id), step)
    world.run(until=lambda: bool(world.record(KEY).signings))
    let_pass(world, DOCUMENTS_S)
    sign(world)


def let_pass(world: World, seconds: float) -> None:
    """Let time pass while the pipeline works."""
    end_ms = world.shift_ms + seconds * 1000
    world.sandbox.provider.lifecycle.at(world.clock.now() + seconds, lambda _: None)  # so that the world stops there
    world.run(until=lambda: world.shift_ms >= end_ms, seconds=seconds + 60)


WAYS = (
    Way("all webhooks", "approve", sign),
    Way("no webhook", "approve", sign, hears=False),
    Way("declined once", "decline", declined),
    Way("expired once", "expire", expired),
    Way("step-up", "stepup", stepped_up),
    Way("takes 15 min", "manual", slow),
    Way("the same, no webhook", "manual", slow, hears=False),
)


def count(client: redis.Redis, way: Way, seed: int) -> Counter[str]:
    """Bring one customer this way, and a minute further; answers the calls by endpoint."""
    client.flushdb()
    random.seed(seed)
    world = World(client)
    on_time_of(world.ledger, lambda: BEGINNING_MS + world.shift_ms)
    world.ledger.clock = lambda: world.shift_ms / 1000
    world.hears = way.hears
    world.submit(KEY, way.tag, external_id=f"e-{seed}")
    way.go(world)
    let_pass(world, 60)
    return Counter({name: len(times) for name, times in world.sandbox.traffic.times().items()})


def table(counts: dict[str, list[Counter[str]]]) -> str:
    """Write the medians by endpoint, and what they add up to, as a table in Markdown."""
    endpoints = sorted({name for each in counts.values() for calls in each for name in calls}, key=_order)
    lines = [("calls to Iron, each", *counts), ("---",) * (len(counts) + 1)]
    lines += [(name, *(_median(calls[name] for calls in each) for each in counts.values())) for name in endpoints]
    totals = [[calls.total() for calls in each] for each in counts.values()]
    lines += [("all, median", *map(_median, totals))]
    lines += [("all, least to most", *(f"{min(each)} to {max(each)}" for each in totals))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _median(numbers: Iterable[int]) -> str:
    return f"{statistics.median(numbers):g}"


def _order(endpoint: str) -> int:
    """Put the endpoints into the order of the sandbox's table, which is that of a customer's way."""
    known = [f"{route.method} {route.template}" for route in ROUTES]
    return known.index(endpoint) if endpoint in known else len(known)


def main(customers: int = 20) -> None:
    """Count and print."""
    configure_logs("json", logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        client = connect(server.url_for(0))
        counts = {way.title: [count(client, way, seed) for seed in range(customers)] for way in WAYS}
    print(f"{customers} customers each way; medians by endpoint, which need not add up\n\n{table(counts)}\n")
    for title, each in counts.items():
        calls = statistics.median(one.total() for one in each)
        target = f" (target: at most {TARGET} calls)" if title == WAYS[0].title else ""
        hours = calls * MANY / RATE / 3600
        print(f"{title}: {calls:g} calls each{target}; {MANY:,} customers at {RATE} calls/s take {hours:.1f} hours")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
