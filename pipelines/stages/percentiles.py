"""What the counted lengths of stages say: percentiles from buckets of a logarithmic scale. Pure.

The scale has four buckets for each doubling, from one second: bucket b holds what is longer than 2^((b-1)/4) and at
most 2^(b/4) seconds, bucket 0 all up to a second. A percentile is the upper end of the bucket in which its rank is, so
that it is never too short and at most a fifth too long. Source of the buckets: workers/ledger/lua/ages.lua.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

PER_DOUBLING = 4
#: The percentiles that are shown, in hundredths.
SHOWN = (50, 90, 99)


def seconds_of(bucket: int) -> float:
    """Give the upper end of a bucket, in seconds: three digits of it."""
    return float(f"{2 ** (bucket / PER_DOUBLING):.3g}")


#: The same of every bucket that there may be, since a summary asks for many.
_SECONDS = tuple(seconds_of(bucket) for bucket in range(128))


def counts_of(packed: bytes) -> tuple[int, ...]:
    """Read the counts of a stage, bucket by bucket, as the ledger's script writes them: four bytes each."""
    return struct.unpack(f"<{len(packed) // 4}I", packed)


def shown(counts: Sequence[int]) -> dict[str, Any] | None:
    """Write what a window holds of a stage: how many ended, and how long they took, in seconds; None for nothing.

    A percentile is the length that so many hundredths of all do not exceed: the nearest rank.
    """
    sums = list(accumulate(counts))
    if not sums or not sums[-1]:
        return None
    ranks = ((hundredths, -(-sums[-1] * hundredths // 100)) for hundredths in SHOWN)
    return {"count": sums[-1], **{f"p{hundredths}_s": _SECONDS[bisect_left(sums, rank)] for hundredths, rank in ranks}}


def length_in_words(seconds: float) -> str:
    """Write a length of time for people, in the largest unit of which there are two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
