"""This process's own clock: for lengths of time between two moments in this process, and for nothing else.

Moments that anything is compared with are the Redis server's (`TIME` in the ledger's script). No wall clock is read in
pipelines/ and workers/: NTP, a person, or a machine that wakes up may set it to anything.
"""

from __future__ import annotations

import time

#: A clock that counts the machine's sleep too, where the system has one (Linux); CLOCK_MONOTONIC stands still then.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic_s() -> float:
    """Return seconds since some moment; never less than before."""
    return time.clock_gettime(_CLOCK)
