"""Delivers the event stream to one endpoint, at least once, and in order per onboarding.

A dispatcher is a thread, in the one worker process that holds the endpoint's lease (workers/events/courier.py). It
reads the stream in pages and has a few deliveries under way at a time, each of another onboarding. What is not accepted
is told apart by what else is accepted meanwhile:

- Others are accepted: the event is the trouble. Its onboarding is *parked*: the event is tried again on the schedule of
  Standard Webhooks, about three days, what follows for the same onboarding waits behind it, and the others go on.
- Nothing is accepted: the endpoint is the trouble. Nothing moves, no attempt is counted against an event, and now and
  then a few events probe it. After three days it is paused, with an alert, until somebody resumes it.

So a slow or dead endpoint delays nobody else, and costs no memory: what waits for it waits in the stream.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import httpx
import redis
import structlog

from pipelines.events import Event, place
from pipelines.pauses import jittered
from workers.events.endpoints import EndpointError, Endpoints, EndpointStatus, Parked
from workers.events.sender import Answer, Sender, Verdict, body_of
from workers.events.stream import EventsGoneError, EventStream
from workers.ledger import Ledger
from workers.process.background import Background
from workers.process.counters import Counters
from workers.secrets.vault import Vault

log = structlog.get_logger()

#: Pauses before the second and each further attempt at one event, in seconds: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and
#: 24 hours, some three days together. Source: standardwebhooks.com, "Deliverability and reliability".
RETRIES_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: After so long without any success an endpoint is paused, in seconds: as long as one event is tried.
GIVE_UP_AFTER_S = sum(RETRIES_S)
#: First pause after an endpoint as a whole failed, in seconds; it doubles with each further time.
PROBE_MIN_S = 5.0
#: Longest pause between two probes of an endpoint, in seconds: what its coming back is noticed within.
PROBE_MAX_S = 600.0

#: Deliveries under way to one endpoint at the same time, each of another onboarding.
IN_FLIGHT = 8
#: Events that probe an endpoint that fails: more than one, so that one bad event does not keep it from being noticed.
PROBES = 3
#: Onboardings refused one after the other, without any success between, after which the endpoint as a whole fails.
MISSES = 8
#: Onboardings that may be parked at a time; beyond it only these are tried and the rest waits in the stream.
MOST_PARKED = 1_000
#: Events of one parked onboarding that are remembered; beyond it the first is given up.
MOST_WAITING = 100
#: Events read ahead of the cursor.
WINDOW = 500

#: Pause of an endpoint's thread while there is nothing for it, in seconds; it asks nobody, it only compares.
IDLE_S = 0.1
#: Pause after Redis did not answer, in seconds.
AWAY_S = 1.0
#: A turn of an endpoint's thread that takes longer hangs, in seconds: the endpoint is let go of, for another process.
TURN_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Item:
    """An event to deliver, and the source it came from; None: it was parked."""

    event: Event
    source: Source | None


class Source:
    """Events to deliver in the stream's order: what is new, or a range that is to be delivered again."""

    def __init__(self, stream: EventStream, cursor: str, last: str | None = None) -> None:
        """Begin after a cursor; `last` is the last one to deliver, None: there is always more."""
        self._stream = stream
        #: The last event of a range; None: there is always more.
        self.last = last
        #: Up to here everything was delivered or parked.
        self.cursor = cursor
        self._read = cursor
        self._ended = False
        #: Events beyond the cursor, with whether each is through.
        self._window: deque[tuple[Event, list[bool]]] = deque()
        self._flags: dict[str, list[bool]] = {}

    @property
    def position(self) -> str:
        """The newest event that was read."""
        return self._read

    @property
    def through(self) -> bool:
        """Whether a range is delivered to its end."""
        return self._ended and not self._window

    def waiting(self) -> Iterator[Event]:
        """Return events that are not through yet, oldest first, reading further pages as long as there is room.

        Raises EventsGoneError when what would come next was dropped.
        """
        number = 0
        while True:
            while number < len(self._window):
                event, flag = self._window[number]
                number += 1
                if not flag[0]:
                    yield event
            if len(self._window) >= WINDOW or not self._read_on():
                return

    def done(self, event: Event) -> None:
        """Note that an event is through, and move the cursor as far as everything before is."""
        self._flags[event.id][0] = True

    def settle(self) -> None:
        """Move the cursor over what is through. Not while `waiting` is being read."""
        while self._window and self._window[0][1][0]:
            event, _ = self._window.popleft()
            del self._flags[event.id]
            self.cursor = event.id

    def skip_to(self, cursor: str) -> None:
        """Go on after a later cursor."""
        self._window.clear()
        self._flags.clear()
        self.cursor = self._read = cursor

    def _read_on(self) -> bool:
        """Read another page; False: there is nothing more now."""
        if self._ended:
            return False
        if self.last is None:
            events = self._stream.after(self._read, WINDOW)
        else:
            events = self._stream.between(f"({self._read}", self.last, WINDOW)
            self._ended = len(events) < WINDOW
        for event in events:
            self._flags[event.id] = [False]
            self._window.append((event, self._flags[event.id]))
            self._read = event.id
        return bool(events)


