"""`GET /metrics`: what is true of the fleet, in few round trips, under names and labels that do not grow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import ops
from ops.sandbox import Fault
from pipelines.lifecycle import Phase
from pipelines.onboarding import STEPS
from tests.gateway import Gateway
from tests.integration.test_round_trips import counted
from tests.receivers import Post
from tests.world import World, cut_off
from workers.events.endpoints import MOST
from workers.ledger import LANES
from workers.operate.audit import Auditor
from workers.process.counters import BUCKETS_S, Counters, Tally
from workers.secrets.tokens import Role
from workers.secrets.vault import new_key

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway to be watched."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


def scraped(gateway: Gateway) -> Samples:
    """Every sample, as Prometheus reads it."""
    answer = gateway.get("/metrics", role="viewer")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples with these labels."""
    return sum(
        value for (found, pairs), value in samples.items() if found == name and labels.items() <= dict(pairs).items()
    )


def add_up(world: World) -> None:
    """What a worker process does every two seconds."""
    Tally(world.ledger, world.runner.counters).run_once()


def test_phases_and_lanes(gateway: Gateway) -> None:
    """Each phase and each lane has its values, also where nobody is, and what is due too long shows."""
    world = gateway.world
    for number in range(3):
        world.submit(f"k-{number}", "manual", lane="bulk")
    world.submit("waits", "manual")
    world.run_until("waits", "identification_pending")
    world.run_until("k-2", "identification_pending")
    world.act("k-1", "cancel", reason="test")
    world.drain()
    world.advance(3_600)
    samples = scraped(gateway)
    assert {labels[0][1] for name, labels in samples if name == "onboarding_records"} == set(Phase)
    assert of(samples, "onboarding_records", phase="identification_pending") == 3
    assert of(samples, "onboarding_records", phase="cancelled") == 1
    assert of(samples, "onboarding_records", phase="active") == 0
    assert of(samples, "onboarding_phase_oldest_age_seconds", phase="identification_pending") >= 3_600
    assert {labels[0][1] for name, labels in samples if name == "onboarding_lane_due"} == set(LANES)
    assert of(samples, "onboarding_lane_due", lane="bulk") == 2
    assert of(samples, "onboarding_lane_overdue_seconds", lane="bulk") > 3_000
    assert of(samples, "onboarding_lane_overdue_seconds", lane="reidentify") == 0
    assert of(samples, "onboarding_part_up", part="ledger") == of(samples, "onboarding_part_up", part="broker") == 1
    assert of(samples, "onboarding_redis_persistence_ok") == 1
    assert of(samples, "onboarding_redis_memory_bytes") > 0


def test_what_workers_counted(gateway: Gateway) -> None:
    """Steps, calls to Iron, problems, refused commits and durations of all processes add up."""
    world = gateway.world
    other = world.worker()
    world.onboard("k-1")
    world.sandbox.faults.add(Fault(name="revoked", operation="create_customer", status=401))
    world.submit("k-2")
    nudge = world.queue.nudges.popleft()
    other.run(nudge.step, nudge.key, nudge.version)
    other.run(nudge.step, nudge.key, nudge.version - 1)
    add_up(world)
    Tally(world.ledger, other.counters).run_once()
    samples = scraped(gateway)
    assert of(samples, "onboarding_steps_total", step="create_customer", code="") == 1
    assert of(samples, "onboarding_steps_total", step="create_customer", code="access_refused") == 1
    assert of(samples, "onboarding_iron_calls_total") == world.sandbox.traffic.total
    assert of(samples, "onboarding_nudges_passed_total", reason="superseded") >= 1
    assert of(samples, "onboarding_step_duration_seconds_count", step="create_customer") == 2
    assert of(samples, "onboarding_step_duration_seconds_bucket", step="create_customer", le="+Inf") == 2
    assert of(samples, "onboarding_step_duration_seconds_sum") > 0


