"""A whole pipeline in one process for tests, with a clock to turn.

The real steps, runner, ledger and pulse on a real Redis, and the sandbox behind an httpx transport. Only the queue is
a list, and time stands still until a test moves it.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import redis

from ops.gateway.webhooks.envelope import read_envelope
from ops.sandbox import ManualClock, Sandbox, SandboxTransport, Switches, WebhookSettings
from pipelines.acts import ACTS
from pipelines.iron import Iron
from pipelines.lanes import BEGUN, READ_AGAIN
from pipelines.lifecycle import Phase
from pipelines.model import Policy, Record
from tests.second_iron import SecondIron
from workers.engine.leases import Leases
from workers.engine.pulse import Pulse
from workers.engine.runner import Runner
from workers.intake.submit import FrontDoor, Submitted
from workers.ledger import LANES, PREFIX, Ledger, Lists, Nudge, Read, connect, lua_parts
from workers.ledger.limits import Budget
from workers.ledger.scripts import Scripts
from workers.secrets.vault import Vault, new_key

#: Runs a command of ours; gives its exit status.
Run = Callable[..., int]

#: Where records wait, besides the imports.
PLACES = (*LANES, BEGUN, READ_AGAIN)
#: The first due time of all places, in ms: those that are named, and those that wait for their turn.
FIRST_DUE = """
local first = false
local function look(place)
    local found = redis.call('ZRANGE', KEYS[1] .. 'due:' .. place, 0, 0, 'WITHSCORES')
    if found[2] and (not first or tonumber(found[2]) < tonumber(first)) then first = found[2] end
end
for _, place in ipairs(ARGV) do look(place) end
for _, place in ipairs(redis.call('ZRANGE', KEYS[1] .. 'turns', 0, -1)) do look(place) end
return first
"""
#: A budget that no test exhausts by accident.
PLENTY = Budget(rate_per_second=100_000, identifications_per_minute=6_000_000)
#: Steps of the sandbox that the second stand-in calls something else.
SECOND_STEPS = {
    "process": "finish",
    "stepup": "step_up",
    "newterms": "new_terms",
    "decline-final": "decline_final",
    "userrequired": "status:UserRequired",
}
#: How much longer things may take on the second stand-in.
SECOND_SLOWER = 60
API_KEY = "sandbox-key"
BASE_URL = "http://iron.test/api"


def a_job(key: str = "k-1", tag: str = "approve", **changes: Any) -> dict[str, Any]:
    """A valid job whose customer goes the way of the sandbox's tag."""
    return {
        "idempotency_key": key,
        "customer": {"customer_type": "Person", "email": f"{key}+{tag}@example.com", "name": "Ada Example"},
        **changes,
    }


def noted(act: str, by: str, reason: str = "") -> str:
    """Return what the history says of an action that was applied."""
    return f"{by} {ACTS[act].done}: “{reason}”." if reason else f"{by} {ACTS[act].done}."


def cut_off(ledger: Ledger) -> Callable[[], None]:
    """Let a ledger's server be away; answers what brings it back."""
    there = ledger.client, ledger._scripts

    def to(client: Any, scripts: Scripts) -> None:
        ledger.client, ledger._scripts = client, scripts

    away = connect("redis://127.0.0.1:1/0")
    to(away, Scripts(away, lua_parts(), PREFIX))
    return lambda: to(*there)


class Queue:
    """The queues of all lanes as lists."""

    def __init__(self) -> None:
        self.nudges: deque[Nudge] = deque()

    def send(self, nudge: Nudge) -> None:
        self.nudges.append(nudge)

    def send_many(self, nudges: Sequence[Nudge]) -> None:
        self.nudges.extend(nudges)

    def depths(self) -> dict[str, int]:
        return {lane: sum(nudge.lane == lane for nudge in self.nudges) for lane in LANES}


def notifying(url: str = "https://onboarding.example.com/webhooks/iron") -> Sandbox:
    """A sandbox that has a webhook registered, as Iron has for whoever set one up."""
    sandbox = Sandbox(ManualClock())
    sandbox.webhooks.settings = WebhookSettings(url=url)
    return sandbox


