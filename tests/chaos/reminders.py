"""Races between a reminder and what makes it needless, in schedules drawn from a seed.

    python -m tests.chaos.reminders [schedules] [seed]

One customer waits, and a reminder is about to be due. Before and after each call to Iron and each commit anything may
happen: the customer finishes at Iron, whose webhook comes at once, late or never; agrees to the documents here; an
operator cancels; another worker takes the same nudge, or the lease runs out and it goes on as if nothing had
been; a worker dies. What must hold: no reminder once it was told here that the need is gone, none by a read that could
have shown it, none twice for one due time, none sooner after the last than the policy says.

What happens at Iron between a read and its commit, and of which nobody told us, nobody can know: it is counted.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis

from ops.gateway.webhooks.envelope import read_envelope
from ops.local.embedded import EmbeddedRedis
from pipelines.lifecycle import Phase
from pipelines.reminders import ReminderPolicy, Rhythm, next_due
from pipelines.reminders.policy import HOUR_MS
from tests.world import World
from workers.events.stream import EventStream
from workers.ledger import connect
from workers.logs import configure_logs
from workers.reminders.policy_store import in_force, proposed, store

RHYTHM = Rhythm(2 * HOUR_MS, HOUR_MS, 3)
POLICY = ReminderPolicy(enabled=True, needs=dict.fromkeys(("complete_identification", "sign_document"), RHYTHM))
KEY = "k-1"
#: A worker that sleeps between its decision and its commit tells so late at most, in ms: the next one keeps its time.
SLOW_MS = 30_000
#: After so many schedules a line says how far it is.
EACH = 500


class DeathError(BaseException):
    """The worker process is gone; nothing in it runs on."""


class Schedule(httpx.BaseTransport):
    """One customer, several workers, one Iron, and what happens meanwhile."""

    def __init__(self, client: redis.Redis, dice: random.Random, counts: Counter[str]) -> None:
        self.dice, self.counts = dice, counts
        self.world = World(client)
        self.world.shift_ms = round(self.world.clock.now() * 1000) - self.world.ledger.now_ms()
        self.broken: list[str] = []
        #: The needs of which somebody told us that they are gone, and those that are gone at Iron.
        self.told_us: set[str] = set()
        self.gone_at_iron: set[str] = set()
        #: Of each worker under way, which needs were gone when it read the customer last.
        self.reads: list[set[str]] = []
        self.webhooks: list[bytes] = []
        self.reminders: list[tuple[str, tuple[str, ...], int]] = []
        self.cursor = "0-0"
        store(self.world.ledger, proposed(self.world.ledger, POLICY, by="a test"))
        self._wait_for_the_customer()
        self.inner, self.call = self.world.transport, self.world.ledger._call
        self.world.transport = self
        self.world.ledger.clock = self.world.clock.now
        self.world.ledger._call = self._watched  # type: ignore[method-assign]

    def _wait_for_the_customer(self) -> None:
        world = self.world
        world.submit(KEY, tag="manual")
        world.run_until(KEY, Phase.IDENTIFICATION_PENDING, seconds=60)
        if self.dice.random() < 0.4:
            world.move(KEY, "approve")
            world.run(until=lambda: bool(world.record(KEY).signings), seconds=600)
        world.take_webhooks()

    # --- where something may happen --------------------------------------------------------------------------------

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile()
        response = self.inner.handle_request(request)
        if self.reads and request.method == "GET" and request.url.path.count("/") == 3:
            self.reads[-1] = set(self.gone_at_iron)
        self.meanwhile()
        return response

    def _watched(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Call the ledger's script; around a commit something may happen, and what it tells is looked at."""
        if operation not in ("commit", "onward"):
            return self.call(operation, *arguments, **options)
        self.meanwhile()
        told_us, read = set(self.told_us), self.reads[-1]
        answer = self.call(operation, *arguments, **options)
        self.counts["withheld"] += b"withheld" in (answer[0], answer[0][0] if isinstance(answer[0], list) else b"")
        self._look_at_events(told_us, read)
        self.meanwhile()
        return answer

    def _look_at_events(self, told_us: set[str], read: set[str]) -> None:
        for event in EventStream(self.world.ledger).after(self.cursor):
            self.cursor = event.id
            if event.name != "reminder_due":
                continue
            need = event.about[0]
            self.counts["reminders"] += 1
            self.counts["gone at Iron since the read, of which nobody told us"] += need in self.gone_at_iron - read
            if need in told_us:
                self.broken.append("told after we were told that the need is gone")
            if need in read:
                self.broken.append("told by a read that came after the need was gone")
            self.reminders.append((event.name, event.about, self.world.ledger.now_ms()))

    def meanwhile(self) -> None:
        """Perhaps let something happen, and the worker in hand die."""
        while self.dice.random() < 0.15:
            self._anything()()
        if self.reads and self.dice.random() < 0.03:
            self.counts["crashes"] += 1
            raise DeathError

    def _anything(self) -> Callable[[], None]:
        return self.dice.choices(
            (self.finish, self.hear, self.cancel, self.pass_time, self.work, self.outlive), (4, 3, 1, 4, 3, 1)
        )[0]

    # --- what happens ----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The customer does what is needed: agrees here, or finishes at Iron."""
        if self.world.record(KEY).phase is Phase.SIGNINGS_REQUIRED:
            if any(not one.consented_ms for one in self.world.record(KEY).signings):
                self.world.consent(KEY)
                self.told_us.add("sign_document")
        elif not self.gone_at_iron and self.world.record(KEY).phase is Phase.IDENTIFICATION_PENDING:
            self.world.move(KEY, self.dice.choice(("process", "approve")))
            self.gone_at_iron.add("complete_identification")
            self.webhooks += self.world.take_webhooks()

    def hear(self) -> None:
        """One of Iron's webhooks comes; some never do."""
        if not self.webhooks:
            return
        envelope = read_envelope(self.webhooks.pop(self.dice.randrange(len(self.webhooks))))
        if self.dice.random() < 0.3 or envelope.customer_id is None:
            return
        if nudge := self.world.ledger.wake(str(envelope.customer_id), envelope.hint):
            self.world.queue.send(nudge)
        self.told_us |= self.gone_at_iron

    def cancel(self) -> None:
        """An operator ends it."""
        if self.dice.random() < 0.3:
            self.world.act(KEY, "cancel", reason="a test")
            self.told_us |= {"complete_identification", "sign_document"}

    def pass_time(self) -> None:
        """A moment passes."""
        self.world.advance(self.dice.choice((0.05, 0.5, 3.0)))

    def outlive(self) -> None:
        """More than a lease passes: whoever works goes on as if nothing had been."""
        self.world.advance(7.0)

    def work(self) -> None:
        """A worker takes what is due."""
        if len(self.reads) > 2:
            return
        self.world.pulse.run_once()
        if not self.world.queue.nudges:
            return
        nudge = self.world.queue.nudges.popleft()
        if self.dice.random() < 0.2:
            self.world.queue.send(nudge)  # doubled
        self.reads.append(set())
        try:
            self.world.worker().run(nudge.step, nudge.key, nudge.version)
        except DeathError:
            if len(self.reads) > 1:  # only the one that dies dies
                return
        finally:
            self.reads.pop()

    def play(self) -> None:
        """Go on from shortly before the first reminder until some time after the last."""
        world = self.world
        for _ in range(RHYTHM.at_most + 1):
            due = next_due(world.record(KEY), in_force(world.ledger))
            if due is not None and due.at_ms > world.ledger.now_ms():
                world.advance(max(0.0, (due.at_ms - world.ledger.now_ms()) / 1000 - 0.2))
            for _ in range(self.dice.randrange(3, 9)):
                self.dice.choices((self.work, self.pass_time, self._anything()), (5, 4, 1))[0]()
        self._check()

    def _check(self) -> None:
        for (_, one, first_ms), (_, other, then_ms) in zip(self.reminders, self.reminders[1:], strict=False):
            if one == other:
                self.broken.append("told twice for one due time")
            if one[0] == other[0] and then_ms - first_ms < RHYTHM.every_ms - SLOW_MS:
                self.broken.append("told sooner after the last than the policy says")


class Races:
    """Many schedules from one seed."""

    def __init__(self, client: redis.Redis, seed: int) -> None:
        self._client, self._dice = client, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []

    def play(self) -> None:
        """Play one more."""
        self._client.flushdb()
        seed = self._dice.randrange(2**32)
        schedule = Schedule(self._client, random.Random(seed), self.counts)
        schedule.play()
        self.counts["schedules"] += 1
        self.broken += [f"schedule {seed}: {what}" for what in schedule.broken]


def main(schedules: int, seed: int) -> int:
    """Play so many, and print what came of them."""
    configure_logs("json", logging.WARNING)
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        races = Races(connect(server.url_for(0)), seed)
        while races.counts["schedules"] < schedules:
            races.play()
            if races.counts["schedules"] % EACH == 0:
                print(f"{races.counts['schedules']:,} played, {len(races.broken)} broken", flush=True)
    for name, count in sorted(races.counts.items()):
        print(f"{count:9,} {name}")
    print(f"{len(races.broken):9,} broken, in {time.monotonic() - began:.0f} s (seed {seed})")
    print(*races.broken[:20], sep="\n")
    return 1 if races.broken else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1))