@dataclass(slots=True)
class Held:
    """An endpoint that this process delivers to, as of an epoch."""

    name: str
    epoch: str


class EndpointLostError(Exception):
    """The endpoint is not ours any more as we know it: somebody changed it, or another process has it."""


class Dispatcher(Background):
    """Delivers to one endpoint. One turn chooses a batch, delivers it, and writes down what came of it."""

    def __init__(
        self,
        ledger: Ledger,
        vault: Vault,
        held: Held,
        standing: EndpointStatus,
        *,
        token: str,
        sender: Sender,
        source: str,
        newest: Callable[[], str | None] = lambda: None,
        counters: Counters | None = None,
    ) -> None:
        """`newest` gives the id of the newest event where somebody knows it; None: ask.

        `counters` counts deliveries by what came of them.
        """
        super().__init__(f"courier of {held.name}")
        self.held = held
        self._ledger = ledger
        self._stream = EventStream(ledger)
        self._endpoints = Endpoints(ledger, vault)
        self._token = token
        self._sender = sender
        self._origin = source
        self._newest = newest
        self._counters = counters or Counters()
        self._pool = ThreadPoolExecutor(IN_FLIGHT, f"courier of {held.name}")
        self._began: float | None = None
        self._endpoint = standing.endpoint
        self._url = httpx.URL(standing.endpoint.url)
        self._progress = standing.progress
        self._parked = dict(standing.parked)
        self._live = Source(self._stream, standing.progress.cursor)
        self._replays = {id_: _replay(self._stream, stored) for id_, stored in standing.replays.items()}
        #: Onboardings refused since anything was accepted.
        self._misses: set[str] = set()
        #: What the ledger holds, to write only what changed.
        self._written = standing.progress.stored()
        self._replayed = dict(standing.replays)
        self._dirty: set[str] = set()

    # --- the thread ----------------------------------------------------------------------------------------------

    def turn(self) -> float:
        """Deliver what there is; a pause after it while there is nothing, or Redis is away."""
        self._began = time.monotonic()
        try:
            return self.run_once()
        except EndpointLostError:
            self.halt()
            return IDLE_S
        except redis.RedisError as error:
            log.warning("courier.interrupted", name=self.held.name, error=type(error).__name__)
            return AWAY_S
        finally:
            self._began = None

    def halt(self) -> None:
        """Begin no further turn; does not wait for the one under way."""
        self._stopped.set()

    def hangs(self) -> bool:
        """Return whether a turn takes longer than any may."""
        began = self._began
        return began is not None and time.monotonic() - began > TURN_LIMIT_S

    def over(self, within_s: float = 0.0) -> bool:
        """Return whether the thread has ended, waiting for it so long."""
        if self._thread.ident is not None:
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Let go of the threads; those that are in a delivery end with it."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- a turn --------------------------------------------------------------------------------------------------

    def run_once(self) -> float:
        """Deliver one batch; answers the pause before the next turn, in seconds."""
        self._commit()  # what a turn before could not write, because Redis was away
        now_ms = self._ledger.now_ms()
        if now_ms < self._progress.next:
            return (self._progress.next - now_ms) / 1000
        if self._quiet(now_ms):
            return IDLE_S
        before = self._live.cursor
        batch = self._choose(now_ms)
        if batch:
            self._attempt(batch)
        for source in self._sources():
            source.settle()
        self._commit()
        if self._progress.paused:
            raise EndpointLostError
        return 0.0 if batch or self._live.cursor != before else IDLE_S

    def _sources(self) -> list[Source]:
        return [self._live, *self._replays.values()]

    def _quiet(self, now_ms: int) -> bool:
        """Return whether there is surely nothing to do, without asking anybody."""
        newest = self._newest()
        idle = newest is not None and not self._replays and place(newest) <= place(self._live.position)
        return idle and self._live.cursor == self._live.position and not self._due(now_ms)

    # --- choosing ------------------------------------------------------------------------------------------------

    def _due(self, now_ms: int) -> list[str]:
        """Return the parked onboardings that may be tried now, the longest waiting first."""
        due = [(parked.next_ms, key) for key, parked in self._parked.items() if parked.next_ms <= now_ms]
        return [key for _, key in sorted(due)]

    def _choose(self, now_ms: int) -> list[Item]:
        """Choose what to deliver now: of each onboarding the first that is not through, parked ones among them."""
        width = PROBES if self._progress.tries else IN_FLIGHT
        chosen = {item.event.key: item for item in self._parked_items(self._due(now_ms)[: max(1, width // 2)])}
        full = len(self._parked) >= MOST_PARKED
        for source in [] if full else self._sources():
            try:
                self._choose_from(source, chosen, width)
            except EventsGoneError as gone:
                log.error("endpoint.events_lost", name=self.held.name)  # noqa: TRY400 -- no exception of ours: an alert
                self._progress = replace(self._progress, lost=gone.oldest)
                source.skip_to(gone.oldest)
        return list(chosen.values())

    def _choose_from(self, source: Source, chosen: dict[str, Item], width: int) -> None:
        for event in source.waiting():
            if len(chosen) >= width:
                return
            if not self._endpoint.wants(event):
                source.done(event)
            elif event.key in self._parked:
                self._park(event.key, replace(self._parked[event.key], ids=(*self._parked[event.key].ids, event.id)))
                source.done(event)
            elif event.key not in chosen:
                chosen[event.key] = Item(event, source)

    def _parked_items(self, keys: Sequence[str]) -> Iterator[Item]:
        """Read the first event of each parked onboarding; one that is not kept any more is given up."""
        if not keys:
            return
        found = self._stream.some([self._parked[key].ids[0] for key in keys])
        for key, event in zip(keys, found, strict=True):
            if event is None:
                self._next_of(key, given_up=True, why="dropped because of its age")
            else:
                yield Item(event, None)

    # --- delivering ----------------------------------------------------------------------------------------------

    def _deliver(self, batch: Sequence[Item]) -> list[Answer]:
        """Deliver a batch at once; the address is looked up and judged again for it."""
        at = self._sender.aim(self._url)
        if isinstance(at, Answer):
            return [at] * len(batch)
        keys = self._endpoints.secrets(self._endpoint)

        def deliver(item: Item) -> Answer:
            return self._sender.send(at, item.event.id, body_of(item.event, self._origin), keys)

        if len(batch) == 1:
            return [deliver(batch[0])]
        return list(self._pool.map(deliver, batch))

    def _attempt(self, batch: Sequence[Item]) -> None:
        try:
            answers = self._deliver(batch)
        except EndpointError as error:  # its secrets cannot be opened
            self._pause(str(error))
        else:
            for answer in answers:
                self._counters.add("deliveries", outcome=answer.verdict.value)
            self._settle(batch, answers, self._ledger.now_ms())

    # --- judging -------------------------------------------------------------------------------------------------

    def _settle(self, batch: Sequence[Item], answers: Sequence[Answer], now_ms: int) -> None:
        """Say what is through, what is parked, and how the endpoint is."""
        pairs = list(zip(batch, answers, strict=True))
        failed = [(item, answer) for item, answer in pairs if answer.verdict is not Verdict.ACCEPTED]
        for item, answer in pairs:
            if answer.verdict is Verdict.ACCEPTED:
                self._accept(item, now_ms)
        if any(answer.verdict is Verdict.GONE for _, answer in failed):
            self._pause("the endpoint answered 410 Gone: it wants no more events")
            return
        alive = len(failed) < len(pairs)
        if alive:
            self._recover(now_ms)
        elif self._progress.tries:
            self._fail(failed, now_ms)
            return
        for item, answer in failed:
            if answer.verdict is Verdict.BUSY or (answer.verdict is Verdict.UNREACHABLE and not alive):
                continue  # no word about this event: it stays where it is
            self._misses.add(item.event.key)
            self._refuse(item, answer, now_ms)
        away = not alive and any(answer.verdict in (Verdict.UNREACHABLE, Verdict.BUSY) for _, answer in failed)
        if away or len(self._misses) >= MISSES:
            self._fail(failed, now_ms)
        elif busy := [answer for _, answer in failed if answer.verdict is Verdict.BUSY]:
            pause_s = max(answer.retry_after_s or PROBE_MIN_S for answer in busy)
            self._progress = replace(self._progress, next=now_ms + int(pause_s * 1000))

    def _accept(self, item: Item, now_ms: int) -> None:
        self._progress = replace(self._progress, delivered=self._progress.delivered + 1, accepted=now_ms)
        if item.source:
            item.source.done(item.event)
        else:
            self._next_of(item.event.key)

    def _recover(self, now_ms: int) -> None:
        """Note that the endpoint accepts: if it did not before, what is parked is tried at once."""
        self._misses.clear()
        if not self._progress.tries:
            return
        log.info("endpoint.recovered", name=self.held.name, count=self._progress.tries)
        self._progress = replace(self._progress, tries=0, failing_since=0, next=0, why="")
        for key, parked in self._parked.items():
            self._park(key, replace(parked, next_ms=min(parked.next_ms, now_ms)))

    def _fail(self, failed: Sequence[tuple[Item, Answer]], now_ms: int) -> None:
        """Note that the endpoint as a whole does not accept: nothing moves, and it is probed later."""
        tries, since = self._progress.tries + 1, self._progress.failing_since or now_ms
        asked_s = max((answer.retry_after_s or 0.0 for _, answer in failed), default=0.0)
        pause_s = max(jittered(min(PROBE_MIN_S * 2.0 ** min(tries - 1, 30), PROBE_MAX_S)), asked_s)
        why = failed[0][1].why
        self._progress = replace(
            self._progress, tries=tries, failing_since=since, next=now_ms + int(pause_s * 1000), why=why
        )
        log.warning("endpoint.failing", name=self.held.name, reason=why, count=tries)
        if now_ms - since >= GIVE_UP_AFTER_S * 1000:
            self._pause(f"it did not accept anything for three days ({why})")

    def _refuse(self, item: Item, answer: Answer, now_ms: int) -> None:
        """Park an event that is the trouble itself: it is tried again on the schedule, and its onboarding waits."""
        key = item.event.key
        if item.source:
            item.source.done(item.event)
            parked = Parked((item.event.id,))
        else:
            parked = self._parked[key]
        tries = parked.tries + 1
        if tries > len(RETRIES_S):
            self._next_of(key, given_up=True, why=answer.why)
            return
        pause_ms = int(jittered(RETRIES_S[tries - 1]) * 1000)
        self._park(key, replace(parked, tries=tries, next_ms=now_ms + pause_ms, why=answer.why))

    def _next_of(self, key: str, *, given_up: bool = False, why: str = "") -> None:
        """Let go of the first event of a parked onboarding; what waits behind it is next, at once."""
        parked = self._parked[key]
        if given_up:
            log.error("event.given_up", name=self.held.name, key=key, reason=why, attempts=parked.tries)
            self._progress = replace(self._progress, given_up=self._progress.given_up + 1)
            self._counters.add("events_given_up")
        if len(parked.ids) > 1:
            self._park(key, Parked(parked.ids[1:]))
        else:
            del self._parked[key]
            self._dirty.add(key)

    def _park(self, key: str, parked: Parked) -> None:
        self._parked[key] = parked
        self._dirty.add(key)
        if len(parked.ids) > MOST_WAITING:
            self._next_of(key, given_up=True, why="too many wait behind it")

    def _pause(self, why: str) -> None:
        log.error("endpoint.paused", name=self.held.name, reason=why)
        self._progress = replace(self._progress, paused=why)

    # --- writing down --------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Write what changed, in one call. Raises EndpointLostError when the endpoint is not ours any more."""
        self._progress = replace(self._progress, cursor=self._live.cursor)
        state = self._progress.stored()
        changed = {name: value for name, value in state.items() if value != self._written[name]}
        replays = {id_: _stored(source) for id_, source in self._replays.items()}
        moved = {id_: value for id_, value in replays.items() if value != self._replayed.get(id_)}
        parked = {key: self._parked[key].stored() if key in self._parked else "" for key in self._dirty}
        if not (changed or moved or parked):
            return
        changes = json.dumps({"state": changed, "parked": parked, "replays": moved}, ensure_ascii=False)
        if not self._ledger.call("courier_commit", self.held.name, self._token, self.held.epoch, changes):
            raise EndpointLostError
        self._written = state
        self._replayed = replays
        self._dirty.clear()
        for id_ in [id_ for id_, value in replays.items() if not value]:
            del self._replays[id_]


def _replay(stream: EventStream, stored: str) -> Source:
    cursor, _, last = stored.partition(" ")
    return Source(stream, cursor, last)


def _stored(source: Source) -> str:
    return "" if source.through else f"{source.cursor} {source.last}"
