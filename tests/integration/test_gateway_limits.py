"""What one caller can cost the others: large and slow bodies, late heads, idle connections. All of it ends."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from ops.gateway.http.json_body import LIMIT_BYTES, MOST_VALUES, SMALL_BYTES
from tests.program import Program, eventually
from tests.world import a_job
from workers.secrets.tokens import Role, setting_of
from workers.secrets.vault import new_key

#: Descriptors of the gateway in these tests, and so some connections fewer.
DESCRIPTORS = 256
#: Longer than a head may take, in seconds.
HEAD_S = 20.0
TOKENS = {role: f"onb_token-of-the-{role.value}" for role in Role}


@pytest.fixture
def gateway(ledger_url: str, broker_url: str) -> Iterator[tuple[str, int]]:
    """A gateway that may have few descriptors: host and port."""
    program = Program(
        "ops.gateway",
        before=f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))",
        ONBOARDING_REDIS_URL=ledger_url,
        ONBOARDING_BROKER_URL=broker_url,
        ONBOARDING_ENCRYPTION_KEYS=new_key(),
        ONBOARDING_API_TOKENS=",".join(setting_of(role.value, role, token) for role, token in TOKENS.items()),
    )
    try:
        yield "127.0.0.1", int(program.line(r'"port": (\d+).*"gateway\.started"')[1])
    finally:
        program.stop()


def healthy(at: tuple[str, int]) -> float:
    """Ask for the health on a new connection; the seconds that took."""
    started = time.perf_counter()
    answer = httpx.get(f"http://{at[0]}:{at[1]}/healthz", trust_env=False, timeout=10)
    assert answer.status_code == 200
    return time.perf_counter() - started


def ended(connection: socket.socket) -> bool:
    """Whether the gateway has ended this connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_idle_connections_shut_nobody_out(gateway: tuple[str, int]) -> None:
    """More connections than there are descriptors, which send nothing: who comes is answered all the same."""
    with contextlib.ExitStack() as open_:
        idle = [open_.enter_context(socket.create_connection(gateway)) for _ in range(300)]
        assert healthy(gateway) < 5
        eventually(lambda: sum(map(ended, idle)) > len(idle) - DESCRIPTORS, "none gave way")
        assert healthy(gateway) < 5


def test_who_is_late_with_a_head_is_let_go(gateway: tuple[str, int]) -> None:
    """A connection that sends nothing, or its head a letter at a time, ends within the limit."""
    with contextlib.ExitStack() as open_:
        silent = open_.enter_context(socket.create_connection(gateway))
        dripping = open_.enter_context(socket.create_connection(gateway))
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ")
        used = open_.enter_context(socket.create_connection(gateway))
        used.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert used.recv(4096).startswith(b"HTTP/1.1 200")
        used.sendall(b"GET /hea")

        def let_go() -> bool:
            with contextlib.suppress(OSError):
                dripping.send(b"a")
            return ended(silent) and ended(dripping) and ended(used)

        eventually(let_go, "a late head was kept")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: one\r\nHost: two\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 17_000 + b"\r\n\r\n",
        b"GET /healthz?" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-A: aaaaaaaaaa\r\n" * 1_200 + b"\r\n",
    ],
    ids=["no host", "two hosts", "two hosts in 1.0", "a long header", "a long address", "many headers"],
)
def test_a_head_that_is_refused(head: bytes, gateway: tuple[str, int]) -> None:
    """It is 400 and the end of the connection, also where the whole head comes in one piece."""
    with socket.create_connection(gateway, timeout=10) as connection:
        connection.sendall(head)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(4096):
                answer += part
        assert answer.startswith(b"HTTP/1.1 400")


def test_a_head_without_a_host_in_the_old_version(gateway: tuple[str, int]) -> None:
    """HTTP/1.0 needs no host."""
    with socket.create_connection(gateway, timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_large_bodies_hold_up_nobody(role: Role, gateway: tuple[str, int]) -> None:
    """30 MiB of values, from any role and at any door: refused, and health is answered meanwhile."""
    values = b'{"text":[' + b"{}," * (LIMIT_BYTES // 3 - 100) + b"{}]}"
    headers = {"Authorization": f"Bearer {TOKENS[role]}", "Content-Type": "application/json"}
    statuses: list[int] = []

    def send(path: str) -> None:
        with contextlib.suppress(httpx.TransportError):  # the connection ends with the refusal
            statuses.append(
                httpx.post(
                    f"http://{gateway[0]}:{gateway[1]}{path}", content=values, headers=headers, trust_env=False
                ).status_code
            )

    paths = ("/v1/find", "/v1/onboardings", "/v1/onboardings/k/actions/correct", "/v1/onboardings/k/signings")
    threads = [threading.Thread(target=send, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    slowest = max(healthy(gateway) for _ in range(20))
    for thread in threads:
        thread.join()
    print(f"slowest health beside large bodies: {slowest * 1000:.0f} ms")
    assert slowest < 10  # without the limits it is as long as all bodies take
    assert set(statuses) <= {403, 413}


def test_limits_by_route(gateway: tuple[str, int]) -> None:
    """Only what takes a whole job takes more than 64 KB; a body of too many values is refused before it is read."""
    headers = {"Authorization": f"Bearer {TOKENS[Role.ADMIN]}", "Content-Type": "application/json"}
    with httpx.Client(base_url=f"http://{gateway[0]}:{gateway[1]}", headers=headers, trust_env=False) as client:
        padding = " " * SMALL_BYTES
        assert client.post("/v1/find", content=json.dumps({"text": "k"}) + padding).status_code == 413
        assert client.post("/v1/onboardings", content=json.dumps(a_job("k-1")) + padding).status_code == 202
        many = '{"text":[' + "1," * (MOST_VALUES + 1) + "1]}"
        refused = client.post("/v1/onboardings", content=many)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert "100,000 values" in refused.json()["detail"]
        assert client.post("/console/login", content="token=" + "a" * 9_000).status_code in (400, 413)
