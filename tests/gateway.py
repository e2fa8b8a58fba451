"""The gateway's application in this process around a world's ledger, with a real broker and a token for each role."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from ops.gateway import Options, Peers, create_app
from tests.hostile_requests import hostile
from tests.world import World
from workers.engine.broker import NudgeBroker
from workers.secrets.links import CustomerLinks
from workers.secrets.tokens import ApiToken, Role, digest

SECRET = "whsec_test"
#: A token for each role; it holds the role's name.
TOKENS: Mapping[Role, str] = {role: f"onb_test-{role}" for role in Role}


class Gateway:
    """The application, asked as a client asks it."""

    def __init__(self, world: World, broker_url: str, **options: Any) -> None:
        self.world = world
        self.broker = NudgeBroker(broker_url)
        tokens = tuple(ApiToken(f"the-{role}", role, digest(token)) for role, token in TOKENS.items())
        self.links = CustomerLinks([world.key], "default", "https://go.example.com")
        peers = Peers(world.ledger, self.broker, world.vault, self.links)
        self.app = create_app(
            peers, Options(**{"webhook_secrets": [SECRET], "tokens": tokens, "ring": [world.key], **options})
        )
        self.loop = asyncio.Runner()
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway.test")

    def close(self) -> None:
        """End the application's lifespan and let go of the broker."""

        async def end() -> None:
            await self.client.aclose()
            async with self.app.router.lifespan_context(self.app):
                pass

        self.loop.run(end())
        self.loop.close()
        self.broker.client.close()

    def request(self, method: str, path: str, *, role: Role | str | None = None, **arguments: Any) -> httpx.Response:
        """Ask for one answer; `role`: with the token of this role."""
        return self.loop.run(self.ask(method, path, role=role, **arguments))

    async def ask(self, method: str, path: str, *, role: Role | str | None = None, **arguments: Any) -> httpx.Response:
        """Ask for one answer, beside others."""
        headers = dict(arguments.pop("headers", None) or {})
        if role is not None:
            headers["Authorization"] = f"Bearer {TOKENS[Role(role)]}"
        return await self.client.request(method, path, headers=headers, **arguments)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        """Read something."""
        return self.request("GET", path, **arguments)

    def nudges(self, wanted: int) -> list[tuple[str, tuple[Any, ...]]]:
        """The nudges on the interactive queue, once there are so many."""
        deadline = time.monotonic() + 10
        consumer = self.broker.consume("interactive", prefetch=100, timeout=1)
        found: list[tuple[str, tuple[Any, ...]]] = []
        while len(found) < wanted and time.monotonic() < deadline:
            message = next(consumer)
            if message is not None:
                found.append((message.actor_name, tuple(message.args)))
                consumer.ack(message)
        assert len(found) == wanted, found
        return found


def harm(gateway: Gateway, seed: int, statuses: Counter[int]) -> str | None:
    """Send the hostile request of a seed; gives what harm it did, if any. Whatever is accepted is taken away again."""
    body, headers = hostile(seed)
    answer = gateway.request("POST", "/v1/onboardings", role="submitter", content=body, headers=headers)
    statuses[answer.status_code] += 1
    client = gateway.world.client
    stored = client.dbsize()
    if stored:
        client.flushdb()
    if answer.status_code >= 500 or (answer.status_code >= 300 and stored):
        return f"{answer.status_code}, {stored} keys"
    if answer.status_code >= 300 and answer.headers["content-type"] != "application/problem+json":
        return f"{answer.status_code} as {answer.headers['content-type']}"
    return None
