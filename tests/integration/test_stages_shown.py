"""Where the lengths of stages and their limits are seen: command line, HTTP, metrics, console; imports and adoption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.cli import main
from pipelines.iron import Iron
from pipelines.lifecycle import Phase
from pipelines.stages.policy import LimitPolicy, read_policy
from tests.gateway import Gateway
from tests.world import API_KEY, BASE_URL, Run, World
from workers.events.stream import EventStream
from workers.imports.imports import Imports
from workers.ledger import PREFIX
from workers.reconcile.adopt import adopt
from workers.stages import ages
from workers.stages.ages import Overdue, proposed, store

TEXT = """
[limits]
enabled = true
[limits.identification_pending]
customer = "1h"
[limits.received]
us = "30m"
"""
ROWS = "idempotency_key,email,customer_type\nr-1,a@example.com,Person\nr-2,b@example.com,Person\n"


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway of a world in which one customer was an hour at the link, and another one still is."""
    for key in ("k-1", "k-2"):
        world.submit(key, tag="manual")
        world.run_until(key, Phase.IDENTIFICATION_PENDING, seconds=60)
    put_in_force(world)
    world.advance(3600)
    world.move("k-1", "process")
    world.run_until("k-1", Phase.IN_REVIEW, seconds=60)
    Overdue(world.ledger).run_once()
    made = Gateway(world, broker_url)
    yield made
    made.close()


def put_in_force(world: World, policy: LimitPolicy | None = None) -> None:
    """Store limits and begin the clocks of those they concern."""
    store(world.ledger, proposed(world.ledger, policy or read_policy(TEXT), by="ada"))
    assert ages.ClockMover(world.ledger).run_through().done


def overdue(world: World) -> list[str]:
    """Who was told to be over a limit."""
    return [event.key for event in EventStream(world.ledger).after() if event.name == "overdue"]


def test_the_summary_over_http(gateway: Gateway) -> None:
    """Each stage with its limit, how many are over it, and the three windows."""
    stages = gateway.get("/v1/summary", role="viewer").json()["stages"]
    [found] = [one for one in stages if one["phase"] == "identification_pending"]
    window = {"count": 1, "p50_s": 4100.0, "p90_s": 4100.0, "p99_s": 4100.0}
    assert found == {
        "phase": "identification_pending",
        "waiting_on": "customer",
        "limit_s": 3600,
        "overdue": 1,
        "last_24h": window,
        "last_7d": window,
        "last_30d": window,
    }


def test_the_event_over_http(gateway: Gateway) -> None:
    """Which stage is over its limit, and the limit."""
    events = gateway.get("/v1/events", role="viewer").json()["events"]
    [event] = [event for event in events if event["type"] == "onboarding.overdue"]
    assert event["data"] | {"version": 0} == {
        "idempotency_key": "k-2",
        "phase": "identification_pending",
        "waiting_on": "customer",
        "version": 0,
        "limit_s": 3600,
    }


def test_the_metrics(gateway: Gateway) -> None:
    """The same under names of their own, by phase, actor, window and quantile."""
    text = gateway.get("/metrics", role="viewer").text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    stage = {"phase": "identification_pending", "waiting_on": "customer"}
    value = {(one.name, *sorted(one.labels.items())): one.value for one in samples}
    length = stage | {"window": "24h", "quantile": "0.5"}
    assert value["onboarding_stage_seconds", *sorted(length.items())] == 4100.0
    assert value["onboarding_stages_ended", *sorted((stage | {"window": "7d"}).items())] == 1
    assert value["onboarding_stage_overdue", *sorted(stage.items())] == 1


def test_the_command_line(gateway: Gateway, run: Run, capsys: Any) -> None:
    """The table of `summary`, for people."""
    assert gateway.world.record("k-1").phase is Phase.IN_REVIEW
    assert run("summary") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "identification_pending customer 1 68.3 min · 68.3 min 68.3 min · 68.3 min 60 min 1" in told


