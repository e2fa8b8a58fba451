"""The ledger: the record of each onboarding in Redis, changed only by the operations in workers/lua.

Each method is one round trip and safe to repeat: redis-py sends a command again when its answer was lost, and the
script then recognises the token of the call. Times are the Redis server's. Source: design sections 2, 4 and 7.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import random
import re
import secrets
import struct
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import redis
from redis.backoff import ExponentialBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

from pipelines import events
from pipelines.errors import ClockJumpedError, IronError, OnboardingError, StaleClaimError
from pipelines.iron import CALL, IDENTIFICATION, Answer
from pipelines.keys import canonical_json, chained
from pipelines.lifecycle import Phase
from pipelines.model import FORMAT, Next, Record
from pipelines.onboarding import SECURED
from workers.budget.permits import Budget, Lag, Pause, Permit, Standing, held_back
from workers.ledger.clock import monotonic_s
from workers.ledger.hints import LOOK
from workers.ledger.pending_calls import InFlight
from workers.ledger.scripts import Scripts

PREFIX = "onboarding:"

#: How long a claim holds without being renewed, in ms: short, so that a crash shows within seconds.
LEASE_MS = 6_000
#: Pause between two renewals, in seconds: two may fail before a lease ends.
RENEW_EVERY_S = 2.0
#: A claim is renewed no longer than this, in seconds: longer than the calls of any step together, shorter than the
#: settle time.
STEP_LIMIT_S = 60.0
#: Part of the lease that must be left when a call to Iron leaves, in seconds.
LEASE_MARGIN_S = 1.0
#: How far a worker's idea of the server's time may be off when it renews or commits, in ms: more than the client takes
#: to repeat a call (REDIS_TIMEOUT_S, four times), less than the settle time has beyond the limit of a step.
CLOCK_TOLERANCE_MS = 22_000
#: The encrypted input is kept this long after the onboarding ended well, in ms: a week, for questions.
INPUT_KEPT_MS = 7 * 86_400_000
#: Phases after which the input is no longer needed.
INPUT_DONE = frozenset({Phase.ACTIVE, Phase.ARCHIVED, Phase.CANCELLED})
#: Claims in a row without a commit after which a record is suspected of killing its workers.
POISON_CRASHES = 5

#: Seconds without an answer after which a Redis call has failed.
REDIS_TIMEOUT_S = 5.0
#: Connections of one client: redis-py stops at 100, and a worker process may have 256 threads.
MOST_CONNECTIONS = 1_024
#: How long an acknowledgement may wait for the disk, in ms: three times what `appendfsync everysec` takes at most, and
#: less than a call may.
DURABLE_WITHIN_MS = 3_000

#: Jobs, or rows of an import, that one script call makes records of: some 2 ms in which Redis does nothing else.
LOADED_AT_ONCE = 100

LANES = ("interactive", "bulk", "reidentify")


#: What redis-py tells each server of itself. Made once: it looks for its own version on the disk, which takes 1 ms.
_DRIVER = DriverInfo()


def connect(url: str) -> redis.Redis:
    """Open a client with few and short repetitions; every script is safe to repeat."""
    return redis.Redis.from_url(
        url,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        client_name="onboarding",
        max_connections=MOST_CONNECTIONS,
        driver_info=_DRIVER,
    )


@dataclass(frozen=True, slots=True)
class Nudge:
    """What a queue message carries: which record, in which version, for which step, in which lane."""

    lane: str
    step: str
    key: str
    version: int


@dataclass(slots=True)
class Claim:
    """A record in hand: nobody else works on it while the lease holds."""

    record: Record
    fence: str
    #: The ledger's time when the claim was made.
    now_ms: int
    crashes: int
    #: When the first claim that ended without a commit began; None: there was none.
    abandoned_ms: int | None
    sealed_input: bytes | None
    #: What people did and no commit has applied yet, as stored.
    acts: tuple[bytes, ...]
    #: This process's own clock, and on it: when the claim was asked for, and until when the lease surely holds.
    clock: Callable[[], float]
    started: float
    holds_until: float
    #: Version of the re-identification policy in force.
    rule: int = 0
    #: What it brings of Iron's budget, by class; a call without a permit asks for one.
    permits: dict[str, Permit] = field(default_factory=dict)
    #: The breaker is open, and this claim finds out whether Iron is well again.
    probe: bool = False
    #: Calls to Iron made so far, and how many of them had no answer, or a 5xx.
    calls: int = 0
    bad: int = 0
    #: Whether Iron granted any of them what was asked for.
    granted: bool = False
    #: The status with which Iron refused whoever calls, where it did.
    refusal: int | None = None
    #: Seconds that its calls have waited for the budget.
    waited_s: float = 0.0

    def elapsed_ms(self) -> int:
        """Give the ledger's time now, as far as this process can tell."""
        return self.now_ms + int((self.clock() - self.started) * 1000)

    def agrees(self, now_ms: int) -> bool:
        """Say whether this process's clock has gone on like the server's, whose time is `now_ms`, since the claim."""
        return abs(self.elapsed_ms() - now_ms) <= CLOCK_TOLERANCE_MS

    def before_call(self) -> None:
        """Count a call to Iron; raise StaleClaimError unless the lease covers one that leaves now."""
        if self.clock() > self.holds_until - LEASE_MARGIN_S:
            raise StaleClaimError
        self.calls += 1

    def hear(self, answer: Answer) -> None:
        """Take note of an answer of Iron."""
        self.granted = self.granted or answer.status < 300  # noqa: PLR2004

    def troubled_by(self, error: OnboardingError) -> None:
        """Take note of the error that ended the step: for the breaker, which counts what is everybody's trouble."""
        self.bad = int(error.weather)
        if isinstance(error, IronError) and error.concerns_caller and not self.granted:
            self.refusal = error.status


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """There is nothing to do for this nudge now, and why: gone, newer, leased, superseded, paced or paused."""

    reason: str


