"""What the ledger takes and returns: claims, nudges, records as they are read; and how long a lease holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pipelines.errors import IronError, OnboardingError, StaleClaimError
from pipelines.iron import Answer
from pipelines.model import Record
from workers.ledger.limits import Permit

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
#: Claims in a row without a commit after which a record is suspected of killing its workers.
POISON_CRASHES = 5
#: Jobs, or rows of an import, that one script call makes records of: some 2 ms in which Redis does nothing else.
LOADED_AT_ONCE = 100


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
    #: Version of the policy of reminders in force.
    reminders: int = 0
    #: What it brings of Iron's budget, by class; a call without a permit asks for one.
    permits: dict[str, Permit] = field(default_factory=dict)
    #: The breaker is open, and this claim finds out whether Iron is well again.
    probe: bool = False
    #: Calls to Iron made so far, and how many of them had no answer, or a 5xx.
    calls: int = 0
    bad: int = 0
    #: Whether Iron granted any of them what was asked for.
    granted: bool = False
    #: The status with which Iron refused the caller, where it did.
    refusal: int | None = None
    #: Seconds that its calls have waited for the budget.
    waited_s: float = 0.0

    def elapsed_ms(self) -> int:
        """Return the ledger's time now, as far as this process can tell."""
        return self.now_ms + int((self.clock() - self.started) * 1000)

    def agrees(self, now_ms: int) -> bool:
        """Return whether this process's clock went on like the server's, whose time is `now_ms`, since the claim."""
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


class WithheldError(Exception):
    """A reminder was to be told, and something happened meanwhile: nothing was written, look again first."""


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """There is nothing to do for this nudge now, and why: gone, newer, leased, superseded, paced or paused."""

    reason: str


class New(NamedTuple):
    """What the ledger is to store as a new record."""

    record: Record
    #: Sealed parts of the input.
    parts: Mapping[str, bytes]
    #: Digest of the e-mail address; empty: there is none to find it by.
    email: bytes = b""
    #: What the history says of its beginning.
    note: str = "submitted"
    #: Every form in which a record of the same job may hold its fingerprint; the record's own is the first.
    marks: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Taken:
    """What was due: the nudges to send, and the seconds until a lane that is short of slots has some; None: none is."""

    nudges: tuple[Nudge, ...] = ()
    again_s: float | None = None
