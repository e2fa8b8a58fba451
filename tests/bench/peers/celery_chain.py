"""The chain on Celery with Redis: one task a call, each sends the next. No results, no gossip, threads.

Workers, one a process: celery -A tests.bench.peers.celery_chain worker --pool threads --concurrency T
    --without-gossip --without-mingle --without-heartbeat
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery

from tests.bench.peers.plain import AGAIN_S, REDIS_URL, Calls, Job

app = Celery("peers", broker=REDIS_URL)
app.conf.update(task_ignore_result=True, worker_disable_rate_limits=True, broker_connection_retry_on_startup=True)
calls = Calls()


@app.task
def create_customer(job: Job) -> None:
    create_identification.delay(calls.create_customer(job))


@app.task
def create_identification(customer_id: str) -> None:
    calls.create_identification(customer_id)
    read_until_approved.delay(customer_id)


@app.task
def read_until_approved(customer_id: str) -> None:
    if calls.status(customer_id) == "SigningsRequired":
        required_signings.delay(customer_id)
    else:
        read_until_approved.apply_async((customer_id,), countdown=AGAIN_S)


@app.task
def required_signings(customer_id: str) -> None:
    sign.delay(customer_id, calls.required_signings(customer_id))


@app.task
def sign(customer_id: str, documents: list[str]) -> None:
    calls.sign(customer_id, documents[0])
    if documents[1:]:
        sign.delay(customer_id, documents[1:])
    else:
        read_until_active.delay(customer_id)


@app.task
def read_until_active(customer_id: str) -> None:
    if calls.status(customer_id) != "Active":
        read_until_active.apply_async((customer_id,), countdown=AGAIN_S)


def submit(jobs: Iterable[Job]) -> None:
    """Hand in jobs."""
    for job in jobs:
        create_customer.delay(job)
