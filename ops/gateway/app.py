"""The gateway's application, made from what it needs: no globals, and nothing happens on import.

Here stands which routes there are and what each may use. A new module of routes is one line in `create_app`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from ops.gateway import probes, problems, webhooks
from ops.gateway.bodies import BODY_WITHIN_S
from ops.gateway.lines import RequestLines
from ops.gateway.wakeups import WAKE_WITHIN_S, WakeUps
from workers.ledger import Ledger, Nudge

#: A delivery may have been signed so many seconds before or after now. Source: iron-api 6.3, Iron's own demonstration.
WEBHOOK_TOLERANCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom the gateway talks to. Everything here is called in threads."""

    ledger: Ledger
    #: Puts a nudge on the queue of its lane.
    send: Callable[[Nudge], None]
    #: Raises redis.RedisError when the broker is away.
    ask_broker: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set."""

    #: Any of these verifies a webhook; none: the endpoint answers 503 and says so.
    webhook_secrets: Sequence[str] = ()
    webhook_tolerance_s: float = WEBHOOK_TOLERANCE_S
    body_within_s: float = BODY_WITHIN_S
    wake_within_s: float = WAKE_WITHIN_S
    probe_within_s: float = probes.ANSWER_WITHIN_S
    clock: Callable[[], float] = time.time


def create_app(peers: Peers, options: Options) -> FastAPI:
    """Make the application. Its lifespan's end stops its threads; the peers stay open."""
    wakeups = WakeUps(peers.ledger, peers.send, options.wake_within_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        wakeups.close()

    app = FastAPI(
        title="Iron onboarding",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,  # an address is right or wrong
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(RequestLines)
    app.include_router(probes.routes(_parts(peers), options.probe_within_s))
    app.include_router(webhooks.routes(_verification(options), wakeups))
    return app


def _parts(peers: Peers) -> tuple[probes.Part, ...]:
    return (
        probes.Part("ledger", peers.ledger.client.ping, "Start its Redis, or correct ONBOARDING_REDIS_URL."),
        probes.Part("broker", peers.ask_broker, "Start its Redis, or correct ONBOARDING_BROKER_URL."),
    )


def _verification(options: Options) -> webhooks.Verification:
    return webhooks.Verification(
        options.webhook_secrets, options.webhook_tolerance_s, options.clock, options.body_within_s
    )
