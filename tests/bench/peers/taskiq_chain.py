"""The chain on taskiq with Redis streams, the broker that its documentation names first: one task a call. uvloop.

Workers: taskiq worker tests.bench.peers.taskiq_chain:broker --workers P --max-async-tasks T
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from tests.bench.peers.plain import AGAIN_S, REDIS_URL, AsyncCalls, Job

broker = RedisStreamBroker(url=REDIS_URL, consumer_id="0")
calls: AsyncCalls


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_client(_: TaskiqState) -> None:
    global calls  # noqa: PLW0603 -- one client a process, made in its event loop
    calls = AsyncCalls()


@broker.task
async def create_customer(job: Job) -> None:
    await create_identification.kiq(await calls.create_customer(job))


@broker.task
async def create_identification(customer_id: str) -> None:
    await calls.create_identification(customer_id)
    await read_until_approved.kiq(customer_id)


@broker.task
async def read_until_approved(customer_id: str) -> None:
    if await calls.status(customer_id) == "SigningsRequired":
        await required_signings.kiq(customer_id)
    else:
        await asyncio.sleep(AGAIN_S)  # taskiq has no delay without its scheduler
        await read_until_approved.kiq(customer_id)


@broker.task
async def required_signings(customer_id: str) -> None:
    await sign.kiq(customer_id, await calls.required_signings(customer_id))


@broker.task
async def sign(customer_id: str, documents: list[str]) -> None:
    await calls.sign(customer_id, documents[0])
    if documents[1:]:
        await sign.kiq(customer_id, documents[1:])
    else:
        await read_until_active.kiq(customer_id)


@broker.task
async def read_until_active(customer_id: str) -> None:
    if await calls.status(customer_id) != "Active":
        await asyncio.sleep(AGAIN_S)
        await read_until_active.kiq(customer_id)


async def _submit(jobs: Iterable[Job]) -> None:
    await broker.startup()
    for job in jobs:
        await create_customer.kiq(job)
    await broker.shutdown()


def submit(jobs: Iterable[Job]) -> None:
    """Hand in jobs."""
    asyncio.run(_submit(jobs))
