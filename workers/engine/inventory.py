"""What lies in the broker's database, wherever that is, and whether it moves. It looks, and changes nothing.

A message moves when it waits for less than a minute, when a living worker has it, or when its time has not come. All
else is stuck: dead letters, queues that nobody reads, lists of other programs, what workers left behind that died.
Keys are found with SCAN, a bounded number; their names are shown only where they look like names of queues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workers.engine.broker import NudgeBroker
from workers.engine.decoding import decoded
from workers.engine.porter import DEAD_MS
from workers.ledger import LANES

#: How long a message may wait before it is stuck, in ms: longer than a dead worker's messages take to come back.
MOVES_WITHIN_MS = 60_000
#: Keys that a page of the search looks at, and the pages of one search.
PAGE, PAGES = 1_000, 20
#: Bytes of a message up to which its date is read.
DATED = 65_536
#: Queue of what lies on none of ours, where only a closed set of names will do.
OTHER = "other"

Place = Literal["queue", "fetched", "delayed", "sent_delayed", "dead_letters", "unlisted", "foreign"]

#: What stands behind a queue's name in the key of its messages -> the place that they are in.
_PLACES: dict[str, Place] = {".DQ": "sent_delayed", ".XQ": "dead_letters", ".later": "delayed"}
#: Types of keys that other programs keep messages in.
_LISTS = ("list", "stream")
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


@dataclass(frozen=True, slots=True)
class Lying:
    """Messages that lie in one place. `age_ms`: of the oldest, as far as one has a date."""

    queue: str
    place: Place
    count: int
    age_ms: float | None = None
    stuck: bool = True

    @property
    def lane(self) -> str:
        """The lane whose queue it is, or OTHER."""
        return self.queue if self.queue in LANES else OTHER


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that lies there. `partial`: there are more keys than were looked at. `keys`: those that hold no messages."""

    lying: tuple[Lying, ...]
    keys: int = 0
    partial: bool = False

    def stuck(self) -> list[Lying]:
        """Return what does not move, the largest first."""
        return sorted((one for one in self.lying if one.stuck), key=lambda one: -one.count)

    def delayed(self) -> int:
        """Count the messages whose time has not come."""
        return sum(one.count for one in self.lying if one.place == "delayed" and not one.stuck)


@dataclass(slots=True)
class _Key:
    """A key as it was found: its type, how much it holds, how much of a zset is overdue, and messages of a hash."""

    kind: str
    size: int
    overdue: int
    first: Sequence[bytes] = ()


@dataclass(slots=True)
class _Found:
    now_ms: float = 0.0
    keys: dict[str, _Key] = field(default_factory=dict)
    living: frozenset[str] = frozenset()
    partial: bool = False


def look(broker: NudgeBroker) -> Inventory:
    """Look at everything in the broker's database, in a handful of round trips."""
    found = _found(broker)
    prefix = f"{broker.namespace}:"
    ours = {name.removeprefix(prefix): key for name, key in found.keys.items() if name.startswith(prefix)}
    theirs = {name: key for name, key in found.keys.items() if not name.startswith(prefix)}
    lying = [*_of(ours, found, alone=True), *_of(theirs, found, alone=False)]
    known = sum(one.kind in _LISTS or _is_messages(name, one) for name, one in theirs.items())
    return Inventory(tuple(one for one in lying if one.count > 0), len(theirs) - known, found.partial)


def _found(broker: NudgeBroker) -> _Found:
    """Read all keys, page by page."""
    found, cursor = _Found(), 0
    for _ in range(PAGES):
        answer: Any = broker.client.scan(cursor, count=PAGE)
        cursor, names = int(answer[0]), answer[1]
        if names:
            now_ms, *keys = broker.call("look", DATED, MOVES_WITHIN_MS, *names)
            found.now_ms = float(now_ms)
            for name, (kind, size, overdue, first) in zip(names, keys, strict=True):
                found.keys[name.decode(errors="replace")] = _Key(kind.decode(), int(size), int(overdue), first)
        if not cursor:
            break
    found.partial = bool(cursor)
    if found.keys:
        signs = broker.client.zrangebyscore(f"{broker.namespace}:__heartbeats__", found.now_ms - DEAD_MS, "+inf")
        found.living = frozenset(worker.decode(errors="replace") for worker in signs)  # type: ignore[union-attr]
    return found


