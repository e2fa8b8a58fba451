"""The command `import`'s work: a file into the ledger, or compared with it, and every foreseen failure a sentence."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ops.cli.exits import CommandError, usage
from ops.cli.inputs import standard_input
from pipelines.intake import IntakeError, Lane, ReportWriter, Row
from workers.imports.imports import ImportNameError, Imports
from workers.imports.loading import Result
from workers.intake.submit import ImportCancelledError

#: Objects made and not yet let go of between two looks for cycles: more than the rows in hand are made of.
COLLECT_EVERY = 100_000


def import_file(
    path: Path,
    imports: Imports,
    *,
    by: str,
    dry_run: bool = False,
    name: str | None = None,
    lane: Lane = "bulk",
    mapping: Mapping[str, str] | None = None,
    file_name: str | None = None,
    report: Path | None = None,
    progress: Callable[[Result], None] = lambda _: None,
    each: Callable[[Row, str], None] = lambda _row, _result: None,
) -> Result:
    """Load a file, or say what that would do. `file_name`: what it is called, where the path does not tell it.

    Raises CommandError when the file itself, its name or the report's place is at fault.
    """
    far: list[Result] = []

    def noted(result: Result) -> None:
        far[:] = [result]
        progress(result)

    try:
        with _report(path, report) as writer, _rarely_collected():
            if dry_run:
                return imports.compare(
                    path, name=name, lane=lane, mapping=mapping, file_name=file_name, report=writer, progress=noted
                )
            return imports.load(
                path, by=by, name=name, lane=lane, mapping=mapping, file_name=file_name, report=writer,
                progress=noted, each=each,
            )  # fmt: skip
    except IntakeError as error:
        stored = far[0].create + far[0].unchanged if far and not dry_run else 0
        told = error.on_command_line(file_name or path)
        raise usage(told + (f" The {stored:,} rows before that are stored." if stored else "")) from None
    except ImportNameError as error:
        raise usage(str(error)) from None
    except ImportCancelledError as error:
        raise CommandError(str(error)) from None


#: What standard input is called where it is imported.
STANDARD_INPUT = "standard-input"


@contextmanager
def read_from(file: str) -> Iterator[tuple[Path, str | None]]:
    """Return the file to read and what it is called: a file, or standard input, kept meanwhile, where it is called -.

    Raises CommandError when standard input cannot be kept.
    """
    if file != "-":
        yield Path(file), None
        return
    with ExitStack() as held:
        try:
            kept = held.enter_context(tempfile.NamedTemporaryFile(prefix="onboarding-"))
            shutil.copyfileobj(standard_input(), kept)
            kept.flush()
        except OSError as error:
            why = error.strerror or type(error).__name__
            what = f"Standard input cannot be kept in the temporary folder ({why})"
            raise CommandError(f"{what}: make room in it, or name another (TMPDIR).") from None
        yield Path(kept.name), STANDARD_INPUT


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let Python look for cycles far less often, for as long as this process reads rows: an eighth of its time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _report(path: Path, report: Path | None) -> Iterator[ReportWriter | None]:
    if report is None:
        yield None
        return
    if report.exists() and path.exists() and report.samefile(path):
        raise usage(f"The report would overwrite {path}, which is being read: name another file with --report.")
    try:
        writer = ReportWriter(report)
    except OSError as error:
        raise usage(f"{report} cannot be written ({error.strerror}): name another file with --report.") from None
    with writer:
        yield writer
