"""The pages that show something: the overview, lists, one onboarding, its personal data. None but the last writes."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from ops.durations import duration_s
from ops.gateway import pages
from ops.gateway.api.paging import cursor_of, place_of
from ops.gateway.pages.console.desk import Desk, address_of, line_of
from ops.gateway.pages.console.page import Form, PageError, Present, must, rendered
from ops.gateway.pages.console.words import PERSONAL, PHASES, WHO, endpoint_line, iron_state
from pipelines.errors import InputLostError
from pipelines.lifecycle import Actor, Phase
from pipelines.reasons import PARTS, iron_says
from pipelines.stages.percentiles import length_in_words
from pipelines.view import in_words
from workers.budget.gate import Gate
from workers.engine.inventory import look
from workers.events.endpoints import Endpoints
from workers.ledger import Ledger, Listed, Lists, Read
from workers.operate.search import Filters, page
from workers.operate.summary import summarised
from workers.reconcile.cursor import SweepCursor

#: Onboardings that need a person, shown on the overview.
SHOWN = 8
#: Onboardings of a page.
PAGE = 50


def add(router: APIRouter, desk: Desk) -> None:
    """Add the pages."""
    ledger = desk.ledger

    @router.get("/")
    def overview(request: Request, present: Present) -> Response:
        phases, now_ms = Lists(ledger).phases(), ledger.now_ms()
        summary, standing = summarised(ledger, desk.broker.depths(), look(desk.broker)), Gate(ledger).standing()
        return rendered(
            request,
            "overview.html",
            present,
            now_ms=now_ms,
            summary=summary,
            standing=standing,
            iron=iron_state(summary, standing),
            swept_ms=_swept_ms(ledger),
            endpoints=_endpoints(ledger, now_ms),
            phases=[(phase, *PHASES[phase], *phases[phase]) for phase in Phase if phase in phases],
            largest=max((count for count, _ in phases.values()), default=1),
            stages=[_stage(stage) for stage in summary["stages"]],
            stuck=[line_of(read) for read in _stuck(ledger)],
        )

    @router.get("/console/onboardings")
    def onboardings(
        request: Request, present: Present, phase: str = "", label: str = "", longer: str = "", cursor: str = ""
    ) -> Response:
        given = {"phase": phase, "label": label.strip(), "longer": longer.strip()}
        now_ms = ledger.now_ms()
        filters, until_ms = _filters(given, now_ms)
        place = place_of(cursor or None, given)
        found = page(ledger, filters, Listed(*place) if place else None, PAGE)
        reads = [read for read in found.reads if read.record.since_ms <= until_ms]
        following = (
            found.following if len(reads) == len(found.reads) else None
        )  # the list is in the order of these times
        more = urlencode({**given, "cursor": cursor_of(following, given)}) if following else ""
        return rendered(
            request,
            "list.html",
            present,
            now_ms=now_ms,
            heading="Customers",
            lines=[line_of(read) for read in reads],
            filters=given,
            phases=PHASES,
            more=more,
            begin=urlencode(given) if cursor else "",
        )

    @router.post("/console/find")
    def search(request: Request, present: Present, form: Form) -> Response:
        found = desk.searches.find(present.caller, form.get("text", ""))
        if len(found) == 1:
            return pages.see(address_of(found[0].record.key))
        return rendered(
            request,
            "list.html",
            present,
            now_ms=ledger.now_ms(),
            heading=f"{len(found)} customers found" if found else "No customer found",
            lines=[line_of(read) for read in found],
            filters=None,
            more="",
            begin="",
        )

    @router.get("/console/onboarding")
    def onboarding(request: Request, present: Present, key: str, done: str = "") -> Response:
        return rendered(request, "record.html", present, **desk.page_of(desk.read(key), present.caller), done=done)

    @router.post("/console/personal")
    def personal(request: Request, present: Present, form: Form) -> Response:
        must(present.caller, PERSONAL)
        record = desk.read(form.get("key", "")).record
        try:
            opened = desk.door.personal(record.key, by=present.caller.name)
        except InputLostError as error:
            raise PageError(409, "The stored data cannot be read", str(error)) from None
        given = {name: json.dumps(part, ensure_ascii=False, indent=2) for name, part in opened.items()}
        parts = [(name, text) for name, text in given.items() if name not in PARTS]
        said, address = [in_words(one) for one in iron_says(record, opened)], address_of(record.key)
        return rendered(request, "personal.html", present, key=record.key, address=address, parts=parts, said=said)


def _endpoints(ledger: Ledger, now_ms: int) -> list[dict[str, Any]]:
    """Return for each endpoint how its deliveries are."""
    endpoints = Endpoints(ledger)
    standings = endpoints.all()
    lags = endpoints.lags_s(standings, now_ms)
    return [endpoint_line(standing, lags[standing.endpoint.name]) for standing in standings]


def _swept_ms(ledger: Ledger) -> int | None:
    finished = SweepCursor(ledger).sweep_state().get("finished")
    return int(finished) if finished else None


def _stuck(ledger: Ledger) -> list[Read]:
    """Return those that wait for a person, the longest first."""
    found = [
        read
        for phase in (Phase.ON_HOLD, Phase.FAILED)
        for read in islice(Lists(ledger).in_phase(phase, batch=SHOWN), SHOWN)
    ]
    return sorted(found, key=lambda read: read.record.since_ms)[:SHOWN]


def _filters(given: dict[str, str], now_ms: int) -> tuple[Filters, int]:
    """Read the filters of a list, and since when at the latest its records are in their phase. Raises PageError."""
    name, sign, value = given["label"].partition("=")
    if given["label"] and not (sign and name.strip()):
        raise PageError(400, "Invalid label", "Write it as name=value, for example source=crm.")
    if given["phase"] and given["phase"] not in set(Phase):
        raise PageError(400, "No such status", "Choose one from the list.")
    try:
        longer_s = duration_s(given["longer"]) if given["longer"] else 0
    except ValueError:
        raise PageError(400, "Invalid duration", "Write 30m, 12h or 3d.") from None
    labels = ((name.strip(), value.strip()),) if given["label"] else ()
    return Filters(Phase(given["phase"]) if given["phase"] else None, labels), now_ms - longer_s * 1000


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    """Write how long a stage took for people."""
    windows = {name: stage[name] for name in ("last_24h", "last_7d", "last_30d")}
    lengths = {
        name: f"{length_in_words(window['p50_s'])} · {length_in_words(window['p90_s'])}" if window else ""
        for name, window in windows.items()
    }
    return {
        "phase": PHASES[Phase(stage["phase"])][0],
        "who": WHO[Actor(stage["waiting_on"])],
        "limit": length_in_words(stage["limit_s"]) if stage["limit_s"] else "",
        "overdue": stage["overdue"],
        **lengths,
    }
