"""The broker: Dramatiq's, without what we do not use, and with a bell.

Messages are nudges that may be lost or doubled; nothing of Dramatiq's retries, delays or dead letters matters here
(ops/docs/decisions/0001). So there are no delay queues, whose consumers cost polls all day, and no default middleware.
The bell: Dramatiq polls an idle queue with a growing pause; a nudge sent by this very process ends the pause at
once, so
that a hop from one step to the next costs milliseconds while an idle worker costs next to nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import dramatiq
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis

from workers.ledger import LANES, Nudge, connect

#: Part of what Dramatiq would fetch ahead, twice the threads, that a lane may have in this process, in hand or in
#: memory. What is fetched finds a thread at once, so that no bulk work waits in memory before an interactive nudge, and
#: a quarter of the threads is free of the lanes behind it.
SHARES = {"interactive": 1.0, "bulk": 5 / 16, "reidentify": 1 / 16}

#: First pause of an idle consumer, in seconds, and the longest: what a nudge of another process waits at most.
IDLE_MIN_S = 0.005
IDLE_MAX_S = 0.1


class _BellConsumer(_RedisConsumer):
    """Dramatiq's consumer, whose pause between two polls of an empty queue ends when the bell rings."""

    def __init__(self, broker: NudgeBroker, queue_name: str, prefetch: int, timeout: int) -> None:  # noqa: ARG002
        no_pause = 0  # the pause is ours
        super().__init__(broker, queue_name, prefetch, no_pause)  # type: ignore[no-untyped-call]
        self._bell = broker.bell(queue_name)
        self._idle_s = IDLE_MIN_S

    def __next__(self) -> Any:
        self._bell.clear()
        message = super().__next__()  # type: ignore[no-untyped-call]
        if message is None:
            full = self.outstanding_message_count >= self.prefetch  # then there is work at hand: look again soon
            rung = self._bell.wait(IDLE_MIN_S if full else self._idle_s)
            self._idle_s = IDLE_MIN_S if full or rung else min(self._idle_s * 2, IDLE_MAX_S)
        return message


class NudgeBroker(RedisBroker):
    """A Redis broker with one queue a lane."""

    def __init__(self, url: str, middleware: Sequence[dramatiq.Middleware] = ()) -> None:
        """Connect to the broker's database; nothing is sent yet."""
        super().__init__(client=connect(url), middleware=list(middleware))  # type: ignore[no-untyped-call]
        self._bells: dict[str, threading.Event] = {}
        #: Takes messages for actors that were never declared; None: Dramatiq makes dead letters of them, input and all.
        self.fallback: dramatiq.Actor[..., Any] | None = None
        for lane in LANES:
            self.declare_queue(lane)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Make the consumer of a lane's queue, with the lane's share of the process."""
        return super().consume(queue_name, max(1, int(prefetch * SHARES[queue_name])), timeout)

    @property
    def consumer_class(self) -> type[_BellConsumer]:
        """The consumer with the bell."""
        return _BellConsumer

    def get_actor(self, actor_name: str) -> Any:
        """Give the actor of this name, or the one for names that this release does not know."""
        if self.fallback is not None and actor_name not in self.actors:
            return self.fallback
        return super().get_actor(actor_name)

    def bell(self, queue_name: str) -> threading.Event:
        """Give the bell of a queue."""
        return self._bells.setdefault(queue_name, threading.Event())

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without a delay queue beside it."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def send(self, nudge: Nudge) -> None:
        """Put a nudge on the queue of its lane. It may arrive twice or never; the pulse looks after that."""
        self.enqueue(_message(nudge))
        self.bell(nudge.lane).set()

    def send_many(self, nudges: Sequence[Nudge]) -> None:
        """Put nudges on their queues in one round trip, each by the call of Dramatiq's script that `enqueue` makes."""
        with self.client.pipeline(transaction=False) as pipeline:
            for nudge in nudges:
                id_ = str(uuid4())  # in Redis a message goes by an id of its own, since Dramatiq may send it again
                message = _message(nudge).copy(options={"redis_message_id": id_})
                arguments = (
                    *("enqueue", current_millis(), nudge.lane, self.broker_id),
                    *(self.heartbeat_timeout, self.dead_message_ttl, 0, self._max_unpack_size()),  # type: ignore[no-untyped-call]
                )
                self.scripts["dispatch"](
                    args=[*arguments, id_, message.encode()], keys=[self.namespace], client=pipeline
                )
            pipeline.execute()
        for lane in {nudge.lane for nudge in nudges}:
            self.bell(lane).set()

    def depths(self) -> dict[str, int]:
        """Count for each lane the messages that no worker has fetched yet."""
        with self.client.pipeline(transaction=False) as pipeline:
            for lane in LANES:
                pipeline.llen(f"{self.namespace}:{lane}")
            return dict(zip(LANES, pipeline.execute(), strict=True))


def _message(nudge: Nudge) -> dramatiq.Message[Any]:
    return dramatiq.Message(
        queue_name=nudge.lane, actor_name=nudge.step, args=(nudge.key, nudge.version), kwargs={}, options={}
    )
