"""`onboarding demo`: the sample's customers from a CSV file to their final phases, with everything real but Iron.

The demo plays the upstream system: it imports the file through the same door as `onboarding import`, gives the
customers' consent as `onboarding sign` does, waits until each is where its e-mail's tag leads, and then asks the
sandbox what really happened.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ops.cli import output
from ops.cli.commands.jobs import show_import
from ops.cli.exits import CommandError, Status
from ops.cli.importing import import_file
from ops.cli.inputs import who
from ops.cli.session import Session, opened
from ops.local.processes import TerminatedError, is_setting
from ops.local.story import ROUNDS, SAMPLE, Story, more_of_the_sample
from ops.local.system import LOOK_EVERY_S, PLENTY, System, running
from pipelines.consent import Consent
from pipelines.lifecycle import Phase
from workers.imports.imports import Imports
from workers.intake.consent import open_documents, record_consent
from workers.ledger import Lists

if TYPE_CHECKING:
    from rich.table import Table

#: How many times faster than in the sandbox's scripts customers and Iron act: the slowest then end after some 15 s.
SPEED = 4.0
#: Waits that suit customers who act within seconds.
HASTE = {
    "ONBOARDING_MAX_ROUNDS": str(ROUNDS),
    "ONBOARDING_ROUND_SPACING_S": "1",
}
#: Seconds until the demo gives up, and what each customer adds: several times what a machine with two cores needs.
PATIENCE_S = 90.0
PATIENCE_EACH_S = 0.2
#: Seconds between two lines of progress where lines cannot move.
LINE_EVERY_S = 2.0
#: Differences that are shown; one is enough to know that something is wrong.
SHOWN = 20

#: Takes the count of each phase.
Show = Callable[[Mapping[Phase, int]], None]


def run_demo(customers: int | None, folder: Path | None) -> int:
    """Onboard the sample's customers, or so many made from them.

    `folder` None: in a temporary folder that is removed when all went well. The status is PARTLY when a customer is not
    where the tag leads, or the sandbox has counted an effect too many or too few.
    """
    place = folder.absolute() if folder else Path(tempfile.mkdtemp(prefix="onboarding-demo-"))
    status = Status.FAILED
    try:
        _must_be_whole(place)
        with running(place, settings=PLENTY | HASTE, speed=SPEED) as system:
            status = _onboard(system, customers)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        output.say("Interrupted. Everything is stopped.")
    except TerminatedError:
        status = Status.TERMINATED
        output.say("Asked to end. Everything is stopped.")
    finally:
        _leave(place, folder is not None or status in (Status.FAILED, Status.PARTLY))
    return status


def _leave(place: Path, keep: bool) -> None:
    """Say where the data is, or remove it."""
    if keep and (place / "logs").is_dir():
        output.say(f"The data is in {place}, the logs are in {place / 'logs'}.")
    elif not keep:
        shutil.rmtree(place, ignore_errors=True)
        output.say("Data and logs of this run are removed. Keep them with --keep.")


def _must_be_whole(place: Path) -> None:
    """Refuse a folder whose ledger would be confronted with a sandbox that knows nothing of it."""
    if (place / "story.json").exists() and not (place / "sandbox.state").exists():
        raise CommandError(
            f"{place} holds customers of an earlier run, but no longer what the sandbox knew of them:"
            " remove the folder, or name another with --folder."
        )


def _onboard(system: System, customers: int | None) -> Status:
    """Import, follow, sum up and check."""
    started = time.monotonic()
    for name in [name for name in os.environ if is_setting(name)]:
        del os.environ[name]
    os.environ.update(system.settings)
    before = system.ask("effects?group=external_id")
    story = Story.kept(system.folder / "story.json")
    file = more_of_the_sample(customers, system.folder / "customers.csv") if customers else SAMPLE
    output.say(
        f"{system.server}, the sandbox ({system.sandbox}), workers and the gateway ({system.gateway}) are running."
    )
    output.say(f"While they do, the console is at {system.gateway}/; sign in with {system.token}.")
    output.say(f"The gateway's API token, while this runs: {system.token}")
    output.say(f"Importing {file.name}.")
    with opened("worker", check=True) as session:
        report = system.folder / "report.csv"
        imports = Imports(session.ledger, session.vault, session.settings.job_rules)
        loaded = import_file(file, imports, by=who(None), report=report, each=story.note)
        show_import(loaded, report=report)
        story.keep()
        problems = _follow(system, session, story, started)
        _sum_up(session, story)
    requests = system.ask("requests")
    output.say(
        f"{len(story.customers):,} customers and {requests['total']:,} calls to the sandbox"
        f" in {time.monotonic() - started:.1f} s, up to {requests['busiest_second']:,} calls a second."
    )
    problems += story.differences(system.ask("effects?group=external_id"))
    if not problems:
        output.say(story.all_is_well(before))
        return Status.DONE
    for problem in problems[:SHOWN]:
        output.say(problem)
    output.say(f"Checked against the sandbox: {len(problems):,} mistakes.")
    return Status.PARTLY


def _follow(system: System, session: Session, story: Story, started: float) -> list[str]:
    """Give customers' consent until each is where it should be, or patience ends; answers who is not."""
    deadline = time.monotonic() + PATIENCE_S + PATIENCE_EACH_S * len(story.customers)
    with _shown(started) as show:
        while True:
            system.processes.check()
            _consent(session)
            counts = {phase: count for phase, (count, _) in Lists(session.ledger).phases().items()}
            show(counts)
            late = time.monotonic() > deadline
            # What is due now is looked at before the end, so that a second run gives the workers their chance to err.
            quiet = not any(lane["due"] for lane in Lists(session.ledger).lanes().values())
            if late or (quiet and counts == story.phases()):
                found = session.ledger.read_many(story.keys())
                unfinished = story.unfinished({one.record.key: one.record for one in found})
                if late or not unfinished:
                    return unfinished
            time.sleep(LOOK_EVERY_S)


