"""Commands that read the ledger: `status`, `history`, `list`, `summary`. None changes where a customer stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.commands.acts import who
from ops.cli.exits import CommandError, Status
from ops.cli.options import TIMEOUT_S, Json, Key, Labels, Timeout, Wait, add

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.lifecycle import Phase
    from workers.ledger import Ledger, Read


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, status)
    add(app, history)
    add(app, find)
    add(app, list_, "list")
    add(app, summary)


def status(
    key: Key,
    wait: Wait = None,
    timeout: Timeout = TIMEOUT_S,
    personal: Annotated[
        bool,
        typer.Option(
            "--personal", help="Show the personal data and Iron's own words too. The history records who looked."
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Show the status of one customer.

    In which phase, who must act, what exactly is needed, and what happens next. With --wait: exit status 8 on
    timeout, 1 if it ended in another phase.

    Example: onboarding status crm-1 --wait active --timeout 300
    """
    from ops.cli.inputs import phase
    from ops.cli.session import opened
    from ops.cli.waiting import read_when, told

    wanted = phase(wait) if wait else None
    with opened("input" if personal else "ledger") as session:
        found, ended = read_when(session.ledger, key, wanted, timeout)
        details = _personal(session, key) if personal else {}
        link = _customer_link(session, found)
    show(found, as_json=json, details=details, link=link)
    if why := told(found, wanted, ended, timeout):
        output.say(why)
    return ended


def history(key: Key, json: Json = False) -> int:
    """Show the history of one customer, oldest first.

    Example: onboarding history crm-1 --json
    """
    from ops.cli.session import opened
    from ops.cli.waiting import read
    from pipelines.times import timestamp

    with opened() as session:
        read(session.ledger, key)
        entries = session.ledger.history(key)
    if json:
        for entry in entries:
            output.give({"at": timestamp(entry["at_ms"]), **entry})
    else:
        rows = ((timestamp(entry["at_ms"]), entry["phase"], entry.get("step"), entry.get("note")) for entry in entries)
        output.table(("at", "phase", "step", "what"), rows)
    return Status.DONE


def find(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Key, external ID, e-mail address or Iron ID.")],
    json: Json = False,
) -> int:
    """Find customers by key, external id, e-mail or Iron's id.

    By idempotency key, external id, e-mail address (in any case) or Iron's id of the customer. One that was corrected
    is found by what it had before, too. The exit status is 1 when there is none.

    Example: onboarding find ada@example.com
    """
    from ops.cli.session import opened
    from workers.operate.search import find as search

    with opened("input") as session:
        found = search(session.ledger, session.vault, text)
    if not found:
        raise CommandError("No customer has this key, external ID, e-mail address or Iron ID.")
    if json:
        for one in found:
            show(one, as_json=True)
    else:
        output.table(("key", "phase", "waiting on", "since", "problem"), map(_row, found))
    return Status.DONE


def list_(
    phase: Annotated[str | None, typer.Option("--phase", metavar="P", help="Only this phase.")] = None,
    label: Labels = None,
    older_than: Annotated[str | None, typer.Option(metavar="3d", help="Only those in their phase for longer.")] = None,
    import_: Annotated[
        str | None, typer.Option("--import", metavar="NAME", help="Only those of this import, in its order.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most N.")] = 100,
    json: Json = False,
) -> int:
    """List customers by phase, oldest first.

    Example: onboarding list --phase identification_pending --older-than 3d --label source=crm
    """
    from ops.cli import inputs
    from ops.cli.session import opened
    from pipelines.lifecycle import Phase

    phases = [inputs.phase(phase)] if phase else list(Phase)
    labels = inputs.pairs(label or [], "--label")
    seconds = inputs.duration_s(older_than) if older_than else None
    with opened() as session:
        if import_ is not None:
            _must_be_known(session.ledger, import_)
        until_ms = None if seconds is None else session.ledger.now_ms() - seconds * 1000
        matching = (
            _matching(session.ledger, phases, labels, until_ms)
            if import_ is None
            else _of_import(session.ledger, import_, phases, labels, until_ms)
        )
        found = list(islice(matching, limit + 1))
    shown = found[:limit]
    if json:
        for one in shown:
            show(one, as_json=True)
    else:
        output.table(("key", "phase", "waiting on", "since", "problem"), map(_row, shown))
    if len(found) > limit:
        output.say(
            f"There are more than these {limit}: raise --limit, or ask with --phase, --label, --import or --older-than."
        )
    return Status.DONE


