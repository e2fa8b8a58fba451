"""The sandbox as an HTTP server: a bare ASGI application, run by uvicorn without an access log.

One event loop calls the core, so requests never overlap inside it. `serve` returns after SIGTERM or SIGINT.
"""

import asyncio
import contextlib
import gc
import random
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn

from ops.listening import listen
from ops.sandbox.api.answers import Answer
from ops.sandbox.core import Sandbox
from ops.sandbox.hosts.delivery import deliver_forever
from ops.sandbox.hosts.state import load, save
from ops.sandbox.lab.drawing import CHOICES, draw
from ops.sandbox.lab.hosted_page import prefix
from ops.sandbox.world.clock import SystemClock
from ops.sandbox.world.outbox import WebhookSettings
from ops.sandbox.world.switches import Switches

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: How long a silent answer keeps its connection if the caller does not hang up first, in seconds.
LONGEST_SILENCE_S = 120.0
#: How long answers under way may take at the end, in seconds: a client would have given up by then.
GRACE_S = 2
#: Records are kept for good and hold no cycles that matter: to look for garbage a hundred times less often spares a
#: tenth of the time with 100,000 customers.
COLLECT_AFTER = (70_000, 50, 50)


class SandboxApp:
    """The ASGI application around one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as late as its fault says, or not at all."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["raw_path"].decode("latin-1")
        answer = self.sandbox.handle(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.lost is not None:
            await _lose(answer, receive, send)
            return
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})


async def _body(receive: Receive) -> bytes | None:
    """Read the whole body; None when the caller is gone before its end: then there is no request to answer."""
    parts = []
    while (message := await receive())["type"] != "http.disconnect":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
    return None


async def _lose(answer: Answer, receive: Receive, send: Send) -> None:
    """Give no answer: wait until the caller hangs up if it should time out, then close the connection.

    ASGI has no word for that, so the connection is taken from uvicorn's own object behind `send`.
    """
    if answer.lost == "timeout":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_hung_up(receive), LONGEST_SILENCE_S)
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    await _hung_up(receive)


async def _hung_up(receive: Receive) -> None:
    """Wait for the end of the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process by the signal instead of cleanly."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_stop_on_signals`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so when requests can come."""
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        print(f"Iron sandbox ready on http://{host}:{port}/api (control: /_sandbox/)", file=sys.stderr, flush=True)


def serve(
    host: str = "127.0.0.1",
    port: int = 8701,
    speed: float = 1.0,
    *,
    seed: int = 0,
    state: Path | None = None,
    switches: Mapping[str, Any] | None = None,
    strange: int | None = None,
    webhooks: WebhookSettings | None = None,
) -> None:
    """Run a sandbox until SIGTERM or SIGINT; port 0 takes a free one.

    `state`: a file to begin from and to leave; `switches`: those that are not to be as usual, or as in the file;
    `strange`: the seed of a provider that is drawn, and that changes its mind now and then; `webhooks`: where events
    go from the start, in place of what the state says.

    Writes one line to standard error when it is ready. Raises OSError naming the address if the port is taken, and
    StateError when the file is not a state.
    """
    gc.set_threshold(*COLLECT_AFTER)
    with listen(host, port) as listener:
        links = prefix(host, listener.getsockname()[1])
        sandbox, keep = _made(speed, seed, links, dict(switches or {}), strange)
        if state is not None:
            load(sandbox, state, keep)
        if webhooks is not None:
            sandbox.webhooks.settings = webhooks
        try:
            asyncio.run(_run(sandbox, listener))
        finally:
            if state is not None:
                save(sandbox, state)


def _made(speed: float, seed: int, links: str, wanted: dict[str, Any], strange: int | None) -> tuple[Sandbox, set[str]]:
    """Make the sandbox of a server, which overlooks unknown members; give the switches that a state must not change."""
    switches = Switches.model_validate({"link_prefix": links, "unknown_members": "take", **wanted})
    if strange is None:
        return Sandbox(SystemClock(), speed=speed, seed=seed, switches=switches), set(wanted)
    dice = random.Random(strange)
    drawn = draw(switches, dice, keep=wanted)
    return Sandbox(SystemClock(), speed=speed, seed=seed, switches=drawn, dice=dice, keep=wanted), {*CHOICES, *wanted}


async def _run(sandbox: Sandbox, listener: socket.socket) -> None:
    """Serve and deliver webhooks until told to stop."""
    config = uvicorn.Config(
        SandboxApp(sandbox),
        http="h11",  # what a lost answer does to the connection is h11's way
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    _stop_on_signals(server)
    deliveries = asyncio.create_task(deliver_forever(sandbox))
    try:
        await server.serve(sockets=[listener])
    finally:
        deliveries.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await deliveries


def _stop_on_signals(server: uvicorn.Server) -> None:
    """Finish on SIGTERM and SIGINT. Only the main thread can ask for signals."""

    def stop() -> None:
        server.should_exit = True

    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
