"""Bodies against their shapes: every problem at once, as JSON pointers with codes, never the values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from ops.gateway.http.problems import ProblemError
from pipelines.identification.fields import Clock, Shape
from pipelines.job import Job, JobInvalidError, Judge, Problem, problems_of

S = TypeVar("S", bound=Shape)


def checked(shape: type[S], body: Any, now_ms: Clock | None = None) -> S:
    """Read a body. `now_ms` tells the time after which nothing can have happened.

    Raises ProblemError `invalid_request` with every problem.
    """
    try:
        return shape.model_validate(body, context={"now_ms": now_ms})
    except ValidationError as error:
        raise refused("invalid_request", problems_of(error)) from None


def checked_job(body: Any, judge: Judge) -> Job:
    """Read a job. Raises ProblemError `invalid_job` with every problem."""
    try:
        return judge(body)
    except JobInvalidError as error:
        raise refused("invalid_job", error.problems) from None


def all_problems(*checks: tuple[str, Callable[[], object]]) -> list[dict[str, str]]:
    """Run checks, each of a part of a body at a pointer, and gather what they find wrong."""
    errors: list[dict[str, str]] = []
    for pointer, check in checks:
        try:
            check()
        except ProblemError as problem:
            found = problem.members.get("errors", [])
            errors += [{**one, "pointer": pointer + one["pointer"]} for one in found]  # type: ignore[attr-defined]
    return errors


def refused(code: str, problems: Iterable[Problem]) -> ProblemError:
    """Make the refusal of a body, with the list of what is wrong."""
    errors = [{"pointer": one.pointer, "code": one.code, "text": one.text} for one in problems]
    return ProblemError(code, errors=errors)