class Slow(httpx.BaseTransport):
    """An Iron whose first answer takes so long that the lease ends and another worker does the step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.meanwhile = world.worker()
        self.inner = world.transport
        self.slow = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        if self.slow:
            self.slow = False
            self.world.advance(10)
            self.meanwhile.run("create_customer", "k-1", 1)
        return answer


def test_a_stale_commit_is_counted(gateway: Gateway) -> None:
    """A step whose claim was not its own any more shows."""
    world = gateway.world
    world.submit()
    world.transport = Slow(world)
    late = world.worker()
    late.run("create_customer", "k-1", 1)
    Tally(world.ledger, late.counters).run_once()
    samples = scraped(gateway)
    assert of(samples, "onboarding_steps_interrupted_total", step="create_customer", error="StaleClaimError") == 1
    assert world.effects()["k-1"]["customers"] == 1


def test_the_same_addition_twice_counts_once(world: World) -> None:
    """redis-py repeats a call whose answer was lost; the ledger knows its token."""
    for token in ("one", "one", "two", "one"):
        world.ledger.count(token, {"steps|step=refresh": 2})
    assert world.ledger.counters() == {"steps|step=refresh": 4}


def test_counts_wait_for_the_ledger(world: World) -> None:
    """What is counted while Redis is away is added when it is back."""
    counters = Counters()
    tally = Tally(world.ledger, counters)
    back = cut_off(world.ledger)
    for _ in range(2):
        counters.add("steps", step="refresh")
        assert tally.turn() > 0
    back()
    assert [tally.run_once() for _ in range(3)] == [1, 1, 0]
    assert world.ledger.counters() == {"steps|step=refresh": 2}


def test_deliveries_and_endpoints(gateway: Gateway) -> None:
    """Deliveries count by what came of them; each endpoint shows its lag, its pause and what it refuses."""
    world, post = gateway.world, Post(gateway.world.client)
    counters = Counters()
    picky = post.endpoint("picky", answers=lambda told: 400 if told["subject"] == "k-2" else 200)
    post.endpoint("late")
    post.endpoints.pause("late", by="a test")
    post.tell("k-1", "k-2")
    dispatcher = post.dispatcher(picky, "picky", counters=counters)
    post.run(dispatcher)
    Tally(world.ledger, counters).run_once()
    world.advance(300)
    samples = scraped(gateway)
    assert of(samples, "onboarding_deliveries_total", outcome="accepted") == 1
    assert of(samples, "onboarding_deliveries_total", outcome="refused") == 1
    assert of(samples, "onboarding_endpoint_lag_seconds", endpoint="picky") == 0
    assert of(samples, "onboarding_endpoint_lag_seconds", endpoint="late") >= 300
    assert of(samples, "onboarding_endpoint_paused", endpoint="picky") == 0
    assert of(samples, "onboarding_endpoint_paused", endpoint="late") == 1
    assert of(samples, "onboarding_endpoint_parked", endpoint="picky") == 1
    post.run(dispatcher, seconds=4 * 86_400)
    Tally(world.ledger, counters).run_once()
    assert of(scraped(gateway), "onboarding_events_given_up_total") == 1
    post.endpoints.remove("late", by="a test")
    assert not [labels for _, labels in scraped(gateway) if ("endpoint", "late") in labels]


def test_all_of_a_worker_process_is_added_up() -> None:
    """What steps and deliveries count in a worker process is what its tally adds to the ledger."""
    script = (
        "from workers.app import courier, runner, tally\nassert courier._counters is runner.counters is tally._counters"
    )
    settings = {
        "ONBOARDING_REDIS_URL": "redis://127.0.0.1:9/0",
        "ONBOARDING_ENCRYPTION_KEYS": new_key(),
        "IRON_BASE_URL": "https://iron.test/api",
        "IRON_API_KEY": "sandbox-key",
    }
    environment = {**os.environ, "PYTHONPATH": str(Path(ops.__file__).parents[1]), **settings}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


def test_the_auditor_finds_nothing_in_counters(world: World) -> None:
    """Counters are no part of what must hold."""
    world.onboard("k-1")
    add_up(world)
    assert list(Auditor(world.ledger, world.policy, wait=lambda: None, shift_ms=lambda: world.shift_ms).run()) == []


def test_requests_are_counted_by_route(gateway: Gateway) -> None:
    """The pattern of the route is the label, so that no address and no key ever is one."""
    gateway.world.submit("a-secret-key")
    gateway.get("/v1/onboardings/a-secret-key", role="viewer")
    gateway.get("/go/a-secret-token")
    for number in range(20):
        gateway.get(f"/nowhere/{number}")
        gateway.request(f"X{number}", "/healthz")
    answer = gateway.get("/metrics", role="viewer")
    assert "secret" not in answer.text
    samples = scraped(gateway)
    assert of(samples, "onboarding_http_requests_total", route="/v1/onboardings/{key}", status="200") == 1
    assert of(samples, "onboarding_http_requests_total", route="/go/{token}", status="404") == 1
    assert of(samples, "onboarding_http_requests_total", route="none", status="404") == 20
    assert of(samples, "onboarding_http_requests_total", method="other") == 20
    assert of(samples, "onboarding_http_request_duration_seconds_count", route="/go/{token}") == 1


def test_names_units_and_size(gateway: Gateway) -> None:
    """Every name has our prefix and a base unit, every metric says what it is, and there are not too many series."""
    world = gateway.world
    world.onboard("k-1")
    add_up(world)
    families = list(text_string_to_metric_families(gateway.get("/metrics", role="viewer").text))
    for family in families:
        assert re.fullmatch(r"onboarding_[a-z]+(_[a-z]+)*", family.name), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb)(_|$)", family.name)
        assert family.documentation.endswith("."), family.name
    lanes, steps, parts = len(LANES), len(STEPS), len(BUCKETS_S) + 3
    assert sum(len(family.samples) for family in families) < 2 * len(Phase) + 40 * lanes * steps + parts * (steps + 40)


def test_a_scrape_is_cheap(gateway: Gateway) -> None:
    """A scrape takes few round trips, however many onboardings there are, and with all the endpoints there can be."""
    world = gateway.world
    for number in range(50):
        world.submit(f"k-{number}", lane="bulk")
        if number < MOST:
            Post(world.client).endpoint(f"e-{number}")
    scraped(gateway)
    with counted() as sent:
        scraped(gateway)
    assert len(sent) <= 18


def test_whoever_is_away_is_named(gateway: Gateway, world: World) -> None:
    """Without a broker, or without a ledger, the rest is still told, and what does not answer is 0."""
    gateway.broker.client.connection_pool.connection_kwargs |= {"host": "127.0.0.1", "port": 1}
    gateway.broker.client.connection_pool.disconnect()
    samples = scraped(gateway)
    assert (of(samples, "onboarding_part_up", part="ledger"), of(samples, "onboarding_part_up", part="broker")) == (
        1,
        0,
    )
    cut_off(world.ledger)
    samples = scraped(gateway)
    assert (of(samples, "onboarding_part_up"), of(samples, "onboarding_http_requests_total")) == (0, 1)


def test_strangers_see_nothing(gateway: Gateway) -> None:
    """Any role may read the metrics; without a token nobody may."""
    assert gateway.get("/metrics").json()["code"] == "token_missing"
    assert [gateway.get("/metrics", role=role).status_code for role in Role] == [200] * len(Role)