class World:
    """One ledger, one worker, one Iron, and a clock that a test turns."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        policy: Policy | None = None,
        budget: Budget = PLENTY,
        going_on: bool = True,
        dice: random.Random | None = None,
        second: Callable[[Callable[[], float]], SecondIron] | None = None,
        **switches: Any,
    ) -> None:
        self.client = client
        #: Whether workers go on with a record's next step, or send its nudge through the queue.
        self.going_on = going_on
        self.hears = True
        self.clock = ManualClock()
        #: Iron refuses unknown members, so that our own mistakes show; with dice each request may meet another Iron.
        self.sandbox = Sandbox(self.clock, switches=Switches(**switches), dice=dice)
        self.sandbox.webhooks.settings = WebhookSettings(url="http://gateway.test/webhooks/iron")
        #: The second stand-in for Iron, in the sandbox's place.
        self.second = second(self.clock.wall) if second else None
        self.shift_ms = 0
        self.queue = Queue()
        #: The key that seals the input of this world's jobs.
        self.key = new_key()
        self.vault = Vault([self.key])
        self.policy = policy or Policy()
        self.ledger = Ledger(client, budget, lambda: self.shift_ms)
        self._first_due = client.register_script(FIRST_DUE)
        self.transport: httpx.BaseTransport = self.second or SandboxTransport(self.sandbox)
        self.leases = Leases(self.ledger)
        self.door = FrontDoor(self.ledger, self.vault, self.queue.send)
        self.pulse = Pulse(self.ledger, self.queue)
        self.runner = self.worker()
        #: How a step is run; a test may put a worker here that dies.
        self.run_step: Callable[[str, str, int], object] = self.runner.run

    def worker(self, *, send: Callable[[Nudge], None] | None = None) -> Runner:
        """Another worker on the same ledger and the same Iron."""
        iron = Iron(self.transport, BASE_URL, API_KEY)
        send = send or self.queue.send
        return Runner(self.ledger, self.leases, send, iron, self.vault, self.policy, "default", going_on=self.going_on)

    def submit(self, key: str = "k-1", tag: str = "approve", **changes: Any) -> Submitted:
        return self.door.submit(a_job(key, tag, **changes))

    def advance(self, seconds: float) -> None:
        """Turn the ledger's and Iron's clock together."""
        self.shift_ms += round(seconds * 1000)
        self.clock.advance(seconds)
        (self.second or self.sandbox).run_due()

    def drain(self) -> int:
        """Run every nudge that is queued, and what it leads to at once."""
        steps = 0
        while self.queue.nudges:
            nudge = self.queue.nudges.popleft()
            self.run_step(nudge.step, nudge.key, nudge.version)
            steps += 1
        return steps

    def hear(self) -> None:
        """Take Iron's webhooks as the gateway does: each wakes its record."""
        for envelope in map(read_envelope, self.take_webhooks()):
            if (
                self.hears
                and envelope.customer_id
                and (nudge := self.ledger.wake(str(envelope.customer_id), envelope.hint))
            ):
                self.queue.send(nudge)

    def take_webhooks(self) -> list[bytes]:
        """The bodies of Iron's webhooks that are due."""
        if self.second:
            return [hook.body for hook in self.second.take_webhooks()]
        taken = self.sandbox.take_webhooks()
        for request in taken:
            self.sandbox.webhooks.report(request, 200, self.clock.wall())
        return [request.body for request in taken]

    def status_of(self, external_id: str) -> str:
        """Iron's true status of a customer."""
        if self.second:
            return self.second.status_of(external_id)
        customers = self.sandbox.provider.store.customers.values()
        return next(one.status for one in customers if one.external_id == external_id)

    def move(self, subject: str, step: str, *, status: str | None = None) -> None:
        """Let something happen to a customer, by external id, or to an identification; the sandbox's names of steps."""
        if self.second:
            self.second.act(subject, f"{step}:{status}" if status else SECOND_STEPS.get(step, step))
        else:
            self.sandbox.move(subject, step, status=status)

    def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Let somebody else send a request to Iron, and give what it answers; path without `/api`."""
        headers = {"X-API-Key": API_KEY} | ({"IDEMPOTENCY-KEY": key} if key else {})
        request = httpx.Request(method, BASE_URL + path, json=body, headers=headers)
        response = (self.second or SandboxTransport(self.sandbox)).handle_request(request)
        assert response.status_code < 300, response.status_code
        return json.loads(response.content) if response.content else None

    def email_of(self, external_id: str) -> str:
        """The e-mail address that Iron has of a customer."""
        if self.second:
            return self.second.life.named(external_id).email
        return self.sandbox.provider.store.with_external_id(external_id)[0].email

    @property
    def calls(self) -> int:
        """How many requests Iron was sent."""
        return sum(self.second.calls.values()) if self.second else self.sandbox.traffic.total

    def next_event_s(self) -> float | None:
        """Seconds until something happens on Iron's side."""
        if self.second:
            return self.second.next_event_s()
        at = self.sandbox.provider.lifecycle.next_event_at
        return None if at is None else max(0.0, at - self.clock.now())

    def next_due_s(self) -> float | None:
        """Seconds until the next record is due."""
        first: Any = self._first_due(keys=[PREFIX], args=PLACES)
        return None if first is None else max(0.0, (float(first) - self.ledger.now_ms()) / 1000)

    def run(self, *, until: Callable[[], bool], seconds: float = 3600.0) -> None:
        """Let time pass from due time to due time until the condition holds; fail after so many simulated seconds.

        The second stand-in answers falsely for up to ten minutes, again and again: on it everything may take longer.
        """
        end_ms = self.shift_ms + seconds * 1000 * (SECOND_SLOWER if self.second else 1)
        while True:
            self.hear()
            again_s = self.pulse.run_once().again_s or 0.0
            self.drain()
            if until():
                return
            wait_s = min((wait for wait in (self.next_due_s(), self.next_event_s()) if wait is not None), default=None)
            if wait_s is None or self.shift_ms > end_ms:
                raise AssertionError(f"after {seconds} s: {[read.phase for read in self.records()]}")
            self.advance(max(wait_s, again_s if wait_s == 0 else 0.0) + 0.002)

    def holds(self, fact: Callable[[], bool]) -> bool:
        """Say whether something holds now; on the second stand-in, once its false answers are over."""
        if self.second:
            self.run(until=fact)
        return fact()

    def run_until(self, key: str, phase: Phase | str, seconds: float = 3600.0) -> Record:
        """Let time pass until a record is in a phase."""
        self.run(until=lambda: self.record(key).phase == phase, seconds=seconds)
        return self.record(key)

    def read(self, key: str = "k-1") -> Read:
        found = self.ledger.read(key)
        assert found is not None, key
        return found

    def record(self, key: str = "k-1") -> Record:
        return self.read(key).record

    def records(self) -> list[Record]:
        return [read.record for phase in Phase for read in Lists(self.ledger).in_phase(phase)]

    def consent(self, key: str = "k-1") -> None:
        """The customer agrees to every document that is asked for."""
        documents = [signing.id for signing in self.record(key).signings if not signing.consented_ms]
        nudge = self.ledger.act(key, {"act": "sign", "documents": documents, "by": "consent"})
        if nudge:
            self.queue.send(nudge)

    def act(self, key: str, act: str, **details: Any) -> None:
        """Somebody does something to an onboarding."""
        nudge = self.ledger.act(key, {"act": act, "by": "a test", **details})
        if nudge:
            self.queue.send(nudge)

    def correct(self, job: dict[str, Any]) -> None:
        """Somebody hands in corrected input."""
        nudge = self.door.correct(job, by="a test")
        if nudge:
            self.queue.send(nudge)

    def onboard(self, key: str = "k-1", **changes: Any) -> Record:
        """Bring one customer from the job to active."""
        self.submit(key, **changes)
        if changes.get("tag") == "manual":
            self.run_until(key, "identification_pending")
            self.move(key, "approve")
        self.run_until(key, "signings_required")
        self.run(until=lambda: self.agree(key) or self.record(key).phase is Phase.ACTIVE)
        return self.record(key)

    def agree(self, key: str = "k-1") -> None:
        """Let the customer agree to what is shown and not agreed to yet; for use while time passes."""
        record = self.record(key)
        if record.phase is Phase.SIGNINGS_REQUIRED and any(not signing.consented_ms for signing in record.signings):
            self.consent(key)
            self.drain()

    def effects(self) -> dict[str, dict[str, int]]:
        """What Iron's ledger holds, by external id: customers, identifications, signings."""
        return self.second.effects() if self.second else self.sandbox.effects.group()


def contents(client: redis.Redis) -> dict[bytes, Any]:
    """Every key of a database with its whole value, but for the budget's marks, which pass away by themselves.

    DUMP would not do: it compresses, each time in its own way.
    """
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"set": client.smembers,
        b"stream": client.xrange,
    }
    passing = (f"{PREFIX}pace".encode(), f"{PREFIX}counted:".encode())
    return {key: read[client.type(key)](key) for key in client.scan_iter() if not key.startswith(passing)}
