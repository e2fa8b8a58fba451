"""What a tree of processes has used: CPU time and memory, read from /proc. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Tree:
    """Some processes and all their descendants."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._roots = list(roots)

    def cpu_s(self) -> float:
        """Sum the CPU seconds of all that live, and of those among their children that have ended."""
        return sum(_cpu_s(pid) for pid in self._all())

    def each_cpu_s(self) -> dict[int, float]:
        """Give the CPU seconds of each process."""
        return {pid: _cpu_s(pid) for pid in self._all()}

    def peak_mb(self) -> float:
        """Sum the largest resident sizes so far, in MB; pages that processes share count once for each."""
        return sum(_peak_kb(pid) for pid in self._all()) / 1000

    def _all(self) -> Iterator[int]:
        waiting = list(self._roots)
        while waiting:
            pid = waiting.pop()
            yield pid
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting.extend(map(int, task.read_text().split()))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * TICK_S


def _peak_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
