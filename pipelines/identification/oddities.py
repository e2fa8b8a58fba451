"""Values that can only be a mistake: words for an empty cell, and what spreadsheets and programs make of an id.

An external id is for ever, so such a value is refused before it becomes one. Lost leading zeros cannot be seen.
"""

from __future__ import annotations

import re
from typing import Final

#: How exports, spreadsheets and programs write that there is nothing, in small letters.
NULL_WORDS: Final = frozenset(
    r"""
    null (null) <null> [null] "null" \n nan none <none> nil n/a n.a. na #n/a #nv undefined (undefined) <undefined>
    (blank) (empty) (leer) <empty> - -- --- ? ??
    """.split()  # noqa: SIM905  # a table to be read
) | {"[object object]", "not available"}

#: Words that are people's names as well: as a whole name they pass.
_ALSO_NAMES: Final = frozenset({"nan", "nil", "na"})

#: What a spreadsheet shows for a formula that failed, in its languages, and for a column that is too narrow.
_ERROR: Final = re.compile(r"#(?:N/A|NV|GETTING_DATA|[A-ZÄÖÜÉÈ0-9/_]+[!?]|#+)")

_MONTH: Final = (
    "jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|sept|oct|okt|nov|dec|dez"
    "|fév|févr|avr|juin|juil|août|déc|ene|abr|ago|dic"
)
#: A number in scientific notation, a number with the decimals of a float, a date that was an id, a text marker.
_MANGLED: Final = re.compile(
    rf"[+-]?[0-9]+(?:[.,][0-9]+)?e[+-][0-9]{{2,3}}"
    rf"|[0-9]{{2,}}\.0"
    rf"|[0-9]{{1,2}}[-. /](?:{_MONTH})\.?(?:[-. /][0-9]{{2,4}})?"
    rf"|(?:{_MONTH})\.?[-. /][0-9]{{2,4}}"
    rf"|[0-9]{{1,2}}([/.])[0-9]{{1,2}}\1(?:[0-9]{{2}}|[0-9]{{4}})(?: [0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?)?"
    rf"|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[ T][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}})?)?"
    rf"|'.*"
    rf"|=.*[()!].*",
    re.IGNORECASE,
)
_SCIENTIFIC: Final = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]{2}")


def is_null_word(value: str, *, name: bool = False) -> bool:
    """Say whether a value is a word for an empty cell; `name`: whether it stands where a person's whole name does."""
    word = value.strip().lower()
    return word in NULL_WORDS and not (name and word in _ALSO_NAMES and not _is_programs(value))


def is_error(value: str) -> bool:
    """Say whether a value is what a spreadsheet shows for a formula that failed."""
    return value[:1] == "#" and _ERROR.fullmatch(value) is not None


def is_mangled(value: str) -> bool:
    """Say whether a value is what a spreadsheet or a program makes of an id."""
    return is_error(value) or _MANGLED.fullmatch(value) is not None


def is_mangled_number(value: str) -> bool:
    """Say so of an official number, whose form is an authority's: only what no authority writes."""
    return is_error(value) or _SCIENTIFIC.fullmatch(value) is not None


def _is_programs(word: str) -> bool:
    """Say whether a word is written as programs do and no person does."""
    return word == "NaN"
