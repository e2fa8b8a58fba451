"""Which commits upstream is told of, and how an event reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.advance import after_outcome
from pipelines.attempt import Attempt
from pipelines.events import EMITTED_BY_STEPS, NAMES, CursorError, Event, beginning, of_commit, place, source
from pipelines.lifecycle import Phase
from pipelines.model import Done, Next, Policy, Problem, Record, Signing

PENDING = Record(
    key="k-1",
    phase=Phase.IDENTIFICATION_PENDING,
    customer_id="c-1",
    customer_status="IdentificationRequired",
    identification_id="i-1",
    identification_status="Pending",
    link="https://verify.iron.test/1",
)
TO_SIGN = Record(
    key="k-1",
    phase=Phase.SIGNINGS_REQUIRED,
    customer_id="c-1",
    customer_status="SigningsRequired",
    signings=(Signing("d-1", "Terms", "https://documents.iron.test/1"),),
)


def problem(code: str = "server_fault", *, operator: bool, count: int = 1) -> Problem:
    return Problem(code, f"Seen {count} times.", retryable=True, first_seen_ms=1, count=count, operator=operator)


def told(before: Record, **changes: Any) -> str:
    return of_commit(before, Next(replace(before, **changes), 0))


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        (PENDING, {"phase": Phase.IN_REVIEW, "identification_status": "Processed", "link": None}, "iron in_review"),
        (PENDING, {"phase": Phase.CANCELLED}, "nobody cancelled"),
        (PENDING, {"reads": 7, "version": 9, "step": "refresh", "head": "x"}, ""),
        (PENDING, {"link": "https://verify.iron.test/2"}, "customer needs_changed"),
        (PENDING, {"link": None}, "customer needs_changed"),
        (PENDING, {"reasons": ("kyc_selfie",)}, "customer needs_changed"),
        (PENDING, {"problem": problem(operator=True)}, "operator needs_changed"),
        (PENDING, {"problem": problem(operator=False), "attempts": 1}, ""),
        (replace(PENDING, problem=problem(operator=True)), {"problem": None}, "customer needs_changed"),
        (replace(PENDING, problem=problem(operator=True)), {"problem": problem(operator=True, count=2)}, ""),
        (
            replace(PENDING, problem=problem(operator=True)),
            {"problem": problem("access_refused", operator=True)},
            "operator needs_changed",
        ),
        (replace(TO_SIGN, signings=()), {"signings": TO_SIGN.signings}, "customer needs_changed"),
        (TO_SIGN, {"signings": (*TO_SIGN.signings, Signing("d-2"))}, "customer needs_changed"),
        (TO_SIGN, {"signings": (replace(TO_SIGN.signings[0], url="https://documents.iron.test/2"),)}, ""),
        (TO_SIGN, {"signings": (replace(TO_SIGN.signings[0], consented_ms=5),)}, "us needs_changed"),
        (
            replace(TO_SIGN, signings=(replace(TO_SIGN.signings[0], consented_ms=5),)),
            {"signings": (replace(TO_SIGN.signings[0], consented_ms=5, signed_ms=6),)},
            "iron needs_changed",
        ),
    ],
)
def test_what_is_told(before: Record, changes: dict[str, Any], expected: str) -> None:
    """Upstream hears of another phase, and of another thing that somebody has to do, and of nothing else."""
    assert told(before, **changes) == expected


def test_a_step_may_have_something_to_tell() -> None:
    """A step's own event comes with its commit, after the phase's if that changed too."""
    [name] = EMITTED_BY_STEPS
    attempt = Attempt(installation="default", policy=Policy(), now_ms=lambda: 1000, input=dict, effect=None)
    following = after_outcome(PENDING, Done(event=name), attempt)
    assert of_commit(PENDING, following) == f"customer {name}"
    moved = replace(following, record=replace(PENDING, phase=Phase.IN_REVIEW, identification_status="Processed"))
    assert of_commit(PENDING, moved) == f"iron in_review {name}"


def test_a_beginning_is_told() -> None:
    """A new record's first event is its phase."""
    assert beginning(Record(key="k-1")) == "us received"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_its_type(phase: Phase) -> None:
    """Each phase is an event of its own name."""
    assert phase.value in NAMES
    assert Event("1-0", phase.value, "k", phase.value, "us", 1).type == f"onboarding.{phase.value}"


IDS = st.tuples(st.integers(0, 9_999_999_999_999), st.integers(0, 9_999_999))


@given(one=IDS, other=IDS)
def test_the_sequence_grows_with_the_id(one: tuple[int, int], other: tuple[int, int]) -> None:
    """The later of two events has the greater sequence, compared as texts."""
    first, second = (
        Event(f"{ms}-{number}", "active", "k", "active", "nobody", 1) for ms, number in sorted((one, other))
    )
    assert (first.sequence < second.sequence) == (one != other)


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "a-b", "1-2-3", "$", "+", "(1-0", "1-0\n"])
def test_a_cursor_is_read_strictly(text: str) -> None:
    """What is no id of an event is no cursor."""
    with pytest.raises(CursorError):
        place(text)


def test_a_cloud_event() -> None:
    """An event is a CloudEvent 1.0 whose attributes are of the allowed names and types."""
    event = Event("1790000000123-4", "needs_changed", "k-1", "signings_required", "customer", 7)
    assert event.cloud_event(source("default")) == {
        "specversion": "1.0",
        "id": "1790000000123-4",
        "source": "urn:onboarding:default",
        "type": "onboarding.needs_changed",
        "subject": "k-1",
        "time": "2026-09-21T14:13:20.123Z",
        "sequence": "17900000001230000004",
        "datacontenttype": "application/json",
        "data": {"idempotency_key": "k-1", "phase": "signings_required", "waiting_on": "customer", "version": 7},
    }
