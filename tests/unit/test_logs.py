"""Logs: only fields on the list, tracebacks without values, and lines of libraries through the same filter."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from workers.logs import ALLOWED, configure_logs

EMAIL = "ada-marker@example.com"
Configured = Callable[..., Callable[[], str]]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """Configure the logs and read what is written; afterwards all logging is as it was."""
    root, before, was_configured = logging.getLogger(), structlog.get_config(), structlog.is_configured()
    handlers, level = root.handlers[:], root.level
    root.handlers = []

    def configure(form: Any, level: int = logging.INFO) -> Callable[[], str]:
        written = io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr("sys.stderr", written)
            configure_logs(form, level)
        return written.getvalue

    yield configure
    structlog.contextvars.clear_contextvars()
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    if was_configured:
        structlog.configure(**before)


@pytest.fixture
def lines(configured: Configured) -> Lines:
    """The lines that were logged as JSON, parsed."""
    written = configured("json")
    return lambda: [json.loads(line) for line in written().splitlines()]


def test_a_line_is_json_with_its_fields(lines: Lines) -> None:
    """One line an event: its name, level, time in UTC, and the allowed fields as they were given."""
    structlog.get_logger().info("step.committed", key="k-1", step="refresh", calls=2, step_ms=1.5, because=None)
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "event": "step.committed", "level": "info", "key": "k-1", "step": "refresh", "calls": 2, "step_ms": 1.5,
        "because": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["email", "name_", "customer", "link", "url", "body", "input", "headers", "api_key", "_email"]
)
def test_what_is_not_on_the_list_is_dropped(name: str, lines: Lines) -> None:
    """A field that nobody thought about never reaches the log, bound, given or from the context."""
    structlog.contextvars.bind_contextvars(**{name: EMAIL})
    structlog.get_logger().bind(**{name: EMAIL}).info("step.committed", key="k-1", **{name: EMAIL})
    (line,) = lines()
    assert set(line) == {"event", "level", "timestamp", "key"}


def test_a_name_that_looks_internal_passes_nothing(configured: Configured) -> None:
    """A leading underscore is no way around the list, in either form."""
    for form in ("json", "console"):
        written = configured(form)
        structlog.get_logger().info("step.committed", key="k-1", _email=EMAIL, _customer={"email": EMAIL})
        assert "step.committed" in written()
        assert "marker" not in written()


def test_the_list_names_nothing_personal() -> None:
    """None of the words for personal data or secrets is on the list."""
    assert not ALLOWED & {"email", "customer", "link", "url", "body", "input", "token", "headers", "args", "job"}


def raised() -> None:
    """Fail with a value in the message, in a local and in the cause."""
    email = EMAIL
    try:
        int(email)
    except ValueError as error:
        raise RuntimeError(email) from error


@pytest.mark.parametrize("foreign", [False, True])
def test_a_traceback_is_type_and_places(foreign: bool, lines: Lines) -> None:
    """Of an exception only its type and where it came through are logged: no message, no value, no source line."""
    log = logging.getLogger("library") if foreign else structlog.get_logger()
    try:
        raised()
    except RuntimeError:
        log.exception("step.failed")
    (line,) = lines()
    assert (line["event"], line["level"], line["error"]) == ("step.failed", "error", "RuntimeError")
    assert re.fullmatch(r"test_logs\.py:\d+ > test_logs\.py:\d+", line["where"])
    assert "marker" not in json.dumps(line)
    assert "Traceback" not in json.dumps(line)


def test_an_exception_may_be_given_as_it_is(lines: Lines) -> None:
    """An exception object that was never raised has a type and no places."""
    structlog.get_logger().error("step.failed", exc_info=RuntimeError(EMAIL))
    (line,) = lines()
    assert (line["error"], line["where"]) == ("RuntimeError", "")
    assert "marker" not in json.dumps(line)


def test_lines_of_libraries_go_the_same_way(lines: Lines) -> None:
    """A library's line is JSON too, with its logger's name and without what it attached."""
    structlog.contextvars.bind_contextvars(key="k-1", email=EMAIL)
    logging.getLogger("library").warning("retrying %s", "soon", extra={"email": EMAIL}, stack_info=True)
    (line,) = lines()
    line.pop("timestamp")
    assert line == {"event": "retrying soon", "level": "warning", "logger": "library", "key": "k-1"}


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_libraries_speak_from_warnings_on(level: int, configured: Configured) -> None:
    """What libraries say in passing (paths, queries) is not logged, whatever our own level is."""
    written = configured("json", level)
    logging.getLogger("httpx").info("GET /customers/%s", EMAIL)
    assert written() == ""


def test_our_own_level_counts(configured: Configured) -> None:
    """Below the level nothing is written."""
    written = configured("json", logging.INFO)
    structlog.get_logger().debug("step.passed", key="k-1")
    assert written() == ""


def test_pretty_lines_hold_the_same_fields(configured: Configured) -> None:
    """On a terminal the form is another one, the filter is not."""
    written = configured("console")
    structlog.get_logger().info("step.committed", key="k-1", email=EMAIL)
    try:
        raised()
    except RuntimeError:
        logging.getLogger("library").exception("step.failed")
    shown = written()
    assert all(part in shown for part in ("step.committed", "k-1", "RuntimeError", "test_logs.py"))
    assert "marker" not in shown


def test_off_a_terminal_lines_are_json(configured: Configured) -> None:
    """Who asks for no form gets JSON where nobody watches."""
    written = configured(None)
    structlog.get_logger().info("worker.started", pid=1)
    assert json.loads(written())["event"] == "worker.started"


def test_configuring_twice_writes_once(configured: Configured) -> None:
    """A second configuration takes the place of the first."""
    first, second = configured("json"), configured("json")
    logging.getLogger("library").warning("once")
    assert (len(first().splitlines()), len(second().splitlines())) == (0, 1)


def test_a_reader_that_is_gone_hurts_nobody(configured: Configured) -> None:
    """A line that nobody can read any more is lost, and whoever wrote it goes on."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    configured("json")
    configure_logs("json", stream=Gone())
    structlog.get_logger().info("step.committed", key="k-1")
