"""Messages of every form that a producer may leave in a queue, with what should become of each."""

from __future__ import annotations

import json
import pickle
import time
from typing import Any
from uuid import uuid4

from dramatiq.encoder import PickleEncoder

from tests.world import a_job
from workers.intake.messages import ACTOR


def a_message(key: str = "odd", **changes: Any) -> dict[str, Any]:
    """A message with a job in it, as Dramatiq writes it."""
    return {
        "queue_name": "interactive",
        "actor_name": ACTOR,
        "args": [a_job(key)],
        "kwargs": {},
        "options": {"redis_message_id": str(uuid4())},
        "message_id": str(uuid4()),
        "message_timestamp": int(time.time() * 1000),
        **changes,
    }


def written(value: Any) -> bytes:
    """As JSON, and where that goes, with the job's secrets in it."""
    return json.dumps(value).encode()


def forms(key: str) -> dict[str, tuple[bytes, str | None]]:
    """Forms of one message with a job of this key -> the code of its refusal; None: it is a job and taken."""

    def odd(**changes: Any) -> bytes:
        return written(a_message(key, **changes))

    def without(*names: str) -> bytes:
        return written({name: value for name, value in a_message(key).items() if name not in names})

    return {
        # what cannot be read
        "pickle": (PickleEncoder().encode(a_message(key)), "unreadable_message"),
        "pickle of an object": (pickle.dumps(ValueError("Ada Example")), "unreadable_message"),
        "no UTF-8": (odd().replace(b"Ada", b"\xff\xfe"), "unreadable_message"),
        "UTF-16": (odd().decode().encode("utf-16"), "unreadable_message"),
        "half of it": (odd()[:100], "unreadable_message"),
        "nothing": (b"", "unreadable_message"),
        "a list": (written([a_message()]), "unreadable_message"),
        "a text": (written(json.dumps(a_message())), "unreadable_message"),
        "null": (b"null", "unreadable_message"),
        "nested without end": (b'{"args":' + b"[" * 100_000, "unreadable_message"),
        "a number without end": (b'{"message_timestamp":' + b"9" * 10_000 + b"}", "unreadable_message"),
        # what is missing, and not needed
        "no options": (without("options"), None),
        "no named arguments": (without("kwargs"), None),
        "no id": (without("message_id"), None),
        "no date": (without("message_timestamp"), None),
        "no queue": (without("queue_name"), None),
        "the actor and the job alone": (written({"actor_name": ACTOR, "args": [a_job(key)]}), None),
        "more than there is": (odd(priority=3, headers={"a": 1}), None),
        # what is of another type
        "options are a list": (odd(options=[1]), None),
        "options are null": (odd(options=None), None),
        "named arguments are null": (odd(kwargs=None), None),
        "the id is a list": (odd(message_id=[1]), None),
        "the id is a number": (odd(message_id=7), None),
        "the id is long": (odd(message_id="x" * 10_000), None),
        "the date is a text": (odd(message_timestamp="yesterday"), None),
        "the date is no number": (
            b'{"message_timestamp":NaN,' + odd()[1:].replace(b'"message_ti', b'"x'),
            None,
        ),
        "the id in Redis is another": (odd(options={"redis_message_id": "other"}), None),
        "the id in Redis is a list": (odd(options={"redis_message_id": []}), None),
        "the tries are a text": (odd(options={"onboarding_tries": "x"}), None),
        "an exception is thrown away": (odd(options={"throws": "x", "pipe_target": 3}), None),
        "it says another queue": (odd(queue_name="default"), None),
        "the queue is a list": (odd(queue_name=["interactive"]), None),
        "arguments are an object": (odd(args=a_job(key)), "malformed_message"),
        "arguments are a text": (odd(args="Ada Example"), "malformed_message"),
        "named arguments are a list": (odd(kwargs=[1]), "malformed_message"),
        "no arguments": (without("args"), "malformed_message"),
        "the job is named": (odd(args=[], kwargs={"job": a_job(key)}), "malformed_message"),
        # who it is for
        "no actor": (without("actor_name"), "unknown_actor"),
        "the actor is a number": (odd(actor_name=7), "unknown_actor"),
        "the actor is a list": (odd(actor_name=[ACTOR]), "unknown_actor"),
        "an actor of others": (odd(actor_name="send_mail"), "unknown_actor"),
        "a customer for an actor": (odd(actor_name="Ada Example"), "unknown_actor"),
        "a job for a step": (odd(actor_name="create_customer"), "unknown_actor"),
        "a nudge with a text": (odd(actor_name="refresh", args=[key, "1"]), "unknown_actor"),
        "a nudge without a key": (odd(actor_name="refresh", args=["\ud800", 1]), "unknown_actor"),
        "for the actor of the unknown": (odd(actor_name="unknown_actor"), "unknown_actor"),
        # when it may be taken
        "taken at no time": (odd(options={"eta": None}), None),
        "taken at a text": (odd(options={"eta": "tomorrow"}), None),
        "taken at the number of a text": (odd(options={"eta": "99999999999999"}), None),
        "taken at yes": (odd(options={"eta": True}), None),
        "taken before": (odd(options={"eta": 1.5}), None),
        "taken at the end of time": (b'{"options":{"eta":Infinity},' + without("options")[1:], "delay_too_long"),
        "taken in nanoseconds": (odd(options={"eta": time.time_ns()}), "delay_too_long"),
    }


FORMS = forms("odd")
