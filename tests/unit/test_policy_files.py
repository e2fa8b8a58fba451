"""Every kind of policy is read from its file in one way: a mark, nesting without end and giant numbers included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines import reidentification, reminders
from pipelines.reidentification import PolicyInvalidError
from pipelines.stages import policy as limits

KINDS: dict[str, Callable[[str], object]] = {
    "reidentification": reidentification.read_policy,
    "reminders": reminders.read_policy,
    "limits": limits.read_policy,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_byte_order_mark_is_taken_away(name: str) -> None:
    """As Windows editors write it."""
    assert KINDS[name](f"\ufeff[{name}]\nenabled = false\n") == KINDS[name](f"[{name}]\nenabled = false\n")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("[{name}]\nenabled = " + "9" * 10_000, "a number that is too long"),
        ("enabled =", "is not TOML"),
        ("[other]\n", "needs one section"),
        ("[{name}]\n[other]\n", "other besides"),
        ("", "needs one section"),
    ],
    ids=["deep", "digits", "half", "other", "two", "nothing"],
)
def test_what_is_no_policy_is_a_sentence(name: str, text: str, words: str) -> None:
    """Each is refused with words, and never ends as a defect."""
    with pytest.raises(PolicyInvalidError) as raised:
        KINDS[name](text.replace("{name}", name))
    assert words in " ".join(raised.value.problems)
