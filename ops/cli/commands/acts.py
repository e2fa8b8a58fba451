"""Commands of operators: `retry`, `correct`, `restart`, `cancel`, `adopt`. The history tells who did it and why.

An act is stored at once and applied by a worker, so that it never collides with a step under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import TIMEOUT_S, By, Json, Key, OddIds, Timeout, Wait, add, in_one_form

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.iron import Filters
    from workers.ledger import Read
    from workers.reconcile.adopt import Found

Reason = Annotated[str, typer.Option(metavar="R", help="Why. Kept in the history: no personal data.")]

#: What the customers of `adopt` became, for people.
RESULTS = {
    "adopted": "adopted",
    "would_adopt": "would be adopted",
    "known": "already known",
    "external_id_taken": "skipped: another customer has their external ID",
    "key_taken": "skipped: another customer has the key that they would get",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (retry, correct, restart, cancel, adopt):
        add(app, command)


def retry(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Idempotency key.", callback=in_one_form)] = None,
    problem: Annotated[str | None, typer.Option(metavar="CODE", help="All with this problem instead of one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without --yes only the count is shown.")] = False,
    reason: Reason = "",
    by: By = None,
    json: Json = False,
) -> int:
    """Retry one customer, or all with the same problem.

    Use it when the cause is gone, such as a wrong API key. Details that Iron rejected need `correct` instead.

    Example: onboarding retry --problem access_refused --reason "new API key" --yes
    """
    from ops.cli.session import opened

    if (key is None) == (problem is None):
        raise usage("Name one KEY, or use --problem CODE for all that have this problem.")
    with opened(check=True) as session:
        if key is not None:
            return act(session, key, "retry", reason=reason, by=by, as_json=json)
        found = [read.record.key for read in _with_problem(session, str(problem))]
        if yes:
            for one in found:
                _store(session, one, {"act": "retry", "by": who(by), "reason": reason})
    count = f"{len(found):,} customer{'' if len(found) == 1 else 's'}"
    if json:
        output.give({"problem": problem, "count": len(found), "done": yes})
    output.say(
        f"Retrying {count} with the problem {problem}."
        if yes
        else f"{count} with the problem {problem}. Retry with --yes."
    )
    return Status.DONE


def correct(
    key: Key,
    file: Annotated[str, typer.Argument(metavar="FILE or -", help="The whole corrected job as JSON.")],
    reason: Reason = "",
    by: By = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin a new identification, with the job's own data.")
    ] = False,
    wait: Wait = None,
    timeout: Timeout = TIMEOUT_S,
    allow_odd_ids: OddIds = False,
    json: Json = False,
) -> int:
    """Replace the details of a customer.

    What Iron rejected is sent again. A customer who exists at Iron gets the new e-mail and external id there. Data of
    an identification (a fresh share token, say) are for the next one; with --restart that one begins now.

    Example: onboarding correct crm-1 corrected.json --reason "typing error in the e-mail"
    """
    from ops.cli.inputs import phase, read_json, wrong
    from ops.cli.session import job_rules, opened
    from pipelines.job import JobInvalidError, parse_job
    from workers.intake.submit import ExternalIdTakenError

    wanted = phase(wait) if wait else None
    value = read_json(file)
    try:
        job = parse_job(value, job_rules(allow_odd_ids=allow_odd_ids))
    except JobInvalidError as error:
        raise wrong(error.problems) from None
    if job.idempotency_key != key:
        raise usage(f"The job in {file} has a different idempotency key than {key}. A correction keeps the key.")
    with opened("input", check=True, allow_odd_ids=allow_odd_ids) as session:
        refuse_useless(session, key, "correct")
        if restart:
            refuse_useless(session, key, "restart")
        try:
            nudge = session.door.correct(session.door.judge(value), by=who(by), reason=reason, restart=restart)
        except JobInvalidError as error:
            raise wrong(error.problems) from None
        except ExternalIdTakenError as error:
            raise CommandError(str(error)) from None
        if nudge:
            session.send(nudge)
        return _show(
            session, key, "Correction stored. A worker applies it within seconds.", wanted, timeout, as_json=json
        )


def restart(key: Key, reason: Reason, by: By = None, json: Json = False) -> int:
    """Restart an identification, or a cancelled customer.

    For a customer who was declined and may try again, or whose links expired. Never while an identification is in
    progress.

    Example: onboarding restart crm-1 --reason "the customer asked for another try"
    """
    from ops.cli.session import opened

    with opened(check=True) as session:
        return act(session, key, "restart", reason=reason, by=by, as_json=json)


def cancel(key: Key, reason: Reason, by: By = None, json: Json = False) -> int:
    """Stop here; nothing changes at Iron.

    `restart` continues later.

    Example: onboarding cancel crm-1 --reason "the customer withdrew"
    """
    from ops.cli.session import opened

    with opened(check=True) as session:
        return act(session, key, "cancel", reason=reason, by=by, as_json=json)


def adopt(
    status: Annotated[list[str] | None, typer.Option(metavar="S", help="Only customers with this status.")] = None,
    identification_status: Annotated[
        list[str] | None, typer.Option(metavar="S", help="Only where the newest identification has this status.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="T", help="Only customers of this type: Person or Business.")
    ] = None,
    search: Annotated[
        str, typer.Option(metavar="TEXT", help="Only where name, ID, e-mail or external ID holds this.")
    ] = "",
    external_id: Annotated[str | None, typer.Option(metavar="ID", help="Only the one with this external ID.")] = None,
    iron_id: Annotated[str | None, typer.Option(metavar="ID", help="Only the one with this Iron ID.")] = None,
    sub_partner: Annotated[str | None, typer.Option(metavar="ID", help="Customers of this sub-partner.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be added. Write nothing.")] = False,
    json: Json = False,
) -> int:
    """Add customers who exist at Iron but not here.

    They are followed from then on. Nothing is created for them until a job with their external id is submitted, which
    then joins the record. After a lost ledger this brings everybody back. Pages are read when no worker wants the call,
    and not while the sweep is paused.

    Example: onboarding adopt --status Active --status SigningsRequired --dry-run
    """
    from collections import Counter

    from ops.cli.inputs import uuid
    from ops.cli.session import opened
    from pipelines.errors import HeldBackError, IronError
    from pipelines.iron import Filters

    partner = uuid(sub_partner, "--sub-partner")
    filters = Filters(tuple(status or ()), tuple(identification_status or ()), tuple(type_ or ()), search)
    counts: Counter[str] = Counter()
    with opened("worker", check=not dry_run) as session:
        try:
            for found in _found(session, filters, external_id, iron_id, partner, dry_run=dry_run):
                counts[found.result] += 1
                if json:
                    output.give(_adopted(found))
        except (IronError, HeldBackError) as error:
            done = f" {counts['adopted']:,} were adopted before that. Run it again." if counts["adopted"] else ""
            raise CommandError(f"{error}{done}") from None
    for result, count in counts.items():
        output.say(f"{count:,} {RESULTS[result]}.")
    if not counts:
        output.say("Iron has no such customer.")
    return Status.PARTLY if counts["external_id_taken"] or counts["key_taken"] else Status.DONE


def act(session: Session, key: str, name: str, *, reason: str, by: str | None, as_json: bool) -> int:
    """Store an act on one record, unless it would be useless."""
    refuse_useless(session, key, name)
    _store(session, key, {"act": name, "by": who(by), "reason": reason})
    return _show(
        session,
        key,
        f"{name[:1].upper()}{name[1:]} stored. A worker applies it within seconds.",
        None,
        0,
        as_json=as_json,
    )


def refuse_useless(session: Session, key: str, name: str) -> None:
    """Raise CommandError where an act makes no sense now."""
    from ops.cli.waiting import read
    from pipelines.acts import refusal

    if why := refusal(read(session.ledger, key).record, name):
        raise CommandError(f"{why} Nothing was changed.")


def _store(session: Session, key: str, act: dict[str, Any]) -> None:
    if nudge := session.ledger.act(key, act):
        session.send(nudge)


def _show(session: Session, key: str, sentence: str, wanted: Any, timeout_s: float, *, as_json: bool) -> int:
    from ops.cli.commands.look import show
    from ops.cli.waiting import read_when, told

    output.say(sentence)
    found, status = read_when(session.ledger, key, wanted, timeout_s)
    if as_json or wanted:
        show(found, as_json=as_json)
    if why := told(found, wanted, status, timeout_s):
        output.say(why)
    return status


def who(by: str | None) -> str:
    """Name who acts."""
    from ops.cli.inputs import who as named

    return named(by)


def _with_problem(session: Session, code: str) -> Iterator[Read]:
    from pipelines.lifecycle import Phase
    from workers.ledger import Lists

    for phase in Phase:
        for read in Lists(session.ledger).in_phase(phase):
            if read.record.problem is not None and read.record.problem.code == code:
                yield read


def _found(
    session: Session,
    filters: Filters,
    external_id: str | None,
    iron_id: str | None,
    sub_partner: str | None,
    *,
    dry_run: bool,
) -> Iterator[Found]:
    """Look at one customer or at all, and adopt."""
    from workers.reconcile.adopt import adopt as adopt_all
    from workers.reconcile.adopt import adopt_these, look_up

    def digest(address: str) -> bytes:
        return session.vault.email_digests(address)[0]

    how: Any = {"sub_partner_id": sub_partner, "dry_run": dry_run, "email_digest": digest}
    with session.settings.transport() as transport:
        iron = session.settings.iron(transport)
        if external_id is None and iron_id is None:
            yield from adopt_all(session.ledger, iron, filters=filters, say=output.say, **how)
            return
        one = look_up(
            session.ledger, iron, external_id=external_id, iron_id=iron_id, sub_partner_id=sub_partner, say=output.say
        )
        yield from adopt_these(session.ledger, [one] if one else [], **how)


def _adopted(found: Found) -> dict[str, str | None]:
    return {
        "customer_id": found.customer.id,
        "external_id": found.customer.external_id,
        "customer_status": found.customer.status,
        "result": found.result,
        "idempotency_key": found.key,
        "holder": found.holder,
    }
