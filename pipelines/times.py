"""Times as text. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def timestamp(at_ms: int | None) -> str | None:
    """Write milliseconds since the epoch as RFC 3339 in UTC, to the second."""
    return None if at_ms is None else _second(at_ms // 1000)


@lru_cache(64)  # a record says the same second more than once, and many records of a moment do
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
