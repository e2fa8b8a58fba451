"""The broker: Dramatiq's, without what we do not use, and with a wake-up and a script of its own.

Nudges may be lost or doubled; nothing of Dramatiq's retries, delays or dead letters matters for them
(ops/docs/decisions/0001). Jobs come as messages too, from any producer, and must not be lost (decision 0018): each
message is read without trust, and what was sent with a delay waits in Redis and not in a worker's memory. So there are
no delay queues, whose consumers cost polls all day, and no default middleware.

The wake-up: Dramatiq polls an idle queue with a growing pause; a nudge sent by this very process ends the pause at
once, so that a hop from one step to the next costs milliseconds while an idle worker costs next to nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any
from uuid import uuid4

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed

from workers.engine.decoding import ASKED, LONGEST, LONGEST_DELAY_MS, TOO_LATE, Decoded, decoded, named, refused
from workers.ledger import LANES, Nudge, connect

#: Part of what Dramatiq would fetch ahead, twice the threads, that a lane may have in this process, in hand or in
#: memory. What is fetched finds a thread at once, so that no bulk work waits in memory before an interactive nudge, and
#: a quarter of the threads is free of the lanes behind it.
SHARES = {"interactive": 1.0, "bulk": 5 / 16, "reidentify": 1 / 16}

#: First pause of an idle consumer, in seconds, and the longest: what a nudge of another process waits at most.
IDLE_MIN_S = 0.005
IDLE_MAX_S = 0.1

#: What a consumer asks of a queue, in our own script (queues.lua); Dramatiq's does the rest.
_OURS = frozenset({"fetch", "ack", "nack", "requeue", "postpone"})

#: The queues that are read, and those beside them in which producers leave what is to come later.
QUEUES = (*LANES, *(f"{lane}.DQ" for lane in LANES))


class _BellConsumer(_RedisConsumer):
    """Dramatiq's consumer, whose pause between two polls of an empty queue ends when the bell rings."""

    def __init__(self, broker: NudgeBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        self._bell = broker.bell(queue_name)
        self._idle_s = IDLE_MIN_S

    @property
    def outstanding_message_count(self) -> int:
        """Count what this process has of the queue, in hand or in memory."""
        return len(self.broker.held[self.queue_name]) + len(self.message_cache)

    def __next__(self) -> Any:
        self._bell.clear()
        try:
            message = self._next()
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        if message is None:
            full = self.outstanding_message_count >= self.prefetch  # then there is work at hand: look again soon
            rung = self._bell.wait(IDLE_MIN_S if full else self._idle_s)
            self._idle_s = IDLE_MIN_S if full or rung else min(self._idle_s * 2, IDLE_MAX_S)
        return message

    def _next(self) -> Any:
        if not self.message_cache and (room := self.prefetch - self.outstanding_message_count) > 0:
            self.message_cache = self._fetched(room)
        if not self.message_cache:
            return None
        message = self.message_cache.pop(0)
        self.broker.held[self.queue_name].add(message.options["redis_message_id"])
        return dramatiq.MessageProxy(message)

    def _fetched(self, count: int) -> list[dramatiq.Message[Any]]:
        """Fetch messages; those whose time has not come go back, to wait in Redis."""
        now_ms, found = self.broker.fetch(self.queue_name, count)
        taken, later = [], []
        for one in found:
            if one.due_ms - now_ms > LONGEST_DELAY_MS:
                taken.append(refused(one.message, TOO_LATE))
            elif one.due_ms > now_ms:
                later += [one.message.options["redis_message_id"], int(one.due_ms)]
            else:
                taken.append(one.message)
        if later:
            self.broker.do_postpone(self.queue_name, *later)
        return [self.broker.decided(message) for message in taken]

    def close(self) -> None:
        """Give back what was fetched and nobody has in hand."""
        messages, self.message_cache = self.message_cache, []
        with contextlib.suppress(redis.RedisError):  # the porter brings it back
            self.requeue(messages)  # type: ignore[no-untyped-call]


class NudgeBroker(RedisBroker):
    """A Redis broker with one queue a lane."""

    def __init__(self, url: str, middleware: Sequence[dramatiq.Middleware] = ()) -> None:
        """Connect to the broker's database; nothing is sent yet."""
        no_maintenance = 0  # it runs KEYS; the porter does its work
        super().__init__(  # type: ignore[no-untyped-call]
            client=connect(url), middleware=list(middleware), maintenance_chance=no_maintenance
        )
        #: Names what is fetched in this process. Another id than that which Dramatiq's script gives a sign of life, by
        #: the clock of this machine.
        self.worker_id = str(uuid4())
        #: By lane, the ids of the messages that this process has in hand.
        self.held: dict[str, set[bytes]] = {lane: set() for lane in LANES}
        #: Names the actor that is to take a message; None: the one that the message names.
        self.decide: Callable[[dramatiq.Message[Any]], str] | None = None
        self._bells: dict[str, threading.Event] = {}
        self._queues = self.client.register_script((files("workers.engine") / "queues.lua").read_bytes())
        for lane in LANES:
            self.declare_queue(lane)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Make the consumer of a lane's queue, with the lane's share of the process."""
        return super().consume(queue_name, max(1, int(prefetch * SHARES[queue_name])), timeout)

    @property
    def consumer_class(self) -> type[_BellConsumer]:
        """The consumer with the bell."""
        return _BellConsumer

    def decided(self, message: dramatiq.Message[Any]) -> dramatiq.Message[Any]:
        """Give a message to the actor that is to take it."""
        actor = message.actor_name if self.decide is None else self.decide(message)
        if actor == message.actor_name:
            return message
        asked = {ASKED: message.actor_name} if named(message.actor_name) else {}
        return message.copy(actor_name=actor, options={**asked, **message.options})

    def fetch(self, queue_name: str, count: int) -> tuple[float, list[Decoded]]:
        """Fetch up to so many messages of a queue; answers the server's time, in ms, and them."""
        now_ms, *found = self.do_fetch(queue_name, count, LONGEST)
        pairs = zip(found[::2], found[1::2], strict=True)
        return float(now_ms), [decoded(queue_name, id_, data) for id_, data in pairs]

    def call(self, operation: str, *arguments: Any) -> Any:
        """Run an operation of queues.lua."""
        return self._queues(keys=[self.namespace], args=[operation, *arguments])

    def _dispatch(self, command: str) -> Callable[..., Any]:
        """Give what does a command of Dramatiq's on a queue: our own script, for what concerns what was fetched."""
        if command not in _OURS:
            dramatiqs: Callable[..., Any] = super()._dispatch(command)  # type: ignore[no-untyped-call]
            return dramatiqs

        def do(queue_name: str, *arguments: Any) -> Any:
            try:
                return self.call(command, queue_name, self.worker_id, *arguments)
            finally:  # what could not be acknowledged comes back
                if command != "fetch":
                    self.held[queue_name].difference_update(arguments)

        return do

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
