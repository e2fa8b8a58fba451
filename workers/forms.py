"""The normal form of what people write: into settings, into the files behind settings, as addresses.

Editors put a byte order mark before a text and line ends behind it: these go, blanks around it as well. Any other
sign that cannot be seen, and quotation marks around a value, are refused by name. No sentence here holds a value.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

#: What is taken away around a value: blanks, line ends, the byte order mark.
AROUND = (
    " \t\r\n\v\f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
#: Letters by name that show nothing: fillers and joiners that Unicode does not count as formats.
_HIDDEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
#: Two joiners that belong into names of some scripts.
_JOINERS = frozenset("\u200c\u200d")
#: What may stand for a quotation mark and is not one of Unicode's opening or closing ones.
_QUOTES = frozenset("\"'`\u00b4\u201a\u201e\u300c\u300d\u300e\u300f\uff02\uff07")
#: Unicode names no control characters.
_CONTROLS = {"\0": "NULL", "\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\x1b": "ESCAPE", "\x7f": "DELETE"}
#: A value that somebody was to replace, or a variable that nobody filled in.
_PLACEHOLDER = re.compile(r"\$\{?\w+\}?|\$\{.*\}|\$\(.*\)|\{\{.*\}\}|<[^<>]*>|%\w+%|(?i:change[-_ ]?me|xxx+)")
#: The most that the file of a setting may hold, in bytes: some hundred keys.
FILE_BYTES = 65_536
#: Byte order marks of texts that are not UTF-8.
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
#: A name of DNS: labels of 1 to 63 letters, a dot at the end is allowed.
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
#: What can only be an IPv4 address.
_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_HIGHEST_PORT = 65_535
#: Longest name of DNS, and longest address, in characters.
_HOST_LENGTH = 253
_ADDRESS_LENGTH = 2_000


class FormError(ValueError):
    """A value has not the form it needs; the text says what is wrong with it, as half a sentence."""


def plain(text: str) -> str:
    """Take away what editors and shells put around a value. Bytes that are UTF-8 are read so, whatever the locale."""
    if not text.isascii():
        try:
            text = os.fsencode(text).decode("utf-8")
        except UnicodeError:  # they stay what they are, and are refused by name
            return text
    return text.strip(AROUND)


def judged(text: str, *, spoken: bool = False) -> str:
    """Return a value, unless it holds a sign that nobody meant. `spoken`: a name for people, in any script.

    Raises FormError, which names the sign.
    """
    for sign in text:
        if fault := _fault(sign, spoken=spoken):
            raise FormError(fault)
    ends = [sign for sign in (text[:1], text[-1:]) if _is_quote(sign)]
    if ends and (len(ends) > 1 or not spoken):
        raise FormError(f"it has a quotation mark ({named(ends[0])}) around it, which does not belong to it")
    if _PLACEHOLDER.fullmatch(text):
        raise FormError("it is a placeholder that nothing has filled in")
    return text


def is_text(text: str) -> bool:
    """Return whether a text can be written in UTF-8; one from bytes in another encoding cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def named(sign: str) -> str:
    """Name a sign as Unicode does."""
    return f"U+{ord(sign):04X} {_CONTROLS.get(sign) or unicodedata.name(sign, 'CONTROL CHARACTER')}"


def _fault(sign: str, *, spoken: bool) -> str | None:
    kind = unicodedata.category(sign)
    if kind == "Cs":
        return "it is not text in UTF-8"
    if kind == "Cc":
        return f"it holds a control character ({named(sign)})"
    hidden = kind in ("Cf", "Zl", "Zp", "Cn", "Co") or sign in _HIDDEN
    if hidden and not (spoken and sign in _JOINERS):
        return f"it holds a sign that cannot be seen ({named(sign)})"
    return None


def _is_quote(sign: str) -> bool:
    return bool(sign) and (sign in _QUOTES or unicodedata.category(sign) in ("Pi", "Pf"))


# --- files -----------------------------------------------------------------------------------------------------------


def read_file(path: str) -> str:
    """Read the file of a setting, in its normal form. Raises FormError saying why that cannot be."""
    try:
        kind = Path(path).stat().st_mode
        raw = _beginning(Path(path)) if stat.S_ISREG(kind) else None
    except (OSError, ValueError) as error:
        raise FormError(reason(error)) from None
    if raw is None:  # a pipe would be empty when it is read again, and a device may have no end
        raise FormError("it is no regular file")
    if len(raw) > FILE_BYTES:
        raise FormError(f"it has more than {FILE_BYTES:,} bytes")
    if raw.startswith(_OTHER_MARKS):
        raise FormError("it is text in UTF-16: save it in UTF-8")
    try:
        return plain(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise FormError("it is not text in UTF-8") from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES + 1)


def reason(error: Exception) -> str:
    """Return the system's own words for what went wrong with a file, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or "the path is not one"


# --- addresses -------------------------------------------------------------------------------------------------------


def split(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """Take an address apart whose scheme is one of these. Raises FormError.

    urlsplit alone drops line ends and tabs without a word, and takes an address for a path where a slash is missing.
    """
    if any(sign.isspace() for sign in text) or "\\" in text:
        raise FormError("it holds a blank or a backslash")
    scheme, mark, _ = text.partition("://")
    if not mark or scheme.lower() not in schemes:
        raise FormError(f"it does not begin with {' or '.join(f'{one}://' for one in schemes)}")
    try:
        parts = urlsplit(written(text))
        _ = parts.port
    except ValueError:
        raise FormError("its host or port is not one") from None
    return parts


def written(text: str) -> str:
    """Write an address with its scheme in small letters; the rest is its own."""
    scheme, _, rest = text.partition("://")
    return f"{scheme.lower()}://{rest}"


def check_host(parts: SplitResult) -> None:
    """Raise FormError unless the host is a name or an address, and the port, where there is one, from 1 to 65535."""
    host = parts.hostname or ""
    if parts.netloc.endswith(":") or (parts.port is not None and not 1 <= parts.port <= _HIGHEST_PORT):
        raise FormError("its port is not a number from 1 to 65535")
    if not host.isascii():
        raise FormError("its host has letters beyond ASCII: write it in the form that begins with xn--")
    if ":" in host or _NUMBERS.fullmatch(host):
        try:
            ip_address(host)
        except ValueError:
            raise FormError("its host is no address") from None
    elif not (_HOST.fullmatch(host) and len(host) <= _HOST_LENGTH):
        raise FormError("its host is no name")


def web_address(text: str, *, user: bool = True) -> str:
    """Read an http or https address, without a slash at its end. `user`: it may hold a user. Raises FormError."""
    parts = split(text, ("http", "https"))
    if "?" in text or "#" in text:
        raise FormError("it has a query or a fragment")
    check_host(parts)
    if "@" in parts.netloc and not user:
        raise FormError("it holds a user or a password, which everybody would see who gets a link")
    if not text.isascii() or len(text) > _ADDRESS_LENGTH:
        raise FormError("it is too long, or holds letters that must be percent-encoded")
    return written(text).rstrip("/")
