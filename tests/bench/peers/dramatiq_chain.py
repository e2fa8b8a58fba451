"""The chain on Dramatiq: one actor a call, each sends the next. Dramatiq's own middleware, as it comes.

Workers: dramatiq tests.bench.peers.dramatiq_chain --processes P --threads T
"""

from __future__ import annotations

from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.bench.peers.plain import AGAIN_S, REDIS_URL, Calls, Job

broker = RedisBroker(url=REDIS_URL)
dramatiq.set_broker(broker)
calls = Calls()


@dramatiq.actor
def create_customer(job: Job) -> None:
    create_identification.send(calls.create_customer(job))


@dramatiq.actor
def create_identification(customer_id: str) -> None:
    calls.create_identification(customer_id)
    read_until_approved.send(customer_id)


@dramatiq.actor
def read_until_approved(customer_id: str) -> None:
    if calls.status(customer_id) == "SigningsRequired":
        required_signings.send(customer_id)
    else:
        read_until_approved.send_with_options(args=(customer_id,), delay=int(AGAIN_S * 1000))


@dramatiq.actor
def required_signings(customer_id: str) -> None:
    sign.send(customer_id, calls.required_signings(customer_id))


@dramatiq.actor
def sign(customer_id: str, documents: list[str]) -> None:
    calls.sign(customer_id, documents[0])
    if documents[1:]:
        sign.send(customer_id, documents[1:])
    else:
        read_until_active.send(customer_id)


@dramatiq.actor
def read_until_active(customer_id: str) -> None:
    if calls.status(customer_id) != "Active":
        read_until_active.send_with_options(args=(customer_id,), delay=int(AGAIN_S * 1000))


def submit(jobs: Iterable[Job]) -> None:
    """Hand in jobs."""
    for job in jobs:
        create_customer.send(job)
