"""Values that people, spreadsheets and programs put where something else belongs, drawn by seed."""

from __future__ import annotations

import random
import unicodedata

from tests.hostile_requests import ODD, VALUES

#: What stands in cells of the field, each of a kind of complaint.
FIELD = (
    *(
        "NULL",
        "null",
        "#N/A",
        "None",
        "NaN",
        "undefined",
        "\\N",
        "-",
        "1.23E+05",
        "#REF!",
        "12345.0",
        "'00123",
        "1-Mar",
    ),
    *(
        "ada@example.com",
        "\u201cada@example.com\u201d",
        "ada@example.com/",
        "'ada@example.com",
        "jos\u00e9@example.com",
    ),
    *(
        "ada@\u0301.com",
        "@",
        "a@b",
        "ada@example..com",
        "ada@-a.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".de",
    ),
    *(
        "2090-01-01T00:00:00Z",
        "1899-12-30",
        "0000-00-00",
        "9999-12-31T23:59:60Z",
        "0001-01-01T00:00:00+14:00",
        "2024-02-30",
    ),
    *(
        "Person",
        "Business",
        "Link",
        "Token",
        "standard",
        "true",
        "XK",
        "UK",
        "\ufffd",
        "J\u00fcrgen",
        "=1+2",
        "+49",
        "@x",
    ),
    *(
        "\ufeff",
        "\u200b",
        "\u202e",
        "a\nb",
        'a"b',
        "a,b",
        "a;b",
        "a\tb",
        " ",
        "'",
        "''=1",
        '"',
        "0",
        "-0",
        "1e999",
        "\U0001f600",
    ),
)


def value(dice: random.Random) -> str:
    """A text of the field, of hostile values, or of odd signs; in one of Unicode's forms."""
    kind = dice.randrange(4)
    if kind == 0:
        text = "".join(dice.choice([*ODD, *"abc@.-'\",;"]) for _ in range(dice.randrange(12)))
    elif kind == 1:
        text = str(dice.choice(VALUES))[:300]
    else:
        text = dice.choice(FIELD)
    return unicodedata.normalize(dice.choice(["NFC", "NFD", "NFKC"]), text)
