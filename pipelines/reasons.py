"""What Iron says in its own words when it refuses, declines or asks for more, for those who may see personal data.

The words are kept encrypted, as parts of a record's input, and go with it. Nothing here belongs into a record, an
event, a log or a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.lifecycle import Phase
from pipelines.model import Record

#: Parts of the input that hold Iron's words. Those about an identification go when another one follows it.
REFUSAL = "iron_said"
OF_IDENTIFICATION = ("requirements", "review_comment", "step_comments")
PARTS = (REFUSAL, *OF_IDENTIFICATION)

#: Phases in which what Iron says of an identification is what has to be done.
_EXPLAINED = frozenset({Phase.DECLINED, Phase.STEP_UP_REQUIRED})


def iron_says(record: Record, parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what Iron said: of requests that it refused, of what it requires, of the review and of its steps.

    `parts`: the opened parts of the input. Each statement names what it is `about`, and whether it is `current`, or
    kept of something that is over.
    """
    refused, requirements = parts.get(REFUSAL), parts.get("requirements") or {}
    comment, steps = parts.get("review_comment"), parts.get("step_comments") or {}
    explained = record.phase in _EXPLAINED
    said = [{"about": "refusal", "current": record.problem is not None, **refused}] if refused else []
    said += [_required(one, current=explained) for one in requirements.get("open", [])]
    said += [{"about": "review", "current": explained, "text": comment}] if comment else []
    said += [{"about": "step", "current": explained, "step": step, "text": text} for step, text in steps.items()]
    return said


def _required(one: Mapping[str, Any], *, current: bool) -> dict[str, Any]:
    """Return one requirement, with its description as the text."""
    rest = {name: value for name, value in one.items() if name != "description"}
    return {"about": "requirement", "current": current, **rest, "text": one.get("description", "")}
