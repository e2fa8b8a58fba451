"""The table of design section 3, written down a second time by hand and compared over every combination."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from pipelines import lifecycle
from pipelines.lifecycle import (
    FINISHED,
    IN_FLIGHT,
    NONE,
    OWN_PHASES,
    TABLE,
    UNKNOWN,
    Actor,
    CustomerStatus,
    IdentificationStatus,
    Phase,
    decide,
)

#: Every word of Iron, and words that Iron has never told us about.
CUSTOMERS = (*(status.value for status in CustomerStatus), "Frozen", "active", "", UNKNOWN)
IDENTIFICATIONS = (None, *(status.value for status in IdentificationStatus), "Rejected", "pending", "", NONE, UNKNOWN)
FLAGS = tuple(product((False, True), repeat=3))


def expected(customer: str, newest: str | None, *, has_url: bool, was_active: bool, may_retry: bool) -> tuple[str, str]:
    """The phase and who must act, as the design's table says in words."""
    by_customer = {
        "SigningsRequired": ("signings_required", "customer"),
        "Active": ("active", "nobody"),
        "Suspended": ("suspended", "iron"),
        "Archived": ("archived", "nobody"),
    }
    by_identification = {
        None: ("customer_created", "us"),
        "Pending": ("step_up_required" if was_active else "identification_pending", "customer"),
        "Processed": ("in_review", "iron"),
        "PendingReview": ("in_review", "iron"),
        "Approved": ("step_up_required", "customer") if has_url else ("in_review", "iron"),
        "Declined": ("declined", "customer" if may_retry else "operator"),
        "Expired": ("expired", "us"),
    }
    if customer == "IdentificationRequired":
        return by_identification.get(newest, ("on_hold", "operator"))
    return by_customer.get(customer, ("on_hold", "operator"))


@pytest.mark.parametrize("newest", IDENTIFICATIONS)
@pytest.mark.parametrize("customer", CUSTOMERS)
def test_every_combination_is_decided_as_the_design_says(customer: str, newest: str | None) -> None:
    """Each customer status with each identification status and each flag leads to the written phase and actor."""
    for has_url, was_active, may_retry in FLAGS:
        flags = {"has_url": has_url, "was_active": was_active, "may_retry": may_retry}
        row = decide(customer, newest, **flags)
        assert (row.phase.value, row.who.value) == expected(customer, newest, **flags), flags


def test_a_declined_customer_may_try_again_unless_iron_says_no() -> None:
    """Without a word of Iron about a retry the customer may ask for one."""
    assert decide("IdentificationRequired", "Declined").who is Actor.CUSTOMER


@pytest.mark.parametrize("word", [NONE, UNKNOWN])
def test_the_tables_own_words_are_none_of_irons(word: str) -> None:
    """A status that happens to read like a word of the table is a status nobody told us about, and begins nothing."""
    assert decide("IdentificationRequired", word).phase is Phase.ON_HOLD
    assert decide(word, None).phase is Phase.ON_HOLD


def test_what_is_in_flight_waits_for_somebody() -> None:
    """No status in flight leads to a phase in which we would begin another identification."""
    assert {status.value for status in IN_FLIGHT} == {"Pending", "Processed", "PendingReview"}
    for newest, flags in product(IN_FLIGHT, FLAGS):
        has_url, was_active, may_retry = flags
        row = decide(
            "IdentificationRequired", newest.value, has_url=has_url, was_active=was_active, may_retry=may_retry
        )
        assert row.who in (Actor.CUSTOMER, Actor.IRON)


@pytest.mark.parametrize("place", range(len(TABLE)))
def test_a_missing_row_is_noticed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails whichever row is taken out."""
    monkeypatch.setattr(lifecycle, "TABLE", TABLE[:place] + TABLE[place + 1 :])
    with pytest.raises(ValueError, match="meets 0 rows"):
        lifecycle.check_table()


@pytest.mark.parametrize("place", range(len(TABLE)))
def test_a_doubled_row_is_noticed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails whichever row is there twice, also when the second one says something else."""
    other = replace(TABLE[place], phase=Phase.ON_HOLD, who=Actor.OPERATOR)
    for doubled in (TABLE[place], other):
        monkeypatch.setattr(lifecycle, "TABLE", (*TABLE, doubled))
        with pytest.raises(ValueError, match="meets 2 rows"):
            lifecycle.check_table()


def test_an_unreachable_phase_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails when no row leads to a phase that Iron decides."""
    rows = tuple(replace(row, phase=Phase.ON_HOLD) if row.phase is Phase.SUSPENDED else row for row in TABLE)
    monkeypatch.setattr(lifecycle, "TABLE", rows)
    with pytest.raises(ValueError, match=r"no row leads to .*suspended"):
        lifecycle.check_table()


def test_the_phases_are_those_of_the_contract() -> None:
    """No phase and no actor is missing, and none is called otherwise."""
    assert {phase.value for phase in Phase} == {
        *("received", "customer_created", "identification_pending", "step_up_required", "in_review", "declined"),
        *("expired", "signings_required", "active", "suspended", "archived", "on_hold", "failed", "cancelled"),
    }
    assert {actor.value for actor in Actor} == {"us", "customer", "iron", "operator", "nobody"}


def test_every_phase_says_who_must_act() -> None:
    """Each phase has an actor, from the table or from the pipeline's own, and from one of them only."""
    decided = {row.phase for row in TABLE}
    assert decided | set(OWN_PHASES) == set(Phase)
    assert not decided & set(OWN_PHASES)


def test_only_what_is_final_is_finished() -> None:
    """Active is no end: it may fall back at any time."""
    assert {phase.value for phase in FINISHED} == {"archived", "failed", "cancelled"}
