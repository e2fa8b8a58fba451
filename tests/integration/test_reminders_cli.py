"""The command `reminders`: policies explained and put in force, who is next, the days to come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from pipelines.lifecycle import Phase
from tests.world import Run, World
from workers.ledger import Ledger
from workers.reminders import policy_store

TEXT = """
[reminders]
enabled = true
time_zone = "Europe/Berlin"
[reminders.needs.complete_identification]
after = "2d"
every = "3d"
at_most = 2
"""


@pytest.fixture
def world(client: redis.Redis) -> World:
    """A whole pipeline in this process, where two customers wait at their links."""
    world = World(client)
    world.shift_ms = round(world.clock.now() * 1000) - world.ledger.now_ms()
    for key in ("k-1", "k-2"):
        world.submit(key, tag="manual")
        world.run_until(key, Phase.IDENTIFICATION_PENDING)
    return world


@pytest.fixture
def run(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `reminders` on this world's ledger, at this world's time."""
    made = Ledger.__init__

    def in_world_time(self: Any, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options | {"shift_ms": lambda: world.shift_ms})

    monkeypatch.setattr(Ledger, "__init__", in_world_time)
    return lambda *arguments: run("reminders", *arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy."""
    file = tmp_path / "reminders.toml"
    file.write_text(TEXT)
    return file


def test_a_policy_is_explained_and_only_stored_when_told(run: Run, world: World, file: Path, capsys: Any) -> None:
    """Sentences, the days to come and what changes; nothing is stored by --check, by --dry-run, nor without --yes."""
    for arguments in (("--check",), (), ("--check", "--yes"), ("--dry-run", "--yes")):
        assert run("--policy", file, *arguments) == 0
        told = capsys.readouterr().err
        if "--dry-run" not in arguments:
            assert "after 2 days of waiting, then every 3 days, 2 times at most" in told
            assert "At most 4 reminders in 30 days" in told
            assert "enabled: false becomes true" in told
            assert "Nothing is stored" in told
    assert policy_store.in_force(world.ledger).version == 0
    assert run("--policy", file, "--yes", "--by", "ada") == 0
    told = capsys.readouterr().err
    assert "The due times of 2 customers are looked through." in told
    assert (policy_store.in_force(world.ledger).version, policy_store.in_force(world.ledger).by) == (1, "ada")
    assert run("--policy", file, "--yes") == 0
    assert "nothing to change" in capsys.readouterr().err
    assert run("--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["enabled"], shown["version"], shown["moving"], shown["by"]) == (True, 1, False, "ada")
    assert shown["policy"]["needs"]["complete_identification"] == {"after": "2d", "every": "3d", "at_most": 2}
    assert run() == 0
    assert "Nobody is reminded to accept a document (sign_document)." in capsys.readouterr().err


def test_who_is_next_is_named(run: Run, world: World, file: Path, capsys: Any) -> None:
    """By a policy that is not in force too: key, need, count and when; nobody within a day, both within three."""
    assert run("--dry-run", "--json") == 0
    assert capsys.readouterr().out == ""
    assert run("--policy", file, "--dry-run", "--json") == 0
    assert capsys.readouterr().out == ""
    assert run("--policy", file, "--dry-run", "--within", "3d", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["idempotency_key"], one["need"], one["count"]) for one in found] == [
        ("k-1", "complete_identification", 1),
        ("k-2", "complete_identification", 1),
    ]
    assert run("--policy", file, "--dry-run", "--within", "3d") == 0
    assert "2 customers are reminded in this time if nothing changes." in capsys.readouterr().err


def test_a_policy_that_cannot_be_is_refused(run: Run, file: Path, tmp_path: Path, capsys: Any) -> None:
    """Exit status 2, and every reason."""
    file.write_text(TEXT.replace('"2d"', '"2"').replace("Berlin", "Bonn"))
    assert run("--policy", file, "--yes") == 2
    told = capsys.readouterr().err
    assert "complete_identification.after is written as" in told
    assert "Europe/Bonn" in told
    assert run("--policy", tmp_path / "none.toml") == 2
