"""The walk through all records and indexes: look, look again after a moment, and only then report, and mend.

Records move while the auditor walks. Each look at a key is one script call, so that it sees one moment; what concerns
time is confirmed by a second look. A mend looks once more itself before it writes, and a third look says whether it
took.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import islice
from typing import Any

from pipelines.lifecycle import Phase
from pipelines.model import FORMAT, Policy
from pipelines.reidentification.policy import TIERS
from pipelines.retention import INPUT_DONE, INPUT_KEPT_MS
from workers.ledger import LANES, PREFIX, Ledger
from workers.operate.audit.kinds import KINDS, Circumstances, Kind
from workers.operate.audit.proof import chain
from workers.operate.audit.rules import CHAIN, judged
from workers.operate.audit.seen import Seen, Traffic, read_seen, read_traffic

#: Pause between the first look and the second, in seconds: longer than any commit takes.
MOMENT_S = 1.0
#: Records that one script call looks at: some 5 ms in which Redis does nothing else.
BATCH = 50
#: Members of an index that one script call looks at; each costs a look for a key and no more.
MEMBERS = 500
#: What may be wrong is collected up to this many subjects before the second look at all of them.
SUSPECTS = 2_000

#: Indexes that lead from an id to a key, or to several.
_POINTERS = frozenset({"external", "customer", "email"})
#: Keys that belong to one record or endpoint each, by the kind of finding when there is none.
_OWNED = {sort: f"{sort}_nowhere" for sort in ("input", "history", "acts", "evidence")}
_OWNED |= dict.fromkeys(("courier", "parked", "replays"), "endpoint_nowhere")


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant, confirmed by a second look.

    `place`: the index entry or key it was found at, where it is not the record. `mended`: None where nothing was tried.
    """

    code: str
    key: str
    words: str = ""
    place: str = ""
    mended: bool | None = None

    @property
    def kind(self) -> Kind:
        """What kind of finding this is."""
        return KINDS[self.code]

    @property
    def counts(self) -> bool:
        """Whether something is broken, and still is."""
        return not self.kind.information and not self.mended

    def text(self) -> str:
        """Return it as a sentence."""
        return f"{self.kind.sentence[:-1]} ({self.words})." if self.words else self.kind.sentence


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to look at: a record, or the entry for a key at a place. `id`: by which an index leads to the key."""

    key: bytes
    place: str = ""
    id: bytes = b""


@dataclass(slots=True)
class Look:
    """What one look found out about a subject, and the record as it was seen."""

    findings: list[Finding]
    seen: Seen | None = None


@dataclass(slots=True)
class Auditor:
    """Finds what is wrong with a ledger. `mend`: and puts right what can be.

    `wait` lets a moment pass; `progress` hears how many records are through and about how many there are; `batch` is
    how many records are looked at in one call; `shift_ms` turns the clock in tests.
    """

    ledger: Ledger
    policy: Policy = field(default_factory=Policy)
    mend: bool = False
    wait: Callable[[], object] = lambda: time.sleep(MOMENT_S)
    progress: Callable[[int, int], object] = lambda _done, _total: None
    batch: int = BATCH
    shift_ms: Callable[[], int] = lambda: 0
    #: Records looked at so far.
    records: int = 0
    #: History entries whose digests were checked so far.
    entries: int = 0
    _script: Any = None
    _lanes: tuple[str, ...] = LANES
    _phases: tuple[str, ...] = tuple(phase.value for phase in Phase)
    _codes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Register the script."""
        self._script = self.ledger.client.register_script((files("workers.operate.audit") / "audit.lua").read_bytes())

    def run(self) -> Iterator[Finding]:
        """Walk through everything and give each finding once."""
        self._lanes = self._names("due", LANES)
        self._phases = self._names("phase", self._phases)
        yield from self._confirmed(self._entries())  # mended first, so that what a record misses is put in its place
        yield from self._confirmed(self._owned())

    def verify(self) -> Iterator[Finding]:
        """Check the digests of every history, and that each record has one."""
        self._codes = CHAIN
        yield from self._confirmed(self._owned(("history",)))

    def see(self, key: str) -> Seen:
        """Return everything about one record as it is now."""
        [answer] = self._call("seen", self._places(), key)
        return read_seen(key, answer)

    # --- what there is to look at --------------------------------------------------------------------------------

    def _entries(self) -> Iterator[tuple[Subject, ...]]:
        """Page through every index."""
        client = self.ledger.client
        scheduled = [f"identified:{tier}" for tier in TIERS] + ["waiting:start"]
        for place in [f"due:{lane}" for lane in self._lanes] + [f"phase:{phase}" for phase in self._phases] + scheduled:
            members = client.zscan_iter(PREFIX + place, count=MEMBERS)
            yield from _pages((Subject(key, place) for key, _ in members), MEMBERS)
        for place in ("claims", "links"):
            fields = client.hscan_iter(PREFIX + place, count=MEMBERS)
            yield from _pages((Subject(key, place) for key, _ in fields), MEMBERS)
        for index in ("external", "customer"):
            pointers = client.hscan_iter(PREFIX + index, count=MEMBERS)
            yield from _pages((Subject(key, index, id_) for id_, key in pointers), MEMBERS)
        digests = client.hscan_iter(f"{PREFIX}email", count=MEMBERS)
        held = (Subject(key, "email", digest) for digest, keys in digests for key in keys.split(b"\n"))
        yield from _pages(held, MEMBERS)

    def _owned(self, kinds: Sequence[str] = tuple(_OWNED)) -> Iterator[tuple[Subject, ...]]:
        """Page through all records and what belongs to them."""
        total = self.ledger.client.hlen(f"{PREFIX}external")
        pages: dict[str, list[Subject]] = {"record": [], **{kind: [] for kind in kinds}}
        for name in self.ledger.client.scan_iter(PREFIX + "*", count=MEMBERS):
            place, _, key = name.removeprefix(PREFIX.encode()).partition(b":")
            page = pages.get(place.decode(errors="replace"))
            if page is None:
                continue
            is_record = page is pages["record"]
            page.append(Subject(key, "" if is_record else place.decode()))
            if len(page) == (self.batch if is_record else MEMBERS):
                yield tuple(page)
                self.records += len(page) if is_record else 0
                self.progress(self.records, max(self.records, total))
                page.clear()
        self.records += len(pages["record"])
        yield from (tuple(page) for page in pages.values() if page)
        self.progress(self.records, self.records)

    def _names(self, sort: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Name the indexes of a sort: those that we know, and whatever else is there."""
        found = self.ledger.client.scan_iter(f"{PREFIX}{sort}:*", count=MEMBERS, _type="zset")
        names = (name.decode(errors="replace").partition(":")[2].partition(":")[2] for name in found)
        return tuple(dict.fromkeys([*known, *sorted(names)]))

    # --- look, look again, mend ----------------------------------------------------------------------------------

    def _confirmed(self, pages: Iterable[tuple[Subject, ...]]) -> Iterator[Finding]:
        """Look at each page, and again at what may be wrong."""
        suspects: dict[Subject, set[str]] = {}
        told: set[tuple[Subject, str]] = set()  # SCAN may come by twice
        at = self._circumstances(None)
        for page in pages:
            for subject, look in self._look(page, at, count=True):
                suspects[subject] = {finding.code for finding in look.findings}
            if len(suspects) >= SUSPECTS:
                yield from self._again(suspects, at, told)
                suspects, at = {}, self._circumstances(None)
        yield from self._again(suspects, at, told)

    def _again(
        self, suspects: dict[Subject, set[str]], first: Circumstances, told: set[tuple[Subject, str]]
    ) -> Iterator[Finding]:
        """Look at suspects again after a moment; what is still wrong is reported, and mended where that is wanted."""
        if not suspects:
            return
        self.wait()
        at = self._circumstances(first.traffic)
        sure: list[tuple[Subject, Look]] = []
        for subject, look in self._by_place(suspects, at):
            findings = [finding for finding in look.findings if finding.code in suspects[subject]]
            new = [finding for finding in findings if (subject, finding.code) not in told]
            told.update((subject, finding.code) for finding in new)
            sure.append((subject, Look(new, look.seen)))
        yield from self._mended(sure, at) if self.mend else (finding for _, look in sure for finding in look.findings)

    def _mended(self, sure: Sequence[tuple[Subject, Look]], at: Circumstances) -> Iterator[Finding]:
        """Mend what was found and say of each whether it is still there."""
        tried = [subject for subject, look in sure if [self._put_right(subject, look, one) for one in look.findings]]
        left = {
            subject: {finding.code for finding in look.findings}
            for subject, look in self._by_place(tried, self._circumstances(at.traffic))
        }
        for subject, look in sure:
            for finding in look.findings:
                still = finding.code in left.get(subject, ())
                yield replace(finding, mended=not still if finding.kind.mend else None)

    def _by_place(self, subjects: Iterable[Subject], at: Circumstances) -> Iterator[tuple[Subject, Look]]:
        pages: dict[str, list[Subject]] = {}
        for subject in subjects:
            pages.setdefault(subject.place, []).append(subject)
        for page in pages.values():
            for part in _pages(page, self.batch):
                yield from self._look(part, at)

    # --- one look ------------------------------------------------------------------------------------------------

    def _look(
        self, page: Sequence[Subject], at: Circumstances, *, count: bool = False
    ) -> Iterator[tuple[Subject, Look]]:
        """Look at subjects of one place and give those with which something is wrong."""
        place = page[0].place
        if not place:
            yield from self._look_at_records(page, at, count=count)
        elif place in _POINTERS:
            answer = self._call("pointers", place, *(part for one in page for part in (one.id, one.key)))
            for number, verdict in zip(answer[::2], answer[1::2], strict=True):
                subject = page[number - 1]
                id_ = subject.id.hex() if place == "email" else _text(subject.id)
                found = Finding(f"{place}_{verdict.decode()}", _text(subject.key), id_, f"{place} {id_}")
                yield subject, Look([found])
        else:
            for number in self._call("orphans", place, *(one.key for one in page)):
                subject = page[number - 1]
                yield subject, Look([*self._orphan(subject, count=count)])

    def _orphan(self, subject: Subject, *, count: bool) -> Iterator[Finding]:
        """Name an entry without a record; where digests alone are asked for, check those of a history without one."""
        key = _text(subject.key)
        sort, _, name = subject.place.partition(":")
        code = _OWNED.get(sort, f"{sort.removesuffix('s')}_nowhere")
        if self._codes is None:
            yield Finding(code, key, name, subject.place)
            return
        stored = self.ledger.client.lrange(f"{PREFIX}history:".encode() + subject.key, 0, -1)
        self.entries += len(stored) if count else 0
        number = chain([_text(entry) for entry in stored]).broken_at
        if number:
            yield Finding("history_broken", key, f"entry {number}", subject.place)

    def _look_at_records(
        self, page: Sequence[Subject], at: Circumstances, *, count: bool
    ) -> Iterator[tuple[Subject, Look]]:
        answers = self._call("seen", self._places(), *(one.key for one in page))
        for subject, answer in zip(page, answers, strict=True):
            seen = read_seen(_text(subject.key), answer)
            self.entries += len(seen.history) if count else 0
            findings = [Finding(code, seen.key, words) for code, words in judged(seen, at, self._codes)]
            if findings:
                yield subject, Look(findings, seen)

    def _places(self) -> str:
        return json.dumps({"lanes": self._lanes, "phases": self._phases})

    def _circumstances(self, earlier: Traffic | None) -> Circumstances:
        traffic = read_traffic(self._call("traffic", *self._lanes))
        return Circumstances(traffic, earlier or traffic, self.policy, self.ledger.budget)

    # --- mending -------------------------------------------------------------------------------------------------

    def _put_right(self, subject: Subject, look: Look, finding: Finding) -> bool:
        """Ask for a mend; whether it took is seen by looking again. False: there is none for this kind."""
        mend, seen, key = finding.kind.mend, look.seen, subject.key
        match mend:
            case None:
                return False
            case "due" | "undue" if seen and seen.header:
                self._call(mend, key, seen.header.version, seen.due.get(seen.header.lane, ""))
            case "lanes":
                self._call(mend, key, *self._lanes)
            case "phases":
                self._call(mend, key, *self._phases)
            case "unmember" | "drop_rest":
                self._call(mend, subject.place, key)
            case "unpoint":
                self._call(mend, subject.place, subject.id, key)
            case "point" if seen and seen.record:
                index = finding.code.partition("_")[0]
                id_ = seen.record.external_id if index == "external" else seen.record.customer_id
                self._call(mend, index, id_ or "", key)
            case "unclaim" if seen and seen.claim:
                self._call(mend, key, _bytes(seen.claim))
            case "input":
                self._call(mend, key, INPUT_KEPT_MS, *sorted(phase.value for phase in INPUT_DONE))
            case _:
                self._call(mend, key)
        return True

    def _call(self, operation: str, *arguments: Any) -> Any:
        return self._script(keys=[PREFIX], args=[operation, self.shift_ms(), FORMAT, *arguments])


def _pages(subjects: Iterable[Subject], size: int) -> Iterator[tuple[Subject, ...]]:
    subjects = iter(subjects)
    while page := tuple(islice(subjects, size)):
        yield page


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
