"""Jobs from the event loop to the ledger: those that come at the same time share one round trip.

While one batch is on its way the next one gathers, so a lone job waits for nothing and a thousand a second cost a few
dozen round trips. An answer is given only when the ledger has the job.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.job import Job
from workers.submit import FrontDoor, Submitted

#: Batches on their way at the same time: one is being prepared while Redis has the other.
FLIGHTS = 2
#: Jobs of a batch at most: some 30 ms of work, which is what the last of a batch waits for the first.
BATCH = 100
#: What a job with data and documents counts for in a batch: such jobs may be megabytes each.
HEAVY = 20


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    by: str
    answer: asyncio.Future[Submitted]

    @property
    def weight(self) -> int:
        return 1 if self.job.identification.type == "Link" else HEAVY


class Submissions:
    """Gathers jobs and hands them in, in the order in which they came."""

    def __init__(self, door: FrontDoor) -> None:
        """Take the door, which is used in threads of our own."""
        self._door = door
        self._waiting: deque[_Waiting] = deque()
        self._threads = ThreadPoolExecutor(FLIGHTS, "submit")
        self._flights: set[asyncio.Task[None]] = set()

    async def submit(self, job: Job, by: str) -> Submitted:
        """Hand in a job and give the ledger's answer. Raises what the ledger raises: then nobody knows, ask again."""
        waiting = _Waiting(job, by, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if len(self._flights) < FLIGHTS:
            flight = asyncio.create_task(self._fly())
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)
        return await waiting.answer

    def close(self) -> None:
        """Let go of the threads. Every request is answered by then."""
        self._threads.shutdown()

    async def _fly(self) -> None:
        """Hand in what waits, batch by batch, until nothing does."""
        loop = asyncio.get_running_loop()
        while batch := self._gathered():
            try:
                answers = await loop.run_in_executor(self._threads, self._hand_in, batch)
            except Exception as error:  # noqa: BLE001 -- whoever waits for an answer hears of it
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one, answer in zip(batch, answers, strict=True):
                    if not one.answer.done():  # its caller may have given up
                        one.answer.set_result(answer)

    def _hand_in(self, batch: list[_Waiting]) -> list[Submitted]:
        return self._door.submit_many([one.job for one in batch], by=[one.by for one in batch])

    def _gathered(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        weight = 0
        while self._waiting and weight < BATCH:
            batch.append(self._waiting.popleft())
            weight += batch[-1].weight
        return batch
