"""The porter: brings what nobody would take to where it is taken, in every worker process. Source: decision 0018.

To the end of its queue goes what was sent with a delay, when that is over; what became a dead letter; what a worker had
fetched that died; what this process has fetched and lost sight of; and what no list names. The consumers decide what
becomes of it. Of Dramatiq's maintenance this is the part that matters, without KEYS, and always on time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis
import structlog

from workers.engine.broker import QUEUES, NudgeBroker
from workers.ledger import LANES
from workers.process.background import Background

log = structlog.get_logger()

#: Pause between two turns, in seconds: so much later than it asked for a delayed message may be taken.
LOOK_EVERY_S = 0.5
#: Pause after Redis did not do what it was asked, in seconds.
AWAY_S = 2.0
#: Turns from one search for what workers left behind to the next.
SEARCH_EVERY = 8
#: A worker without a sign of life for this long is dead, in ms: with the search after it half a minute, sixty signs.
DEAD_MS = 30_000
#: Messages of each kind that a turn brings to a queue: some seconds of work at most for those that wait there.
MOST_AT_ONCE = 500
#: Messages of a queue up to which it is looked through for those that no list names.
MOST_LISTED = 10_000
#: Workers of a search: as many as fit into a call.
MOST_WORKERS = 2_000
#: Keys that a page of a search looks at, and the pages of one search; a broker's database has some dozens.
PAGE, PAGES = 5_000, 20


class Porter(Background):
    """Brings messages to where they are taken."""

    def __init__(self, broker: NudgeBroker, dead_ms: int = DEAD_MS) -> None:
        """Take the queues; the thread starts with `start`."""
        super().__init__("porter")
        self._broker = broker
        self._dead_ms = dead_ms
        self._turns = 0
        #: Where the search goes on, and the workers that it has met so far.
        self._cursor = 0
        self._workers: set[bytes] = set()
        #: What this process had fetched and not in hand at the last search, by lane.
        self._unseen: dict[str, set[bytes]] = {}

    def turn(self) -> float:
        """Bring what there is; later while Redis does not answer."""
        try:
            brought = self.run_once()
        except redis.RedisError as error:
            log.warning("porter.interrupted", error=type(error).__name__)
            return AWAY_S
        if brought:
            log.info("messages.brought", count=brought)
        return LOOK_EVERY_S

    def run_once(self) -> int:
        """Bring what there is now; answers how many messages."""
        brought = int(self._broker.call("bring", self._broker.worker_id, MOST_AT_ONCE, *LANES))
        if self._turns % SEARCH_EVERY == 0:
            brought += self.search() + self._lost_sight_of()
        self._turns += 1
        return brought

    def search(self) -> int:
        """Bring back what workers that died had fetched, and what no list names; answers how many messages."""
        for _ in range(PAGES):
            self._cursor, found = self._page()
            self._workers |= found
            if self._cursor == 0:
                break
        workers = sorted(self._workers)[:MOST_WORKERS]
        brought = int(self._broker.call("recover", self._dead_ms, MOST_LISTED, len(QUEUES), *QUEUES, *workers))
        if self._cursor == 0:  # all keys were seen: who has fetched nothing is known
            self._broker.call("forget", self._dead_ms, *workers)
            self._workers.clear()
        return brought

    def _page(self) -> tuple[int, set[bytes]]:
        """Look at some keys; answers where to go on, and the workers whose sets are among them."""
        prefix = f"{self._broker.namespace}:__acks__."
        answer: Any = self._broker.client.scan(self._cursor, match=f"{prefix}*", count=PAGE)
        cursor, keys = answer
        return int(cursor), {key.removeprefix(prefix.encode()).partition(b".")[0] for key in keys}

    def _lost_sight_of(self) -> int:
        """Put back what this process has fetched, and had not in hand now and at the last search."""
        brought = 0
        for lane, lost in self._not_in_hand():
            if again := lost & self._unseen.get(lane, set()):
                brought += int(self._broker.do_requeue(lane, *again))
            self._unseen[lane] = lost - again
        return brought

    def _not_in_hand(self) -> Iterator[tuple[str, set[bytes]]]:
        broker = self._broker
        for lane in LANES:
            fetched: Any = broker.client.smembers(f"{broker.namespace}:__acks__.{broker.worker_id}.{lane}")
            yield lane, set(fetched) - broker.held[lane]