def summary(json: Json = False) -> int:
    """Count customers by phase, and the work in each lane.

    Example: onboarding summary --json
    """
    from ops.cli.session import opened

    with opened() as session:
        counts = summarised(session)
    if json:
        output.give(counts)
        return Status.DONE
    rows = [(name, phase["count"], phase["oldest_since"]) for name, phase in counts["phases"].items()]
    output.table(("phase", "count", "oldest since"), [*rows, ("total", counts["total"], "")], right=("count",))
    lanes = [(name, *lane.values()) for name, lane in counts["lanes"].items()]
    output.table(
        ("lane", "due now", "scheduled", "in the queue"), lanes, right=("due now", "scheduled", "in the queue")
    )
    budget = counts["budget"]
    output.say(
        f"Budget: {budget['rate_per_second']:g} calls a second,"
        f" {budget['identifications_per_minute']:g} identifications a minute."
    )
    _say_ages(counts["stages"])
    for sentence in _held_back(counts):
        output.say(sentence)
    sweep = counts["sweep"]
    if sweep["finished_at"]:
        output.say(
            f"Compared with Iron's list at {sweep['finished_at']}: {sweep['read']:,} read,"
            f" {sweep['differ']:,} out of date, {sweep['unknown']:,} not in our records."
        )
    endpoints = counts["endpoints"]
    if endpoints["failing"] or endpoints["paused"] or endpoints["parked"]:
        output.say(
            f"Endpoints: {endpoints['failing']} failing, {endpoints['paused']} paused; events of"
            f" {endpoints['parked']:,} customers rejected. Details: `onboarding endpoints list`."
        )
    again = counts["reidentification"]
    if again["enabled"] or again["waiting"]:
        late = f", {again['past_their_date']:,} of them past their date" if again["past_their_date"] else ""
        output.say(
            f"Re-identification: {again['started_today']:,} of {again['max_per_day']:,} starts taken today;"
            f" {again['waiting']:,} customers wait for one{late}."
        )
    for sentence in _messages(counts["messages"]):
        output.say(sentence)
    if counts["refused"]:
        output.say(f"{counts['refused']:,} job messages were refused. See why with `onboarding refused`.")
    return Status.DONE


def _say_ages(stages: Sequence[Mapping[str, Any]]) -> None:
    """Show how long stages took in the last 24 hours and 30 days, and how many are over their limit."""
    from pipelines.stages.percentiles import length_in_words as length

    rows = []
    for stage in stages:
        day, month = stage["last_24h"], stage["last_30d"]
        lengths = [
            " · ".join(length(window[name]) for name in ("p50_s", "p90_s")) if window else "" for window in (day, month)
        ]
        limit = length(stage["limit_s"]) if stage["limit_s"] else ""
        rows.append(
            (stage["phase"], stage["waiting_on"], day["count"] if day else 0, *lengths, limit, stage["overdue"])
        )
    columns = ("phase", "waiting on", "ended in 24 h", "24 hours", "30 days", "limit", "over it")
    if rows:
        title = "How long stages took: half of all · nine in ten"
        output.table(columns, rows, title=title, right=("ended in 24 h", "over it"))


def _messages(found: Mapping[str, Any]) -> Iterator[str]:
    """Return what is in the broker beside nudges that move."""
    if found["delayed"]:
        yield f"{found['delayed']:,} messages were sent with a delay and wait until it is over."
    for one in found["stuck"]:
        yield f"{one['count']:,} messages do not move: {one['queue']} ({one['place']}). `onboarding doctor` says why."


