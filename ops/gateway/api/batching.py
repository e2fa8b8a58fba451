"""Jobs from the event loop to the ledger: those that come at the same time share one round trip.

While one batch is on its way the next one gathers, so a lone job waits for nothing and a thousand a second cost some
hundred round trips. One that takes long, because it waits for the disk, is not waited for. What can be done without the
ledger is done before, in the event loop: threads that compute beside it would only take turns with it, and the turns
cost more than the work. An answer is given only when the ledger has the job.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from workers.intake.submit import FrontDoor, Submitted
from workers.ledger import New

#: Jobs of a batch at most: some milliseconds of Redis, which is what the last of a batch waits for the first.
BATCH = 100
#: Bytes of sealed input that count in a batch like a job more: jobs with documents may be megabytes each.
HEAVY_BYTES = 16 * 1024
#: How long a job waits for the batch before it to come back, in seconds: some times what Redis takes for one.
PATIENCE_S = 0.05
#: Batches on their way at the same time, at most: a second's worth of them, which is how long the disk may take.
FLIGHTS = 16


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: New
    answer: asyncio.Future[Submitted]

    @property
    def weight(self) -> int:
        return 1 + sum(map(len, self.job.parts.values())) // HEAVY_BYTES


class Submissions:
    """Gathers jobs and hands them in, in the order in which they came."""

    def __init__(self, door: FrontDoor) -> None:
        """Take the door, which is used in threads of our own."""
        self._hand_in = door.hand_in
        self._waiting: deque[_Waiting] = deque()
        self._threads = ThreadPoolExecutor(FLIGHTS, "submit")
        self._flights: set[asyncio.Task[None]] = set()
        self._patience: asyncio.TimerHandle | None = None

    async def submit(self, job: New) -> Submitted:
        """Hand in a job and give the ledger's answer. Raises what the ledger raises: then nobody knows, ask again."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, loop.create_future())
        self._waiting.append(waiting)
        if not self._flights or len(self._waiting) >= BATCH:
            self._depart()
        elif self._patience is None:
            self._patience = loop.call_later(PATIENCE_S, self._depart)
        return await waiting.answer

    def close(self) -> None:
        """Let go of the threads. Every request is answered by then."""
        self._threads.shutdown()

    def _depart(self) -> None:
        """Let what waits leave now, if there is anything and not too much on its way."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._waiting and len(self._flights) < FLIGHTS:
            flight = asyncio.create_task(self._fly())
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)

    async def _fly(self) -> None:
        """Hand in what waits, batch by batch, until nothing does."""
        loop = asyncio.get_running_loop()
        while batch := self._gathered():
            try:
                answers = await loop.run_in_executor(self._threads, self._hand_in, [one.job for one in batch])
            except Exception as error:  # noqa: BLE001 -- whoever waits for an answer hears of it
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one, answer in zip(batch, answers, strict=True):
                    if not one.answer.done():  # its caller may have given up
                        one.answer.set_result(answer)

    def _gathered(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        weight = 0
        while self._waiting and weight < BATCH:
            batch.append(self._waiting.popleft())
            weight += batch[-1].weight
        return batch
