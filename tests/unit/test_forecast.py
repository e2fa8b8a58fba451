"""When imports will be through, from what is left and how fast it goes."""

from __future__ import annotations

import pytest

from workers.imports.completion import ENOUGH, allowed_per_second, forecast_s, rate
from workers.ledger.limits import Budget


def test_the_budget_allows_so_many() -> None:
    """The identifications limit it, or the calls where there are fewer of them."""
    assert allowed_per_second(Budget(rate_per_second=10, identifications_per_minute=60)) == 1
    assert allowed_per_second(Budget(rate_per_second=3, identifications_per_minute=600)) == 1


def test_alone_it_goes_on_as_it_went() -> None:
    """What is left by the speed."""
    assert forecast_s({"a": 100}, 2.0) == {"a": 50}


def test_imports_share_and_then_do_not() -> None:
    """Until the smaller one is through each has half; after that the larger one has all."""
    assert forecast_s({"large": 300, "small": 100}, 1.0) == {"small": 200, "large": 400}


def test_three_of_one_size_end_together() -> None:
    """Nobody is before the others."""
    assert set(forecast_s(dict.fromkeys("abc", 10), 1.0).values()) == {30}


def test_a_speed_is_read_from_enough() -> None:
    """A handful of customers says nothing, and neither does a mark of this very moment."""
    assert rate(0, ENOUGH - 1, 1_000) is None
    assert rate(1_000, ENOUGH, 1_000) is None
    assert rate(0, ENOUGH, 10_000) == pytest.approx(ENOUGH / 10)


def test_nothing_going_on_is_nothing_to_say() -> None:
    """No import, no time."""
    assert forecast_s({}, 1.0) == {}
