"""Commands that run something: `demo` and `dev` the whole system, `worker`, `gateway` and `sandbox` one part of it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import add

if TYPE_CHECKING:
    from ops.sandbox.world.outbox import WebhookSettings
    from workers.settings import Settings

#: How long a worker that is told to stop may finish what is in hand, in seconds: longer than the calls of a step take,
#: shorter than the minute that docker-compose.yml gives. What is cut off all the same comes up when its lease ends.
GRACE_S = 45.0
#: What `dev` and `sandbox` say of the same flag.
BY_CALL = "Approve nobody until POST /sandbox/identification/{id}, like Iron's own sandbox."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (demo, dev, worker, gateway, sandbox):
        add(app, command)


def demo(
    customers: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, metavar="N", help="Number of customers, made from the 200 samples."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data in ./.onboarding-demo for the next run.")] = False,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the data in this folder instead.")] = None,
) -> int:
    """Onboard sample customers here, with a simulated Iron.

    From CSV to their final phases: a Redis of its own, the sandbox in Iron's place, workers, the gateway for its
    webhooks. The demo plays the upstream system, and checks in the end that nothing happened twice.

    Example: onboarding demo --customers 50 --keep
    """
    from ops.local.demo import run_demo

    return run_demo(customers, folder or (Path(".onboarding-demo") if keep else None))


def dev(
    port: Annotated[
        int, typer.Option(min=1, max=65_534, help="The gateway's port; the sandbox takes the next one.")
    ] = 8700,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where the data is kept.")] = Path(".onboarding"),
    by_call: Annotated[bool, typer.Option("--by-call", help=BY_CALL)] = False,
) -> int:
    """Run the whole system here until Ctrl-C.

    A Redis of its own, the sandbox in Iron's place, workers, the gateway. The data stays, and the next start goes on
    with it.

    Example: onboarding dev --port 9000
    """
    from ops.local.system import run_dev

    return run_dev(port, folder, by_call=by_call)


def worker(
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, metavar="P", help="Processes (default: ONBOARDING_WORKER_PROCESSES).")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="T", help="Threads of each (default: ONBOARDING_WORKER_THREADS)."),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(min=0, max=86_400, metavar="S", help="Time for the steps under way after SIGTERM, in seconds."),
    ] = GRACE_S,
) -> int:
    """Run workers in the foreground.

    Under Dramatiq's process manager: SIGTERM and Ctrl-C finish the steps under way, SIGHUP restarts the processes.

    Example: onboarding worker --processes 4 --threads 16
    """
    from ops.cli.session import load_settings
    from workers.logs import configure_logs

    if threads is not None:  # the worker processes read it too
        os.environ["ONBOARDING_WORKER_THREADS"] = str(threads)
    settings = load_settings("worker")
    _check(settings)
    # Said here because the workers' own standard error is a pipe, terminal or not.
    form = settings.ONBOARDING_LOG or ("console" if sys.stderr.isatty() else "json")
    os.environ["ONBOARDING_LOG"] = form
    configure_logs(form)
    count = processes or settings.ONBOARDING_WORKER_PROCESSES
    return _manage(count, settings.ONBOARDING_WORKER_THREADS, round(grace * 1000))


def gateway(
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8700,
) -> int:
    """Run the HTTP gateway in the foreground.

    It takes Iron's webhooks at /webhooks/iron, and /healthz and /readyz report its health. SIGTERM and Ctrl-C answer
    open requests first.

    Example: onboarding gateway --port 8700
    """
    from ops.gateway.server import serve
    from workers.settings import SettingsError

    try:
        serve(host, port)
    except SettingsError as error:
        raise usage(*error.problems) from None
    except OSError as error:
        raise _cannot_listen("gateway", host, port, error) from None
    return Status.DONE


def sandbox(
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8701,
    speed: Annotated[
        float, typer.Option(min=0.001, max=1e6, metavar="N", help="Divide the times of its scripts by this.")
    ] = 1.0,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start from this file, and write it at the end.")
    ] = None,
    by_call: Annotated[bool, typer.Option("--by-call", help=BY_CALL)] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Reject fields that Iron does not document.")] = False,
    strange: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="Seed that decides what Iron leaves open; some requests meet oddities."),
    ] = None,
    webhooks: Annotated[
        str | None, typer.Option(metavar="URL", help="Send webhooks there, signed with IRON_WEBHOOK_SECRET.")
    ] = None,
) -> int:
    """Run the simulator of Iron in the foreground.

    What happens to a customer is chosen by the e-mail's tag: +approve, +slow, +decline, +decline-final, +expire,
    +stepup, +newterms, +suspend, +manual. `GET /_sandbox/` lists what can be set and seen, `GET /spec` what is served.
    SIGTERM and Ctrl-C end it.

    Example: onboarding sandbox --speed 5
    """
    from ops.sandbox.hosts.server import serve
    from ops.sandbox.hosts.state import StateError
    from ops.sandbox.world.switches import chosen

    try:
        serve(
            host,
            port,
            speed,
            state=state,
            switches=chosen(by_call=by_call, strict=strict),
            strange=strange,
            webhooks=_to(webhooks) if webhooks else None,
        )
    except StateError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise _cannot_listen("sandbox", host, port, error) from None
    return Status.DONE


def _to(url: str) -> WebhookSettings:
    """Return where the sandbox sends webhooks, and what signs them: of several secrets the gateway takes any."""
    from ops.sandbox.world.outbox import WebhookSettings
    from workers.forms import FormError, plain, web_address
    from workers.settings import Settings, SettingsError

    try:
        secrets = Settings.load("sandbox").webhook_secrets
        return WebhookSettings(url=web_address(plain(url)), secret=secrets[-1])
    except SettingsError as error:
        raise usage(*error.problems) from None
    except FormError as error:
        raise usage(f"--webhooks is no web address: {error}; it should be like https://example.com/hook.") from None


def _cannot_listen(part: str, host: str, port: int, error: OSError) -> CommandError:
    """Return why an address cannot be had, and what to do; what is wrong with a file is told as such."""
    if error.filename is not None:
        raise error
    if error.errno == errno.EADDRINUSE:
        why = f"{host}:{port} is in use. Choose another with --host and --port"
    else:
        reason = (error.strerror or str(error)).rpartition(": ")[2]
        why = f"{host}:{port} cannot be used ({reason}). Choose another with --host and --port"
    return CommandError(f"The {part} did not start: {why}.")


def _check(settings: Settings) -> None:
    """Refuse servers and a key ring that are not fit, and leave no connection open behind: what follows forks."""
    from ops.cli.session import answering, require
    from workers.ledger import Ledger, connect
    from workers.operate.preflight import check_broker
    from workers.secrets.key_ids import KeyIds

    try:
        ledger, broker = connect(settings.ledger_url), connect(settings.broker_url)
    except ValueError:
        names = "ONBOARDING_REDIS_URL or ONBOARDING_BROKER_URL"
        raise usage(f"{names} is malformed: write it like redis://:password@host:6379/0.") from None
    with ledger, broker:
        with answering(ledger):
            require(ledger)
            if problems := KeyIds(Ledger(ledger)).begin(settings.vault):
                raise usage(*problems)
        if problems := check_broker(broker):
            raise CommandError(*problems)


def _manage(processes: int, threads: int, grace_ms: int) -> int:
    """Run Dramatiq's process manager until it is told to stop."""
    import multiprocessing

    import ops

    # Imported before the fork, so that it happens once and its memory is shared; nothing is opened or started by that.
    for module in ("httpx", "workers.engine.actors", "workers.process.lifespan", "workers.engine.runner"):
        __import__(module)
    from dramatiq.cli import main, make_argument_parser

    if sys.platform == "linux":  # from Python 3.14 on a server would stand between us and the workers, and outlive us
        multiprocessing.set_start_method("fork")
    root = str(Path(ops.__file__).parents[1])
    arguments = [
        *("workers.app:broker", "--path", root, "--skip-logging"),
        *("--processes", str(processes), "--threads", str(threads)),
        *("--worker-shutdown-timeout", str(grace_ms)),
    ]
    if not os.access(sys.argv[0], os.X_OK):  # after SIGHUP Dramatiq executes sys.argv again
        sys.argv = [sys.executable, "-m", "ops.cli", *sys.argv[1:]]
    status = main(make_argument_parser().parse_args(arguments))  # type: ignore[no-untyped-call]
    return Status.DONE if status == 0 else Status.FAILED
