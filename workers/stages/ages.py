"""How long stages took, and which are over their limit. Counted by the commits themselves: nothing here walks records.

Only a new policy does, once, to begin the clocks of those who are in a stage that now has a limit.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

import redis
import structlog

from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.stages.clock import stage_of, stage_since_ms
from pipelines.stages.percentiles import counts_of, shown
from pipelines.stages.policy import LimitPolicy, LimitsInForce, restored, stored
from workers.ledger import PREFIX, Ledger, Lists, Read
from workers.process.background import Background
from workers.process.moving import BATCH, BEGINNING, END, DueMover, PolicyChangedError, walked

log = structlog.get_logger()

KIND = "limits"
RULE = f"{PREFIX}limits"

#: The windows in which the lengths of stages are counted, as the summary names them.
WINDOWS = ("last_24h", "last_7d", "last_30d")
#: Pause between two looks for what is over its limit, in seconds: an event is late by that at most.
LOOK_EVERY_S = 10.0
#: The same while there was something.
BUSY_S = 0.1


def summarised(ledger: Ledger) -> list[dict[str, Any]]:
    """Say of each stage how long it took in each window, its limit and how many are over it. One round trip."""
    *windows, limits, counts = ledger.call("ages")
    found = [dict(zip(window[::2], window[1::2], strict=True)) for window in windows]
    over = dict(zip(limits[::2], zip(map(int, limits[1::2]), counts, strict=True), strict=True))
    stages = sorted({*over, *(stage for window in found for stage in window)}, key=_order)
    return [_stage(stage, over.get(stage), [window.get(stage, b"") for window in found]) for stage in stages]


def _stage(stage: bytes, over: tuple[int, int] | None, found: Sequence[bytes]) -> dict[str, Any]:
    phase, actor = stage.decode().split(" ")
    return {
        "phase": phase,
        "waiting_on": actor,
        "limit_s": over[0] // 1000 if over else None,
        "overdue": over[1] if over else 0,
        **{name: shown(counts_of(packed)) for name, packed in zip(WINDOWS, found, strict=True)},
    }


_PLACES = {phase.value.encode(): place for place, phase in enumerate(Phase)}


def _order(stage: bytes) -> tuple[int, bytes]:
    phase, _, actor = stage.partition(b" ")
    return _PLACES.get(phase, len(_PLACES)), actor


def in_force(ledger: Ledger) -> LimitsInForce:
    """Read the limits in force; off where none were ever stored."""
    version, policy = ledger.client.hmget(RULE, "version", "policy")
    return LimitsInForce() if version is None else restored(json.loads(policy), int(version))


def proposed(ledger: Ledger, policy: LimitPolicy, *, by: str) -> LimitsInForce:
    """Give the rule that storing this policy now would make."""
    return LimitsInForce(policy, in_force(ledger).version + 1, ledger.now_ms(), by)


def store(ledger: Ledger, rule: LimitsInForce) -> None:
    """Put limits in force. Raises PolicyChangedError when others were stored since they were proposed."""
    written, limits = canonical_json(stored(rule)), rule.policy.limits
    flat = [part for pair in limits.items() for part in pair]
    version = ledger.call("limits", secrets.token_urlsafe(12), rule.version, written, *flat, durable=True)
    if version != rule.version or ledger.client.hget(RULE, "policy") != written:
        raise PolicyChangedError(PolicyChangedError.__doc__)
    log.info("limits.changed", version=rule.version)


def over_now(ledger: Ledger, policy: LimitPolicy) -> dict[str, int]:
    """Count by stage who is over these limits now. Reads those who are in the phase for as long."""
    counts, now_ms = dict.fromkeys(policy.limits, 0), ledger.now_ms()
    for stage, limit_ms in policy.limits.items():
        until_ms = now_ms - limit_ms
        for read in Lists(ledger).in_phase(Phase(stage.split(" ")[0]), until_ms=until_ms):
            counts[stage] += stage_of(read.record) == stage and stage_since_ms(read.record) <= until_ms
    return counts


class ClockMover(DueMover):
    """Begins the clocks of those who are in a stage that a new policy has a limit for."""

    kind = KIND

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger whose records are looked through."""
        super().__init__(ledger)
        self._rule = LimitsInForce()

    def version(self) -> int:
        """Read the policy in force, and answer its version."""
        self._rule = in_force(self._ledger)
        return self._rule.version

    def batch(self, place: str) -> tuple[str, list[Read]]:
        """Read the records that come after a place: "<phase> <score> <how many of it are through>"."""
        phases = sorted({stage.split(" ")[0] for stage in self._rule.policy.limits})
        if not phases:
            return END, []
        phase, since, passed = place.split(" ") if place != BEGINNING else (phases[0], "-inf", "0")
        page = self._ledger.client.zrangebyscore(
            f"{PREFIX}phase:{phase}", since, "+inf", int(passed), BATCH, withscores=True
        )
        if page:
            return f"{phase} {walked(page, since, passed)}", self._ledger.read_many([key.decode() for key, _ in page])
        following = [name for name in phases if name > phase]
        return (f"{following[0]} -inf 0" if following else END), []

    def move(self, reads: Sequence[Read]) -> None:
        """Begin the clocks of these records."""
        limits = self._rule.policy.limits
        found = [read.record for read in reads if stage_of(read.record) in limits]
        given = [(one.key, one.version, stage_of(one), stage_since_ms(one)) for one in found]
        self._ledger.call("timed", *(part for row in given for part in row))


class Overdue(Background):
    """Tells upstream what is over its limit."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger whose script tells."""
        super().__init__("overdue")
        self._ledger = ledger

    def run_once(self) -> int:
        """Tell what is over its limit now; answers how many that were."""
        return int(self._ledger.call("overdue"))

    def turn(self) -> float:
        """Look once."""
        try:
            return BUSY_S if self.run_once() else LOOK_EVERY_S
        except redis.RedisError as error:
            log.warning("overdue.interrupted", error=type(error).__name__)
            return LOOK_EVERY_S
