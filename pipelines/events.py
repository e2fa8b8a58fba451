"""Which transitions upstream systems are told of, and how an event reads: a CloudEvent, thin, without personal data.

An event is a hint, as Iron's webhooks are to us: it says that there is something to read, and the reader fetches what
it may see with its own token. No link, no e-mail, no label is in it. Sources: contract section 6, CloudEvents 1.0 and
its extension "sequence", whose values are strings in lexicographical order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from pipelines.reminders.plan import REMINDER_DUE
from pipelines.view import needs

#: What every type begins with.
PREFIX = "onboarding."
#: What somebody outside must do has changed, in the same phase.
NEEDS_CHANGED = "needs_changed"
#: A stage is over the limit that the policy has for it.
OVERDUE = "overdue"
#: Events by name that steps emit beside those of phases: the notice of a coming re-identification.
EMITTED_BY_STEPS = frozenset({"reidentification_due"})
#: Every name that an event may have; its type is `onboarding.<name>`.
NAMES = frozenset(phase.value for phase in Phase) | {NEEDS_CHANGED, REMINDER_DUE, OVERDUE} | EMITTED_BY_STEPS

#: What events of some names say besides: the members of their data, in the order in which the stream has them.
ABOUT = {REMINDER_DUE: ("need", "count"), OVERDUE: ("limit_s",)}
#: Those of them that are numbers.
NUMBERS = frozenset({"count", "limit_s"})

_ID = re.compile(r"(\d{1,15})-(\d{1,20})")


class CursorError(ValueError):
    """This is no cursor: it should be the id of an event, such as 1790000000000-0."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the event stream. `id` is its place there: "<ms>-<number>"; `version` is the record's."""

    id: str
    name: str
    key: str
    phase: str
    waiting_on: str
    version: int
    #: What an event of this name says besides, as texts in the order of `ABOUT`.
    about: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The type as upstream sees it."""
        return PREFIX + self.name

    @property
    def sequence(self) -> str:
        """A text that grows with every event of an onboarding, also after the ledger lost its last seconds.

        It comes from the id, which follows the server's clock, and not from the record's version, which would come a
        second time after a roll-back: a reader who drops what is not newer would then drop real news.
        """
        at, number = place(self.id)
        return f"{at:013d}{number:07d}"

    def cloud_event(self, source: str) -> dict[str, Any]:
        """Write it as a CloudEvent in JSON format; the same event is written the same way for ever."""
        at_ms, _ = place(self.id)
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": source,
            "type": self.type,
            "subject": self.key,
            "time": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sequence": self.sequence,
            "datacontenttype": "application/json",
            "data": {
                "idempotency_key": self.key,
                "phase": self.phase,
                "waiting_on": self.waiting_on,
                "version": self.version,
                **self._said(),
            },
        }

    def _said(self) -> dict[str, str | int]:
        said = zip(ABOUT.get(self.name, ()), self.about, strict=False)
        return {name: int(text) if name in NUMBERS else text for name, text in said}


def source(installation: str) -> str:
    """Return the CloudEvents source of an installation; it and the id name an event for ever."""
    return f"urn:onboarding:{installation}"


def place(id_: str) -> tuple[int, int]:
    """Take an event's id apart: the server's milliseconds, and a number within them. Raises CursorError."""
    match = _ID.fullmatch(id_)
    if match is None:
        raise CursorError(CursorError.__doc__)
    return int(match[1]), int(match[2])


def beginning(record: Record) -> str:
    """Return for the ledger's script what is told when a record begins, or gets another key: its phase."""
    return f"{record.waiting_on().value} {record.phase.value}"


def of_commit(before: Record, following: Next) -> str:
    """Return for the ledger's script what is told of a commit: who must act, then a name an event; "" for nothing.

    The phase when it is another one; else `needs_changed` when what somebody outside must do is something else: who
    must act, a new link, other documents, another reason, consent given, a problem that an operator has to look after.
    A problem that goes away by itself is none of these, so that an outage of Iron is not told once for each onboarding.
    """
    record = following.record
    names = [following.event] if following.event else []
    if record.phase is not before.phase:
        names.insert(0, record.phase.value)
    elif _asked(record) != _asked(before):
        names.insert(0, NEEDS_CHANGED)
    return " ".join([record.waiting_on().value, *names]) if names else ""


def _asked(record: Record) -> tuple[str, list[dict[str, Any]]]:
    """Return who must act and what is needed, in a form to compare: without sentences, which may hold counts."""
    return record.waiting_on().value, [_compared(need) for need in needs(record)]


def _compared(need: dict[str, Any]) -> dict[str, Any]:
    unstable = ("text", "link") if "document" in need else ("text",)
    return {name: value for name, value in need.items() if name not in unstable}
