"""Cursors: an opaque place in a list, for those filters only with which the list was begun."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Query

from ops.gateway.http.problems import ProblemError
from pipelines.keys import canonical_json, fingerprint

#: Entries of a page unless told, and at most.
PAGE = 50
LONGEST_PAGE = 500

#: No place and no time is as large: whole numbers are exact in a score of Redis below it.
_BEYOND = 2**53

#: Query parameters of every list.
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Entries of a page, at most.")]
Cursor = Annotated[
    str | None, Query(max_length=2048, description="`next_cursor` of the page before; the filters must be the same.")
]


def cursor_of(place: Any, filters: Any) -> str:
    """Write a place, any JSON value, as a cursor."""
    return _written(fingerprint(filters), place)


def place_of(cursor: str | None, filters: Any) -> Any:
    """Read the place back; None: the beginning. Raises ProblemError when the cursor is none of ours."""
    if cursor is None:
        return None
    try:
        made_with, place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        genuine = _written(made_with, place) == cursor
    except (binascii.Error, ValueError, TypeError, RecursionError):
        genuine = False
    if not genuine:
        raise malformed()
    if made_with != fingerprint(filters):
        raise ProblemError("cursor_malformed", "Use the same filters as for the first page, or start without a cursor.")
    return place


def number(found: Any) -> int:
    """Take a number that a cursor held: a place in a list, or milliseconds. Raises ProblemError when it is neither."""
    if not isinstance(found, int) or not 0 <= found < _BEYOND:
        raise malformed()
    return found


def malformed() -> ProblemError:
    """Make the refusal of a cursor that is none of ours."""
    return ProblemError("cursor_malformed", "Start again without a cursor.")


def _written(made_with: str, place: Any) -> str:
    return base64.urlsafe_b64encode(canonical_json([made_with, place])).decode().rstrip("=")
