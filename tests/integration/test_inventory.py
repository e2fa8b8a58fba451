"""What lies in the broker's database and does not move is counted by queue and age, wherever it lies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.gateway import Gateway
from tests.integration.test_metrics import of, scraped
from tests.integration.test_queue import FORMS, a_message, written
from tests.integration.test_round_trips import counted
from tests.world import Run, World
from workers.engine import inventory
from workers.engine.broker import NudgeBroker
from workers.engine.inventory import OTHER
from workers.ledger import LANES, Nudge
from workers.operate.doctor.lying import messages


def old() -> bytes:
    """A message that was sent ten minutes ago."""
    return written(a_message(message_timestamp=int(time.time() * 1000) - 600_000))


class Database:
    """The broker's database, in which anybody may leave anything."""

    def __init__(self, url: str) -> None:
        self.broker = NudgeBroker(url)
        self.client: Any = self.broker.client

    def put(self, queue: str, *messages: bytes, namespace: str = "dramatiq", listed: bool = True) -> None:
        for message in messages:
            id_ = str(uuid4())
            self.client.hset(f"{namespace}:{queue}.msgs", id_, message)
            if listed:
                self.client.rpush(f"{namespace}:{queue}", id_)

    def dead(self, queue: str, message: bytes) -> None:
        self.client.zadd(f"dramatiq:{queue}.XQ", {"x": 1})
        self.client.hset(f"dramatiq:{queue}.XQ.msgs", "x", message)

    def fetched(self, queue: str, message: bytes, *, seen_s: float | None) -> None:
        self.client.hset(f"dramatiq:{queue}.msgs", "x", message)
        self.client.sadd(f"dramatiq:__acks__.somebody.{queue}", "x")
        if seen_s is not None:
            self.client.zadd("dramatiq:__heartbeats__", {"somebody": (time.time() - seen_s) * 1000})

    def later(self, queue: str, due_s: float) -> None:
        self.client.zadd(f"dramatiq:{queue}.later", {"x": (time.time() + due_s) * 1000})
        self.client.hset(f"dramatiq:{queue}.later.msgs", "x", old())


@pytest.fixture
def database(broker_url: str) -> Iterator[Database]:
    """An empty one."""
    made = Database(broker_url)
    yield made
    made.broker.close()
    made.client.close()


#: What is there -> queue, place, count and minutes of what is stuck; None: nothing is.
LYING: dict[str, tuple[Callable[[Database], object], tuple[str, str, int, int | None] | None]] = {
    "nothing": (lambda _: None, None),
    "a nudge": (lambda it: it.broker.send(Nudge("bulk", "refresh", "k-1", 1)), None),
    "jobs that nobody takes": (lambda it: it.put("interactive", old(), old()), ("interactive", "queue", 2, 10)),
    "what nobody can read": (lambda it: it.put("bulk", FORMS["pickle"][0]), ("bulk", "queue", 1, None)),
    "new behind old": (lambda it: it.put("bulk", old(), written(a_message())), ("bulk", "queue", 2, 10)),
    "sent with a delay": (lambda it: it.put("interactive.DQ", old()), ("interactive", "sent_delayed", 1, 10)),
    "delayed": (lambda it: it.later("interactive", 3_600), None),
    "delayed, just over": (lambda it: it.later("interactive", -5), None),
    "delayed, long over": (lambda it: it.later("interactive", -300), ("interactive", "delayed", 1, 10)),
    "dead letters": (lambda it: it.dead("interactive", old()), ("interactive", "dead_letters", 1, 10)),
    "dead letters of others": (lambda it: it.dead("mails", b"\x80"), ("mails", "dead_letters", 1, None)),
    "at a living worker": (lambda it: it.fetched("bulk", old(), seen_s=2), None),
    "at a dead worker": (lambda it: it.fetched("bulk", old(), seen_s=90), ("bulk", "fetched", 1, 10)),
    "at a worker unheard of": (lambda it: it.fetched("bulk", old(), seen_s=None), ("bulk", "fetched", 1, 10)),
    "named by no list": (lambda it: it.put("interactive", old(), listed=False), ("interactive", "unlisted", 1, 10)),
    "a queue that nobody reads": (lambda it: it.put("default", old()), ("default", "queue", 1, 10)),
    "a queue that others read": (lambda it: it.put("mails", written(a_message())), None),
    "delayed on a queue of others": (lambda it: it.put("default.DQ", old()), ("default", "sent_delayed", 1, 10)),
    "another namespace": (
        lambda it: it.put("interactive", old(), namespace="crm"),
        ("crm:interactive", "queue", 1, 10),
    ),
    "a list of another library": (lambda it: it.client.lpush("celery", "a", "b"), ("celery", "foreign", 2, None)),
    "a list without a namespace": (
        lambda it: it.client.lpush("interactive", "{}"),
        ("interactive", "foreign", 1, None),
    ),
    "a stream": (lambda it: it.client.xadd("jobs", {"a": 1}), ("jobs", "foreign", 1, None)),
    "a set among the queues": (lambda it: it.client.sadd("dramatiq:x", 1, 2, 3), ("x", "foreign", 3, None)),
    "a text in a queue's place": (
        lambda it: it.client.set("dramatiq:interactive", "x"),
        ("interactive", "foreign", 1, None),
    ),
    "a name that is an address": (lambda it: it.client.lpush("ada@example.com", "x"), ("?", "foreign", 1, None)),
    "keys of other programs": (lambda it: it.client.mset({f"session:{n}": n for n in range(50)}), None),
}


