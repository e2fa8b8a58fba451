"""The OpenAPI document against the application: schemathesis makes requests from it and checks every answer.

All of its checks, with an administrator's token; two onboardings are there, so that some of the addresses exist. What
is made from the document and accepted must fit it, and so must every refusal.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from ops.listening import listen
from tests.gateway import TOKENS, Gateway
from tests.world import World
from workers.secrets.tokens import Role

#: Requests of each operation and phase; more with SCHEMA_EXAMPLES.
EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "8")
DEADLINE_S = 500

CONFIG = """
[parameters]
"path.key" = ["k-1", "k-2", "nobody"]
# A long poll is as good a one when it is short.
"query.wait" = 0.1

[checks]
# A job that fits the document may be refused for what a schema cannot say: a key used before, parts that do not fit.
positive_data_acceptance.expected-statuses = ["2xx", "4xx"]
negative_data_rejection.expected-statuses = ["4xx", "503"]

# A wait that is none is replaced by the one above, and then nothing is wrong any more.
[[operations]]
include-name = "GET /v1/events"
checks.negative_data_rejection.enabled = false

# The body is a file: whatever it is, it is text, and its rows are judged one by one.
[[operations]]
include-name = "POST /v1/imports"
checks.negative_data_rejection.enabled = false
"""
#: Files of jobs are text as they are.
HOOKS = """
import schemathesis


@schemathesis.serializer("text/csv", "application/jsonl")
def text(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
"""


@pytest.fixture
def address(world: World, broker_url: str) -> Iterator[str]:
    """The application behind a port."""
    gateway = Gateway(world, broker_url)
    world.submit("k-1")
    world.onboard("k-2")
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(gateway.app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    gateway.close()


@pytest.mark.parametrize("phases", ["examples,fuzzing,stateful", pytest.param("coverage", marks=pytest.mark.long)])
def test_every_answer_is_as_documented(phases: str, address: str, tmp_path: Path) -> None:
    """No check of schemathesis fails on an operation below /v1: bounded examples, what follows from answers, rules."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run"),
        *(f"{address}/openapi.json", "--header", f"Authorization: Bearer {TOKENS[Role.ADMIN]}"),
        *("--include-path-regex", "^/v1/", "--max-examples", EXAMPLES, "--workers", "1", "--no-color"),
        *("--seed", "1", "--generation-database", "none", "--phases", phases),
        *("--suppress-health-check", "all", "--warnings", "off"),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)}
    told = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert told.returncode == 0, re.sub(r"Bearer \S+", "Bearer ...", told.stdout[-8_000:])
