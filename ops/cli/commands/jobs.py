"""Commands that hand something in: `submit`, `import`, `sign`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ops.cli import output
from ops.cli.commands.acts import who
from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import TIMEOUT_S, By, Json, Key, Labels, OddIds, Timeout, Wait, add

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ops.cli.session import Session
    from pipelines.consent import Consent
    from pipelines.identification.fields import Clock
    from pipelines.job import Job
    from pipelines.lifecycle import Phase
    from workers.imports.loading import Result

Lane = Annotated[str | None, typer.Option(metavar="interactive|bulk", help="Lane (default: interactive).")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, submit)
    add(app, import_, "import")
    add(app, sign)


def submit(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE or -", help="A job as JSON; - reads standard input.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Idempotency key.")] = None,
    email: Annotated[str | None, typer.Option(metavar="EMAIL", help="The customer's e-mail address.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The customer's name.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="Person|Business", help="Kind of customer (default: Person).")
    ] = None,
    external_id: Annotated[str | None, typer.Option(metavar="ID", help="External ID (default: the key).")] = None,
    with_edd: Annotated[bool, typer.Option("--with-edd", help="Ask for enhanced due diligence.")] = False,
    risk_tier: Annotated[
        str | None, typer.Option(metavar="low|standard|high", help="Risk tier (default: standard).")
    ] = None,
    lane: Lane = None,
    label: Labels = None,
    wait: Wait = None,
    timeout: Timeout = TIMEOUT_S,
    allow_odd_ids: OddIds = False,
    json: Json = False,
) -> int:
    """Submit one job, from JSON or options.

    The same job again changes nothing and shows the record that exists; another job under a known key is refused. With
    --wait: exit status 8 on timeout, 1 if it ended in another phase.

    Example: onboarding submit --key crm-1 --email ada@example.com --name "Ada Example" --wait identification_pending
    """
    from ops.cli.inputs import pairs, phase, read_json

    wanted = phase(wait) if wait else None
    given: dict[str, Any] = _given(idempotency_key=key, external_id=external_id, risk_tier=risk_tier, lane=lane)
    customer = _given(email=email, name=name, customer_type=type_)
    if with_edd:
        given["identification"] = {"type": "Link", "with_edd": True}
    if label:
        given["labels"] = pairs(label, "--label")
    if file is not None:
        if given or customer:
            raise usage("Submit the job as a file or as options, not both.")
        return _submit(read_json(file), wanted, timeout, allow_odd_ids=allow_odd_ids, as_json=json)
    if not given and not customer:
        raise usage("Name a file (or - for standard input), or at least --key and --email.")
    value = given | {"customer": {"customer_type": "Person"} | customer}
    return _submit(value, wanted, timeout, allow_odd_ids=allow_odd_ids, as_json=json)


def import_(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE or -", help="CSV (also with ; or tabs) or JSONL, in UTF-8; - reads standard input."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the import (default: the file's name).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare with the ledger and write nothing.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="OUT.csv", help="Write what became of each row.")] = None,
    lane: Annotated[
        Literal["interactive", "bulk"], typer.Option(metavar="interactive|bulk", help="Lane of jobs without a lane.")
    ] = "bulk",
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="THEIRS=OURS", help="Rename a column; an empty OURS leaves it out."),
    ] = None,
    by: By = None,
    allow_odd_ids: OddIds = False,
    json: Json = False,
) -> int:
    """Import customers from a CSV or JSONL file.

    Rows with mistakes are listed and rejected, the others go through; the exit status is then 5. The same file again
    changes nothing, and continues an interrupted import. `onboarding imports` follows, pauses and cancels.

    Example: onboarding import customers.csv --report customers-report.csv --map "E-Mail=email"
    """
    from redis import RedisError

    from ops.cli.importing import import_file, read_from
    from ops.cli.inputs import pairs
    from ops.cli.session import opened
    from workers.imports.imports import Imports
    from workers.operate.preflight import unanswered

    mapping = pairs(map_ or [], "--map")
    if file != "-" and not Path(file).exists():  # before any connection: the commonest mistake
        raise usage(f"{file} does not exist: check the path.")
    with (
        read_from(file) as (path, file_name),
        opened("input", check=not dry_run, allow_odd_ids=allow_odd_ids) as session,
        _progress(path) as progress,
    ):
        imports = Imports(session.ledger, session.vault, session.rules)
        try:
            result = import_file(
                path, imports, by=who(by), dry_run=dry_run, file_name=file_name,
                name=name, lane=lane, mapping=mapping, report=report, progress=progress,
            )  # fmt: skip
        except RedisError as error:
            why = unanswered(session.ledger.client, error)
            raise CommandError(f"{why} The earlier rows are stored. Import the same file again.") from None
    show_import(result, report=report, dry_run=dry_run)
    if json:
        output.give(result.as_json())
    return Status.PARTLY if result.refusals else Status.DONE


def sign(
    key: Key,
    document: Annotated[list[str], typer.Option(metavar="ID", help="Document agreed to; may be repeated.")],
    signed_by: Annotated[str, typer.Option(metavar="WHO", help="Who agreed.")],
    signed_at: Annotated[str | None, typer.Option(metavar="T", help="When, with the zone (default: now).")] = None,
    evidence: Annotated[str | None, typer.Option(metavar="REF", help="Where the proof of consent is kept.")] = None,
    json: Json = False,
) -> int:
    """Record the customer's consent to documents.

    A worker then submits the signatures to Iron. Who agreed, when, and where the proof is, is stored encrypted.

    Example: onboarding sign crm-1 --document 3f2a... --signed-by "Ada Example" --evidence consent-4711
    """
    from ops.cli.commands.look import show
    from ops.cli.inputs import moment
    from ops.cli.session import opened
    from ops.cli.waiting import read
    from workers.intake.consent import NotAskedError, record_consent

    given = {"documents": document, "signed_by": signed_by.strip(), "evidence": evidence}
    given["signed_at"] = moment(signed_at, "--signed-at")
    _consent(given)  # before any connection: the commonest mistakes
    with opened("input", check=True) as session:
        consent = _consent(given, session.ledger.told_ms)
        try:
            recorded = record_consent(session.ledger, session.vault, read(session.ledger, key).record, consent)
        except NotAskedError as error:
            raise CommandError(f"{error} Not asked for: {', '.join(error.strange)}.") from None
        if recorded.nudge:
            session.send(recorded.nudge)
        if json:
            show(read(session.ledger, key), as_json=True)
    if recorded.fresh:
        count = f"{len(recorded.fresh)} of {len(document)}"
        output.say(f"Consent to {count} documents recorded. A worker submits it to Iron within seconds.")
    else:
        output.say("This consent is already recorded. Nothing changed.")
    return Status.DONE


def _consent(given: Mapping[str, object], now_ms: Clock | None = None) -> Consent:
    """Judge a consent as the gateway does."""
    from pydantic import ValidationError

    from ops.cli.inputs import wrong
    from pipelines.consent import Consent
    from pipelines.job import problems_of

    try:
        return Consent.model_validate(given, context={"now_ms": now_ms})
    except ValidationError as error:
        names = {f"/{name}": f"--{name.replace('_', '-')}" for name in given}
        raise wrong(problems_of(error), names) from None


def show_import(result: Result, *, report: Path | None, dry_run: bool = False) -> None:
    """Tell people what became of a file."""
    if result.refused:
        output.table(
            ("line", "column", "code", "what is wrong"), result.refused, title="Rejected rows", right=("line",)
        )
    if result.refusals > len({line for line, *_ in result.refused}):
        where = f"See {report}" if report else "Write them all with --report OUT.csv"
        output.say(f"Not all rejected rows are shown. {where}.")
    done = "Checked" if dry_run else "Imported"
    output.say(
        f"{done} “{result.name}” in {result.seconds:.1f} s: {result.rows:,} rows, {result.create:,} new,"
        f" {result.unchanged:,} already known, {result.conflict:,} conflicts, {result.error:,} mistakes."
    )


def _submit(value: object, wanted: Phase | None, timeout_s: float, *, allow_odd_ids: bool, as_json: bool) -> int:
    from ops.cli.inputs import wrong
    from ops.cli.session import job_rules, opened
    from pipelines.job import JobInvalidError, parse_job

    try:
        parse_job(value, job_rules(allow_odd_ids=allow_odd_ids))  # before any connection: the commonest mistakes
        with opened("input", check=True, allow_odd_ids=allow_odd_ids) as session:
            return _hand_in(session, session.door.judge(value), wanted, timeout_s, as_json=as_json)
    except JobInvalidError as error:
        raise wrong(error.problems) from None


def _hand_in(session: Session, job: Job, wanted: Phase | None, timeout_s: float, *, as_json: bool) -> int:
    from ops.cli.commands.look import show
    from ops.cli.waiting import read_when, told

    answer = session.door.submit(job)
    if not answer.accepted:
        raise CommandError(answer.sentence)
    output.say(answer.sentence)
    found, status = read_when(session.ledger, job.idempotency_key, wanted, timeout_s)
    show(found, as_json=as_json)
    if why := told(found, wanted, status, timeout_s):
        output.say(why)
    return status


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[Result], None]]:
    """Show how far an import is, on a terminal."""
    if not output.moving():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with file.open("rb") as lines:
        total = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.console(), transient=True) as shown:
        task = shown.add_task("Importing", total=max(total - 1, 1))
        yield lambda result: shown.update(task, completed=result.rows)
