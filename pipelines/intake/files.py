"""The file itself: what it is, whether it can be read, and whether it stays as it is.

Its bytes are looked through once before the first row, so that a file in another encoding is refused whole and not
after half of it. A single byte that cannot be is its row's fault.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes read at once when the file is looked through.
CHUNK_BYTES: Final = 1 << 20

#: Share of control characters from which text is not taken for text in another encoding.
_BINARY_SHARE: Final = 0.02

#: How files begin that are no text at all, and what to do with them.
_SIGNATURES: Final = (
    (b"\x1f\x8b", "a gzip file: unpack it first (`gunzip`)"),
    (b"BZh", "a bzip2 file: unpack it first (`bunzip2`)"),
    (b"\xfd7zXZ\x00", "an xz file: unpack it first (`unxz`)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first (`unzstd`)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV UTF-8"),
    (b"%PDF", "a PDF: export the table as CSV UTF-8"),
)

_UTF_16: Final = "is UTF-16: save it as CSV UTF-8, or convert it with `iconv -f UTF-16 -t UTF-8`."
_LATIN_1: Final = (
    "is not UTF-8 from line {line} on and looks like Latin-1 or Windows-1252: save it as CSV UTF-8,"
    " or convert it with `iconv -f WINDOWS-1252 -t UTF-8`."
)

#: Lines with bytes that are not UTF-8 from which on a file without any other sign beyond ASCII is one in another
#: encoding, refused whole: more than slips make, fewer than anybody mends by hand.
FOREIGN_LINES: Final = 20

#: How bytes that are not UTF-8 stand in a text that was read (PEP 383).
_ESCAPED: Final = re.compile("[\udc80-\udcff]")


class IntakeError(Exception):
    """The file cannot be imported. `code` is stable.

    `predicate` says what is wrong and what to do, behind a subject, without personal data, path or option; `options`
    says on the command line what to do there instead of `remedy`.
    """

    def __init__(self, code: str, predicate: str, *, remedy: str = "", options: str = "") -> None:
        super().__init__(_sentence("The file", predicate, remedy))
        self.code = code
        self._predicate = predicate
        self._options = options or remedy

    @property
    def text(self) -> str:
        """The sentence for whoever does not know the file by a path."""
        return str(self)

    def on_command_line(self, subject: object) -> str:
        """Give the sentence for whoever named the file by this path, and has options."""
        return _sentence(subject, self._predicate, self._options)


def _sentence(subject: object, predicate: str, remedy: str) -> str:
    return f"{subject} {predicate}{f' {remedy}' if remedy else ''}"


class LineTooLongError(Exception):
    """A line is longer than the limit; it has been passed over to its end."""


@dataclass(slots=True)
class File:
    """A file opened for reading, known to be text, but for single bytes that stand as `foreign` finds them."""

    path: Path
    text: IO[str]
    first_sign: str
    #: SHA-256 of its bytes.
    digest: bytes
    _state: tuple[int, ...]

    def must_be_unchanged(self) -> None:
        """Raise IntakeError when the file was written to, or replaced, since it was opened."""
        try:
            now = _state(self.path.stat())
        except OSError:
            now = ()
        if now != self._state:
            raise changed()


def changed() -> IntakeError:
    """Say that the file changed under our hands."""
    return IntakeError("file_changed", "changed while it was read: wait until it is written, then import it again.")


def foreign(text: str) -> str | None:
    """Give the code of what no row may hold: a byte that is not UTF-8, or a NUL; None: neither is there."""
    if "\0" in text:
        return "nul_bytes"
    return "not_utf8" if not text.isascii() and _ESCAPED.search(text) else None


def readable(text: str) -> str:
    """Write a text without what `foreign` finds, as a mark that shows where something was lost."""
    return _ESCAPED.sub("\ufffd", text).replace("\0", "\ufffd")


class Lines:
    """The lines of a file with their breaks, none longer than `limit` characters. `count` is how many have been read.

    Not a generator: after LineTooLongError the next line can be read.
    """

    def __init__(self, file: File, limit: int) -> None:
        self.count = 0
        self._file = file
        self._limit = limit

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._file.text.readline(self._limit)
        if not line:
            raise StopIteration
        self.count += 1
        if len(line) >= self._limit and line[-1] not in "\r\n":
            while (rest := self._file.text.readline(self._limit)) and rest[-1] not in "\r\n":
                pass
            raise LineTooLongError
        return line


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Open a file of text in UTF-8, with or without a byte order mark.

    Raises IntakeError: no such file, not readable, not a file, empty, packed, in another encoding, or no text at all.
    """
    with _binary(path) as raw:
        before = os.fstat(raw.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise IntakeError(
                "not_a_file",
                "is not a regular file: write the rows to a file and name that",
                remedy="instead.",
                options="instead, or pipe them to `onboarding import -`.",
            )
        first_sign, digest = _look_through(raw)
        raw.seek(0)
        with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            yield File(path, text, first_sign, digest, _state(before))


def _state(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe that nobody writes to at once, so that it is named instead of waited for; files do not mind."""
    return os.open(path, flags | os.O_NONBLOCK)


def _binary(path: Path) -> io.BufferedReader:
    try:
        return open(path, "rb", opener=_without_waiting)  # Path.open takes no opener
    except IsADirectoryError:
        raise IntakeError("not_a_file", "is a directory: name a file in it.") from None
    except FileNotFoundError:
        raise IntakeError("no_such_file", "does not exist: check the path.") from None
    except PermissionError:
        raise IntakeError("not_readable", "may not be read by this user: change its permissions.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise IntakeError("not_readable", f"cannot be read: {reason}.") from None


def _look_through(raw: io.BufferedReader) -> tuple[str, bytes]:
    """Read the whole file once; return its first sign that is no space, and its digest.

    Raises IntakeError unless it is text in UTF-8, but for bytes here and there that are their rows' fault.
    """
    digest = hashlib.sha256()
    found = _Signs()
    try:
        while chunk := raw.read(CHUNK_BYTES):
            found.look(chunk)
            digest.update(chunk)
        found.look(b"", final=True)
    except OSError as error:
        raise IntakeError("not_readable", f"cannot be read: {error.strerror}.") from None
    if not found.first:
        raise IntakeError("empty_file", "is empty: it needs a header and one row for each customer.")
    return found.first, digest.digest()


class _Signs:
    """What the signs of a file tell of its encoding."""

    def __init__(self) -> None:
        self.first = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._line = 1
        #: Lines with bytes that are not UTF-8: how many, the last, and the first.
        self._foreign = self._last_foreign = self._first_foreign = 0
        #: Whether there is a sign beyond ASCII that is UTF-8.
        self._beyond_ascii = False

    def look(self, chunk: bytes, *, final: bool = False) -> None:
        """Look at the next part of the file. Raises IntakeError when it cannot be text in UTF-8."""
        if self._line == 1:
            _refuse_known(chunk)
        if b"\0" in chunk:
            _refuse_wide(chunk)
        text = self._decoder.decode(chunk, final)
        if not text.isascii():
            self._weigh(text, chunk)
        self._line += text.count("\n")
        self.first = self.first or text.lstrip()[:1]
        if final and self._foreign > FOREIGN_LINES and not self._beyond_ascii:
            raise IntakeError("not_utf8", _LATIN_1.format(line=self._first_foreign))

    def _weigh(self, text: str, chunk: bytes) -> None:
        """Count the lines with bytes that are not UTF-8, and look for signs that are."""
        without = _ESCAPED.sub("", text)
        self._beyond_ascii = self._beyond_ascii or not without.isascii()
        if len(without) == len(text):
            return
        _refuse_binary(chunk)
        for line, part in enumerate(text.split("\n"), self._line):
            if line != self._last_foreign and _ESCAPED.search(part):
                self._first_foreign = self._first_foreign or line
                self._last_foreign = line
                self._foreign += 1


def _refuse_known(start: bytes) -> None:
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise IntakeError("not_utf8", "is UTF-32: convert it with `iconv -f UTF-32 -t UTF-8`.")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise IntakeError("not_utf8", _UTF_16)
    if start.startswith(b"PK\x03\x04"):
        workbook = b"[Content_Types].xml" in start[:4096] or b"xl/" in start[:4096]
        what = "an Excel workbook: save it as CSV UTF-8" if workbook else "a zip file: unpack it first (`unzip`)"
        raise IntakeError("not_text", f"is {what}.")
    for signature, what in _SIGNATURES:
        if start.startswith(signature):
            raise IntakeError("not_text", f"is {what}.")


def _refuse_wide(chunk: bytes) -> None:
    """Refuse UTF-16 without a mark: text in Latin letters then has a NUL in every other place, nearly all alike."""
    even, odd = chunk[::2].count(0), chunk[1::2].count(0)
    if max(even, odd) > 0.6 * len(chunk) / 2 and min(even, odd) < _BINARY_SHARE * len(chunk):
        raise IntakeError("not_utf8", _UTF_16)
    _refuse_binary(chunk)


def _refuse_binary(chunk: bytes) -> None:
    """Refuse what has too many control characters for a text in any encoding."""
    if len(re.findall(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]", chunk)) > max(1, _BINARY_SHARE * len(chunk)):
        raise IntakeError("not_text", "is not text: name a CSV or JSONL file.")
