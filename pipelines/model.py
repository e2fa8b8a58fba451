"""The record of one onboarding and the values that steps exchange with the code that runs them.

Everything here is immutable and knows nothing of Redis. Times are milliseconds since the epoch by the ledger's clock
(`_ms`), durations are seconds (`_s`). A record's stored form leaves out every field that has its default value, so that
a customer who waits stays small.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Self, TypeVar

from pipelines import keys
from pipelines.errors import (
    ConflictError,
    IronError,
    NotFoundError,
    OnboardingError,
    OutcomeUnknownError,
    RequestRefusedError,
    ServerFaultError,
)
from pipelines.lifecycle import OWN_PHASES, Actor, Phase, Row, decide

T = TypeVar("T")

#: Refusals of a job's details in a row that are Iron's answer to the job. The first may have been a fault that others
#: meet as well; between the two the customer is read, which tells that Iron takes our calls.
STRIKES = 2

#: Version of the stored form. A worker leaves records of a newer form alone.
FORMAT = 1


def _stored(value: Any) -> dict[str, Any]:
    """Write a dataclass as a dictionary without the fields that have their default value."""
    return {
        item.name: getattr(value, item.name)
        for item in fields(value)
        if item.default is MISSING or getattr(value, item.name) != item.default
    }


def _known(cls: type[T], stored: dict[str, Any]) -> T:
    """Read a dataclass, leaving out what a newer release has added."""
    names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in stored.items() if name in names})


@dataclass(frozen=True, slots=True)
class Policy:
    """The durations and caps that decide what happens next. Source of the defaults: contract section 2."""

    #: Longer than Iron's look-ups lag behind and than a request can stay on the wire.
    settle_s: float = 120.0
    #: First pause between two reads of a customer after a change; the pauses grow from there.
    poll_min_s: float = 5.0
    #: For how long after a change a customer is read one by one.
    poll_for_s: float = 86_400.0
    #: Pause between two reads after that: the sweep looks meanwhile, this is only the floor under it.
    poll_far_s: float = 365 * 86_400.0
    #: Identifications in a row that we begin by ourselves when links expire.
    max_rounds: int = 3
    #: Pause between two such identifications.
    round_spacing_s: float = 3_600.0
    #: How long Iron remembers an idempotency key. Source: iron-api 1.3.
    retention_s: float = 86_400.0
    #: Part of the retention in which a key is used without looking first. Source: design section 2, rule 5.
    retention_used: float = 0.8
    #: Generations of one key that may follow each other without a person. Source: design section 5, race h.
    max_generations: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps an onboarding from moving on. `text` never holds personal data."""

    code: str
    text: str
    retryable: bool
    first_seen_ms: int
    count: int = 1
    operator: bool = False
    #: Iron's own code of it, where Iron gave one with its refusal.
    iron_code: str = ""

    @classmethod
    def of(cls, code: str, text: str, *, retryable: bool, operator: bool, now_ms: int, before: Problem | None) -> Self:
        """Make the problem, or count it up when it is the one that was there before."""
        same = before is not None and before.code == code
        first, count = (before.first_seen_ms, before.count + 1) if before and same else (now_ms, 1)
        return cls(code, text, retryable, first, count, operator)


@dataclass(frozen=True, slots=True)
class Signing:
    """A document that Iron asks the customer to sign, and how far that is."""

    id: str
    display_name: str = ""
    url: str = ""
    #: Counts how often this document became required again after it had been signed.
    occasion: int = 0
    consented_ms: int | None = None
    signed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The next identification of a customer who is active: announced, asked for, about to begin, or begun.

    Once it has begun it only says for the run's report which one that was; the next notice begins a new one.
    """

    noticed_ms: int | None = None
    #: The start that the notice named.
    announced_ms: int | None = None
    #: The run it belongs to: named by the person who asked, or the policy's day.
    run: str = ""
    #: When a run or a person asked for it; `by_hand`: whatever the date is.
    asked_ms: int | None = None
    by_hand: bool = False
    #: The policy's day of whose starts this is one.
    day: str = ""
    begun_ms: int | None = None

    def withdrawn(self) -> Again:
        """Return what is left when nobody asks for it any more: the notice, if one was given."""
        return Again(noticed_ms=self.noticed_ms, announced_ms=self.announced_ms)

    @property
    def asked(self) -> bool:
        """Whether somebody asked for it and it has not begun."""
        return self.asked_ms is not None and self.begun_ms is None

    @property
    def starting(self) -> bool:
        """Whether it has its place among a day's starts and has not begun."""
        return bool(self.day) and self.begun_ms is None


