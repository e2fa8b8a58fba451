"""The error tree: as drawn, complete, and deliberate about what may be repeated."""

from __future__ import annotations

import re

import pytest

from pipelines import errors
from pipelines.errors import (
    AccessRefusedError,
    IronError,
    NotAppliedError,
    OnboardingError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRefusedError,
)

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == errors.__name__]

#: Code, may the same thing succeed later without anybody changing anything, must a person hear of it.
EXPECTED = {
    "OnboardingError": ("onboarding_error", False, False),
    "IronError": ("iron_error", False, False),
    "NotAppliedError": ("not_applied", True, False),
    "UnreachableError": ("iron_unreachable", True, False),
    "RateLimitedError": ("rate_limited", True, False),
    "OutcomeUnknownError": ("outcome_unknown", True, False),
    "AnswerLostError": ("answer_lost", True, False),
    "AnswerUnreadableError": ("answer_unreadable", True, False),
    "ServerFaultError": ("iron_fault", True, False),
    "ConflictError": ("iron_conflict", True, False),
    "NotFoundError": ("not_found", True, False),
    "RequestRefusedError": ("request_refused", True, False),
    "AccessRefusedError": ("access_refused", True, False),
    "RenewedError": ("key_renewed", True, False),
    "HeldBackError": ("held_back", True, False),
    "NothingDueError": ("nothing_due", True, False),
    "SettlingError": ("settling", True, False),
    "StaleClaimError": ("stale_claim", True, False),
    "ClockJumpedError": ("clock_jumped", True, False),
    "ArchiveRefusedError": ("archive_refused", False, True),
    "InputLostError": ("input_lost", False, True),
    "KeyMissingError": ("key_missing", True, True),
}


def drawn() -> dict[str, str]:
    """Each class of the drawing with the class above it."""
    parents, path = {}, []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"[ │├└─]{4,}(\w+Error)\b", line):
            depth = (found.start(1) - 4) // 4
            path = [*path[:depth], found[1]]
            parents[found[1]] = path[-2] if depth else "Exception"
    return parents


def test_the_tree_is_as_drawn() -> None:
    """The drawing at the top of the file names every class, below the class it is derived from."""
    assert drawn() == {one.__name__: one.__bases__[0].__name__ for one in CLASSES}


def test_every_class_says_what_may_be_repeated() -> None:
    """Code, whether to repeat and whether to call a person are as written here, class by class."""
    assert {one.__name__: (one.code, one.retryable, one.operator) for one in CLASSES} == EXPECTED


def test_the_weather() -> None:
    """No connection, no answer and a fault of Iron are the weather; what Iron answers deliberately is not."""
    assert {one.__name__ for one in CLASSES if one.weather} == {
        "UnreachableError",
        "AnswerLostError",
        "ServerFaultError",
    }


def test_codes_are_unique() -> None:
    """A code names one class."""
    assert len({one.code for one in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_docstring_is_the_default_message(kind: type[OnboardingError]) -> None:
    """Raised without a message, an error speaks its docstring, one sentence; its name ends in Error."""
    assert kind.__name__.endswith("Error")
    assert str(kind()) == kind.__doc__
    assert str(kind()).endswith(".")
    assert "\n" not in str(kind())
    assert str(kind("other words")) == "other words"


@pytest.mark.parametrize("kind", [one for one in CLASSES if issubclass(one, IronError)])
def test_an_error_of_iron_keeps_the_status(kind: type[IronError]) -> None:
    """The HTTP status travels with the error."""
    assert kind(status=418).status == 418


@pytest.mark.parametrize("kind", [one for one in CLASSES if issubclass(one, IronError)])
def test_what_iron_said_is_kept_and_not_shown(kind: type[IronError]) -> None:
    """Iron's own text travels with the error for whoever may read it, and is no part of the message."""
    if kind is RateLimitedError:
        return  # it says nothing that is worth keeping
    error = kind(status=400, said="marker is wrong")
    assert error.said == "marker is wrong"
    assert "marker" not in str(error) + repr(error)


@pytest.mark.parametrize("of_effect", [False, True])
@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 417, 422, 426, 431, 451]
)
def test_which_refusals_are_about_a_job(status: int, of_effect: bool) -> None:
    """Only a 400, 413 or 422 that answers a call with a job's details is about the job; any other is the caller's."""
    refused = RequestRefusedError(status=status)
    refused.of_effect = of_effect
    assert refused.concerns_caller == (not of_effect or status not in (400, 413, 422))
    access = AccessRefusedError(status=status)
    access.of_effect = of_effect
    assert access.concerns_caller


def test_a_refusal_is_the_callers_unless_somebody_says_that_it_answers_an_effect() -> None:
    """What no step has marked as the answer to a change counts against nobody, and only refusals concern a caller."""
    assert not IronError.of_effect
    assert {one.__name__ for one in CLASSES if issubclass(one, IronError) and one(status=400).concerns_caller} == {
        "RequestRefusedError",
        "AccessRefusedError",
    }


def test_what_is_known_about_the_effect_is_either_or() -> None:
    """No class says both that Iron did not act and that it may have."""
    assert not [one for one in CLASSES if issubclass(one, NotAppliedError) and issubclass(one, OutcomeUnknownError)]


def test_a_rate_limit_says_for_how_long() -> None:
    """The pause is kept, and is None where Iron does not say."""
    assert RateLimitedError(retry_after_s=7.5).retry_after_s == 7.5
    assert RateLimitedError().retry_after_s is None
    assert RateLimitedError().status == 429
