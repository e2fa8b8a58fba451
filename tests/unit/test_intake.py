"""Import files: what a good one gives, and what is said about a bad one."""

from __future__ import annotations

import csv
import gzip
import io
import os
import string
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.intake import IntakeError, Row, RowProblem, read
from pipelines.job import JobRules

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "idempotency_key,email,customer_type,name\n"
GOOD = HEADER + "k1,ada@example.com,Person,Ada\n"


@pytest.fixture
def rows_of(tmp_path: Path) -> Any:
    """Read text or bytes as a file of the given name."""

    def rows_of(content: str | bytes, name: str = "rows.csv", **options: Any) -> list[Row]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read(path, **options))

    return rows_of


def problems(row: Row) -> list[tuple[str, str, str]]:
    """Give the parts of a row's problems that a test compares."""
    return [(problem.column, problem.code, problem.shown_value) for problem in row.problems]


def test_every_column(rows_of: Any) -> None:
    """Each column of the contract finds its place in the job; empty cells are absent fields."""
    (full, empty) = rows_of(
        "label.source,with_edd,risk_tier,name,customer_type,identification_type,email,external_id,idempotency_key\n"
        "crm,yes,high,Ada,Person,Link,ada@example.com,e1,k1\n"
        ",,,,Business,,eva@example.com,,k2\n"
    )
    assert full.job.canonical() == {
        "idempotency_key": "k1",
        "external_id": "e1",
        "customer": {"customer_type": "Person", "email": "ada@example.com", "name": "Ada"},
        "identification": {"type": "Link", "with_edd": True},
        "risk_tier": "high",
        "lane": "bulk",
        "sub_partner_id": None,
        "labels": {"source": "crm"},
    }
    assert empty.job.external_id == "k2"
    assert empty.job.identification.type == "Link"
    assert empty.job.labels == {}
    assert (full.line, empty.line) == (2, 3)


