"""How long a hop takes: from the end of one step to the start of the next, on an idle system.

A real Redis, the real broker, consumers and worker threads of Dramatiq; the sandbox answers in process, so that nothing
but the pipeline is measured. Customers go one at a time, with a pause before each so that the consumers have gone idle.

    python -m tests.bench.hop [customers]
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import dramatiq

from ops.local.embedded import EmbeddedRedis
from ops.sandbox import Sandbox, SandboxTransport, SystemClock
from pipelines.iron import Iron
from pipelines.model import Next, Policy
from tests.world import API_KEY, BASE_URL, PLENTY, a_job
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.engine.pulse import Pulse
from workers.engine.runner import Runner
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, Nudge, connect
from workers.logs import configure_logs
from workers.process.lifespan import ProcessLife
from workers.secrets.vault import Vault, new_key


class TimedRunner(Runner):
    """Notes when a nudge was sent and when its step began."""

    sent: ClassVar[dict[tuple[str, int], float]] = {}
    hops_ms: ClassVar[list[float]] = []

    def run(self, step: str, key: str, version: int) -> Next | None:
        sent = self.sent.pop((key, version), None)
        if sent is not None:
            self.hops_ms.append((time.perf_counter() - sent) * 1000)
        return super().run(step, key, version)


def main(customers: int = 200) -> None:
    """Measure and print."""
    configure_logs("json", logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        ledger = Ledger(connect(server.url_for(0)), PLENTY)
        broker = NudgeBroker(server.url_for(1))
        sandbox = Sandbox(SystemClock(), speed=1000)
        transport = SandboxTransport(sandbox)
        leases = Leases(ledger)
        vault = Vault([new_key()])

        def send(nudge: Nudge) -> None:
            TimedRunner.sent[nudge.key, nudge.version] = time.perf_counter()
            broker.send(nudge)

        runner = TimedRunner(
            ledger, leases, send, Iron(transport, BASE_URL, API_KEY), vault, Policy(poll_min_s=0.1), "default"
        )
        broker.add_middleware(ProcessLife([leases, Pulse(ledger, broker)], transport))
        declare_actors(broker, runner)
        worker = dramatiq.Worker(broker, worker_threads=8)
        worker.start()
        door = FrontDoor(ledger, vault, send)
        try:
            for number in range(customers):
                time.sleep(0.15)
                door.submit(a_job(f"hop-{number}", "manual"))
                deadline = time.monotonic() + 10
                while (read := ledger.read(f"hop-{number}")) and read.record.phase != "identification_pending":
                    if time.monotonic() > deadline:
                        raise SystemExit("a customer did not move on")
                    time.sleep(0.01)
        finally:
            worker.stop()
        hops = sorted(TimedRunner.hops_ms)
        p50, p99 = statistics.median(hops), hops[int(len(hops) * 0.99)]
        print(f"{len(hops)} hops: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {hops[-1]:.1f} ms (targets: 20 and 100 ms)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
