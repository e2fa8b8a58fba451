"""The whole system on one machine, for `onboarding demo` and `onboarding dev`: Redis, the sandbox and workers, all of them real.

The demo plays the upstream system: it imports the sample customers, gives their consent when documents are to be signed, waits
until each is where its e-mail's tag leads, and then compares what the sandbox has counted with what should have happened.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

import ops
from ops.cli import output
from ops.cli.consent import Consent, open_documents, record_consent
from ops.cli.exits import CommandError, Status
from ops.cli.importing import import_file
from ops.cli.jobs import show_import
from ops.cli.session import Session, opened
from ops.embedded import EmbeddedRedis, EmbeddedRedisError
from ops.processes import ChildError, Processes, Terminated, terminable
from ops.sandbox.stories import tag_of
from ops.sandbox.switches import DEFAULT_DOCUMENTS
from pipelines.advance import waiting_on
from pipelines.intake import Row
from pipelines.lifecycle import Actor, Phase
from workers.vault import new_key

SAMPLE = Path(ops.__file__).parent / "sample" / "customers.csv"

#: How many times faster than in the sandbox's scripts customers and Iron act: the slowest then end after some 15 s.
SPEED = 4.0
#: Identifications that an unused link leads to before the pipeline asks an operator.
ROUNDS = 3
#: Seconds until the demo gives up, and what each customer adds: several times what a machine with two cores needs.
PATIENCE_S = 90.0
PATIENCE_EACH_S = 0.2
#: Seconds between two looks at the ledger.
LOOK_EVERY_S = 0.2
#: Seconds between two lines of progress where lines cannot move.
LINE_EVERY_S = 2.0

#: The sandbox takes any key of at least 8 characters, and remembers idempotency keys by it: the same in every run.
API_KEY = "sandbox-demo-key"
#: No limits are to be kept with a sandbox of our own.
PLENTY = {"IRON_RATE_PER_SECOND": "1000", "IRON_IDENTIFICATIONS_PER_MINUTE": "60000"}
#: Waits that suit customers who act within seconds.
HASTE = {
    "ONBOARDING_POLL_MIN_S": "0.5",
    "ONBOARDING_MAX_ROUNDS": str(ROUNDS),
    "ONBOARDING_ROUND_SPACING_S": "1",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a tag's customers end, and what that takes on Iron."""

    phase: Phase
    who: Actor
    identifications: int = 1
    signings: int = 0

    def effects(self) -> dict[str, int]:
        """Give what the sandbox must have counted for such a customer."""
        return {"customers": 1, "identifications": self.identifications, "signings": self.signings}


ENDINGS = {
    "approve": Ending(Phase.ACTIVE, Actor.NOBODY, signings=len(DEFAULT_DOCUMENTS)),
    "slow": Ending(Phase.ACTIVE, Actor.NOBODY, signings=len(DEFAULT_DOCUMENTS)),
    "decline": Ending(Phase.DECLINED, Actor.CUSTOMER),
    "decline-final": Ending(Phase.DECLINED, Actor.OPERATOR),
    "expire": Ending(Phase.ON_HOLD, Actor.OPERATOR, identifications=ROUNDS),
    "manual": Ending(Phase.IDENTIFICATION_PENDING, Actor.CUSTOMER),
}

#: Counts by external id, as the sandbox gives them.
Effects = dict[str, dict[str, int]]


@dataclass(slots=True)
class System:
    """The parts, running. `settings` is what a worker's environment holds; it is secret."""

    folder: Path
    processes: Processes
    sandbox: str
    settings: dict[str, str]

    def ask(self, path: str) -> Any:
        """Ask the sandbox's control interface."""
        try:
            return httpx.get(f"{self.sandbox}/_sandbox/{path}", timeout=30.0).raise_for_status().json()
        except httpx.HTTPError as error:
            self.processes.check()
            raise CommandError(f"The sandbox does not answer ({type(error).__name__}); its log is in {self.folder}.") from None


