"""The server's delivery of webhooks: what is due in the outbox goes out, each attempt's end is reported back."""

import asyncio

import httpx

from ops.sandbox.core import Sandbox
from ops.sandbox.world.outbox import WebhookRequest

#: Pause between two looks at the outbox, in seconds: short beside the gaps in a customer's script.
LOOK_EVERY_S = 0.05
#: Attempts at a time: a receiver that hangs must not hold up the others for long.
AT_ONCE = 16
#: One attempt, in seconds: a receiver is to answer before it works.
TIMEOUT_S = 5.0


async def deliver_forever(sandbox: Sandbox) -> None:
    """Deliver until cancelled. While webhooks are off, nothing happens here."""
    gate = asyncio.Semaphore(AT_ONCE)
    under_way: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if sandbox.webhooks.settings is None or sandbox.webhooks.settings.url is None:
                continue
            for request in sandbox.take_webhooks():
                task = asyncio.create_task(_attempt(sandbox, client, gate, request))
                under_way.add(task)
                task.add_done_callback(under_way.discard)


async def _attempt(
    sandbox: Sandbox, client: httpx.AsyncClient, gate: asyncio.Semaphore, request: WebhookRequest
) -> None:
    """Deliver one webhook once."""
    outbox = sandbox.webhooks
    status: int | None = None
    async with gate:
        try:
            answer = await client.post(request.url or "", content=request.body, headers=request.headers)
            status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            status = None
    outbox.report(request, status, sandbox.clock.now())