def test_limits_are_explained_and_only_stored_when_told(run: Run, world: World, tmp_path: Path, capsys: Any) -> None:
    """Sentences, who is over them now, what changes; nothing is stored by --check, nor without --yes."""
    world.submit("k-1", tag="manual")
    world.run_until("k-1", Phase.IDENTIFICATION_PENDING, seconds=60)
    file = tmp_path / "limits.toml"
    file.write_text(TEXT)
    for arguments in (("--check",), (), ("--check", "--yes")):
        assert run("limits", "--policy", file, *arguments) == 0
        told = capsys.readouterr().err
        assert "has been identification_pending, waiting on customer, for 1 hour." in told
        assert "Over the limit now: 0 in identification_pending waiting on customer." in told
        assert "Nothing is stored" in told
    assert ages.in_force(world.ledger).version == 0
    assert run("limits", "--policy", file, "--yes", "--by", "ada") == 0
    capsys.readouterr()
    assert run("limits", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["by"], shown["policy"]["received"]) == (1, "ada", {"us": "30m"})
    assert world.client.zcard(f"{PREFIX}timed:identification_pending customer") == 1
    assert run("limits", "--policy", file, "--yes") == 0
    assert "nothing to change" in capsys.readouterr().err
    file.write_text(TEXT.replace("customer =", "nobody ="))
    assert run("limits", "--policy", file) == 2
    assert main(["limits", "--help"]) == 0


def test_a_row_of_an_import_has_its_clock_and_loses_it_when_it_is_cancelled(world: World, tmp_path: Path) -> None:
    """Rows that nobody takes in hand are over their limit; of a cancelled import none is, and nothing was counted."""
    put_in_force(world)
    file = tmp_path / "rows.csv"
    file.write_text(ROWS)
    imports = Imports(world.ledger, world.vault)
    name = imports.load(file, by="ada", name="spring").name
    world.advance(3600)
    assert Overdue(world.ledger).run_once() == 2
    imports.cancel(name, by="ada", reason="a test")
    assert world.client.zcard(f"{PREFIX}overdue:received us") == 0
    assert [one["last_24h"] for one in ages.summarised(world.ledger) if one["phase"] == "received"] == [None]


def test_rows_of_an_import_that_was_paused_are_left_out(world: World, tmp_path: Path) -> None:
    """How long they waited says nothing about us; what comes after their turn counts."""
    file = tmp_path / "rows.csv"
    file.write_text(ROWS)
    imports = Imports(world.ledger, world.vault)
    name = imports.load(file, by="ada", name="spring").name
    imports.pause(name, by="ada", reason="a test")
    world.advance(3600)
    imports.resume(name)
    world.run(until=lambda: all(record.phase is not Phase.RECEIVED for record in world.records()), seconds=600)
    found = {(one["phase"], one["waiting_on"]): one["last_24h"] for one in ages.summarised(world.ledger)}
    assert ("received", "us") not in found


def test_a_job_that_takes_over_an_adopted_record_takes_its_clock(world: World) -> None:
    """The clock goes on under the job's key, and the event names that."""
    world.submit("e-1", tag="manual")
    world.run_until("e-1", Phase.IDENTIFICATION_PENDING, seconds=60)
    world.client.flushdb()
    world.queue.nudges.clear()
    put_in_force(world)
    list(adopt(world.ledger, Iron(world.transport, BASE_URL, API_KEY)))
    world.run(until=lambda: world.read("e-1").record.phase is Phase.IDENTIFICATION_PENDING, seconds=60)
    world.run(until=lambda: not world.queue.nudges and (world.next_due_s() or 1) > 0.5, seconds=60)
    assert world.submit("k-1", external_id="e-1", tag="manual").status == "created"
    world.advance(7200)
    assert Overdue(world.ledger).run_once() == 1
    assert overdue(world) == ["k-1"]
