"""Ordinary surroundings are no defects (G6, G8, G9, G13, G16): a sentence and its exit status, or no matter."""

from __future__ import annotations

import io
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.cli import main
from ops.cli.exits import of_the_system
from ops.cli.inputs import who
from ops.listening import listen
from tests.fuzz.settings import RIGHT
from tests.world import Run, World

ROOT = Path(__file__).resolve().parents[2]
Program = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def program(ledger_url: str, broker_url: str, tmp_path: Path) -> Program:
    """Run a shell line in which `onboarding` is this program, in an environment that is right but for some of it."""
    tool = tmp_path / "bin"
    tool.mkdir()
    (tool / "onboarding").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m ops.cli "$@"\n')
    (tool / "onboarding").chmod(0o755)
    (tmp_path / "c.csv").write_text("idempotency_key,email,customer_type\nc-1,c1@example.com,Person\n")
    right = RIGHT | {"ONBOARDING_REDIS_URL": ledger_url, "ONBOARDING_BROKER_URL": broker_url}
    right |= {"IRON_BASE_URL": "http://127.0.0.1:1/api", "PATH": f"{tool}:{os.environ['PATH']}"}

    def one(line: str | bytes, **changes: str | None) -> subprocess.CompletedProcess[bytes]:
        env = {name: value for name, value in (right | changes).items() if value is not None}
        words: list[str | bytes] = ["bash", "-c", line]
        return subprocess.run(
            words, env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )

    return one


