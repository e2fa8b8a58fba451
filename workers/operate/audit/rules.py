"""All rules of records together, in the order in which they are asked."""

from __future__ import annotations

from workers.operate.audit import contents, indexes, motion, records
from workers.operate.audit.kinds import RULES, Circumstances
from workers.operate.audit.seen import Seen

__all__ = ["CHAIN", "contents", "indexes", "judged", "motion", "records"]

#: The kinds that concern the chain of a history; `audit --verify` asks for these alone.
CHAIN = ("history_missing", "history_broken", "history_head")
#: While one of these holds, the others cannot be judged.
DECISIVE = ("record_malformed", "format_newer", "record_unreadable")


def judged(seen: Seen, at: Circumstances, codes: tuple[str, ...] | None = None) -> list[tuple[str, str]]:
    """Find what is wrong with a record; pairs of code and words. `codes`: look at these alone."""
    if not seen.exists:
        return []
    wanted = [*DECISIVE, *(code for code in RULES if code not in DECISIVE)] if codes is None else codes
    found: list[tuple[str, str]] = []
    for code in wanted:
        words = RULES[code](seen, at)
        if words is not None:
            found.append((code, words))
            if code in DECISIVE:
                break
    return found
