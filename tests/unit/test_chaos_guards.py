"""The list of guards that the mutation run takes out is true: each stands where it says."""

from __future__ import annotations

import pytest

from tests.chaos.mutants import GUARDS, ROOT, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_where_the_list_says(guard: Guard) -> None:
    """Whoever changes a guarded line brings the list up to it."""
    assert guard.there in (ROOT / guard.file).read_text(encoding="utf-8")
    assert guard.without != guard.there
