"""Durable acceptance: with ONBOARDING_WAITAOF nothing is acknowledged before Redis has synced it to disk.

A disk does not fail when a test wants it to. So a line between Redis and the program answers that one command, with
what a test wants, in its place among the others, whatever the server knows. The tests at the end ask a real one.

What they cannot show is a lost page cache: a `kill -9` of the server leaves what it has written with the kernel, synced
or not. What they show is that the answer comes when the server has synced, and not before.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from ops.local.embedded import EmbeddedRedis
from tests.gateway import Gateway
from tests.world import PLENTY, World, a_job
from workers.intake.submit import FrontDoor
from workers.ledger import DURABLE_WITHIN_MS, PREFIX, Durability, Ledger, NotDurableError, connect
from workers.ledger.import_store import ImportStore
from workers.operate.preflight import WAITAOF_RELEASE, problems_of, release_of

LOCAL = Durability(1)


def command(*words: str) -> bytes:
    """Write a command as a client sends it."""
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)])


class Line:
    """A line to Redis on which WAITAOF is answered with a pair of numbers."""

    def __init__(self, url: str) -> None:
        self.synced = (1, 0)
        self.asked: list[bytes] = []
        self._to = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        login = self._to.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._to._replace(netloc=f"{login}@127.0.0.1:{port}" if login else f"127.0.0.1:{port}"))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection((self._to.hostname, self._to.port))
            threading.Thread(target=self._carry, args=(near, far, self._changed), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, bytes), daemon=True).start()

    def _changed(self, sent: bytes) -> bytes:
        for replicas in ("0", "1"):
            waiting = command("WAITAOF", "1", replicas, str(DURABLE_WITHIN_MS))
            if waiting in sent:
                self.asked.append(sent)
                local, others = self.synced
                sent = sent.replace(waiting, command("EVAL", f"return {{{local}, {others}}}", "0"))
        return sent

    def _carry(self, near: socket.socket, far: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with near, far:
            try:
                while part := near.recv(1 << 20):
                    far.sendall(change(part))
            except OSError:
                return


@pytest.fixture
def line(ledger_url: str) -> Iterator[Line]:
    """A line to this test's Redis."""
    made = Line(ledger_url)
    yield made
    made.close()


@pytest.fixture
def ledger(line: Line) -> Iterator[Ledger]:
    """A ledger that waits for the disk, over the line."""
    with connect(line.url) as client:
        yield Ledger(client, PLENTY, durability=LOCAL)


def test_a_job_waits_for_the_disk(ledger: Ledger, line: Line, world: World) -> None:
    """The question goes out behind the job, in the same round trip, and the answer is as ever."""
    door = FrontDoor(ledger, world.vault, world.queue.send)
    assert door.submit(a_job()).status == "created"
    assert door.submit(a_job()).status == "unchanged"
    assert len(line.asked) == 2
    assert all(b"create" in sent for sent in line.asked)


def test_an_act_waits_for_the_disk(ledger: Ledger, line: Line, world: World) -> None:
    """What people do is as safe as a job before it is acknowledged; reading waits for nothing."""
    world.submit()
    assert ledger.act("k-1", {"act": "cancel", "by": "a test"}) is not None
    assert len(line.asked) == 1
    ledger.read("k-1")
    assert len(line.asked) == 1
    with pytest.raises(KeyError):
        ledger.act("nobody", {"act": "cancel", "by": "a test"})


def test_what_is_not_synced_is_not_acknowledged(ledger: Ledger, line: Line, world: World) -> None:
    """A disk that is too slow is an error, nothing is sent on, and the same job again is acknowledged later."""
    door = FrontDoor(ledger, world.vault, world.queue.send)
    line.synced = (0, 0)
    with pytest.raises(NotDurableError):
        door.submit(a_job())
    assert not world.queue.nudges
    line.synced = (1, 0)
    assert door.submit(a_job()).status == "unchanged"


def test_a_replica_is_waited_for(line: Line) -> None:
    """With a replica asked for, the server's own disk is not enough."""
    with connect(line.url) as client:
        ledger = Ledger(client, PLENTY, durability=Durability(1, 1))
        with pytest.raises(NotDurableError):
            ImportStore(ledger).loaded("an-import", {})
        line.synced = (1, 1)
        ImportStore(ledger).loaded("an-import", {})


def test_without_the_setting_nothing_is_asked(line: Line) -> None:
    """Otherwise no job waits for a disk."""
    with connect(line.url) as client:
        ImportStore(Ledger(client, PLENTY)).loaded("an-import", {})
    assert line.asked == []


