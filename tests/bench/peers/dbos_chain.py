"""The workflow on DBOS with its embedded database, SQLite: one step a call, each checkpointed by DBOS.

Its write-ahead log is on and its queue looks twenty times a second, not once, which is much faster here.
Workers: python -m tests.bench.peers.dbos_chain, one a process
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

from tests.bench.peers.plain import AGAIN_S, THREADS, Calls, Job

DATABASE = os.environ.get("PEERS_DBOS_FILE", "")
QUEUE = "onboarding"
VERSION = "1"
CONFIG: DBOSConfig = {
    "name": "peers",
    "system_database_url": f"sqlite:///{DATABASE}",
    "application_version": VERSION,
    "executor_id": str(os.getpid()),
    "log_level": "WARNING",
    "sys_db_pool_size": THREADS + 4,
    "max_executor_threads": THREADS * 2,
}
calls = Calls()


@DBOS.step()
def create_customer(job: Job) -> str:
    return calls.create_customer(job)


@DBOS.step()
def create_identification(customer_id: str) -> str:
    return calls.create_identification(customer_id)


@DBOS.step()
def status(customer_id: str) -> str:
    return calls.status(customer_id)


@DBOS.step()
def required_signings(customer_id: str) -> list[str]:
    return calls.required_signings(customer_id)


@DBOS.step()
def sign(customer_id: str, content_id: str) -> str:
    return calls.sign(customer_id, content_id)


@DBOS.workflow()
def onboard(job: Job) -> None:
    customer_id = create_customer(job)
    create_identification(customer_id)
    while status(customer_id) != "SigningsRequired":
        DBOS.sleep(AGAIN_S)
    for content_id in required_signings(customer_id):
        sign(customer_id, content_id)
    while status(customer_id) != "Active":
        DBOS.sleep(AGAIN_S)


def submit(jobs: Iterable[Job]) -> None:
    """Hand in jobs, once a worker has laid out the database and registered the queue."""
    while not _registered():
        time.sleep(0.05)
    client = DBOSClient(system_database_url=CONFIG["system_database_url"])
    options: EnqueueOptions = {"workflow_name": "onboard", "queue_name": QUEUE, "app_version": VERSION}
    for job in jobs:
        client.enqueue(options, job)
    client.destroy()


def _registered() -> bool:
    with sqlite3.connect(DATABASE) as database:
        try:
            return database.execute("SELECT count(*) FROM queues WHERE name = ?", (QUEUE,)).fetchone()[0] > 0
        except sqlite3.OperationalError:
            return False


def _work() -> None:
    with sqlite3.connect(DATABASE) as database:
        database.execute("PRAGMA journal_mode=WAL")
    DBOS(config=CONFIG)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=THREADS, polling_interval_sec=0.05)
    threading.Event().wait()


if __name__ == "__main__":
    _work()
