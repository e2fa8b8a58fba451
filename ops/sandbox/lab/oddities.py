"""What a read answers for a spell instead of what it should: another status, another value, less or something unknown.

The effect of a request never changes here: only reads are spoiled.
"""

from collections.abc import Callable
from typing import Any

from ops.sandbox.api.answers import Answer, RefusalError, answer_json

#: Another JSON value in the answer's place.
VALUES: dict[str, object] = {"empty_list": [], "null": None, "empty_object": {}}
#: A status that no document names.
UNKNOWN = "Unheardof"
#: Without the first of these that it has, an object has lost what it is read for.
MEMBERS = ("items", "status", "missing", "id")


def odd(answer: Answer, kind: str, refused: Callable[[RefusalError], Answer]) -> Answer:
    """Give the odd answer of a kind, or the true one where it cannot be spoiled so."""
    if kind.isdecimal():
        return refused(RefusalError(int(kind), "not available for this customer"))
    if kind in VALUES:
        return answer_json(200, VALUES[kind])
    if answer.status != 200:
        return answer
    value = answer.json()
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, dict):
            continue
        if kind == "missing_member":
            _lose(one)
        else:
            _rename(one)
    return answer_json(200, value)


def _lose(value: dict[str, Any]) -> None:
    """Take away the member that matters most."""
    for name in MEMBERS:
        if name in value:
            del value[name]
            return


def _rename(value: dict[str, Any]) -> None:
    """Put a status that nobody knows, in the object itself and in the items of a page."""
    for one in [value, *value.get("items", ())]:
        if "status" in one:
            one["status"] = UNKNOWN