@dataclass(slots=True)
class Story:
    """Who is to end where: external id -> idempotency key and tag. Kept in the folder, so that a later run knows all."""

    path: Path
    customers: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def kept(cls, path: Path) -> Story:
        """Read what earlier runs in this folder expected."""
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return cls(path, {external_id: (key, tag) for external_id, (key, tag) in known.items()})

    def note(self, row: Row, result: str) -> None:
        """Take a row of the import into account."""
        if row.job is not None and result in ("create", "unchanged"):
            self.customers[row.job.external_id] = (row.job.idempotency_key, tag_of(row.job.customer.email))

    def keep(self) -> None:
        """Write it down; keys and tags are no personal data."""
        self.path.write_text(json.dumps(self.customers) + "\n", encoding="utf-8")

    def phases(self) -> Counter[Phase]:
        """Count how many are to end in each phase."""
        return Counter(ENDINGS[tag].phase for _, tag in self.customers.values())


def run_demo(customers: int | None, folder: Path | None) -> int:
    """Onboard the sample's customers; `folder` None: in a temporary one that is removed when all went well."""
    kept = folder is not None
    place = Path(tempfile.mkdtemp(prefix="onboarding-demo-")) if folder is None else folder.absolute()
    status = Status.FAILED
    try:
        with _in_words(), running(place, speed=SPEED, settings=PLENTY | HASTE) as system:
            status = _onboard(system, customers)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        output.say("Interrupted; everything that was started is stopped.")
    except Terminated:
        status = Status.TERMINATED
        output.say("Told to end; everything that was started is stopped.")
    finally:
        kept = kept or status in (Status.FAILED, Status.PARTLY)
        if not kept:
            shutil.rmtree(place, ignore_errors=True)
    if kept:
        output.say(f"The data is in {place}, the logs are in {place / 'logs'}.")
    elif status is Status.DONE:
        output.say("The data and logs are removed; --keep keeps them.")
    return status


def run_dev(port: int, folder: Path) -> int:
    """Run everything until Ctrl-C. The gateway's port is `port`, the sandbox's the next one."""
    place = folder.absolute()
    try:
        with _in_words(), running(place, settings=PLENTY | {"ONBOARDING_POLL_MIN_S": "1"}, port=port + 1) as system:
            _banner(system)
            while True:
                system.processes.check()
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        output.say("Interrupted; everything that was started is stopped.")
        return Status.INTERRUPTED
    except Terminated:
        return Status.TERMINATED


@contextmanager
def running(folder: Path, *, settings: Mapping[str, str], speed: float = 1.0, port: int = 0) -> Iterator[System]:
    """Start all parts with their data in `folder`, and stop them in order: workers, sandbox, Redis.

    `settings` adds to or replaces what the parts need. `port` is the sandbox's; 0 takes a free one.
    """
    _prepare(folder)
    with terminable(), EmbeddedRedis(folder / "redis") as redis, Processes(folder) as processes:
        sandbox = processes.start(
            "sandbox",
            ["sandbox", "--port", str(port), "--speed", str(speed), "--state", str(folder / "sandbox.state")],
            {},
        )
        address = processes.wait_for(sandbox, r"ready on (http://[^/\s]+)/api")[1]
        environment = {
            "ONBOARDING_REDIS_URL": redis.url_for(0),
            "ONBOARDING_BROKER_URL": redis.url_for(1),
            "ONBOARDING_ENCRYPTION_KEYS": _keys(folder),
            "IRON_BASE_URL": f"{address}/api",
            "IRON_API_KEY": API_KEY,
            **settings,
        }
        processes.start("worker", ["worker"], environment | {"ONBOARDING_LOG": "json"})
        # The gateway is one more child here: processes.start("gateway", ["gateway", "--port", ...], environment).
        yield System(folder, processes, address, environment)


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what can go wrong with parts into a sentence."""
    try:
        yield
    except (ChildError, EmbeddedRedisError) as error:
        raise CommandError(str(error)) from None


def _prepare(folder: Path) -> None:
    """Make the data folder: private, and unknown to version control."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The folder {folder} cannot be used ({error.strerror}): name another one with --folder.") from None


