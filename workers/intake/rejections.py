"""Jobs that came as messages and were refused: the key, the reasons and when; never the input. Few, and for a month."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.identification.fields import Key
from pipelines.job import Problem
from pipelines.keys import canonical_json
from pipelines.times import timestamp
from workers.ledger import PREFIX, Ledger

#: How long a refusal is kept, in ms: a month, for whoever looks seldom.
KEPT_MS = 30 * 86_400_000
#: Refusals that are kept at most: the newest. With all their reasons some megabytes.
AT_MOST = 1_000
#: Reasons of one job that are kept: the first.
REASONS = 20

_KEYS = TypeAdapter[str](Key)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused job. `key` is None where the job had none that is one."""

    id: str
    at_ms: int
    key: str | None
    reasons: tuple[Problem, ...]

    def viewed(self) -> dict[str, Any]:
        """Show it as everybody reads it."""
        return {
            "id": self.id,
            "at": timestamp(self.at_ms),
            "idempotency_key": self.key,
            "reasons": [asdict(reason) for reason in self.reasons],
        }


class Refusals:
    """The refused jobs, one round trip a method."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger that keeps them."""
        self._ledger = ledger
        self._client: Any = ledger.client

    def note(self, id_: str, job: Any, reasons: Sequence[Problem]) -> str | None:
        """Note that a job was refused, once for a message; answers its idempotency key, if it has one."""
        key = _key(job)
        told = {"key": key, "reasons": [asdict(reason) for reason in reasons[:REASONS]]}
        self._ledger.call("refuse", id_, canonical_json(told), KEPT_MS, AT_MOST)
        return key

    def newest(self, limit: int = 100) -> list[Refusal]:
        """Give the newest refusals, the newest first."""
        ids = self._client.zrange(f"{PREFIX}refused", 0, limit - 1, desc=True, withscores=True)
        stored = self._client.hmget(f"{PREFIX}refused_jobs", [id_ for id_, _ in ids]) if ids else []
        pairs = zip(ids, stored, strict=True)
        return [_refusal(id_.decode(), int(at_ms), told) for (id_, at_ms), told in pairs if told]

    def count(self, within_ms: int = KEPT_MS) -> int:
        """Count the refusals of so long, of those that are kept."""
        since_ms = self._ledger.now_ms() - within_ms
        return int(self._client.zcount(f"{PREFIX}refused", since_ms, "+inf"))


def _refusal(id_: str, at_ms: int, stored: bytes) -> Refusal:
    told = json.loads(stored)
    return Refusal(id_, at_ms, told["key"], tuple(Problem(**reason) for reason in told["reasons"]))


def _key(job: Any) -> str | None:
    """Give the idempotency key of what should be a job: only a text that may be one, since it is stored and logged."""
    return as_key(job.get("idempotency_key")) if isinstance(job, dict) else None


def as_key(value: Any) -> str | None:
    """Give a value that may be an idempotency key; None for any other."""
    try:
        return _KEYS.validate_python(value, strict=True)
    except ValidationError:
        return None
