"""The command `audit`: the chained history of one onboarding and its proof, and what is wrong with the whole ledger."""

from __future__ import annotations

import json as json_
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import Json, add, in_one_form

if TYPE_CHECKING:
    from ops.cli.session import Session
    from pipelines.model import Record
    from workers.operate.audit import Auditor, Chain, Finding

#: Files of an export are for their owner's eyes alone: they tell of one person's onboarding.
PRIVATE = 0o600


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, audit)


def audit(
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="One onboarding: its history and proof.", callback=in_one_form),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the ledger for errors.")] = False,
    mend: Annotated[bool, typer.Option("--mend", help="With --check: repair what is safe to repair.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Check the digests of every history.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With KEY: write record, history and proof as files here.")
    ] = None,
    json: Json = False,
) -> int:
    """Verify histories and check the ledger for errors.

    With KEY: the chained history of one onboarding. With --check: every broken invariant of the ledger, while workers
    go on. With --verify: the digests of all histories. The exit status is 5 when something is wrong and stays so.

    Example: onboarding audit --check --mend
    """
    if (key is not None) + check + verify != 1:
        raise usage("Use one of KEY, --check and --verify.")
    if mend and not check:
        raise usage("`--mend` goes with `--check`.")
    if export and key is None:
        raise usage("--export goes with one KEY.")
    from ops.cli.session import opened

    with opened(check=mend) as session:
        if key is not None:
            return _shown(session, key, export, as_json=json)
        return _verified(session, as_json=json) if verify else _checked(session, mend=mend, as_json=json)


# --- one onboarding --------------------------------------------------------------------------------------------------


def _shown(session: Session, key: str, folder: Path | None, *, as_json: bool) -> int:
    from ops.cli.waiting import read

    read(session.ledger, key)  # a key that is not there is an error
    record, stored, chain = _taken(session, key)
    if folder is not None:
        _write(folder, record, stored)
    if as_json:
        for entry, intact in zip(chain.entries, chain.intact, strict=True):
            output.give({"at": _at(entry), **entry, "intact": intact})
    else:
        rows = (
            (_at(entry), entry.get("step"), entry.get("phase"), entry.get("note"), "ok" if intact else "BROKEN")
            for entry, intact in zip(chain.entries, chain.intact, strict=True)
        )
        output.table(("at", "step", "phase", "what", "digest"), rows)
    whole = chain.broken_at is None and chain.head == record.head and bool(stored)
    if not as_json:
        output.say(_verdict(chain, record.head))
    if folder is not None:
        output.say(f"Written to {folder}: record.json, history.jsonl and proof.txt, which says how to check them.")
    return Status.DONE if whole else Status.PARTLY


def _taken(session: Session, key: str) -> tuple[Record, tuple[str, ...], Chain]:
    """Read record and history of one and the same moment."""
    from workers.operate.audit import Auditor

    seen = Auditor(session.ledger).see(key)
    if seen.record is None:
        raise CommandError(f"The record of {key!r} cannot be read. Details: `onboarding audit --check`.")
    return seen.record, seen.history, seen.chain


def _verdict(chain: Chain, head: str) -> str:
    if not chain.entries:
        return "There is no history."
    if number := chain.broken_at:
        return f"The digest of entry {number} does not follow from it and the entry before: the history was changed."
    if chain.head != head:
        return "The record holds another last digest: entries were added to the history or taken away."
    return f"All {len(chain.entries):,} entries follow from each other, up to the digest that the record holds."