@dataclass(frozen=True, slots=True)
class Reminded:
    """What a customer was reminded of: since when the need is there, how often it was told, and when last."""

    need: str
    since_ms: int
    count: int = 0
    last_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """One operation that changes something on Iron, from its first call until its outcome is known.

    While a record has one that was called, the call is in doubt. Source: design section 2, rules 4 and 5, race h.
    """

    step: str
    subject: tuple[str, ...]
    generation: int = 0
    #: First call under generation 0: Iron's retention counts from here.
    first_ms: int | None = None
    #: Latest call whose outcome we do not know, or that Iron answered with an error.
    last_ms: int | None = None
    #: The fault (5xx) that Iron answered last; a 409 is not one, since it never calls for another key.
    error: str | None = None
    #: The same error came again when the same key was sent after the settle time.
    confirmed: bool = False
    #: Iron answered 409, or 404: the next attempt looks before it calls.
    conflict: bool = False
    #: A claim of this key ended without a commit: its worker may be asleep and may call yet.
    abandoned: bool = False
    #: How often in a row Iron refused the details; twice is an answer, once may have been trouble of Iron's own.
    strikes: int = 0
    #: Iron refused the request for good: there is no doubt, and a correction takes the next generation.
    refused: bool = False
    #: Generations taken by ourselves, which are capped; those of corrections are not counted.
    renewals: int = 0

    @property
    def in_doubt(self) -> bool:
        """Whether a call was or may have been made whose outcome nobody knows yet."""
        return (self.last_ms is not None or self.abandoned) and not self.refused

    def key(self, installation: str, sub_partner_id: str | None) -> str:
        """Return the idempotency key of this effect."""
        return keys.idempotency_key(
            installation=installation,
            sub_partner_id=sub_partner_id,
            step=self.step,
            subject=self.subject,
            generation=self.generation,
        )

    def renewed(self, renewals: int = 0) -> Effect:
        """Return the same effect under the next generation of its key; `renewals` of these are counted."""
        counted = self.renewals + renewals
        return Effect(self.step, self.subject, self.generation + 1, first_ms=self.first_ms, renewals=counted)

    def forgotten(self, now_ms: int, policy: Policy) -> bool:
        """Return whether so much of Iron's retention is over that the key can no longer be relied on."""
        limit_ms = policy.retention_s * policy.retention_used * 1000
        return self.first_ms is not None and now_ms - self.first_ms >= limit_ms

    def settled(self, now_ms: int, policy: Policy) -> bool:
        """Return whether the settle time has passed since the last call."""
        return self.last_ms is not None and now_ms - self.last_ms >= policy.settle_s * 1000

    def after(self, error: IronError, now_ms: int, policy: Policy, *, strikes: int = STRIKES) -> Effect:
        """Note what a call that failed says about the effect. `strikes`: refusals in a row that are an answer."""
        first_ms = self.first_ms if self.first_ms is not None else now_ms
        called = replace(self, first_ms=first_ms, conflict=isinstance(error, NotFoundError))
        if isinstance(error, RequestRefusedError) and not error.concerns_caller:
            called = replace(called, strikes=self.strikes + 1)
            if called.strikes < strikes:
                return called
            return replace(called, last_ms=now_ms, error=None, confirmed=False, refused=True)
        if not isinstance(error, OutcomeUnknownError):
            return called
        answer = f"HTTP {error.status}" if isinstance(error, ServerFaultError) else None
        called = replace(called, conflict=isinstance(error, ConflictError), strikes=0)
        again = answer is not None and answer == self.error and self.settled(now_ms, policy)
        return replace(called, last_ms=now_ms, error=answer, confirmed=again)


