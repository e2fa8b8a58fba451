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
from datetime import date
from itertools import islice
from typing import Any, Literal

import structlog

from pipelines.attempt import Ask, Place
from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.reidentification import Doing, InForce, ReidentificationPolicy, plan, restored, stored
from pipelines.reidentification.days import ONE_DAY, day_start
from pipelines.reidentification.policy import TIERS
from workers.ledger import PREFIX, Ledger, Read
from workers.process.moving import BATCH, BEGINNING, END, DueMover, PolicyChangedError, walked

log = structlog.get_logger()

KIND = "reidentification"
RULE = f"{PREFIX}reidentification"
LOG = f"{PREFIX}reidentification_log"


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
    version = ledger.call("policy", KIND, secrets.token_urlsafe(12), rule.version, written, durable=True)
    if version != rule.version or ledger.client.hget(RULE, "policy") != written:
        raise PolicyChangedError(PolicyChangedError.__doc__)
    log.info("reidentification.changed", version=rule.version)


def past_policies(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every policy that ever was in force, oldest first: what it said, who stored it, and when."""
    return [json.loads(entry) for entry in ledger.client.lrange(LOG, 0, -1)]


class Mover(DueMover):
    """Moves the due times of active customers to the policy in force."""

    kind = KIND

    def __init__(self, ledger: Ledger, far_s: float) -> None:
        """`far_s`: no due time is farther away than this, whatever the policy says."""
        super().__init__(ledger)
        self._far_ms = int(far_s * 1000)
        self._rule = InForce()

    def version(self) -> int:
        """Read the policy in force, and answer its version."""
        self._rule = in_force(self._ledger)
        return self._rule.version

    def batch(self, place: str) -> tuple[str, list[Read]]:
        """Read the active customers who come after a place: "<tier> <score> <how many of it are through>"."""
        tier, since, passed = place.split(" ") if place != BEGINNING else (TIERS[0], "-inf", "0")
        page = self._ledger.client.zrangebyscore(
            f"{PREFIX}identified:{tier}", since, "+inf", int(passed), BATCH, withscores=True
        )
        if page:
            return f"{tier} {walked(page, since, passed)}", self._ledger.read_many([key.decode() for key, _ in page])
        following = TIERS[TIERS.index(tier) + 1 :]
        return (f"{following[0]} -inf 0" if following else END), []

    def due(self, read: Read) -> tuple[str, int, int] | None:
        """Return when a record is due by the policy in force, where that is not when it is due anyway."""
        record, rule = read.record, self._rule
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


def summarised(ledger: Ledger, now_ms: int | None = None) -> Mapping[str, Any]:
    """Return the figures of re-identification that summaries, metrics and the doctor show. `now_ms`: if it is known."""
    rule = in_force(ledger)
    today = rule.policy.hours.day(ledger.now_ms() if now_ms is None else now_ms)
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
