"""The gateway's application, made from what it needs: no globals, and nothing happens on import.

Here stands which routes there are and what each may use. To add some:

1. Write a module with `routes(...) -> APIRouter` that takes just what it needs. Its decorators hold the whole path
   (`/v1/...`), `responses=refusals(...)` with the codes that it may refuse with (`documented(...)` outside /v1), and
   models for what it answers. A refusal is `raise ProblemError(code, sentence)`, its code a line in problems.py.
2. An endpoint that asks Redis is a plain `def`: FastAPI runs it in a thread, and a RedisError becomes 503 by itself.
   `key: Key` reads an idempotency key from the path, `caller: Who` says who is calling, `Limit` and `Cursor` page
   (paging.py), `body: JsonBody` is a strict JSON body (contents.py), with `openapi_extra=body_of(Shape)`.
   No address holds personal data.
3. Below /v1/ every route is guarded: add a line to the table ACCESS in access.py. A page for people stands outside
   /v1/; `identified` in access.py tells whose token it was given.
4. Add a line to `create_app`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from ops.gateway.api import acts, consents, events, imports, lists, onboardings, openapi, submit, summary
from ops.gateway.api.batching import Submissions
from ops.gateway.api.uploads import Uploads
from ops.gateway.http import problems
from ops.gateway.http.access import Door, Guard, behind, guard
from ops.gateway.http.attempts import OF_A_NETWORK, Attempts
from ops.gateway.http.body_limits import BODY_WITHIN_S
from ops.gateway.http.fast_routes import Shortcuts
from ops.gateway.http.heads import Heads
from ops.gateway.http.path_keys import Segments
from ops.gateway.http.request_log import RequestLines
from ops.gateway.monitoring import metrics, probes
from ops.gateway.nudges import Nudges
from ops.gateway.pages import console, customer
from ops.gateway.searches import Searches
from ops.gateway.webhooks import routes
from ops.gateway.webhooks.wakeups import WAKE_WITHIN_S, WakeUps
from pipelines.events import source
from pipelines.job import STRICT, JobRules
from workers.engine.broker import NudgeBroker
from workers.events.stream import EventStream
from workers.imports.imports import Imports
from workers.intake.rejections import Refusals
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger
from workers.secrets.links import CustomerLinks
from workers.secrets.stored_tokens import KnownTokens, TokenStore
from workers.secrets.tokens import ApiToken
from workers.secrets.vault import Vault, new_key

#: A delivery may have been signed this many seconds before or after now. Source: iron-api 6.3, Iron's demonstration.
WEBHOOK_TOLERANCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom the gateway talks to. All of it blocks, so it is called in threads."""

    ledger: Ledger
    broker: NudgeBroker
    vault: Vault
    links: CustomerLinks


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set."""

    #: The holder of one of these, or of one in the ledger, may use what its role may; where there is none at all,
    #: every route below /v1/ answers 503 and says so.
    tokens: Sequence[ApiToken] = ()
    #: Any of these verifies a webhook; none: the endpoint answers 503 and says so.
    webhook_secrets: Sequence[str] = ()
    webhook_tolerance_s: float = WEBHOOK_TOLERANCE_S
    #: The first keys the digests that stand in the log; none: they are other ones in each process.
    ring: Sequence[str] = ()
    #: Wrong tokens of one network in a minute, beyond which the answer is 429.
    wrong_tokens: int = OF_A_NETWORK
    #: The console is reached by https alone: its cookie goes no other way, also to this machine.
    secure_cookies: bool = False
    #: Part of every event's source.
    installation: str = "default"
    #: The company's name as its customers know it.
    company: str | None = None
    #: What jobs may hold here.
    job_rules: JobRules = STRICT
    look_within_s: float = customer.LOOK_WITHIN_S
    body_within_s: float = BODY_WITHIN_S
    wake_within_s: float = WAKE_WITHIN_S
    probe_within_s: float = probes.ANSWER_WITHIN_S
    clock: Callable[[], float] = time.time


def create_app(peers: Peers, options: Options) -> FastAPI:
    """Make the application. Its lifespan's end stops its threads; the peers stay open."""
    ledger, vault, links, nudges = peers.ledger, peers.vault, peers.links, Nudges(peers.broker.send_many)
    show = onboardings.showing(links)
    wakeups = WakeUps(ledger, nudges, options.wake_within_s)
    door = FrontDoor(ledger, vault, nudges.send, options.job_rules)
    submissions = Submissions(door)
    stream, searches = EventStream(ledger), Searches(ledger, vault)
    tail = events.Tail(stream)
    files = Imports(ledger, vault, options.job_rules)
    uploads = Uploads(files, Imports(ledger, vault, replace(options.job_rules, odd_ids="pass")))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        tail.close()
        for threads in (uploads, submissions, wakeups, nudges):
            threads.close()

    registry = CollectorRegistry()
    traffic = metrics.Traffic(registry)
    tokens = KnownTokens(TokenStore(ledger), options.tokens)
    entrance = Door(tokens, Attempts(options.ring or [new_key()], traffic.refused, options.wrong_tokens))
    check = guard(entrance)
    app = FastAPI(
        title="Iron onboarding",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,  # an address is right or wrong
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours are /metrics and RequestLines
    )
    app.state.leave = tail.close  # called before answers under way are waited for
    problems.install(app)
    openapi.install(app, options.job_rules)
    intake = submit.routes(door, submissions, links, check)
    app.add_middleware(Segments)
    app.add_middleware(Shortcuts, routes=intake.routes, refusals=app.exception_handlers)
    registry.register(metrics.Fleet(peers.ledger, peers.broker))
    app.add_middleware(Heads)
    app.add_middleware(RequestLines, answered=traffic.answered)
    take_over = partial(_take_over, app, check)
    take_over(intake)
    take_over(onboardings.routes(ledger, door, show))
    take_over(lists.routes(ledger, searches, show))
    take_over(acts.routes(ledger, door, nudges.send, show))
    take_over(consents.routes(ledger, vault, nudges.send, show))
    take_over(imports.routes(files, uploads))
    take_over(summary.routes(ledger, peers.broker))
    take_over(events.routes(stream, tail, Refusals(ledger), source(options.installation)))
    take_over(probes.routes(_parts(peers), options.probe_within_s))
    take_over(metrics.routes(registry, entrance))
    take_over(routes.routes(_verification(options), wakeups))
    desk = console.Desk(ledger, peers.broker, searches, door, links, nudges.send)
    take_over(console.routes(desk, console.Sessions(ledger, entrance, secure=options.secure_cookies)))
    visits = customer.Visits(ledger, links, peers.broker.send, options.company, options.look_within_s)
    take_over(customer.routes(visits))
    return app


def _take_over(app: FastAPI, check: Guard, router: APIRouter) -> None:
    """Take a router's routes as they are, each behind the guard.

    FastAPI's `include_router` would make each of them once more when the first request comes, and look for the way of
    every request twice.
    """
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route} would have no guard")
        route.app = behind(check, route.app)
        app.router.routes.append(route)


def _parts(peers: Peers) -> tuple[probes.Part, ...]:
    return (
        probes.Part("ledger", peers.ledger.client.ping, "Start its Redis, or correct ONBOARDING_REDIS_URL."),
        probes.Part("broker", peers.broker.client.ping, "Start its Redis, or correct ONBOARDING_BROKER_URL."),
    )


def _verification(options: Options) -> routes.Verification:
    return routes.Verification(
        options.webhook_secrets, options.webhook_tolerance_s, options.clock, options.body_within_s
    )
