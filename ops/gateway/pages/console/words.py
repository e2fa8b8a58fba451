"""The console's words: what each phase means, who must act, and what an act will do. Sentences for people at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.lifecycle import Actor, Phase
from workers.budget.gate import BreakerState, BudgetStatus
from workers.events.endpoints import EndpointStatus
from workers.operate.diagnosis import rejects_all

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
    Phase.IN_REVIEW: ("In review", "The customer is done. Iron is reviewing.", "calm"),
    Phase.DECLINED: ("Declined", "Iron has declined the identification.", "warn"),
    Phase.EXPIRED: ("Expired", "The link expired before the customer finished.", "warn"),
    Phase.SIGNINGS_REQUIRED: ("Signings required", "The customer is identified and has documents to agree to.", "calm"),
    Phase.ACTIVE: ("Active", "Done. The customer can use the account.", "good"),
    Phase.SUSPENDED: ("Suspended", "Iron has suspended the customer.", "warn"),
    Phase.ARCHIVED: ("Archived", "Iron closed this customer. This is final.", ""),
    Phase.ON_HOLD: ("On hold", "Stopped until an operator decides. We keep watching.", "bad"),
    Phase.FAILED: ("Failed", "Iron rejected the details. Correct them to go on.", "bad"),
    Phase.CANCELLED: ("Cancelled", "Somebody cancelled this here.", ""),
}

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
        "No more customers of this import will start until you resume it. Customers who have started go on.",
        _IMPORT,
        frozenset({"loading", "interrupted", "running"}),
    ),
    "resume": ImportAct(
        "Resume", "Its customers will start again, one after the other.", _IMPORT, frozenset({"paused"})
    ),
    "cancel": ImportAct(
        "Cancel",
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
    "closed": ("Calls leave", "good", ""),
    "open": (
        "In trouble",
        "bad",
        "We stopped calling and test every few seconds whether Iron is back. Customers wait; none fails.",
    ),
    "half_open": ("Probing", "warn", "One test call is under way; everything else waits for it."),
}
#: What follows the sentence of workers/operate/diagnosis.py.
REFUSED = "Customers wait; none fails. We go on by ourselves when Iron takes our calls again."
TAP_CLOSED: tuple[str, Tone, str] = ("Asked for a pause", "warn", "Iron asked for a pause of all calls (429).")


def iron_state(summary: Mapping[str, Any], standing: BudgetStatus) -> IronState:
    """Tell how we stand with Iron: the tap, the breaker, the budget, the last sweep."""
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
        f"{sweep['read']:,} read, {sweep['differ']:,} differed, {sweep['unknown']:,} unknown" if "read" in sweep else ""
    )
    return IronState(state, tone, meaning, standing.opened_ms, rates, counts)


def _rate(ceiling: float, now: float, unit: str) -> str:
    """Tell a rate, and its ceiling where it is below."""
    return f"{ceiling:g} a {unit}" if now >= ceiling else f"{now:.3g} a {unit} now, of {ceiling:g}"


#: State of an endpoint -> in words, and its colour.
ENDPOINT_STATES: dict[str, tuple[str, Tone]] = {
    "active": ("Delivering", "good"),
    "failing": ("Failing", "warn"),
    "paused": ("Paused", "bad"),
}
#: An endpoint whose next event is older than this is behind, in seconds: a delivery comes within a second.
BEHIND_S = 30.0


def endpoint_line(standing: EndpointStatus, lag_s: float) -> dict[str, Any]:
    """Tell how the deliveries to an endpoint are."""
    progress, parked = standing.progress, len(standing.parked)
    state, tone = ENDPOINT_STATES[progress.state]
    told = [f"{why[:1].upper()}{why[1:]}." for why in [(progress.paused or progress.why).rstrip(".")] if why]
    if lag_s > BEHIND_S:
        told.append(f"It is {span(lag_s)} behind.")
    if parked:
        told.append(f"It refuses events of {parked:,} onboarding{'' if parked == 1 else 's'}.")
    return {
        "name": standing.endpoint.name,
        "state": state,
        "tone": "warn" if tone == "good" and (parked or lag_s > BEHIND_S) else tone,
        "text": " ".join(told) or "It has everything there is.",
        "accepted_ms": progress.accepted or None,
    }


def ago(at_ms: int | None, now_ms: int) -> str:
    """Say how long ago or how far ahead a moment is."""
    if at_ms is None:
        return ""
    told = span(abs(now_ms - at_ms) / 1000)
    return f"{told} ago" if at_ms <= now_ms else f"in {told}"


def span(seconds: float) -> str:
    """Tell a length of time in the largest unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
