"""The console's words: what each phase means, who must act, and what an act will do. Sentences for people at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.lifecycle import STATUSES, Actor, Phase
from workers.budget.gate import BreakerState, BudgetStatus
from workers.events.endpoints import EndpointStatus
from workers.operate.diagnosis import rejects_all

Tone = Literal["", "good", "calm", "warn", "bad"]

#: Phase -> what it means, and how it is coloured.
_MEANINGS: dict[Phase, tuple[str, Tone]] = {
    Phase.RECEIVED: ("We have the job. The customer does not exist at Iron yet.", ""),
    Phase.CUSTOMER_CREATED: ("The customer exists at Iron. Next we create the identification.", ""),
    Phase.IDENTIFICATION_PENDING: ("The customer has a link and still has to identify.", "calm"),
    Phase.STEP_UP_REQUIRED: ("Iron wants more from a customer who was already approved.", "warn"),
    Phase.IN_REVIEW: ("The customer is done. Iron is reviewing.", "calm"),
    Phase.DECLINED: ("Iron declined the identification.", "warn"),
    Phase.EXPIRED: ("The link expired before the customer finished.", "warn"),
    Phase.SIGNINGS_REQUIRED: ("The customer is identified and has to agree to documents.", "calm"),
    Phase.ACTIVE: ("Done. The customer can use the account.", "good"),
    Phase.SUSPENDED: ("Iron suspended this customer.", "warn"),
    Phase.ARCHIVED: ("Iron closed this customer. This is final.", ""),
    Phase.ON_HOLD: ("Stopped until an operator decides. We keep watching.", "bad"),
    Phase.FAILED: ("Iron rejected the details. Correct them to go on.", "bad"),
    Phase.CANCELLED: ("Somebody cancelled this here.", ""),
}

#: Phase -> its name for people, what it means, and how it is coloured.
PHASES: dict[Phase, tuple[str, str, Tone]] = {phase: (STATUSES[phase], *_MEANINGS[phase]) for phase in Phase}

#: Who must act -> in words, and how it is coloured.
#: Who must act, in a table.
WHO = {
    Actor.US: "us",
    Actor.CUSTOMER: "the customer",
    Actor.IRON: "Iron",
    Actor.OPERATOR: "an operator",
    Actor.NOBODY: "nobody",
}

ACTORS: dict[Actor, tuple[str, Tone]] = {
    Actor.US: ("We are working on it", ""),
    Actor.CUSTOMER: ("Waiting for the customer", "calm"),
    Actor.IRON: ("Waiting for Iron", "calm"),
    Actor.OPERATOR: ("Needs an operator", "bad"),
    Actor.NOBODY: ("Nobody needs to act", ""),
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something an operator may do to an onboarding."""

    label: str
    #: What will happen, for the person who is about to do it.
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
        "Retry the last step",
        "We will try the last step again now. Use this when the cause is gone. Details that Iron rejected need a"
        " correction instead.",
        f"{_ACTIONS}/retry",
        reason=False,
    ),
    "correct": Act(
        "Correct the details",
        "Your input replaces the old one completely. We send what Iron rejected again. If the customer exists at Iron,"
        " their e-mail address and external ID change there.",
        f"{_ACTIONS}/correct",
    ),
    "restart": Act(
        "Restart the identification",
        "A new identification will begin and the customer's link will lead to it. The previous one no longer counts."
        " A cancelled customer continues where they were.",
        f"{_ACTIONS}/restart",
    ),
    "revoke_links": Act(
        "Revoke the customer's link",
        "Every link sent to this customer stops working now and for good. You get a new one to send. Iron's own link"
        " stays valid.",
        f"{_ACTIONS}/revoke-links",
        ends=True,
    ),
    "cancel": Act(
        "Cancel this customer",
        "We stop here. Nothing changes at Iron. A restart continues later.",
        f"{_ACTIONS}/cancel",
        ends=True,
    ),
}

#: What a form without its reason says.
ENTER_A_REASON = "Enter a reason. It goes into the history."

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


#: The role that may cancel customers one by one may do so with an import, too.
_IMPORT = f"{_ACTIONS}/cancel"

#: The acts on imports by name, in the order of their buttons.
IMPORT_ACTS: dict[str, ImportAct] = {
    "pause": ImportAct(
        "Pause this import",
        "No more customers of this import will start until you resume it. Customers who have started go on.",
        _IMPORT,
        frozenset({"loading", "interrupted", "running"}),
    ),
    "resume": ImportAct(
        "Resume this import",
        "Its customers will start again, one after the other.",
        _IMPORT,
        frozenset({"paused"}),
    ),
    "cancel": ImportAct(
        "Cancel this import",
        "Customers of this import who have not started will be cancelled for good. The others go on. Each history will"
        " name you and the reason.",
        _IMPORT,
        frozenset({"loading", "interrupted", "running", "paused"}),
        ends=True,
        reason=True,
    ),
}