def _write(folder: Path, record: Record, stored: tuple[str, ...]) -> None:
    """Write the export. What is there already stays: a proof that changes is none."""
    from pipelines.view import read_view
    from workers.operate.audit import explained

    view = read_view(record, None)
    del view["due"], view["next"]  # they are of the moment
    for need in view["needs"]:
        need.pop("link", None)  # a hosted link is a secret
    contents = {
        "record.json": json_.dumps(view, ensure_ascii=False, indent=2) + "\n",
        "history.jsonl": "".join(f"{entry}\n" for entry in stored),
        "proof.txt": explained(record.key, record.version, record.head, len(stored)),
    }
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        for name, text in contents.items():
            path = folder / name
            path.touch(PRIVATE, exist_ok=False)
            path.write_bytes(text.encode(errors="surrogateescape"))
    except FileExistsError as error:
        raise usage(f"{error.filename} exists already: use an empty folder with --export.") from None
    except OSError as error:
        raise usage(
            f"{error.filename} cannot be written ({error.strerror}): use another folder with --export."
        ) from None


def _at(entry: dict[str, Any]) -> str | None:
    from pipelines.times import timestamp

    at_ms = entry.get("at_ms")
    return timestamp(at_ms) if isinstance(at_ms, int) else None


# --- the whole ledger ------------------------------------------------------------------------------------------------


def _checked(session: Session, *, mend: bool, as_json: bool) -> int:
    auditor = _auditor(session, mend=mend)
    counts, left = _told(auditor, auditor.run, as_json=as_json)
    if not as_json:
        output.say(f"{auditor.records:,} records and all indexes: {_summed(counts, left, mend=mend)}")
        if counts:
            output.table(("what", "times"), sorted(counts.items()), right=("times",))
    return Status.PARTLY if left else Status.DONE


def _verified(session: Session, *, as_json: bool) -> int:
    auditor = _auditor(session, mend=False)
    broken: list[Finding] = []
    with _progress(auditor):
        broken.extend(auditor.verify())
    if as_json:
        listed = [{"code": one.code, "key": one.key, "text": one.text()} for one in broken]
        output.give({"entries": auditor.entries, "records": auditor.records, "broken": listed})
        return Status.PARTLY if broken else Status.DONE
    for one in broken:
        output.say(f"{one.code}  {one.key}  {one.text()}")
    all_well = "every digest is right" if not broken else f"{len(broken):,} histories are broken"
    output.say(f"{auditor.entries:,} entries of {auditor.records:,} records: {all_well}.")
    return Status.PARTLY if broken else Status.DONE


def _auditor(session: Session, *, mend: bool) -> Auditor:
    from workers.operate.audit import Auditor

    return Auditor(session.ledger, session.settings.policy, mend=mend)


def _told(auditor: Auditor, walk: Callable[[], Iterator[Finding]], *, as_json: bool) -> tuple[Counter[str], int]:
    """Tell each finding as soon as it is sure; answers how often each kind came, and what is broken and stays so."""
    counts: Counter[str] = Counter()
    left = 0
    with _progress(auditor) as say:
        for finding in walk():
            counts[finding.code] += 1
            left += finding.counts
            if as_json:
                output.give(_as_data(finding))
            else:
                say(f"{finding.code}  {finding.key}  {finding.text()} {_done(finding)}")
    return counts, left


def _as_data(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "key": finding.key,
        "text": finding.text(),
        "remedy": finding.kind.remedy,
        "place": finding.place or None,
        "information": finding.kind.information,
        "can_be_mended": finding.kind.mend is not None,
        "mended": bool(finding.mended),
    }


def _done(finding: Finding) -> str:
    if finding.mended:
        return "Repaired."
    return "Not repaired; run again." if finding.mended is False else finding.kind.remedy


def _summed(counts: Counter[str], left: int, *, mend: bool) -> str:
    found = counts.total()
    if not found:
        return "nothing is wrong."
    told = f"{found:,} findings, {left:,} of them to repair"
    return f"{told}." if mend or not left else f"{told}; `--mend` repairs what is safe to repair."


@contextmanager
def _progress(auditor: Auditor) -> Iterator[Callable[[str], None]]:
    """Show on a terminal how far the walk is; gives what prints a line beside that."""
    if not output.moving():
        yield output.say
        return
    console = output.console()
    with console.status("Looking at the indexes") as status:
        auditor.progress = lambda done, total: status.update(f"{done:,} of about {total:,} records")
        yield lambda line: console.print(line, soft_wrap=True)
