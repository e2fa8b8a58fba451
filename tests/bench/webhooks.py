"""How fast webhooks are answered, and how soon after one the customer is read at Iron.

Everything is real and over sockets on loopback: Redis, the sandbox's server, one gateway process, one worker process.
Deliveries leave at fixed times whatever the answers do, and an answer's time counts from the time it was due to leave.
The reads are noted in the worker as they go out to Iron; a delivery's read is the first of its customer after it left.

    python -m tests.bench.webhooks [deliveries a second] [seconds]
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import json
import logging
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import dramatiq
import httpx

from ops.local.embedded import EmbeddedRedis
from ops.sandbox import sign
from tests.world import API_KEY, a_job
from workers.engine.broker import NudgeBroker
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect
from workers.logs import configure_logs
from workers.secrets.vault import Vault, new_key

SECRET = "whsec_a-secret-of-the-benchmark"
CUSTOMERS = 400
CONNECTIONS = 32
#: Nobody is read but after a webhook, and nobody waits for the budget.
QUIET = {
    "IRON_API_KEY": API_KEY,
    "IRON_RATE_PER_SECOND": "100000",
    "IRON_IDENTIFICATIONS_PER_MINUTE": "6000000",
    "ONBOARDING_POLL_MIN_S": "86400",
    "ONBOARDING_POLL_FOR_S": "604800",
    "ONBOARDING_SWEEP_INTERVAL_S": "0",
}


@dataclass
class Delivery:
    """One delivery and its answer; times in seconds since 1970."""

    customer_id: str
    due: float
    sent: float = 0.0
    answered: float = 0.0
    status: int = 0


@dataclass
class Run:
    """The deliveries of one setting, and how long Redis took to answer a PING meanwhile."""

    title: str
    deliveries: list[Delivery]
    pings: list[float]


def work(settings: dict[str, str], pipe: Connection) -> None:
    """Be a worker process, the program's own, until told to stop; then say when which customer was read."""
    reads: list[tuple[str, float]] = []
    send = httpx.HTTPTransport.handle_request

    def noted(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and (found := re.search(r"/customers/([^/]+)$", request.url.path)):
            reads.append((found[1], time.time()))
        return send(transport, request)

    httpx.HTTPTransport.handle_request = noted  # type: ignore[method-assign]
    os.environ.update(settings)
    from workers.app import broker

    configure_logs("json", logging.ERROR)
    worker = dramatiq.Worker(broker, worker_threads=16)
    worker.start()
    pipe.send("ready")
    pipe.recv()
    worker.stop()
    pipe.send(reads)


@contextmanager
def program(module: str, folder: Path, pattern: str, **environment: str) -> Iterator[str]:
    """Run a part of the system in a process; gives what the pattern finds in the line that says it is ready."""
    path = folder / f"{module}.log"
    with path.open("w") as log:
        command = [sys.executable, "-m", module, "--port", "0"]
        process = subprocess.Popen(command, stderr=log, env={**os.environ, "ONBOARDING_LOG": "json", **environment})
    try:
        deadline = time.monotonic() + 20
        while not (found := re.search(pattern, path.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(path.read_text())
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def worker(settings: dict[str, str], reads: dict[str, list[float]]) -> Iterator[None]:
    """Run a worker process; afterwards `reads` has the times of the reads of each customer."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(settings, there), daemon=True)
    process.start()
    there.close()
    here.recv()
    try:
        yield
    finally:
        here.send("stop")
        for customer_id, at in here.recv():
            reads[customer_id].append(at)
        process.join()


@contextmanager
def yardstick(url: str, times: list[float]) -> Iterator[None]:
    """Ask Redis for a PING every 20 ms meanwhile: what the machine itself adds to each answer."""
    stopped = threading.Event()

    def measure() -> None:
        with connect(url) as client:
            while not stopped.wait(0.02):
                started = time.perf_counter()
                client.ping()
                times.append(time.perf_counter() - started)

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


async def deliver(port: int, customers: list[str], rate: float, seconds: float) -> list[Delivery]:
    """Send deliveries at fixed times over a number of connections."""
    start = time.time() + 0.2
    turns = zip(range(int(rate * seconds)), itertools.cycle(customers), strict=False)
    deliveries = [Delivery(customer_id, start + number / rate) for number, customer_id in turns]
    waiting = iter(deliveries)

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for one in waiting:
            await asyncio.sleep(max(0.0, one.due - time.time()))
            one.sent = time.time()
            writer.write(request(one))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            one.answered, one.status = time.time(), int(head.split(b" ")[1])
        writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return deliveries


def request(one: Delivery) -> bytes:
    """Write a delivery as Iron does."""
    message = {"CustomerStatus": {"id": one.customer_id, "status": "IdentificationRequired"}}
    content = {"customer_id": one.customer_id, "message": message}
    body = json.dumps({"type": "customer_status", "timestamp": str(one.sent), "data": content}).encode()
    timestamp = str(int(one.sent))
    return (
        "POST /webhooks/iron HTTP/1.1\r\nHost: gateway\r\ncontent-type: application/json\r\n"
        f"webhook-id: 1\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {sign(SECRET, timestamp, body)}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def onboard(urls: tuple[str, str], key: str) -> list[str]:
    """Bring customers to the point where only Iron's news moves them; answers their ids on Iron."""
    ledger, broker = Ledger(connect(urls[0])), NudgeBroker(urls[1])
    door = FrontDoor(ledger, Vault([key]), broker.send)
    keys = [f"hook-{number}" for number in range(CUSTOMERS)]
    for one in keys:
        door.submit(a_job(one, "manual"))
    deadline = time.monotonic() + 120
    while any(read.record.phase != "identification_pending" for read in ledger.read_many(keys)):
        if time.monotonic() > deadline:
            raise SystemExit("the customers did not move on")
        time.sleep(0.2)
    return [str(read.record.customer_id) for read in ledger.read_many(keys)]


def spread(seconds: list[float]) -> str:
    """Write p50, p99 and the maximum in milliseconds."""
    ordered = sorted(1000 * value for value in seconds)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {ordered[-1]:.1f} ms"


def report(run: Run, reads: dict[str, list[float]] | None = None) -> None:
    """Print what was measured."""
    deliveries = run.deliveries
    good = sum(one.status == 200 for one in deliveries)
    span = max(one.sent for one in deliveries) - deliveries[0].sent
    print(f"{run.title}: {len(deliveries)} deliveries, {len(deliveries) / span:.0f} a second, {good} answered 200")
    print(f"  answer: {spread([one.answered - one.due for one in deliveries])} (target: p99 50 ms)")
    print(f"  Redis PING meanwhile: {spread(run.pings)}")
    if reads is None:
        return
    waits = []
    for one in deliveries:
        times = reads[one.customer_id]
        found = bisect.bisect_left(times, one.sent)
        if found < len(times):
            waits.append(times[found] - one.sent)
    print(
        f"  sent to read at Iron: {spread(waits)} (target: p99 500 ms); without a read: {len(deliveries) - len(waits)}"
    )


def main(rate: float = 200, seconds: float = 20) -> None:
    """Measure and print."""
    key = new_key()
    reads: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, EmbeddedRedis(Path(name) / "redis") as server:
        folder, urls = Path(name), (server.url_for(0), server.url_for(1))
        settings = dict(zip(("ONBOARDING_REDIS_URL", "ONBOARDING_BROKER_URL"), urls, strict=True))
        listening = r'"port": (\d+).*"gateway\.started"'
        with (
            program("ops.sandbox", folder, r"(http://\S+/api)") as iron_url,
            program("ops.gateway", folder, listening, IRON_WEBHOOK_SECRET=SECRET, **settings) as port,
        ):

            def run(title: str, pace: float) -> Run:
                pings: list[float] = []
                with yardstick(urls[0], pings):
                    deliveries = asyncio.run(deliver(int(port), customers, pace, seconds))
                time.sleep(2)  # for the last reads
                return Run(title, deliveries, pings)

            with worker({**settings, **QUIET, "IRON_BASE_URL": iron_url, "ONBOARDING_ENCRYPTION_KEYS": key}, reads):
                customers = onboard(urls, key)
                runs = [run("with a worker", rate), run("with a worker, little to do", rate / 10)]
            alone = run("without a worker", rate)
        for times in reads.values():
            times.sort()
        report(alone)
        for one in runs:
            report(one, reads)


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:]))