class NotDurableError(redis.RedisError):
    """Redis has what it was sent, and has not made it as safe as it was asked to in time: send the same again."""


@dataclass(frozen=True, slots=True)
class Durability:
    """What is waited for before a job or an act of a person is acknowledged. Source: Redis' WAITAOF, since 7.2.

    `local`: 1 waits until the server's append-only file is synced to disk; `replicas`: until so many replicas' are.
    """

    local: int = 0
    replicas: int = 0

    @property
    def asked(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self.local or self.replicas)


class New(NamedTuple):
    """What the ledger is to store as a new record."""

    record: Record
    #: Sealed parts of the input.
    parts: Mapping[str, bytes]
    #: Digest of the e-mail address; empty: there is none to find it by.
    email: bytes = b""
    #: What the history says of its beginning.
    note: str = "submitted"


@dataclass(frozen=True, slots=True)
class Created:
    """What became of a new job. `record` is the one that exists; `holder` is the key that has the external id."""

    status: Literal["created", "exists", "external_id_taken"]
    record: Record | None = None
    due_ms: int | None = None
    holder: str | None = None
    #: As in Read.
    link_serial: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A record as it is now."""

    record: Record
    due_ms: int | None
    acts_waiting: int
    claimed: bool
    now_ms: int
    #: How often the customer's links to this record were revoked: only links of this serial are good.
    link_serial: int = 0
    #: When the first of the claims that ended without a commit began; None: the last one was committed, or holds.
    abandoned_ms: int | None = None


class Listed(NamedTuple):
    """Where a record stands in a list: by what the list is ordered, and its key."""

    #: In the list of phases since when it is there, in ms; in that of an import its row, from 0.
    at: int
    key: str


class NextPage(NamedTuple):
    """A page of Iron's list that the sweep reads next, and leave for the call."""

    #: Where it is; "" is the beginning.
    place: str
    permit: Permit


class Taken(list[Nudge]):
    """What was due: the nudges to send, and the seconds until a lane that is short of slots has some; None: none is."""

    def __init__(self, nudges: Iterable[Nudge] = (), again_s: float | None = None) -> None:
        """Take both."""
        super().__init__(nudges)
        self.again_s = again_s