def _keys(folder: Path) -> str:
    """Give the encryption keys of this folder, made when it is used first."""
    path = folder / "encryption_keys"
    if not path.exists():
        _write_private(path, new_key() + "\n")
    return path.read_text(encoding="utf-8").strip()


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _banner(system: System) -> None:
    """Say where everything is, and how to use it from another shell."""
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in system.settings.items())
    _write_private(system.folder / "env", lines)
    redis = system.settings["ONBOARDING_REDIS_URL"].rpartition("@")[2]
    output.table(
        ("part", "where"),
        [
            ("Iron sandbox", f"{system.sandbox}/api (control: {system.sandbox}/_sandbox/)"),
            ("Redis", f"{redis} (the password is in the file env)"),
            ("data", system.folder),
            ("logs", system.folder / "logs"),
        ],
    )
    output.say("In another shell:")
    output.say(f"  . {shlex.quote(str(system.folder / 'env'))}")
    output.say("  onboarding submit --key k-1 --email ada+approve@example.com --name Ada --wait signings_required")
    output.say("Ctrl-C stops everything; the data stays.")


def _onboard(system: System, customers: int | None) -> Status:
    """Import, follow, check and sum up."""
    started = time.monotonic()
    os.environ.update(system.settings)
    before: Effects = system.ask("effects?group=external_id")
    story = Story.kept(system.folder / "story.json")
    file = SAMPLE if customers is None else _more_of_the_sample(customers, system.folder / "customers.csv")
    output.say(f"Redis, the sandbox ({system.sandbox}) and workers are running; importing {file.name}.")
    with opened("worker", check=True) as session:
        result = import_file(file, session.door.submit_many, report=system.folder / "report.csv", each=story.note)
        show_import(result, report=system.folder / "report.csv")
        story.keep()
        unfinished = _follow(system, session, story, started)
        _sum_up(session, story)
    requests = system.ask("requests")
    output.say(
        f"{len(story.customers):,} customers and {requests['total']:,} calls to the sandbox in {time.monotonic() - started:.1f} s,"
        f" up to {requests['busiest_second']} calls a second."
    )
    problems = [f"{key} is in {phase}, and should be in {wanted}." for key, phase, wanted in unfinished]
    problems += _differences(story, system.ask("effects?group=external_id"))
    if problems:
        for problem in problems[:20]:
            output.say(problem)
        output.say(f"Checked against the sandbox: {len(problems):,} things are not as they should be.")
        return Status.PARTLY
    output.say(_all_is_well(story, before))
    return Status.DONE


def _more_of_the_sample(customers: int, path: Path) -> Path:
    """Write a file of so many rows: the sample's, again and again, with a suffix to key, external id and e-mail."""
    with SAMPLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for number in range(customers):
            round_, row = number // len(rows), rows[number % len(rows)]
            writer.writerow(_again(row, f"-{round_ + 1}") if round_ else row)
    return path


def _again(row: Mapping[str, str], suffix: str) -> dict[str, str]:
    local, at, host = row["email"].partition("@")
    name, plus, tag = local.partition("+")
    return {
        **row,
        "idempotency_key": row["idempotency_key"] + suffix,
        "external_id": row["external_id"] + suffix,
        "email": f"{name}{suffix}{plus}{tag}{at}{host}" if at else row["email"],
    }


def _follow(system: System, session: Session, story: Story, started: float) -> list[tuple[str, str, str]]:
    """Give customers' consent until each is where it should be, or patience ends; answers those who are not."""
    deadline = time.monotonic() + PATIENCE_S + PATIENCE_EACH_S * len(story.customers)
    with _shown(started) as show:
        while True:
            system.processes.check()
            _consent(session)
            phases = session.ledger.phases()
            show({phase: count for phase, (count, _) in phases.items()})
            arrived = {phase: count for phase, (count, _) in phases.items()} == story.phases()
            late = time.monotonic() > deadline
            if late or (arrived and not any(lane["due"] for lane in session.ledger.lanes().values())):
                unfinished = _unfinished(session, story)
                if late or not unfinished:
                    return unfinished
            time.sleep(LOOK_EVERY_S)