def test_the_gateway_answers_503(ledger: Ledger, line: Line, world: World, broker_url: str) -> None:
    """A job that is not safe yet is answered 503 with its code and Retry-After; nobody is told 202."""
    line.synced = (0, 0)
    world.ledger = ledger
    with ExitStack() as closing:
        gateway = Gateway(world, broker_url)
        closing.callback(gateway.close)
        answer = gateway.request("POST", "/v1/onboardings", role="submitter", json=a_job())
        assert (answer.status_code, answer.json()["code"]) == (503, "not_durable")
        assert int(answer.headers["retry-after"]) > 0
        line.synced = (1, 0)
        assert gateway.request("POST", "/v1/onboardings", role="submitter", json=a_job()).status_code == 200
    assert world.client.exists(f"{PREFIX}record:k-1")


@pytest.mark.parametrize(
    ("facts", "wanted", "words"),
    [
        ({"redis_version": "7.0.15", "aof_enabled": 1}, LOCAL, "needs Redis 7.2"),
        ({"redis_version": "7.2.0", "aof_enabled": 0}, LOCAL, "append-only file"),
        ({"redis_version": "8.0.1", "aof_enabled": 1, "connected_slaves": 0}, Durability(1, 1), "replica"),
        ({"redis_version": "7.2.4", "aof_enabled": 1}, LOCAL, None),
        ({"redis_version": "6.2.14", "aof_enabled": 0}, Durability(), None),
    ],
)
def test_a_server_that_cannot_is_refused(facts: dict[str, object], wanted: Durability, words: str | None) -> None:
    """What the setting asks for and the server cannot do is said at the start, with the remedy."""
    problems = problems_of(facts, "redis://h:6379/0", wanted)
    assert [words in problem and "ONBOARDING_WAITAOF" in problem for problem in problems] == [True] * bool(words)


def test_an_older_server_does_not_know_the_command(ledger_url: str, facts: dict[str, Any]) -> None:
    """The server itself says so; that is why it is refused at the start."""
    with redis.Redis.from_url(ledger_url) as client:
        if release_of(facts) < WAITAOF_RELEASE:
            with pytest.raises(redis.ResponseError, match="unknown command"):
                client.execute_command("WAITAOF", 1, 0, 1)
        else:
            assert client.execute_command("WAITAOF", 1, 0, DURABLE_WITHIN_MS) == [1, 0]


@pytest.fixture
def server(tmp_path: Path, waits_for_disk: None) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, which can say what is on its disk."""
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


def test_what_is_acknowledged_is_in_the_synced_file(server: EmbeddedRedis, tmp_path: Path) -> None:
    """The file as it is when a job is acknowledged brings it back on another server; so does the file after kill -9."""
    with connect(server.url) as client:
        world = World(client)
        door = FrontDoor(Ledger(client, PLENTY, durability=LOCAL), world.vault, world.queue.send)
        for number in range(3):
            assert door.submit(a_job(f"k-{number}")).status == "created"
            copied = shutil.copytree(server.folder, tmp_path / f"copy-{number}")
            assert client.info("persistence")["aof_pending_bio_fsync"] == 0
            with EmbeddedRedis(copied) as again, connect(again.url) as there:
                assert there.exists(f"{PREFIX}record:k-{number}")
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    with server, connect(server.url) as client:
        assert client.exists(*(f"{PREFIX}record:k-{number}" for number in range(3))) == 3


def test_a_server_without_its_file_acknowledges_nothing(server: EmbeddedRedis) -> None:
    """Where the append-only file is switched off, the server refuses to wait for it, and a job is no success."""
    with connect(server.url) as client:
        world = World(client)
        client.config_set("appendonly", "no")
        with pytest.raises(redis.ResponseError, match="appendonly is disabled"):
            FrontDoor(Ledger(client, PLENTY, durability=LOCAL), world.vault, world.queue.send).submit(a_job())
        assert not world.queue.nudges


def test_a_replica_that_is_not_there_acknowledges_nothing(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server waits as long as it was told to, answers that no replica has it, and that is an error."""
    monkeypatch.setattr("workers.ledger.ledger.DURABLE_WITHIN_MS", 50)
    with connect(server.url) as client:
        world = World(client)
        with pytest.raises(NotDurableError):
            FrontDoor(Ledger(client, PLENTY, durability=Durability(0, 1)), world.vault, world.queue.send).submit(
                a_job()
            )
        assert not world.queue.nudges