class Ledger:
    """Every operation on the records, one round trip each."""

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

    # --- writing -------------------------------------------------------------------------------------------------

    def create(self, new: Sequence[New]) -> list[Created]:
        """Store new records with the sealed parts of their input, a hundred in a round trip; what exists stays."""
        batches = (new[start : start + LOADED_AT_ONCE] for start in range(0, len(new), LOADED_AT_ONCE))
        return [created for batch in batches for created in self._create(batch)]

    def _create(self, new: Sequence[New]) -> list[Created]:
        tokens = [_token() for _ in new]
        answers: list[Any] = []
        while not answers:  # nothing was written: our idea of the server's time was wrong, and now is not
            at_ms = self._told_ms()
            rows = b"".join([_new(one, token, at_ms) for one, token in zip(new, tokens, strict=True)])
            now_ms, *answers = self._safe_call("create", at_ms, CLOCK_TOLERANCE_MS, FORMAT, rows)
            self._heard = now_ms - self._shift_ms(), self.clock()
        return [_created(one.record, answer) for one, answer in zip(new, answers, strict=True)]

    def _told_ms(self) -> int:
        """Tell the server's time by what it said last and our own clock, without a round trip once it has."""
        if self._heard is None:
            self._heard = self.now_ms() - self._shift_ms(), self.clock()
        said_ms, at = self._heard
        return said_ms + int((self.clock() - at) * 1000) + self._shift_ms()

    def begin_import(self, name: str, digest: str, by: str) -> str:
        """Take up an import under this name: `opened`, `loaded`, `cancelled`, or `other`, when another file has it."""
        answer: bytes = self._call("import", name, digest, by)
        return answer.decode()

    def load(self, name: str, counts: Mapping[str, int], new: Sequence[New]) -> Loading:
        """Send the records of rows of an import to be stored, many in a script call.

        `counts`: what became of the rows before these.
        """
        first = Record(key="")
        entry, head = _history(first, self.now_ms(), "", f"submitted with the import {name}")
        batches = [new[start : start + LOADED_AT_ONCE] for start in range(0, max(len(new), 1), LOADED_AT_ONCE)]
        calls = [
            (
                "load", name, _token(), json.dumps(counts), FORMAT, first.step, first.phase.value,
                events.beginning(first), entry, b"".join(_row(one, head) for one in batch),
            )
            for batch in batches
        ]  # fmt: skip
        packets = [self._scripts["load"].packet(self._given(*call)) for call in calls]
        return Loading(new, InFlight(self.client, packets, [partial(self._call, *call) for call in calls]))

    def loaded(self, name: str, counts: Mapping[str, int]) -> None:
        """Note that an import's file was read to its end, and what became of its rows."""
        self._safe_call("loaded", name, json.dumps(counts))

    def halt_import(self, name: str, how: Literal["paused", "cancelled"], by: str, reason: str) -> None:
        """Let nothing of an import begin any more; one that is halted like this already is left as it is."""
        self._call("halt", name, how, by, reason)

    def resume_import(self, name: str) -> None:
        """Let a paused import go on."""
        self._call("resume", name)

    def drop(self, name: str, rows: Sequence[tuple[Record, Next, Mapping[str, Any]]]) -> int:
        """Cancel rows of an import that nobody has taken in hand; answers how many of these wait no more.

        Each is the record as it was read, what it is from now on, and the act that cancels it.
        """
        at_ms = self.now_ms()
        given: list[Any] = []
        for before, after, act in rows:
            record = after.record
            entry, head = _history(record, at_ms, "", after.note)
            stored = {"id": _token(), "at_ms": at_ms, **act}
            json_ = canonical_json(record.evolve(head=head).stored())
            told = events.of_commit(before, after)
            given += [record.key, record.version, json_, entry, told, canonical_json(stored)]
        return int(self._call("drop", name, _token(), FORMAT, INPUT_KEPT_MS, *given))

    def join(self, adopted: Record, new: New) -> Created | None:
        """Let a job take over an adopted record under its own key; None: it changed meanwhile, read it again."""
        record = new.record
        entry, head = _history(record, self.now_ms(), "", new.note)
        joined = record.evolve(head=head)
        answer = self._safe_call(
            "join", adopted.key, adopted.version, _token(), record.key, record.lane, record.step,
            FORMAT, canonical_json(joined.stored()), entry, events.beginning(joined), record.external_id,
            record.customer_id or "", new.email, INPUT_KEPT_MS if record.phase in INPUT_DONE else "",
            record.import_name, *_flat(new.parts),
        )  # fmt: skip
        if answer[0] != b"joined":
            return None
        _, version, now_ms, serial = answer
        return Created("created", joined.evolve(version=version, updated_ms=now_ms), now_ms, link_serial=serial)

    def claim(self, key: str, version: int, step: str, *, secured: str = "", part: str = "") -> Claim | NotClaimed:
        """Take a record in hand for one step and set its due time to the lease's end.

        It comes with a slot for the first call, if it may leave soon. `secured`: the class of Iron's budget that the
        step must be sure of beside; `part`: the part of the input that it needs.
        """
        started, budget = self.clock(), self.lag.budget()
        answer = self._call("claim", key, version, *self._claim(step, secured, part), budget=budget)
        return self._claimed(key, answer, started, budget, secured)

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
        gone on like the server's since the claim; then nothing was written.
        """
        return _committed(following, self._call("commit", *self._commit(claim, following, parts)))

    def commit_and_claim(
        self,
        claim: Claim,
        following: Next,
        parts: Mapping[str, bytes] | None = None,
        *,
        secured: str = "",
        part: str = "",
    ) -> Claim | Nudge | None:
        """Write what a step found out, and take the record in hand for the step that follows, if that is to be now.

        A nudge: news came meanwhile, so that the customer is read before that. None: nothing follows now, or the claim
        was refused; the record then has its due time, and no nudge is needed.
        `secured` and `part` as in `claim`, of the step that follows. Raises StaleClaimError like `commit`.
        """
        started, budget = self.clock(), self.lag.budget()
        written = self._commit(claim, following, parts)
        claiming = self._claim(following.record.step, secured, part)
        answer = self._call("onward", len(written), *written, *claiming, budget=budget)
        nudge = _committed(following, answer[0])
        if len(answer) == 1:
            return nudge
        taken = self._claimed(following.record.key, answer[1], started, budget, secured)
        return taken if isinstance(taken, Claim) else None

    def _claim(self, step: str, secured: str, part: str) -> list[Any]:
        """Give the arguments of a claim after the record's key and version."""
        return [step, _token(), LEASE_MS, FORMAT, part, secured]

    def _claimed(self, key: str, answer: Any, started: float, budget: Budget, secured: str) -> Claim | NotClaimed:
        """Read the answer of a claim that was asked for at this time, with the budget stated like this."""
        status = answer[0].decode()
        if status != "claimed":
            return NotClaimed(status)
        raw, fence, now_ms, crashes, since, sealed, acts, rule, call_ms, secured_ms, probe = answer[1:]
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
            clock=self.clock,
            started=started,
            holds_until=started + LEASE_MS / 1000,
            permits={name: budget.permit(name, started, ms) for name, ms in waits if ms is not None},
            probe=bool(probe),
        )

    def _commit(self, claim: Claim, following: Next, parts: Mapping[str, bytes] | None) -> list[Any]:
        """Give the arguments of a commit."""
        before, record = claim.record, following.record
        at_ms = claim.elapsed_ms()
        entry, head = _history(record, at_ms, before.step, following.note)
        learned = record.customer_id if record.customer_id != before.customer_id else None
        known_as = record.external_id if record.external_id != before.external_id else None
        return [
            record.key, claim.fence, at_ms, CLOCK_TOLERANCE_MS,
            _place(following), record.step, record.phase.value, FORMAT,
            canonical_json(record.evolve(head=head).stored()), entry, events.of_commit(before, following),
            _scheduled(following), "" if following.delay_s is None else int(following.delay_s * 1000),
            _packed(following.applied), learned or "", known_as or "",
            _input_ttl_ms(before.phase, record.phase, parts), record.import_name,
            claim.calls - claim.bad, claim.bad, _verdict(claim), *_flat(parts or {}),
        ]  # fmt: skip

    def wake(self, customer_id: str, hint: str = LOOK) -> Nudge | None:
        """Let the customer with this id of Iron be read: now, or soon where that is early enough.

        `hint`: what a webhook says, see workers/ledger/hints.py; what the record shows already wakes nobody. It is kept
        for a while when no record knows the id yet.
        """
        return _nudge(self._call("wake", customer_id, hint))

    def act(self, key: str, act: Mapping[str, Any], evidence: bytes = b"", email: bytes = b"") -> Nudge | None:
        """Store what a person did; the next claim applies it. Raises KeyError when there is no such record.

        `email`: digest of the address that a correction brings, by which the record is found from now on.
        """
        stored = canonical_json({"id": _token(), "at_ms": self.now_ms(), **act})
        answer = self._safe_call("act", key, stored, evidence, email)
        if answer[0] == b"gone":
            raise KeyError(key)
        return _nudge(answer)

    def revoke_links(self, key: str, act: Mapping[str, Any]) -> Nudge | None:
        """Make every link of the customer to this record void, at once. `act` tells the history who did it and why.

        Raises KeyError when there is no such record.
        """
        stored = canonical_json({"id": _token(), "at_ms": self.now_ms(), "act": "revoke_links", **act})
        answer = self._safe_call("revoke", key, _token(), stored)
        if answer[0] == b"gone":
            raise KeyError(key)
        return _nudge(answer)

    def take(self, limits: Mapping[str, int]) -> Taken:
        """Take what is due from each lane: at most so many, and no more than will find a slot in Iron's budget.

        Each is due again soon unless it is claimed.
        """
        answer = self._call("take", _SECURED, *(part for pair in limits.items() for part in pair))
        nudges = [
            Nudge(lane.decode(), step.decode(), key.decode(), version)
            for lane, key, step, version in zip(*[iter(answer[1:])] * 4, strict=True)
        ]
        return Taken(nudges, answer[0] / 1000 if answer[0] != b"" else None)

    # --- Iron's budget -------------------------------------------------------------------------------------------

    def permit(self, lane: str, holder: str, class_: str = CALL) -> Permit:
        """Ask for leave to make one call. Raises HeldBackError when none may leave."""
        asked, budget = self.clock(), self.lag.budget()
        answer = self._call("permit", lane, holder, class_, budget=budget)
        if answer[0] == b"held":
            raise held_back(lane, answer[1].decode(), answer[2])
        return budget.permit(class_, asked, answer[1])

    def permit_aside(self) -> Permit:
        """Ask for leave to make one call that belongs to no record. Raises HeldBackError when none may leave."""
        asked, budget = self.clock(), self.lag.budget()
        answer = self._call("aside", budget=budget)
        if answer[0] == b"held":
            raise held_back("sweep", answer[1].decode(), answer[2])
        return budget.permit(CALL, asked, answer[1])

    def allowed(self, lane: str, holder: str) -> None:
        """Raise HeldBackError unless a call that has its permit may still leave."""
        answer = self._call("allowed", lane, holder)
        if answer[0] == b"held":
            raise held_back(lane, answer[1].decode(), answer[2])

    def close_tap(self, pause_s: float, class_: str = CALL) -> None:
        """Keep the whole fleet from calling Iron for so long, and halve the rate of the class that met a 429."""
        self._call("close", int(pause_s * 1000), class_)

    def pause(self, lanes: Sequence[str], *, by: str, reason: str = "") -> list[str]:
        """Let no call to Iron leave for these lanes until they are resumed; answers those that were not paused yet."""
        done = self._call("pause_lanes", canonical_json({"by": by, "reason": reason}), *lanes)
        return [lane.decode() for lane in done]

    def resume(self, lanes: Sequence[str]) -> list[str]:
        """Let calls for these lanes leave again; answers those that were paused."""
        return [lane.decode() for lane in self._call("resume_lanes", *lanes)]

    def standing(self) -> Standing:
        """Tell how Iron's budget stands: tap, breaker, learned rates and pauses."""
        found = json.loads(self._call("standing", CALL, IDENTIFICATION))
        opened = found["opened"]
        return Standing(
            now_ms=int(found["now"]),
            closed_until_ms=int(found["closed"]) if found["closed"] > found["now"] else None,
            breaker="closed" if not opened else "half_open" if found["probing"] else "open",
            opened_ms=int(opened) or None,
            refusal=int(found["refusal"]) or None,
            parts=found["parts"],
            paused={lane: _paused(entry) for lane, entry in sorted(found["paused"].items())},
        )

    # --- the sweep -----------------------------------------------------------------------------------------------

    def next_page(self, token: str, lease_ms: int, interval_s: float) -> NextPage | float:
        """Ask for the next page of the sweep, or the seconds to wait."""
        asked = self.clock()
        answer = self._call("sweep", token, lease_ms, int(interval_s * 1000))
        if answer[0] != b"place":
            return int(answer[1]) / 1000
        return NextPage(answer[1].decode(), self.budget.permit(CALL, asked, answer[2]))

    def page_read(self, token: str, place: str | None, *, read: int, differ: int, unknown: int) -> bool:
        """Note a page as read, and where the next one is (None: none). False: the sweep is not ours any more."""
        return bool(self._call("swept", token, "-" if place is None else place, read, differ, unknown))

    def count(self, token: str, counts: Mapping[str, int]) -> None:
        """Add to the fleet's counters; the same token adds only once."""
        self._call("count", token, *_flat(counts))

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Read | None:
        """Read one record."""
        return _read(key, self._call("read", key))

    def read_many(self, keys: Sequence[str]) -> list[Read]:
        """Read records in one round trip; one that is gone meanwhile is left out."""
        with self.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                self._call("read", key, pipeline=pipeline)
            answers = pipeline.execute()
        return [read for key, answer in zip(keys, answers, strict=True) if (read := _read(key, answer))]

    def in_phase(self, phase: Phase, *, until_ms: int | None = None, batch: int = 500) -> Iterable[Read]:
        """Read the records of a phase, those longest in it first; `until_ms`: only those in it since before then."""
        upto: Any = "+inf" if until_ms is None else until_ms
        index = f"{PREFIX}phase:{phase.value}"
        since: Any = "-inf"
        passed = (
            0  # of those in the phase since that very millisecond: records come and go meanwhile, so no plain offset
        )
        while page := self.client.zrangebyscore(index, since, upto, passed, batch, withscores=True):
            yield from self.read_many([key.decode() for key, _ in page])
            last = page[-1][1]
            passed = sum(score == last for _, score in page) + (passed if last == since else 0)
            since = last

    def imports(self) -> list[str]:
        """Name all imports, the newest first."""
        return [name.decode() for name in self.client.zrevrange(f"{PREFIX}imports", 0, -1)]

    def import_fields(self, names: Sequence[str]) -> list[tuple[dict[str, str], int]]:
        """Read what is kept about imports, and how many of their rows wait to be taken in hand; in their order."""
        with self.client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(f"{PREFIX}import:{name}")
                pipeline.zcard(f"{PREFIX}due:bulk/{name}")
            answers = pipeline.execute()
        decoded = ({field.decode(): value.decode() for field, value in fields.items()} for fields in answers[::2])
        return list(zip(decoded, answers[1::2], strict=True))

    def import_speed(self) -> dict[str, str]:
        """Read how many customers of all imports are through with our own work, and the marks of their speed."""
        return {field.decode(): value.decode() for field, value in self.client.hgetall(f"{PREFIX}import_speed").items()}

    def imported(self, name: str, *, batch: int = 500) -> Iterable[Read]:
        """Read the records that an import made, in the order of its rows."""
        start = 0
        while keys := self.client.lrange(f"{PREFIX}imported:{name}", start, start + batch - 1):
            yield from self.read_many([key.decode() for key in keys])
            start += batch

    def listed_of_import(self, name: str, behind: Listed | None, limit: int) -> list[Listed]:
        """List records that an import made, in the order of its rows, from behind a place on."""
        first = behind.at + 1 if behind else 0
        keys = self.client.lrange(f"{PREFIX}imported:{name}", first, first + limit - 1)
        return [Listed(row, key.decode()) for row, key in enumerate(keys, first)]

    def waiting_rows(self, name: str, start: int, count: int) -> list[Read]:
        """Read rows of an import that nobody has taken in hand."""
        keys = self.client.zrange(f"{PREFIX}due:bulk/{name}", start, start + count - 1)
        return self.read_many([key.decode() for key in keys])

    def keep_report(self, name: str, number: int, sealed: bytes, kept_ms: int) -> None:
        """Keep a sealed part of an import's report for so long; 0 is the first part of a new report."""
        with self.client.pipeline(transaction=True) as pipeline:
            if number == 0:
                pipeline.delete(f"{PREFIX}report:{name}")
            pipeline.hset(f"{PREFIX}report:{name}", str(number), sealed)
            pipeline.pexpire(f"{PREFIX}report:{name}", kept_ms)
            pipeline.execute()

    def report_parts(self, name: str) -> Iterable[bytes]:
        """Read the sealed parts of an import's report, one after the other."""
        number = 0
        while sealed := self.client.hget(f"{PREFIX}report:{name}", str(number)):
            yield sealed
            number += 1

    def listed(self, behind: Listed | None, limit: int, phases: Sequence[Phase] = tuple(Phase)) -> list[Listed]:
        """List records of some phases, those longest in their phase first, from behind a place on.

        A record that moves goes to the end of the list, so that none which is there is passed over, whatever moves
        between two calls. Empty: the list has ended.
        """
        since_ms, last = (behind.at, behind.key.encode()) if behind else (0, b"")
        count = limit
        while True:
            with self.client.pipeline(transaction=False) as pipeline:
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
        found = self.client.hmget(f"{PREFIX}customer", list(customer_ids)) if customer_ids else []
        return [key.decode() if key else None for key in found]

    def holders(self, external_ids: Sequence[str]) -> list[str | None]:
        """Find the idempotency keys that have these external ids, in their order."""
        found = self.client.hmget(f"{PREFIX}external", list(external_ids)) if external_ids else []
        return [key.decode() if key else None for key in found]

    def keys_of_emails(self, digests: Sequence[bytes]) -> list[str]:
        """Find the idempotency keys of whoever has, or once had, an e-mail address with one of these digests."""
        found = self.client.hmget(f"{PREFIX}email", list(digests)) if digests else []
        return list(dict.fromkeys(key.decode() for keys in found if keys for key in keys.split(b"\n")))

    def sub_partners(self) -> list[str]:
        """Name the sub-partners that any record has."""
        return sorted(member.decode() for member in self.client.smembers(f"{PREFIX}sub_partners"))

    def sweep_state(self) -> dict[str, str]:
        """Show the sweep under way and the counts of the last one."""
        state = self.client.hgetall(f"{PREFIX}sweep")
        return {name.decode(): value.decode() for name, value in state.items()}

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

    def phases(self) -> dict[Phase, tuple[int, int]]:
        """Count the records of each phase that has any, and say since when (ms) the oldest is in it."""
        with self.client.pipeline(transaction=False) as pipeline:
            for phase in Phase:
                pipeline.zcard(f"{PREFIX}phase:{phase.value}")
                pipeline.zrange(f"{PREFIX}phase:{phase.value}", 0, 0, withscores=True)
            answers = pipeline.execute()
        pairs = zip(Phase, answers[::2], answers[1::2], strict=True)
        return {phase: (count, int(oldest[0][1])) for phase, count, oldest in pairs if count}

    def places(self) -> list[str]:
        """Name the places where records wait: the lanes, and those of imports, which belong to the bulk lane."""
        waiting = self.client.zrange(f"{PREFIX}turns", 0, -1)
        return [*LANES, BEGUN, READ_AGAIN, *(place.decode() for place in waiting)]

    def lanes(self) -> dict[str, dict[str, int]]:
        """Count for each lane what is due now and what is scheduled for later."""
        now_ms, places = self.now_ms(), self.places()
        with self.client.pipeline(transaction=False) as pipeline:
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
        """Say for how long, in seconds, the record of a lane that has been due the longest is due; 0: none is."""
        first = self.client.zrange(f"{PREFIX}due:{lane}", 0, 0, withscores=True)
        return max(0.0, (self.now_ms() - first[0][1]) / 1000) if first else 0.0

    def now_ms(self) -> int:
        """Ask for the Redis server's time."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000 + self._shift_ms()

    def call(self, operation: str, *arguments: Any, durable: bool = False) -> Any:
        """Call an operation of the script for which another module has the method.

        `durable`: what a person decided, which is acknowledged only when it is as safe as was asked; NotDurableError.
        """
        return self._safe_call(operation, *arguments) if durable else self._call(operation, *arguments)

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
        """Give an operation's arguments as the script takes them."""
        return [operation, self._shift_ms(), (budget or self.budget).stated, *arguments]


