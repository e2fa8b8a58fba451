"""What lives and dies with a worker process: its threads, and its connections to Iron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dramatiq
import httpx
import structlog

from workers.process.background import Background

log = structlog.get_logger()


class ProcessLife(dramatiq.Middleware):
    """Starts the process's threads when its workers boot, and stops them when the last step is through."""

    def __init__(
        self,
        threads: Sequence[Background],
        transport: httpx.BaseTransport,
        ending: Callable[[], object] = lambda: None,
    ) -> None:
        """Take what is to be started, the first one first; it is also the last to stop. `ending` is told of the end."""
        self._threads = threads
        self._transport = transport
        self._ending = ending

    def after_worker_boot(self, _: dramatiq.Broker, worker: Any) -> None:
        """Start once there are threads to work."""
        for thread in self._threads:
            thread.start()
        log.info("worker.started", threads=worker.worker_threads)

    def before_worker_shutdown(self, *_: Any) -> None:
        """Begin nothing new; leases go on while steps end."""
        self._ending()
        for thread in self._threads[:0:-1]:
            thread.stop()

    def after_worker_shutdown(self, *_: Any) -> None:
        """Let go of everything."""
        self._threads[0].stop()
        self._transport.close()
        log.info("worker.stopped")
