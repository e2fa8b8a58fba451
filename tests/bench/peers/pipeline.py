"""This pipeline in the comparison: its own workers with all guarantees on, and the people around it.

`submit` hands in jobs by the front door. `people` plays Iron's webhooks and the customers: it wakes a record when Iron
has approved, and gives consent when documents are shown, by the calls of the gateway.

    python -m tests.bench.peers.pipeline      plays the people until its standard input ends
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.bench.peers.iron import DOCUMENTS
from tests.bench.peers.plain import IRON_URL, Job
from workers.engine.broker import NudgeBroker
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, Nudge, connect
from workers.settings import Settings

#: Jobs handed in with one round trip.
BATCH = 100
#: Webhooks and consents that come at the same time, as they would over HTTP.
TOLD_AT_ONCE = 8
#: Pause between two looks at what Iron has to tell, in seconds.
LOOK_S = 0.005


def submit(jobs: Iterable[Job]) -> None:
    """Hand in jobs."""
    from pipelines.job import parse_job

    settings = Settings.load("worker")
    broker = NudgeBroker(settings.broker_url)
    door = FrontDoor(Ledger(connect(settings.ledger_url)), settings.vault, broker.send)
    parsed = [parse_job(_wanted(job)) for job in jobs]
    for start in range(0, len(parsed), BATCH):
        door.submit_many(parsed[start : start + BATCH])


def _wanted(job: Job) -> Job:
    customer = {name: value for name, value in job.items() if name != "external_id"}
    return {"idempotency_key": job["external_id"], "customer": customer}


def people() -> None:
    """Wake and consent until standard input ends; each line of it asks for the CPU seconds that this took so far.

    Looking for what Iron has to tell is not counted: in earnest it comes by itself.
    """
    settings = Settings.load("worker")
    broker, ledger = NudgeBroker(settings.broker_url), Ledger(connect(settings.ledger_url))
    told = httpx.URL(IRON_URL).copy_with(path="/told")
    ended, busy_s = threading.Event(), 0.0

    def answer() -> None:
        for _ in sys.stdin:
            print(busy_s, flush=True)
        ended.set()

    threading.Thread(target=answer, daemon=True).start()
    documents = [document["id"] for document in DOCUMENTS]
    consent = {"act": "sign", "documents": documents, "by": "consent"}

    def tell(line: str) -> tuple[Nudge | None, float]:
        began = time.thread_time()
        what, customer_id, key = line.split()
        nudge = ledger.wake(customer_id) if what == "approved" else ledger.act(key, consent)
        return nudge, time.thread_time() - began

    with httpx.Client() as client, ThreadPoolExecutor(TOLD_AT_ONCE) as threads:
        while not ended.wait(LOOK_S):
            lines = json.loads(client.get(told).content)
            began = time.thread_time()
            answers = list(threads.map(tell, lines))
            if nudges := [nudge for nudge, _ in answers if nudge]:
                broker.send_many(nudges)
            busy_s += time.thread_time() - began + sum(spent_s for _, spent_s in answers)


if __name__ == "__main__":
    people()
