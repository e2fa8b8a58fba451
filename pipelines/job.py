"""The job: what an upstream system hands over, and every reason why one is refused.

The shape is a promise (contract, section 3). Pure: no I/O, no clock, no environment.
`parse_job` judges the jobs of every door: it tells all problems at once, and takes what `canonical` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from pipelines.identification import TYPES, Identification, Link
from pipelines.identification.checks import across
from pipelines.identification.fields import (
    MAX_COMPANY_DEPTH,
    PATTERN_CODES,
    TEXTS,
    Clock,
    Email,
    Id,
    Labels,
    Name,
    Shape,
    SubPartner,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_core import ErrorDetails


#: Judges a job: `parse_job` with the rules and the clock of a door.
Judge: TypeAlias = "Callable[[object], Job]"


@dataclass(frozen=True, slots=True)
class JobRules:
    """What whoever runs this lets jobs hold.

    `unknown_fields`: whether fields below `identification` that this release does not know are refused, or passed on to
    Iron unread. Known fields are checked all the same.
    `odd_ids`: whether ids that can only be a mistake are refused: words for an empty cell, what a spreadsheet changed.
    """

    unknown_fields: Literal["refuse", "pass"] = "refuse"
    odd_ids: Literal["refuse", "pass"] = "refuse"


#: Nothing that this release does not know.
STRICT: Final = JobRules()


class Customer(Shape):
    """Who is to be onboarded."""

    customer_type: Literal["Person", "Business"]
    email: Email
    name: Name | None = None


class Job(Shape):
    """One customer to be onboarded, and how. Made by `parse_job`."""

    idempotency_key: Id
    external_id: Id = Field(default_factory=lambda fields: str(fields.get("idempotency_key", "")))
    customer: Customer
    identification: Identification = Link()
    risk_tier: Literal["low", "standard", "high"] = "standard"
    lane: Literal["interactive", "bulk"] = "interactive"
    sub_partner_id: SubPartner | None = None
    labels: Labels = Field(default_factory=dict)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield "idempotency_key", self.idempotency_key

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("external_id", "") is None:
            return {name: field for name, field in value.items() if name != "external_id"}
        return value

    def canonical(self) -> dict[str, Any]:
        """Return the job as JSON takes it, every default filled in: what a fingerprint is computed from.

        The identification is without nulls of known fields, so that it is the very body that goes to Iron.
        """
        shape: dict[str, Any] = self.model_dump(mode="json", exclude={"identification"})
        shape["identification"] = self.identification.written()
        return shape


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a job.

    `pointer` is a JSON pointer (RFC 6901); a field name of the sender's own making stands as `?` unless it is plain.
    `code` is stable, one of `TEXTS`. `text` says what to do, and never repeats the value.
    """

    pointer: str
    code: str
    text: str


class JobInvalidError(ValueError):
    """The job is refused; `problems` holds every reason. Nothing was stored, nothing was sent."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.pointer or '/'}: {problem.text}" for problem in problems))
        self.problems = problems


#: pydantic's errors that these models can raise, each with our code. Those with our own code are not listed.
CODES: Final[dict[str, str]] = {
    "bool_type": "not_a_boolean",
    "dict_type": "not_an_object",
    "extra_forbidden": "unknown_field",
    "invalid_key": "unknown_field",
    "list_type": "not_a_list",
    "literal_error": "not_one_of",
    "missing": "missing",
    "model_type": "not_an_object",
    "recursion_loop": "nested_too_deep",
    "string_pattern_mismatch": "not_printable",  # refined by PATTERN_CODES
    "string_too_long": "too_long",
    "string_too_short": "empty",
    "string_type": "not_text",
    "string_unicode": "not_printable",
    "too_long": "too_many",
    "too_short": "too_few",
    "union_tag_invalid": "not_one_of",
}

#: Field names that are shown as they are in a pointer.
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


def parse_job(value: object, rules: JobRules = STRICT, now_ms: Clock | None = None) -> Job:
    """Check a job, as JSON gives it, and return it with its defaults.

    `now_ms` tells the time after which nothing can have happened; None: that is not looked at.
    Raises JobInvalidError with every problem at once, in the order of the pointers.
    """
    context = {"unknown_fields": rules.unknown_fields, "odd_ids": rules.odd_ids, "now_ms": now_ms}
    try:
        job = Job.model_validate(value, context=context)
    except ValidationError as error:
        problems = problems_of(error) + _across(value)
        raise JobInvalidError(_in_order(problems)) from None
    if job.identification.type != "Link" or job.identification.with_edd:
        problems = _across(value)
        if problems:
            raise JobInvalidError(_in_order(problems))
    return job


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.pointer, problem.code)))


def problems_of(error: ValidationError) -> list[Problem]:
    """Read pydantic's errors of a Shape, but for that of a default that could not be made: its reason is among them."""
    found = error.errors(include_url=False, include_input=False)
    return [_problem(details) for details in found if details["type"] != "default_factory_not_called"]


def _across(value: object) -> list[Problem]:
    return [Problem(_pointer(where), code, TEXTS[code].format_map(rule)) for where, code, rule in across(value)]


def _problem(details: ErrorDetails) -> Problem:
    kind = details["type"]
    rule: Mapping[str, Any] = details.get("ctx", {})
    code = CODES.get(kind, kind if kind in TEXTS else "invalid")
    where = list(details["loc"])
    if kind == "string_pattern_mismatch":
        code = PATTERN_CODES[rule["pattern"]]
    elif kind == "union_tag_invalid":
        where.append("type")
        rule = {"expected": re.sub("[<>]", "", rule["expected_tags"])}
    elif kind in ("extra_forbidden", "unknown_field", "not_a_json_value"):
        where[-1] = _token(where[-1])
    elif kind == "recursion_loop":
        rule = {"limit": MAX_COMPANY_DEPTH}
    return Problem(_pointer(where), code, TEXTS[code].format_map(rule))


def _pointer(where: Iterable[str | int]) -> str:
    """Write a path as a JSON pointer, without the tags of unions and the marks of keys that pydantic puts into it."""
    return "".join(f"/{_token(step)}" for step in where if not _is_mark(step))


def _is_mark(step: str | int) -> bool:
    return isinstance(step, str) and (step == "[key]" or (step[:1] == "<" and step[-1:] == ">"))


def _token(step: str | int) -> str:
    return str(step) if isinstance(step, int) or _PLAIN.fullmatch(step) else "?"


__all__ = [
    "CODES",
    "STRICT",
    "TYPES",
    "Customer",
    "Identification",
    "Job",
    "JobInvalidError",
    "JobRules",
    "Problem",
    "parse_job",
    "problems_of",
]
