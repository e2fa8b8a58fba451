"""Lists and counts of records: by phase, by lane, by the ids and addresses under which they are found."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.lanes import BEGUN, LANES, READ_AGAIN, lane_of
from pipelines.lifecycle import Phase
from workers.ledger.ledger import Ledger
from workers.ledger.values import PREFIX, Listed, Read


class Lists:
    """Reads the indexes of the ledger. None of it changes anything."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger whose indexes are read."""
        self._ledger = ledger
        self._client = ledger.client

    def in_phase(self, phase: Phase, *, until_ms: int | None = None, batch: int = 500) -> Iterable[Read]:
        """Read the records of a phase, those longest in it first; `until_ms`: only those in it since before then."""
        upto: Any = "+inf" if until_ms is None else until_ms
        index = f"{PREFIX}phase:{phase.value}"
        since: Any = "-inf"
        passed = (
            0  # of those in the phase since that very millisecond: records come and go meanwhile, so no plain offset
        )
        while page := self._client.zrangebyscore(index, since, upto, passed, batch, withscores=True):
            yield from self._ledger.read_many([key.decode() for key, _ in page])
            last = page[-1][1]
            passed = sum(score == last for _, score in page) + (passed if last == since else 0)
            since = last

    def listed(self, behind: Listed | None, limit: int, phases: Sequence[Phase] = tuple(Phase)) -> list[Listed]:
        """List records of some phases, those longest in their phase first, from behind a place on.

        A record that moves goes to the end of the list, so that none which is there is passed over, whatever moves
        between two calls. Empty: the list has ended.
        """
        since_ms, last = (behind.at, behind.key.encode()) if behind else (0, b"")
        count = limit
        while True:
            with self._client.pipeline(transaction=False) as pipeline:
                for phase in phases:
                    index = f"{PREFIX}phase:{phase.value}"
                    pipeline.zrangebyscore(index, since_ms, "+inf", 0, count, withscores=True)
                pages = pipeline.execute()
            found = [[(int(at), key) for key, at in page if (at, key) > (since_ms, last)] for page in pages]
            if all(len(page) < count or len(left) >= limit for page, left in zip(pages, found, strict=True)):
                merged = heapq.merge(*found)
                return [Listed(at, key.decode()) for at, key in itertools.islice(merged, limit)]
            count *= 2  # so many came in the very millisecond of the place

    def keys_of_customers(self, customer_ids: Sequence[str]) -> list[str | None]:
        """Find the idempotency keys of customers of Iron, in their order."""
        found = self._client.hmget(f"{PREFIX}customer", list(customer_ids)) if customer_ids else []
        return [key.decode() if key else None for key in found]

    def holders(self, external_ids: Sequence[str]) -> list[str | None]:
        """Find the idempotency keys that have these external ids, in their order."""
        found = self._client.hmget(f"{PREFIX}external", list(external_ids)) if external_ids else []
        return [key.decode() if key else None for key in found]

    def keys_of_emails(self, digests: Sequence[bytes]) -> list[str]:
        """Find the idempotency keys of those who have, or once had, an e-mail address with one of these digests."""
        found = self._client.hmget(f"{PREFIX}email", list(digests)) if digests else []
        return list(dict.fromkeys(key.decode() for keys in found if keys for key in keys.split(b"\n")))

    def phases(self) -> dict[Phase, tuple[int, int]]:
        """Count the records of each phase that has any, and say since when (ms) the oldest is in it."""
        with self._client.pipeline(transaction=False) as pipeline:
            for phase in Phase:
                pipeline.zcard(f"{PREFIX}phase:{phase.value}")
                pipeline.zrange(f"{PREFIX}phase:{phase.value}", 0, 0, withscores=True)
            answers = pipeline.execute()
        pairs = zip(Phase, answers[::2], answers[1::2], strict=True)
        return {phase: (count, int(oldest[0][1])) for phase, count, oldest in pairs if count}

    def places(self) -> list[str]:
        """Name the places where records wait: the lanes, and those of imports, which belong to the bulk lane."""
        waiting = self._client.zrange(f"{PREFIX}turns", 0, -1)
        return [*LANES, BEGUN, READ_AGAIN, *(place.decode() for place in waiting)]

    def lanes(self) -> dict[str, dict[str, int]]:
        """Count for each lane what is due now and what is scheduled for later."""
        now_ms, places = self._ledger.now_ms(), self.places()
        with self._client.pipeline(transaction=False) as pipeline:
            for place in places:
                pipeline.zcount(f"{PREFIX}due:{place}", "-inf", now_ms)
                pipeline.zcard(f"{PREFIX}due:{place}")
            answers = pipeline.execute()
        lanes = {lane: {"due": 0, "scheduled": 0} for lane in LANES}
        for place, due, total in zip(places, answers[::2], answers[1::2], strict=True):
            lanes[lane_of(place)]["due"] += due
            lanes[lane_of(place)]["scheduled"] += total - due
        return lanes

    def overdue_s(self, lane: str) -> float:
        """Return for how long, in seconds, the record of a lane that has been due the longest is due; 0: none is."""
        first = self._client.zrange(f"{PREFIX}due:{lane}", 0, 0, withscores=True)
        return max(0.0, (self._ledger.now_ms() - first[0][1]) / 1000) if first else 0.0
