"""Re-identification: the policy, the days and hours it counts in, each customer's plan. Contract section 8.

- `days`: days and hours of a time zone
- `forecast`: the calendar
- `plan`: who is identified again, and when
- `policy`: the policy as it is written and in force
- `sentences`: what a policy means, in sentences
"""

from __future__ import annotations

from pipelines.reidentification.days import Hours, Interval
from pipelines.reidentification.forecast import Forecast, Week, forecast
from pipelines.reidentification.plan import (
    Doing,
    Plan,
    announced,
    announced_start,
    date_of,
    plan,
    planned_day,
    planned_start,
    turn_ms,
)
from pipelines.reidentification.policy import (
    InForce,
    PolicyInvalidError,
    ReidentificationPolicy,
    policy_of,
    read_policy,
    restored,
    stored,
)

__all__ = [
    "Doing",
    "Forecast",
    "Hours",
    "InForce",
    "Interval",
    "Plan",
    "PolicyInvalidError",
    "ReidentificationPolicy",
    "Week",
    "announced",
    "announced_start",
    "date_of",
    "forecast",
    "plan",
    "planned_day",
    "planned_start",
    "policy_of",
    "read_policy",
    "restored",
    "stored",
    "turn_ms",
]