@dataclass(frozen=True)  # no slots: `evolve` copies all fields at once
class Record:
    """Everything the ledger knows about one onboarding, except for its encrypted input.

    The first seven fields are kept by the ledger's script; the rest is what steps decide.
    """

    key: str
    version: int = 0
    lane: str = "interactive"
    phase: Phase = Phase.RECEIVED
    #: The step that runs when the record is due or woken.
    step: str = "create_customer"
    created_ms: int = 0
    since_ms: int = 0
    updated_ms: int = 0

    external_id: str = ""
    fingerprint: str = ""
    risk_tier: str = "standard"
    sub_partner_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    #: How the first round identifies the customer; a later one is a hosted link unless a correction brings data for it.
    identification_type: str = "Link"
    with_edd: bool = False
    #: A correction brought data of its own for the next round.
    given: bool = False
    #: Counts corrections of the input; `input_ms` is when the latest came.
    revision: int = 0
    input_ms: int | None = None
    #: Found on Iron by `adopt`, without a job of ours: one with its external id joins it.
    adopted: bool = False
    #: The import that brought the job; empty for a job submitted by itself.
    import_name: str = ""

    customer_id: str | None = None
    customer_status: str | None = None
    identification_id: str | None = None
    identification_status: str | None = None
    link: str | None = None
    #: Iron said with the customer's creation that it has no identification: none has to be looked for.
    none_yet: bool = False
    #: Approved or active before the newest identification asked for more.
    was_active: bool = False
    may_retry: bool = True
    #: Codes of what Iron still wants, or why it declined. Source: iron-api 3.10.
    reasons: tuple[str, ...] = ()
    #: Labels of the same, which say more: Sumsub's, such as UNSATISFACTORY_PHOTOS.
    reject_labels: tuple[str, ...] = ()
    round: int = 0
    round_ms: int | None = None
    #: A person asked for a new round.
    restart: bool = False
    #: New rounds that the customer asked for, since an operator began one or the customer was active.
    rounds_asked: int = 0
    #: Iron's e-mail or external id is not the one of the corrected input; counts the updates sent for it.
    update: bool = False
    updates: int = 0
    signings: tuple[Signing, ...] = ()
    #: What a person wants archived at Iron, for good: "customer", "identification", or nothing.
    archive: str = ""
    #: When the newest identification began, by Iron's clock: re-identification is counted from here.
    identified_ms: int | None = None
    again: Again | None = None
    #: None: nobody was reminded yet of what the customer has to do, which is needed since the phase began.
    reminded: Reminded | None = None
    #: Since when whoever must act must act, where that is not since the phase began.
    turn_ms: int | None = None
    #: The lane to go back to from `reidentify`.
    home: str = ""

    effect: Effect | None = None
    problem: Problem | None = None
    #: Attempts at a step that ended without a result: the step in hand, or `tried`.
    attempts: int = 0
    #: The step that met an answer which it does not foresee: the customer is read before it may come again.
    tried: str = ""
    #: Reads since the phase began, or since we or a person did something; the pauses between them grow with it.
    reads: int = 0
    #: When we or a person did something last, where that was after the phase began: reads are frequent again from then.
    fresh_ms: int | None = None
    #: It was read why Iron declined, or what the step-up is about.
    reasons_read: bool = False
    #: Identifications that Iron's list showed when it was read last.
    identifications: int = 0
    #: The API version that Iron named when it created the customer.
    api_version: str = ""
    #: Digest of the newest history entry.
    head: str = ""

    def row(self) -> Row:
        """Return the row of the table of a customer's life that Iron's statuses lead to."""
        return decide(
            self.customer_status or "",
            self.identification_status,
            has_url=self.link is not None,
            was_active=self.was_active,
            may_retry=self.may_retry,
        )

    def waiting_on(self) -> Actor:
        """Return who must act before this onboarding can move on."""
        if self.problem is not None and self.problem.operator:
            return Actor.OPERATOR
        if self.phase is Phase.ON_HOLD:
            return Actor.OPERATOR
        if self.phase in OWN_PHASES:
            return OWN_PHASES[self.phase]
        return self._who_signs() if self.phase is Phase.SIGNINGS_REQUIRED else self.row().who

    def _who_signs(self) -> Actor:
        """Return whose turn it is: ours while documents are fetched or submitted, Iron's when all are signed."""
        open_ = [signing for signing in self.signings if not signing.signed_ms]
        if any(not signing.consented_ms for signing in open_):
            return Actor.CUSTOMER
        return Actor.IRON if self.signings and not open_ else Actor.US

    def evolve(self, **changes: Any) -> Self:
        """Copy with some fields changed, like dataclasses.replace, which takes fifteen times as long for so many."""
        if not changes.keys() <= self.__dict__.keys():
            raise TypeError(f"a record has no {', '.join(sorted(changes.keys() - self.__dict__.keys()))}")
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, **changes)
        return made

    def stored(self) -> dict[str, Any]:
        """Write what steps decide as a JSON object without defaults."""
        out = {
            name: value for (name, default), value in zip(_DEFAULTS, _decided(self), strict=True) if value != default
        }
        if self.signings:
            out["signings"] = [_stored(signing) for signing in self.signings]
        for name in ("reasons", "reject_labels"):
            if name in out:
                out[name] = list(out[name])
        if self.again:
            out["again"] = _stored(self.again)
        if self.reminded:
            out["reminded"] = _stored(self.reminded)
        if self.effect:
            out["effect"] = _stored(self.effect)
        if self.problem:
            out["problem"] = _stored(self.problem)
        return out

    @classmethod
    def restored(cls, stored: dict[str, Any], **kept_by_script: Any) -> Self:
        """Read `stored()` back; fields this release does not know are left out."""
        known = {name: value for name, value in stored.items() if name in _NAMES}
        if "signings" in known:
            known["signings"] = tuple(_known(Signing, item) for item in known["signings"])
        for name in known.keys() & {"reasons", "reject_labels"}:
            known[name] = tuple(known[name])
        if "again" in known:
            known["again"] = _known(Again, known["again"])
        if "reminded" in known:
            known["reminded"] = _known(Reminded, known["reminded"])
        if "effect" in known:
            known["effect"] = _known(Effect, {**known["effect"], "subject": tuple(known["effect"]["subject"])})
        if "problem" in known:
            known["problem"] = _known(Problem, known["problem"])
        return cls(kept_by_script["key"]).evolve(**known, **kept_by_script)


