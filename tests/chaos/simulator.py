"""A seeded fault simulator: the real steps, runner, ledger and pulse on a real Redis, and Iron in process.

A schedule is drawn from its seed: before and after each call to Redis and to Iron, between commit and send and between
send and acknowledgement the worker may die, or its clock jump by seconds to days, forward and back; an answer may be
lost, a call repeated; Redis may be read-only, full, slow or away; Iron may answer 429, 5xx or rubbish; a nudge may be
dropped, doubled or late; a worker may sleep past its lease and go on, with its clock going or standing still; a request
may stay on the wire. Webhooks are dropped, doubled and late. Every message may be lost, or the ledger's last seconds,
after which upstream sends its jobs again. Meanwhile people correct what they handed in, cancel, restart and try again.

The same seed gives the same story, to the millisecond: the script's clock is the schedule's. What must hold is asserted
on Iron's own ledger: no effect twice, nobody stranded; and no commit of a worker whose claim is another's by then.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import httpx
import redis

from ops.gateway.webhooks.envelope import read_envelope
from ops.sandbox import Switches
from ops.sandbox.lab.drawing import draw
from pipelines.errors import IronError, StaleClaimError
from pipelines.iron import Iron
from pipelines.model import Policy, Record
from tests.second_iron import SecondIron
from tests.world import API_KEY, BASE_URL, PLENTY, World, a_job
from workers.ledger import LANES, PREFIX, Claim, Created, Ledger, Nudge, lua_parts
from workers.ledger.scripts import Scripts
from workers.reconcile.sweep import Sweep

#: The ledger loses so many seconds at most. Source: design section 9.
ROLLED_BACK_S = 5.0
#: When each story begins, in ms since the epoch.
BEGINNING_MS = 1_800_000_000_000
#: By how many seconds a worker's clock may jump: NTP steps, a machine that wakes up, somebody who sets it.
JUMPS_S = ((1, 5), (5, 20), (20, 60), (60, 3_600), (3_600, 3 * 86_400))
#: Pause from one sweep to the next, in seconds.
SWEEP_S = 21_600.0

#: Phase in which a customer ends, by tag of the sandbox, with the identifications it takes.
ENDS = {
    "approve": ("active", 1),
    "slow": ("active", 1),
    "decline": ("declined", 1),
    "decline-final": ("declined", 1),
    "expire": ("on_hold", 3),
    "manual": ("identification_pending", 1),
    "stepup": ("active", 1),
    "newterms": ("active", 1),
    "suspend": ("active", 1),
}

#: What people may do to such a customer at any moment, beside the acts of ANYBODY.
ACTS = {"approve": ("cancel",), "slow": ("cancel",), "newterms": ("cancel",), "decline": ("restart",)}
ANYBODY = ("correct", "correct", "retry")
#: How long after its beginning somebody does something to an onboarding, in seconds at most.
SOON_S = (2.0, 60.0, 600.0, 7_200.0)

#: Documents that are signed by the end, where it is not the usual two.
SIGNINGS = {"newterms": 3}


class DeathError(BaseException):
    """The worker process is gone; nothing in it runs on."""


#: By what the usual odds of a fault are multiplied in a schedule.
TIMES = (0, 1, 2)


@dataclass
class Odds:
    """How likely each fault is at each opportunity."""

    death: float = 0.03
    lost_answer: float = 0.06
    fault: float = 0.04
    limited: float = 0.02
    late_request: float = 0.03
    repeated: float = 0.02
    jumped: float = 0.01
    renewed: float = 0.1
    dropped: float = 0.05
    doubled: float = 0.05
    asleep: float = 0.03
    late_nudge: float = 0.03
    redis: float = 0.01
    wiped: float = 0.01
    rolled_back: float = 0.01
    webhook_dropped: float = 0.3
    webhook_doubled: float = 0.1
    webhook_late: float = 0.2

    @classmethod
    def drawn(cls, draw: random.Random) -> Odds:
        """Draw how likely each fault is in this schedule: not at all, as usual, or twice that.

        Where some kinds of fault are missing the others come together in ways in which they otherwise hardly do.
        """
        usual = cls()
        return cls(**{one.name: getattr(usual, one.name) * draw.choice(TIMES) for one in fields(cls)})


#: What Redis may answer instead of doing what it was asked to.
REFUSALS = (
    lambda: redis.exceptions.ReadOnlyError("READONLY You can't write against a read only replica."),
    lambda: redis.exceptions.OutOfMemoryError("OOM command not allowed when used memory > 'maxmemory'."),
    lambda: redis.exceptions.TimeoutError("Timeout reading from socket"),
    lambda: redis.exceptions.ConnectionError("Connection refused"),
)


def on_time_of(ledger: Ledger, now_ms: Callable[[], int]) -> None:
    """Let a ledger's script take this time for the server's."""
    parts, clock = lua_parts(), "redis.call('TIME')"
    assert clock in parts["base"]
    parts["base"] = parts["base"].replace(clock, "{0, 0}")
    ledger._scripts = Scripts(ledger.client, parts, PREFIX)
    ledger._shift_ms = ledger.now_ms = now_ms  # type: ignore[method-assign]


class ShakyLedger(Ledger):
    """A ledger whose calls may be refused, lost on the way there or back, or sent twice. It watches for zombies."""

    schedule: Schedule

    def create(self, records: Sequence[tuple[Record, Mapping[str, bytes]]]) -> list[Created]:
        with self.schedule.shaken(dies=False):  # upstream submits until it has an answer
            return super().create(records)

    def commit(self, claim: Claim, *arguments: Any, **more: Any) -> Nudge | None:
        with self.watched(claim):
            return super().commit(claim, *arguments, **more)

    def commit_and_claim(self, claim: Claim, *arguments: Any, **more: Any) -> Claim | None:
        with self.watched(claim):
            return super().commit_and_claim(claim, *arguments, **more)

    @contextlib.contextmanager
    def watched(self, claim: Claim) -> Iterator[None]:
        """Note whether a commit's claim is another's by now, and whether it is accepted."""
        raw: Any = self.client.hget(f"{PREFIX}claims", claim.record.key)
        stale = raw is None or raw.split(b" ")[0].decode() != claim.fence
        self.schedule.stale += stale
        yield
        self.schedule.accepted += stale

    def _call(self, operation: str, *arguments: Any, pipeline: Any = None, **more: Any) -> Any:
        chance = self.schedule
        if pipeline is not None or operation == "read":
            return super()._call(operation, *arguments, pipeline=pipeline, **more)
        with chance.shaken():
            if chance.happens(chance.odds.redis):
                super()._call(operation, *arguments, **more)
            return super()._call(operation, *arguments, **more)


class Schedule(httpx.BaseTransport):
    """The faults of one seed, and the transport and queue that suffer them."""

    def __init__(
        self, client: redis.Redis, seed: int, odds: Odds | None = None, second: Callable[..., SecondIron] | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.odds = odds or Odds.drawn(self.random)
        dice = random.Random(seed)
        drawn = draw(Switches(), dice).model_dump()
        self.world = World(client, policy=Policy(round_spacing_s=60), dice=dice, second=second, **drawn)
        #: What upstream wants now, by idempotency key.
        self.jobs: dict[str, dict[str, Any]] = {}
        #: What people are going to do, and when.
        self.acts: list[tuple[float, str, str]] = []
        self.past: tuple[dict[bytes, tuple[bytes, int]], float] | None = None
        self.jumped_s = 0.0
        self.shaky = ShakyLedger(client, PLENTY, clock=lambda: self.now() + self.jumped_s)
        self.shaky.schedule = self
        world = self.world
        world.shift_ms = BEGINNING_MS
        on_time_of(world.ledger, lambda: world.shift_ms)
        on_time_of(self.shaky, lambda: world.shift_ms)
        world.leases._ledger = world.pulse._ledger = world.door._ledger = self.shaky
        self.inner = self.world.transport
        self.world.transport = self
        self.hooks: list[tuple[float, bytes]] = []
        self.late: list[tuple[float, httpx.Request]] = []
        self.sleepers: list[tuple[float, Callable[[], object]]] = []
        self.faults = 0
        #: How often a worker's clock jumped.
        self.jumps = 0
        #: Commits tried by workers whose claim was another's by then, and those of them that were accepted.
        self.stale = self.accepted = 0
        #: How often the ledger lost its last seconds.
        self.rollbacks = 0
        #: What people did, and when.
        self.done: list[tuple[float, str, str]] = []
        self.quiet = False
        self.worker = replace(self.world.worker(send=self.send), ledger=self.shaky, sleep=world.advance)
        self.sweep = Sweep(self.shaky, Iron(self, BASE_URL, API_KEY), SWEEP_S, sleep=world.advance)
        self.world.door._send = self.send
        self.world.run_step = self.run_step

    def happens(self, odds: float) -> bool:
        """Draw whether a fault happens here."""
        drawn = self.random.random() < odds and not self.quiet
        self.faults += drawn
        return drawn

    @contextlib.contextmanager
    def shaken(self, *, dies: bool = True) -> Iterator[None]:
        """Let a call to Redis fail before or after it did what it was asked to, or the worker die there."""
        self.jump()
        if self.happens(self.odds.redis):
            raise self.refusal()
        if dies and self.happens(self.odds.redis):
            raise DeathError
        yield
        self.jump()
        if self.happens(self.odds.redis):
            raise redis.exceptions.ConnectionError("Connection reset by peer")
        if dies and self.happens(self.odds.redis):
            raise DeathError

    def jump(self) -> None:
        """Let the worker's clock jump, forward or back."""
        if self.happens(self.odds.jumped):
            self.jumps += 1
            self.jumped_s += self.random.choice([-1, 1]) * self.random.uniform(*self.random.choice(JUMPS_S))

    def refusal(self) -> redis.RedisError:
        """Draw what Redis answers instead of doing what it was asked to."""
        return self.random.choice(REFUSALS)()

    # --- the worker ----------------------------------------------------------------------------------------------

    def run_step(self, step: str, key: str, version: int) -> None:
        if self.happens(self.odds.asleep):
            self.fall_asleep(step, key, version)
            return
        with self.trouble():
            self.worker.run(step, key, version)

    def fall_asleep(self, step: str, key: str, version: int) -> None:
        """Claim now, and go on long after the lease: stopped, or on a frozen machine whose clock stood still too."""
        claim = None
        with self.trouble():
            claim = self.shaky.claim(key, version, step)
        if not isinstance(claim, Claim):
            return
        held, asleep_s = claim, self.random.uniform(1, 60)
        stood_still = self.random.random() < 0.5

        def wake_up() -> None:
            if stood_still:
                held.started += asleep_s
                held.holds_until += asleep_s
            with self.trouble(), contextlib.suppress(StaleClaimError):
                self.worker._run_claimed(held)

        self.sleepers.append((self.now() + asleep_s, wake_up))

    @contextlib.contextmanager
    def trouble(self) -> Iterator[None]:
        """Let a worker die, or Redis fail it, without the whole simulation ending."""
        try:
            yield
        except DeathError:
            self.world.leases._claims.clear()
        except redis.RedisError:
            pass

    def send(self, nudge: Nudge) -> None:
        self.jump()
        if self.happens(self.odds.death):
            raise DeathError
        if self.happens(self.odds.dropped):
            return
        if self.happens(self.odds.redis):
            raise redis.exceptions.ConnectionError("the broker is away")
        if self.happens(self.odds.late_nudge):
            self.sleepers.append((self.now() + self.random.uniform(1, 30), lambda: self.world.queue.send(nudge)))
            return
        self.world.queue.send(nudge)
        if self.happens(self.odds.doubled):
            self.world.queue.send(nudge)
        if self.happens(self.odds.death):
            raise DeathError

    # --- the way to Iron -----------------------------------------------------------------------------------------

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.jump()
        if self.happens(self.odds.renewed):
            with contextlib.suppress(redis.RedisError):  # the leases' own thread takes it as it comes
                self.world.leases.run_once()
        answer = self.answer(request)
        self.jump()
        return answer

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Let the request get lost or late, be refused, executed, repeated, and its answer get lost."""
        if self.happens(self.odds.death):
            raise DeathError
        if self.happens(self.odds.late_request):
            self.late.append((self.now() + self.random.uniform(0, 60), request))
            if self.random.random() < 0.5:
                raise DeathError
            raise httpx.ReadTimeout("the request is still on the wire")
        if self.happens(self.odds.limited):
            return httpx.Response(429, headers=self.random.choice([{}, {"Retry-After": "2"}, self.retry_at()]))
        if self.happens(self.odds.fault):
            return self.faulted(request)
        if self.happens(self.odds.repeated):
            self.inner.handle_request(request)
        response = self.inner.handle_request(request)
        if self.happens(self.odds.lost_answer):
            raise httpx.ReadError("connection reset")
        if self.happens(self.odds.death):
            raise DeathError
        return response

    def faulted(self, request: httpx.Request) -> httpx.Response:
        """Answer with a fault, before or after the effect, or with rubbish after it."""
        kind = self.random.choice(["before", "after", "rubbish"])
        if kind != "before":
            self.inner.handle_request(request)
        if kind == "rubbish":
            return httpx.Response(200, content=b"<html>")
        return httpx.Response(self.random.choice([500, 502, 503]))

    def retry_at(self) -> dict[str, str]:
        """Give the headers of a 429 that names a time by Iron's clock, with or without saying what that clock shows."""
        sent = datetime.fromtimestamp(self.world.clock.wall(), UTC)
        headers = {"Retry-After": format_datetime(sent + timedelta(seconds=2), usegmt=True)}
        return headers | ({"Date": format_datetime(sent, usegmt=True)} if self.random.random() < 0.5 else {})

    # --- time ----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.world.shift_ms / 1000

    def hear(self) -> None:
        """Take Iron's webhooks: some never arrive, some twice, some late and out of order."""
        world = self.world
        for body in world.take_webhooks():
            if self.happens(self.odds.webhook_dropped):
                continue
            copies = 2 if self.happens(self.odds.webhook_doubled) else 1
            for _ in range(copies):
                delay_s = self.random.uniform(0, 7200) if self.happens(self.odds.webhook_late) else 0.0
                self.hooks.append((self.now() + delay_s, body))
        arrived = [body for at, body in self.hooks if at <= self.now()]
        self.hooks = [(at, body) for at, body in self.hooks if at > self.now()]
        for envelope in map(read_envelope, arrived):
            if envelope.customer_id is None:
                continue
            with self.trouble():
                if nudge := self.shaky.wake(envelope.customer_id, envelope.hint):
                    world.queue.send(nudge)

    def sweep_a_page(self) -> None:
        """Let the sweep read a page, if it is time and nothing goes wrong."""
        with self.trouble(), contextlib.suppress(IronError):
            self.sweep.run_once()

    def forget(self) -> None:
        """Lose every message, or the ledger's last seconds; upstream then sends its jobs again."""
        if self.happens(self.odds.wiped):
            self.world.queue.nudges.clear()
        if self.past is None or self.now() - self.past[1] > ROLLED_BACK_S:
            if self.random.random() < self.odds.rolled_back and not self.quiet:
                self.past = {key: self.kept(key) for key in self.world.client.scan_iter()}, self.now()
            return
        if self.happens(0.2):
            client, (kept, then) = self.world.client, self.past
            client.flushdb()
            for key, (value, ttl_ms) in kept.items():
                if value:  # what expired between its listing and its copy is gone
                    client.restore(key, max(ttl_ms, 0), value)
            self.past = None
            self.rollbacks += 1
            self.submit_all()
            self.acts += [one for one in self.done if one[0] >= then]  # who sees that it is forgotten does it again

    def kept(self, key: bytes) -> tuple[bytes, int]:
        """Copy a key of the ledger."""
        return bytes(self.world.client.dump(key) or b""), int(self.world.client.pttl(key))

    def submit_all(self) -> None:
        """Hand over every job as upstream wants it now."""
        for key in self.jobs:
            self.hand_over(key)

    def hand_over(self, key: str) -> None:
        """Submit a job, and correct what the ledger has where that is something else; again until it is done."""
        job, door, done = self.jobs[key], self.world.door, False
        while not done:
            with self.trouble():
                answer = door.submit(job)
                if answer.status == "idempotency_key_reused" and (nudge := door.correct(job, by="a test")):
                    self.send(nudge)
                done = True

    def meddle(self) -> None:
        """Let people do what they are about to: correct, cancel and restart, try again."""
        now = self.now()
        due, self.acts = [one for one in self.acts if one[0] <= now], [one for one in self.acts if one[0] > now]
        for _, key, act in due:
            self.done.append((now, key, act))
            if act == "correct":
                customer = self.jobs[key]["customer"]
                self.jobs[key] = {**self.jobs[key], "customer": {**customer, "name": f"{customer['name']} again"}}
                self.hand_over(key)
                continue
            self.world.act(key, act)
            if act == "cancel":
                self.acts.append((now + self.random.uniform(0, 600), key, "restart"))

    def let_late_things_happen(self) -> None:
        """Requests still on the wire arrive, sleepers wake."""
        now = self.now()
        arriving, self.late = [r for at, r in self.late if at <= now], [(at, r) for at, r in self.late if at > now]
        for request in arriving:
            self.inner.handle_request(request)
        waking, self.sleepers = (
            [w for at, w in self.sleepers if at <= now],
            [(at, w) for at, w in self.sleepers if at > now],
        )
        for wake_up in waking:
            wake_up()

    def signings(self, tag: str, phase: str) -> set[int]:
        """How many signatures such a customer makes: some ask for them before the identification, or again after it."""
        usual = SIGNINGS.get(tag, 2 if phase == "active" else 0)
        if self.world.second or self.world.sandbox.switches.order == "identify_first":
            return {usual}
        return {usual, max(usual, 2)}

    def run(self, *, until: Callable[[], bool], seconds: float) -> None:
        """Let time pass, a few seconds at most at once, until the condition holds."""
        world, end = self.world, self.now() + seconds
        while True:
            self.let_late_things_happen()
            self.hear()
            self.sweep_a_page()
            self.meddle()
            self.forget()
            again_s = 0.0
            with self.trouble():
                again_s = world.pulse.run_once().again_s or 0.0
            world.drain()
            if until():
                return
            if self.now() > end:
                raise AssertionError(f"stuck: {[(r.phase.value, r.step, r.problem) for r in world.records()]}")
            due_s = world.next_due_s()
            due_s = again_s if due_s == 0 else due_s  # what is due may have to wait for Iron's budget
            act_s = min((max(0.0, at - self.now()) for at, *_ in self.acts), default=None)
            soon = [5.0 if self.late or self.sleepers else 3600.0, due_s, world.next_event_s(), act_s]
            world.advance(min(wait_s for wait_s in soon if wait_s is not None) + 0.002)


