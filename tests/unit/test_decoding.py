"""The decoder of messages: whatever the bytes are, a message comes of them that a worker can take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.odd_messages import a_message, written
from workers.engine.decoding import decoded

SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text()
VALUES = some.recursive(SCALARS, lambda of: some.lists(of) | some.dictionaries(some.text(), of), max_leaves=8)
MEMBERS = some.dictionaries(some.sampled_from(sorted(a_message())), VALUES)


@settings(max_examples=300, deadline=None)
@given(some.binary() | VALUES.map(lambda value: json.dumps(value).encode()) | MEMBERS.map(written))
def test_it_never_raises(data: bytes) -> None:
    """Every part has the type that is relied on, the id is the one in Redis, and it can be sent again."""
    found = decoded("bulk", b"id", data)
    message = found.message
    assert (message.queue_name, message.options["redis_message_id"]) == ("bulk", b"id")
    assert (type(message.args), type(message.kwargs), type(message.actor_name)) == (tuple, dict, str)
    assert (type(message.message_id), type(found.due_ms), type(found.sent_ms)) == (str, float, float)
    assert message.copy(options={"redis_message_id": "another"}).encode()


@pytest.mark.parametrize("given_id", [7, [1], {}, None, "", "x" * 256, "a b", "\n", "ä"])
def test_an_id_that_is_none(given_id: Any) -> None:
    """The id in Redis stands in for one that is no id; a good one is kept."""
    assert decoded("bulk", b"id", written(a_message(message_id=given_id))).message.message_id == "id"
    assert decoded("bulk", b"id", written(a_message(message_id="m-1"))).message.message_id == "m-1"


@pytest.mark.parametrize("tries", ["x", [], None, 1.5, True])
def test_tries_that_are_none(tries: Any) -> None:
    """Of the options only our own are kept, and only as we write them."""
    options = {"onboarding_tries": tries, "throws": "x", "onboarding_problem": ["x"], "onboarding_actor": "Ada Example"}
    message = decoded("bulk", b"id", written(a_message(options=options))).message
    assert message.options == {"redis_message_id": b"id"}