def _held_back(counts: Mapping[str, Any]) -> Iterator[str]:
    """Return what keeps calls to Iron from leaving, or makes them fewer than the budget."""
    from workers.operate.diagnosis import rejects_all

    budget = counts["budget"]
    now, per_minute = budget["rate_per_second_now"], budget["identifications_per_minute_now"]
    if (now, per_minute) != (budget["rate_per_second"], budget["identifications_per_minute"]):
        yield f"Now limited to {now:g} calls a second and {per_minute:g} identifications a minute; recovering."
    if budget["closed_until"]:
        yield f"Iron asked us to wait until {budget['closed_until']} (429)."
    if counts["breaker"] != "closed":
        why = rejects_all(counts["refusal"]) if counts["refusal"] else "Iron is not answering."
        yield f"{why} We test every few seconds whether Iron is back (breaker: {counts['breaker']})."
    for lane, pause in counts["paused"].items():
        why = f": {pause['reason']}" if pause["reason"] else ""
        yield f"{lane} is paused since {pause['at']} by {pause['by']}{why}."


def summarised(session: Session) -> dict[str, Any]:
    """Return the counts as the contract has them."""
    import redis

    from workers.engine.inventory import look
    from workers.operate.preflight import unanswered
    from workers.operate.summary import summarised as of_ledger

    try:
        queued, lying = session.broker.depths(), look(session.broker)
    except redis.RedisError as error:
        raise CommandError(unanswered(session.broker.client, error, "ONBOARDING_BROKER_URL")) from None
    return of_ledger(session.ledger, queued, lying)


def show(found: Read, *, as_json: bool, details: Mapping[str, Any] | None = None, link: str | None = None) -> None:
    """Print one record, as data or for people.

    `details`: the personal data, where it was asked for; `link`: the customer's, where the settings say enough.
    """
    from pipelines.reasons import PARTS, iron_says
    from pipelines.view import in_words, read_view

    view, details = read_view(found.record, found.due_ms, link), details or {}
    said = iron_says(found.record, details)
    if as_json:
        output.give(view | ({"personal": details, "iron_says": said} if details else {}))
        return
    output.show_record(view)
    if said:
        output.table(("Iron says", ""), [(about, "\n".join(text)) for about, text in map(in_words, said)])
    if details:
        output.table(("personal data", ""), [(name, value) for name, value in details.items() if name not in PARTS])


def _customer_link(session: Session, found: Read) -> str | None:
    from workers.settings import customer_links

    return customer_links(session.settings).link(found) if session.settings.link_keys else None


def _personal(session: Session, key: str) -> Mapping[str, Any]:
    """Open what is stored about the customer; who asked for it goes into the history first."""
    from pipelines.errors import InputLostError

    try:
        return session.door.personal(key, by=who(None))
    except InputLostError as error:
        raise CommandError(str(error)) from None


def _matching(ledger: Ledger, phases: list[Phase], labels: Mapping[str, str], until_ms: int | None) -> Iterator[Read]:
    from workers.ledger import Lists

    for phase in phases:
        for found in Lists(ledger).in_phase(phase, until_ms=until_ms):
            if labels.items() <= found.record.labels.items():
                yield found


def _must_be_known(ledger: Ledger, name: str) -> None:
    from workers.imports.imports import Imports, NoSuchImportError

    try:
        Imports(ledger).get(name)
    except NoSuchImportError as error:
        raise CommandError(str(error)) from None


def _of_import(
    ledger: Ledger, name: str, phases: list[Phase], labels: Mapping[str, str], until_ms: int | None
) -> Iterator[Read]:
    """Go through an import's records in the order of its rows."""
    from workers.ledger.import_store import ImportStore

    for found in ImportStore(ledger).imported(name):
        record = found.record
        early = until_ms is None or record.since_ms <= until_ms
        if early and record.phase in phases and labels.items() <= record.labels.items():
            yield found


def _row(found: Read) -> tuple[object, ...]:
    from pipelines.times import timestamp

    record = found.record
    return (
        record.key,
        record.phase.value,
        record.waiting_on().value,
        timestamp(record.since_ms),
        record.problem.code if record.problem else None,
    )
