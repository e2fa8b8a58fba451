"""JSON Lines: each line is a job, as the contract's section 3 has it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from pipelines import strict_json
from pipelines.intake.files import File, IntakeError, Lines, LineTooLongError, foreign, readable
from pipelines.intake.rows import Layout, Row, RowProblem, shown
from pipelines.job import JobInvalidError
from pipelines.strict_json import StrictJsonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelines.intake.seen import Seen
    from pipelines.job import Judge

#: Characters of one line: a job with documents has tens of megabytes of base64.
MAX_LINE: Final = 1 << 26

#: Characters up to which a line stands whole in the report: a table cell takes no more.
MAX_IN_REPORT: Final = 100_000


#: What is told of a row with a byte that cannot be, by its code.
FOREIGN: Final = {
    "not_utf8": "A byte here is not UTF-8 and looks like Latin-1 or Windows-1252: write the row again in UTF-8.",
    "nul_bytes": "A NUL byte stands here: write the row again without it.",
}

#: The members of a line of a report; see `report`.
REPORTED: Final = {"line", "result", "problems", "job"}

_LAYOUT: Final = Layout("jsonl")


def rows(file: File, mapping: Mapping[str, str], lane: str, seen: Seen, judge: Judge) -> Iterator[Row]:
    """Read the lines of a file as jobs; empty ones are passed over.

    Raises IntakeError for a file that is JSON and not JSON Lines, and for a mapping: lines have no columns.
    """
    if mapping:
        raise IntakeError("map_without_columns", "has no columns to rename, being JSONL: leave --map out.")
    lines = Lines(file, MAX_LINE)
    first = True
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except LineTooLongError:
            text = f"The line is longer than {MAX_LINE} characters."
            yield _refused(lines.count, {"job": ""}, "line_too_long", text, _LAYOUT)
            continue
        if first and line.strip():
            _refuse_other_json(line)
        if line := line.strip():
            first = False
            yield seen.check(_line(line, lines.count, lane, judge))


def _refuse_other_json(first: str) -> None:
    """Refuse a file by its first line: one that is a list, or an object over several lines, or many objects in one."""
    line = first.strip()
    if line[0] == "[" or line == "{":
        raise IntakeError("not_jsonl", "is JSON and not JSONL: write each job on one line (`jq -c '.[]'`).")
    if first[-1] not in "\r\n" and re.search(r"\}\s*\{", line) and _is_glued(line):
        raise IntakeError(
            "one_line",
            "is one line, so its line breaks were lost on the way:",
            remedy="send it as it is, with curl by --data-binary instead of -d.",
            options="write each job on a line of its own.",
        )


def _is_glued(line: str) -> bool:
    try:
        _, end = json.JSONDecoder().raw_decode(line)
    except (ValueError, RecursionError):
        return False
    return line[end:].lstrip()[:1] == "{"


def _line(line: str, number: int, lane: str, judge: Judge) -> Row:
    fields = {"job": line if len(line) <= MAX_IN_REPORT else ""}
    if code := foreign(line):
        return _refused(number, {"job": readable(fields["job"])}, code, FOREIGN[code], _LAYOUT)
    return job_row(line, number, fields, lane, judge, _LAYOUT)


def job_row(text: str, line: int, fields: Mapping[str, str], lane: str, judge: Judge, layout: Layout) -> Row:
    """Read one job from JSON; a job that names no lane gets this one. A line of a report holds one that came before."""
    try:
        value = strict_json.parse(text)
        if isinstance(value, dict) and value.keys() == REPORTED:
            value, fields = value["job"], _reported(value["job"])
            if isinstance(value, str):  # it was no job, and stands as it came
                value = strict_json.parse(value)
    except StrictJsonError as error:
        return _refused(line, fields, error.code, f"The line {error.predicate}", layout)
    if isinstance(value, dict):
        value.setdefault("lane", lane)
    try:
        return Row(line, fields, judge(value), size=len(text), layout=layout)
    except JobInvalidError as error:
        problems = [RowProblem(p.pointer, p.code, p.text, _shown(value, p.pointer)) for p in error.problems]
        return Row(line, fields, None, tuple(problems), size=len(fields.get("job", "")), layout=layout)


def _reported(job: object) -> dict[str, str]:
    """Write the job in a line of a report as it stood in its own file."""
    text = job if isinstance(job, str) else json.dumps(job, ensure_ascii=False)
    return {"job": text if len(text) <= MAX_IN_REPORT else ""}


def _refused(line: int, fields: Mapping[str, str], code: str, text: str, layout: Layout) -> Row:
    return Row(line, fields, None, (RowProblem("", code, text),), layout=layout)


#: Fields whose value a problem may show, masked. The others are names, documents and numbers of people.
_SHOWABLE: Final = {
    "/idempotency_key": "idempotency_key",
    "/external_id": "external_id",
    "/customer/email": "email",
    "/customer/customer_type": "customer_type",
    "/identification/type": "identification_type",
    "/risk_tier": "risk_tier",
    "/lane": "lane",
    "/sub_partner_id": "sub_partner_id",
}


def _shown(value: object, pointer: str) -> str:
    if pointer not in _SHOWABLE:
        return ""
    for step in pointer.split("/")[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    return shown(_SHOWABLE[pointer], value)
