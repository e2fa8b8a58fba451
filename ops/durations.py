"""Durations as people write them."""

from __future__ import annotations

import re

#: Seconds of each unit of a duration.
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration_s(text: str) -> int:
    """Return the seconds of a duration such as 45s, 30m, 12h, 3d or 2w. Raises ValueError with a sentence."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration: write it as 45s, 30m, 12h, 3d or 2w.")
    return int(found[1]) * UNITS[found[2]]