class Loading:
    """Rows of an import on their way to the ledger."""

    def __init__(self, new: Sequence[New], calls: InFlight) -> None:
        """Take the rows and the calls, each with LOADED_AT_ONCE of them."""
        self._new = new
        self._calls = calls

    def created(self) -> list[Created] | None:
        """Wait for what became of each row; None: the import is cancelled. A record that was made is not read back."""
        answers = self._calls.answers()
        if b"cancelled" in answers:
            return None
        found = [_MADE] * len(self._new)
        for start, answer in zip(itertools.count(0, LOADED_AT_ONCE), answers, strict=False):
            for number, other in answer:
                at = start + number - 1
                found[at] = _created(self._new[at].record, other)
        return found

    def abandon(self) -> None:
        """Wait for nothing any more: an answer that nobody reads is no harm."""
        self._calls.abandon()


#: Draws what calls are recognised by: one of a kind and no secret, so without a system call for each.
_TOKENS = random.Random()  # noqa: S311


def _begin_tokens() -> None:
    """Begin a row of tokens that no other process has."""
    _TOKENS.seed(secrets.token_bytes(32))


_begin_tokens()
os.register_at_fork(after_in_child=_begin_tokens)


def _token() -> str:
    """Draw what a call is recognised by."""
    return urlsafe_b64encode(_TOKENS.randbytes(12)).decode()