def play(client: redis.Redis, seed: int, odds: Odds | None = None, *, second: bool = False) -> Schedule:
    """Play the schedule of a seed to its end and check what it did on Iron; `second`: on the second stand-in for it."""
    random.seed(seed)  # the jitter of pauses, too, is the seed's
    schedule = Schedule(client, seed, odds, partial(SecondIron, seed=seed) if second else None)
    world, dice = schedule.world, schedule.random
    tags = {f"s{seed}-{number}": dice.choice([*ENDS, "approve", "approve"]) for number in range(dice.randint(1, 4))}
    schedule.jobs = {key: a_job(key, tag, lane=dice.choice(LANES[:2])) for key, tag in tags.items()}
    schedule.acts = [
        (schedule.now() + dice.uniform(0, dice.choice(SOON_S)), key, dice.choice([*ANYBODY, *ACTS.get(tag, ())]))
        for key, tag in tags.items()
        for _ in range(dice.choice([0, 0, 1, 1, 2]))
    ]
    schedule.submit_all()

    def truly(record: Record) -> bool:
        """Say whether the record's phase, and the status it rests on, are what Iron's own books say now."""
        if record.phase == "on_hold" and record.identification_status != "Expired":
            return False  # held for a status unheard of: it has not arrived
        status = world.status_of(record.key)
        return status == record.customer_status == ("Active" if record.phase == "active" else "IdentificationRequired")

    def arrived() -> bool:
        done = True
        for key, tag in tags.items():
            record = world.record(key)
            open_ = [signing for signing in record.signings if not signing.consented_ms]
            if record.phase == "signings_required" and open_ and not world.read(key).acts_waiting:
                world.consent(key)
            done = done and record.phase == ENDS[tag][0] and not record.effect and truly(record)
            done = done and not world.read(key).acts_waiting
        return done and not schedule.acts and world.next_event_s() is None

    schedule.run(until=lambda: arrived() and not schedule.late and not schedule.sleepers, seconds=20 * 86_400)
    assert schedule.accepted == 0, (seed, "a stale commit was accepted")
    for key, tag in tags.items():
        phase, identifications = ENDS[tag]
        seen = world.effects()[key]
        more = sum(one[1:] == (key, "restart") for one in schedule.done) if phase == "declined" else 0
        assert identifications <= seen["identifications"] <= identifications + more, (seed, key, tag, seen)
        assert seen["customers"] == 1, (seed, key, tag, seen)
        assert seen["signings"] in schedule.signings(tag, phase), (seed, key, tag, seen)
    return schedule