def test_external_id_is_enough(rows_of: Any) -> None:
    """Without an idempotency key the external id is both, and a problem names the column that is there."""
    good, bad = rows_of("external_id,email,customer_type\ne1,a@example.com,Person\n,b@example.com,Person\n")
    assert (good.job.idempotency_key, good.job.external_id) == ("e1", "e1")
    assert problems(bad) == [("external_id", "missing", "")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_dialects(rows_of: Any, delimiter: str, newline: str, start: str) -> None:
    """Delimiter, line ends and byte order mark make no difference."""
    rows = rows_of(start + GOOD.replace(",", delimiter).replace("\n", newline))
    assert [row.job.customer.name for row in rows] == ["Ada"]


def test_spreadsheet_line(rows_of: Any) -> None:
    """Excel's own first line names the delimiter; lines are counted with it."""
    (row,) = rows_of("sep=;\r\n" + GOOD.replace(",", ";"))
    assert (row.line, row.job.idempotency_key) == (3, "k1")


def test_lines_as_an_editor_counts(rows_of: Any) -> None:
    """Line breaks inside quotes count, blank lines count, and rows of empty cells are passed over."""
    rows = rows_of(
        '\nidempotency_key,email,customer_type,"na\nme"\n\nk1,a@b.cd,Person,"A\nB\r\nC"\n,,,\nk2,a@b.cd,Person,\n',
        mapping={"na\nme": "name"},
    )
    assert [row.line for row in rows] == [5, 9]
    assert problems(rows[0]) == [("na\nme", "not_printable", "")]


def test_ragged_rows(rows_of: Any) -> None:
    """Cells missing at the end are empty, empty surplus ones are none; a row with more is told, the next is read."""
    few, many, good = rows_of(HEADER + "k1,a@b.cd,Person\nk2,a@b.cd,Person,Ada,x\nk3,a@b.cd,Person,Ada,, \n")
    assert few.job.customer.name is None
    assert problems(many) == [("", "wrong_number_of_cells", "")]
    assert "5 cells, more" in many.problems[0].text
    assert (list(many.fields.values()), many.surplus) == (["k2", "a@b.cd", "Person", "Ada"], ("x",))
    assert good.job.customer.name == "Ada"


def test_all_problems_of_a_row(rows_of: Any) -> None:
    """A row's problems come together, each with its column, masked."""
    (row,) = rows_of(
        "key;E-mail;customer_type;name;with_edd;risk_tier;label.a b\n"
        ";ada@example.com.;Preson;Ada\x07;maybe;hihg;\x01\n",
        mapping={"key": "idempotency_key", "e-mail": "email"},
    )
    assert sorted(problems(row)) == [
        ("E-mail", "not_an_email", "***"),
        ("customer_type", "not_one_of", "Preson"),
        ("key", "missing", ""),
        ("label.*", "not_printable", ""),
        ("name", "not_printable", ""),
        ("risk_tier", "not_one_of", "hihg"),
        ("with_edd", "not_a_boolean", "maybe"),
    ]


def test_values_are_masked(rows_of: Any) -> None:
    """No problem shows an e-mail, a name or anything that could be one."""
    rows = rows_of(
        HEADER
        + "ada@example.com\x07,Ada Lovelace,ada@example.com,x\nk2,a b@mail.example.org,Person,Ada\x00x\n".replace(
            "\x00", "\x07"
        )
    )
    told = str([problems(row) for row in rows])
    assert "lovelace" not in told.lower()
    assert "ada" not in told.lower()
    assert problems(rows[1])[0] == ("email", "not_an_email", "a***@m***.org")


def test_types_with_data_need_jsonl(rows_of: Any) -> None:
    """A type whose fields a table does not have is told once, with the way out."""
    rows = rows_of("idempotency_key,email,customer_type,identification_type\nk,a@b.cd,Person,Person\n")
    assert problems(rows[0]) == [("identification_type", "type_needs_jsonl", "Person")]


def test_keys_used_twice(rows_of: Any) -> None:
    """The same row again is fine; another job under a known key is refused; invalid rows use up nothing."""
    rows = rows_of(
        HEADER
        + "k1,nonsense,Person,Ada\n"
        + "k1,a@b.cd,Person,Ada\n"
        + "k1,a@b.cd,Person,Ada\n"
        + "k1,other@b.cd,Person,Ada\n"
    )
    assert [bool(row.job) for row in rows] == [False, True, True, False]
    assert problems(rows[3]) == [("idempotency_key", "idempotency_key_reused", "k1")]
    assert "Line 3 " in rows[3].problems[0].text


def test_external_ids_used_twice(rows_of: Any) -> None:
    """Another key with a known external id is refused, also one that was a defaulted key; the key stays free."""
    rows = rows_of(
        "theirs,external_id,email,customer_type\n"
        "k1,,a@b.cd,Person\n"
        "k2,k1,b@b.cd,Person\n"
        "k2,k3,b@b.cd,Person\n"
        "k4,k3,b@b.cd,Person\n",
        mapping={"theirs": "idempotency_key"},
    )
    assert [bool(row.job) for row in rows] == [True, False, True, False]
    assert problems(rows[1]) == [("external_id", "external_id_taken", "k1")]
    assert "Line 4 " in rows[3].problems[0].text


def test_label_order_is_no_difference(rows_of: Any) -> None:
    """Two lines that differ only in the order of their fields are the same job."""
    one = '{"idempotency_key":"k","customer":{"customer_type":"Person","email":"a@b.cd"},"labels":{"a":"1","b":"2"}}'
    two = '{"labels":{"b":"2","a":"1"},"customer":{"email":"a@b.cd","customer_type":"Person"},"idempotency_key":"k"}'
    assert all(row.job for row in rows_of(f"{one}\n{two}\n", "rows.jsonl"))


def test_unclosed_quote(rows_of: Any) -> None:
    """A quotation mark that is never closed is told with the lines that it swallowed."""
    good, bad = rows_of(GOOD + 'k2,a@b.cd,Person,"Ada\nk3,a@b.cd,Person,Eva\n')
    assert good.job
    assert problems(bad) == [("", "quote_not_closed", "")]
    assert "Lines 3 to 4" in bad.problems[0].text
    assert "swallowed 1 more line." in bad.problems[0].text


def test_quote_in_a_cell(rows_of: Any) -> None:
    """A quotation mark inside a quoted cell is not guessed about, and the next row is read."""
    bad, good = rows_of(HEADER + 'k1,a@b.cd,Person,"Ada "Countess" L"\nk2,a@b.cd,Person,Eva\n')
    assert problems(bad) == [("", "unreadable_row", "")]
    assert good.job.idempotency_key == "k2"


@pytest.mark.parametrize("cell", ["x" * 1_000_000, "x" * 3_000_000, '"' + "x\n" * 200_000 + '"'])
def test_huge_cell(rows_of: Any, cell: str) -> None:
    """A cell of a megabyte is told, shown nowhere, and the next line is read as a row again."""
    rows = rows_of(HEADER + f"k1,a@b.cd,Person,{cell}\nk2,a@b.cd,Person,Eva\n")
    assert rows[0].problems[0].code in ("cell_too_long", "line_too_long")
    assert rows[-1].line == 3 if "\n" not in cell else 200_002
    assert ("k2" in str(rows[-1].job)) == ("\n" not in cell)
    assert len(str(rows)) < 100 * len(rows) * 10


def file_error(code: str, *words: str) -> Any:
    """Expect a file error with this code whose sentence has these words."""
    return pytest.raises(
        IntakeError,
        check=lambda error: error.code == code and all(word in error.on_command_line("rows.csv") for word in words),
    )


ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as archive:
    archive.writestr("rows.csv", GOOD)
WORKBOOK = io.BytesIO()
with zipfile.ZipFile(WORKBOOK, "w") as archive:
    archive.writestr("[Content_Types].xml", "<Types/>")


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "empty_file", ["empty"]),
        (b"\xef\xbb\xbf\r\n \n", "empty_file", ["empty"]),
        (HEADER.encode(), "no_rows", ["no rows"]),
        ((HEADER + ",,,\n\n").encode(), "no_rows", ["no rows"]),
        (GOOD.encode("utf-16"), "not_utf8", ["UTF-16", "iconv"]),
        (GOOD.encode("utf-16-le"), "not_utf8", ["UTF-16"]),
        (GOOD.encode("utf-16-be"), "not_utf8", ["UTF-16"]),
        (GOOD.encode("utf-32"), "not_utf8", ["UTF-32"]),
        ((GOOD + "k2,e,Person,J\u00fcrgen\n" * 21).encode("latin-1"), "not_utf8", ["line 3", "Latin-1", "iconv"]),
        (GOOD.replace("name", "n\u00e4me").encode("latin-1"), "not_utf8", ["header"]),
        (os.urandom(1 << 16) + b"\xff", "not_text", ["not text"]),
        (b"\x01\x02\xff" * 99, "not_text", ["not text"]),
        (gzip.compress(GOOD.encode(), mtime=0), "not_text", ["gzip", "unpack it first"]),
        (ARCHIVE.getvalue(), "not_text", ["zip", "unpack it first"]),
        (WORKBOOK.getvalue(), "not_text", ["Excel", "CSV UTF-8"]),
        (b"%PDF-1.7\n", "not_text", ["PDF"]),
        (b"lorem ipsum\n" * 9, "no_header", ["header"]),
        (b"k1,ada@example.com,Person\nk2,eva@example.com,Person\n", "no_header", ["header"]),
        (GOOD.replace("email", "mail").encode(), "unknown_column", ['"mail"', "--map"]),
        (GOOD.replace("name", "email").encode(), "doubled_column", ["email", "--map"]),
        (b"email,name\na@b.cd,Ada\n", "missing_column", ["idempotency_key", "customer_type", "--map"]),
        (b'[{"idempotency_key": "k"}]', "not_jsonl", ["one line"]),
        (GOOD.replace("\n", "").encode(), "one_line", ["line breaks were lost"]),
    ],
)
def test_bad_files(rows_of: Any, content: bytes, code: str, words: list[str]) -> None:
    """A file that cannot be read gets one clear sentence with the remedy, and no row of it is given."""
    with file_error(code, *words):
        rows_of(content)


