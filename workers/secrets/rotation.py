"""Sealing with the first key of the ring what another one sealed, beside everything that goes on.

A walk goes through all that is sealed, some keys a step, and keeps its place, so that a kill costs one step. A value is
replaced only where the old one still stands: whatever a commit wrote meanwhile stays. What was sealed with an old key
behind the walk's back, by a process with an old ring or by an act that was applied, the next walk finds: it is over
when a whole walk found nothing to do. What cannot be opened is named and stays as it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from pipelines.errors import InputLostError
from pipelines.keys import canonical_json
from workers.ledger import PREFIX, Ledger
from workers.secrets.key_ids import KeyIds
from workers.secrets.vault import HEAD_BYTES, Place, Vault, as_text, of_text, sealed_with

Sort = Literal["input", "report", "evidence", "acts", "endpoints"]

#: What is walked through, in this order. Each is a key for each owner, but for the endpoints, which are few.
SORTS: tuple[Sort, ...] = ("input", "report", "evidence", "acts")
#: Keys that one step asks for.
STEP = 500
#: Keys whose values one script call looks at: some 2 ms in which Redis does nothing else.
BATCH = 50
#: Values that are in memory at a time: jobs with documents may be megabytes each.
AT_ONCE = 20
#: Walks after which it is clear that somebody goes on sealing with an old key.
WALKS = 5
#: Values that are named where they cannot be opened.
NAMED = 20
#: An act stays as it is for so long, in ms: its sender may repeat it, and it is known by its text.
ACT_RESTS_MS = 60_000

T = TypeVar("T")


class _Value(NamedTuple):
    """A sealed value that another key sealed, or a text that holds some. `where`: the field, or the element itself."""

    key: str
    where: bytes


@dataclass(slots=True)
class Walk:
    """What a walk found: values by the id of their key, and what became of those that another key sealed."""

    counts: Counter[str] = field(default_factory=Counter)
    resealed: int = 0
    #: Values that changed meanwhile, or are in somebody's hands: the next walk looks again.
    left: int = 0
    unreadable: int = 0
    #: Where the first of these are.
    named: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not self.resealed and not self.left


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of a rotation. `walk`: the last; `complete`: nothing that can be opened is sealed with another key."""

    walk: Walk
    resealed: int
    complete: bool


