"""JSON read strictly: UTF-8, no name twice in an object, no number that is none, nothing nested without end.

Every door reads with this: HTTP, command line, JSON Lines, messages, forms. What two parsers could read in two ways is
refused. Source: RFC 8259, RFC 7493 (I-JSON).
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What is wrong, by its code: predicates, for the reader to put a subject in front. They never repeat the text.
PREDICATES: Final[dict[str, str]] = {
    "doubled_field": "holds the same name twice in one object: remove one of them.",
    "not_json": "is not JSON{where}: correct it there.",
    "not_utf8": "is not text in UTF-8: write it in UTF-8.",
}

_ENDLESS: Final = "is nested too deep: no job needs that."
_DIGITS: Final = "holds a number with too many digits: give a text, or a shorter number."
_NO_NUMBER: Final = "holds NaN or Infinity, which are no JSON numbers: leave them out."


class StrictJsonError(ValueError):
    """This is not JSON, or not clear in what it says. `code` is one of PREDICATES; `predicate` follows a subject."""

    def __init__(self, code: str, predicate: str = "") -> None:
        """Take the code, and the predicate where the code's own does not say it."""
        self.code = code
        self.predicate = predicate or PREDICATES[code]
        super().__init__(f"The text {self.predicate}")


def parse(raw: bytes | str) -> Any:
    """Read a value. Bytes may begin with a byte order mark. Raises StrictJsonError."""
    try:
        text = raw if isinstance(raw, str) else raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
        return _DECODER.decode(text)
    except UnicodeDecodeError:
        raise StrictJsonError("not_utf8") from None
    except json.JSONDecodeError as error:
        where = f" (line {error.lineno}, column {error.colno})"
        raise StrictJsonError("not_json", PREDICATES["not_json"].format(where=where)) from None
    except RecursionError:
        raise StrictJsonError("not_json", _ENDLESS) from None
    except StrictJsonError:
        raise
    except ValueError:  # Python converts no number of thousands of digits
        raise StrictJsonError("not_json", _DIGITS) from None


def object_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members. Raises StrictJsonError when a name comes twice."""
    members = list(pairs)
    found = dict(members)
    if len(found) != len(members):
        raise StrictJsonError("doubled_field")
    return found


def _constant(_: str) -> NoReturn:
    raise StrictJsonError("not_json", _NO_NUMBER)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=object_once, parse_constant=_constant)
