"""The ledger: the record of each onboarding in Redis, changed only by the operations in workers/ledger/lua.

A method is one round trip, except `create` (one for each hundred), and `join` and `act` (one more, for the time). All
are safe to repeat: redis-py sends a command again when its answer was lost, and the script then recognises the token of
the call. Times are the Redis server's. Source: design sections 2, 4 and 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

import redis

from pipelines import events
from pipelines.iron import CALL
from pipelines.keys import canonical_json
from pipelines.lanes import place_of
from pipelines.model import FORMAT, Next, Record
from pipelines.onboarding import STEPS
from pipelines.retention import INPUT_DONE, INPUT_KEPT_MS, input_ttl_ms
from workers.ledger.clock import monotonic_s
from workers.ledger.connection import DURABLE_WITHIN_MS, Durability, NotDurableError
from workers.ledger.hints import LOOK
from workers.ledger.limits import Budget, Lag
from workers.ledger.pending_calls import PendingCalls
from workers.ledger.scripts import Scripts
from workers.ledger.values import (
    CLOCK_TOLERANCE_MS,
    LEASE_MS,
    LOADED_AT_ONCE,
    PREFIX,
    Claim,
    Created,
    New,
    NotClaimed,
    Nudge,
    Read,
    Taken,
)
from workers.ledger.wire import (
    call_token,
    committed,
    created_of,
    decode,
    flat,
    history_entry,
    in_order,
    looked_by,
    new_row,
    nudge_of,
    packed,
    read_of,
    scheduled,
    turned,
    verdict,
)

#: The class of Iron's budget that a step must be sure of, for the scripts.
_SECURED = json.dumps({name: step.secures for name, step in STEPS.items() if step.secures})


class Ledger:
    """The life of each record."""

    def __init__(
        self,
        client: redis.Redis,
        budget: Budget | None = None,
        shift_ms: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = monotonic_s,
        durability: Durability | None = None,
    ) -> None:
        """Take a client of the ledger's database. `shift_ms` turns the server's clock in tests, `clock` is our own.

        `durability`: what a job and an act of a person wait for before they are acknowledged.
        """
        self.client: Any = client  # redis-py's answers are typed for every mode at once
        self.budget = budget or Budget()
        self._scripts = Scripts(client, lua_parts(), PREFIX)
        self.clock = clock
        self.lag = Lag(self.budget, clock)
        self._shift_ms = shift_ms
        self._durability = durability or Durability()
        #: What the server said last of its time, in ms and without the shift, and when it said so on our own clock.
        self._heard: tuple[int, float] | None = None

    def create(self, new: Sequence[New]) -> list[Created]:
        """Store new records with the sealed parts of their input, a hundred in a round trip; what exists stays."""
        batches = (new[start : start + LOADED_AT_ONCE] for start in range(0, len(new), LOADED_AT_ONCE))
        return [created for batch in batches for created in self._create(batch)]

    def _create(self, new: Sequence[New]) -> list[Created]:
        tokens = [call_token() for _ in new]
        answers: list[Any] = []
        while not answers:  # nothing was written: our idea of the server's time was wrong, and now is not
            at_ms = self.told_ms()
            rows = b"".join([new_row(one, token, at_ms) for one, token in zip(new, tokens, strict=True)])
            now_ms, *answers = self._safe_call("create", at_ms, CLOCK_TOLERANCE_MS, FORMAT, rows)
            self._heard = now_ms - self._shift_ms(), self.clock()
        return [created_of(one.record, answer) for one, answer in zip(new, answers, strict=True)]

    def told_ms(self) -> int:
        """Return the server's time by what it said last and our own clock, without a round trip once it has."""
        if self._heard is None:
            self._heard = self.now_ms() - self._shift_ms(), self.clock()
        said_ms, at = self._heard
        return said_ms + int((self.clock() - at) * 1000) + self._shift_ms()

    def join(self, adopted: Record, new: New) -> Created | None:
        """Let a job take over an adopted record under its own key; None: it changed meanwhile, read it again."""
        record = new.record
        entry, head = history_entry(record, self.now_ms(), "", new.note)
        joined = record.evolve(head=head)
        given = {
            "old_key": adopted.key,
            "version": adopted.version,
            "token": call_token(),
            "key": record.key,
            "lane": record.lane,
            "step": record.step,
            "format": FORMAT,
            "json": canonical_json(joined.stored()),
            "history": entry,
            "told": events.beginning(joined),
            "external_id": record.external_id,
            "customer_id": record.customer_id or "",
            "email": new.email,
            "ttl_ms": INPUT_KEPT_MS if record.phase in INPUT_DONE else "",
            "import": record.import_name,
        }
        answer = self._safe_call("join", *in_order("join", given, new.parts))
        if answer[0] != b"joined":
            return None
        _, version, now_ms, serial = answer
        return Created("created", joined.evolve(version=version, updated_ms=now_ms), now_ms, link_serial=serial)

    def claim(self, key: str, version: int, step: str) -> Claim | NotClaimed:
        """Take a record in hand for one step and set its due time to the lease's end.

        It comes with a slot for the first call, if it may leave soon, with one of the class of Iron's budget that the
        step secures, and with the part of the input that the step uses.
        """
        started, budget = self.clock(), self.lag.budget()
        answer = self._call("claim", key, version, *self._claim(step), budget=budget)
        return self._claimed(key, answer, started, budget, STEPS[step].secures)

    def renew(self, claims: Sequence[Claim]) -> None:
        """Extend the leases of all claims in hand; one that is lost, or whose clock went wrong, is left to end."""
        if not claims:
            return
        asked = self.clock()
        pairs = [part for claim in claims for part in (claim.record.key, claim.fence)]
        *holding, now_ms = self._call("renew", LEASE_MS, *pairs)
        for claim, held in zip(claims, holding, strict=True):
            if held and claim.agrees(now_ms):
                claim.holds_until = asked + LEASE_MS / 1000

    def commit(self, claim: Claim, following: Next, parts: Mapping[str, bytes] | None = None) -> Nudge | None:
        """Write what a step found out, all at once; answers the nudge to send now, if there is one.

        `parts`: sealed parts of the input to keep; an empty one is dropped.
        Raises StaleClaimError when the record is no longer this claim's, and ClockJumpedError when our clock has not
        gone on like the server's since the claim, and WithheldError when it tells a reminder and something happened
        meanwhile; then nothing was written.
        """
        return committed(following, self._call("commit", *self._commit(claim, following, parts)))

    def commit_and_claim(
        self, claim: Claim, following: Next, parts: Mapping[str, bytes] | None = None
    ) -> Claim | Nudge | None:
        """Write what a step found out, and take the record in hand for the step that follows, if that is to be now.

        A nudge: news came meanwhile, so that the customer is read before that. None: nothing follows now, or the claim
        was refused; the record then has its due time, and no nudge is needed.
        Raises StaleClaimError like `commit`.
        """
        started, budget = self.clock(), self.lag.budget()
        written = self._commit(claim, following, parts)
        step = following.record.step
        answer = self._call("onward", len(written), *written, *self._claim(step), budget=budget)
        nudge = committed(following, answer[0])
        if len(answer) == 1:
            return nudge
        taken = self._claimed(following.record.key, answer[1], started, budget, STEPS[step].secures)
        return taken if isinstance(taken, Claim) else None

    def _claim(self, step: str) -> list[Any]:
        """Return the arguments of a claim after the record's key and version."""
        return [step, call_token(), LEASE_MS, FORMAT, STEPS[step].part, STEPS[step].secures]

    def _claimed(self, key: str, answer: Any, started: float, budget: Budget, secured: str) -> Claim | NotClaimed:
        """Read the answer of a claim that was asked for at this time, with the budget stated like this."""
        status = answer[0].decode()
        if status != "claimed":
            return NotClaimed(status)
        raw, fence, now_ms, crashes, since, sealed, acts, rule, call_ms, secured_ms, probe, reminders = answer[1:]
        waits = ((CALL, call_ms), (secured, secured_ms))
        return Claim(
            record=decode(key, raw),
            fence=fence.decode(),
            now_ms=now_ms,
            crashes=crashes,
            abandoned_ms=int(since) if crashes else None,
            sealed_input=sealed,
            acts=tuple(acts),
            rule=int(rule),
            reminders=int(reminders),
            clock=self.clock,
            started=started,
            holds_until=started + LEASE_MS / 1000,
            permits={name: budget.permit(name, started, ms) for name, ms in waits if ms is not None},
            probe=bool(probe),
        )

    def _commit(self, claim: Claim, following: Next, parts: Mapping[str, bytes] | None) -> list[Any]:
        """Return the arguments of a commit."""
        before, record = claim.record, following.record
        at_ms = claim.elapsed_ms()
        entry, head = history_entry(record, at_ms, before.step, following.note)
        learned = record.customer_id if record.customer_id != before.customer_id else None
        known_as = record.external_id if record.external_id != before.external_id else None
        given = {
            "key": record.key,
            "fence": claim.fence,
            "at_ms": at_ms,
            "tolerance_ms": CLOCK_TOLERANCE_MS,
            "place": place_of(following),
            "step": record.step,
            "phase": record.phase.value,
            "format": FORMAT,
            "json": canonical_json(record.evolve(head=head).stored()),
            "history": entry,
            "told": events.of_commit(before, following),
            "scheduled": scheduled(following),
            "reminders": looked_by(following),
            "turned": turned(before, record),
            "delay_ms": "" if following.delay_s is None else int(following.delay_s * 1000),
            "applied": packed(following.applied),
            "customer_id": learned or "",
            "external_id": known_as or "",
            "ttl_ms": input_ttl_ms(before.phase, record.phase, parts),
            "import": record.import_name,
            "good": claim.calls - claim.bad,
            "bad": claim.bad,
            "verdict": verdict(claim),
        }
        return in_order("commit", given, parts or {})

    def wake(self, customer_id: str, hint: str = LOOK) -> Nudge | None:
        """Let the customer with this id of Iron be read: now, or soon where that is early enough.

        `hint`: what a webhook says, see workers/ledger/hints.py; what the record shows already wakes nobody. It is kept
        for a while when no record knows the id yet.
        """
        return nudge_of(self._call("wake", customer_id, hint))

    def act(self, key: str, act: Mapping[str, Any], evidence: bytes = b"", email: bytes = b"") -> Nudge | None:
        """Store what a person did; the next claim applies it. Raises KeyError when there is no such record.

        `email`: digest of the address that a correction brings, by which the record is found from now on.
        """
        stored = canonical_json({"id": call_token(), "at_ms": self.now_ms(), **act})
        answer = self._safe_call("act", key, stored, evidence, email)
        if answer[0] == b"gone":
            raise KeyError(key)
        return nudge_of(answer)

    def revoke_links(self, key: str, act: Mapping[str, Any]) -> Nudge | None:
        """Make every link of the customer to this record void, at once. `act` tells the history who did it and why.

        Raises KeyError when there is no such record.
        """
        stored = canonical_json({"id": call_token(), "at_ms": self.now_ms(), "act": "revoke_links", **act})
        answer = self._safe_call("revoke", key, call_token(), stored)
        if answer[0] == b"gone":
            raise KeyError(key)
        return nudge_of(answer)

    def take(self, limits: Mapping[str, int]) -> Taken:
        """Take what is due from each lane: at most this many, and no more than will find a slot in Iron's budget.

        Each is due again soon unless it is claimed.
        """
        answer = self._call("take", _SECURED, *(part for pair in limits.items() for part in pair))
        nudges = (
            Nudge(lane.decode(), step.decode(), key.decode(), version)
            for lane, key, step, version in zip(*[iter(answer[1:])] * 4, strict=True)
        )
        return Taken(tuple(nudges), answer[0] / 1000 if answer[0] != b"" else None)

    def count(self, token: str, counts: Mapping[str, int]) -> None:
        """Add to the fleet's counters; the same token adds only once."""
        self._call("count", token, *flat(counts))

    def read(self, key: str) -> Read | None:
        """Read one record."""
        return read_of(key, self._call("read", key))

    def read_many(self, keys: Sequence[str]) -> list[Read]:
        """Read records in one round trip; one that is gone meanwhile is left out."""
        with self.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                self._call("read", key, pipeline=pipeline)
            answers = pipeline.execute()
        return [read for key, answer in zip(keys, answers, strict=True) if (read := read_of(key, answer))]

    def counters(self) -> dict[str, int]:
        """Read the fleet's counters, as they are stored."""
        return {name.decode(): int(n) for name, n in self.client.hgetall(f"{PREFIX}counters").items()}

    def input(self, key: str) -> dict[str, bytes]:
        """Read the sealed parts of a record's input."""
        return {name.decode(): sealed for name, sealed in self.client.hgetall(f"{PREFIX}input:{key}").items()}

    def history(self, key: str, first: int = 0, count: int | None = None) -> list[dict[str, Any]]:
        """Read the history of a record, oldest entry first; a part of it from an entry on."""
        last = -1 if count is None else first + count - 1
        return [json.loads(entry) for entry in self.client.lrange(f"{PREFIX}history:{key}", first, last)]

    def now_ms(self) -> int:
        """Ask for the Redis server's time."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000 + self._shift_ms()

    def call(self, operation: str, *arguments: Any, budget: Budget | None = None, durable: bool = False) -> Any:
        """Call an operation of the scripts for which another module has the method.

        `budget`: the budget as it is stated, where that is not the usual one. `durable`: what was decided is
        acknowledged only when it is as safe as was asked; raises NotDurableError.
        """
        if durable:
            return self._safe_call(operation, *arguments)
        return self._call(operation, *arguments, budget=budget)

    def send(self, calls: Sequence[tuple[Any, ...]]) -> PendingCalls:
        """Send calls, each an operation with its arguments, whose answers are waited for later."""
        packets = [self._scripts[operation].packet(self._given(operation, *rest)) for operation, *rest in calls]
        return PendingCalls(self.client, packets, [partial(self._call, *call) for call in calls])

    def _safe_call(self, operation: str, *arguments: Any) -> Any:
        """Call an operation, and wait until what it wrote is as safe as was asked. Raises NotDurableError."""
        if not self._durability.asked:
            return self._call(operation, *arguments)
        with self.client.pipeline(transaction=False) as pipeline:
            self._call(operation, *arguments, pipeline=pipeline)
            return self._surely(pipeline)[0]

    def _surely(self, pipeline: Any) -> list[Any]:
        """Execute a pipeline and wait until what it wrote is as safe as was asked. Raises NotDurableError."""
        wanted = self._durability
        if not wanted.asked:
            return list(pipeline.execute())
        pipeline.execute_command("WAITAOF", wanted.local, wanted.replicas, DURABLE_WITHIN_MS)
        *answers, (local, replicas) = pipeline.execute()
        if local < wanted.local or replicas < wanted.replicas:
            raise NotDurableError
        return list(answers)

    def _call(
        self,
        operation: str,
        *arguments: Any,
        budget: Budget | None = None,
        pipeline: Any = None,
    ) -> Any:
        given = self._given(operation, *arguments, budget=budget)
        script = self._scripts[operation]
        return script(given) if pipeline is None else script.queue(pipeline, given)

    def _given(self, operation: str, *arguments: Any, budget: Budget | None = None) -> list[Any]:
        """Return an operation's arguments as the script takes them."""
        return [operation, self._shift_ms(), (budget or self.budget).stated, *arguments]


def lua_parts() -> dict[str, str]:
    """Read the Lua code, by the names of its parts."""
    found = (file for file in (files("workers.ledger") / "lua").iterdir() if file.name.endswith(".lua"))
    return {file.name.removesuffix(".lua"): file.read_text("utf-8") for file in found}