#: A line, changes of the environment, the exit status, and what is said.
SURROUNDINGS: dict[str, tuple[str | bytes, dict[str, str | None], int, str]] = {
    "G6 empty keys": (
        "onboarding submit --key e --email e@example.com",
        {"ONBOARDING_ENCRYPTION_KEYS": None, "ONBOARDING_ENCRYPTION_KEYS_FILE": "empty"},
        2,
        "ONBOARDING_ENCRYPTION_KEYS is not set, because the file",
    ),
    "G6 gateway": (
        "onboarding gateway --port 0",
        {"ONBOARDING_ENCRYPTION_KEYS": None, "ONBOARDING_ENCRYPTION_KEYS_FILE": "empty"},
        2,
        "ONBOARDING_ENCRYPTION_KEYS is not set, because the file",
    ),
    "G6 worker": (
        "onboarding worker",
        {"ONBOARDING_ENCRYPTION_KEYS": None, "ONBOARDING_ENCRYPTION_KEYS_FILE": "empty"},
        2,
        "ONBOARDING_ENCRYPTION_KEYS is not set, because the file",
    ),
    "G7 worker": ("onboarding worker", {"IRON_BASE_URL": "https://i.example/a\rpi"}, 2, "IRON_BASE_URL is malformed"),
    "G8 summary": (
        "ONBOARDING_REDIS_URL=$ONBOARDING_REDIS_URL?decode_responses=True onboarding summary",
        {},
        2,
        "the option decode_responses",
    ),
    "G8 worker": (
        "ONBOARDING_REDIS_URL=$ONBOARDING_REDIS_URL?decode_responses=True onboarding worker",
        {},
        2,
        "the option decode_responses",
    ),
    "G13 worker": ("onboarding worker", {"SSL_CERT_FILE": "/nope.pem"}, 2, "SSL_CERT_FILE names a file"),
    "G13 doctor": ("onboarding doctor", {"SSL_CERT_FILE": "/nope.pem"}, 1, "BROKEN  certificates: SSL_CERT_FILE names"),
    "G16 key": (b"onboarding status $'M\\xfcller'", {}, 2, "KEY is not text in UTF-8"),
    "G16 option": (b"onboarding list --import $'M\\xfcller'", {}, 2, "--import is not text in UTF-8"),
    "G16 list": (b"onboarding list --label $'a=\\xff'", {}, 2, "--label is not text in UTF-8"),
    "G16 text": (b"onboarding find $'\\xa0'", {}, 2, "TEXT is not text in UTF-8"),
    "G16 reason": (b"onboarding cancel k --reason $'\\xe4'", {}, 2, "--reason is not text in UTF-8"),
    "G16 path": (b"onboarding submit $'M\\xfcller.json'", {}, 2, "cannot be read"),
    "G16 command": (b"onboarding $'\\xff'", {}, 2, "No such command"),
    "G16 group": (b"onboarding imports show $'\\xff'", {}, 2, "NAME is not text in UTF-8"),
    "control sign": (b"onboarding status $'k\\x1b[31m'", {}, 2, "KEY holds a control character"),
    "no locale": ("onboarding status Müller", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 1,
                  "'Müller'"),
    "no HOME": ("onboarding summary", {"HOME": None, "USER": None, "LOGNAME": None}, 0, "total"),
    "HOME is a file": ("onboarding summary", {"HOME": "/dev/null"}, 0, "total"),
    "full": ("onboarding summary --json >/dev/full", {}, 1, "Standard output takes nothing more (No space left"),
    "full plain": ("onboarding keys new >/dev/full", {}, 1, "Standard output takes nothing more"),
    "full help": ("onboarding --help >/dev/full", {}, 1, "No space left on device"),
    "full for people": ("onboarding summary 2>/dev/full", {}, 0, ""),
    "full refusal": ("onboarding status k 2>/dev/full", {}, 1, ""),
    "closed output": ("onboarding summary --json >&-", {}, 1, "Standard output is closed"),
    "closed for people": ("onboarding summary --json 2>&-", {}, 0, ""),
    "closed input": ("onboarding submit - <&-", {}, 2, "Standard input"),
    "all closed": ("onboarding summary --json <&- >&- 2>&-", {}, 1, ""),
    "reader is gone": ("onboarding summary --json > >(true); sleep 0", {}, 0, ""),
    "folder as input": ("onboarding submit .", {}, 2, "cannot be read (Is a directory)"),
    "folder as policy": ("onboarding reidentify --policy .", {}, 2, "cannot be read (Is a directory)"),
    "long path": (f"onboarding submit {'a' * 300}", {}, 2, "cannot be read (File name too long)"),
    "report in no folder": ("onboarding import c.csv --report none/out.csv", {}, 2, "cannot be written"),
    "report into /dev/full": ("onboarding import c.csv --report /dev/full", {}, 1, "No space left on device"),
    "export into a file": ("onboarding import c.csv && onboarding audit c-1 --export c.csv/x", {}, 2, "be written"),
    "no temporary folder": ("onboarding demo --customers 1", {"TMPDIR": None}, 1, "name one in TMPDIR"),
    "state that cannot be read": ("onboarding sandbox --port 0 --state .", {}, 1, "is not a state of the sandbox"),
    "host that is none": ("onboarding gateway --host a..b --port 0", {}, 1, "cannot be used"),
    "host too long": (f"onboarding sandbox --port 0 --host {'a' * 70}.example", {}, 1, "cannot be used"),
    "time that is no number": ("onboarding status k --wait active --timeout nan", {}, 2, "--timeout"),
    "time without end": ("onboarding status k --wait active --timeout inf", {}, 2, "--timeout"),
    "grace that is no number": ("onboarding worker --grace nan", {}, 2, "--grace"),
    "speed that is no number": ("onboarding sandbox --port 0 --speed nan", {}, 2, "--speed"),
    "partner that is none": ("onboarding adopt --sub-partner ä", {}, 2, "--sub-partner 'ä' is no UUID"),
    "text beyond all": (f"onboarding find {'a' * 5_000}", {}, 2, "TEXT is longer than 4,000 characters"),
    "count beyond all": ("onboarding list --limit 99999999999999999999", {}, 2, "--limit"),
    "webhooks to nowhere": ("onboarding sandbox --port 0 --webhooks 'http://a b'", {}, 2, "--webhooks is no web"),
}  # fmt: skip
#: Where a line can be kept from the folder for temporary files, only with the means of this machine.
READ_ONLY = (
    "unshare -rm bash -c 'for one in /tmp /var/tmp;"
    " do mount --bind $one $one && mount -o remount,ro,bind $one || exit 9; done; cd /proc && {}'"
)


