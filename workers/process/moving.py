"""Moves the due times of records to a new policy, in batches; goes on where another process ended.

Whoever changes a policy lets it run to the end; the thread in each worker process is for what that left undone.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from workers.ledger import Ledger, Read
from workers.process.background import Background

log = structlog.get_logger()

#: Records whose due time is moved at once: some 20 ms in which Redis does nothing else.
BATCH = 500
#: Whoever moves due times and says nothing for so long has lost that to another process, in ms.
MOVE_LEASE_MS = 30_000
#: Pause between two questions whether there is something to move, in seconds.
IDLE_S = 10.0
#: Pause between two batches, in seconds: the ledger has other things to do.
BUSY_S = 0.05
#: Where a walk begins, and where it has ended.
BEGINNING, END = "-", "."


class PolicyChangedError(Exception):
    """Somebody else has changed the policy meanwhile: look at it again, then decide."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the due times are: records looked at, and whether all are through. `wait_s`: another one is at it."""

    count: int
    done: bool
    wait_s: float = 0.0


class DueMover(ABC):
    """Walks the records that a kind of policy concerns."""

    #: Kind of the policy: the name of its hash in the ledger.
    kind: str

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger whose records are moved."""
        self._ledger = ledger
        self._token = secrets.token_urlsafe(9)

    @abstractmethod
    def version(self) -> int:
        """Read the policy in force, and answer its version; 0: there never was one."""

    @abstractmethod
    def batch(self, place: str) -> tuple[str, Sequence[Read]]:
        """Read the records that come after a place; answers the place after them."""

    def due(self, read: Read) -> tuple[str, int, int] | None:  # noqa: ARG002 -- what a kind says of a record
        """Say when a record is due by the policy, as key, version and ms, where that is not when it is due anyway."""
        return None

    def move(self, reads: Sequence[Read]) -> None:
        """Move the due times of these records."""
        self._ledger.call("due", *_flat(map(self.due, reads)))

    def run_once(self) -> Moved:
        """Move a batch if that is to be done and nobody else is at it."""
        version = self.version()
        if version == 0:
            return Moved(0, done=True)
        answer = self._move(version, "", 0)
        if answer[0] == b"wait":
            return Moved(0, done=False, wait_s=int(answer[1]) / 1000)
        if answer[0] != b"place":
            return Moved(0, done=answer[0] == b"done")
        before = int(answer[2] or 0)
        place, reads = self.batch(answer[1].decode())
        self.move(reads)
        self._move(version, place, before + len(reads))
        return Moved(before + len(reads), done=place == END)

    def run_through(self) -> Moved:
        """Move all there is, unless somebody else is at it."""
        moved = self.run_once()
        while not moved.done and not moved.wait_s:
            moved = self.run_once()
        return moved

    def _move(self, version: int, place: str, count: int) -> Any:
        return self._ledger.call("move", self.kind, self._token, MOVE_LEASE_MS, version, place, count)


class Moving(Background):
    """Moves what there is to move, a batch of each kind in turn."""

    def __init__(self, *movers: DueMover) -> None:
        """Take what moves, a kind each."""
        super().__init__("mover")
        self._movers = movers

    def turn(self) -> float:
        """Move a batch of each kind, if there is one to move."""
        try:
            found = [mover.run_once() for mover in self._movers]
        except redis.RedisError as error:
            log.warning("mover.interrupted", error=type(error).__name__)
            return IDLE_S
        return IDLE_S if all(moved.done or moved.wait_s for moved in found) else BUSY_S


def walked(page: Sequence[tuple[bytes, float]], since: str, passed: str) -> str:
    """Give the place after a page of a sorted set: the last score, and how many of it are through."""
    last = page[-1][1]
    again = sum(score == last for _, score in page) + (int(passed) if since == repr(last) else 0)
    return f"{last!r} {again}"


def _flat(triples: Any) -> list[Any]:
    return [part for triple in triples if triple is not None for part in triple]
