"""What a read answers for a spell instead of what it should: another status, another value, less or something unknown.

The effect of a request never changes here: only reads are spoiled.
"""

from collections.abc import Callable
from typing import Any

from ops.sandbox.wire.answers import Answer, RefusalError, answer_json

#: Another JSON value in the answer's place.
VALUES: dict[str, object] = {"empty_list": [], "null": None, "empty_object": {}}
#: A status, or a code, that no document names.
UNKNOWN = "Unheardof"
#: Without the first of these that it has, an object has lost what it is read for.
MEMBERS = ("items", "status", "missing", "id")
#: Lists of objects that an answer may have.
LISTS = ("items", "missing", "issues")


def odd(answer: Answer, kind: str, refused: Callable[[RefusalError], Answer]) -> Answer:
    """Return the odd answer of a kind, or the true one where it cannot be spoiled so."""
    if kind.isdecimal():
        return refused(RefusalError(int(kind), "not available for this customer"))
    if kind in VALUES:
        return answer_json(200, VALUES[kind])
    value = answer.json() if answer.status == 200 else None
    if value is None:
        return answer
    objects = value if isinstance(value, list) else [value]
    inner = [one for whole in objects for name in LISTS for one in whole.get(name) or ()]
    match kind:
        case "missing_member":
            _lose(objects)
        case "missing_in_items":
            _lose(inner)
        case _:
            _rename([*objects, *inner])
    return answer_json(200, value)


def _lose(objects: list[dict[str, Any]]) -> None:
    """Take away the member that matters most."""
    for one in objects:
        one.pop(next((name for name in MEMBERS if name in one), ""), None)


def _rename(objects: list[dict[str, Any]]) -> None:
    """Put a status or a code that nobody knows."""
    for one in objects:
        one.update((name, UNKNOWN) for name in ("status", "code") if name in one)
