"""JSON Lines: each line is a job, as the contract's section 3 has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pipelines.intake.files import File, IntakeError, Lines, LineTooLongError
from pipelines.intake.rows import Row, RowProblem, shown
from pipelines.job import JobInvalidError, parse_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelines.intake.seen import Seen
    from pipelines.job import JobRules

#: Characters of one line: a job with documents has tens of megabytes of base64.
MAX_LINE: Final = 1 << 26

#: Characters up to which a line stands whole in the report: a table cell takes no more.
MAX_IN_REPORT: Final = 100_000


class _DoubledFieldError(ValueError):
    """An object names a field twice."""


def rows(file: File, mapping: Mapping[str, str], lane: str, seen: Seen, rules: JobRules) -> Iterator[Row]:
    """Read the lines of a file as jobs; empty ones are passed over.

    Raises IntakeError for a file that is JSON and not JSON Lines, and for a mapping: lines have no columns.
    """
    if mapping:
        raise IntakeError("map_without_columns", "JSONL has no columns to rename: leave --map out.")
    lines = Lines(file, MAX_LINE)
    first = True
    while True:
        try:
            line = next(lines).strip()
        except StopIteration:
            return
        except LineTooLongError:
            yield _refused(lines.count, {"job": ""}, "line_too_long", f"The line is longer than {MAX_LINE} characters.")
            continue
        if not line:
            continue
        if first and line[0] in "[{" and (line[0] == "[" or line == "{"):
            raise IntakeError(
                "not_jsonl", f"{file.path} is JSON and not JSONL: write each job on one line (`jq -c '.[]'`)."
            )
        first = False
        fields = {"job": line if len(line) <= MAX_IN_REPORT else ""}
        yield seen.check(job_row(line, lines.count, fields, lane, rules), "/{}".format)


def job_row(text: str, line: int, fields: Mapping[str, str], lane: str, rules: JobRules) -> Row:
    """Read one job from JSON; a job that names no lane gets this one."""
    try:
        value = _JSON.decode(text)
    except _DoubledFieldError:
        return _refused(line, fields, "doubled_field", "An object names a field twice: remove one of them.")
    except json.JSONDecodeError as error:
        return _refused(line, fields, "not_json", f"Not JSON at character {error.pos + 1}: mend the line.")
    except (ValueError, RecursionError):
        return _refused(line, fields, "not_json", "Not JSON that a job can be read from: mend the line.")
    if isinstance(value, dict):
        value.setdefault("lane", lane)
    try:
        return Row(line, fields, parse_job(value, rules), size=len(text))
    except JobInvalidError as error:
        problems = [RowProblem(p.pointer, p.code, p.text, _shown(value, p.pointer)) for p in error.problems]
        return Row(line, fields, None, tuple(problems), size=len(fields.get("job", "")))


def _refused(line: int, fields: Mapping[str, str], code: str, text: str) -> Row:
    return Row(line, fields, None, (RowProblem("", code, text),))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DoubledFieldError
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


_JSON: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)

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
