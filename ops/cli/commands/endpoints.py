"""Commands about endpoints: where events are delivered to. Every act is noted with who did it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.commands.acts import Reason, who
from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import By, Json, add

if TYPE_CHECKING:
    from ops.cli.session import Session
    from workers.events.endpoints import Endpoints

app = typer.Typer(help="Manage the endpoints that receive events.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The endpoint's name.")]

#: Acts of an endpoint that `show` tells.
ACTS_SHOWN = 20


@contextmanager
def _endpoints(need: str = "ledger", *, check: bool = True) -> Iterator[tuple[Session, Endpoints]]:
    """Open the endpoints; what cannot be done with them is a sentence. `need`: "input" where secrets are touched."""
    from ops.cli.session import opened
    from pipelines.events import CursorError
    from workers.addresses import AddressRefusedError
    from workers.events.endpoints import EndpointError, Endpoints

    with opened(need, check=check) as session:
        try:
            yield session, Endpoints(session.ledger, session.vault if need == "input" else None)
        except EndpointError as error:
            raise CommandError(str(error)) from None
        except (AddressRefusedError, CursorError) as error:
            raise usage(str(error)) from None


def add_(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to deliver to, with https://.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its name (default: the host).")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--types", metavar="GLOB", help="Only these types; may be repeated.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Start after this event (0-0: the oldest kept).")
    ] = None,
    by: By = None,
    json: Json = False,
) -> int:
    """Add an endpoint and print its secret, shown only once.

    It gets what comes from now on, unless --after says otherwise. Deliveries are CloudEvents, signed as Standard
    Webhooks; `endpoints test` sends one that is about no onboarding.

    Example: onboarding endpoints add https://crm.example.com/onboarding --types "onboarding.*"
    """
    import re

    from pipelines.events import place
    from workers.addresses import read_url, target
    from workers.events.endpoints import NAME
    from workers.events.stream import EventStream
    from workers.forms import plain

    url = plain(url)
    with _endpoints("input") as (session, endpoints):
        private = session.settings.ONBOARDING_PRIVATE_ENDPOINTS
        parsed = read_url(url, private=private)
        called = name or parsed.host.lower()
        if not re.fullmatch(NAME, called):
            raise usage(f"{called!r} cannot be a name: use small letters, digits, '.', '_' and '-' with --name.")
        try:
            target(parsed, private=private)
        except (OSError, UnicodeError):
            raise usage(f"The host {parsed.host} has no address in DNS. Correct it, or its DNS entry.") from None
        if after is not None:
            place(after)
        begin = after or EventStream(session.ledger).newest()
        secret = endpoints.add(called, url, types=types or (), after=begin, by=who(by), private=private)
    _tell_secret(called, secret, "is added", as_json=json)
    return Status.DONE


def list_(json: Json = False) -> int:
    """List the endpoints and how each is doing.

    Example: onboarding endpoints list
    """
    from workers.events.endpoints import viewed

    with _endpoints(check=False) as (_, endpoints):
        found = [viewed(standing) for standing in endpoints.all()]
    if json:
        for one in found:
            output.give(one)
    else:
        fields = ("name", "state", "delivered", "given_up", "url")
        rows = [(*(one[field] for field in fields), len(one["parked"])) for one in found]
        columns = ("name", "state", "delivered", "given up", "address", "refused now")
        output.table(columns, rows, right=("delivered", "given up", "refused now"))
    return Status.DONE


def show(name: Name, json: Json = False) -> int:
    """Show one endpoint: state, waiting events, actions.

    Example: onboarding endpoints show crm.example.com
    """
    from pipelines.times import timestamp
    from workers.events.endpoints import viewed

    with _endpoints(check=False) as (_, endpoints):
        found = viewed(endpoints.find(name))
        acts = [{"at": timestamp(act["at_ms"]), **act} for act in endpoints.acts(name, ACTS_SHOWN)]
    if json:
        output.give(found | {"acts": acts})
        return Status.DONE
    parked = found.pop("parked")
    rows = [(label.replace("_", " "), _words(value)) for label, value in found.items() if value not in (None, 0)]
    output.table(("", ""), rows)
    if parked:
        cells = [(one["idempotency_key"], one["waiting"], one["tries"], one["next_try"], one["why"]) for one in parked]
        output.table(
            ("refused", "events waiting", "tries", "next try", "why"), cells, right=("events waiting", "tries")
        )
    output.table(("at", "act", "by"), [(act["at"], act["act"], act["by"]) for act in acts])
    return Status.DONE


def pause(name: Name, reason: Reason = "", by: By = None) -> int:
    """Deliver nothing here until `resume`; events wait.

    Example: onboarding endpoints pause crm.example.com --reason "maintenance until noon"
    """
    with _endpoints() as (_, endpoints):
        endpoints.pause(name, by=who(by), reason=reason)
    output.say(f"{name} is paused.")
    return Status.DONE


def resume(name: Name, reason: Reason = "", by: By = None) -> int:
    """Deliver again, at once, from where it stopped.

    Also where a failing endpoint waits for its next try.

    Example: onboarding endpoints resume crm.example.com
    """
    with _endpoints() as (_, endpoints):
        endpoints.resume(name, by=who(by), reason=reason)
    output.say(f"{name} gets events again.")
    return Status.DONE


def try_(name: Name, by: By = None, json: Json = False) -> int:
    """Send one signed test event now and show the answer.

    Exit status 1 when it is not accepted.

    Example: onboarding endpoints test crm.example.com
    """
    from workers.events.sender import Verdict

    with _endpoints("input") as (session, endpoints):
        answer, seconds = _sent(session, endpoints, name)
        endpoints.tested(name, by=who(by), why=answer.why)
    accepted = answer.verdict is Verdict.ACCEPTED
    if json:
        output.give({"name": name, "accepted": accepted, "answer": answer.why, "seconds": round(seconds, 3)})
    output.say(f"{name} {'accepted' if accepted else 'did not accept'} it: {answer.why}, after {seconds:.2f} s.")
    return Status.DONE if accepted else Status.FAILED


def replay(
    name: Name,
    event: Annotated[str | None, typer.Option(metavar="ID", help="Only this event.")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="ID", help="All from this event on.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="ID", help="Up to this one (default: up to now).")] = None,
    by: By = None,
) -> int:
    """Deliver events again, one or a range.

    They keep their ids; only those that fit the endpoint's types are sent.

    Example: onboarding endpoints replay crm.example.com --from 1790000000000-0
    """
    from pipelines.events import place
    from workers.events.stream import EventStream

    if (event is None) == (first is None):
        raise usage("Use --event ID for one event, or --from ID (and --to ID) for a range.")
    with _endpoints() as (session, endpoints):
        begin = str(event or first)
        end = event or last or EventStream(session.ledger).newest()
        if place(end) < place(begin):
            raise usage(f"--to {end} comes before --from {begin}: exchange them.")
        if not EventStream(session.ledger).between(begin, end, 1):
            raise CommandError("None of these events is kept. See those kept with `onboarding events`.")
        endpoints.replay(name, begin, end, by=who(by))
    output.say(f"{name} gets the events from {begin} to {end} again.")
    return Status.DONE


def rotate(
    name: Name,
    overlap: Annotated[
        str, typer.Option(metavar="24h", help="How long the old secret keeps signing too (0s: stop now).")
    ] = "24h",
    by: By = None,
    json: Json = False,
) -> int:
    """Make a new secret and print it, shown only once.

    Every delivery has a signature with each secret that holds, so that the receiver can change over in peace.

    Example: onboarding endpoints rotate crm.example.com --overlap 12h
    """
    from ops.cli.inputs import duration_s

    seconds = duration_s(overlap)
    with _endpoints("input") as (_, endpoints):
        secret = endpoints.rotate(name, overlap_s=seconds, by=who(by))
    _tell_secret(name, secret, f"has a new secret; the old one keeps signing for {overlap} more", as_json=json)
    return Status.DONE


def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without --yes only what would be lost is shown.")] = False,
    by: By = None,
) -> int:
    """Remove the endpoint. Undelivered events are not sent.

    What people did to the endpoint stays on record.

    Example: onboarding endpoints remove crm.example.com --yes
    """
    with _endpoints() as (_, endpoints):
        standing = endpoints.find(name)
        if yes:
            endpoints.remove(name, by=who(by))
    waiting = sum(len(parked.ids) for parked in standing.parked.values())
    output.say(
        f"{name} is removed."
        if yes
        else f"{name} has {waiting:,} events that it rejected and that we still retry. Remove it with --yes."
    )
    return Status.DONE


def _sent(session: Session, endpoints: Endpoints, name: str) -> tuple[Any, float]:
    """Send a test event; answers what came of it, and after how many seconds."""
    import secrets

    import httpx

    from pipelines.events import source
    from workers.environment import certificates
    from workers.events.courier import new_transport
    from workers.events.sender import Answer, Sender, test_body
    from workers.proxies import Proxies

    if fault := certificates():
        raise usage(fault)

    endpoint = endpoints.find(name).endpoint
    keys = endpoints.secrets(endpoint)
    started = time.monotonic()
    with new_transport(Proxies.of_environment()) as transport:
        sender = Sender(transport, private=session.settings.ONBOARDING_PRIVATE_ENDPOINTS)
        at = sender.aim(httpx.URL(endpoint.url))
        if isinstance(at, Answer):
            return at, time.monotonic() - started
        id_ = f"test-{secrets.token_hex(8)}"
        body = test_body(id_, source(session.settings.ONBOARDING_INSTALLATION), time.time())
        return sender.send(at, id_, body, keys), time.monotonic() - started


def _tell_secret(name: str, secret: str, what: str, *, as_json: bool) -> None:
    output.say(f"The endpoint {name} {what}. Secret (shown only once):")
    if as_json:
        output.give({"name": name, "secret": secret})
    else:
        output.put(secret)  # data: it goes where a script can take it


def _words(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


_COMMANDS: dict[str, Callable[..., int]] = {
    "add": add_,
    "list": list_,
    "show": show,
    "pause": pause,
    "resume": resume,
    "test": try_,
    "replay": replay,
    "rotate": rotate,
    "remove": remove,
}
for _name, _command in _COMMANDS.items():
    add(app, _command, _name)
