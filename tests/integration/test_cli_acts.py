"""What operators do on the command line: acts, adoption, personal data; who did it and why stands in the history."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.acts import ACTS, IN_PROGRESS
from tests.world import API_KEY, Run, World, a_job, noted
from workers.budget.gate import HELD_BACK, Gate
from workers.ledger import PREFIX


def settle(world: World) -> None:
    """Let a worker apply what is stored."""
    world.advance(6)
    world.pulse.run_once()
    world.drain()


def notes(world: World, key: str = "k-1") -> list[str]:
    """What the history says beside the steps."""
    return [entry["note"] for entry in world.ledger.history(key) if "note" in entry]


def test_cancel_and_restart(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A cancelled onboarding is taken up again; each act is told with who and why, and a useless one is refused."""
    world.submit(tag="manual")
    world.drain()
    assert run("cancel", "k-1", "--reason", "the customer left", "--by", "ops") == 0
    settle(world)
    assert world.record().phase == "cancelled"
    assert run("cancel", "k-1", "--reason", "again") == 1
    assert "already cancelled" in capsys.readouterr().err
    assert run("restart", "k-1", "--reason", "came back", "--by", "ops") == 0
    settle(world)
    assert world.record().phase == "identification_pending"
    assert notes(world)[-2:] == [noted("cancel", "ops", "the customer left"), noted("restart", "ops", "came back")]
    assert run("restart", "k-1", "--reason", "once more") == 1
    assert IN_PROGRESS in capsys.readouterr().err
    assert world.effects()["k-1"]["identifications"] == 1


