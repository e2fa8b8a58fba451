"""Hands in jobs in a process of its own: python -m tests.bench.peers.submitting MODULE COUNT PREFIX.

Says "ready" when everything is imported, begins at a line on standard input, prints the CPU seconds that it took.
"""

from __future__ import annotations

import importlib
import sys
import time

from tests.bench.peers.plain import a_job


def main(module: str, count: str, prefix: str) -> None:
    """Import, wait, submit."""
    chain = importlib.import_module(f"tests.bench.peers.{module}")
    jobs = [a_job(f"{prefix}-{number}") for number in range(int(count))]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    chain.submit(jobs)
    print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
