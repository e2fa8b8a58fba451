"""What a job carries: who sees it, how long it stays, and that Iron gets it once and as it was given."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.given_details import BUSINESS, PERSON, TOKEN
from tests.world import World, a_job, noted
from workers.engine.broker import NudgeBroker
from workers.intake.submit import ExternalIdTakenError
from workers.ledger import PREFIX, Lists

#: Values that a reader of the ledger, the queue or the logs must not find. The e-mail's tag keeps the case open.
MARKS = (
    "ada+manual@example.com",
    "Ada Example",
    "C01X00T47",
    "12345678911",
    "Unter den Linden",
    "HRB 1",
    "eyJhbGciOiJub25lIn0",
)


def with_data(kind: str, tag: str = "manual") -> dict[str, Any]:
    """A job that hands Iron data we collected ourselves."""
    identification = {"Person": PERSON, "Business": BUSINESS, "Token": TOKEN}[kind]
    customer_type = "Business" if kind == "Business" else "Person"
    return {
        "customer": {"customer_type": customer_type, "email": f"ada+{tag}@example.com", "name": "Ada Example"},
        "identification": identification,
    }


def everything(client: redis.Redis) -> str:
    """All that Redis holds in this database, keys and values, as text."""
    text = []
    for key in client.scan_iter():
        kind = client.type(key)
        value: Any = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda name: client.lrange(name, 0, -1),
            b"zset": lambda name: client.zrange(name, 0, -1),
            b"set": client.smembers,
            b"stream": client.xrange,
        }[kind](key)
        text.append(f"{key!r} {value!r}")
    return "\n".join(text)


@pytest.mark.parametrize("kind", ["Person", "Business", "Token"])
def test_sealed(world: World, broker_url: str, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    """Neither the ledger nor the queue nor a log shows what a job says about a customer."""
    broker = NudgeBroker(broker_url)
    world.door._send = broker.send
    world.submit(**with_data(kind))
    queued = everything(broker.client)
    assert '"args":["k-1",1]' in queued
    world.run_until("k-1", "in_review")
    logged = "".join(capfd.readouterr())
    assert "step.committed" in logged
    for place in (everything(world.client), queued, logged, repr(world.record())):
        assert [mark for mark in MARKS if mark in place] == []


@pytest.mark.parametrize("kind", ["Person", "Business", "Token"])
def test_dropped_when_iron_has_it(world: World, kind: str) -> None:
    """The data of an identification goes to Iron as given, once, and is gone from the ledger with the same commit."""
    sent = spied(world)
    world.submit(**with_data(kind))
    assert set(world.client.hkeys(f"{PREFIX}input:k-1")) == {b"customer", b"identification"}
    world.run_until("k-1", "in_review")
    assert [body for path, body in sent if path.endswith("/v2")] == [with_data(kind)["identification"]]
    assert world.client.hkeys(f"{PREFIX}input:k-1") == [b"customer"]


def spied(world: World) -> list[tuple[str, Any]]:
    """Note the path and body of each POST to Iron from now on."""
    sent: list[tuple[str, Any]] = []
    handle = world.sandbox.handle

    def note(method: str, path: str, query: str = "", headers: Any = None, body: bytes = b"") -> Any:
        if method == "POST":
            sent.append((path, json.loads(body)))
        return handle(method, path, query, headers, body)

    world.sandbox.handle = note  # type: ignore[method-assign]
    return sent


def test_kept_for_a_week(world: World) -> None:
    """The customer's details stay for a week after the onboarding ended well, and for good while it goes on."""
    world.onboard(tag="stepup")
    week_ms = 7 * 86_400_000
    assert 0 < world.client.pttl(f"{PREFIX}input:k-1") <= week_ms
    world.run_until("k-1", "step_up_required", seconds=86_400)
    assert world.client.pttl(f"{PREFIX}input:k-1") == -1
    world.run_until("k-1", "active", seconds=86_400)
    assert world.client.pttl(f"{PREFIX}input:k-1") > 0


def test_later_rounds_are_links(world: World) -> None:
    """When an identification with data expires, the next round is a hosted link: the data is sent once."""
    sent = spied(world)
    world.submit(**with_data("Person", tag="expire"))
    world.run(until=lambda: world.record().round == 2, seconds=3 * 3600)
    bodies = [body for path, body in sent if path.endswith("/v2")]
    assert [body["type"] for body in bodies] == ["Person", "Link"]


def test_token_too_old(world: World) -> None:
    """A share token whose ten minutes are over is not sent; the record says that a fresh one is needed."""
    sent = spied(world)
    world.submit(**with_data("Token"))
    world.sandbox.faults.add(outage := fault())
    world.drain()
    world.advance(601)
    world.sandbox.faults.clear(outage.name)
    record = world.run_until("k-1", "failed")
    assert record.problem is not None
    assert record.problem.code == "token_expired"
    assert [path for path, _ in sent if path.endswith("/v2")] == []
    world.correct({"idempotency_key": "k-1", **with_data("Token")})
    assert world.run_until("k-1", "in_review").revision == 1
    assert world.effects() == {"k-1": {"customers": 1, "identifications": 1, "signings": 0}}


def fault() -> Any:
    """Iron refuses everybody for now."""
    from ops.sandbox import Fault

    return Fault(name="outage", operation="create_customer", status=429, retry_after=300)


def test_personal_data_read(world: World) -> None:
    """An authorised reader gets the details, and the history says who asked."""
    world.submit(**with_data("Person"))
    world.run_until("k-1", "in_review")
    details = world.door.personal("k-1", by="ops@example")
    assert details["customer"]["name"] == "Ada Example"
    world.drain()
    assert noted("read", "ops@example") in [entry.get("note") for entry in world.ledger.history("k-1")]


def test_corrected_after_the_end(world: World) -> None:
    """Input that a correction brings after the first one expired expires too."""
    world.onboard()
    world.client.delete(f"{PREFIX}input:k-1")
    world.correct({**a_job(), "risk_tier": "high"})
    world.run(until=lambda: not world.read().acts_waiting)
    assert world.client.pttl(f"{PREFIX}input:k-1") > 0


def test_a_correction_takes_nobodys_external_id(world: World) -> None:
    """An external id that another onboarding has is refused, also when it is taken between the check and the commit."""
    for key in ("k-1", "k-2"):
        world.submit(key, "manual")
        world.run_until(key, "identification_pending")
    with pytest.raises(ExternalIdTakenError, match="k-1"):
        world.correct({**a_job("k-2", "manual"), "external_id": "k-1"})
    world.correct({**a_job("k-2", "manual"), "external_id": "e-3"})
    world.submit("k-3", "manual", external_id="e-3")
    world.drain()
    assert Lists(world.ledger).holders(["k-1", "k-2", "e-3"]) == ["k-1", "k-2", "k-3"]