def test_wrong_encoding_is_found_before_the_first_row(tmp_path: Path) -> None:
    """Text in another encoding three megabytes down, across a chunk's border, is found before any row is given."""
    path = tmp_path / "rows.csv"
    path.write_bytes(GOOD.encode() + b"k,a@b.cd,Person,Eve\n" * 200_000 + b"k,a@b.cd,Person,\xe9\n" * 21)
    with file_error("not_utf8", "line 200003"):
        next(read(path))


def test_no_header_shows_no_customer(rows_of: Any) -> None:
    """The sentence about unknown columns of a file without a header does not show what stands in them."""
    with pytest.raises(IntakeError) as told:
        rows_of("k1,ada@example.com,name\nk2,eva@example.com,Eva\n")
    assert "ada@" not in told.value.text


def test_mapping(rows_of: Any) -> None:
    """Columns are renamed, also to labels, and left out with an empty name; a slip in the mapping is named."""
    text = "Kunde,Mail,customer_type,Quelle,Notiz\nk,a@b.cd,Person,web,secret\n"
    mapping = {"Kunde": "idempotency_key", "mail": "email", "Quelle": "label.source", "Notiz": ""}
    (row,) = rows_of(text, mapping=mapping)
    assert row.job.labels == {"source": "web"}
    assert row.fields["Notiz"] == "secret"
    with file_error("map_unknown_column", "nobody"):
        rows_of(text, mapping=mapping | {"nobody": "name"})
    with file_error("map_unknown_field", "nothing"):
        rows_of(text, mapping=mapping | {"Notiz": "nothing"})