def _consent(session: Session) -> None:
    """Do as an upstream system does whose customers agree to everything at once."""
    for found in session.ledger.in_phase(Phase.SIGNINGS_REQUIRED):
        record = found.record
        documents = [signing.id for signing in open_documents(record)]
        if documents and not found.acts_waiting:
            record_consent(session, record, documents, Consent(record.external_id, datetime.now(UTC), "demo"))


def _unfinished(session: Session, story: Story) -> list[tuple[str, str, str]]:
    """Find who is not in the phase of its tag, or waits for somebody else than it should."""
    wanted = {key: ENDINGS[tag] for key, tag in story.customers.values()}
    found = {one.record.key: one.record for one in session.ledger.read_many(list(wanted))}
    wrong = []
    for key, ending in wanted.items():
        record = found.get(key)
        now = f"{record.phase}, waiting on {waiting_on(record)}" if record else "no phase"
        should = f"{ending.phase}, waiting on {ending.who}"
        if now != should:
            wrong.append((key, now, should))
    return wrong


@contextmanager
def _shown(started: float) -> Iterator[Any]:
    """Show the phases and their counts as they change: a table on a terminal, else a line now and then."""
    if output.moving():
        from rich.live import Live

        with Live(console=output.console(), refresh_per_second=8, transient=True) as live:
            yield lambda counts: live.update(_phases_table(counts, time.monotonic() - started))
        return
    said = -LINE_EVERY_S

    def line(counts: Mapping[Phase, int]) -> None:
        nonlocal said
        passed = time.monotonic() - started
        if passed - said >= LINE_EVERY_S:
            said = passed
            output.say(f"{passed:5.1f} s  " + ", ".join(f"{phase} {counts[phase]:,}" for phase in Phase if phase in counts))

    yield line


def _phases_table(counts: Mapping[Phase, int], seconds: float) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    total = sum(counts.values())
    shown = Table.grid(padding=(0, 2))
    for phase in Phase:
        if phase in counts:
            bar = ProgressBar(total=max(total, 1), completed=counts[phase], width=40)
            shown.add_row(output.cell(phase.value), output.cell(counts[phase]), bar)
    shown.add_row("", output.cell(total), output.cell(f"{seconds:.0f} s"))
    return shown


def _sum_up(session: Session, story: Story) -> None:
    """Print the phases, who must act there, and the tags that led there."""
    found = session.ledger.read_many([key for key, _ in story.customers.values()])
    tags = dict(story.customers.values())
    groups: dict[tuple[Phase, str], Counter[str]] = {}
    for one in found:
        group = (one.record.phase, waiting_on(one.record).value)
        groups.setdefault(group, Counter())[tags[one.record.key]] += 1
    order = list(Phase)
    rows = [
        (phase.value, sum(by_tag.values()), who, ", ".join(f"{tag} {count}" for tag, count in by_tag.most_common()))
        for (phase, who), by_tag in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]
    output.table(("phase", "customers", "waiting on", "tags in the e-mail"), rows, title="Where the customers are", right=("customers",))


def _differences(story: Story, effects: Effects) -> list[str]:
    """Compare what Iron has executed with what should have happened, customer by customer."""
    wanted = {external_id: ENDINGS[tag].effects() for external_id, (_, tag) in story.customers.items()}
    nothing = {"customers": 0, "identifications": 0, "signings": 0}
    return [
        f"{external_id or 'Without an external id'}: the sandbox has {_told(effects.get(external_id, nothing))},"
        f" and it should be {_told(wanted.get(external_id, nothing))}."
        for external_id in sorted(wanted.keys() | effects.keys())
        if effects.get(external_id, nothing) != wanted.get(external_id, nothing)
    ]


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _all_is_well(story: Story, before: Effects) -> str:
    wanted: Counter[str] = Counter()
    for _, tag in story.customers.values():
        wanted.update(ENDINGS[tag].effects())
    earlier = sum(sum(counts.values()) for counts in before.values())
    new = wanted.total() - earlier
    text = f"Checked against the sandbox: {_told(wanted)}, as expected for each customer, and nothing for anybody else."
    if not earlier:
        return text
    return text + (f" {new:,} of these effects are new." if new else " Nothing new was created.")