def decode(key: str, raw: bytes) -> Record:
    """Read a stored record."""
    header, _, body = raw.partition(b"\n")
    _, version, _, place, phase, step, created, since, updated = header.decode().split(" ")
    return Record.restored(
        json.loads(body),
        key=key,
        version=int(version),
        lane=lane_of(place),
        phase=Phase(phase) if phase in _PHASES else Phase.ON_HOLD,
        step=step,
        created_ms=int(created),
        since_ms=int(since),
        updated_ms=int(updated),
    )


_PHASES = frozenset(Phase)
_SECURED = json.dumps(dict(SECURED))

#: Where an import's customer waits who is begun and has no identification yet; see workers/ledger/lua/base.lua.
BEGUN = "bulk/+"
#: Where a customer of the bulk lane waits who is only read again, in case something has changed.
READ_AGAIN = "bulk/~"
#: Steps that only read, and the phases in which they look whether somebody else has done something.
_READING = frozenset({"refresh", "fetch_required_signings"})
_WATCHED = frozenset(
    {Phase.IDENTIFICATION_PENDING, Phase.STEP_UP_REQUIRED, Phase.IN_REVIEW, Phase.SIGNINGS_REQUIRED},
)

#: Every place where records may wait: the lanes, the begun, the watched, and the imports, whose names look like this.
PLACES = re.compile(rf"{'|'.join(LANES)}|bulk/([+~]|[A-Za-z0-9][A-Za-z0-9._-]{{0,63}})")


