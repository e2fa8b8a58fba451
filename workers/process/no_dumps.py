"""Keeping what is in memory out of files: a process that holds keys and personal data leaves no core dump."""

from __future__ import annotations

import ctypes
import resource
import sys

#: From <sys/prctl.h>: whether a core dump of this process may be made, and others of the same user may read its memory.
_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Let no core dump be made of this process, nor of those that it starts, where the system can be told so."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
