"""What events cost: memory for each, time added to the call that tells, and how many an endpoint gets a second.

The receiver is in this process and answers after 20 ms, as one in the same region does.

    python -m tests.bench.events [records]
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from ops.local.embedded import EmbeddedRedis
from pipelines import events
from pipelines.model import Record
from tests.integration.test_courier import SOURCE
from tests.world import PLENTY
from workers.events.courier import Courier
from workers.events.endpoints import Endpoints
from workers.events.stream import OLDEST, STREAM
from workers.ledger import PREFIX, Ledger, New, connect
from workers.logs import configure_logs
from workers.secrets.vault import Vault, new_key

#: What the receiver takes for an answer, in seconds.
ANSWER_S = 0.02


class Receiver(httpx.BaseTransport):
    """Accepts everything after a while."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        threading.Event().wait(ANSWER_S)
        return httpx.Response(204)


def creating(ledger: Ledger, records: int, *, tell: bool) -> float:
    """Create records, 500 to a round trip; answers microseconds of processor for each, ours and Redis's."""
    beginning = events.beginning
    if not tell:
        events.beginning = lambda _: ""  # type: ignore[assignment]
    started = processor_s(ledger)
    for first in range(0, records, 500):
        keys = (f"crm-2026-{number:07d}" for number in range(first, first + 500))
        ledger.create([New(Record(key=key, external_id=key, lane="bulk"), {}) for key in keys])
    events.beginning = beginning
    return (processor_s(ledger) - started) / records * 1e6


def processor_s(ledger: Ledger) -> float:
    """Seconds of processor used so far: other programs on the machine disturb them less than the clock."""
    used = ledger.client.info("cpu")
    return float(time.process_time() + used["used_cpu_user"] + used["used_cpu_sys"])


def delivering(ledger: Ledger) -> float:
    """Deliver the whole stream to one endpoint; answers events a second."""
    vault = Vault([new_key()])
    Endpoints(ledger, vault).add("crm", "http://127.0.0.1:1/", types=(), after=OLDEST, by="a bench", private=True)
    courier = Courier(ledger, vault, source=SOURCE, private=True, kept_s=1e6, transport=Receiver)
    total, started = ledger.client.xlen(STREAM), time.perf_counter()
    courier.start()
    while int(ledger.client.hget(f"{PREFIX}courier:crm", "delivered") or 0) < total:
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    courier.stop()
    return float(total / seconds)


def main(records: int = 2_000) -> None:
    """Measure and print."""
    configure_logs("json", logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        ledgers = [Ledger(connect(server.url_for(number)), PLENTY) for number in range(11)]
        creating(ledgers[0], records, tell=True)  # warm
        silent = min(creating(ledger, records, tell=False) for ledger in ledgers[1:6])
        told = min(creating(ledger, records, tell=True) for ledger in ledgers[6:])
        size = ledgers[6].client.memory_usage(STREAM, samples=0) / records
        rate = delivering(ledgers[6])
    print(
        f"{size:.0f} bytes an event; {told - silent:.1f} us more for a create of {silent:.0f} us that tells of one;",
        end=" ",
    )
    print(f"{rate:.0f} events a second to one endpoint that answers within {ANSWER_S * 1000:.0f} ms")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
