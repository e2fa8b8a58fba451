"""What people type on a command line, read strictly; everything else is told with an example."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ops import durations
from ops.cli.exits import usage
from pipelines.lifecycle import Phase


def duration_s(text: str) -> int:
    """Read a duration such as 45s, 30m, 12h, 3d or 2w."""
    try:
        return durations.duration_s(text)
    except ValueError as error:
        raise usage(str(error)) from None


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Read options of the form name=value."""
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise usage(f"{option} {text!r} lacks a name or the sign =: write {option} name=value.")
        found[name.strip()] = value.strip()
    return found


def phase(text: str) -> Phase:
    """Read the name of a phase."""
    try:
        return Phase(text.strip().lower())
    except ValueError:
        raise usage(f"{text!r} is not a phase; the phases are {', '.join(Phase)}.") from None


def moment(text: str | None, option: str) -> datetime:
    """Read a time with its zone, not later than now; now where none is given."""
    now = datetime.now(UTC)
    if text is None:
        return now
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise usage(f"{option} {text!r} is not a time with its zone: write it as 2026-11-22T10:00:00Z.")
    if at > now:
        raise usage(f"{option} {text!r} is in the future: consent can only be recorded after it was given.")
    return at.astimezone(UTC)


def read_text(file: str) -> str:
    """Read a text from a file, or from standard input where it is called -."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise usage(f"{file} is not text in UTF-8.") from None
    except OSError as error:
        raise usage(f"{file} cannot be read ({error.strerror}): check the path.") from None


def read_json(file: str) -> object:
    """Read a JSON value from a file, or from standard input where it is called -."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise usage(f"{file} cannot be read ({error.strerror}): check the path.") from None
    what = "Standard input" if file == "-" else file
    try:
        return json.loads(raw)
    except UnicodeDecodeError:
        raise usage(f"{what} is not text in UTF-8: write the job as JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise usage(f"{what} is not JSON (line {error.lineno}, column {error.colno}): correct it there.") from None