def lane_of(place: str) -> str:
    """Give the lane of a place where records wait."""
    return place.partition("/")[0]


def _place(following: Next) -> str:
    """Say where a record waits from now on.

    What an import has begun and only the budget holds up is kept apart: imports begin no more than so many. So is who
    is only read again: everything else goes before.
    """
    record = following.record
    if record.lane != "bulk" or record.problem is not None:
        return record.lane
    if record.import_name and record.phase in (Phase.RECEIVED, Phase.CUSTOMER_CREATED):
        return BEGUN
    read_again = bool(following.delay_s) and record.step in _READING and record.phase in _WATCHED
    return READ_AGAIN if read_again else record.lane


def lua_parts() -> dict[str, str]:
    """Read the Lua code, by the names of its parts."""
    found = (file for file in (files("workers.ledger") / "lua").iterdir() if file.name.endswith(".lua"))
    return {file.name.removesuffix(".lua"): file.read_text("utf-8") for file in found}


def _flat(pairs: Mapping[str, Any]) -> list[Any]:
    return [part for pair in pairs.items() for part in pair]


def _scheduled(following: Next) -> str:
    """Write for the schedule of re-identification since when an active customer is identified, and by which policy."""
    record = following.record
    if record.phase is not Phase.ACTIVE or record.identified_ms is None:
        return ""
    return f"{record.risk_tier} {record.identified_ms} {'-' if following.rule is None else following.rule}"