def test_places_that_are_no_files(tmp_path: Path) -> None:
    """A directory, a missing file, a pipe and a name that is none are told apart."""
    os.mkfifo(tmp_path / "pipe")
    for path, code, word in [
        (tmp_path, "not_a_file", "directory"),
        (tmp_path / "missing.csv", "no_such_file", "does not exist"),
        (tmp_path / "pipe", "not_a_file", "regular"),
        (tmp_path / "nul\0", "not_readable", "not a path"),
        (tmp_path / ("x" * 300), "not_readable", "cannot be read"),
    ]:
        with file_error(code, word):
            next(read(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_not_readable(tmp_path: Path) -> None:
    """A file without permission to read is named."""
    path = tmp_path / "rows.csv"
    path.write_text(GOOD)
    path.chmod(0)
    with file_error("not_readable", "permissions"):
        next(read(path))


@pytest.mark.parametrize("change", ["append", "replace", "remove"])
def test_file_that_changes(tmp_path: Path, change: str) -> None:
    """A file that is written to, replaced or removed while it is read ends with an error that names it."""
    path = tmp_path / "rows.csv"
    path.write_text(GOOD)
    rows = read(path)
    next(rows)
    if change == "append":
        with path.open("a") as file:
            file.write("k2,a@b.cd,Person,Eva\n")
    elif change == "replace":
        (tmp_path / "new").write_text(GOOD)
        (tmp_path / "new").rename(path)
    else:
        path.unlink()
    with file_error("file_changed", "rows.csv"):
        list(rows)


def test_jsonl(rows_of: Any) -> None:
    """Each line is a job; a broken line is told and the next one is read; the lane is bulk unless named."""
    good = '{"idempotency_key":"%s","customer":{"customer_type":"Person","email":"a@b.cd"}%s}\n'
    rows = rows_of(
        (good % ("k1", ""))
        + "\n"
        + (good % ("k2", ',"lane":"interactive"'))
        + '{"idempotency_key": \n'
        + "[]\n"
        + (good % ("k3", ',"risk_tier":NaN'))
        + (good % ("k4", ',"labels":{"a":"1","a":"2"}'))
        + ("[" * 100_000 + "\n")
        + (good % ("k5", ',"risk_tier":"hihg","extra":1')),
        "rows.jsonl",
    )
    assert [row.line for row in rows] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert [row.job.lane for row in rows if row.job] == ["bulk", "interactive"]
    assert [problems(row) for row in rows[2:]] == [
        [("", "not_json", "")],
        [("", "not_an_object", "")],
        [("", "not_json", "")],
        [("", "doubled_field", "")],
        [("", "not_json", "")],
        [("/extra", "unknown_field", ""), ("/risk_tier", "not_one_of", "hihg")],
    ]


@pytest.mark.parametrize("text", ['[{"idempotency_key":"k"}]', '{\n"idempotency_key":"k"\n}'])
def test_json_that_is_not_jsonl(rows_of: Any, text: str) -> None:
    """A JSON list or an object over several lines is named, with the way out."""
    with file_error("not_jsonl", "one line"):
        rows_of(text, "rows.json")


def test_jsonl_takes_no_mapping(rows_of: Any) -> None:
    """Lines have no columns to rename."""
    with file_error("map_without_columns", "--map"):
        rows_of("{}", "rows.jsonl", mapping={"a": "name"})


def test_format_by_content(rows_of: Any) -> None:
    """Without a telling name the first sign decides, and a given format decides before it."""
    line = '{"idempotency_key":"k","customer":{"customer_type":"Person","email":"a@b.cd"}}\n'
    assert rows_of(line, "rows")[0].job
    assert rows_of(GOOD, "rows")[0].job
    assert rows_of(line, "rows.csv", format="jsonl")[0].job


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5),
    labels=st.lists(NAMES, min_size=3, max_size=3, unique=True),
    delimiter=st.sampled_from(",;\t"),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL]),
    mark=st.booleans(),
)
def test_any_table(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    labels: list[str],
    delimiter: str,
    newline: str,
    quoting: Any,
    mark: bool,
) -> None:
    """Whatever stands in the cells, in whatever dialect, the rows come back as they were written."""
    columns = ["idempotency_key", "email", "customer_type", *(f"label.{name}" for name in labels)]
    full = [[f"k{number}", "a@b.cd", "Person", *cells] for number, cells in enumerate(rows)]
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    with path.open("w", encoding="utf-8-sig" if mark else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=newline, quoting=quoting)
        writer.writerows([columns, *full])
    found = list(read(path))
    assert [list(row.fields.values()) for row in found] == full
    for row, cells in zip(found, rows, strict=True):
        if row.job:
            assert list(row.job.labels.values()) == [cell.strip() for cell in cells if cell.strip()]
        else:
            assert all(
                isinstance(problem, RowProblem) and problem.column.startswith("label.") for problem in row.problems
            )


def test_row_is_shown_without_personal_data(rows_of: Any) -> None:
    """A row that slips into a log shows neither its cells nor the customer."""
    (row,) = rows_of(GOOD)
    assert "ada" not in repr(row).lower()


def test_a_reports_job_follows_the_rules_too(rows_of: Any) -> None:
    """A line of JSONL that comes back in a report is judged as it was in its own file."""
    job = '{"idempotency_key":"k1","customer":{"customer_type":"Person","email":"a@b.cd"},"identification":{"new":1}}'
    table = 'job\n"' + job.replace('"', '""') + '"\n'
    for content, name in ((job, "rows.jsonl"), (table, "rows.csv")):
        [row] = rows_of(content, name)
        assert problems(row) == [("/identification/new", "unknown_field", "")]
        [row] = rows_of(content, name, rules=JobRules(unknown_fields="pass"))
        assert row.job.canonical()["identification"] == {"type": "Link", "with_edd": False, "new": 1}
