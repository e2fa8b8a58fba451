"""One attempt at a step: what it knows, and the one way to change something on Iron.

`Attempt.perform` is the only caller of operations with an idempotency key. It looks before the first call of a key and
before the first after most of the retention is over, sends the same key as long as the outcome is unknown, and takes a
new generation of the key only under the conditions of design section 5, race h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, TypeVar

from pipelines.errors import IronError, RenewedError, SettlingError
from pipelines.model import STRIKES, Effect, Policy, Record
from pipelines.reidentification.policy import InForce
from pipelines.reminders.policy import RemindersInForce

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody who is to be identified again now asks for a place among the starts of a day.

    The lowest order comes first; `cap` is how many places the day has.
    """

    key: str
    run: str
    day: date
    order_ms: int
    cap: int


@dataclass(frozen=True, slots=True)
class Place:
    """The answer. When the day is full, `ahead` wait before this one and `taken` have a place."""

    answer: Literal["granted", "full", "paused", "cancelled"]
    ahead: int = 0
    taken: int = 0


def no_place(ask: Ask) -> Place:  # noqa: ARG001 -- the signature of a giver of places
    """Give nobody a place: an attempt that cannot count starts begins none."""
    return Place("paused")


#: Subject of an effect that a claim without a commit may have begun: only the step itself knows which one it was.
ANY_SUBJECT: tuple[str, ...] = ()


@dataclass(slots=True)
class Attempt:
    """The circumstances of one run of a step. `effect` and `called` change while the attempt runs; nothing else does.

    `now_ms`, `input`, `rule` and `place` reach back to the ledger: the steps themselves stay pure.
    """

    installation: str
    policy: Policy
    #: The ledger's time now, in milliseconds.
    now_ms: Callable[[], int]
    #: The part of the submitted input that this step sends. Raises InputLostError when it cannot be read.
    input: Callable[[], Mapping[str, Any]]
    #: The effect in hand: from the record and the claims before, then as this attempt's calls leave it.
    effect: Effect | None = None
    #: The re-identification policy in force. The same one however often it is asked for.
    rule: Callable[[], InForce] = InForce
    #: The policy of reminders in force.
    reminders: Callable[[], RemindersInForce] = RemindersInForce
    #: Ask for a place among a day's starts of re-identification.
    place: Callable[[Ask], Place] = no_place
    #: Whether there is such a part.
    has_input: bool = False
    #: Whether this attempt sent an operation that Iron answered.
    called: bool = False
    #: It finds out whether Iron is well again: trouble with its calls says nothing about the record.
    probe: bool = False

    def perform(
        self,
        record: Record,
        subject: tuple[str, ...],
        *,
        call: Callable[[str], T],
        look: Callable[[], T | None],
        none_yet: bool = False,
        strikes: int = STRIKES,
    ) -> T:
        """Bring about one effect on Iron and return it, made now, made earlier, or made by somebody else.

        Two calls at most: one look and one operation.
        `call` sends the request under the key it is given; `look` finds the effect if it is there. `none_yet`: it is
        known that there is nothing to find, so that the first look can be left out. `strikes`: refusals in a row that
        are an answer. Raises what the call raised; the effect then says what is known, and the same arguments in a
        later attempt go on from there.
        """
        effect = self._effect(record.step, subject)
        now_ms = self.now_ms()
        forgotten = effect.forgotten(now_ms, self.policy)
        settled = effect.settled(now_ms, self.policy)
        untouched = effect.last_ms is None and not effect.abandoned
        self.effect = effect
        first = effect.last_ms is None and not (none_yet and untouched)
        answered_long_ago = (effect.error or effect.refused) and settled
        must_look = first or forgotten or effect.conflict or answered_long_ago
        if must_look:
            found = look()
            if found is not None:
                return found
            if forgotten:
                self._settle(effect, now_ms)
                effect = self._begun_again(effect, now_ms)
            elif settled and self._may_renew(effect):
                self.effect = effect.renewed(1)
                raise RenewedError
        self.effect = effect
        try:
            answer = call(effect.key(self.installation, record.sub_partner_id))
        except IronError as error:
            error.of_effect = True
            self.effect = effect.after(error, self.now_ms(), self.policy, strikes=strikes)
            raise
        self.called = True
        return answer

    def _effect(self, step: str, subject: tuple[str, ...]) -> Effect:
        """Go on with the effect in hand if it is this one, else begin."""
        effect = self.effect
        if effect is None or effect.step != step or effect.subject not in (subject, ANY_SUBJECT):
            return Effect(step, subject)
        return replace(effect, subject=subject)

    def _settle(self, effect: Effect, now_ms: int) -> None:
        """Raise SettlingError until every call under a later generation must show in a look, before 0 is begun again.

        That takes the settle time; but where a claim ended without a commit, as long as its worker may be asleep with
        the call in hand: it claimed inside the first retention, and sleeps no longer than another.
        """
        if not effect.generation or effect.first_ms is None:
            return
        asleep = effect.abandoned and now_ms - effect.first_ms < 2 * self.policy.retention_s * 1000
        if asleep or (effect.last_ms is not None and not effect.settled(now_ms, self.policy)):
            raise SettlingError

    def _begun_again(self, effect: Effect, now_ms: int) -> Effect:
        """Begin at generation 0. While Iron may still remember it, its clock runs on and no generation may follow.

        A generation above 0 that was used after generation 0 is forgotten could be followed by generation 0 itself,
        when the ledger is lost just then. Source: the model's finding 7.
        """
        if effect.first_ms is None or now_ms - effect.first_ms >= self.policy.retention_s * 1000:
            return Effect(effect.step, effect.subject)
        spent = self.policy.max_generations
        return Effect(effect.step, effect.subject, first_ms=effect.first_ms, last_ms=effect.last_ms, renewals=spent)

    def _may_renew(self, effect: Effect) -> bool:
        known = effect.confirmed or effect.refused
        return known and not effect.abandoned and effect.renewals < self.policy.max_generations


def effect_in_hand(record: Record, abandoned_ms: int | None, *, has_effect: bool) -> Effect | None:
    """Return the effect that a claim begins with.

    `abandoned_ms`: when the first of the claims that ended without a commit began; its worker may be asleep and may
    call yet, so the call is in doubt and no new generation may follow. `has_effect`: the record's step changes Iron.
    """
    if abandoned_ms is None or not has_effect:
        return record.effect
    effect = record.effect
    if effect is None or effect.step != record.step:
        effect = Effect(record.step, ANY_SUBJECT)
    first_ms = abandoned_ms if effect.first_ms is None else min(effect.first_ms, abandoned_ms)
    return replace(effect, first_ms=first_ms, abandoned=True)
