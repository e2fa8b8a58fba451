"""Files that are refused, as a whole or in a row, sent by HTTP and given to the command line.

What a refusal leaves behind, which is nothing; what it says, and to whom; and the report that can be corrected.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.gateway.api import uploads
from tests.gateway import TOKENS, Gateway
from tests.world import Run, World, a_job
from workers.ledger import PREFIX
from workers.secrets.tokens import Role

HEADER = "idempotency_key,email,customer_type,name\n"
GOOD = HEADER + "i-1,ada@example.com,Person,Ada Example\ni-2,ben@example.com,Person,Ben Example\n"
LINES = "".join(json.dumps(a_job(f"i-{number}")) + "\n" for number in (1, 2))
#: What no answer over HTTP may hold of the files below: cells of customers, paths, options of the command line.
OF_CUSTOMERS = ("Ada", "Ben", "ada@", "example.com", "Example")
OF_OURS = ("--map", "--report", "onboarding import", "/tmp", "onboarding-")

#: Files that are refused as a whole: what each holds, its code, and a word of its sentence.
WHOLE: dict[str, tuple[bytes, str, str]] = {
    "G3 an unknown column": (GOOD.replace("email", "E-Mail").encode(), "unknown_column", '"E-Mail"'),
    "G3 a missing column": (b"external_id,email\ni-1,ada@example.com\n", "missing_column", "customer_type"),
    "G3 a doubled column": (GOOD.replace("name\n", "email\n").encode(), "doubled_column", "email"),
    "G3 no header": (GOOD.removeprefix(HEADER).encode(), "no_header", "first line"),
    "G3 a header only": (HEADER.encode(), "no_rows", "add one row"),
    "G3 rows of nothing": ((HEADER + ",,,\n\n").encode(), "no_rows", "add one row"),
    "G3 nothing": (b"", "empty_file", "empty"),
    "G3 UTF-16": (GOOD.encode("utf-16"), "not_utf8", "UTF-16"),
    "G3 Latin-1": ((GOOD + "i-3,c@example.com,Person,J\u00fcrgen\n" * 30).encode("latin-1"), "not_utf8", "Latin-1"),
    "G3 a Latin-1 header": (GOOD.replace("name", "n\u00e4me").encode("latin-1"), "not_utf8", "header"),
    "G3 a JSON list": (json.dumps([a_job()]).encode(), "not_jsonl", "one line"),
    "G3 gzip without saying so": (gzip.compress(GOOD.encode()), "not_text", "gunzip"),
    "G4 curl -d": (GOOD.replace("\n", "").encode(), "one_line", "line breaks were lost"),
    "G4 curl -d, semicolons": (GOOD.replace("\n", "").replace(",", ";").encode(), "one_line", "line breaks"),
    "G4 curl -d, JSONL": (LINES.replace("\n", "").encode(), "one_line", "line breaks"),
    "G4 a customer first": (b"Ada Example,ada@example.com,Ben Example\n" + GOOD.encode(), "no_header", ""),
}  # fmt: skip


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of our own."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


def send(gateway: Gateway, content: Any, name: str = "monthly", **headers: str) -> httpx.Response:
    """Send a file."""
    kind = "application/jsonl" if isinstance(content, bytes) and content[:2] == b'{"' else "text/csv"
    return gateway.request(
        "POST", "/v1/imports", role="submitter", params={"name": name}, content=content,
        headers={"Content-Type": kind, **headers},
    )  # fmt: skip


def loaded(gateway: Gateway, name: str = "monthly") -> dict[str, Any]:
    """The import, once it is loaded."""
    deadline = time.monotonic() + 20
    while True:
        found: dict[str, Any] = gateway.get(f"/v1/imports/{name}", role="viewer").json()
        if found["loaded_at"]:
            return found
        assert time.monotonic() < deadline, found


def imports_of(gateway: Gateway) -> list[str]:
    """The names of all imports."""
    return [one["name"] for one in gateway.get("/v1/imports", role="viewer").json()["imports"]]


@pytest.mark.parametrize("case", WHOLE)
def test_g3_a_refused_file_leaves_nothing_and_its_name_is_free(case: str, gateway: Gateway, folder: Path) -> None:
    """Over HTTP: nothing is stored, not even a name; no file and no place is kept; the corrected file is taken."""
    content, code, word = WHOLE[case]
    before = gateway.world.client.dbsize()
    for _ in range(uploads.LOADS + 1):
        answer = send(gateway, content)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_file")
        [error] = answer.json()["errors"]
        assert (error["code"], error["pointer"]) == (code, "")
        assert word in error["text"]
        assert not [part for part in (*OF_CUSTOMERS, *OF_OURS, str(folder)) if part in answer.text]
    assert (gateway.world.client.dbsize(), list(folder.iterdir()), imports_of(gateway)) == (before, [], [])
    assert send(gateway, GOOD).status_code == 202
    assert loaded(gateway)["create"] == 2


@pytest.mark.parametrize("case", WHOLE)
def test_g3_on_the_command_line(
    case: str, world: World, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same on the command line, where the path is named; a report that was there before stays as it was."""
    content, _, word = WHOLE[case]
    file, old, new = tmp_path / "monthly.csv", tmp_path / "old.csv", tmp_path / "new.csv"
    file.write_bytes(content)
    old.write_text("of last month")
    for report in (old, new):
        assert run("import", file, "--name", "monthly", "--report", report) == 2
    told = capsys.readouterr().err
    assert told.startswith(str(file))
    assert word in told
    assert not [part for part in OF_CUSTOMERS if part in told]
    assert (old.read_text(), new.exists(), world.client.dbsize()) == ("of last month", False, 0)
    file.write_text(GOOD)
    assert run("import", file, "--name", "monthly") == 0