@pytest.mark.parametrize(
    ("line", "changes", "status", "words"), SURROUNDINGS.values(), ids=[name.replace(" ", "-") for name in SURROUNDINGS]
)
def test_surroundings_are_told(
    line: str | bytes, changes: dict[str, str | None], status: int, words: str, program: Program, tmp_path: Path
) -> None:
    """Never a traceback, never an error of ours; the exit status is the contract's."""
    (tmp_path / "empty").write_bytes(b"")
    if words == "name one in TMPDIR":
        if subprocess.run(["bash", "-c", READ_ONLY.format("true")], capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        line = READ_ONLY.format(line)
    answer = program(line, **changes)
    said = (answer.stdout + answer.stderr).decode()
    assert "Traceback" not in said
    assert "Internal error" not in said
    assert "Exception ignored" not in said
    assert words in said
    assert answer.returncode == status, said


def test_g9_a_user_without_a_name(run: Run, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A random uid without a line in passwd: everything works, and histories have the number, or who is named."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    file = tmp_path / "c.csv"
    file.write_text("idempotency_key,email,customer_type\nc-1,c1@example.com,Person\n", encoding="utf-8")
    assert run("import", file) == 0
    assert world.client.hget("onboarding:import:c", "by") == f"uid {os.getuid()}".encode()
    file.rename(tmp_path / "d.csv")
    assert run("import", tmp_path / "d.csv", "--by", "ada") == 0
    assert world.client.hget("onboarding:import:d", "by") == b"ada"
    for command in (["pause", "bulk", "--yes"], ["imports", "pause", "c", "--yes"], ["cancel", "c-1", "--reason", "r"]):
        assert run(*command) == 0
    assert run("reidentify", "c-1", "--reason", "r") == 1
    assert run("status", "c-1", "--personal") == 0


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("ada", "ada"),
        ("Müller", "Müller"),
        ("\ufeffada\r", "ada"),
        ("M\udcfcller", None),
        ("a\x1bda", None),
        (" ", None),
        ("a\u202eda", None),
    ],
)
def test_g9_what_a_user_may_be_called(user: str, name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be written down is none."""
    monkeypatch.setenv("LOGNAME", user)
    assert who(None) == (name or f"uid {os.getuid()}")
    assert who(f" {name or 'bob'}\r\n") == (name or "bob")


JSON: dict[str, tuple[bytes, str]] = {
    "deep": (b'{"a":' * 100_000, "nested too deep"),
    "deep lists": (b"[" * 1_000_000, "nested too deep"),
    "huge number": (b'{"a": ' + b"9" * 100_000 + b"}", "too many digits"),
    "half": (b'{"a": ', "is not JSON (line 1"),
    "nothing": (b"", "is not JSON (line 1"),
    "binary": (b"\x00\xff" * 100, "is not"),
    "latin": ('"Jürgen"'.encode("latin-1"), "not text in UTF-8"),
    "null": (b"null", "/: "),
}


@pytest.fixture
def fed(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run a command in this process, with some bytes in the file FILE and on standard input."""
    monkeypatch.chdir(tmp_path)

    def one(content: bytes | None, *words: str) -> int:
        (tmp_path / "FILE").write_bytes(content or b"")
        monkeypatch.setattr("sys.stdin", None if content is None else io.TextIOWrapper(io.BytesIO(content), "ascii"))
        return run(*words)

    return one


@pytest.mark.parametrize("command", ["submit -", "submit FILE", "correct k -", "correct k FILE"])
@pytest.mark.parametrize(("content", "words"), JSON.values(), ids=list(JSON))
def test_g16_json_that_is_none(
    content: bytes, words: str, command: str, fed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Deep, huge, half or no JSON at all, from a file or standard input, is told in a sentence."""
    assert fed(content, *command.split()) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


TOML: dict[str, tuple[bytes, int, str]] = {
    "mark": (b"\xef\xbb\xbf[reidentification]\r\nenabled = false\r\n", 0, "Nothing to change"),
    "deep": (b"a = " + b"[" * 100_000, 2, "nested too deeply"),
    "huge number": (b"[reidentification]\nmax_per_day = " + b"9" * 10_000, 2, "number that is too long"),
    "latin": ('[reidentification]\ntime_zone = "Jürgen"'.encode("latin-1"), 2, "not text in UTF-8"),
    "wide": ("[reidentification]".encode("utf-16"), 2, "not text in UTF-8"),
    "zone": (b'[reidentification]\ntime_zone = "Europe/Berlin\\u200b"', 2, "no zone"),
    "zone of nothing": (b'[reidentification]\ntime_zone = "\\u0000"', 2, "no zone"),
    "quiet": (b'[reidentification]\nquiet_hours = "22:00 - 07:00"', 2, "quiet_hours is written as"),
    "day": (b'[reidentification]\nstart = "2027-02-30"', 2, "start is a day"),
    "digits": ('[reidentification]\nquiet_hours = "٢٢:٠٠-٠٧:٠٠"'.encode(), 2, "quiet_hours is written as"),
}


@pytest.mark.parametrize("place", ["FILE", "-"])
@pytest.mark.parametrize(("content", "status", "words"), TOML.values(), ids=list(TOML))
def test_values_in_a_policy(
    content: bytes, status: int, words: str, place: str, fed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy is read in its normal form, and refused in a sentence, from a file and from standard input."""
    assert fed(content, "reidentify", "--policy", place) == status
    said = capsys.readouterr().err
    assert words in said
    assert "Internal error" not in said


def test_keys_on_standard_input(fed: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Keys for re-identification are read as UTF-8 whatever the locale, and what is none is told."""
    words = ("reidentify", "-", "--reason", "r", "--dry-run")
    assert fed("\ufeffMüller\r\n".encode(), *words) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("Skipped Müller: There is no customer")
    assert fed(b"M\xfcller\n", *words) == 2
    assert fed(None, *words) == 2


def test_an_error_of_ours_says_that_nothing_is_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a defect asks to be reported, with its place and without its text."""
    monkeypatch.setattr("workers.secrets.vault.new_key", lambda: {}["ada@example.com"])
    assert main(["keys", "new"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"Internal error \(KeyError at [\w.:> ]+\)\. Report this line; nothing is known to be lost\.", line
    )


@pytest.mark.parametrize("number", [28, 30, 13, 1, 24, 23, 11, 12, 36, 5, 122, 2])
def test_errors_of_the_system_are_its_own(number: int) -> None:
    """Each is told with the system's words, the file, and what to do; none asks for a report."""
    told = of_the_system(OSError(number, os.strerror(number), "/data/x"))
    assert os.strerror(number) in told
    assert "/data/x" in told
    assert "run the command again" in told
    assert "report" not in told


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "\udcff", "a\x00b", "999.999.999.999"])
def test_hosts_that_cannot_be_listened_on(host: str) -> None:
    """Every one is an error of the system, which names the address."""
    with pytest.raises(OSError, match=r"cannot listen on"):
        listen(host, 0)


def test_the_dry_run_of_named_customers(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Who, why and when, for each by name, with --json a line each; who is unknown or in the run already as well."""
    for key in ("k-1", "k-2", "k-3"):
        world.onboard(key)
    assert run("reidentify", "k-3", "--reason", "r", "--run", "audit") == 0
    capsys.readouterr()
    words = (
        "reidentify",
        "k-1",
        "k-2",
        "k-2",
        "k-3",
        "k-9",
        "--reason",
        "a regulator asks",
        "--run",
        "audit",
        "--dry-run",
    )
    assert run(*words, "--json") == 5
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["idempotency_key"], one["result"]) for one in told] == [
        ("k-1", "would_ask"), ("k-2", "would_ask"), ("k-3", "already"), ("k-9", "refused"),
    ]  # fmt: skip
    for one in told[:2]:
        assert (one["why"], one["risk_tier"], one["run"]) == ("a regulator asks", "standard", "audit")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one["date"])
    assert run(*words) == 5
    said = capsys.readouterr().err
    assert re.search(r"k-1 +standard +a regulator asks +\d{4}-\d\d-\d\d", said)
    assert "1 are in the run audit already" in said
    assert "Skipped k-9: There is no customer with this key." in said
    assert world.effects()["k-1"]["identifications"] == 1
