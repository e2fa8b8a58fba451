"""What people type on a command line, read strictly; everything else is told with an example."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import UUID

from ops import durations
from ops.cli.exits import CommandError, usage
from pipelines.keys import composed
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


if TYPE_CHECKING:
    from pipelines.job import Problem


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
        found[composed(name.strip())] = composed(value.strip())
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
        raise usage(f"{text!r} is not a phase. The phases are {', '.join(Phase)}.") from None


def moment(text: str | None, option: str) -> str | None:
    """Read a time with its zone, in any form of ISO 8601, and write it as every door takes it."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise usage(f"{option} {text!r} is not a time with its zone: write it as 2026-11-22T10:00:00Z.")
    return at.isoformat(timespec="seconds")


def read_bytes(file: str) -> bytes:
    """Read a file, or standard input where it is called -."""
    try:
        if file != "-":
            return Path(file).read_bytes()
        return standard_input().read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        raise usage(f"{named(file)} cannot be read ({why}): check the path.") from None


def standard_input() -> IO[bytes]:
    """Return what standard input brings, as bytes. Raises CommandError where it is closed."""
    if sys.stdin is None:
        raise usage("Standard input is closed: give what - stands for.")
    return sys.stdin.buffer


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
    """Read a JSON value from a file, or from standard input where it is called -, as strictly as every door does."""
    from pipelines import strict_json

    raw, what = read_bytes(file), named(file)
    try:
        return strict_json.parse(raw)
    except strict_json.StrictJsonError as error:
        raise usage(f"{what} {error.predicate} ({error.code})") from None


def wrong(problems: Iterable[Problem], rename: Mapping[str, str] | None = None) -> CommandError:
    """Make the error for input with problems, a line each; `rename` has options for pointers."""
    names = rename or {}
    lines = (f"{names.get(one.pointer, one.pointer or '/')}: {one.text} ({one.code})" for one in problems)
    return usage(*lines)
