"""Files of jobs, to the function behind `import` and over HTTP, in this process.

    python -m tests.fuzz.files --inputs 10000 --seed 0

Each input comes from its seed. Found is: anything raised but a sentence with its status, a status of 500 and more, the
code `unexpected`, anything stored by a file that was refused, a place or a temporary file that is not given back, rows
that are not counted, two doors that differ, and a report that brings in, uncorrected, what was refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ops.cli.exits import CommandError
from ops.cli.importing import import_file
from tests.fuzz import running
from tests.fuzz.running import Try
from tests.fuzz.values import value
from tests.gateway import Gateway
from tests.world import a_job
from workers.imports.imports import Imports
from workers.imports.loading import COUNTS
from workers.secrets.tokens import Role

COLUMNS = (
    *("idempotency_key", "external_id", "email", "customer_type", "name", "identification_type", "with_edd"),
    *("risk_tier", "sub_partner_id", "label.src", "job", "line", "result", "Notiz"),
)
#: How long a file may take to be loaded, in seconds.
DEADLINE_S = 30.0


def fuzzed(seed: int) -> tuple[bytes, bool]:
    """Give the bytes of a file, and whether it is JSON Lines."""
    dice = random.Random(seed)
    is_lines = dice.random() < 0.35
    raw = _lines(dice) if is_lines else _table(dice)
    for _ in range(dice.choice([0, 0, 0, 1, 1, 3])):
        at = dice.randrange(len(raw) + 1)
        raw = (
            raw[:at]
            + dice.choice([b"\xff", b"\xc3", b"\x00", b"\xed\xa0\x80", b'"', b"\n", b"\r", b",", b"{"])
            + raw[at:]
        )
    match dice.randrange(40):
        case 0:
            raw = raw.replace(b"\n", b"").replace(b"\r", b"")
        case 1:
            raw = gzip.compress(raw, mtime=0)
        case 2:
            raw = raw.decode("utf-8", "replace").encode(dice.choice(["utf-16", "utf-16-le", "utf-32"]))
        case 3:
            raw = raw.decode("utf-8", "replace").encode("latin-1", "replace")
        case 4:
            raw = raw[: dice.randrange(len(raw) + 1)]
        case 5:
            raw = dice.randbytes(dice.randrange(400))
        case 6:
            raw = b"\xef\xbb\xbf" + raw
        case _:
            pass
    return raw, is_lines


def _table(dice: random.Random) -> bytes:
    columns = ["idempotency_key", "email", "customer_type", "name"]
    for _ in range(dice.choice([0, 0, 1, 2])):
        columns.insert(dice.randrange(len(columns) + 1), dice.choice(COLUMNS))
    if dice.random() < 0.05:
        columns = [value(dice) for _ in columns]
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=dice.choice([",", ",", ";", "\t"]), lineterminator=dice.choice(["\n", "\r\n", "\r"]),
        quoting=dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )  # fmt: skip
    writer.writerow(columns)
    for number in range(dice.randrange(6)):
        row = [_cell(dice, column, number) for column in columns]
        if dice.random() < 0.1:
            row = row[: dice.randrange(len(row) + 1)]
        if dice.random() < 0.1:
            row += [dice.choice(["", " ", value(dice)]) for _ in range(dice.randrange(3))]
        writer.writerow(row)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _cell(dice: random.Random, column: str, number: int) -> str:
    if dice.random() < 0.12:
        return value(dice)
    right = {
        "idempotency_key": f"f-{number}",
        "external_id": f"x-{number}",
        "email": f"a{number}@example.com",
        "customer_type": "Person",
        "name": "Ada Example",
        "job": json.dumps(a_job(f"j-{number}")),
    }
    return right.get(column, "")


def _lines(dice: random.Random) -> bytes:
    lines = []
    for number in range(dice.randrange(6)):
        job: Any = a_job(f"f-{number if dice.random() < 0.9 else 0}")
        if dice.random() < 0.3:
            place = dice.choice([job, job["customer"]])
            place[dice.choice([*place, value(dice)])] = value(dice)
        text = json.dumps(job, ensure_ascii=dice.random() < 0.5)
        if dice.random() < 0.08:
            text = json.dumps(
                {"line": number, "result": "error", "problems": [], "job": dice.choice([job, text, None])}
            )
        if dice.random() < 0.05:
            text = text.replace('"customer"', '"customer": {}, "customer"')
        lines.append(value(dice) if dice.random() < 0.05 else text)
    return dice.choice(["\n", "\r\n"]).join([*lines, ""]).encode("utf-8", "surrogatepass")


def tries(gateway: Gateway, folder: Path) -> Try:
    """Make what tries one input at both doors."""
    files = folder.parent / "files"
    files.mkdir(exist_ok=True)

    def once(seed: int, counts: Counter[str]) -> str | None:
        raw, is_lines = fuzzed(seed)
        gateway.world.client.flushdb()
        by_command = _by_command(gateway, files, raw, is_lines=is_lines)
        gateway.world.client.flushdb()
        by_http = _by_http(gateway, folder, raw, is_lines=is_lines)
        counts["refused" if isinstance(by_command, str) else "taken"] += 1
        for found in (by_command, by_http):
            if isinstance(found, str) and found.startswith("found: "):
                return found
        if isinstance(by_command, str) != isinstance(by_http, str) or (
            isinstance(by_command, dict) and by_command != by_http
        ):
            return f"the doors differ: {by_command}, {by_http}"
        left = [path.name for path in folder.iterdir()]
        return f"left behind: {left}" if left else None

    return once


def _by_command(gateway: Gateway, files: Path, raw: bytes, *, is_lines: bool) -> dict[str, int] | str:
    """Import as the command does; the counts, or why not."""
    world = gateway.world
    imports = Imports(world.ledger, world.vault)
    file, report = files / f"file.{'jsonl' if is_lines else 'csv'}", files / "report"
    file.write_bytes(raw)
    report.unlink(missing_ok=True)
    try:
        would = import_file(file, imports, by="a fuzz", dry_run=True)
        if world.client.dbsize():
            return "found: a dry run stored something"
        result = import_file(file, imports, by="a fuzz", report=report)
    except CommandError as error:
        if world.client.dbsize() or report.exists():
            return "found: a refused file left something behind"
        return "found: a traceback" if "Traceback" in str(error) else f"refused with {int(error.status)}"
    except Exception as error:  # noqa: BLE001 -- that is what is looked for
        return f"found: {type(error).__name__} on the command line"
    counts = result.counts()
    if would.counts() != counts:
        return f"found: the dry run said {would.counts()}, and it was {counts}"
    return _wrong(world.client, imports, report, counts) or counts


def _wrong(client: Any, imports: Imports, report: Path, counts: dict[str, int]) -> str | None:
    if counts["rows"] != sum(counts[name] for name in COUNTS[1:]):
        return f"found: rows that are not counted: {counts}"
    if client.hlen("onboarding:external") != counts["create"]:
        return "found: records that are not counted"
    try:
        again = import_file(report, imports, by="a fuzz", dry_run=True)
    except Exception as error:  # noqa: BLE001 -- that is what is looked for
        return f"found: the report cannot be read: {type(error).__name__}"
    return "found: an uncorrected report brings something in" if again.create else None


def _by_http(gateway: Gateway, folder: Path, raw: bytes, *, is_lines: bool) -> dict[str, int] | str:
    """Send to the gateway; the counts, or why not."""
    answer = gateway.request(
        "POST", "/v1/imports", role=Role.ADMIN, params={"name": "fuzz"}, content=raw,
        headers={"Content-Type": "application/jsonl" if is_lines else "text/csv"},
    )  # fmt: skip
    told = answer.json()
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_S
    while any(folder.iterdir()) and time.monotonic() < deadline:  # loaded when the file is gone
        pause.wait(0.002)
    if answer.status_code != 202:
        if answer.status_code >= 500 or told["code"] in ("unexpected", "imports_busy"):
            return f"found: {answer.status_code} {told['code']}"
        if gateway.world.client.dbsize():
            return f"found: a file refused with {told['code']} left something behind"
        return f"refused with {told['errors'][0]['code']}"
    found = gateway.get("/v1/imports/fuzz", role=Role.ADMIN).json()
    if not found["loaded_at"]:
        return f"found: the import is {found['state']}"
    gateway.get("/v1/imports/fuzz/report", role=Role.ADMIN).raise_for_status()
    return {name: found[name] for name in COUNTS}


if __name__ == "__main__":
    running.main("files", tries)
