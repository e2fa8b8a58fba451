"""The Redis settings that operators are given, read by a real server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from ops.local.embedded import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = Path(__file__).resolve().parents[2] / "ops/deploy/redis.conf"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """Start a server with ops/deploy/redis.conf, on a socket instead of the container's addresses."""
    socket = tmp_path / "redis.sock"
    command = [
        str(find_server().path),
        str(CONFIGURATION),
        "--dir",
        str(tmp_path),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        # 100 tries, a tenth of a second apart: far longer than a server needs to start.
        patience = Retry(ConstantBackoff(0.1), 100, supported_errors=(ConnectionError, redis.ConnectionError))
        with redis.Redis(unix_socket_path=str(socket), retry=patience, decode_responses=True) as client:
            yield client
        process.terminate()


def test_redis_takes_the_file_as_it_is(server: redis.Redis) -> None:
    """Every line is known to the server, and the promises of the ledger are in force."""
    assert server.ping()
    in_force: dict[str, str] = {}
    for pattern in ("append*", "maxmemory-policy", "databases"):
        in_force |= server.config_get(pattern)
    assert in_force["appendonly"] == "yes"
    assert in_force["appendfsync"] == "everysec"
    assert in_force["maxmemory-policy"] == "noeviction"
    assert in_force["databases"] == "16"