@dataclass(frozen=True, slots=True)
class IronState:
    """How we stand with Iron, in words."""

    state: str
    tone: Tone
    #: What that means for the work; "" where all is as usual.
    meaning: str
    since_ms: int | None
    #: What the budget allows, and how much of that is used while it is less.
    rates: tuple[tuple[str, str], ...]
    #: What the last sweep found.
    swept: str


#: State of the breaker -> in words, its colour, and what it means.
BREAKER: dict[BreakerState, tuple[str, Tone, str]] = {
    "closed": ("Iron is answering", "good", ""),
    "open": (
        "Iron is not answering",
        "bad",
        "We stopped calling and test every few seconds whether Iron is back. Customers wait; none fails.",
    ),
    "half_open": ("Testing", "warn", "One test call is under way; everything else waits for it."),
}
#: What follows the sentence of workers/operate/diagnosis.py.
REFUSED = "Customers wait; none fails. We go on by ourselves when Iron takes our calls again."
TAP_CLOSED: tuple[str, Tone, str] = ("Iron asked us to wait", "warn", "Too many calls (429).")


def iron_state(summary: Mapping[str, Any], standing: BudgetStatus) -> IronState:
    """Return how we stand with Iron: the tap, the breaker, the budget, the last sweep."""
    closed = standing.closed_until_ms is not None and standing.breaker == "closed"
    state, tone, meaning = TAP_CLOSED if closed else BREAKER[standing.breaker]
    if standing.refusal is not None:
        state, tone, meaning = "Rejecting our calls", "bad", f"{rejects_all(standing.refusal)} {REFUSED}"
    budget, sweep = summary["budget"], summary["sweep"]
    rates = (
        ("Calls", _rate(budget["rate_per_second"], budget["rate_per_second_now"], "second")),
        (
            "Identifications",
            _rate(budget["identifications_per_minute"], budget["identifications_per_minute_now"], "minute"),
        ),
    )
    counts = (
        f"{sweep['read']:,} read, {sweep['differ']:,} out of date, {sweep['unknown']:,} not in our records"
        if "read" in sweep
        else ""
    )
    return IronState(state, tone, meaning, standing.opened_ms, rates, counts)


def _rate(ceiling: float, now: float, unit: str) -> str:
    """Return a rate in words, with its limit where it is below."""
    shown = f"{now:,.0f}" if now >= 100 else f"{now:.3g}"  # noqa: PLR2004 -- three digits
    return f"{ceiling:,g} a {unit}" if now >= ceiling else f"{shown} a {unit} now (limit {ceiling:,g})"


#: State of an endpoint -> in words, and its colour.
ENDPOINT_STATES: dict[str, tuple[str, Tone]] = {
    "active": ("Delivering", "good"),
    "failing": ("Failing", "warn"),
    "paused": ("Paused", "bad"),
}
#: An endpoint whose next event is older than this is behind, in seconds: a delivery comes within a second.
BEHIND_S = 30.0


def endpoint_line(standing: EndpointStatus, lag_s: float) -> dict[str, Any]:
    """Return how the deliveries to an endpoint are."""
    progress, parked = standing.progress, len(standing.parked)
    state, tone = ENDPOINT_STATES[progress.state]
    told = [f"{why[:1].upper()}{why[1:]}." for why in [(progress.paused or progress.why).rstrip(".")] if why]
    if lag_s > BEHIND_S:
        told.append(f"{span(lag_s)} behind.")
    if parked:
        told.append(f"It rejects events of {parked:,} customer{'' if parked == 1 else 's'}.")
    return {
        "name": standing.endpoint.name,
        "state": state,
        "tone": "warn" if tone == "good" and (parked or lag_s > BEHIND_S) else tone,
        "text": " ".join(told) or "Up to date.",
        "accepted_ms": progress.accepted or None,
    }


def ago(at_ms: int | None, now_ms: int) -> str:
    """Return how long ago or how far ahead a moment is."""
    if at_ms is None:
        return ""
    told = span(abs(now_ms - at_ms) / 1000)
    return f"{told} ago" if at_ms <= now_ms else f"in {told}"


def span(seconds: float) -> str:
    """Return a duration in the largest unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
