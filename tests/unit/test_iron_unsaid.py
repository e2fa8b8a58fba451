"""The list of what the two stand-ins for Iron disagree about: complete, and as the code is."""

from __future__ import annotations

import pytest

from ops.sandbox.world.switches import Switches
from tests.second_iron.questions import QUESTIONS
from tests.second_iron.unsaid import PAGE, ROOT, UNSAID, page


def test_each_question_is_listed() -> None:
    """A question of the second stand-in has a row, and a row has a question."""
    assert list(UNSAID) == list(QUESTIONS)


@pytest.mark.parametrize("name", UNSAID)
def test_a_row_names_what_there_is(name: str) -> None:
    """The switches of a row exist, the sandbox's answer is said, and our code has what the row names."""
    unsaid = UNSAID[name]
    assert set(unsaid.switches) <= set(Switches.model_fields)
    assert unsaid.switches or unsaid.fixed
    assert unsaid.fixed or not unsaid.gap
    file, ours = unsaid.ours
    assert ours in (ROOT / file).read_text(encoding="utf-8")


def test_the_page_is_as_the_code_is() -> None:
    """The page is what `python -m tests.second_iron.unsaid` writes."""
    assert PAGE.read_text(encoding="utf-8") == page()
