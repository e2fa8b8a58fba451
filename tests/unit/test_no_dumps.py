"""No core dump of a process that holds keys."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os
from workers.process.no_dumps import forbid_dumps
forbid_dumps()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told that a process is not to be dumped")
def test_a_process_leaves_no_dump() -> None:
    """The limit is 0, and so it is for what the process starts."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM + "os.execvp('sh', ['sh', '-c', 'ulimit -c'])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split()[-1] == "0"
