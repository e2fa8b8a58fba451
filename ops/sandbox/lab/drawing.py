"""What the provider might be like: the plausible values of every switch, and dice that draw among them.

`draw` draws a provider for one schedule. `Dice` then changes its mind with every request: harmless choices at any time,
oddities in short spells that end. The same seed draws the same; a field of `Switches` without a row here fails a test.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ops.sandbox.world.switches import Switches


@dataclass(frozen=True, slots=True)
class Choice:
    """The values that the provider may have chosen, and how it keeps to them.

    `values` may hold for good; one that is there twice is drawn twice as often. With `odds` above zero a request may
    meet another of them. `odd` values are drawn by `spell_odds` at a request and hold until they are over.
    """

    values: tuple[Any, ...]
    #: The chance that a request meets another one of the values, and that request alone.
    odds: float = 0.0
    #: What comes now and then.
    odd: tuple[Any, ...] = ()
    #: The chance that a request begins a spell of one of these.
    spell_odds: float = 0.0
    #: The longest spell, in seconds of the sandbox clock; a spell of 0 s is over with its request.
    longest_s: float = 0.0

    @property
    def once(self) -> bool:
        """Whether what a schedule has drawn holds for all of it."""
        return not (self.odds or self.spell_odds)


#: A request meets another one of the harmless values this often: the drawn one stays likelier than all others.
ANEW = 0.2
#: Spells begin seldom, so that at most requests nothing odd is going on. There are some ten kinds of them.
SELDOM = 0.01
#: The lengths that a spell may have, as parts of its longest: half of them end with the request that began them.
LENGTHS = (0.0, 0.0, 0.02, 0.2, 1.0)

#: What an operation's reads may answer for a spell: each alone, so that another read tells what is true.
ODD_KINDS = (
    *("400", "404", "409", "410", "422"),
    *("empty_list", "null", "empty_object", "missing_member", "missing_in_items", "unknown_status"),
)
ODD_OPERATIONS = (
    "get_customer",
    "get_customer_by_external_id",
    "list_customers",
    "list_identifications",
    "get_identification",
    "get_requirements",
    "get_required_signings",
    "list_signings",
)

CHOICES: dict[str, Choice] = {
    # Requests and headers
    "known_versions": Choice((Switches().known_versions, (*Switches().known_versions, "2027-01-15"))),
    "bad_version": Choice((400, 403, 406, 422)),
    "version_echo": Choice((True, False), odds=ANEW),
    "unknown_members": Choice(("take", "refuse")),
    "bad_request": Choice((400, 422), odds=ANEW),
    "bad_signing": Choice((422, 400), odds=ANEW),
    "large_page": Choice(("refuse", "clamp")),
    "stale_cursor": Choice(("refuse", "not_found", "first_page")),
    "refuse_all": Choice((None,), odd=(400, 401, 403, 406), spell_odds=SELDOM / 4, longest_s=300),
    "retry_after": Choice((True, False), odds=ANEW),
    # Idempotency
    "retention_s": Choice((86_400, 86_400, 172_800, 2_592_000)),
    "retention_elsewhere_s": Choice((None, None, 3_600, 604_800)),
    "stored_errors": Choice(("4xx", "none", "all")),
    "key_scope": Choice(("path", "everywhere")),
    "key_form": Choice(("any", "uuid")),
    "in_flight": Choice(("conflict", "replay"), odds=ANEW),
    "replay_headers": Choice((True, False), odds=ANEW),
    # Customers
    "duplicate_external_id": Choice(("take", 400, 409)),
    "duplicate_email": Choice(("take", "take", 400, 409)),
    "external_lookup": Choice(("oldest", "newest")),
    "external_archived": Choice((True, False)),
    "external_case": Choice(("kept", "ignored")),
    "longest_external_id": Choice((255, 128, 1024)),
    "order": Choice(("identify_first", "identify_first", "sign_first")),
    "wrong_sub_partner": Choice((404, 403)),
    "update_status": Choice((204, 200), odds=ANEW),
    "update_missing": Choice((404, 400)),
    "blocked_customer": Choice((403, 400, 409)),
    # Identifications
    "pending_identification": Choice(("conflict", "supersede")),
    "pending_means": Choice(("in_flight", "pending"), odds=ANEW),
    "superseded_becomes": Choice(("itself", "Expired", "Archived")),
    "submitted_becomes": Choice(("Processed", "PendingReview"), odds=ANEW),
    "archiving_puts_back": Choice((False, True)),
    "decided_again": Choice((404, 400, 409)),
    "step_up": Choice(("pending", "approved", "new_record"), odds=ANEW),
    "url_delay_s": Choice((0, 0, 3, 30)),
    "url_rotates": Choice((False, True)),
    "keep_url": Choice((False, True), odds=ANEW),
    "step_status": Choice(("decided", "always", "never"), odds=ANEW),
    "requirements_empty": Choice(("list", "null"), odds=ANEW),
    "retryable_said": Choice((True, True, False), odds=ANEW),
    "review_comments": Choice((True, True, False), odds=ANEW),
    # Signatures
    "approval_delay_s": Choice((None, None, 0, 30, 300)),
    "nothing_to_sign": Choice(("active", "signings_required"), odds=ANEW),
    "new_round_signs": Choice(("missing", "missing", "all")),
    "documents_lag_s": Choice((0, 0, 2, 30)),
    "required_signings_otherwise": Choice(
        ("conflict", "conflict_not_in_status", "conflict_none", "empty", "not_found", "gone", "bad", "null"),
        odds=ANEW,
        odd=("forbidden",),
        spell_odds=SELDOM / 4,
        longest_s=60,
    ),
    "signed_stay_listed": Choice((False, True)),
    "signing_again": Choice(("refuse", 404, 409, "accept", "same"), odds=ANEW),
    "unknown_document": Choice((404, 409, 422)),
    "activation_delay_s": Choice((0, 0, 3, 20)),
    # Reads
    "lookup_lag_s": Choice((0, 0, 5, 30)),
    "record_lag_s": Choice((0, 0, 5, 30)),
    "customer_lag_s": Choice((0, 0, 1, 10)),
    "status_lag_s": Choice((0, 0, 1, 10)),
    "list_order": Choice(("newest", "oldest", "shuffled")),
    "ids_order": Choice(("oldest", "newest", "shuffled"), odds=ANEW),
    "optional_fields": Choice(("null", "omitted"), odds=ANEW),
    "left_out": Choice(
        ((), (), ("identification_status",), ("identification_ids", "signing_ids"), ("customer_id",)),
        odd=(("external_id",), ("url",), ("created_at", "updated_at"), ("step_status", "review_comment"), ("cursor",)),
        spell_odds=SELDOM,
        longest_s=60,
    ),
    "unknown_fields": Choice((False, True), odds=ANEW),
    "times": Choice(("z", "micros", "offset", "micros_offset", "elsewhere"), odds=ANEW),
    "odd_reads": Choice(
        ({},),
        odd=tuple({operation: kind} for operation in ODD_OPERATIONS for kind in ODD_KINDS),
        spell_odds=SELDOM * 2,
        longest_s=120,
    ),
    # Errors
    "error_bodies": Choice(("string", "text", "object", "empty"), odds=ANEW),
    "unauthorized_body": Choice(("text", "string"), odds=ANEW),
    # Webhooks
    "webhook_agent": Choice((Switches().webhook_agent, None)),
    "webhook_key": Choice(("raw", "decoded")),
    "webhook_message": Choice(("wrapped", "unwrapped"), odds=ANEW),
    "webhook_id": Choice(("attempt", "event")),
}

#: Switches that are no choice of the provider's, each with its reason.
NO_CHOICE: dict[str, str] = {
    "rate_per_second": "a limit belongs to the contract with the provider; tests set it beside their own budget",
    "identifications_per_minute": "the same",
    "approval": "a customer's reviews are the tests' to steer",
    "documents": "what the tests ask to be signed, and count",
    "renamed_statuses": "a rename for good would be another API; `odd_reads` shows unknown statuses for a spell",
    "link_prefix": "where the sandbox listens",
    "return_url": "where the sandbox's own page leads",
}

_ANEW = tuple((name, choice) for name, choice in CHOICES.items() if choice.odds)
_SPELLS = tuple((name, choice) for name, choice in CHOICES.items() if choice.spell_odds)


def draw(switches: Switches, dice: random.Random, *, keep: Collection[str] = ()) -> Switches:
    """Draw a provider: a copy of the switches in which every choice is drawn, but for those to be kept."""
    drawn = {name: dice.choice(choice.values) for name, choice in CHOICES.items()}
    changes = {name: value for name, value in drawn.items() if name not in keep}
    return Switches.model_validate({**switches.model_dump(), **changes})


class Dice:
    """Let requests meet a provider that changes its mind. What was drawn or set before comes back after each spell."""

    def __init__(self, switches: Switches, dice: random.Random, keep: Collection[str] = ()) -> None:
        self._switches = switches
        self._random = dice
        self._keep = frozenset(keep)
        #: What holds for now only: its value, the one that comes back, and when.
        self._spells: dict[str, tuple[Any, Any, float]] = {}
        #: Draws nothing any more.
        self.quiet = False
        #: By what the usual odds of spells are multiplied; 0: no spells, only harmless choices change.
        self.times = 1.0

    def throw(self, now: float, operation: str = "") -> None:
        """End what is over, and draw what this request meets; `now` by the sandbox clock, in seconds.

        A spell of odd reads begins with a read of the operation that is asked for.
        """
        self._end(now)
        if self.quiet:
            return
        for name, choice in _ANEW:
            if self._random.random() < choice.odds:
                self._begin(name, self._random.choice(choice.values), now)
        for name, choice in _SPELLS:
            odd = choice.odd if name != "odd_reads" else tuple(one for one in choice.odd if operation in one)
            if odd and self._random.random() < choice.spell_odds * self.times:
                until = now + choice.longest_s * self._random.choice(LENGTHS) * self._random.random()
                self._begin(name, self._random.choice(odd), until)

    def calm(self) -> None:
        """End every spell, and draw nothing any more; what was drawn for good stays."""
        self.quiet = True
        self.end_spells()

    def end_spells(self) -> None:
        """Bring back what was before, whatever is going on."""
        self._end(float("inf"))

    def _begin(self, name: str, value: Any, until: float) -> None:
        """Let a value hold until a time, unless one does already."""
        if name in self._keep or name in self._spells:
            return
        before = getattr(self._switches, name)
        if value != before:
            self._spells[name] = (value, before, until)
            setattr(self._switches, name, value)

    def _end(self, now: float) -> None:
        """Bring back what was before the spells that are over, unless somebody has set it meanwhile."""
        for name, (value, before, until) in list(self._spells.items()):
            if until <= now:
                del self._spells[name]
                if getattr(self._switches, name) == value:
                    setattr(self._switches, name, before)
