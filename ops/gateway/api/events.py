"""`GET /v1/events`: the event stream, read by a cursor, waiting for what is yet to come; and `GET /v1/refused`.

However many callers wait, one look at the stream serves them all.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from ops.gateway.api import shapes
from ops.gateway.api.paging import LONGEST_PAGE
from ops.gateway.http.access import refusals
from ops.gateway.http.problems import ProblemError
from pipelines.events import CursorError, Event, place
from workers.events.stream import OLDEST, EventsGoneError, EventStream
from workers.intake.rejections import Refusals

#: Longest wait for an event, in seconds: below what proxies let a request take without an answer, usually 60.
LONGEST_WAIT_S = 30.0
#: Pause between two looks while anybody waits, in seconds: what an event is late by, at most.
LOOK_EVERY_S = 0.1
#: Stands for "after the newest event there is".
NEWEST = "newest"

After = Annotated[
    str,
    Query(
        max_length=64,
        description="Id of the last event that you have seen, or `next` of the page before. `0-0`: begin with the"
        " oldest that is kept; `newest`: only what is yet to come.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Events of a page, at most.")]
Wait = Annotated[
    float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for an event when there is none yet.")
]
RefusedLimit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="At most this many, the newest.")]


class Tail:
    """The end of the stream, looked at by one task while anybody waits for it."""

    def __init__(self, stream: EventStream) -> None:
        """Take the stream; nothing is asked yet."""
        self._stream = stream
        self._newest = OLDEST
        self._waiting = 0
        self._moved = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def close(self) -> None:
        """Let everybody who waits go with what there is."""
        self._closed = True
        self._wake()

    async def beyond(self, cursor: str, within_s: float) -> None:
        """Wait until there is something after a cursor, or the time is over, or nobody can tell."""
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                while not self._closed:
                    moved = self._moved
                    if self._looking is None or self._looking.done():
                        self._looking = asyncio.create_task(self._look())
                    await moved.wait()
                    if self._looking.done() or place(self._newest) > place(cursor):
                        return
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        """Look again and again, until nobody waits or the ledger does not answer."""
        try:
            while self._waiting and not self._closed:
                newest = await asyncio.to_thread(self._stream.newest)
                if newest != self._newest:
                    self._newest = newest
                    self._wake()
                await asyncio.sleep(LOOK_EVERY_S)
        except Exception:  # noqa: BLE001 -- whoever waits asks by himself now, and is told what is the matter
            return
        finally:
            self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def routes(stream: EventStream, tail: Tail, refused: Refusals, origin: str) -> APIRouter:
    """Make the routes. `origin` is the events' CloudEvents source."""
    router = APIRouter(tags=["events"])

    @router.get(
        "/v1/events",
        summary="Read the event stream",
        responses={
            200: {"model": shapes.Events},
            **refusals("cursor_malformed", "events_gone", "invalid_request"),
        },
    )
    async def events(after: After = OLDEST, limit: Limit = 100, wait: Wait = 0.0) -> JSONResponse:
        """Give what came after an event, oldest first; ask on with `next`.

        The same CloudEvents as endpoints get. They hold no personal data and no link: read the onboarding for those.
        """
        cursor = await asyncio.to_thread(stream.newest) if after == NEWEST else after
        found = await asyncio.to_thread(_read, stream, cursor, limit)
        if not found and wait:
            await tail.beyond(cursor, wait)
            found = await asyncio.to_thread(_read, stream, cursor, limit)
        following = found[-1].id if found else cursor
        return JSONResponse({"events": [event.cloud_event(origin) for event in found], "next": following})

    @router.get(
        "/v1/refused",
        summary="List refused jobs",
        responses={200: {"model": shapes.Refused}, **refusals("invalid_request")},
    )
    def list_refused(limit: RefusedLimit = 100) -> JSONResponse:
        """List the jobs that came as messages and were refused, the newest first, with every reason and no input."""
        return JSONResponse({"refused": [refusal.viewed() for refusal in refused.newest(limit)]})

    return router


def _read(stream: EventStream, cursor: str, limit: int) -> list[Event]:
    try:
        return stream.after(cursor, limit)
    except CursorError as error:
        raise ProblemError("cursor_malformed", str(error)) from None
    except EventsGoneError as error:
        raise ProblemError("events_gone", str(error), oldest=error.oldest) from None
