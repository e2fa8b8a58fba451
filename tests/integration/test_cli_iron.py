"""Looking at Iron from the command line: what it holds, its webhooks, decisions of its sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest

from ops.sandbox import Fault
from ops.sandbox.world.outbox import WebhookSettings
from pipelines.acts import ACTS
from tests.world import API_KEY, Run, World, noted
from workers.budget.gate import Gate

SECRET = "whsec_c2FuZGJveC1kZW1vLXNlY3JldA"
HERE = "https://onboarding.example.com"
EMAIL = "marker+manual@example.com"


@pytest.fixture(autouse=True)
def iron(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The world's sandbox over HTTP, at the address that the settings name."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = httpx.Request(self.command, f"http://iron{self.path}", headers=dict(self.headers), content=body)
            answer = world.transport.handle_request(asked)
            content = answer.read()
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 -- the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing on standard error."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("IRON_BASE_URL", f"http://127.0.0.1:{server.server_port}/api")
        monkeypatch.setenv("IRON_API_KEY", API_KEY)
        yield
        server.shutdown()


def active(world: World) -> None:
    """One customer, active."""
    world.onboard(tag="manual", customer={"customer_type": "Person", "email": EMAIL, "name": "Marker Person"})
    world.run_until("k-1", "active")


def test_what_iron_holds(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part as Iron shows it, signatures as evidence among them; without --personal nothing personal."""
    active(world)
    capsys.readouterr()
    assert run("iron", "customer", "k-1", "--json") == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert found["customer"]["status"] == "Active"
    assert [one["status"] for one in found["identifications"]] == ["Approved"]
    assert len(found["signatures"]) == world.effects()["k-1"]["signings"] == 2
    assert found["requirements"]["requirements_due"] == []
    assert found["abilities"]["fiat_deposit"]["eur"]["sepa"] == "Active"
    assert "remaining_eur" in found["spending_limit"]["fiat_onramp"]
    assert found["not_shown"] == {}
    assert "questionnaire" not in found
    assert "marker" not in printed.casefold()
    assert [entry["note"] for entry in world.ledger.history("k-1") if "read" in entry.get("note", "")] == []


def test_personal_data_is_shown_and_noted(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With --personal the names are there, what Iron does not have says so, and the history tells who read."""
    active(world)
    capsys.readouterr()
    assert run("iron", "customer", "k-1", "--personal", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["customer"]["email"] == EMAIL
    assert "HTTP 404" in found["not_shown"]["questionnaire"]
    world.advance(6)
    world.pulse.run_once()
    world.drain()
    assert any(entry.get("note", "").endswith(f" {ACTS['read'].done}.") for entry in world.ledger.history("k-1"))


def test_a_part_that_iron_refuses_does_not_hide_the_others(
    run: Run, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be had says why, in the table as well."""
    active(world)
    world.sandbox.faults.add(Fault(operation="get_abilities", status=403))
    assert run("iron", "customer", "k-1") == 0
    printed = capsys.readouterr().err
    assert "HTTP 403" in printed
    assert "spending limit" in printed
    assert "fiat_onramp.remaining_eur" in printed


def test_nobody_at_iron_yet(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that was not sent has no customer there; a key that nobody has is told as everywhere."""
    world.submit()
    assert run("iron", "customer", "k-1") == 1
    assert "does not exist at Iron yet" in capsys.readouterr().err
    assert run("iron", "approve", "k-1") == 1
    assert "no identification yet" in capsys.readouterr().err
    assert run("iron", "customer", "nobody") == 1


def test_calls_that_are_paused_are_not_made(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A pause of such calls holds for people too, and says how to end it."""
    active(world)
    Gate(world.ledger).pause(["sweep"], by="ada")
    assert run("iron", "webhooks") == 1
    assert "onboarding resume sweep" in capsys.readouterr().err


def test_iron_that_refuses_the_caller(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong key is a sentence with the status, and exit status 1."""
    active(world)
    monkeypatch.setenv("IRON_API_KEY", "another")
    assert run("iron", "webhooks") == 1
    told = capsys.readouterr().err
    assert "HTTP 401" in told
    assert "Internal error" not in told


def test_webhooks(run: Run, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """None, one that leads elsewhere, one that is off, one without our topics: each is a sentence; a good one is 0."""
    monkeypatch.setenv("ONBOARDING_PUBLIC_URL", HERE)
    outbox = world.sandbox.provider.outbox
    outbox.settings = None
    assert run("iron", "webhooks") == 1
    assert "no webhook registered" in capsys.readouterr().err
    outbox.settings = WebhookSettings(url="https://elsewhere.example.com/hook", secret=SECRET)
    assert run("iron", "webhooks") == 1
    assert "leads to https://onboarding.example.com/webhooks/iron" in capsys.readouterr().err
    outbox.move_to(f"{HERE}/webhooks/iron")
    assert run("iron", "webhooks", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["topics"]
    assert SECRET not in shown.out
    assert "Iron sends us what we need" in shown.err
    hook = outbox.hook(0)
    assert hook is not None
    hook.topics = ("CustomerStatus",)
    hook.enabled = False
    hook.last_failure, hook.last_failure_reason = world.clock.now(), "HTTP 500"
    assert run("iron", "webhooks") == 1
    told = capsys.readouterr().err
    assert "switched off" in told
    assert "does not send IdentificationStatus" in told
    assert "HTTP 500" in told


def test_ping(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Iron is asked once for each webhook to send an event about the customer."""
    active(world)
    outbox = world.sandbox.provider.outbox
    outbox.settings = WebhookSettings(url=f"{HERE}/webhooks/iron", secret=SECRET)
    waiting = len(outbox)
    assert run("iron", "webhooks", "--ping", "k-1") == 0
    assert "asked to send a ping" in capsys.readouterr().err
    assert len(outbox) == waiting + 1


def test_approve_in_the_sandbox(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The identification is decided without the customer, and the onboarding goes on by itself; twice does no harm."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    capsys.readouterr()
    assert run("iron", "approve", "k-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "Approved"
    assert run("iron", "approve", "k-1") == 0
    world.run_until("k-1", "signings_required")
    assert world.effects()["k-1"]["identifications"] == 1


def test_decline_in_the_sandbox(run: Run, world: World) -> None:
    """With --decline it is declined."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    assert run("iron", "approve", "k-1", "--decline") == 0
    world.run_until("k-1", "declined")


def test_nobody_is_approved_in_production(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that is not a sandbox's is refused as wrong usage, before any call."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    monkeypatch.setenv("IRON_BASE_URL", "https://api.iron.invalid/api")
    assert run("iron", "approve", "k-1") == 2
    assert "not a sandbox" in capsys.readouterr().err
    assert world.run_until("k-1", "identification_pending").identification_status == "Pending"


def test_archive_only_with_yes(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """First it says what would happen, for good; with --yes it happens once, and the history says who and why."""
    active(world)
    assert run("iron", "archive", "k-1", "--reason", "a double") == 0
    assert "for good. Nothing was changed" in capsys.readouterr().err
    assert world.record().archive == ""
    assert run("iron", "archive", "k-1", "--reason", "a double", "--by", "ada", "--yes") == 0
    world.run_until("k-1", "archived")
    assert any(entry.get("note") == noted("archive", "ada", "a double") for entry in world.ledger.history("k-1"))
    assert run("iron", "archive", "k-1", "--reason", "again", "--yes") == 1
    assert "Iron closed this customer" in capsys.readouterr().err
    assert run("iron", "archive", "k-1", "--identification", "--reason", "again", "--yes") == 1
