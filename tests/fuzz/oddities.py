"""What a value can become on its way into a program: by editors, shells, spreadsheets, templates and hands."""

from __future__ import annotations

import random

#: Marks, blanks, controls, what cannot be seen, quotation marks, halves of pairs, bytes that are no UTF-8.
SIGNS = [
    *("\ufeff", "\r", "\n", "\r\n", "\t", " ", "\xa0", "\u2028", "\u3000", "\v", "\x85"),
    *(
        "\x01",
        "\x1b",
        "\x7f",
        "\x9f",
        "\u200b",
        "\u200d",
        "\u202e",
        "\u2060",
        "\u00ad",
        "\u3164",
        "\U000e0041",
        "\ufffe",
    ),
    *('"', "'", "`", "“", "”", "„", "«", "»", "‘", "’"),
    *("\udcff", "\udce4", "#", "?", "/", "@", "%", "%00", "\\", ":", ";", ",", "..", "é", "٣", "\U0001f600"),
]
#: Values that fit nowhere, or that somebody forgot to replace.
VALUES = [
    *("", " ", "\r\n", "0", "-0", "-1", "1e308", "1e999", "nan", "inf", "-inf", "0x10", "1_000", "1,5", "٣", "9" * 400),
    *("true", "FALSE", "yes", "null", "None", "undefined", "[]", "{}", "a" * 5_000, "é" * 300, "\ufeff", ",", ",,,"),
    *("${IRON_API_KEY}", "$(cat key)", "<your key>", "{{ key }}", "%KEY%", "changeme", "xxxx", "/dev/null", "-", "--"),
    *(
        "redis://",
        "redis://h:0",
        "redis://h:99999999999",
        "redis://[::1",
        "redis://[::1]:6379/0",
        "unix://",
        "unix:///",
    ),
    *("redis://h/zero", "redis://h?decode_responses=True", "redis://h?db=x", "redis://h?protocol=3", "REDIS://h/0"),
    *("rediss://h?ssl_cert_reqs=CERT_NONE", "redis://h?ssl_ca_certs=/nope", "rediss://h?ssl_ca_certs=/nope"),
    *("rediss://h?ssl_keyfile=/dev/null", "redis://:57#pw@h/0", "redis://:5/7@h/0", "redis://:5?7@h/0", "redis://a..b"),
    *(
        "http://",
        "https://h:port",
        "https://[::1",
        "https://a..b/api",
        "https://999.1.1.1",
        "http:/h",
        "https:h",
        "//h",
    ),
    *(
        "https://h/?x",
        "https://h/#",
        "https://u:p@h",
        "https://h:0",
        "https://h:",
        "https://ü.example/ä",
        "HTTPS://H/A/",
    ),
    *("https://" + "a" * 70 + ".example", "https://h/" + "b" * 70_000, "javascript:alert(1)", "file:///etc/passwd"),
]


def mangled(dice: random.Random, value: str) -> str:
    """Make of a value what might have become of it."""
    sign, place = dice.choice(SIGNS), dice.randrange(len(value) + 1)
    return dice.choice(
        [
            dice.choice(VALUES),
            sign + value,
            value + sign,
            sign + value + sign,
            value[:place] + sign + value[place:],
            value[:place],
            value[:place] + chr(dice.randrange(1, 0x3000)) + value[place + 1 :],
            f"{value},{value}",
        ]
    )


def content(dice: random.Random, value: str) -> bytes:
    """Give what a file might hold in which somebody put a value."""
    how = dice.randrange(8)
    if how == 0:
        return b""
    if how == 1:
        return b"\xef\xbb\xbf" + value.encode("utf-8", "surrogateescape") + b"\r\n"
    if how == 2:
        return value.encode("utf-16", "surrogatepass")
    if how == 3:
        return bytes(dice.randrange(256) for _ in range(dice.randrange(60)))
    if how == 4:
        return value.encode("utf-8", "surrogateescape") * 2_000
    return mangled(dice, value).encode("utf-8", "surrogateescape") if how < 7 else value.encode("utf-8", "replace")
