"""What the counted lengths of stages say: percentiles from buckets of a logarithmic scale. Pure.

The scale has four buckets for each doubling, from one second: bucket b holds what is longer than 2^((b-1)/4) and at
most 2^(b/4) seconds, bucket 0 all up to a second. A percentile is the upper end of the bucket in which its rank is, so
that it is never too short and at most a fifth too long. Source of the buckets: workers/ledger/lua/ages.lua.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

PER_DOUBLING = 4
#: The percentiles that are shown, in hundredths.
SHOWN = (50, 90, 99)

#: How often each bucket, by stage.
Buckets = Mapping[str, Mapping[int, int]]


def seconds_of(bucket: int) -> float:
    """Give the upper end of a bucket, in seconds: three digits of it."""
    return float(f"{2 ** (bucket / PER_DOUBLING):.3g}")


def percentile(buckets: Mapping[int, int], hundredths: int) -> float:
    """Give the length, in seconds, that so many hundredths of all do not exceed: the nearest rank."""
    rank = math.ceil(sum(buckets.values()) * hundredths / 100)
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            return seconds_of(bucket)
    raise ValueError(hundredths)


def by_stage(counted: Iterable[tuple[str, int]]) -> Buckets:
    """Sort counts of "<phase> <actor> <bucket>" by stage."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for field, count in counted:
        stage, _, bucket = field.rpartition(" ")
        if count > 0:
            found[stage][int(bucket)] = count
    return found


def shown(buckets: Mapping[int, int]) -> dict[str, Any]:
    """Write what a window holds of a stage: how many ended, and how long they took, in seconds."""
    percentiles = {f"p{hundredths}_s": percentile(buckets, hundredths) for hundredths in SHOWN}
    return {"count": sum(buckets.values()), **percentiles}
