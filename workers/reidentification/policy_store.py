"""Re-identification as the ledger keeps it: the policy in force, moving due times to it, places among a day's starts.

All of it is in the ledger, so that every worker, host and scheduler goes by the same policy and the same counts; days
and hours are by the server's clock. A ledger that loses its last seconds may forget places that were taken in them, so
that a day may then have a few starts more than its cap; nobody is identified twice for it, because the key of an
identification names the one that it follows.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any, Literal

import redis
import structlog

from pipelines.attempt import Ask, Place
from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.reidentification import Doing, InForce, ReidentificationPolicy, plan, restored, stored
from pipelines.reidentification.days import ONE_DAY, day_start
from pipelines.reidentification.policy import TIERS
from workers.ledger import PREFIX, Ledger, Read
from workers.process.background import Background

log = structlog.get_logger()

RULE = f"{PREFIX}reidentification"
LOG = f"{PREFIX}reidentification_log"

#: Records whose due time is moved at once: some 20 ms in which Redis does nothing else.
BATCH = 500
#: A process that moves due times and says nothing for this long has lost that to another process, in ms.
MOVE_LEASE_MS = 30_000
#: Pause between two questions whether there is something to move, in seconds.
IDLE_S = 10.0
#: Pause between two batches, in seconds: the ledger has other things to do.
BUSY_S = 0.05


class PolicyChangedError(Exception):
    """Somebody else has changed the policy meanwhile: look at it again, then decide."""


class Rules:
    """The policy in force, as one process knows it. Each claim says which version that is."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that holds it."""
        self._ledger = ledger
        self._rule = InForce()

    def at(self, version: int) -> InForce:
        """Return the policy of this version, or the next one where it was replaced a moment ago.

        Asks the ledger only when it is another one than before.
        """
        if self._rule.version != version:
            self._rule = in_force(self._ledger)
        return self._rule

    def place(self, ask: Ask) -> Place:
        """Ask for a place among a day's starts."""
        answer = self._ledger.call("place", ask.key, ask.run, ask.day.isoformat(), ask.order_ms, ask.cap)
        name: Literal["granted", "full", "paused", "cancelled"] = answer[0].decode()
        return Place(name, *answer[1:])


def in_force(ledger: Ledger) -> InForce:
    """Read the policy in force; off where none was ever stored."""
    version, policy = ledger.client.hmget(RULE, "version", "policy")
    if version is None:
        return InForce()
    return restored(json.loads(policy), int(version))


def proposed(ledger: Ledger, policy: ReidentificationPolicy, *, by: str) -> InForce:
    """Return the rule that storing this policy now would make, its backlog spread over as many days as it takes."""
    rule = in_force(ledger).changed_to(policy, at_ms=ledger.now_ms(), by=by)
    return rule.spread_over(overdue(ledger, rule, rule.earliest)) if rule.since_ms == rule.at_ms else rule


def overdue(ledger: Ledger, rule: InForce, day: date) -> int:
    """Count those who are active and whose date is before a day."""
    with ledger.client.pipeline(transaction=False) as pipeline:
        for tier, interval in rule.policy.tiers.items():
            after = interval.before(day - ONE_DAY) + ONE_DAY
            pipeline.zcount(f"{PREFIX}identified:{tier}", "-inf", f"({day_start(rule.policy.hours.zone, after)}")
        return sum(pipeline.execute()) if rule.policy.enabled else 0


def store(ledger: Ledger, rule: InForce) -> None:
    """Put a policy in force. Raises PolicyChangedError when another one was stored since it was proposed.

    Nothing that it concerns is moved yet: `move` does that, here or in any worker process.
    """
    written = canonical_json(stored(rule))
    version = ledger.call("policy", secrets.token_urlsafe(12), rule.version, written, durable=True)
    if version != rule.version or ledger.client.hget(RULE, "policy") != written:
        raise PolicyChangedError(PolicyChangedError.__doc__)
    log.info("reidentification.changed", version=rule.version)


