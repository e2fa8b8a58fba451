"""The console's words: what each phase means, who must act, and what an act will do. Sentences for people at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.lifecycle import Actor, Phase

Tone = Literal["", "good", "calm", "warn", "bad"]

#: Phase -> its name for people, what it means, and how it is coloured.
PHASES: dict[Phase, tuple[str, str, Tone]] = {
    Phase.RECEIVED: ("Received", "The job is accepted; the customer is not on Iron yet.", ""),
    Phase.CUSTOMER_CREATED: ("Customer created", "Iron knows the customer; the identification comes next.", ""),
    Phase.IDENTIFICATION_PENDING: (
        "Identification pending",
        "The customer has a link and has not finished the identification.",
        "calm",
    ),
    Phase.STEP_UP_REQUIRED: (
        "Step-up required",
        "Iron asks a customer who was approved before for something more.",
        "warn",
    ),
    Phase.IN_REVIEW: ("In review", "The customer has done everything; Iron checks it.", "calm"),
    Phase.DECLINED: ("Declined", "Iron has declined the identification.", "warn"),
    Phase.EXPIRED: ("Expired", "The link ran out before the customer was done.", "warn"),
    Phase.SIGNINGS_REQUIRED: ("Signings required", "The customer is identified and has documents to agree to.", "calm"),
    Phase.ACTIVE: ("Active", "The onboarding is done; the customer can use the account.", "good"),
    Phase.SUSPENDED: ("Suspended", "Iron has suspended the customer.", "warn"),
    Phase.ARCHIVED: ("Archived", "Iron has closed the customer for good.", ""),
    Phase.ON_HOLD: ("On hold", "This does not go on by itself: somebody has to look.", "bad"),
    Phase.FAILED: ("Failed", "Iron refuses what was sent: it has to be corrected.", "bad"),
    Phase.CANCELLED: ("Cancelled", "The onboarding was ended here.", ""),
}

#: Who must act -> in words, and how it is coloured.
ACTORS: dict[Actor, tuple[str, Tone]] = {
    Actor.US: ("We are working on it", ""),
    Actor.CUSTOMER: ("Waiting for the customer", "calm"),
    Actor.IRON: ("Waiting for Iron", "calm"),
    Actor.OPERATOR: ("An operator must act", "bad"),
    Actor.NOBODY: ("Nothing is waited for", ""),
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something an operator may do to an onboarding."""

    label: str
    #: What will happen, for whoever is about to do it.
    happens: str
    #: The route that asks for the same role.
    route: str
    #: It ends or takes away something.
    ends: bool = False
    #: It cannot be done without saying why.
    reason: bool = True


_ACTIONS = "POST /v1/onboardings/{key}/actions"

#: The acts of the console by name, in the order of their buttons.
ACTS: dict[str, Act] = {
    "retry": Act(
        "Try again",
        "What ended in a problem is tried once more now. Use it when the cause is gone; what Iron refused for its"
        " content has to be corrected instead.",
        f"{_ACTIONS}/retry",
        reason=False,
    ),
    "correct": Act(
        "Correct",
        "The whole input is replaced. What Iron refused is sent again; a customer who is on Iron already gets the new"
        " e-mail address and external id there.",
        f"{_ACTIONS}/correct",
    ),
    "restart": Act(
        "Restart",
        "A new identification begins and the customer gets a new hosted link; a cancelled onboarding is taken up again"
        " where it was. The identification before is then worthless.",
        f"{_ACTIONS}/restart",
    ),
    "revoke_links": Act(
        "Revoke the customer's link",
        "Every customer's link to this onboarding so far stops working at once, for good. A new one can be had right"
        " after. Iron's hosted link stays as it is.",
        f"{_ACTIONS}/revoke-links",
        ends=True,
    ),
    "cancel": Act(
        "Cancel",
        "The onboarding ends here. Nothing is changed on Iron, and a restart takes it up again.",
        f"{_ACTIONS}/cancel",
        ends=True,
    ),
}

#: The route that asks for the role to see personal data.
PERSONAL = "GET /v1/onboardings/{key}/personal"

#: State of an import -> its name for people, and how it is coloured.
IMPORT_STATES: dict[str, tuple[str, Tone]] = {
    "loading": ("Loading", "calm"),
    "interrupted": ("Interrupted", "warn"),
    "running": ("Running", "calm"),
    "paused": ("Paused", "warn"),
    "cancelled": ("Cancelled", ""),
    "finished": ("Finished", "good"),
}


@dataclass(frozen=True, slots=True)
class ImportAct:
    """Something an operator may do to an import that is in one of these states."""

    label: str
    happens: str
    route: str
    when: frozenset[str]
    ends: bool = False
    reason: bool = False


#: Whoever may end onboardings one by one may do so with an import, too.
_IMPORT = f"{_ACTIONS}/cancel"

#: The acts on imports by name, in the order of their buttons.
IMPORT_ACTS: dict[str, ImportAct] = {
    "pause": ImportAct(
        "Pause",
        "No further customer of this import is begun until it is resumed. Who is begun goes on.",
        _IMPORT,
        frozenset({"loading", "interrupted", "running"}),
    ),
    "resume": ImportAct("Resume", "Its customers take their turns again.", _IMPORT, frozenset({"paused"})),
    "cancel": ImportAct(
        "Cancel",
        "What nobody has begun of this import is cancelled for good; who is begun goes on to the end. The history of"
        " each customer says who cancelled and why.",
        _IMPORT,
        frozenset({"loading", "interrupted", "running", "paused"}),
        ends=True,
        reason=True,
    ),
}


def iron_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Tell how we stand with Iron: the budget, and the last sweep."""
    budget, sweep = summary["budget"], summary["sweep"]
    lines = [
        ("Calls", f"{budget['rate_per_second']:g} a second"),
        ("Identifications", f"{budget['identifications_per_minute']:g} a minute"),
    ]
    if sweep["finished_at"]:
        counts = f"{sweep['read']:,} read, {sweep['differ']:,} differed, {sweep['unknown']:,} unknown"
        lines.append(("Last sweep", f"{sweep['finished_at']}: {counts}"))
    elif not sweep["running"]:
        lines.append(("Last sweep", "none yet"))
    if sweep["running"]:
        lines.append(("Sweep", "one is under way"))
    return lines


def ago(at_ms: int | None, now_ms: int) -> str:
    """Say how long ago or how far ahead a moment is, in the largest unit that fits."""
    if at_ms is None:
        return ""
    seconds = abs(now_ms - at_ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size * (2 if unit == "d" else 1):
            span = f"{seconds // size} {unit}"
            break
    else:
        span = f"{seconds} s"
    return f"{span} ago" if at_ms <= now_ms else f"in {span}"