def test_correct(run: Run, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A corrected job is checked whole, keeps its key, and is sent again."""
    world.submit(customer={"customer_type": "Person", "email": "ada@example.local"})
    world.run_until("k-1", "failed")
    file = tmp_path / "job.json"
    file.write_text(json.dumps(a_job("k-2")), encoding="utf-8")
    assert run("correct", "k-1", file) == 2
    assert "a different idempotency key" in capsys.readouterr().err
    file.write_text(json.dumps({"idempotency_key": "k-1", "customer": {"email": "nobody"}}), encoding="utf-8")
    assert run("correct", "k-1", file) == 2
    told = capsys.readouterr().err
    assert "/customer/customer_type" in told
    assert "/customer/email" in told
    assert "nobody" not in told
    file.write_text(json.dumps(a_job("k-1", "manual")), encoding="utf-8")
    assert run("correct", "k-1", file, "--reason", "typing error") == 0
    settle(world)
    assert (world.record().phase, world.record().revision) == ("identification_pending", 1)
    assert world.effects()["k-1"]["customers"] == 1


def test_retry(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Tried again one by one, or by problem: the count is shown first, and --yes does it."""
    from ops.sandbox import Fault

    world.sandbox.faults.add(Fault(name="revoked", operation="create_customer", status=401))
    for number in range(3):
        world.submit(f"k-{number}", "manual")
    world.drain()
    world.sandbox.faults.clear("revoked")
    assert run("retry", "k-0") == 0
    assert run("retry", "--problem", "access_refused") == 0
    assert "3 customers with the problem" in capsys.readouterr().err
    assert run("retry", "--problem", "access_refused", "--yes", "--reason", "new key", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"problem": "access_refused", "count": 3, "done": True}
    world.run(
        until=lambda: {record.phase.value for record in world.records()} == {"identification_pending"}, seconds=60
    )
    assert run("retry", "k-0") == 1
    assert "no problem" in capsys.readouterr().err
    assert run("retry") == 2


def test_personal_data(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Shown when asked for, and the history says that it was; without asking nothing personal is shown."""
    world.submit(tag="manual")
    world.drain()
    capsys.readouterr()
    assert run("status", "k-1", "--json") == 0
    assert "Ada" not in capsys.readouterr().out
    assert run("status", "k-1", "--personal", "--json") == 0
    assert json.loads(capsys.readouterr().out)["personal"]["customer"]["name"] == "Ada Example"
    settle(world)
    assert notes(world)[-1].endswith(f" {ACTS['read'].done}.")


@pytest.mark.parametrize("command", ["cancel", "restart", "retry"])
def test_unknown_key(run: Run, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that nothing has is said in one sentence, with status 1."""
    words = [command, "nobody"] + (["--reason", "r"] if command != "retry" else [])
    assert run(*words) == 1
    assert "nobody" in capsys.readouterr().err


@pytest.fixture
def sandbox() -> Iterator[str]:
    """The address of a sandbox in a process of its own."""
    command = [sys.executable, "-m", "ops.sandbox", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+?:\d+", process.stderr.readline())
        assert found is not None
        try:
            yield found[0]
        finally:
            process.terminate()
            process.stderr.close()


def test_adopt(
    run: Run, world: World, sandbox: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Customers on Iron without a record get one; said first with --dry-run, one by one or all."""
    monkeypatch.setenv("IRON_BASE_URL", f"{sandbox}/api")
    monkeypatch.setenv("IRON_API_KEY", API_KEY)
    for number in range(3):
        body: dict[str, Any] = {"customer_type": "Person", "email": f"c{number}+manual@example.com"}
        headers = {"X-API-Key": API_KEY, "IDEMPOTENCY-KEY": f"made-{number}"}
        with httpx.Client(trust_env=False, headers=headers) as client:
            client.post(f"{sandbox}/api/customers", json=body | {"external_id": f"e-{number}"}).raise_for_status()
    assert run("adopt", "--dry-run") == 0
    assert "3 would be adopted." in capsys.readouterr().err
    assert world.records() == []
    assert run("adopt", "--dry-run", "--type", "Business") == 0
    assert "no such customer" in capsys.readouterr().err
    assert run("adopt", "--dry-run", "--search", "c2+", "--identification-status", "Approved") == 0
    assert "no such customer" in capsys.readouterr().err
    assert run("adopt", "--dry-run", "--search", "c2+", "--type", "Person") == 0
    assert "1 would be adopted." in capsys.readouterr().err
    assert run("adopt", "--external-id", "e-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["idempotency_key"] == "e-1"
    assert run("adopt") == 0
    told = capsys.readouterr().err
    assert "2 adopted." in told
    assert "1 already known." in told
    assert sorted(record.key for record in world.records()) == ["e-0", "e-1", "e-2"]
    assert run("adopt", "--external-id", "nobody") == 0
    assert "no such customer" in capsys.readouterr().err
    Gate(world.ledger).pause(["sweep"], by="ada")
    assert run("adopt", "--external-id", "e-1") == 1
    assert HELD_BACK["paused"].format(lane="sweep") in capsys.readouterr().err
    Gate(world.ledger).resume(["sweep"])
    monkeypatch.setenv("IRON_API_KEY", "short")
    assert run("adopt") == 1
    assert "API key" in capsys.readouterr().err


def test_adopt_needs_iron(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Iron's address and key each is named, with status 2."""
    monkeypatch.delenv("IRON_BASE_URL", raising=False)
    monkeypatch.delenv("IRON_API_KEY", raising=False)
    assert run("adopt") == 2
    told = capsys.readouterr().err
    assert "IRON_BASE_URL is not set" in told
    assert "IRON_API_KEY is not set" in told


def test_link(run: Run, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The customer's link is printed where the public address is known, and revoked with who and why in the history."""
    world.submit(tag="manual")
    assert run("link", "k-1") == 2
    assert "ONBOARDING_PUBLIC_URL is not set" in capsys.readouterr().err
    monkeypatch.setenv("ONBOARDING_PUBLIC_URL", "https://go.example.com/")
    assert run("link", "k-1") == 0
    first = capsys.readouterr().out.strip()
    assert re.fullmatch(r"https://go\.example\.com/go/[A-Za-z0-9_-]+", first)
    assert run("link", "k-1", "--revoke", "--reason", "wrong address", "--by", "ops", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["revoked"]
    assert told["customer_link"] != first
    assert run("status", "k-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["customer_link"] == told["customer_link"]
    settle(world)
    assert noted("revoke_links", "ops", "wrong address") in notes(world)
    assert run("link", "k-404") == 1
    assert "no customer with the key" in capsys.readouterr().err


def test_pause_and_resume(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A lane is paused with who and why after the count was shown; nothing is called until it is resumed."""
    world.submit(tag="manual", lane="bulk")
    assert run("pause", "bulk") == 0
    assert "1 customers are due in bulk. With --yes" in capsys.readouterr().err
    assert Gate(world.ledger).standing().paused == {}
    assert run("pause", "bulk", "--reason", "a talk with Iron", "--by", "ada", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"lanes": ["bulk"], "due": 1, "paused": ["bulk"], "done": True}
    assert run("pause", "all", "--by", "bob", "--yes") == 0
    told = capsys.readouterr().err
    assert "Paused interactive, reidentify, sweep." in told
    assert "bulk was already paused, by ada." in told
    settle(world)
    assert world.sandbox.traffic.total == 0
    assert run("summary") == 0
    assert "by ada: a talk with Iron." in capsys.readouterr().err
    assert run("summary", "--json") == 0
    paused = json.loads(capsys.readouterr().out)["paused"]
    assert (set(paused), paused["bulk"]["by"]) == ({"interactive", "bulk", "reidentify", "sweep"}, "ada")
    assert run("resume", "all", "--yes") == 0
    assert "Resumed interactive, bulk, reidentify, sweep." in capsys.readouterr().err
    settle(world)
    assert world.record().phase == "identification_pending"
    assert run("resume", "bulk", "--yes") == 0
    assert "bulk was not paused." in capsys.readouterr().err
    assert run("pause", "express", "--yes") == 2


def test_summary_of_a_fleet_that_is_held_back(
    run: Run, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 shows in the summary: until when Iron wants no call, and what is left of the budget."""
    monkeypatch.setenv("IRON_RATE_PER_SECOND", "40")
    Gate(world.ledger).close_tap(60)
    assert run("summary", "--json") == 0
    budget = json.loads(capsys.readouterr().out)["budget"]
    assert (budget["rate_per_second"], budget["rate_per_second_now"]) == (40, pytest.approx(20, abs=2))
    assert budget["closed_until"] is not None
    assert run("summary") == 0
    assert "Iron asked us to wait until" in capsys.readouterr().err


def test_summary_while_iron_rejects_all(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What Iron rejects all calls with is told with the setting that it is likely about."""
    world.client.hset(f"{PREFIX}pace", mapping={"opened": 1, "retry_at": 1, "refusal": 400})
    assert run("summary") == 0
    told = capsys.readouterr().err
    assert "Iron rejects every call (HTTP 400). Check IRON_API_VERSION first" in told
