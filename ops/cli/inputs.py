"""What people type on a command line, read strictly; everything else is told with an example."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from ops import durations
from ops.cli.exits import usage
from pipelines.lifecycle import Phase
from workers.forms import FormError, judged, plain


def who(by: str | None) -> str:
    """Name who acts: as told, else the user of this machine; by number where it has no name, as in some containers."""
    if by is not None and (told := plain(by)):
        return told
    try:
        return judged(plain(getpass.getuser()), spoken=True) or _uid()
    except (KeyError, OSError, ImportError, FormError):  # Python says it in several ways
        return _uid()


def _uid() -> str:
    return f"uid {os.getuid()}"


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


def uuid(text: str | None, option: str) -> str | None:
    """Read an id that is a UUID, such as that of a sub-partner; None where there is none."""
    try:
        return None if text is None else str(UUID(text.strip()))
    except ValueError:
        raise usage(f"{option} {text!r} is no UUID: copy the id from Iron's dashboard.") from None


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


def read_bytes(file: str) -> bytes:
    """Read a file, or standard input where it is called -."""
    try:
        if file != "-":
            return Path(file).read_bytes()
        if sys.stdin is None:
            raise usage("Standard input is closed: give what - stands for.")
        return sys.stdin.buffer.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        raise usage(f"{named(file)} cannot be read ({why}): check the path.") from None


def read_text(file: str) -> str:
    """Read text in UTF-8 from a file, or from standard input where it is called -, whatever the locale."""
    try:
        return read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise usage(f"{named(file)} is not text in UTF-8: write it in UTF-8.") from None


def named(file: str) -> str:
    """Name a file for people."""
    return "Standard input" if file == "-" else file


def read_json(file: str) -> object:
    """Read a JSON value from a file, or from standard input where it is called -."""
    raw, what = read_bytes(file), named(file)
    try:
        return json.loads(raw)
    except UnicodeDecodeError:
        raise usage(f"{what} is not text in UTF-8: write the job as JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise usage(f"{what} is not JSON (line {error.lineno}, column {error.colno}): correct it there.") from None
    except RecursionError:
        raise usage(f"{what} is nested too deeply: no job needs more than a few levels.") from None
    except ValueError:  # a number of thousands of digits
        raise usage(f"{what} holds a number that is too long: no job needs one.") from None
