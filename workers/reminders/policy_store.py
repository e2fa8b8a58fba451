"""Reminders as the ledger keeps them: the policy in force, moving due times to it, who is reminded next.

How often a customer was reminded is in the record, written by the commit that tells the event: a ledger that loses its
last seconds loses both together.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import chain
from typing import Any

import structlog

from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.model import Record
from pipelines.reminders import Due, ReminderPolicy, RemindersInForce, due_of, restored, stored
from pipelines.reminders.forecast import forecast
from workers.ledger import PREFIX, Ledger, Lists, Read
from workers.process.moving import BATCH, BEGINNING, END, DueMover, PolicyChangedError, walked

log = structlog.get_logger()

KIND = "reminders"
RULE = f"{PREFIX}reminders"
LOG = f"{PREFIX}reminders_log"

#: The phases in which a customer may be waited for, in the order in which they are walked.
PHASES = (Phase.IDENTIFICATION_PENDING, Phase.STEP_UP_REQUIRED, Phase.DECLINED, Phase.SIGNINGS_REQUIRED)


class ReminderRules:
    """The policy in force, as one process knows it. Each claim says which version that is."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that holds it."""
        self._ledger = ledger
        self._rule = RemindersInForce()

    def at(self, version: int) -> RemindersInForce:
        """Give the policy of this version, or the next one where it was replaced a moment ago."""
        if self._rule.version != version:
            self._rule = in_force(self._ledger)
        return self._rule


def in_force(ledger: Ledger) -> RemindersInForce:
    """Read the policy in force; off where none was ever stored."""
    version, policy = ledger.client.hmget(RULE, "version", "policy")
    return RemindersInForce() if version is None else restored(json.loads(policy), int(version))


def proposed(ledger: Ledger, policy: ReminderPolicy, *, by: str) -> RemindersInForce:
    """Give the rule that storing this policy now would make."""
    return RemindersInForce(policy, in_force(ledger).version + 1, ledger.now_ms(), by)


def store(ledger: Ledger, rule: RemindersInForce) -> None:
    """Put a policy in force. Raises PolicyChangedError when another one was stored since it was proposed.

    Nothing that it concerns is moved yet: `ReminderMover` does that, here or in any worker process.
    """
    written = canonical_json(stored(rule))
    version = ledger.call("policy", KIND, secrets.token_urlsafe(12), rule.version, written, durable=True)
    if version != rule.version or ledger.client.hget(RULE, "policy") != written:
        raise PolicyChangedError(PolicyChangedError.__doc__)
    log.info("reminders.changed", version=rule.version)


def past_policies(ledger: Ledger) -> list[dict[str, Any]]:
    """Give every policy that ever was in force, oldest first: what it said, who stored it, and when."""
    return [json.loads(entry) for entry in ledger.client.lrange(LOG, 0, -1)]


def waiting(ledger: Ledger) -> Iterator[Record]:
    """Read everybody who waits for a customer, a phase after the other."""
    lists = Lists(ledger)
    return (read.record for read in chain.from_iterable(lists.in_phase(phase) for phase in PHASES))


def to_be_reminded(ledger: Ledger, rule: RemindersInForce, until_ms: int) -> list[tuple[Record, Due]]:
    """Name who is reminded until then if nothing changes, the next first. Reads everybody who waits for a customer."""
    now_ms = ledger.now_ms()
    found = ((record, due_of(record, rule, now_ms)) for record in waiting(ledger))
    soon = [(record, due) for record, due in found if due is not None and due.at_ms <= until_ms]
    return sorted(soon, key=lambda one: (one[1].at_ms, one[0].key))


def by_day(ledger: Ledger, rule: RemindersInForce, days: int) -> dict[date, Counter[str]]:
    """Count the reminders of the days to come, if nothing changes. Reads everybody who waits for a customer."""
    return forecast(waiting(ledger), rule, ledger.now_ms(), days)


def summarised(ledger: Ledger) -> dict[str, Any]:
    """Give the figures that the command shows."""
    rule = in_force(ledger)
    moved, count = ledger.client.hmget(RULE, "moved", "count")
    return {
        "enabled": rule.policy.enabled,
        "version": rule.version,
        "moving": rule.version > 0 and moved != b".",
        "moved": int(count or 0),
    }


class ReminderMover(DueMover):
    """Moves the due times of those who wait for a customer to the policy in force."""

    kind = KIND

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger whose records are moved."""
        super().__init__(ledger)
        self._rule = RemindersInForce()

    def version(self) -> int:
        """Read the policy in force, and answer its version."""
        self._rule = in_force(self._ledger)
        return self._rule.version

    def batch(self, place: str) -> tuple[str, list[Read]]:
        """Read the records that come after a place: "<phase> <score> <how many of it are through>"."""
        phase, since, passed = place.split(" ") if place != BEGINNING else (PHASES[0].value, "-inf", "0")
        page = self._ledger.client.zrangebyscore(
            f"{PREFIX}phase:{phase}", since, "+inf", int(passed), BATCH, withscores=True
        )
        if page:
            return f"{phase} {walked(page, since, passed)}", self._ledger.read_many([key.decode() for key, _ in page])
        following = PHASES[PHASES.index(Phase(phase)) + 1 :]
        return (f"{following[0].value} -inf 0" if following else END), []

    def due(self, read: Read) -> tuple[str, int, int] | None:
        """Bring forward the next look at a record whose reminder comes before it. A look too early costs a read."""
        record = read.record
        if read.due_ms is None or record.step != "refresh":
            return None
        found = due_of(record, self._rule, read.now_ms)
        sooner = found is not None and found.at_ms < read.due_ms
        return (record.key, record.version, found.at_ms) if found and sooner else None
