"""Waiting until a record is in a phase: asks the ledger, which costs next to nothing, and never Iron."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ops.cli.exits import CommandError, Status
from pipelines.lifecycle import FINISHED, Phase

if TYPE_CHECKING:
    from workers.ledger import Ledger, Read

#: Pause between two looks, in seconds: short beside any phase that a person could mean.
LOOK_EVERY_S = 0.2


def read(ledger: Ledger, key: str) -> Read:
    """Read a record; the error says when there is none."""
    found = ledger.read(key)
    if found is None:
        raise CommandError(f"There is no customer with the key {key!r}. Check it, or submit the job first.")
    return found


def read_when(ledger: Ledger, key: str, wanted: Phase | None, timeout_s: float) -> tuple[Read, Status]:
    """Read a record as soon as it is in the wanted phase, or as it stands when the time is over; None: as it is now.

    A record that has ended in another phase is not waited for: the status is then FAILED.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = read(ledger, key)
        now = found.record.phase
        if wanted is None or now is wanted:
            return found, Status.DONE
        if now in FINISHED:
            return found, Status.FAILED
        if time.monotonic() >= deadline:
            return found, Status.PENDING
        time.sleep(min(LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))


def told(found: Read, wanted: Phase | None, status: Status, timeout_s: float) -> str | None:
    """Return how a wait ended when it did not end in the wanted phase."""
    if wanted is None or status is Status.DONE:
        return None
    if status is Status.FAILED:
        return f"{found.record.key} ended in the phase {found.record.phase} and will not be {wanted}."
    return f"After {timeout_s:g} s {found.record.key} is still in the phase {found.record.phase}, not {wanted}."
