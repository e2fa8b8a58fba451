"""The command `reidentify`: policies explained and put in force, named customers, runs and their ends, the calendar."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from ops.cli import main
from pipelines.acts import IN_PROGRESS
from pipelines.reidentification import Interval
from tests.integration.test_reidentify import DAY_S, POLICY, again, hear, in_time, put_in_force
from tests.world import Run, World
from workers.ledger import PREFIX, Ledger
from workers.reidentification import policy_store, runs

TEXT = """
[reidentification]
enabled = true
max_per_day = 5
quiet_hours = "22:00-07:00"
time_zone = "Europe/Berlin"
[reidentification.tiers]
high = "1y"
"""


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, in the middle of a day."""
    found = in_time(World(client))
    assert POLICY.hours.is_open(found.ledger.now_ms())
    return found


@pytest.fixture
def run(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `reidentify` on this world's ledger, at this world's time."""
    made = Ledger.__init__

    def in_world_time(self: Any, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options | {"shift_ms": lambda: world.shift_ms})

    monkeypatch.setattr(Ledger, "__init__", in_world_time)
    return lambda *arguments: run("reidentify", *arguments)


def settle(world: World) -> None:
    """Let workers apply what is stored and begin what can begin."""
    world.run(until=lambda: (world.next_due_s() or 1) > 60)


def test_a_policy_is_explained_and_only_stored_when_told(run: Run, world: World, tmp_path: Path, capsys: Any) -> None:
    """Sentences, a table of thirty days and what changes; nothing is stored by --check, nor without --yes."""
    world.onboard("k-1", risk_tier="high")
    file = tmp_path / "policy.toml"
    file.write_text(TEXT)
    for arguments in (("--check",), (), ("--check", "--yes")):
        assert run("--policy", file, *arguments) == 0
        told = capsys.readouterr().err
        assert "within 1 year" in told
        assert "Nothing starts from 22:00 to 07:00" in told
        assert "enabled: false becomes true" in told
        assert "Nothing is stored" in told
    assert policy_store.in_force(world.ledger).version == 0
    assert run("--policy", file, "--yes", "--by", "ada") == 0
    assert "Applied to 1 active customers." in capsys.readouterr().err
    assert (policy_store.in_force(world.ledger).version, policy_store.in_force(world.ledger).by) == (1, "ada")
    assert run("--policy", file, "--yes") == 0
    assert "Nothing to change" in capsys.readouterr().err
    assert run("--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["enabled"], shown["version"], shown["moving"], shown["started_today"]) == (True, 1, False, 0)


def test_a_policy_that_cannot_be_is_refused(run: Run, tmp_path: Path, capsys: Any) -> None:
    """Exit status 2, and every reason."""
    file = tmp_path / "policy.toml"
    file.write_text(TEXT.replace("max_per_day = 5", "max_per_day = 0").replace("Berlin", "Bonn"))
    assert run("--policy", file, "--yes") == 2
    told = capsys.readouterr().err
    assert "max_per_day" in told
    assert "Europe/Bonn" in told
    assert run("--policy", tmp_path / "none.toml") == 2


def test_more_than_the_cap_by_hand(run: Run, world: World, capsys: Any) -> None:
    """Twelve with a cap of five: the command says five today, five tomorrow, two then; and so it comes."""
    put_in_force(world)
    keys = [f"k-{n:02}" for n in range(12)]
    for key in keys:
        world.onboard(key)
    today = POLICY.hours.day(world.ledger.now_ms())
    days = f"5 today, 5 on {today + timedelta(days=1)}, 2 on {today + timedelta(days=2)}"
    assert run(*keys, "--reason", "a regulator asks", "--dry-run") == 0
    assert days in capsys.readouterr().err
    assert world.effects()["k-00"]["identifications"] == 1
    assert run(*keys, "--reason", "a regulator asks", "--run", "audit-1", "--json") == 0
    told = capsys.readouterr()
    assert days in told.err
    assert [json.loads(line)["result"] for line in told.out.splitlines()] == ["asked"] * 12
    assert run(*keys, "--reason", "a regulator asks", "--run", "audit-1") == 0
    assert "Requested 0 in the run audit-1; 12 were already in it" in capsys.readouterr().err
    settle(world)
    begun = [key for key in keys if world.effects()[key]["identifications"] == 2]
    assert len(begun) == 5
    world.run(until=lambda: all(world.effects()[key]["identifications"] == 2 for key in keys), seconds=4 * DAY_S)
    world.run(until=lambda: all(record.phase == "active" for record in world.records()))
    capsys.readouterr()
    assert run("--report", "--run", "audit-1", "--json") == 0
    outcomes = [json.loads(line)["outcome"] for line in capsys.readouterr().out.splitlines()]
    assert outcomes == ["approved"] * 12


def test_who_is_refused_and_why(run: Run, world: World, capsys: Any) -> None:
    """Unknown, not yet active, or without a reason: sentences, and the exit status says how many were left."""
    world.onboard("k-1")
    world.submit("k-2", tag="manual")
    world.run_until("k-2", "identification_pending")
    assert run("k-1") == 2
    assert run("k-2", "k-9", "--reason", "r") == 1
    told = capsys.readouterr().err
    assert f"Skipped k-2: {IN_PROGRESS}" in told
    assert "Skipped k-9: There is no customer with this key." in told
    assert run("k-1", "k-2", "--reason", "r") == 5
    settle(world)
    assert [effects["identifications"] for effects in world.effects().values()] == [2, 1]


@pytest.mark.parametrize("verb", ["--pause", "--cancel"])
def test_what_has_not_begun_can_be_stopped(run: Run, world: World, verb: str, capsys: Any) -> None:
    """Five have begun and go on; the other seven wait until it is resumed, or never begin when it is cancelled."""
    put_in_force(world)
    keys = [f"k-{n:02}" for n in range(12)]
    for key in keys:
        world.onboard(key)
    assert run(*keys, "--reason", "r", "--run", "stop-me") == 0
    settle(world)
    assert run(verb, "--run", "stop-me", "--reason", "a mistake") == 0
    begun = lambda: sum(effects["identifications"] == 2 for effects in world.effects().values())  # noqa: E731
    with pytest.raises(AssertionError):
        world.run(until=lambda: begun() > 5, seconds=3 * DAY_S)
    capsys.readouterr()
    assert run("--report", "--run", "stop-me", "--json") == 0
    outcomes = [json.loads(line)["outcome"] for line in capsys.readouterr().out.splitlines()]
    assert outcomes.count("approved") == 5
    assert outcomes.count("not started" if verb == "--pause" else "withdrawn") == 7
    assert run("--resume", "--run", "stop-me") == (0 if verb == "--pause" else 1)
    if verb == "--pause":
        world.run(until=lambda: begun() == 12, seconds=4 * DAY_S)


def test_runs_by_a_scheduler_start_each_customer_once(run: Run, world: World, capsys: Any) -> None:
    """Without automatic starts nothing happens by itself; three schedulers with two names begin each one once."""
    put_in_force(world, replace(POLICY, automatic=False))
    for key in ("k-1", "k-2"):
        world.onboard(key, risk_tier="high")
    hear(world, 1)
    hear(world, 1)
    with pytest.raises(AssertionError):
        again(world, "k-1", years=0.2)
    capsys.readouterr()
    assert run("--due", "--dry-run", "--json") == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((one["idempotency_key"], one["result"]) for one in listed) == [
        ("k-1", "would_ask"),
        ("k-2", "would_ask"),
    ]
    assert run("--due", "--max", "1", "--run", "cron") == 0
    assert run("--due", "--run", "cron") == 0
    assert run("--due", "--run", "other") == 0
    while not POLICY.hours.is_open(world.ledger.now_ms()):
        world.advance(3600)
    world.run(until=lambda: all(record.phase != "active" for record in world.records()), seconds=DAY_S)
    world.run(until=lambda: all(record.phase == "active" for record in world.records()), seconds=DAY_S)
    assert run("--due", "--run", "cron") == 0
    assert run("--due", "--run", "once-more") == 0
    settle(world)
    assert [effects["identifications"] for effects in world.effects().values()] == [2, 2]
    notes = [entry.get("note", "") for key in ("k-1", "k-2") for entry in world.ledger.history(key)]
    assert sum("one of the starts" in note for note in notes) == 2


def test_the_calendar_alerts_where_the_cap_is_too_small(run: Run, world: World, capsys: Any) -> None:
    """A hundred who became active on one day, five a day: the week, the queue, and who will pass the date, by name."""
    put_in_force(world)
    now_ms = world.ledger.now_ms()
    for n in range(100):
        world.client.zadd(f"{PREFIX}identified:high", {f"c-{n}": now_ms - n * 1000})
    assert run("--calendar") == 5
    told = capsys.readouterr().err
    assert "ALERT" in told
    assert run("--calendar", "--json") == 5
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    due = Interval(months=12).after(POLICY.hours.day(now_ms))
    assert sum(line["due"].get("high", 0) for line in lines if "due" in line) == 100
    late = [line for line in lines if line.get("passing")]
    assert {line["date"] for line in late} == {due.isoformat()}
    assert 30 < len(late) < 80
    assert len(runs.cohorts(world.ledger, policy_store.in_force(world.ledger), due - timedelta(days=300), 365)) == 1


def test_the_summary_shows_who_waits(run: Run, world: World, capsys: Any) -> None:
    """How many of the day's starts are taken and who waits, for people and as data."""
    put_in_force(world, replace(POLICY, max_per_day=1))
    for key in ("k-1", "k-2", "k-3"):
        world.onboard(key)
    assert run("k-1", "k-2", "k-3", "--reason", "r") == 0
    settle(world)
    capsys.readouterr()
    assert main(["summary", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["reidentification"]
    assert (counts["started_today"], counts["waiting"], counts["past_their_date"]) == (1, 2, 0)
    assert main(["summary"]) == 0
    assert "1 of 1 starts taken today; 2 customers wait for one" in capsys.readouterr().err


def test_without_a_policy_a_scheduler_finds_nothing(run: Run, capsys: Any) -> None:
    """A cron job of an installation that is switched off says so and is content."""
    assert run("--due") == 0
    assert "off" in capsys.readouterr().err
    assert run("--calendar") == 0
    assert run("--due", "--calendar") == 2
    assert run("--pause") == 2
    assert run("--report", "--run", "no such name!") == 2
