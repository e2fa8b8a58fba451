"""Reminders of what a customer still has to do: the policy, when the next one is due, what is told. Contract section 8.

- `forecast`: reminders by day
- `plan`: when the next one is due, and what a commit tells
- `policy`: the policy as it is written and in force
- `sentences`: what a policy means, in sentences
"""

from __future__ import annotations

from pipelines.reminders.plan import Due, due_of, need_of, next_due, with_reminder
from pipelines.reminders.policy import ReminderPolicy, RemindersInForce, Rhythm, read_policy, restored, stored

__all__ = [
    "Due",
    "ReminderPolicy",
    "RemindersInForce",
    "Rhythm",
    "due_of",
    "need_of",
    "next_due",
    "read_policy",
    "restored",
    "stored",
    "with_reminder",
]
