"""How the tests are shared out among processes: in which order, and which of them belong together.

Without processes (no `-n`) only the order matters. Each process has a Redis of its own (conftest.py), so what is said
here decides how long a run takes, never how it ends.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

#: Folders whose tests need nothing but Python come first: what is plainly wrong shows within seconds.
FIRST = ("tests/unit/", "tests/model/")
#: Then what waits for processes, the longest first: none of it must begin when everything else is through.
LONG = (
    "tests/integration/test_demo.py",
    "tests/chaos/test_processes.py",
    "tests/browser/",
    "tests/integration/test_integrators.py",
    "tests/integration/test_installed.py",
    "tests/integration/test_peers.py",
    "tests/integration/test_cli_parts.py",
    "tests/integration/test_api_schema.py",
    "tests/chaos/test_queue_paths.py",
    "tests/chaos/test_import_killed.py",
    "tests/integration/test_sweep.py",
    "tests/integration/test_audit.py",
    "tests/integration/test_ledger_machine.py",
    "tests/integration/test_gateway_process.py",
)
#: Many, short, and all alike: they fill the end.
LAST = ("tests/chaos/test_chaos.py",)
#: Files whose tests share one system: it is started once, so they stay in one process.
TOGETHER = (
    "tests/browser/",
    "tests/chaos/test_processes.py",
    "tests/chaos/test_queue_paths.py",
    "tests/integration/test_installed.py",
)
#: Into how many portions the tests of one other file are divided: few enough that asking for the next costs nothing.
PORTIONS = 8


def rank(nodeid: str) -> int:
    """Say when a test's turn comes: the smaller, the earlier."""
    if nodeid.startswith(FIRST):
        return 0
    if nodeid.startswith(LAST):
        return len(LONG) + 2
    return next((place for place, start in enumerate(LONG, 1) if nodeid.startswith(start)), len(LONG) + 1)


def portion(nodeid: str) -> str:
    """Name what runs in one process, one test after the other, without asking for more."""
    file, _, test = nodeid.partition("::")
    if together := next((start for start in TOGETHER if nodeid.startswith(start)), None):
        return together
    return f"{file} {zlib.crc32(test.encode()) % PORTIONS}"


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Order the tests by their turn; those of one turn stay as they are."""
    return sorted(items, key=lambda item: rank(item.nodeid))


def why_skipped(reports: Sequence[pytest.TestReport]) -> list[str]:
    """Say in a line for each reason how many tests were skipped for it."""
    reasons = Counter(str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "?") for report in reports)
    return [f"{count} skipped: {reason.removeprefix('Skipped: ')}" for reason, count in reasons.most_common()]


class Sharing(LoadScopeScheduling):
    """Gives each process the next portion when it is nearly through with its own."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        """Take the order of the collection, not that of the portions' sizes."""
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget a portion that is through: after each test all that a process has are counted."""
        super().mark_test_complete(node, item_index, duration)
        portions = self.assigned_work[node]
        for name in [name for name, tests in portions.items() if all(tests.values())]:
            del portions[name]

    def _split_scope(self, nodeid: str) -> str:
        return portion(nodeid)
