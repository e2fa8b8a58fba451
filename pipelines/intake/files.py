"""The file itself: what it is, whether it can be read, and whether it stays as it is.

Its text is looked through once before the first row, so that a file in another encoding is refused whole and not after
half of it.
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


class IntakeError(Exception):
    """The file cannot be imported. `code` is stable; `text` is one sentence with the remedy, without personal data."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class LineTooLongError(Exception):
    """A line is longer than the limit; it has been passed over to its end."""


@dataclass(slots=True)
class File:
    """A file opened for reading, known to be text in UTF-8."""

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
            raise changed(self.path)


def changed(path: Path) -> IntakeError:
    """Say that the file changed under our hands."""
    return IntakeError(
        "file_changed", f"{path} changed while it was read: wait until it is written, then import it again."
    )


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
        line = self._read()
        if not line:
            raise StopIteration
        self.count += 1
        if len(line) >= self._limit and line[-1] not in "\r\n":
            while (rest := self._read()) and rest[-1] not in "\r\n":
                pass
            raise LineTooLongError
        return line

    def _read(self) -> str:
        try:
            return self._file.text.readline(self._limit)
        except UnicodeDecodeError:  # it was UTF-8 a moment ago
            raise changed(self._file.path) from None


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Open a file of text in UTF-8, with or without a byte order mark.

    Raises IntakeError: no such file, not readable, not a file, empty, packed, in another encoding, or no text at all.
    """
    with _binary(path) as raw:
        before = os.fstat(raw.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise IntakeError("not_a_file", f"{path} is not a regular file: write the rows to a file and name that.")
        first_sign, digest = _look_through(path, raw)
        raw.seek(0)
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
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
        raise IntakeError("not_a_file", f"{path} is a directory: name a file in it.") from None
    except FileNotFoundError:
        raise IntakeError("no_such_file", f"{path} does not exist: check the path.") from None
    except PermissionError:
        raise IntakeError("not_readable", f"{path} may not be read by this user: change its permissions.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise IntakeError("not_readable", f"{path} cannot be read: {reason}.") from None


def _look_through(path: Path, raw: io.BufferedReader) -> tuple[str, bytes]:
    """Read the whole file once; return its first sign that is no space, and its digest.

    Raises IntakeError unless it is text in UTF-8.
    """
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    first_sign, line = "", 1
    try:
        while chunk := raw.read(CHUNK_BYTES):
            if line == 1:
                _refuse_known(path, chunk)
            if b"\0" in chunk:
                raise _with_nul(path, chunk, line)
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, chunk, line + chunk[: max(error.start, 0)].count(b"\n")) from None
            digest.update(chunk)
            line += chunk.count(b"\n")
            first_sign = first_sign or text.lstrip()[:1]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _not_utf8(path, b"", line) from None
    except OSError as error:
        raise IntakeError("not_readable", f"{path} cannot be read: {error.strerror}.") from None
    if not first_sign:
        raise IntakeError("empty_file", f"{path} is empty: it needs a header and one row for each customer.")
    return first_sign, digest.digest()


def _refuse_known(path: Path, start: bytes) -> None:
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise IntakeError("not_utf8", f"{path} is UTF-32: convert it with `iconv -f UTF-32 -t UTF-8`.")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise IntakeError("not_utf8", f"{path} {_UTF_16}")
    if start.startswith(b"PK\x03\x04"):
        workbook = b"[Content_Types].xml" in start[:4096] or b"xl/" in start[:4096]
        what = "an Excel workbook: save it as CSV UTF-8" if workbook else "a zip file: unpack it first (`unzip`)"
        raise IntakeError("not_text", f"{path} is {what}.")
    for signature, what in _SIGNATURES:
        if start.startswith(signature):
            raise IntakeError("not_text", f"{path} is {what}.")


def _with_nul(path: Path, chunk: bytes, line: int) -> IntakeError:
    # In UTF-16 without a mark, text in Latin letters has a NUL in every other place, and in nearly all of one kind.
    even, odd = chunk[::2].count(0), chunk[1::2].count(0)
    if max(even, odd) > 0.6 * len(chunk) / 2 and min(even, odd) < _BINARY_SHARE * len(chunk):
        return IntakeError("not_utf8", f"{path} {_UTF_16}")
    if _is_binary(chunk):
        return IntakeError("not_text", f"{path} is not text: name a CSV or JSONL file.")
    line += chunk[: chunk.index(0)].count(b"\n")
    return IntakeError("nul_bytes", f"{path} has a NUL byte in line {line}: write the file again without it.")


def _is_binary(chunk: bytes) -> bool:
    return len(re.findall(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]", chunk)) > _BINARY_SHARE * len(chunk)


def _not_utf8(path: Path, chunk: bytes, line: int) -> IntakeError:
    if _is_binary(chunk):
        return IntakeError("not_text", f"{path} is not text: name a CSV or JSONL file.")
    return IntakeError("not_utf8", f"{path} {_LATIN_1.format(line=line)}")
