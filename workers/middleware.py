"""What lives and dies with a worker process: the pulse, the leases' renewal and the connections to Iron."""

from __future__ import annotations

from typing import Any

import dramatiq
import httpx
import structlog

from workers.leases import Leases
from workers.pulse import Pulse

log = structlog.get_logger()


class ProcessLife(dramatiq.Middleware):
    """Starts the process's threads when its workers boot, and stops them when the last step is through."""

    def __init__(self, pulse: Pulse, leases: Leases, transport: httpx.BaseTransport) -> None:
        """Take what is to be started and stopped."""
        self._pulse = pulse
        self._leases = leases
        self._transport = transport

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        """Start renewing and moving once there are threads to work."""
        self._leases.start()
        self._pulse.start()
        log.info("worker.started", threads=worker.worker_threads)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        """Send no more nudges; leases go on while steps end."""
        self._pulse.stop()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        """Let go of everything."""
        self._leases.stop()
        self._transport.close()
        log.info("worker.stopped")
