"""Pauses: how a fleet spreads them, and how a Retry-After header is read. Pure except for the dice."""

from __future__ import annotations

import math
import random
from email.utils import parsedate_to_datetime

#: A pause that somebody else asks for is honoured up to this, in seconds: a slip must not stop us for years.
LONGEST_RETRY_AFTER_S = 3_600.0
#: A pause is drawn from this part of itself up to all of it, so that a fleet does not move in step.
JITTER_FROM = 0.8


def jittered(pause_s: float) -> float:
    """Return a pause that is a little shorter, by chance, in seconds."""
    return pause_s * random.uniform(JITTER_FROM, 1.0)  # noqa: S311 -- spreads load, keeps no secret


def around(pause_s: float) -> float:
    """Return a pause that is a little shorter or longer, by chance, in seconds: for what comes round again."""
    return pause_s * random.uniform(JITTER_FROM, 2 - JITTER_FROM)  # noqa: S311 -- spreads load, keeps no secret


def spread(upto_s: float) -> float:
    """Return a moment within this many seconds, by chance."""
    return random.uniform(0.0, upto_s)  # noqa: S311 -- spreads load, keeps no secret


def retry_after_s(value: str | None, sent: str | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now. Source: RFC 9110, 10.2.3.

    `sent`: the answer's Date header. A date counts from there, by the sender's own clock, and without it for nothing.
    Returns None where there is nothing that can be read.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(sent or "")).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) else None
