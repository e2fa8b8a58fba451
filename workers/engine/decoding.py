"""Reads messages of any producer, and never raises: whatever lies in a queue becomes a message that a worker can take.

What is missing and not needed is filled in, what is of another type or not needed is left out, and of what cannot be
read only its id is left, with the reason. Nothing is ever unpickled. Source of the form: dramatiq.Message.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dramatiq
from dramatiq.common import current_millis

from pipelines import strict_json

#: Bytes of the longest message that is read: the largest job that HTTP takes, and room for what is around it.
LONGEST = 33 * 2**20
#: Longest delay that a message may ask for, in ms: a year. What asks for more took another unit for milliseconds.
LONGEST_DELAY_MS = 366 * 86_400_000

#: Options of a message that are kept, all of them our own: how often it met something unforeseen, why it is no job, and
#: the actor that it was for.
TRIES, PROBLEM, ASKED = "onboarding_tries", "onboarding_problem", "onboarding_actor"
#: Why a message is no job, as far as that can be seen without looking at the job.
UNREADABLE, MALFORMED, DOUBLED, TOO_LONG, TOO_LATE = (
    *("unreadable_message", "malformed_message", "doubled_field", "message_too_long", "delay_too_long"),
)

#: A time that is farther away than any, in ms.
_FAR_MS = 2**63

#: What a name of an actor looks like. What does not may be anything, a customer's name too, and is not repeated.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
#: What an id of a message looks like.
_ID = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A message as a worker can take it, and what it says of time, in ms by its producer's clock."""

    message: dramatiq.Message[Any]
    #: When it may be taken; 0: now, also where what it says is no time.
    due_ms: float = 0.0
    #: When it was sent; 0: it does not say.
    sent_ms: float = 0.0


def decoded(queue: str, id_: bytes, data: bytes | None) -> Decoded:
    """Read the message that has this id in a queue; None: it is longer than LONGEST."""
    fields = None if data is None else _fields(data)
    if fields is None:
        problem = TOO_LONG if data is None else UNREADABLE
        return Decoded(_message(queue, id_, {}, (), {}, {PROBLEM: problem}))
    args, kwargs, options = (fields.get(name) for name in ("args", "kwargs", "options"))
    options = options if isinstance(options, dict) else {}
    kept = _options(options)
    if not (isinstance(args, list | None) and isinstance(kwargs, dict | None)):
        kept[PROBLEM] = MALFORMED
    elif any(isinstance(one, dict) for one in args or ()) and _is_doubled(data or b""):
        kept[PROBLEM] = DOUBLED
    args, kwargs = (args if isinstance(args, list) else []), (kwargs if isinstance(kwargs, dict) else {})
    message = _message(queue, id_, fields, tuple(args), kwargs, kept)
    return Decoded(message, _number(options.get("eta")), _number(fields.get("message_timestamp")))


def refused(message: dramatiq.Message[Any], problem: str) -> dramatiq.Message[Any]:
    """Return a message that says why it is no job."""
    return message.copy(options={PROBLEM: problem})


def named(text: object) -> str:
    """Return a text that looks like a name, as it is; '' for anything else."""
    return text if isinstance(text, str) and _NAME.fullmatch(text) else ""


def _fields(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):  # no UTF-8, no JSON, a number of thousands of digits, nested without end
        return None
    return found if isinstance(found, dict) else None


def _is_doubled(data: bytes) -> bool:
    """Return whether a message holds an object that names something twice, as every other door refuses it."""
    try:
        strict_json.parse(data)
    except strict_json.StrictJsonError as error:
        return error.code == DOUBLED
    return False


def _number(value: object) -> float:
    """Return a number as it is, as far as one can be written; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return 0.0
    return float(max(-_FAR_MS, min(value, _FAR_MS)))


def _options(found: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what our own copies of a message carry on, and only as they write it."""
    kept: dict[str, Any] = {}
    if type(found.get(TRIES)) is int:
        kept[TRIES] = found[TRIES]
    if found.get(PROBLEM) in (UNREADABLE, MALFORMED, DOUBLED, TOO_LONG, TOO_LATE):
        kept[PROBLEM] = found[PROBLEM]
    if named(found.get(ASKED)):
        kept[ASKED] = found[ASKED]
    return kept


def _message(
    queue: str,
    id_: bytes,
    fields: Mapping[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> dramatiq.Message[Any]:
    actor, own, sent_ms = fields.get("actor_name"), fields.get("message_id"), _number(fields.get("message_timestamp"))
    return dramatiq.Message(
        queue_name=queue,
        actor_name=actor if isinstance(actor, str) else "",
        args=args,
        kwargs=kwargs,
        options={**options, "redis_message_id": id_},
        message_id=own if isinstance(own, str) and _ID.fullmatch(own) else id_.decode(errors="replace"),
        message_timestamp=int(sent_ms) or current_millis(),
    )
