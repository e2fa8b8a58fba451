"""Messages of every form and place while workers are killed, small; `python -m tests.chaos.messages` in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import messages
from tests.chaos.fleet import Fleet

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds worker processes in Linux's /proc")


def test_g1_g2_g11_with_workers_killed(tmp_path: Path) -> None:
    """G1, G2, G11: every job has its record and all else is listed within the minute, and nothing is left behind."""
    with Fleet(tmp_path, services=2, settings=messages.SETTINGS) as fleet:
        seen = messages.run(fleet, 300, 100, 2)
        logs = [log.read_text(encoding="utf-8") for log in (fleet.folder / "logs").glob("worker-*.log")]
    assert seen.well(), seen
    assert seen.killed == 2
    assert not any("example.com" in log or "Ada Example" in log for log in logs)
