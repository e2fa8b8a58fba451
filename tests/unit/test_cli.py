"""The command line without a server: help, usage, settings, and what people type."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.main import get_command

from ops.cli import app, inputs, main
from ops.cli.exits import CommandError
from pipelines.lifecycle import Phase

COMMANDS = [
    "demo",
    "dev",
    "worker",
    "sandbox",
    "submit",
    "import",
    "sign",
    "status",
    "history",
    "list",
    "summary",
    "pause",
    "resume",
]
IN_GROUPS = ["keys new", *(f"imports {name}" for name in ("show", "pause", "resume", "cancel", "report"))]

#: Nowhere: no test here may reach it.
NOWHERE = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without any setting."""
    from os import environ

    for name in [name for name in environ if name.startswith(("ONBOARDING_", "IRON_"))]:
        monkeypatch.delenv(name)
    return


def test_the_commands_are_those_of_the_contract() -> None:
    """Nothing is missing, and nothing has another name."""
    assert set(COMMANDS) | {"keys"} <= set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", [*COMMANDS, *IN_GROUPS])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The example is on a line of its own, whole, so that it can be copied."""
    assert main([*command.split(), "--help"]) == 0
    assert re.search(rf"Example:\n  .*onboarding {command}\b.*\n", capsys.readouterr().out)


def test_help_loads_nothing_heavy() -> None:
    """Neither Redis nor Dramatiq nor pydantic nor httpx is imported before a command needs it."""
    program = (
        "import sys; from ops.cli import main; main(['--help'])\n"
        "print([name for name in ('redis', 'dramatiq', 'pydantic', 'httpx', 'rich') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["status"], "Missing argument 'KEY'"),
        (["status", "k", "--nonsense"], "No such option: --nonsense"),
        (["status", "k", "--wait", "nonsense"], "'nonsense' is not a phase. The phases are received, "),
        (["list", "--phase", "Active!"], "'Active!' is not a phase"),
        (["list", "--older-than", "soon"], "'soon' is not a duration: write it as 45s, 30m, 12h, 3d or 2w."),
        (["list", "--label", "source"], "--label 'source' lacks a name or the sign ="),
        (["list", "--limit", "0"], "--limit"),
        (["sign", "k", "--signed-by", "Ada"], "Missing option '--document'"),
        (["sign", "k", "--document", "d", "--signed-by", " "], "--signed-by: This must not be empty"),
        (["submit"], "Name a file (or - for standard input), or at least --key and --email."),
        (["submit", "-", "--key", "k"], "Submit the job as a file or as options, not both."),
        (["submit", "no-such.json"], "no-such.json cannot be read (No such file or directory): check the path."),
        (["import", "no-such.csv"], "no-such.csv does not exist: check the path."),
        (["import", __file__, "--lane", "express"], "--lane"),
        (["sandbox", "--port", "70000"], "--port"),
        (["worker", "--processes", "0"], "--processes"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 2; the sentence is on standard error, and standard output stays empty."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", NOWHERE)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert sentence in printed.err


@pytest.mark.parametrize("command", ["status k", "history k", "list", "summary", "submit --key k --email a@b.example"])
def test_a_missing_setting_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an address of Redis a command says which setting it lacks and what that looks like."""
    assert main(command.split()) == 2
    assert "ONBOARDING_REDIS_URL is not set: it should be a Redis address such as " in capsys.readouterr().err


def test_a_worker_names_every_problem_with_its_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line for each, no API key among them, and no secret in any."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", NOWHERE)
    assert main(["worker"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "ONBOARDING_ENCRYPTION_KEYS",
        "IRON_BASE_URL",
        "IRON_API_KEY",
    ]
    assert not any("secret" in line and "redis" in line for line in lines)


def test_a_port_that_is_no_number_is_a_problem_with_the_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that redis-py cannot read is told like any other malformed setting."""
    monkeypatch.setenv("ONBOARDING_REDIS_URL", "redis://127.0.0.1:many/0")
    assert main(["status", "k"]) == 2
    assert "ONBOARDING_REDIS_URL is malformed" in capsys.readouterr().err


def test_a_malformed_job_has_every_problem_told_with_its_pointer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each problem; nothing of the job's values stands in them."""
    job = {"idempotency_key": "k", "customer": {"customer_type": "Robot", "email": "ada.example.com"}, "nonsense": 1}
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    assert main(["submit", str(file)]) == 2
    printed = capsys.readouterr().err
    assert [line.partition(":")[0] for line in printed.splitlines()] == [
        "/customer/customer_type",
        "/customer/email",
        "/nonsense",
    ]
    assert "ada.example.com" not in printed


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"idempotency_key": ', "is not JSON (line 1, column 21): correct it there."),
        (b'{"name": "J\xfcrgen"}', "is not text in UTF-8: write it in UTF-8."),
        (b"[]", "/: "),
    ],
)
def test_a_file_that_is_no_job_is_told(
    content: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not JSON, not UTF-8 or not an object is named."""
    file = tmp_path / "job.json"
    file.write_bytes(content)
    assert main(["submit", str(file)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_new_key_is_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    """It is printed alone on standard output, is new each time, and encrypts."""
    assert main(["keys", "new"]) == 0
    assert main(["keys", "new", "--json"]) == 0
    plain, data = capsys.readouterr().out.splitlines()
    assert plain != json.loads(data)["key"]
    for key in (plain, json.loads(data)["key"]):
        assert Fernet(key).decrypt(Fernet(key).encrypt(b"x")) == b"x"


def test_what_nobody_foresaw_is_a_line_without_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours names its type and its place, never its text, and is no traceback."""

    def broken(*_: object) -> None:
        raise KeyError("ada@example.com")

    monkeypatch.setattr("workers.secrets.vault.new_key", broken)
    assert main(["keys", "new"]) == 1
    printed = capsys.readouterr().err
    assert "KeyError at " in printed
    assert "test_cli.py:" in printed
    assert "ada@example.com" not in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1_800), ("12h", 43_200), ("3d", 259_200), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: int) -> None:
    """Each unit counts as people mean it."""
    assert inputs.duration_s(text) == seconds


def test_phases_are_read_in_any_case() -> None:
    """Capitals do not matter."""
    assert inputs.phase(" Active ") is Phase.ACTIVE


@pytest.mark.parametrize("text", ["yesterday", "2026-11-22", "2026-11-22T10:00:00"])
def test_a_moment_has_a_zone(text: str) -> None:
    """Anything else is refused: consent is proof, and its time is part of it."""
    with pytest.raises(CommandError, match="--signed-at"):
        inputs.moment(text, "--signed-at")


def test_a_moment_is_written_as_every_door_takes_it() -> None:
    """The forms of ISO 8601 that people type become the one of RFC 3339; the zone stays."""
    for text in ("2026-01-22T12:00:00+02:00", "2026-01-22 12:00+02:00", "20260122T120000+0200"):
        assert inputs.moment(text, "--signed-at") == "2026-01-22T12:00:00+02:00"
    assert inputs.moment(None, "--signed-at") is None
