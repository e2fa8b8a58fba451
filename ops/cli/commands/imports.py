"""The commands `imports ...`: how imports stand; pausing, resuming, cancelling one. `import` itself is in jobs.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli import output
from ops.cli.commands.acts import who
from ops.cli.exits import CommandError, Status
from ops.cli.options import By, Json, add

if TYPE_CHECKING:
    from ops.cli.session import Session
    from workers.imports.imports import Import, Imports

app = typer.Typer(help="Follow, pause, resume and cancel imports.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the import.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without --yes only the counts are shown.")]
Reason = Annotated[str, typer.Option(metavar="R", help="Why. Visible to everybody here: no personal data.")]


@app.callback(invoke_without_command=True)
def _group(context: typer.Context, json: Json = False) -> int:
    """Follow, pause, resume and cancel imports. Without a command: list all, the newest first."""
    if context.invoked_subcommand is not None:
        return Status.DONE
    from ops.cli.session import opened
    from workers.imports.imports import Imports

    with opened() as session:
        found = Imports(session.ledger).all()
    if json:
        for one in found:
            output.give(one.as_json())
        return Status.DONE
    numbers = ("rows", "refused", "waiting", "started", "finished")
    output.table(("name", "state", *numbers, "expected to be finished"), map(_line, found), right=numbers)
    return Status.DONE


def show(name: Name, json: Json = False) -> int:
    """Show one import: rows, customers started and finished.

    An import is finished when all our own work is done: from then on customers act. When it is expected to be done
    follows from how fast it went in the last minutes, and how many imports share the budget.

    Example: onboarding imports show customers
    """
    from ops.cli.session import opened

    with opened() as session:
        one = _get(session, name)[1]
    _tell(one, as_json=json)
    return Status.DONE


def pause(name: Name, yes: Yes = False, reason: Reason = "", by: By = None, json: Json = False) -> int:
    """Start no more customers of an import until resumed.

    Customers who have started go on.

    Example: onboarding imports pause customers --reason "the list is being checked" --yes
    """
    from ops.cli.session import opened

    with opened(check=True) as session:
        imports, one = _get(session, name)
        if one.state in ("cancelled", "finished"):
            raise CommandError(f"The import {name} is {one.state}. There is nothing to pause.")
        changed = yes and imports.pause(name, by=who(by), reason=reason)
        one = imports.get(name)
    _tell(one, as_json=json)
    output.say(_outcome(f"{one.waiting:,} customers of {name} who have not started", "wait", "paused", yes, changed))
    return Status.DONE


def resume(name: Name, yes: Yes = False, json: Json = False) -> int:
    """Resume a paused import.

    Example: onboarding imports resume customers --yes
    """
    from ops.cli.session import opened

    with opened(check=True) as session:
        imports, one = _get(session, name)
        if one.state == "cancelled":
            raise CommandError(f"The import {name} is cancelled for good. Import the file under another name.")
        changed = yes and imports.resume(name)
        one = imports.get(name)
    _tell(one, as_json=json)
    output.say(
        _outcome(f"{one.waiting:,} customers of {name} who have not started", "start again", "running", yes, changed)
    )
    return Status.DONE


def cancel(name: Name, reason: Reason, yes: Yes = False, by: By = None, json: Json = False) -> int:
    """Cancel customers of an import who have not started.

    This is final. The others go on. Each customer's history says who cancelled and why. If the command is interrupted,
    run it again.

    Example: onboarding imports cancel customers --reason "the wrong list" --yes
    """
    from ops.cli.session import opened

    with opened(check=True) as session:
        imports, one = _get(session, name)
        count = one.waiting
        if yes:
            count = imports.cancel(name, by=who(by), reason=reason)
            one = imports.get(name)
    _tell(one, as_json=json)
    begun = one.total - one.finished - one.waiting
    output.say(
        f"Cancelled {count:,} customers of {name} who had not started; {begun:,} are in progress and go on."
        if yes
        else f"{count:,} customers of {name} have not started. Cancel them with --yes."
    )
    return Status.DONE


def report(name: Name) -> int:
    """Print the refused rows of an import as CSV.

    Each with what is wrong with it. The file can be corrected and imported again. It holds personal data, is kept
    encrypted, and expires a week after the import.

    Example: onboarding imports report customers > refused.csv
    """
    from ops.cli.session import opened
    from pipelines.errors import InputLostError
    from workers.imports.imports import Imports, NoSuchImportError

    with opened("input") as session:
        try:
            for part in Imports(session.ledger, session.vault).report(name):
                output.put(part, end="")
        except NoSuchImportError as error:
            raise CommandError(str(error)) from None
        except InputLostError as error:
            raise CommandError(str(error)) from None
    return Status.DONE


def _get(session: Session, name: str) -> tuple[Imports, Import]:
    from workers.imports.imports import Imports, NoSuchImportError

    imports = Imports(session.ledger)
    try:
        return imports, imports.get(name)
    except NoSuchImportError as error:
        raise CommandError(str(error)) from None


def _outcome(who: str, do: str, state: str, yes: bool, changed: bool) -> str:
    if not yes:
        return f"{who} would {do}. Do it with --yes."
    return f"{who} {do} now." if changed else f"Nothing changed: it was already {state}."


def _line(one: Import) -> tuple[object, ...]:
    view = one.as_json()
    return (
        *(one.name, one.state, one.rows, one.conflict + one.error, one.waiting),
        *(one.total - one.waiting, one.finished, view["finished_at"] or view["expected_at"]),
    )


def _tell(one: Import, *, as_json: bool) -> None:
    if as_json:
        output.give(one.as_json())
        return
    view = one.as_json()
    halted = view["halted"]
    refused = f"{one.conflict:,} conflicts, {one.error:,} mistakes"
    rows = [
        ("state", one.state),
        ("by", one.by),
        ("started at", view["created_at"]),
        ("rows", f"{one.rows:,}: {one.create:,} new, {one.unchanged:,} already known, {refused}"),
        ("customers", f"{one.waiting:,} wait, {one.total - one.waiting:,} started, {one.finished:,} finished"),
        ("phases", ", ".join(f"{count:,} {phase}" for phase, count in one.phases.items())),
        ("speed", None if one.per_minute is None else f"{one.per_minute:,.0f} customers a minute"),
        ("finished at", view["finished_at"]),
        ("expected at", view["expected_at"]),
        (
            one.state,
            halted and f"by {halted['by']} at {halted['at']}" + (f" ({halted['reason']})" * bool(halted["reason"])),
        ),
    ]
    output.table((one.name, ""), [(name, value) for name, value in rows if value])


for command in (show, pause, resume, cancel, report):
    add(app, command)
