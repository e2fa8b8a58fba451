"""Arguments that nobody would type on purpose, by the thousand: each command ends with a sentence and a status.

    python -m tests.fuzz.arguments --inputs 10000 --seed 1

Commands are those of the program itself, with their own options. Left out is what runs until it is told to stop.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from ops.cli import app
from ops.cli import main as run
from ops.local.embedded import EmbeddedRedis
from tests.fuzz.oddities import SIGNS, VALUES, mangled
from tests.fuzz.settings import RIGHT, standing

#: Commands that run until they are told to stop, and the one option that makes another of that kind.
ENDLESS = {"demo", "dev", "gateway", "sandbox", "worker"}
NOT_GIVEN = {"--follow", "--install-completion", "--show-completion"}
#: The exit statuses of contract section 5.
STATUSES = {0, 1, 2, 4, 5, 8}
#: Words that are right somewhere.
WORDS = [
    *("k-1", "k-2", "active", "bulk", "all", "interactive", "customers", "3d", "a=b", "Person", "low", "admin", "0-0"),
    *(
        "2026-01-01T00:00:00Z",
        "2126-01-01T00:00:00Z",
        "https://127.0.0.1/x",
        "https://93.184.215.14/x",
        "crm",
        "-",
        "1",
    ),
    *("https://[::1]/x", "http://10.0.0.1", "https://u:p@1.1.1.1", "99999999999999999999999", "1e400", "99999w", "0.0"),
    *(
        "18446744073709551616-0",
        "-1-1",
        "ada@example.com",
        "onboarding.*",
        "--",
        "-x",
        "--yes",
        "--json",
        "=",
        "a=",
        "=b",
    ),
]
FILES: dict[str, bytes] = {
    "job.json": json.dumps(
        {"idempotency_key": "k-1", "customer": {"customer_type": "Person", "email": "a@b.example"}}
    ).encode(),
    "other.json": json.dumps(
        {"idempotency_key": "k-2", "customer": {"customer_type": "Person", "email": "a@b.example"}}
    ).encode(),
    "deep.json": b'{"a":' * 100_000,
    "flat.json": b"[" * 1_000 + b"]" * 1_000,
    "huge.json": b'{"idempotency_key": ' + b"9" * 10_000 + b"}",
    "half.json": rb'{"idempotency_key": "\ud800", "customer": {"customer_type": "Person", "email": "\udfff@b.xy"}}',
    "utf16.json": json.dumps({"idempotency_key": "k-3"}).encode("utf-16"),
    "mark.json": b"\xef\xbb\xbf{}",
    "latin.json": '{"name": "Jürgen"}'.encode("latin-1"),
    "nothing": b"",
    "nul": b"\0" * 100,
    "rows.csv": b'idempotency_key,email,customer_type\r\nc-1,c1@example.com,Person\r\n,,\r\n"',
    "mark.csv": b"\xef\xbb\xbfexternal_id;email;customer_type\nx-1;x@example.com;Person\n",
    "odd.csv": b"idempotency_key,email\n\xff\xfe,\x00\n" + b"a," * 3_000,
    "rows.jsonl": b'{"idempotency_key": "j-1"}\n' + b"[" * 50_000 + b"\nnull\n",
    "policy.toml": b'[reidentification]\nenabled = true\n[reidentification.tiers]\nhigh = "1y"\n',
    "mark.toml": b"\xef\xbb\xbf[reidentification]\r\nenabled = false\r\n",
    "deep.toml": b"a = " + b"[" * 50_000,
    "huge.toml": b"[reidentification]\nmax_per_day = " + b"9" * 10_000,
    "odd.toml": b'[reidentification]\ntime_zone = "\\u0000"\nquiet_hours = 3\nstart = 2027-01-01T00:00:00\ntiers = []',
}


def commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that ends by itself, with its words."""
    for name, command in sorted((group or get_command(app)).commands.items()):
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        elif name not in ENDLESS:
            yield (*words, name), command


COMMANDS = tuple(commands())