@pytest.mark.parametrize(("leave", "stuck"), LYING.values(), ids=LYING)
def test_what_does_not_move(
    database: Database, leave: Callable[[Database], object], stuck: tuple[str, str, int, int | None] | None
) -> None:
    """It is found with its place, its number and its age; what moves is not."""
    leave(database)
    before = {key: database.client.dump(key) for key in database.client.scan_iter()}
    found = inventory.look(database.broker)
    told = [
        (one.queue, one.place, one.count, None if one.age_ms is None else round(one.age_ms / 60_000))
        for one in found.stuck()
    ]
    assert told == ([stuck] if stuck else [])
    assert not found.partial
    [check] = messages(found)
    assert check.state == ("warning" if stuck else "ok")
    assert "example.com" not in check.text
    assert {key: database.client.dump(key) for key in database.client.scan_iter()} == before


def test_everything_at_once(database: Database) -> None:
    """However much lies there, it is counted by lane, and all else as other."""
    database.put("interactive", old(), old())
    database.put("default", *[old()] * 7)
    database.dead("bulk", old())
    database.client.lpush("celery", *range(5))
    found = inventory.counted(inventory.look(database.broker).stuck())
    assert {queue: count for queue, (count, _) in found.items()} == {
        **dict.fromkeys(LANES, 0),
        "interactive": 2,
        "bulk": 1,
        OTHER: 12,
    }
    assert {queue: round(age_ms / 60_000) for queue, (_, age_ms) in found.items()} == {
        **dict.fromkeys(LANES, 0),
        "interactive": 10,
        "bulk": 10,
        OTHER: 10,
    }


def test_it_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a database with very many keys a part is looked at, which is said; and huge messages are not read."""
    database.put("default", old().replace(b"Ada", b"A" * 100_000))
    [one] = inventory.look(database.broker).stuck()
    assert (one.count, one.age_ms) == (1, None)
    with database.client.pipeline() as pipeline:
        for number in range(2_000):
            pipeline.set(f"session:{number}", 1)
        pipeline.execute()
    with counted() as sent:
        assert not inventory.look(database.broker).partial
    assert len(sent) <= 8
    monkeypatch.setattr(inventory, "PAGES", 1)
    found = inventory.look(database.broker)
    assert found.partial
    assert "more keys" in [check.text for check in messages(found)][-1]


def test_the_summary(database: Database, run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`onboarding summary` names what does not move, as data and for people; nothing of any message is in it."""
    database.put("default", old())
    database.later("interactive", 3_600)
    assert run("summary", "--json") == 0
    told = json.loads(capsys.readouterr().out)["messages"]
    [stuck] = told["stuck"]
    assert (told["delayed"], told["partial"]) == (1, False)
    assert stuck.pop("oldest_age_s") >= 600
    assert stuck == {"queue": "default", "place": "queue", "count": 1}
    assert run("summary") == 0
    said = capsys.readouterr().err
    assert "1 messages do not move: default (queue)" in said
    assert "1 messages were sent with a delay" in said
    assert "Ada" not in said


def test_the_metrics(database: Database, world: World, broker_url: str) -> None:
    """`/metrics` has a value for each of our queues and for all others, under labels that do not grow."""
    database.put("default", old())
    database.put("mails", old())
    database.dead("bulk", old())
    gateway = Gateway(world, broker_url)
    samples = scraped(gateway)
    assert {labels[0][1] for name, labels in samples if name == "onboarding_messages_stuck"} == {*LANES, OTHER}
    assert of(samples, "onboarding_messages_stuck", queue=OTHER) == 2
    assert of(samples, "onboarding_messages_stuck", queue="bulk") == 1
    assert of(samples, "onboarding_messages_stuck", queue="interactive") == 0
    assert of(samples, "onboarding_messages_stuck_oldest_age_seconds", queue="bulk") >= 600
    assert gateway.get("/v1/summary", role="viewer").json()["messages"]["stuck"][0]["count"] == 1
    gateway.close()


def test_the_doctor(database: Database, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`onboarding doctor` says what lies where, and what to do; ten places and how many there are beside them."""
    for number in range(12):
        database.put(f"q-{number}", old())
    database.dead("interactive", old())
    run("doctor", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [check for check in told if check["check"] == "messages"]
    assert {check["state"] for check in told} == {"warning"}
    assert len(told) == 11
    assert any("start_onboarding" in check["text"] and "q-" in check["text"] for check in told)
    assert "3 further places" in told[-1]["text"]
