"""Files of jobs from a request to the ledger: kept in a temporary file, then loaded beside the answer.

A load ends with the process. What it has loaded by then is in the ledger; the same file sent again goes on there.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from fastapi import Request

from ops.gateway.http.body_limits import receive
from ops.gateway.http.problems import ProblemError
from pipelines.intake import IntakeError, Lane
from workers.imports.imports import ImportNameError, Imports
from workers.imports.loading import Result
from workers.intake.submit import ImportCancelledError

log = structlog.get_logger()

#: Bytes of a file at most: several million customers.
LIMIT_BYTES = 1024**3
#: A whole file is to arrive within this time, in seconds.
FILE_WITHIN_S = 3_600.0
#: Files loaded at the same time: each keeps half a processor busy.
LOADS = 2
#: How long the answer waits for the first batch, in seconds: what is wrong with a file as a whole shows before it.
BEGUN_WITHIN_S = 5.0


class _StoppedError(Exception):
    """The process ends."""


class Uploads:
    """Takes files and loads them, a few at a time."""

    def __init__(self, imports: Imports) -> None:
        """Take what loads a file; it is used in threads of our own."""
        self._imports = imports
        self._threads = ThreadPoolExecutor(LOADS, "import")
        self._room = threading.Semaphore(LOADS)
        self._closing = threading.Event()

    async def take(self, request: Request, name: str, lane: Lane, kind: str, by: str) -> None:
        """Receive a file and begin to load it; returns when its first rows are in the ledger.

        `kind`: how the file's name ends, which tells its format. Raises ProblemError, also for what is wrong with the
        file as a whole; what comes to light later leaves the import interrupted.
        """
        if not self._room.acquire(blocking=False):
            text = "Nothing was stored. Send the file again later."
            raise ProblemError("imports_busy", text, headers={"Retry-After": "30"})
        path = await self._received(request, kind)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._threads.submit(self._load, path, name, lane, by, begun)
        try:
            async with asyncio.timeout(BEGUN_WITHIN_S):
                await asyncio.shield(begun)
        except TimeoutError:
            return
        except ImportNameError as error:
            raise ProblemError("import_name_taken", str(error)) from None
        except ImportCancelledError as error:
            raise ProblemError("import_cancelled", str(error)) from None
        except IntakeError as error:
            errors = [{"pointer": "", "code": error.code, "text": error.text}]
            raise ProblemError("invalid_file", errors=errors) from None

    def close(self) -> None:
        """Let loads end after the batch in hand."""
        self._closing.set()
        self._threads.shutdown()

    async def _received(self, request: Request, kind: str) -> Path:
        """Write the body to a file. Raises ProblemError when it is too large or too slow; then nothing is left."""
        with tempfile.NamedTemporaryFile(prefix="onboarding-", suffix=kind, delete=False) as file:
            path = Path(file.name)
            try:
                await receive(request, file.write, LIMIT_BYTES, FILE_WITHIN_S)
            except BaseException:
                self._room.release()
                await asyncio.to_thread(path.unlink)
                raise
        return path

    def _load(self, path: Path, name: str, lane: Lane, by: str, begun: asyncio.Future[None]) -> None:
        """Load a file, in a thread."""

        def progress(_: Result) -> None:
            _tell(begun, None)
            if self._closing.is_set():
                raise _StoppedError

        try:
            result = self._imports.load(path, by=by, name=name, lane=lane, progress=progress)
            _tell(begun, None)
            log.info("import.loaded", name=name, count=result.rows)
        except Exception as error:  # noqa: BLE001 -- whoever waits hears of it, and the log
            log.warning("import.interrupted", name=name, error=type(error).__name__)
            _tell(begun, error)
        finally:
            path.unlink(missing_ok=True)
            self._room.release()


def _tell(begun: asyncio.Future[None], error: Exception | None) -> None:
    """Let whoever waits go on, once, from another thread."""

    def settle() -> None:
        if begun.done():
            return
        if error is None:
            begun.set_result(None)
        else:
            begun.set_exception(error)
            begun.exception()  # seen, also where nobody waits any more

    begun.get_loop().call_soon_threadsafe(settle)