#: Fields that the ledger's script keeps; they are not part of the stored JSON object.
_KEPT_BY_SCRIPT = frozenset({"key", "version", "lane", "phase", "step", "created_ms", "since_ms", "updated_ms"})
_DEFAULTS = tuple(
    (item.name, {} if item.default is MISSING else item.default)
    for item in fields(Record)
    if item.name not in _KEPT_BY_SCRIPT
)
_decided = attrgetter(*(name for name, _ in _DEFAULTS))
_NAMES = frozenset(name for name, _ in _DEFAULTS)


@dataclass(frozen=True, slots=True)
class Done:
    """The step is through: these fields of the record are now true. `note` is told in the history.

    `keep`: parts of the encrypted input to store from now on, or to drop where None. `event`: upstream is told this,
    a name of pipelines.events.EMITTED_BY_STEPS, beside what the phase says.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    keep: dict[str, Any] = field(default_factory=dict)
    event: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing new is known; `then` is the step that looks again, `because` the reason in plain words."""

    because: str
    then: str = "refresh"
    #: The instant of the next look; None: the usual growing pauses.
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Iron refuses the request itself; `text` says what is wrong without repeating any input."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Partly:
    """The step stopped at an error; these fields of the record are now true all the same."""

    changes: dict[str, Any]
    error: OnboardingError


Outcome = Done | Wait | Refused | Partly


@dataclass(frozen=True, slots=True)
class Next:
    """What a commit writes: the record as it is from now on, and when to look at it again.

    `delay_s`: 0 sends the next nudge at once; None: finished, no due time.
    """

    record: Record
    delay_s: float | None
    note: str = ""
    #: Parts of the encrypted input to store, in plain, or to drop where None.
    keep: dict[str, Any] = field(default_factory=dict)
    #: Parts that came sealed, with a correction.
    sealed: dict[str, str] = field(default_factory=dict)
    #: The acts that are taken into account, as they were stored.
    applied: tuple[bytes, ...] = ()
    #: What upstream is told beside the phase, by name; "" for nothing.
    event: str = ""
    #: Version of the re-identification policy by which the due time was computed; None: by none.
    rule: int | None = None
    #: Version of the policy of reminders by which it was looked whether one is due; None: there is nobody to remind.
    reminders: int | None = None
    #: The customer was read for it.
    read: bool = False
    #: What is committed where somebody did something, or a webhook came, while a reminder was about to be told.
    instead: Next | None = None
