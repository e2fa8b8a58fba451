"""Files as they come: what each is told on the command line, with which exit status, and what is stored of it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from ops.cli import main
from ops.cli.exits import CommandError
from ops.cli.importing import import_file
from tests.bench.imports import IMPORTER, MEGABYTES, nonsense, write
from tests.world import World, a_job
from workers.imports.imports import Imports
from workers.imports.loading import Result
from workers.ledger import PREFIX
from workers.secrets.vault import new_key

Run = Callable[..., int]

HEADER = "external_id,email,customer_type,name"
GOOD = f"{HEADER}\na,ann@example.com,Person,Ann\nb,bob@example.com,Person,Bob\n"


@pytest.fixture
def settings(ledger_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of this test's databases."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", ledger_url)
    monkeypatch.setenv("ONBOARDING_BROKER_URL", broker_url)
    monkeypatch.setenv("ONBOARDING_ENCRYPTION_KEYS", new_key())


#: What a file may be, the status of its import, how many customers come of it, and what people are told.
FILES = {
    "UTF-8": (GOOD.encode(), 0, 2, "2 rows, 2 new"),
    "UTF-8 with a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), 0, 2, "2 new"),
    "semicolons": (GOOD.replace(",", ";").encode(), 0, 2, "2 new"),
    "tabs": (GOOD.replace(",", "\t").encode(), 0, 2, "2 new"),
    "CRLF": (GOOD.replace("\n", "\r\n").encode(), 0, 2, "2 new"),
    "quoted line breaks": (
        f'{HEADER}\na,ann@example.com,Person,"Ann\n\nExample"\nb,nobody,Person,Bob\n'.encode(), 5, 0, " 5 email",
    ),
    "ragged rows": (
        (GOOD + "c,cleo@example.com\nd,d@example.com,Person,Dan,more\n").encode(), 5, 2, "wrong_number_of_cells",
    ),
    "UTF-16": (GOOD.encode("utf-16"), 2, 0, "is UTF-16: save it as CSV UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), 2, 0, "is UTF-16: save it as CSV UTF-8"),
    "one row in Latin-1": ((GOOD + "c,c@example.com,Person,Jürgen\n").encode("latin-1"), 5, 2, " 4 name not_utf8"),
    "Latin-1": (
        (GOOD + "c,c@example.com,Person,Jürgen\n" * 21).encode("latin-1"), 2, 0, "line 4 on and looks like Latin-1",
    ),
    "a missing column": (GOOD.replace("email", "name2").replace(",name\n", "\n").encode(), 2, 0, "--map theirs=ours"),
    "a doubled column": (GOOD.replace("name", "email").encode(), 2, 0, "has more than one column for email"),
    "nothing": (b"", 2, 0, "is empty"),
    "a header only": (f"{HEADER}\n".encode(), 2, 0, "has a header and no rows"),
    "NUL bytes": ((GOOD + "c\0,c@example.com,Person,C\n").encode(), 5, 2, " 4 external_id nul_bytes"),
    "a cell of a megabyte": ((GOOD + f"c,c@example.com,Person,{'x' * 1_000_000}\n").encode(), 5, 2, "cell_too_long"),
    "rubbish": (b"lorem ipsum dolor\n" * 1_000, 2, 0, "has no header"),
    "gzip": (gzip.compress(GOOD.encode()), 2, 0, "is a gzip file: unpack it first"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "status", "customers", "sentence"), FILES.values(), ids=FILES)
def test_a_file(
    content: bytes,
    status: int,
    customers: int,
    sentence: str,
    settings: None,
    client: redis.Redis,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The dry run says the same as the import, with the same status; what cannot be read as a whole leaves nothing."""
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    for words in (["--dry-run"], []):
        assert main(["import", str(file), *words]) == status
        printed = capsys.readouterr()
        assert sentence in " ".join(printed.err.split())
        assert printed.out == ""
        assert "Traceback" not in printed.err
    assert client.hlen(f"{PREFIX}external") == customers


def test_a_directory(settings: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, with what to do instead."""
    assert main(["import", str(tmp_path)]) == 2
    assert "is a directory: name a file in it." in capsys.readouterr().err


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_that_changes_while_it_is_read(world: World, tmp_path: Path, dry_run: bool) -> None:
    """Status 2, with what to do, and how much of it is stored by then."""
    file = tmp_path / "jobs.jsonl"
    write(file, (json.dumps(a_job(f"k-{number}")) for number in range(1_100)))

    def append(_: Result) -> None:
        with file.open("a", encoding="utf-8") as more:
            more.write("{}\n")

    imports = Imports(world.ledger, world.vault)
    with pytest.raises(CommandError, match="changed while it was read: wait until it is written") as raised:
        import_file(file, imports, by="olga", dry_run=dry_run, progress=append)
    assert raised.value.status == 2
    assert ("The 1,000 rows before that are stored." in str(raised.value)) != dry_run
    assert world.client.hlen(f"{PREFIX}external") == (0 if dry_run else 1_000)


def rubbish(tmp_path: Path, url: str, lines: int) -> tuple[dict[str, int], float]:
    """Import so many lines that are no jobs, in a process of its own; its result, and megabytes at its peak."""
    file = tmp_path / "rubbish.jsonl"
    write(file, nonsense(lines))
    env = {**os.environ, "ONBOARDING_REDIS_URL": url, "ONBOARDING_ENCRYPTION_KEYS": new_key()}
    command = [sys.executable, "-c", IMPORTER, "import", str(file), "--json", "--report", str(tmp_path / "report.csv")]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    result, used = (json.loads(line) for line in ran.stdout.splitlines())
    assert used["status"] == 5
    return result, used["peak_kb"] / 1024


def test_rubbish_is_told_line_by_line(ledger_url: str, client: redis.Redis, tmp_path: Path) -> None:
    """Each line is in the report, and memory stays small."""
    result, megabytes = rubbish(tmp_path, ledger_url, 30_000)
    assert (result["rows"], result["error"]) == (30_000, 30_000)
    assert megabytes < MEGABYTES
    assert client.hlen(f"{PREFIX}external") == 0
    with (tmp_path / "report.csv").open(encoding="utf-8-sig") as report:
        assert sum(1 for _ in report) == 30_000


@pytest.mark.long
def test_ten_million_lines_of_rubbish(ledger_url: str, client: redis.Redis, tmp_path: Path) -> None:
    """Memory does not grow with the file, and neither does what the ledger keeps of it."""
    result, megabytes = rubbish(tmp_path, ledger_url, 10_000_000)
    assert result["error"] == 10_000_000
    assert megabytes < MEGABYTES
    assert sum(client.memory_usage(key) or 0 for key in client.scan_iter()) < 20e6
