"""The command `reidentify`: the policy and its calendar, runs, and customers named one by one. Contract section 8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.commands.acts import who
from ops.cli.exits import usage
from ops.cli.options import By, Json, add, in_one_form

if TYPE_CHECKING:
    from pipelines.reidentification import ReidentificationPolicy
    from workers.reidentification.runs import State


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, reidentify)


def reidentify(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY ...]", help="Customers to name; - reads keys, one a line.", callback=in_one_form),
    ] = None,
    due: Annotated[bool, typer.Option("--due", help="Ask for everybody whose announced start has come.")] = False,
    policy: Annotated[str | None, typer.Option(metavar="FILE", help="Show what this policy would do.")] = None,
    check: Annotated[bool, typer.Option("--check", help="With --policy: only explain it and show 30 days.")] = False,
    calendar: Annotated[bool, typer.Option("--calendar", help="Show the year to come, by week and tier.")] = False,
    report: Annotated[bool, typer.Option("--report", help="With --run: show the results.")] = False,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run (default: the day).")] = None,
    max_: Annotated[int | None, typer.Option("--max", metavar="N", min=1, help="With --due: start at most N.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who, why and when, and do nothing.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="With --run: start no more of it for now.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="With --run: continue it.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="With --run: drop everyone who has not started.")] = False,
    reason: Annotated[str, typer.Option(metavar="R", help="Why. Kept in the history: no personal data.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="With --policy: let it take effect.")] = False,
    by: By = None,
    json: Json = False,
) -> int:
    """Re-identify active customers: by policy, run, or key.

    Each customer is offline until done.

    Alone it shows the policy in force. A start takes one of the day's places, in open hours; workers begin it.

    Example: onboarding reidentify --policy policy.toml --check
    """
    from ops.cli.commands import policies, runs
    from ops.cli.session import opened

    by = who(by)
    acts = {"KEY": keys, "--due": due, "--policy": policy, "--calendar": calendar, "--report": report}
    acts |= {"--pause": pause, "--resume": resume, "--cancel": cancel}
    chosen = [name for name, given in acts.items() if given]
    if len(chosen) > 1:
        raise usage(f"{' and '.join(chosen)} do not go together: give one of them.")
    named = _run_name(run)
    if policy is not None:
        return policies.change(_read(policy), by=by, store=yes and not check, as_json=json)
    state: State = "paused" if pause else "cancelled" if cancel else "running"
    with opened(check=bool(keys or due or pause or resume or cancel)) as session:
        match chosen[0] if chosen else "":
            case "KEY":
                wanted = list(_all(keys or []))
                status = runs.ask_for(session, wanted, run=named, by=by, reason=reason, dry_run=dry_run, as_json=json)
            case "--due":
                status = runs.ask_due(
                    session, run=named, limit=max_, by=by, reason=reason, dry_run=dry_run, as_json=json
                )
            case "--calendar":
                status = policies.year(session, as_json=json)
            case "--report":
                status = runs.report(session, named, as_json=json)
            case "":
                status = policies.show(session, as_json=json)
            case _:
                status = runs.control(session, named, state, by=by, reason=reason, as_json=json)
    return status


def _run_name(run: str | None) -> str | None:
    from workers.reidentification.runs import NAME

    if run is not None and not NAME.fullmatch(run):
        raise usage(f"{run!r} is no name for a run: up to 64 letters, digits, dots, dashes and underscores.")
    return run


def _all(keys: list[str]) -> Iterator[str]:
    """Give the keys; - stands for those on standard input."""
    from ops.cli.inputs import read_text

    for key in keys:
        if key != "-":
            yield key
            continue
        yield from (in_one_form(line.strip()) for line in read_text("-").splitlines() if line.strip())


def _read(file: str) -> ReidentificationPolicy:
    from ops.cli.inputs import read_text
    from pipelines.reidentification import PolicyInvalidError, read_policy

    try:
        return read_policy(read_text(file))
    except PolicyInvalidError as error:
        raise usage(*error.problems) from None