def _of(keys: Mapping[str, _Key], found: _Found, *, alone: bool) -> Iterator[Lying]:
    """Return what lies in these keys. `alone`: each of them should be of a queue, since no other program is here."""
    fetched = _fetched(keys, found)
    for name, key in keys.items():
        base = name.removesuffix(".msgs")
        if _is_messages(name, key):
            yield from _messages(base, key, keys.get(base), fetched.get(base, {}), found)
        elif key.kind in _LISTS and f"{name}.msgs" not in keys:
            if name not in LANES or not alone:
                yield Lying(_told(name), "foreign", key.size)
        elif alone and not _is_part(name, key, keys):
            yield Lying(_told(name), "foreign", key.size)


def _is_messages(name: str, key: _Key) -> bool:
    return key.kind == "hash" and name.endswith(".msgs")


def _is_part(name: str, key: _Key, keys: Mapping[str, _Key]) -> bool:
    """Return whether a key is what stands beside messages: an index of them, what workers have, signs of life."""
    if name.startswith("__acks__."):
        return key.kind == "set"
    if name == "__heartbeats__":
        return key.kind == "zset"
    return f"{name}.msgs" in keys


def _fetched(keys: Mapping[str, _Key], found: _Found) -> dict[str, dict[bool, int]]:
    """Count what workers have fetched of each queue: of the living and of others."""
    counts: dict[str, dict[bool, int]] = {}
    for name, key in keys.items():
        if name.startswith("__acks__.") and key.kind == "set":
            worker, _, queue = name.removeprefix("__acks__.").partition(".")
            of = counts.setdefault(queue, {})
            of[worker in found.living] = of.get(worker in found.living, 0) + key.size
    return counts


def _messages(base: str, key: _Key, index: _Key | None, fetched: Mapping[bool, int], found: _Found) -> Iterator[Lying]:
    """Return what lies in a hash of messages, by whether something names them."""
    suffix = next((suffix for suffix in _PLACES if base.endswith(suffix)), "")
    queue, place = _told(base.removesuffix(suffix)), _PLACES.get(suffix, "queue")
    age_ms = _age_ms(key.first, found.now_ms)
    listed = min(index.size if index else 0, key.size)
    waiting = min(index.overdue, listed) if index and place == "delayed" else listed
    living, dead = fetched.get(True, 0), fetched.get(False, 0)
    moves = age_ms is not None and age_ms < MOVES_WITHIN_MS
    yield Lying(queue, place, waiting, age_ms, stuck=place == "delayed" or not moves)
    yield Lying(queue, place, listed - waiting, age_ms, stuck=False)
    yield Lying(queue, "fetched", living, age_ms, stuck=False)
    yield Lying(queue, "fetched", dead, age_ms)
    yield Lying(queue, "unlisted", key.size - listed - living - dead, age_ms, stuck=not moves)


def _age_ms(messages: Sequence[bytes], now_ms: float) -> float | None:
    """Return the age of the oldest of these messages that has a date; None: none has."""
    dates = [decoded("", b"", message).sent_ms for message in messages]
    ages = [max(0.0, now_ms - date) for date in dates if date > 0]
    return max(ages, default=None)


def _told(name: str) -> str:
    """Return a name that looks like a queue's; another may be anything, a customer's address too."""
    return name if _NAME.fullmatch(name) else "?"


def counted(stuck: Sequence[Lying]) -> dict[str, tuple[int, float]]:
    """Count what is stuck by lane, and OTHER; the second is the age of the oldest, in ms, 0 where none has a date."""
    counts: dict[str, tuple[int, float]] = dict.fromkeys((*LANES, OTHER), (0, 0.0))
    for one in stuck:
        count, age_ms = counts[one.lane]
        counts[one.lane] = count + one.count, max(age_ms, one.age_ms or 0.0)
    return counts
