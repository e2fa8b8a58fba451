"""The chain on SAQ with Redis: one function a call, each enqueues the next. uvloop, no results kept, no retries.

Workers: python -m tests.bench.peers.saq_chain, one a process
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import uvloop
from saq import Queue, Worker

from tests.bench.peers.plain import AGAIN_S, REDIS_URL, THREADS, AsyncCalls, Job

queue: Queue = Queue.from_url(REDIS_URL)
Context = dict[str, Any]


async def _next(name: str, **arguments: Any) -> None:
    await queue.enqueue(name, ttl=-1, **arguments)


async def create_customer(context: Context, *, job: Job) -> None:
    await _next("create_identification", customer_id=await context["calls"].create_customer(job))


async def create_identification(context: Context, *, customer_id: str) -> None:
    await context["calls"].create_identification(customer_id)
    await _next("read_until_approved", customer_id=customer_id)


async def read_until_approved(context: Context, *, customer_id: str) -> None:
    if await context["calls"].status(customer_id) == "SigningsRequired":
        await _next("required_signings", customer_id=customer_id)
    else:
        await _next("read_until_approved", customer_id=customer_id, scheduled=time.time() + AGAIN_S)


async def required_signings(context: Context, *, customer_id: str) -> None:
    await _next("sign", customer_id=customer_id, documents=await context["calls"].required_signings(customer_id))


async def sign(context: Context, *, customer_id: str, documents: list[str]) -> None:
    await context["calls"].sign(customer_id, documents[0])
    if documents[1:]:
        await _next("sign", customer_id=customer_id, documents=documents[1:])
    else:
        await _next("read_until_active", customer_id=customer_id)


async def read_until_active(context: Context, *, customer_id: str) -> None:
    if await context["calls"].status(customer_id) != "Active":
        await _next("read_until_active", customer_id=customer_id, scheduled=time.time() + AGAIN_S)


async def open_client(context: Context) -> None:
    context["calls"] = AsyncCalls()


FUNCTIONS = [
    create_customer,
    create_identification,
    read_until_approved,
    required_signings,
    sign,
    read_until_active,
]


async def _submit(jobs: Iterable[Job]) -> None:
    await queue.connect()
    for job in jobs:
        await _next("create_customer", job=job)
    await queue.disconnect()


def submit(jobs: Iterable[Job]) -> None:
    """Hand in jobs."""
    asyncio.run(_submit(jobs))


async def _work() -> None:
    await queue.connect()
    await Worker(queue, functions=FUNCTIONS, concurrency=THREADS, startup=open_client).start()


if __name__ == "__main__":
    uvloop.run(_work())