def past_policies(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every policy that ever was in force, oldest first: what it said, who stored it, and when."""
    return [json.loads(entry) for entry in ledger.client.lrange(LOG, 0, -1)]


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the due times are: records looked at, and whether all are through. `wait_s`: another one is at it."""

    count: int
    done: bool
    wait_s: float = 0.0


class Mover(Background):
    """Moves the due times of active customers to the policy in force, in batches; goes on where another ended.

    The command that changes the policy lets it run to the end; the thread in each worker process does what is left.
    """

    def __init__(self, ledger: Ledger, far_s: float) -> None:
        """`far_s`: no due time is farther away than this, whatever the policy says."""
        super().__init__("mover")
        self._ledger = ledger
        self._far_ms = int(far_s * 1000)
        self._token = secrets.token_urlsafe(9)

    def run_once(self) -> Moved:
        """Move a batch if that is to be done and nobody else is at it."""
        rule = in_force(self._ledger)
        if rule.version == 0:
            return Moved(0, done=True)
        answer = self._move(rule, "", 0)
        if answer[0] == b"wait":
            return Moved(0, done=False, wait_s=int(answer[1]) / 1000)
        if answer[0] != b"place":
            return Moved(0, done=answer[0] == b"done")
        before = int(answer[2] or 0)
        place, reads = self._batch(answer[1].decode())
        self._ledger.call("due", *_flat(self._due(read, rule) for read in reads))
        self._move(rule, place, before + len(reads))
        return Moved(before + len(reads), done=place == ".")

    def turn(self) -> float:
        """Move a batch, if there is one to move."""
        try:
            moved = self.run_once()
        except redis.RedisError as error:
            log.warning("mover.interrupted", error=type(error).__name__)
            return IDLE_S
        return IDLE_S if moved.done or moved.wait_s else BUSY_S

    def _move(self, rule: InForce, place: str, count: int) -> Any:
        return self._ledger.call("move", self._token, MOVE_LEASE_MS, rule.version, place, count)

    def _batch(self, place: str) -> tuple[str, list[Read]]:
        """Read the active customers who come after a place: "<tier> <score> <how many of it are through>"."""
        tier, since, passed = place.split(" ") if place != "-" else (TIERS[0], "-inf", "0")
        page = self._ledger.client.zrangebyscore(
            f"{PREFIX}identified:{tier}", since, "+inf", int(passed), BATCH, withscores=True
        )
        if page:
            last = page[-1][1]
            again = sum(score == last for _, score in page) + (int(passed) if since == repr(last) else 0)
            return f"{tier} {last!r} {again}", self._ledger.read_many([key.decode() for key, _ in page])
        following = TIERS[TIERS.index(tier) + 1 :]
        return (f"{following[0]} -inf 0" if following else "."), []

    def _due(self, read: Read, rule: InForce) -> tuple[str, int, int] | None:
        """Return when a record is due by the policy in force, where that is not when it is due anyway."""
        record = read.record
        if record.phase is not Phase.ACTIVE or read.due_ms is None:
            return None
        if record.step == "reidentify":  # it waits for a place, by a cap that may be another one now
            return record.key, record.version, read.now_ms
        if record.step != "refresh":
            return None
        found = plan(record, rule, read.now_ms)
        if found is None or found.at_ms is None:
            return None  # an early look finds that there is nothing to do, and says when to look next
        at_ms = min(found.at_ms, read.now_ms + self._far_ms) if found.doing is Doing.WAIT else read.now_ms
        return None if at_ms == read.due_ms else (record.key, record.version, at_ms)


def identified(ledger: Ledger, rule: InForce, until_ms: int) -> Iterator[Read]:
    """Read the active customers whose newest identification began until then, the oldest first within each tier."""
    for tier in rule.policy.tiers:
        keys = ledger.client.zrangebyscore(f"{PREFIX}identified:{tier}", "-inf", until_ms)
        names = iter(keys)
        while page := list(islice(names, BATCH)):
            yield from ledger.read_many([key.decode() for key in page])


def summarised(ledger: Ledger) -> Mapping[str, Any]:
    """Return the figures of re-identification that summaries, metrics and the doctor show."""
    rule = in_force(ledger)
    today = rule.policy.hours.day(ledger.now_ms())
    late_ms = rule.policy.hours.moment(today, 0)
    with ledger.client.pipeline(transaction=False) as pipeline:
        pipeline.zcard(f"{PREFIX}starts:{today}")
        pipeline.zcard(f"{PREFIX}waiting:start")
        pipeline.zcount(f"{PREFIX}waiting:start", "-inf", f"({late_ms}")
        pipeline.hmget(RULE, "moved", "count")
        starts, waiting, late, (moved, count) = pipeline.execute()
    return {
        "enabled": rule.policy.enabled,
        "version": rule.version,
        "max_per_day": rule.policy.max_per_day,
        "started_today": starts,
        "waiting": waiting,
        "past_their_date": late,
        "moving": rule.version > 0 and moved != b".",
        "moved": int(count or 0),
    }


def _flat(triples: Any) -> list[Any]:
    return [part for triple in triples if triple is not None for part in triple]
