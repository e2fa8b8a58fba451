"""What the auditor sees: everything about one key at one moment, read by a single script call, and the traffic around.

Nothing in here judges; it only takes apart. What cannot be read is None.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.model import Record
from workers.ledger import decode, lane_of
from workers.operate.audit.proof import Chain, chain

#: A lane that was nudged for a slot within this many ms moves, if slowly: longer than a pause between two calls can be.
RARELY_MS = 30_000

_HEADER = re.compile(r"(\d+) (\d+) (\S+) (\S+) (\S+) (\S+) (\d+) (\d+) (\d+)\n")
_CLAIM = re.compile(r"(\S+) (\d+) (\d+) (\d+) (\d+) (\S+)")
#: Bytes that are no UTF-8 are carried through and back, never dropped.
_ERRORS = "surrogateescape"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a record, which the ledger's script keeps."""

    format: int
    version: int
    lane: str
    phase: str
    step: str
    created_ms: int
    since_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Held:
    """A claim, in hand or ended without a commit."""

    version: str
    ends_ms: int
    lane: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Where an index leads for an id of the record.

    `same`: the record there has this id as well; `revision` is how often that record was corrected.
    """

    key: str
    exists: bool
    same: bool
    revision: int


@dataclass(frozen=True)
class Seen:
    """One key of the ledger at one moment. `due` and `phases`: score by the name of the index."""

    key: str
    now_ms: int
    exists: bool
    header: Header | None
    record: Record | None
    due: dict[str, str]
    phases: dict[str, str]
    claim: str | None
    parts: frozenset[str]
    #: Milliseconds until the input expires; -1: never, -2: there is none.
    input_ttl_ms: int
    acts: int
    history: tuple[str, ...]
    #: None: the record has no such id; a holder without a key: the index does not know it.
    external: Holder | None
    customer: Holder | None
    sub_partner_known: bool
    #: Since when the customer is identified, by the tier of the schedule that says so.
    identified: dict[str, str]

    @cached_property
    def held(self) -> Held | None:
        """The claim taken apart; None: there is none, or nobody can read it."""
        match = _CLAIM.fullmatch(self.claim) if self.claim else None
        return Held(match[1].partition("-")[0], int(match[2]), match[6]) if match else None

    @cached_property
    def chain(self) -> Chain:
        """The history with its digests checked."""
        return chain(self.history)

    @property
    def due_ms(self) -> float | None:
        """When the record is due in its own lane."""
        at = self.due.get(self.header.lane) if self.header else None
        return None if at is None else float(at)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What moves in the ledger at one moment.

    `heads`: first member and score of each place that has any; `working`: lanes of which a claim is in hand;
    `turns`: the places of imports, with whether each takes its turns; `offered_ms`: up to when a lane was nudged for
    slots of Iron's budget; `line_ms`: where those stand last who were refused one.
    """

    now_ms: int
    closed_until_ms: int
    breaker_open: bool
    paused: frozenset[str]
    heads: dict[str, tuple[str, str]]
    working: frozenset[str]
    turns: dict[str, bool] = field(default_factory=dict)
    offered_ms: dict[str, float] = field(default_factory=dict)
    line_ms: dict[str, float] = field(default_factory=dict)

    @property
    def tap_closed(self) -> bool:
        """Whether no call to Iron may leave now: Iron has asked for a pause, or the breaker is open."""
        return self.closed_until_ms > self.now_ms or self.breaker_open

    def stands(self, lane: str, before: Traffic) -> bool:
        """Return whether nobody takes anything from a lane although calls may leave for it.

        Nothing was taken since an earlier look or shortly before, and nobody has a record of it in hand. `lane` may be
        a place of a lane: then the whole lane is meant, and an import that is halted does not stand.
        """
        whole = lane_of(lane)
        if self.tap_closed or whole in self.paused or whole in self.working:
            return False
        if lane not in self.heads or not self.turns.get(lane, True):
            return False
        places = [place for place in self.heads if lane_of(place) == whole]
        untouched = all(self.heads[place] == before.heads.get(place) for place in places)
        return untouched and self.offered_ms.get(whole, 0) < self.now_ms - RARELY_MS


def read_seen(key: str, answer: bytes) -> Seen:
    """Take the script's answer about one key apart."""
    found = json.loads(answer.decode(errors=_ERRORS))
    raw = found["raw"]
    header = _header(raw) if isinstance(raw, str) else None
    return Seen(
        key=key,
        now_ms=int(found["now"]),
        exists=found["exists"],
        header=header,
        record=_record(key, raw) if header else None,
        due=dict(found["due"]),
        phases=dict(found["phases"]),
        claim=found["claim"] or None,
        parts=frozenset(found["parts"] or ()),
        input_ttl_ms=int(found["input_ttl"]),
        acts=int(found["acts"] or 0),
        history=tuple(found["history"] or ()),
        external=_holder(found["external"]),
        customer=_holder(found["customer"]),
        sub_partner_known=found["sub_partner"],
        identified=dict(found["identified"]),
    )


def read_traffic(answer: bytes) -> Traffic:
    """Take the script's answer about the lanes apart."""
    found = json.loads(answer.decode(errors=_ERRORS))
    heads = {lane: (head[0], head[1]) for lane, head in dict(found["heads"]).items()}
    turns = found["turns"] or []
    return Traffic(
        now_ms=int(found["now"]),
        closed_until_ms=int(found["closed"]),
        breaker_open=found["opened"],
        paused=frozenset(found["paused"]),
        heads=heads,
        working=frozenset(lane_of(place) for place in dict(found["working"])),
        turns={place: score == "0" for place, score in zip(turns[::2], turns[1::2], strict=True)},
        offered_ms={lane: float(at) for lane, at in dict(found["offered"]).items()},
        line_ms={lane: float(at) for lane, at in dict(found["lines"]).items()},
    )


def _header(raw: str) -> Header | None:
    match = _HEADER.match(raw)
    if match is None:
        return None
    format_, version, _, lane, phase, step, *times = match.groups()
    return Header(int(format_), int(version), lane, phase, step, *map(int, times))


def _record(key: str, raw: str) -> Record | None:
    try:
        return decode(key, raw.encode(errors=_ERRORS))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _holder(found: Any) -> Holder | None:
    if found is False:
        return None
    return Holder(*found) if found else Holder("", exists=False, same=False, revision=0)
