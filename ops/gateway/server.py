"""The gateway behind a port: settings -> logs -> peers -> uvicorn, until SIGTERM or SIGINT.

What is being answered is finished; a wake that was answered 200 is in the ledger already, so nothing is lost by a kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from typing import cast

import redis
import structlog
import uvicorn
from fastapi import FastAPI

from ops.gateway.app import Options, Peers, create_app
from ops.gateway.http.head_limit import limited, most_connections
from ops.listening import listen
from workers.engine.broker import NudgeBroker
from workers.ledger import Ledger, connect
from workers.logs import configure_logs
from workers.operate.preflight import check_broker, check_ledger
from workers.process.no_dumps import forbid_dumps
from workers.secrets.key_ids import KeyIds
from workers.settings import Settings, SettingsError, customer_links

try:
    from uvloop import new_event_loop
except ImportError:  # it does not exist for every platform: asyncio's own does the same and takes longer
    from asyncio import new_event_loop  # type: ignore[assignment]  # uvloop's is one of its kind

log = structlog.get_logger()

HOST = "127.0.0.1"
PORT = 8700

#: How long answers under way may take at the end, in seconds: below the grace of any container.
GRACE_S = 10
#: An idle connection is kept so long, in seconds: longer than the 60 s of usual proxies, which otherwise send a request
#: into a connection that we are just closing.
KEEP_ALIVE_S = 75
#: Objects made since the last look for garbage after which there is another one: those of some ten answers, where
#: Python's own number would have it look more than once for each.
GARBAGE = 20_000
#: Connections that wait to be accepted: a burst of deliveries after an outage.
BACKLOG = 2048


def serve(host: str = HOST, port: int = PORT) -> None:
    """Serve until a signal comes; port 0 takes a free one.

    Raises SettingsError, and OSError naming the address when it cannot be had.
    """
    forbid_dumps()
    settings = Settings.load("gateway")
    configure_logs(settings.ONBOARDING_LOG)
    with listen(host, port) as listener:
        ledger = Ledger(connect(settings.ledger_url), settings.budget, durability=settings.durability)
        broker = NudgeBroker(settings.broker_url)
        try:
            _refuse_unfit(ledger, settings)
            _refuse_restricted(broker)
            links = customer_links(settings, address(host, listener.getsockname()[1]))
            app = create_app(Peers(ledger, broker, settings.vault, links), _options(settings))
            gc.collect()
            gc.freeze()  # what is here stays: looking through it for garbage would hold up answers now and then
            gc.set_threshold(GARBAGE)
            server = _Server(_config(app), _console(settings, *listener.getsockname()[:2]))
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(server.serve(sockets=[listener]))
        finally:
            broker.close()
            broker.client.close()
            ledger.client.close()


def _refuse_unfit(ledger: Ledger, settings: Settings) -> None:
    """Raise SettingsError when Redis or the key ring is not fit. A server that is away may come: /readyz tells."""
    with contextlib.suppress(redis.RedisError):
        ledger.client.ping()
        if problems := check_ledger(ledger.client, settings.durability):
            raise SettingsError(problems)
        if problems := KeyIds(ledger).begin(settings.vault):
            raise SettingsError(problems)


def _refuse_restricted(broker: NudgeBroker) -> None:
    """Raise SettingsError when the queues' Redis answers and does not let us do what we must."""
    with contextlib.suppress(redis.RedisError):
        broker.client.ping()
        if problems := check_broker(broker.client):
            raise SettingsError(problems)


def address(host: str, port: int) -> str | None:
    """Return the address for those on this machine; None where we listen for others: nobody knows how they reach us."""
    return f"http://{host}:{port}" if host in ("127.0.0.1", "localhost") else None


def _console(settings: Settings, host: str, port: int) -> str:
    """Return the console's address: as it is set, or on this machine. A container's ports are published there."""
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return (settings.ONBOARDING_PUBLIC_URL or f"http://{here}:{port}").rstrip("/") + "/"


def _options(settings: Settings) -> Options:
    return Options(
        tokens=settings.api_tokens,
        webhook_secrets=settings.webhook_secrets,
        webhook_tolerance_s=settings.IRON_WEBHOOK_TOLERANCE_S,
        ring=settings.link_keys,
        secure_cookies=(settings.ONBOARDING_PUBLIC_URL or "").startswith("https:"),
        company=settings.ONBOARDING_COMPANY_NAME,
        installation=settings.ONBOARDING_INSTALLATION,
        job_rules=settings.job_rules,
    )


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=limited(most_connections()),
        loop="none",  # it runs in ours
        ws="none",
        lifespan="on",
        access_log=False,  # RequestLines writes ours
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here depends on the caller's address
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process by the signal instead of cleanly."""

    def __init__(self, config: uvicorn.Config, console: str) -> None:
        """Take the console's address, to say it."""
        super().__init__(config)
        self.console = console

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Finish on SIGTERM and SIGINT. Only the main thread can ask for signals."""

        def stop() -> None:
            self.should_exit = True

        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so when requests can come."""
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        log.info("gateway.started", host=host, port=port, console=self.console)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go who wait for events, and say so when the last answer is out."""
        cast("FastAPI", self.config.app).state.leave()
        await super().shutdown(sockets)
        log.info("gateway.stopped")
