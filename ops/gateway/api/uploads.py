"""Files of jobs from a request to the ledger: kept in a temporary file, then loaded beside the answer.

A load ends with the process. What it has loaded by then is in the ledger; the same file sent again goes on there.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
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

#: Loads a file, and tells how far it is.
Work = Callable[..., Result]

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

    def __init__(self, imports: Imports, odd: Imports) -> None:
        """Take what loads a file, and what does so and lets odd ids pass; they are used in threads of our own."""
        self._imports = imports
        self._odd = odd
        self._threads = ThreadPoolExecutor(LOADS, "import")
        self._room = threading.Semaphore(LOADS)
        self._closing = threading.Event()

    async def take(self, request: Request, name: str, lane: Lane, kind: str, by: str, *, odd_ids: bool = False) -> None:
        """Receive a file and begin to load it; returns when its first rows are in the ledger.

        `kind`: how the file's name ends, which tells its format. `odd_ids`: ids that look like a mistake are taken.
        Raises ProblemError, also for what is wrong with the file as a whole; what comes to light later leaves the
        import interrupted. Whatever happens, place and temporary file are given back.
        """
        if not self._room.acquire(blocking=False):
            text = "Nothing was stored. Send the file again later."
            raise ProblemError("imports_busy", text, headers={"Retry-After": "30"})
        with ExitStack() as held:
            held.callback(self._room.release)
            path = await self._received(request, kind, held)
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            imports = self._odd if odd_ids else self._imports
            work = partial(imports.load, path, by=by, name=name, lane=lane)
            given = held.pop_all()  # from here on the thread gives them back
            try:
                self._threads.submit(self._load, work, name, given, begun)
            except BaseException:
                given.close()
                raise
        await _answered(begun)

    def close(self) -> None:
        """Let loads end after the batch in hand."""
        self._closing.set()
        self._threads.shutdown()

    async def _received(self, request: Request, kind: str, held: ExitStack) -> Path:
        """Write the body to a file, which `held` removes. Raises ProblemError: too large, too slow, or no room."""
        try:
            with tempfile.NamedTemporaryFile(prefix="onboarding-", suffix=kind, delete=False) as file:
                path = Path(file.name)
                held.callback(path.unlink, missing_ok=True)
                await receive(request, file.write, LIMIT_BYTES, FILE_WITHIN_S)
        except OSError as error:
            raise _no_room(error.strerror or type(error).__name__) from None
        return path

    def _load(self, work: Work, name: str, held: ExitStack, begun: asyncio.Future[None]) -> None:
        """Load a file, in a thread."""

        def progress(_: Result) -> None:
            _tell(begun, None)
            if self._closing.is_set():
                raise _StoppedError

        try:
            with held:
                result = work(progress=progress)
            _tell(begun, None)
            log.info("import.loaded", name=name, count=result.rows)
        except Exception as error:  # noqa: BLE001 -- whoever waits hears of it, and the log
            log.warning("import.interrupted", name=name, error=type(error).__name__)
            _tell(begun, error)


async def _answered(begun: asyncio.Future[None]) -> None:
    """Wait until a file's first rows are in the ledger. Raises ProblemError for what is wrong with it as a whole."""
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
        if error.code == "no_temporary_space":
            raise ProblemError("no_temporary_space", error.text) from None
        errors = [{"pointer": "", "code": error.code, "text": error.text}]
        raise ProblemError("invalid_file", errors=errors) from None


def _no_room(reason: str) -> ProblemError:
    text = f"The temporary folder of the gateway takes no file ({reason}): make room in it, or name another (TMPDIR)."
    return ProblemError("no_temporary_space", text)


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
