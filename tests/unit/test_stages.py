"""Stages: since when a record is in one, percentiles of their lengths, and the policy of limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.lifecycle import Phase
from pipelines.model import Problem, Record
from pipelines.reidentification import PolicyInvalidError
from pipelines.stages.clock import stage_of, stage_since_ms, turn_ms
from pipelines.stages.percentiles import PER_DOUBLING, counts_of, length_in_words, seconds_of, shown
from pipelines.stages.policy import LimitPolicy, changes, explained, fields_of, policy_of, read_policy

TEXT = """
[limits]
enabled = true
[limits.in_review]
iron = "3d"
[limits.on_hold]
operator = "4h"
[limits.received]
us = "90m"
"""
POLICY = read_policy(TEXT)
PENDING = Record(
    "k-1",
    phase=Phase.IDENTIFICATION_PENDING,
    since_ms=1000,
    customer_status="IdentificationRequired",
    identification_status="Pending",
    link="https://iron.test/1",
)
TROUBLED = PENDING.evolve(problem=Problem("iron_fault", "", retryable=True, first_seen_ms=1, operator=True))


def bucket_of(seconds: float) -> int:
    """The bucket of a length, as the script computes it."""
    return max(0, math.ceil(PER_DOUBLING * math.log2(seconds) - 1e-9)) if seconds > 0 else 0


def counts(lengths: list[float]) -> list[int]:
    """How often each bucket."""
    found = [0] * 110
    for length in lengths:
        found[bucket_of(length)] += 1
    return found


def test_the_stage_is_phase_and_actor() -> None:
    """Another actor in the same phase is another stage, since when it is; another phase begins at its beginning."""
    assert stage_of(PENDING) == "identification_pending customer"
    assert stage_of(TROUBLED) == "identification_pending operator"
    assert stage_since_ms(PENDING) == 1000
    turned = TROUBLED.evolve(turn_ms=turn_ms(PENDING, TROUBLED, 5000))
    assert stage_since_ms(turned) == 5000
    assert turn_ms(turned, turned, 6000) == 5000
    assert turn_ms(turned, PENDING, 7000) == 7000
    assert turn_ms(turned, PENDING.evolve(phase=Phase.IN_REVIEW), 8000) is None


def test_percentiles_of_a_data_set_computed_by_hand() -> None:
    """Ten stages of 1, 2, 3, 4, 8, 16, 60, 60, 3600 and 86400 s: by hand the 5th, the 9th and the 10th of them."""
    lengths: list[float] = [1, 2, 3, 4, 8, 16, 60, 60, 3600, 86400]
    # log2 of them, times four, rounded up: 0, 4, 6.3 -> 7, 8, 12, 16, 23.6 -> 24 twice, 47.3 -> 48, 65.6 -> 66
    assert [bucket_of(length) for length in lengths] == [0, 4, 7, 8, 12, 16, 24, 24, 48, 66]
    # Ranks 5, 9 and 10: 2^(12/4) = 8 s, 2^(48/4) = 4096 s, 2^(66/4) = 92,681.9 s.
    assert shown(counts(lengths)) == {"count": 10, "p50_s": 8.0, "p90_s": 4100.0, "p99_s": 92700.0}


@given(st.lists(st.floats(0.001, 3e7), min_size=1, max_size=200), st.sampled_from([50, 90, 99]))
def test_a_percentile_is_never_too_short_and_at_most_a_fifth_too_long(lengths: list[float], hundredths: int) -> None:
    """Against the nearest rank of the lengths themselves; what takes less than a second is a second."""
    true = sorted(lengths)[math.ceil(len(lengths) * hundredths / 100) - 1]
    found = shown(counts(lengths))
    assert found is not None
    assert true * 0.994 <= found[f"p{hundredths}_s"] <= max(1.0, true * 1.2)


def test_what_is_counted_down_to_nothing_is_nothing() -> None:
    """A window in which no stage ended has no percentiles."""
    assert shown(counts_of(b"")) is None
    assert shown((0, 0)) is None
    assert counts_of(b"\1\0\0\0\0\1\0\0") == (1, 256)
    assert seconds_of(4) == 2.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 s"), (119, "119 s"), (120, "2 min"), (9000, "2.5 h"), (2e6, "23.1 d")]
)
def test_a_length_is_written_for_people(seconds: float, text: str) -> None:
    """In the largest unit of which there are two."""
    assert length_in_words(seconds) == text


def test_limits_are_read_and_written() -> None:
    """What is written comes back; off, no limit holds."""
    assert POLICY.limits == {
        "in_review iron": 3 * 86_400_000,
        "on_hold operator": 4 * 3_600_000,
        "received us": 5_400_000,
    }
    assert policy_of(fields_of(POLICY)) == POLICY
    assert read_policy(TEXT.replace("true", "false")).limits == {}
    assert read_policy("[limits]") == LimitPolicy()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("enabled = true", 'enabled = "yes"', "enabled is true or false"),
        ("in_review", "in_revue", "in_revue is no phase"),
        ("iron =", "nobody =", "in_review.nobody names nobody who must act"),
        ('"3d"', '"3 days"', "in_review.iron is written as 30m, 12h, 3d or 2w"),
        ('"3d"', '"54w"', "at most a year"),
        ("[limits.in_review]\niron", "in_review", "in_review is no phase with a table"),
        ("[limits]", "[limit]", "needs one section, [limits]"),
        ("[limits]", "[limits", "The policy is not TOML"),
    ],
)
def test_limits_that_cannot_be_are_refused(old: str, new: str, said: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(PolicyInvalidError) as refused:
        read_policy(TEXT.replace(old, new, 1))
    assert any(said in problem for problem in refused.value.problems)


def test_switched_on_without_a_limit_is_refused() -> None:
    """It could never do anything."""
    with pytest.raises(PolicyInvalidError, match="No stage has a limit"):
        read_policy("[limits]\nenabled = true")


def test_limits_are_explained_and_compared() -> None:
    """A sentence each, and each change with both values."""
    told: list[Any] = list(explained(POLICY))
    assert told[0] == "Upstream hears when a customer has been in_review, waiting on iron, for 3 days."
    assert "for 90 minutes." in told[2]
    assert list(explained(LimitPolicy())) == ["The policy is off: no stage has a limit."]
    after = read_policy(TEXT.replace('"4h"', '"1d"'))
    assert changes(POLICY, after) == ["on_hold.operator: 4h becomes 1d"]
