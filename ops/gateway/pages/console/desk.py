"""What the pages of the console work with, and how they show an onboarding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ops.gateway.http.access import Caller
from ops.gateway.pages.console.page import PageError
from ops.gateway.pages.console.words import ACTORS, ACTS, PERSONAL, PHASES
from ops.gateway.searches import Searches
from pipelines.acts import refusal
from pipelines.plain_reasons import explained
from pipelines.view import read_view, reasons
from workers.engine.broker import NudgeBroker
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, Nudge, Read
from workers.secrets.links import CustomerLinks


@dataclass(frozen=True, slots=True)
class Desk:
    """What the console works with. All of it blocks, so its routes run in threads."""

    ledger: Ledger
    broker: NudgeBroker
    searches: Searches
    door: FrontDoor
    links: CustomerLinks
    #: Puts a nudge on the queue, and does not wait for that.
    send: Callable[[Nudge], object]

    def read(self, key: str) -> Read:
        """Read a record. Raises PageError when there is none."""
        read = self.ledger.read(key)
        if read is None:
            raise PageError(404, "No such customer", "Check the key, or search above.")
        return read

    def page_of(self, read: Read, caller: Caller) -> dict[str, Any]:
        """Show one record to somebody."""
        record = read.record
        label, meaning, tone = PHASES[record.phase]
        who, who_tone = ACTORS[record.waiting_on()]
        link = self.links.link(read)
        acts = [
            (name, act, f"/console/act?{urlencode({'key': record.key, 'act': name})}")
            for name, act in ACTS.items()
            if caller.may(act.route) and refusal(record, name) is None and (link or name != "revoke_links")
        ]
        return {
            "now_ms": read.now_ms,
            "view": read_view(record, read.due_ms, link),
            "reasons": [(code, explained(code)) for code in (*reasons(record), *record.reject_labels)],
            "record": record,
            "due_ms": read.due_ms,
            "acts_waiting": read.acts_waiting,
            "claimed": read.claimed,
            "phase": {"label": label, "meaning": meaning, "tone": tone, "who": who, "who_tone": who_tone},
            "history": told(self.ledger.history(record.key)),
            "phases": PHASES,
            "acts": acts,
            "personal": caller.may(PERSONAL),
            "words": ACTS,
        }


def told(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a history, newest first; what happened in the same way again and again is one entry."""
    entries: list[dict[str, Any]] = []
    for entry in history:
        same = ("phase", "step", "note")
        known = {"step": "", "note": "", "times": 1, "first_ms": entry["at_ms"], **entry}
        if entries and all(entries[-1][name] == known[name] for name in same):
            entries[-1] |= {"at_ms": known["at_ms"], "times": entries[-1]["times"] + 1}
        else:
            entries.append(known)
    return entries[::-1]


def line_of(read: Read) -> dict[str, Any]:
    """Show a record in a list."""
    record = read.record
    label, _, tone = PHASES[record.phase]
    who, who_tone = ACTORS[record.waiting_on()]
    return {
        "key": record.key,
        "address": address_of(record.key),
        "external_id": record.external_id,
        "phase": label,
        "tone": tone,
        "who": who,
        "who_tone": who_tone,
        "since_ms": record.since_ms,
        "problem": record.problem,
    }


def address_of(key: str) -> str:
    """Return the address of a record's page."""
    return f"/console/onboarding?{urlencode({'key': key})}"