def _packed(acts: Sequence[bytes]) -> str:
    """Write the acts that were applied as one JSON list of strings, which the script takes apart again."""
    return json.dumps([act.decode() for act in acts])


def _verdict(claim: Claim) -> str:
    """Say for the breaker whether Iron takes the caller's calls: "+", the status of its refusal, or "" for neither."""
    return "+" if claim.granted else str(claim.refusal or "")


def _input_ttl_ms(before: Phase, phase: Phase, parts: Mapping[str, bytes] | None) -> int | str:
    """Say what becomes of the input's expiry: it starts when the onboarding ends well, and stops when it goes on.

    What is stored after that, by a correction, expires as well.
    """
    if (before in INPUT_DONE) == (phase in INPUT_DONE) and not (parts and phase in INPUT_DONE):
        return ""
    return INPUT_KEPT_MS if phase in INPUT_DONE else 0


def _history(record: Record, at_ms: int, step: str, note: str) -> tuple[bytes, str]:
    """Write a history entry and the digest that chains it to the one before."""
    entry = {"at_ms": at_ms, "phase": record.phase.value} | {
        name: value for name, value in (("step", step), ("note", note)) if value
    }
    digest = chained(record.head, entry)
    return canonical_json({**entry, "digest": digest}), digest


#: A row of an import that has a record now.
_MADE = Created("created")


