"""How often a step talks to Redis, counted on the connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import pytest
import redis

from ops.sandbox import ManualClock, Sandbox, SandboxTransport
from pipelines.iron import Iron
from pipelines.model import Policy
from pipelines.onboarding import STEPS
from tests.world import API_KEY, BASE_URL, PLENTY, a_job
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.engine.pulse import Pulse
from workers.engine.runner import Runner
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect, lua_parts
from workers.ledger.scripts import whole
from workers.secrets.vault import Vault, new_key

#: Redis round trips that a step may cost. Source: design section 2; claim, commit, send, and Dramatiq's fetch and ack.
MOST = 6


@contextmanager
def counted() -> Iterator[list[bytes]]:
    """Collect every packet that any Redis connection sends."""
    sent: list[bytes] = []
    send = redis.connection.AbstractConnection.send_packed_command

    def note(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(command if isinstance(command, bytes) else b"".join(command))
        return send(self, command, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.connection.AbstractConnection, "send_packed_command", note)
        yield sent


@pytest.fixture(autouse=True)
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permits that do not lapse, however busy the machine is: one that does is asked for again."""
    monkeypatch.setattr("workers.ledger.limits.LEAVES_LATE", 1_000.0)


def test_round_trips(ledger_url: str, broker_url: str) -> None:
    """No step of an onboarding takes more than six round trips, from the fetch of its nudge to the acknowledgement."""
    trips = of_an_onboarding(ledger_url, broker_url, going_on=False)
    assert set(trips) == set(STEPS) - {"update_customer", "archive_at_iron", "handle_step_up", "explain_decline"}
    print(f"round trips a step: {trips}")
    assert trips.pop("reidentify") <= MOST + 1, "it asks for a place among the day's starts as well"
    assert max(trips.values()) <= MOST, trips
    assert min(trips.values()) >= 4, "the counter sees every packet: fetch, claim, commit, ack at the least"


def test_going_on(ledger_url: str, broker_url: str) -> None:
    """A worker that goes on spends one round trip on each further step, and one on each further call."""
    trips = of_an_onboarding(ledger_url, broker_url, going_on=True)
    fetch_and_claim, permit, acknowledgement = 2, 1, 1  # a claim brings its first call's permit; this one looks first
    assert trips["create_customer"] == fetch_and_claim + permit + 2 + acknowledgement  # on to create_identification


def of_an_onboarding(ledger_url: str, broker_url: str, *, going_on: bool) -> dict[str, int]:
    """Count the round trips of each message of an onboarding, the most for each step that a message named."""
    shift_ms = 0
    clock = ManualClock()
    sandbox = Sandbox(clock)
    ledger, broker = Ledger(connect(ledger_url), PLENTY, lambda: shift_ms), NudgeBroker(broker_url)
    for part in lua_parts():  # as on a server that has been used before
        ledger.client.script_load(whole(part, lua_parts()))
    vault = Vault([new_key()])
    iron = Iron(SandboxTransport(sandbox), BASE_URL, API_KEY)
    runner = Runner(ledger, Leases(ledger), broker.send, iron, vault, Policy(), "default", going_on=going_on)
    declare_actors(broker, runner)
    pulse = Pulse(ledger, broker)
    FrontDoor(ledger, vault, broker.send).submit(a_job())
    consumers = cycle([broker.consume(lane, prefetch=1) for lane in ("interactive", "reidentify")])
    trips: dict[str, int] = {}
    while (read := ledger.read("k-1")) and not (read.record.again and read.record.again.begun_ms):
        if read.record.phase == "active" and not (read.acts_waiting or read.record.again):
            broker.send(ledger.act("k-1", {"act": "reidentify", "run": "r-1", "by": "a test"}))
        if any(not signing.consented_ms for signing in read.record.signings):
            documents = [signing.id for signing in read.record.signings]
            ledger.act("k-1", {"act": "sign", "documents": documents, "by": "consent"})
        with counted() as sent:
            message = next(consumer := next(consumers))
            if message is not None:
                broker.get_actor(message.actor_name)(*message.args)
                consumer.ack(message)
        if message is None:
            shift_ms += 5_000
            clock.advance(5)
            pulse.run_once()
        else:
            trips[message.actor_name] = max(len(sent), trips.get(message.actor_name, 0))
    return trips