def words(seed: int, number: int, folder: Path) -> tuple[list[str], bytes]:
    """Make a command line, and what stands on standard input."""
    dice = random.Random(f"{seed} {number}")
    name, command = dice.choice(COMMANDS)
    found = [*name]
    for parameter in command.params:
        options = [one for one in parameter.opts if one.startswith("-")]
        wanted = dice.random() < (0.9 if parameter.required else 0.25)
        if not options and wanted:
            found += [_word(dice, folder) for _ in range(dice.choice([1, 1, 1, 2, 0]))]
        elif options and wanted and options[0] not in NOT_GIVEN:
            found.append(options[0])
            if not getattr(parameter, "is_flag", False):
                found.append(_word(dice, folder))
    if dice.random() < 0.05:
        dice.shuffle(found)
    if "--wait" in found or "--timeout" in found:
        found += ["--timeout", dice.choice(["0", "0.01", "nan", "-1", "1e400"])]
    stdin = dice.choice(sorted(FILES.values()))
    return [word.replace("\0", "") for word in found if word not in NOT_GIVEN], stdin


def _word(dice: random.Random, folder: Path) -> str:
    how = dice.randrange(6)
    if how == 0:
        return dice.choice(VALUES)
    if how == 1:
        return mangled(dice, dice.choice(WORDS))
    if how == 2:
        return str(folder / dice.choice([*FILES, "none", "", "in/none", "new.csv"]))
    if how == 3:
        return dice.choice(SIGNS) * dice.choice([1, 3])
    return dice.choice(WORDS)


def wrong(seed: int, number: int, folder: Path, outcomes: Counter[str]) -> str | None:
    """Run one command line in this process; answers what is wrong with what came of it."""
    line, given = words(seed, number, folder)
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(line)
    except BaseException as error:  # noqa: BLE001 -- that is what is looked for
        return f"{line[:2]} raises {type(error).__name__}: {str(error)[:200]}"
    finally:
        sys.stdin = before
    outcomes[f"status {status}"] += 1
    told = err.getvalue()
    if status not in STATUSES:
        return f"{line} ends with {status}: {told[-300:]!r}"
    if "Internal error" in told or "Traceback" in told:
        return f"{line}: {told[-300:]!r}"
    if status in (1, 2) and not (told + out.getvalue()).strip():
        return f"{line} ends with {status} and says nothing"
    return _ill_formed(line, out.getvalue()) if "--json" in line and "--help" not in line and "-h" not in line else None


def _ill_formed(line: list[str], out: str) -> str | None:
    try:
        for one in filter(None, out.split("\n")):
            json.loads(one)
    except ValueError:
        return f"{line} prints what is no JSON: {out[:200]!r}"
    return None


@contextlib.contextmanager
def settled(ledger_url: str, broker_url: str, folder: Path) -> Iterator[None]:
    """Let settings lead to these databases, and be in the folder with the files."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    urls = {"ONBOARDING_REDIS_URL": ledger_url, "ONBOARDING_BROKER_URL": broker_url}
    iron = {"IRON_BASE_URL": "http://127.0.0.1:1/api", "ONBOARDING_PUBLIC_URL": "https://onboarding.example.com"}
    before = Path.cwd()
    os.chdir(folder)
    try:
        with standing(RIGHT | urls | iron):
            yield
    finally:
        os.chdir(before)


def fuzz(seed: int, inputs: int, folder: Path) -> tuple[Counter[str], dict[int, str]]:
    """Run so many command lines; answers what came of them, and what is wrong by number."""
    outcomes: Counter[str] = Counter()
    found = {}
    for number in range(inputs):
        if fault := wrong(seed, number, folder, outcomes):
            found[number] = fault
            print(f"  {number}: {fault}", flush=True)
    return outcomes, found


def main() -> int:
    """Run, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.arguments")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as place,
        EmbeddedRedis(Path(place) / "redis") as server,
        tempfile.TemporaryDirectory() as folder,
        settled(server.url_for(0), server.url_for(1), Path(folder)),
    ):
        outcomes, found = fuzz(options.seed, options.inputs, Path(folder))
    print(f"{options.inputs:,} command lines, seed {options.seed}: {dict(sorted(outcomes.items()))}")
    print(f"{len(found):,} found." if found else "Nothing found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