#: Before each field of a row its length, as the script reads it; see workers/ledger/lua/loading.lua.
_LENGTH = struct.Struct("<I").pack


def _packed_row(*fields: bytes) -> bytes:
    """Write a row's fields as the script takes them, many rows in one argument."""
    return b"".join([part for field in fields for part in (_LENGTH(len(field)), field)])


def _new(new: New, token: str, at_ms: int) -> bytes:
    """Write a new record as `create` takes it."""
    record, parts = new.record, new.parts
    entry, head = _history(record, at_ms, "", new.note)
    texts = (
        *(record.key, token, record.external_id, record.customer_id or "", record.sub_partner_id or "", record.lane),
        *(record.step, record.phase.value, events.beginning(record)),
    )
    return _packed_row(
        *(text.encode() for text in texts),
        *(new.email, canonical_json({**record.stored(), "head": head}), entry),
        *(parts.get("customer", b""), parts.get("identification", b"")),
    )


def _row(new: New, head: str) -> bytes:
    """Write a new record as `load` takes it. `head`: digest of its first history entry, which all rows share."""
    record, parts = new.record, new.parts
    return _packed_row(
        record.key.encode(),
        record.external_id.encode(),
        (record.sub_partner_id or "").encode(),
        new.email,
        record.lane.encode(),
        canonical_json({**record.stored(), "head": head}),
        parts.get("customer", b""),
        parts.get("identification", b""),
    )


def _created(record: Record, answer: Any) -> Created:
    match answer[0]:
        case b"created":
            _, version, now_ms, due = answer
            times = {"created_ms": now_ms, "since_ms": now_ms, "updated_ms": now_ms}
            return Created("created", record.evolve(version=version, **times), _ms(due))
        case b"exists":
            _, raw, due, serial = answer
            return Created("exists", decode(record.key, raw), _ms(due), link_serial=serial)
        case _:
            return Created("external_id_taken", holder=answer[1].decode())


def _committed(following: Next, answer: Any) -> Nudge | None:
    if answer[0] == b"stale":
        raise StaleClaimError
    if answer[0] == b"jumped":
        raise ClockJumpedError
    _, version, _, nudge, _, step = answer
    record = following.record
    return Nudge(record.lane, step.decode(), record.key, version) if nudge else None


def _read(key: str, answer: Any) -> Read | None:
    if not answer:
        return None
    raw, due, acts, claimed, now_ms, serial, abandoned = answer
    return Read(decode(key, raw), _ms(due), acts, bool(claimed), now_ms, serial, _ms(abandoned))


def _ms(score: bytes | None) -> int | None:
    return None if score is None else int(float(score))


def _paused(entry: str) -> Pause:
    at_ms, _, who = entry.partition(" ")
    return Pause(int(at_ms), **json.loads(who))


def _nudge(answer: Any) -> Nudge | None:
    if answer[0] != b"nudge":
        return None
    _, lane, step, version, key = answer
    return Nudge(lane.decode(), step.decode(), key.decode(), version)
