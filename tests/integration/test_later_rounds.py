"""A second and later round with data: a fresh share token, or the data of a person, brought by a correction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.given_details import PERSON, TOKEN
from tests.world import Run, World, a_job
from workers.ledger import PREFIX


class Bodies(httpx.BaseTransport):
    """Passes requests on, and keeps the bodies with which identifications were begun."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.begun: list[dict[str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note and pass on."""
        if request.url.path.endswith("/identifications/v2"):
            self.begun.append(json.loads(request.content))
        return self.inner.handle_request(request)


@pytest.fixture
def begun(world: World) -> list[dict[str, Any]]:
    """The bodies of the identifications that this world's worker begins."""
    bodies = Bodies(world.transport)
    world.transport = bodies
    world.runner = world.worker()
    world.run_step = world.runner.run
    return bodies.begun


def declined(world: World) -> None:
    """One customer whose first identification, by link, was declined."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    world.move("k-1", "decline")
    world.run_until("k-1", "declined")


def correct(world: World, identification: dict[str, Any], *, restart: bool) -> None:
    """Correct the job with data of an identification."""
    if nudge := world.door.correct(a_job("k-1", "manual", identification=identification), by="ada", restart=restart):
        world.queue.send(nudge)


@pytest.mark.parametrize("given", [TOKEN, PERSON], ids=["token", "person"])
def test_a_second_round_with_data(given: dict[str, Any], world: World, begun: list[dict[str, Any]]) -> None:
    """It goes out as it was given, once; then nothing of it is stored, and the round after that is a link again."""
    declined(world)
    correct(world, given, restart=True)
    world.run(until=lambda: len(begun) == 2)
    assert [body["type"] for body in begun] == ["Link", given["type"]]
    assert {name: begun[1][name] for name in given} == given
    record = world.record()
    assert (record.given, record.restart) == (False, False)
    assert world.client.hkeys(f"{PREFIX}input:k-1") == [b"customer"]
    world.move("k-1", "decline")
    world.run_until("k-1", "declined")
    world.act("k-1", "restart", reason="once more")
    world.run(until=lambda: len(begun) == 3)
    assert begun[2]["type"] == "Link"
    assert world.effects()["k-1"]["identifications"] == 3


def test_data_wait_for_the_next_round(world: World, begun: list[dict[str, Any]]) -> None:
    """Without a restart nothing begins; the data are used when a person, or an expired link, begins the next one."""
    declined(world)
    correct(world, PERSON, restart=False)
    world.advance(60)
    world.pulse.run_once()
    world.drain()
    assert [body["type"] for body in begun] == ["Link"]
    assert world.record().given
    world.act("k-1", "restart", reason="with what the customer sent")
    world.run(until=lambda: len(begun) == 2)
    assert begun[1]["type"] == "Person"


def test_a_correction_without_data_drops_those_of_before(world: World, begun: list[dict[str, Any]]) -> None:
    """What waits is personal data: a correction that has none takes it away, and the next round is a link."""
    declined(world)
    correct(world, PERSON, restart=False)
    world.run(until=lambda: world.record().given)
    if nudge := world.door.correct(a_job("k-1", "manual"), by="ada", restart=True):
        world.queue.send(nudge)
    world.run(until=lambda: len(begun) == 2)
    assert begun[1]["type"] == "Link"
    assert world.client.hkeys(f"{PREFIX}input:k-1") == [b"customer"]


def test_nothing_is_kept_for_a_round_that_cannot_be(world: World, begun: list[dict[str, Any]]) -> None:
    """While an identification is under way, data for another one are of no use, and not stored."""
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    correct(world, PERSON, restart=True)
    world.advance(6)
    world.pulse.run_once()
    world.drain()
    record = world.record()
    assert (record.revision, record.given, record.restart) == (1, False, False)
    assert world.client.hkeys(f"{PREFIX}input:k-1") == [b"customer"]
    assert len(begun) == 1


def test_an_old_token_asks_for_a_fresh_one(world: World, begun: list[dict[str, Any]]) -> None:
    """A token that waited longer than it lives is not sent; the need says so, and a fresh one goes out."""
    declined(world)
    correct(world, TOKEN, restart=False)
    world.run(until=lambda: world.record().given)
    world.advance(3_600)
    world.act("k-1", "restart", reason="now")
    world.run(until=lambda: world.record().phase == "failed")
    assert [body["type"] for body in begun] == ["Link"]
    problem = world.record().problem
    assert problem is not None
    assert problem.code == "token_expired"
    correct(world, TOKEN, restart=True)
    world.run(until=lambda: len(begun) == 2)
    assert begun[1]["type"] == "Token"


def test_on_the_command_line(
    run: Run, world: World, begun: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`correct --restart` begins it; where no new round may begin, nothing is stored and the reason is said."""
    file = tmp_path / "job.json"
    file.write_text(json.dumps(a_job("k-1", "manual", identification=PERSON)), "utf-8")
    world.submit(tag="manual")
    world.run_until("k-1", "identification_pending")
    assert run("correct", "k-1", file, "--restart", "--reason", "data") == 1
    assert "Nothing was changed" in capsys.readouterr().err
    assert world.record().revision == 0
    world.move("k-1", "decline")
    world.run_until("k-1", "declined")
    assert run("correct", "k-1", file, "--restart", "--reason", "data") == 0
    world.run(until=lambda: len(begun) == 2)
    assert begun[1]["type"] == "Person"
