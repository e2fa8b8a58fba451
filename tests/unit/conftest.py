"""What several unit tests ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """A new job, and an Iron with its default switches."""
    from tests.stage import Stage

    return Stage()
