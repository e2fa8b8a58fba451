"""The command `events`: the stream of what upstream systems are told, to look at and to follow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli import output
from ops.cli.exits import CommandError, Status, usage
from ops.cli.options import Json, add

if TYPE_CHECKING:
    from pipelines.events import Event
    from workers.events.stream import EventStream

#: Pause between two looks while nothing comes, in seconds.
LOOK_EVERY_S = 0.25


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, events)


def events(
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Only events after this one (default: all that are kept).")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for new events (without --after: only new ones).")
    ] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Stop after N events.")] = None,
    json: Json = False,
) -> int:
    """Show the events of all customers, oldest first.

    With --json one CloudEvent a line.

    The id of the last one you have seen is where to go on: give it to --after.

    Example: onboarding events --follow --json
    """
    from ops.cli.session import opened
    from pipelines.events import CursorError, source
    from workers.events.stream import OLDEST, EventsGoneError, EventStream

    with opened() as session:
        stream = EventStream(session.ledger)
        origin = source(session.settings.ONBOARDING_INSTALLATION)
        shown = 0
        try:
            begin = after or (stream.newest() if follow else OLDEST)
            for event in _read(stream, begin, follow=follow):
                _show(event, origin, as_json=json)
                shown += 1
                if shown == limit:
                    break
        except CursorError as error:
            raise usage(f"--after {after!r}: {error}") from None
        except EventsGoneError as error:
            raise CommandError(str(error)) from None
    return Status.DONE


def _read(stream: EventStream, cursor: str, *, follow: bool) -> Iterator[Event]:
    while True:
        page = stream.after(cursor)
        yield from page
        if page:
            cursor = page[-1].id
        elif follow:
            time.sleep(LOOK_EVERY_S)
        else:
            return


def _show(event: Event, origin: str, *, as_json: bool) -> None:
    told = event.cloud_event(origin)
    if as_json:
        output.give(told)
    else:
        output.say(f"{told['time']}  {event.id:<20} {event.type:<36} waits for {event.waiting_on:<9} {event.key}")
