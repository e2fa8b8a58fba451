"""The event stream as it is read: in pages, by its ids, which are also the cursors of its readers.

It is written by the ledger's script alone, in the call that makes an event true (workers/ledger/lua/events.lua). Old
entries are dropped by age, in the background; a reader who was away for longer is told so instead of going on as if
nothing were missing. Losing the whole stream costs its readers the news of that time and nothing else: the records are
the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.events import Event, place
from workers.ledger import PREFIX, Ledger

STREAM = f"{PREFIX}events"

#: Stands for "from the oldest event that is kept".
OLDEST = "0-0"
#: Events that one read gives at most: some 100 KB as JSON.
PAGE = 500
#: Events kept at most, whatever their age: some 300 MB of Redis's memory.
KEPT_AT_MOST = 5_000_000


class EventsGoneError(Exception):
    """Events after this cursor are not kept any more: read the onboardings themselves, then go on from `oldest`."""

    def __init__(self, oldest: str) -> None:
        """`oldest`: the cursor from which everything is still there."""
        super().__init__(
            "Events after this one were dropped because of their age. Read the onboardings you follow, then go on"
            f" after {oldest}."
        )
        self.oldest = oldest


class EventStream:
    """Reads the stream, and drops what is old. One round trip a method unless it says otherwise."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger whose events these are."""
        self._ledger = ledger
        self._client: Any = ledger.client

    def after(self, cursor: str = OLDEST, limit: int = PAGE) -> list[Event]:
        """Read what comes after a cursor, oldest first.

        Raises CursorError when it is no cursor, and EventsGoneError when events after it were dropped.
        """
        at = place(cursor)
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.xrange(STREAM, f"({cursor}", "+", limit)
            pipeline.get(f"{PREFIX}events_gone")
            entries, gone = pipeline.execute()
        if gone and cursor != OLDEST and at < place(gone.decode()):
            raise EventsGoneError(gone.decode())
        return _events(entries)

    def between(self, first: str, last: str, limit: int = PAGE) -> list[Event]:
        """Read the events from one id to another, both included, oldest first; what is not kept is left out."""
        return _events(self._client.xrange(STREAM, first, last, limit))

    def some(self, ids: Sequence[str]) -> list[Event | None]:
        """Read events by their ids; None for one that is not kept."""
        with self._client.pipeline(transaction=False) as pipeline:
            for id_ in ids:
                pipeline.xrange(STREAM, id_, id_, 1)
            answers = pipeline.execute()
        return [_events(entries)[0] if entries else None for entries in answers]

    def newest(self) -> str:
        """Return the cursor after which only what is yet to come is read."""
        entries = self._client.xrevrange(STREAM, count=1)
        return entries[0][0].decode() if entries else self.gone() or OLDEST

    def gone(self) -> str | None:
        """Return the id of the newest event that was dropped; None: none was."""
        gone = self._client.get(f"{PREFIX}events_gone")
        return gone.decode() if gone else None

    def drop_old(self, kept_s: float, at_most: int = KEPT_AT_MOST) -> int:
        """Drop events older than this, and the oldest of too many; answers how many that were."""
        return int(self._ledger.call("drop_events", int(kept_s * 1000), at_most))


def _events(entries: Sequence[Any]) -> list[Event]:
    return [_event(id_.decode(), fields) for id_, fields in entries]


def _event(id_: str, fields: dict[bytes, bytes]) -> Event:
    name, phase, who, version = fields[b"what"].decode().split(" ")
    name, *about = name.split("/")
    return Event(id_, name, fields[b"key"].decode(), phase, who, int(version), tuple(about))
