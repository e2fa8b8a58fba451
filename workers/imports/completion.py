"""When imports will be finished: from what is left, how fast it goes, and how the imports share that.

Imports take turns, so that all of them together go as fast as the budget allows and each has an equal part of it until
it is through; then the others go faster. Pure: no Redis, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.ledger.limits import Budget

#: Calls to Iron until a customer has a link: look for the customer, create; and the identification.
CALLS_EACH = 3
#: A speed is read from no fewer than so many customers; before that the budget says it better.
ENOUGH = 20


def rate(since_ms: int, passed: int, now_ms: int) -> float | None:
    """Give the customers a second of whom so many got through since then; None: too few to say."""
    if passed < ENOUGH or now_ms <= since_ms:
        return None
    return passed * 1000 / (now_ms - since_ms)


def forecast_s(left: Mapping[str, int], per_second: float) -> dict[str, float]:
    """Say for each import in how many seconds its last customer gets through.

    `left`: customers to go by import; `per_second`: how many get through of all imports together.
    """
    found: dict[str, float] = {}
    passed_s, each = 0.0, 0  # how long it takes until so many of each import that is still going are through
    ascending = sorted(left.items(), key=lambda item: item[1])
    for ended, (name, count) in enumerate(ascending):
        passed_s += (count - each) * (len(ascending) - ended) / per_second
        each = count
        found[name] = passed_s
    return found


def allowed_per_second(budget: Budget) -> float:
    """Give the customers a second that the budget allows at most, if nothing else wants calls."""
    return min(budget.identifications_per_minute / 60, budget.rate_per_second / CALLS_EACH)