class Rotation:
    """Walks through all that is sealed."""

    def __init__(self, ledger: Ledger, vault: Vault, step: int = STEP) -> None:
        """`vault` opens what is there, and its first key seals it."""
        self._ledger = ledger
        self._client: Any = ledger.client
        self._vault = vault
        self._step = step

    def count(self) -> Walk:
        """Count what each key seals; nothing is changed."""
        walk = Walk()
        for sort, keys in self._steps(SORTS[0], 0):
            self._look(sort, keys, walk, reseal=False)
        return walk

    def run(self, progress: Callable[[Walk], object] = lambda _: None) -> Rotated:
        """Seal with the first key what another one sealed; `progress` hears of each step. Killed, it is called again.

        Ids of keys that nothing uses any more are forgotten in the end, so that no process has to have them.
        """
        place, resealed, walk = self._kept(), 0, Walk()
        whole = place == _START
        for _ in range(WALKS):
            walk = Walk()
            for sort, keys in self._steps(*place, keep=True):
                self._look(sort, keys, walk, reseal=True)
                progress(walk)
            resealed += walk.resealed
            if whole and walk.idle:
                self._end(walk)
                return Rotated(walk, resealed, complete=True)
            place, whole = _START, True
        return Rotated(walk, resealed, complete=False)

    def rebind(self, key: str, former: str) -> None:
        """Let evidence of a record be that of the key which the record has now, where it had a former one."""
        for old in self._client.lrange(f"{PREFIX}evidence:{key}", 0, -1):
            try:
                proof = self._vault.open(Place("evidence", former), old)
            except InputLostError:
                continue  # it was sealed for the key of now already, or nobody here can open it
            self._ledger.call("reseal", "evidence", key, "", old, self._vault.seal(Place("evidence", key), proof))

    # --- the way -------------------------------------------------------------------------------------------------

    def _steps(self, sort: Sort, cursor: int, *, keep: bool = False) -> Iterator[tuple[Sort, list[str]]]:
        """Name the keys from a place on, some at a time; `keep`: and note the place after each step."""
        for number in range(SORTS.index(sort), len(SORTS)):
            one = SORTS[number]
            while True:
                cursor, names = self._client.scan(cursor, match=f"{PREFIX}{one}:*", count=self._step)
                keys = [name.decode().removeprefix(f"{PREFIX}{one}:") for name in names]
                yield from ((one, batch) for batch in _parts(keys, BATCH))
                if keep:
                    self._keep(SORTS[min(number + (not cursor), len(SORTS) - 1)], cursor)
                if not cursor:
                    break
        yield "endpoints", [name.decode() for name in self._client.hkeys(f"{PREFIX}endpoints")]

    def _keep(self, sort: Sort, cursor: int) -> None:
        place = {"to": self._vault.ids[0], "sort": sort, "cursor": cursor}
        self._client.hset(f"{PREFIX}rotation", mapping=place)

    def _kept(self) -> tuple[Sort, int]:
        """Give the place where a rotation to this key was interrupted, or the beginning."""
        kept = {name.decode(): value.decode() for name, value in self._client.hgetall(f"{PREFIX}rotation").items()}
        if kept.get("to") != self._vault.ids[0]:
            return _START
        return next(one for one in SORTS if one == kept["sort"]), int(kept["cursor"])

    def _end(self, walk: Walk) -> None:
        """Forget the place, and the ids of keys that nothing uses."""
        self._client.delete(f"{PREFIX}rotation")
        known = KeyIds(self._ledger)
        for id_ in known.all():
            if id_ != self._vault.ids[0] and not walk.counts[id_]:
                known.forget(id_)

    # --- what is there -------------------------------------------------------------------------------------------

    def _look(self, sort: Sort, keys: Sequence[str], walk: Walk, *, reseal: bool) -> None:
        """Count the values of some keys, and seal anew what another key sealed."""
        others = list(self._of_endpoints(keys, walk) if sort == "endpoints" else self._of_keys(sort, keys, walk))
        if reseal:
            for part in _parts(others, AT_ONCE):
                self._reseal(sort, part, walk)

    def _of_keys(self, sort: Sort, keys: Sequence[str], walk: Walk) -> Iterator[_Value]:
        answer = self._ledger.call("heads", sort, self._vault.head, *keys)
        for number, where, head in zip(*[iter(answer)] * 3, strict=True):
            if sort == "acts":
                yield from self._of_text(keys[number - 1], where, json.loads(where)["parts"].values(), walk)
                continue
            walk.counts[sealed_with(head)] += 1
            if head != self._vault.head:
                yield _Value(keys[number - 1], where)

    def _of_endpoints(self, names: Sequence[str], walk: Walk) -> Iterator[_Value]:
        for name in names:
            if stored := self._client.hget(f"{PREFIX}endpoints", name):
                yield from self._of_text("", name.encode(), [json.loads(stored)["sealed"]], walk)

    def _of_text(self, key: str, where: bytes, texts: Iterable[str], walk: Walk) -> Iterator[_Value]:
        """Count the values in a text; it is one to seal anew when another key sealed any of them."""
        heads = [of_text(text)[:HEAD_BYTES] for text in texts if text]
        walk.counts.update(map(sealed_with, heads))
        if any(head != self._vault.head for head in heads):
            yield _Value(key, where)

    # --- another seal --------------------------------------------------------------------------------------------

    def _reseal(self, sort: Sort, values: Sequence[_Value], walk: Walk) -> None:
        """Seal values with the first key, each where the old one still stands."""
        given: list[bytes | str] = []
        for value, old in zip(values, self._stored(sort, values), strict=True):
            new = self._anew(sort, value, old, walk) if old else None
            if new:
                given += [value.key, value.where, old or b"", new]
        done = sum(self._ledger.call("reseal", sort, *given)) if given else 0
        walk.resealed += done
        walk.left += len(given) // 4 - done

    def _stored(self, sort: Sort, values: Sequence[_Value]) -> list[bytes | None]:
        """Read values as they are now; None: one is gone."""
        if sort in ("evidence", "acts"):
            return [value.where for value in values]
        with self._client.pipeline(transaction=False) as pipeline:
            for key, where in values:
                pipeline.hget(PREFIX + (sort if sort == "endpoints" else f"{sort}:{key}"), where)
            return list(pipeline.execute())

    def _anew(self, sort: Sort, value: _Value, old: bytes, walk: Walk) -> bytes | None:
        """Seal a value anew; None: it cannot be opened, or it has to rest."""
        key, where = value.key, value.where.decode(errors="replace")
        try:
            match sort:
                case "input" | "report":
                    return self._again(Place(sort, key, where), old)
                case "evidence":
                    return self._of_either(key, old)
                case "acts":
                    return self._act(key, old, walk)
                case "endpoints":
                    return self._in_text(old, {"sealed": Place("endpoint", where)})
        except InputLostError:
            walk.unreadable += 1
            if len(walk.named) < NAMED:
                walk.named.append(f"{sort} {where}" if sort == "endpoints" else f"{sort}:{key}")
        return None

    def _again(self, place: Place, old: bytes) -> bytes:
        return self._vault.seal(place, self._vault.open(place, old))

    def _of_either(self, key: str, old: bytes) -> bytes:
        """Seal evidence anew; where a job took over an adopted record, it may be of the key that this one had."""
        try:
            return self._again(Place("evidence", key), old)
        except InputLostError:
            read = self._ledger.read(key)
            proof = self._vault.open(Place("evidence", read.record.external_id if read else ""), old)
        return self._vault.seal(Place("evidence", key), proof)

    def _act(self, key: str, old: bytes, walk: Walk) -> bytes | None:
        """Seal the parts of a correction anew, unless it is so new that its sender may repeat it."""
        act = json.loads(old)
        if self._ledger.now_ms() - act["at_ms"] < ACT_RESTS_MS:
            walk.left += 1
            return None
        act["parts"] = self._parts_anew(act["parts"], {part: Place("input", key, part) for part in act["parts"]})
        return canonical_json(act)

    def _in_text(self, old: bytes, places: Mapping[str, Place]) -> bytes:
        """Seal the values anew that stand in a JSON object under these names."""
        stored = json.loads(old)
        return canonical_json({**stored, **self._parts_anew({name: stored[name] for name in places}, places)})

    def _parts_anew(self, texts: Mapping[str, str], places: Mapping[str, Place]) -> dict[str, str]:
        return {name: as_text(self._again(places[name], of_text(text))) if text else "" for name, text in texts.items()}


#: Where a walk begins.
_START: tuple[Sort, int] = (SORTS[0], 0)


def _parts(things: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])