def _consent(session: Session) -> None:
    """Do as an upstream system does whose customers agree to everything at once."""
    for found in Lists(session.ledger).in_phase(Phase.SIGNINGS_REQUIRED):
        record = found.record
        documents = [signing.id for signing in open_documents(record)]
        if documents and not found.acts_waiting:
            consent = Consent(documents=documents, signed_by=record.external_id, evidence="demo")
            recorded = record_consent(session.ledger, session.vault, record, consent)
            if recorded.nudge:
                session.send(recorded.nudge)


@contextmanager
def _shown(started: float) -> Iterator[Show]:
    """Show the phases and their counts as they change: a table on a terminal, else a line now and then."""
    if output.moving():
        from rich.live import Live

        with Live(console=output.console(), refresh_per_second=8, transient=True) as live:
            yield lambda counts: live.update(_bars(counts, time.monotonic() - started))
        return
    next_line_s = 0.0

    def line(counts: Mapping[Phase, int]) -> None:
        nonlocal next_line_s
        passed_s = time.monotonic() - started
        if passed_s >= next_line_s:
            next_line_s = passed_s + LINE_EVERY_S
            output.say(f"{passed_s:5.1f} s  " + ", ".join(f"{phase} {counts[phase]:,}" for phase in _in_order(counts)))

    yield line


def _in_order(counts: Mapping[Phase, int]) -> list[Phase]:
    return [phase for phase in Phase if phase in counts]


def _bars(counts: Mapping[Phase, int], seconds: float) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    total = sum(counts.values())
    drawn = Table.grid(padding=(0, 2))
    for phase in _in_order(counts):
        bar = ProgressBar(total=max(total, 1), completed=counts[phase], width=40)
        drawn.add_row(output.cell(phase.value), output.cell(counts[phase]), bar)
    drawn.add_row("", output.cell(total), output.cell(f"{seconds:.0f} s"))
    return drawn


def _sum_up(session: Session, story: Story) -> None:
    """Print the phases, who must act there, and the tags that led there."""
    tags = dict(story.customers.values())
    groups: dict[tuple[Phase, str], Counter[str]] = {}
    for found in session.ledger.read_many(story.keys()):
        record = found.record
        groups.setdefault((record.phase, record.waiting_on().value), Counter())[tags[record.key]] += 1
    order = list(Phase)
    rows = [
        (phase.value, by_tag.total(), who, ", ".join(f"{tag} {count}" for tag, count in by_tag.most_common()))
        for (phase, who), by_tag in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]
    columns = ("phase", "customers", "waiting on", "tags in the e-mail")
    output.table(columns, rows, title="Customers by status", right=("customers",))