# --- places and temporary files --------------------------------------------------------------------------------------


def slow(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a whole file have so long."""
    monkeypatch.setattr(uploads, "FILE_WITHIN_S", seconds)


def hang_up(gateway: Gateway) -> int:
    """Send half a file and hang up; what was answered, 0 for nothing."""
    answers: list[Any] = []
    messages = iter([{"type": "http.request", "body": GOOD.encode(), "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/imports",
        "raw_path": b"/v1/imports",
        "query_string": b"name=x",
        "headers": [(b"content-type", b"text/csv"), (b"authorization", f"Bearer {TOKENS[Role.ADMIN]}".encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("gateway.test", 80),
        "root_path": "",
    }
    gateway.loop.run(gateway.app(scope, receive, send))  # type: ignore[arg-type]
    return len(answers)


def never_ending() -> Any:
    """A body that comes too slowly."""

    async def parts() -> Any:
        import asyncio

        yield GOOD.encode()
        await asyncio.Event().wait()

    return parts()


def out_of(gateway: Gateway, way: str, monkeypatch: pytest.MonkeyPatch) -> int:  # noqa: PLR0911 -- a way a line
    """Send a file that leaves by a way; its status."""
    with monkeypatch.context() as patched:
        match way:
            case "too large":
                patched.setattr(uploads, "LIMIT_BYTES", 10)
                return send(gateway, GOOD).status_code
            case "too slow":
                slow(0.05, patched)
                return send(gateway, never_ending()).status_code
            case "hung up":
                return hang_up(gateway)
            case "compressed":
                return send(gateway, gzip.compress(GOOD.encode()), **{"Content-Encoding": "gzip"}).status_code
            case "no temporary folder":
                patched.setattr(tempfile, "tempdir", "/nowhere/at/all")
                return send(gateway, GOOD).status_code
            case "a full temporary folder":
                with small_files():
                    return send(gateway, GOOD + "x" * 300_000).status_code
            case "name taken":
                send(gateway, GOOD, "taken")
                loaded(gateway, "taken")
                return send(gateway, GOOD + "i-3,c@example.com,Person,\n", "taken").status_code
            case "no threads":
                patched.setattr("ops.gateway.api.uploads.partial", nothing_can_be_made)
                return send(gateway, GOOD).status_code
            case _:
                return send(gateway, b"").status_code


def nothing_can_be_made(*_: Any, **__: Any) -> Any:
    """Fail as a mistake of ours would."""
    raise RuntimeError


class small_files:  # noqa: N801 -- it is used as a function is
    """Let no file of this process grow beyond 64 KB, as on a device that is full."""

    def __enter__(self) -> None:
        """Set the limit."""
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, self.before[1]))

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


WAYS = {
    "refused": 422,
    "too large": 413,
    "too slow": 408,
    "hung up": 0,
    "compressed": 415,
    "no temporary folder": 507,
    "a full temporary folder": 507,
    "name taken": 409,
    "no threads": 500,
}


@pytest.mark.parametrize("way", WAYS)
def test_g10_every_way_out_gives_back_what_it_took(
    way: str, gateway: Gateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than there are places, with the same answer each time; then a file is taken, and no file is left."""
    statuses = [out_of(gateway, way, monkeypatch) for _ in range(uploads.LOADS + 2)]
    assert statuses == [WAYS[way]] * (uploads.LOADS + 2)
    assert list(folder.iterdir()) == []
    assert send(gateway, GOOD, "afterwards").status_code == 202
    assert loaded(gateway, "afterwards")["rows"] == 2
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("way", ["no temporary folder", "a full temporary folder"])
def test_g10_the_reason_is_told(way: str, gateway: Gateway, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """507 with what is missing and what to do, without a path of ours."""
    taken = Gateway.request
    answers = []

    def noted(self: Gateway, *arguments: Any, **named: Any) -> httpx.Response:
        answers.append(taken(self, *arguments, **named))
        return answers[-1]

    monkeypatch.setattr(Gateway, "request", noted)
    out_of(gateway, way, monkeypatch)
    told = answers[0].json()
    assert (told["status"], told["code"]) == (507, "no_temporary_space")
    assert "TMPDIR" in told["detail"]
    assert not [part for part in (str(folder), "/nowhere") if part in answers[0].text]


@pytest.mark.parametrize("error", ["database or disk is full", "unable to open database file"])
def test_g10_no_room_for_the_keys_of_a_file(
    error: str, gateway: Gateway, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What is kept of the rows read so far finds no room: 507 and status 2 with the reason, nothing unforeseen."""

    def full(*_: Any) -> Any:
        raise sqlite3.OperationalError(error)

    monkeypatch.setattr("pipelines.intake.seen.Seen._claim", full)
    answer = send(gateway, GOOD)
    assert (answer.status_code, answer.json()["code"]) == (507, "no_temporary_space")
    assert error in answer.json()["detail"]
    file = tmp_path / "file.csv"
    file.write_text(GOOD)
    assert run("import", file) == 2
    assert error in capsys.readouterr().err


# --- bodies that are compressed --------------------------------------------------------------------------------------

#: Every route that takes a body.
BODIES = [
    "/v1/onboardings", "/v1/find", "/v1/onboardings/k-1/signings", "/v1/imports", "/v1/imports/x/actions/pause",
    *(f"/v1/onboardings/k-1/actions/{act}" for act in ("retry", "correct", "restart", "cancel", "reidentify")),
    "/v1/onboardings/k-1/actions/revoke-links", "/webhooks/iron",
]  # fmt: skip


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "zstd", "x-what"])
def test_g22_compressed_bodies(path: str, coding: str, gateway: Gateway) -> None:
    """Each is 415 with a sentence, and says what is taken; nothing is stored."""
    gateway.world.submit()
    before = gateway.world.client.dbsize()
    kind = "text/csv" if path == "/v1/imports" else "application/json"
    answer = gateway.request(
        "POST", path, role="admin", params={"name": "x"}, content=gzip.compress(json.dumps(a_job("z-1")).encode()),
        headers={"Content-Encoding": coding, "Content-Type": kind},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["code"]) == (415, "body_encoded"), answer.text
    assert answer.headers["accept-encoding"] == "identity"
    assert "without Content-Encoding" in answer.json()["detail"]
    assert gateway.world.client.dbsize() == before


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_g22_what_is_no_compression_is_taken(coding: str, gateway: Gateway) -> None:
    """A body as it is may say so."""
    headers = {"Content-Encoding": coding}
    answer = gateway.request("POST", "/v1/onboardings", role="submitter", json=a_job(), headers=headers)
    assert answer.status_code == 202


# --- rows ------------------------------------------------------------------------------------------------------------

BAD = b"J\xfcrgen"
#: Rows at fault: the file, the line, the column and the code.
ROWS: dict[str, tuple[bytes, int, str, str]] = {
    "a byte that is not UTF-8": (GOOD.encode() + b"i-3,c@example.com,Person," + BAD + b"\n", 4, "name", "not_utf8"),
    "in the key": (GOOD.encode() + b"i-\xff,c@example.com,Person,C\n", 4, "idempotency_key", "not_utf8"),
    "in a quoted cell of two lines": (GOOD.encode() + b'i-3,c@example.com,Person,"A\n\xe9"\n', 4, "name", "not_utf8"),
    "half a character at the end": (GOOD.encode() + b"i-3,c@example.com,Person,J\xc3", 4, "name", "not_utf8"),
    "a half pair (CESU-8)": (GOOD.encode() + b"i-3,c@example.com,Person,\xed\xa0\x80\n", 4, "name", "not_utf8"),
    "a NUL byte": (GOOD.encode() + b"i-3,c@example.com,Person,C\x00\n", 4, "name", "nul_bytes"),
    "beside right umlauts": (
        (GOOD + "i-3,d@example.com,Person,J\u00fcrgen\n").encode() + b"i-4,c@example.com,Person," + BAD + b"\n",
        5, "name", "not_utf8",
    ),
    "more cells than the header": (GOOD.encode() + b"i-3,c@e.com,Person,C,more\n", 4, "", "wrong_number_of_cells"),
    "a quotation mark that is not closed": (GOOD.encode() + b'i-3,c@e.com,Person,"C\ni-4,', 4, "", "quote_not_closed"),
    "JSONL with a byte that is not UTF-8": (LINES.encode() + b'{"name": "' + BAD + b'"}\n', 3, "", "not_utf8"),
    "JSONL with a NUL byte": (LINES.encode() + b'{"name": "\x00"}\n', 3, "", "nul_bytes"),
    "JSONL with a name twice": (LINES.encode() + b'{"a": 1, "a": 1}\n', 3, "", "doubled_field"),
}  # fmt: skip


def report_of(text: str) -> list[tuple[int, str, str]]:
    """Line, column and code of each problem of a report, whatever its form."""
    if text.startswith("{"):
        lines = [json.loads(line) for line in text.splitlines()]
        return [(line["line"], one["pointer"], one["code"]) for line in lines for one in line["problems"]]
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    return [(int(row["line"]), row["column"], row["code"]) for row in rows if row["code"]]


@pytest.mark.parametrize("case", ROWS)
def test_a_rows_fault_is_not_the_files(case: str, gateway: Gateway, run: Run, tmp_path: Path) -> None:
    """The other rows go through; line, column and code are told, alike over HTTP and on the command line."""
    content, line, column, code = ROWS[case]
    assert send(gateway, content).status_code == 202
    found = loaded(gateway)
    assert (found["error"], found["create"]) == (1, found["rows"] - 1)
    answer = gateway.get("/v1/imports/monthly/report", role="submitter")
    assert report_of(answer.text) == [(line, column, code)]
    kind = "application/jsonl" if case.startswith("JSONL") else "text/csv"
    assert answer.headers["content-type"].startswith(kind)
    gateway.world.client.flushdb()
    file, report = tmp_path / ("rows.jsonl" if case.startswith("JSONL") else "rows.csv"), tmp_path / "report"
    file.write_bytes(content)
    assert run("import", file, "--report", report) == 5
    assert report_of(report.read_text(encoding="utf-8")) == [(line, column, code)]


@pytest.mark.parametrize("case", [case for case in ROWS if not case.startswith(("a quotation", "JSONL with a name"))])
def test_a_report_that_nobody_corrected_is_refused_again(case: str, run: Run, tmp_path: Path) -> None:
    """What was refused does not come in by the report, whose cells hold what could be kept of them."""
    content, *_ = ROWS[case]
    file, report, again = (tmp_path / name for name in ("rows", "report", "again"))
    file.write_bytes(content)
    assert run("import", file, "--report", report) == 5
    assert run("import", report, "--report", again, "--name", "again") == 5
    assert len({line for line, *_ in report_of(again.read_text(encoding="utf-8"))}) == 1


SHORT = "idempotency_key,email,customer_type,name,with_edd,label.src\n"


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("s-1,s1@example.com,Person,Ada Example", "Ada Example"),
        ("s-1,s1@example.com,Person", None),
        ("s-1,s1@example.com,Person,Ada Example,,", "Ada Example"),
        ("s-1,s1@example.com,Person,Ada Example,,,,,", "Ada Example"),
        ('s-1,s1@example.com,Person,"Ada Example",," ", ', "Ada Example"),
    ],
)
def test_g18_cells_at_the_end(row: str, name: str | None, world: World, run: Run, tmp_path: Path) -> None:
    """Missing ones are empty, and empty ones beyond the header are none."""
    file = tmp_path / "short.csv"
    file.write_text(SHORT + row + "\n", encoding="utf-8")
    assert run("import", file) == 0
    assert world.door.personal("s-1", by="a test")["customer"].get("name") == name


def test_g18_a_row_comes_back_as_it_was(run: Run, world: World, tmp_path: Path) -> None:
    """A row that is too long stands in the report with all its cells; corrected there, it is taken."""
    file, report = tmp_path / "long.csv", tmp_path / "report.csv"
    file.write_text(HEADER + "s-1,s1@example.com,Person,Example, Ada\n", encoding="utf-8")
    assert run("import", file, "--report", report) == 5
    text = report.read_text(encoding="utf-8-sig")
    [row] = list(csv.reader(io.StringIO(text)))[1:]
    assert (row[:4], row[-1]) == (["s-1", "s1@example.com", "Person", "Example"], " Ada")
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(text.replace('"Example"', '"Example, Ada"').replace(',"\' Ada"', "").replace('," Ada"', ""))
    assert run("import", corrected) == 0
    assert world.door.personal("s-1", by="a test")["customer"]["name"] == "Example, Ada"


@pytest.mark.parametrize(
    ("header", "options", "column"),
    [
        ("external_id,email,customer_type", [], "external_id"),
        ("External_ID,email,customer_type", [], "External_ID"),
        ("Kunde,email,customer_type", ["--map", "Kunde=external_id"], "Kunde"),
        ("Kunde,email,customer_type", ["--map", "kunde=idempotency_key"], "Kunde"),
        ("idempotency_key,email,customer_type", [], "idempotency_key"),
    ],
)
@pytest.mark.parametrize("where", ["the file", "the ledger"])
def test_g19_a_problem_names_the_files_own_column(
    header: str, options: list[str], column: str, where: str, run: Run, tmp_path: Path
) -> None:
    """Whether an earlier row or an earlier job has the key: column and sentence are the file's."""
    rows = ["x-1,n1@example.com,Person", "x-1,n2@example.com,Person"]
    file, report = tmp_path / "dup.csv", tmp_path / "dup.out"
    if where == "the ledger":
        file.write_text("\n".join([header, rows.pop(0), ""]))
        assert run("import", file, *options) == 0
    file.write_text("\n".join([header, *rows, ""]))
    assert run("import", file, "--report", report, "--dry-run", *options) == 5
    [*_, told] = csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig")))
    assert (told["column"], told["code"]) == (column, "idempotency_key_reused")
    assert where == "the ledger" or column in told["text"]


@pytest.mark.parametrize("sign", [";", "\t", ","])
def test_g21_the_report_is_divided_as_the_file_is(sign: str, gateway: Gateway, run: Run, tmp_path: Path) -> None:
    """On the command line and over HTTP; the report is read again."""
    text = f"idempotency_key{sign}email{sign}customer_type\r\nk-1{sign}bad{sign}Person\r\n"
    file, report = tmp_path / "semi.csv", tmp_path / "semi.out"
    file.write_text(text, newline="")
    assert run("import", file, "--dry-run", "--report", report) == 5
    header = sign.join(f'"{name}"' for name in ("idempotency_key", "email", "customer_type", "line", "result"))
    assert report.read_text(encoding="utf-8-sig").startswith(header)
    assert send(gateway, text).status_code == 202
    loaded(gateway)
    answer = gateway.get("/v1/imports/monthly/report", role="submitter")
    assert answer.text.startswith(header)
    report.write_text(report.read_text(encoding="utf-8-sig").replace('"bad"', '"a@example.com"'), encoding="utf-8")
    assert run("import", report) == 0


@pytest.mark.parametrize(
    ("rest", "swallowed"),
    [('"C\n', ""), ('"C\ni-4,d@e.com,Person,\n', "1 more line"), ('"C\n' + "x\n" * 1_500, "1,500 more lines")],
)
def test_an_unclosed_quotation_mark_says_what_it_swallowed(rest: str, swallowed: str, run: Run, tmp_path: Path) -> None:
    """How many lines became one row stands in the sentence."""
    file, report = tmp_path / "quote.csv", tmp_path / "report.csv"
    file.write_text(GOOD + "i-3,c@example.com,Person," + rest)
    assert run("import", file, "--report", report) == 5
    [*_, told] = csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig")))
    assert (told["code"], told["line"]) == ("quote_not_closed", "4")
    assert swallowed in told["text"]
    assert bool(swallowed) == ("swallowed" in told["text"])


class Standard:
    """Standard input with these bytes."""

    def __init__(self, content: bytes) -> None:
        """Take the bytes."""
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize(
    ("content", "status", "created"),
    [
        (GOOD.encode(), 0, 2), (b"\xef\xbb\xbf" + GOOD.replace(",", ";").encode(), 0, 2), (LINES.encode(), 0, 2),
        (b"", 2, 0), (GOOD.encode() + b"i-3,bad,Person,C\n", 5, 2), (gzip.compress(GOOD.encode()), 2, 0),
    ],
)  # fmt: skip
def test_import_reads_standard_input(
    content: bytes, status: int, created: int, world: World, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """`import -` does as with a file of these bytes, calls the import after it, and keeps nothing."""
    for words in (["--dry-run"], []):
        monkeypatch.setattr(sys, "stdin", Standard(content))
        assert run("import", "-", *words) == status
        told = capsys.readouterr().err
        assert "standard-input" in told
        assert str(folder) not in told
        assert list(folder.iterdir()) == []
    assert world.client.hlen(f"{PREFIX}external") == created


def test_standard_input_and_no_temporary_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told with the reason, and nothing unforeseen happens."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    monkeypatch.setattr(sys, "stdin", Standard(GOOD.encode()))
    assert run("import", "-") == 1
    assert "cannot be kept in the temporary folder (No such file or directory)" in capsys.readouterr().err


# --- HEAD ------------------------------------------------------------------------------------------------------------


def addresses(gateway: Gateway) -> list[str]:
    """Every address that takes GET, with something in the place of its parameters."""
    places = {"{key}": "k-1", "{name}": "first", "{token}": "x", "{version}": "1"}
    found = []
    for route in gateway.app.router.routes:
        path = getattr(route, "path", "")
        if "GET" in (getattr(route, "methods", None) or ()):
            for place, value in places.items():
                path = path.replace(place, value)
            found.append(path)
    return found


def test_g14_head_wherever_get_is(gateway: Gateway) -> None:
    """HEAD has the status and headers of GET at every address that takes GET, for whoever may and may not; no body."""
    gateway.world.submit()
    asked = addresses(gateway)
    assert {"/healthz", "/readyz", "/metrics", "/v1/onboardings", "/v1/onboardings/k-1", "/", "/go/x"} <= set(asked)
    for path in asked:
        for role in (None, "admin", "submitter"):
            get, head = (gateway.request(method, path, role=role) for method in ("GET", "HEAD"))
            assert head.status_code == get.status_code, path
            assert head.content == b""
            assert head.headers.get("content-type") == get.headers.get("content-type"), path


@pytest.mark.parametrize("path", ["/v1/find", "/webhooks/iron", "/v1/onboardings/k-1/actions/retry", "/nowhere"])
def test_g14_head_is_nothing_where_get_is_nothing(path: str, gateway: Gateway) -> None:
    """Where GET is not taken HEAD is not either, and an address that takes GET says that it takes HEAD."""
    assert gateway.request("HEAD", path, role="admin").status_code == gateway.get(path, role="admin").status_code >= 404
    assert gateway.request("DELETE", "/v1/onboardings", role="admin").headers["allow"] == "GET, HEAD, POST"
