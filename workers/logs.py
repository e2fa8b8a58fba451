"""Logs: JSON lines, or pretty ones on a terminal; only the fields on the list ever pass.

One canonical line for each attempt at a step says what came of it. Lines of libraries go the same way, and a traceback
is reduced to places in the code, because the values in it may be personal.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog

#: Fields that may be logged. Everything else is dropped, so that personal data cannot slip in with a new field.
ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger",
        "key", "step", "lane", "version", "phase", "phase_before", "outcome", "because", "crashes",
        "calls", "wait_ms", "step_ms", "attempts", "code", "status", "error", "where", "reason",
        "nudges", "host", "port", "console", "processes", "threads", "pid", "request_id", "route", "role", "type",
        "name", "count", "read", "differ", "unknown", "setting", "remedy", "api_version", "origin",
    }
)  # fmt: skip


#: What structlog hands from one of its processors to the next; the renderer never sees it.
INTERNAL = frozenset({"_record", "_from_structlog"})


def configure_logs(
    form: Literal["console", "json"] | None, level: int = logging.INFO, stream: TextIO | None = None
) -> None:
    """Send everything to standard error, or to `stream`, in one form; None: pretty on a terminal, else JSON."""
    stream = stream or sys.stderr
    pretty = form == "console" or (form is None and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _places,
    ]
    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    renderer = structlog.dev.ConsoleRenderer(colors=colors) if pretty else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, _allowed, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Harmless(stream))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared, _allowed_foreign],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_Unargued())
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


class _Unargued(logging.Filter):
    """Names dramatiq's messages by actor and id: it would write their arguments, and one of them may be a job."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line pass, with names in place of messages."""
        if isinstance(record.args, tuple):
            record.args = tuple(_named(argument) for argument in record.args)
        return True


def _named(argument: Any) -> Any:
    is_message = hasattr(argument, "actor_name") and hasattr(argument, "message_id")
    return f"{argument.actor_name} {argument.message_id}" if is_message else argument


class _Harmless(io.TextIOBase):
    """A stream whose reader may be gone: a line is lost then, and the writer goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if anybody reads."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if anybody reads."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def _places(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its type and the places it came through."""
    raised = line.pop("exc_info", None)
    error = sys.exc_info()[1] if raised is True else raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        line["error"] = type(error).__name__
        line["where"] = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[-5:])
    return line


def _allowed(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in line.items() if name in ALLOWED}


def _allowed_foreign(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in line.items() if name in ALLOWED or name in INTERNAL}
