"""When imports will be finished: from what is left, how fast it went lately, and how the imports share the budget.

Imports take turns, so that all of them together go as fast as the budget allows and each has an equal part of it until
it is through; then the others go faster. Pure: no Redis, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workers.ledger import Budget

#: Calls to Iron until a customer has a link: look for the customer, create; and the identification.
CALLS_EACH = 3
#: A speed is read from no fewer than so many customers; before that the budget says it better.
ENOUGH = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Customers who are left, and how many a second get through lately; None: too few yet to say."""

    left: int
    per_second: float | None = None


def rate(mark: tuple[int, int] | None, passed: int, now_ms: int) -> float | None:
    """Give the customers a second since a mark (ms, how many were through then); None: too few to say."""
    if mark is None or passed - mark[1] < ENOUGH or now_ms <= mark[0]:
        return None
    return (passed - mark[1]) * 1000 / (now_ms - mark[0])


def forecast_s(going: Mapping[str, Progress], budget: Budget) -> dict[str, float]:
    """Say for each import that is going on in how many seconds its last customer gets through."""
    speeds = [progress.per_second for progress in going.values() if progress.per_second is not None]
    together = sum(speeds) if speeds else allowed_per_second(budget)
    found: dict[str, float] = {}
    passed_s, each = 0.0, 0.0  # how long it took until each of those still going has had so many through
    ascending = sorted(going.items(), key=lambda item: item[1].left)
    for ended, (name, progress) in enumerate(ascending):
        passed_s += (progress.left - each) * (len(ascending) - ended) / together
        each = progress.left
        found[name] = passed_s
    return found


def allowed_per_second(budget: Budget) -> float:
    """Give the customers a second that the budget allows at most, if nothing else wants calls."""
    return min(budget.identifications_per_minute / 60, budget.rate_per_second / CALLS_EACH)
