"""For how long the encrypted input of a job is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.lifecycle import Phase

#: The encrypted input is kept this long after the onboarding ended well, in ms: a week, for questions.
INPUT_KEPT_MS = 7 * 86_400_000
#: Phases after which the input is no longer needed.
INPUT_DONE = frozenset({Phase.ACTIVE, Phase.ARCHIVED, Phase.CANCELLED})


def input_ttl_ms(before: Phase, phase: Phase, parts: Mapping[str, bytes] | None) -> int | str:
    """Return what becomes of the input's expiry: it starts when the onboarding ends well, and stops when it goes on.

    What is stored after that, by a correction, expires as well.
    """
    if (before in INPUT_DONE) == (phase in INPUT_DONE) and not (parts and phase in INPUT_DONE):
        return ""
    return INPUT_KEPT_MS if phase in INPUT_DONE else 0
