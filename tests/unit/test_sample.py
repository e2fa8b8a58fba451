"""The sample file of the demo: customers that look real, every ending of the sandbox, and six mistakes to name."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from pathlib import Path

import ops
from pipelines.intake import read

SAMPLE = Path(ops.__file__).parent / "sample" / "customers.csv"

#: In the order of the file; the contract gives the names, and any order will do.
COLUMNS = [
    *("idempotency_key", "external_id", "email", "customer_type", "name"),
    *("identification_type", "with_edd", "risk_tier", "label.source"),
]


def rows() -> list[dict[str, str]]:
    """Read the sample as a plain CSV reader does."""
    with SAMPLE.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def mistakes(rows: list[dict[str, str]]) -> dict[str, list[int]]:
    """Find the numbers (from 0) of the rows that break a rule, by rule."""
    seen: set[str] = set()
    broken: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        rules = {
            "email missing": not row["email"],
            "email malformed": bool(row["email"]) and row["email"].count("@") != 1,
            "customer_type unknown": row["customer_type"] not in {"Person", "Business"},
            "risk_tier unknown": row["risk_tier"] not in {"low", "standard", "high"},
            "with_edd neither true nor false": row["with_edd"] not in {"true", "false"},
            "idempotency_key used before": row["idempotency_key"] in seen,
        }
        seen.add(row["idempotency_key"])
        for rule in [rule for rule, is_broken in rules.items() if is_broken]:
            broken.setdefault(rule, []).append(number)
    return broken


def script(name: str) -> str:
    """Name the script that most of a name's letters are from, by the first word of their Unicode names."""
    letters = [character for character in name if character.isalpha()]
    return Counter(unicodedata.name(letter).partition(" ")[0].partition("-")[0] for letter in letters).most_common(1)[
        0
    ][0]


def test_it_has_two_hundred_rows_with_the_columns_of_the_contract() -> None:
    """Exactly 200 rows below one header, in UTF-8 without a byte order mark, each as wide as the header."""
    assert not SAMPLE.read_bytes().startswith(b"\xef\xbb\xbf")
    table = list(csv.reader(SAMPLE.read_text(encoding="utf-8").splitlines(), strict=True))
    assert table[0] == COLUMNS
    assert len(table) == 201
    assert {len(row) for row in table} == {len(COLUMNS)}


def test_six_rows_have_one_mistake_each_and_no_other_row_has_any() -> None:
    """Each kind of mistake stands in one row, and no row has two."""
    broken = mistakes(rows())
    assert len(broken) == 6
    assert all(len(numbers) == 1 for numbers in broken.values())
    assert len({number for numbers in broken.values() for number in numbers}) == 6


def test_the_reused_key_comes_with_another_job() -> None:
    """The doubled idempotency key is a mistake, not a repetition: customer and external id differ."""
    [number] = mistakes(rows())["idempotency_key used before"]
    later = rows()[number]
    [earlier] = [row for row in rows()[:number] if row["idempotency_key"] == later["idempotency_key"]]
    for column in ("external_id", "email", "name"):
        assert earlier[column] != later[column]


def test_apart_from_that_nothing_is_doubled() -> None:
    """Each customer has an external id, an e-mail and a name of its own."""
    for column in ("external_id", "email", "name"):
        assert max(Counter(row[column] for row in rows()).values()) == 1


def test_every_ending_of_the_sandbox_is_there() -> None:
    """Tags choose what happens in the sandbox; most customers carry none and are approved."""
    tags = Counter(re.sub(r"^[^+@]*\+?|@.*$", "", row["email"]) for row in rows() if "@" in row["email"])
    assert {tag: tags[tag] for tag in tags if tag not in {"", "approve"}} == {
        "slow": 10,
        "decline": 10,
        "decline-final": 5,
        "expire": 5,
        "manual": 8,
    }
    assert tags["approve"] > 20
    assert tags[""] > 100


def test_no_address_can_reach_a_person() -> None:
    """Every address is on a domain reserved for examples (RFC 2606)."""
    hosts = {row["email"].partition("@")[2] for row in rows() if "@" in row["email"]}
    assert hosts == {"example.com", "example.org", "example.net"}


def test_names_are_in_many_scripts() -> None:
    """A third of the names is not in Latin letters, and over twenty scripts occur, right-to-left ones among them."""
    scripts = Counter(script(row["name"]) for row in rows())
    assert 0.3 < 1 - scripts["LATIN"] / 200 < 0.5
    assert len(scripts) > 20
    assert {
        "CYRILLIC",
        "GREEK",
        "ARABIC",
        "HEBREW",
        "DEVANAGARI",
        "CJK",
        "HANGUL",
        "KATAKANA",
        "THAI",
        "ETHIOPIC",
    } <= set(scripts)
    assert all(unicodedata.is_normalized("NFC", row["name"]) for row in rows())


def test_names_need_a_real_csv_reader() -> None:
    """Commas and quotes occur inside names, of persons and of businesses."""
    for kind in ("Person", "Business"):
        names = [row["name"] for row in rows() if row["customer_type"] == kind]
        assert len(names) > 50
        assert any("," in name for name in names)
        assert any('"' in name for name in names)


def test_the_import_names_the_six_mistakes() -> None:
    """The importer accepts every row but the six that are wrong on purpose, and names each of these once."""
    rows = list(read(SAMPLE))
    wrong = {row.line: [problem.code for problem in row.problems] for row in rows if row.problems}
    assert (len(rows), len(wrong)) == (200, 6)
    assert sorted(code for codes in wrong.values() for code in codes) == [
        "idempotency_key_reused",
        "missing",
        "not_a_boolean",
        "not_an_email",
        "not_one_of",
        "not_one_of",
    ]
