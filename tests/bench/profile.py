"""Where the CPU time of an onboarding goes: one thread, a real Redis and broker, the stand-in for Iron over HTTP.

First without the profiler, for the time itself; then with it, for the shares. What C code takes counts for its caller.

    python -m tests.bench.profile [customers] [functions to list]
"""

from __future__ import annotations

import cProfile
import json
import logging
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from ops.local.embedded import EmbeddedRedis
from pipelines.iron import Iron
from pipelines.iron.transport import ThreadTransport
from pipelines.model import Policy
from tests.bench.peers.iron import DOCUMENTS
from tests.world import API_KEY, a_job
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.engine.runner import Runner
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect
from workers.ledger.limits import Budget
from workers.logs import configure_logs
from workers.secrets.vault import Vault, new_key

#: Which part a file belongs to, by a piece of its path; the first that fits.
PARTS = {
    "Dramatiq": "/dramatiq/",
    "Redis": "/redis/",
    "HTTP": (
        "/httpx/",
        "/http/client",
        "/email/",
        "pipelines/iron/transport",
        "pipelines/iron",
        "/socket.py",
        "/urllib/",
    ),
    "encryption": ("/cryptography/", "workers/secrets/vault", "/hmac", "/base64"),
    "logging": ("/structlog/", "workers/logs"),
    "JSON and digests": ("/json/", "pipelines/keys"),
    "record and rules": "pipelines/",
    "ledger, runner, leases": "workers/",
}


class Line:
    """One worker thread's work, done here and now."""

    def __init__(self, server: EmbeddedRedis, iron_url: str) -> None:
        self.http = httpx.Client(base_url=iron_url)
        self.ledger, self.broker = Ledger(connect(server.url_for(0)), Budget(1e9, 6e10)), NudgeBroker(server.url_for(1))
        vault, iron = Vault([new_key()]), Iron(ThreadTransport(), f"{iron_url}/api", API_KEY)
        runner = Runner(self.ledger, Leases(self.ledger), self.broker.send, iron, vault, Policy(), "default")
        declare_actors(self.broker, runner)
        self.door = FrontDoor(self.ledger, vault, self.broker.send)
        self.consumer = self.broker.consume("interactive", prefetch=1)
        self.busy_s = 0.0
        self.profile: cProfile.Profile | None = None

    def onboard(self, keys: list[str]) -> None:
        """Bring customers to active."""
        for key in keys:
            self.door.submit(a_job(key))
        while self.http.get("/seen").json()["finished"] < len(keys):
            while self._one():
                pass
            self._people()

    def _one(self) -> bool:
        began = time.thread_time()
        if self.profile:
            self.profile.enable()
        message = next(self.consumer)
        if message is not None:
            self.broker.get_actor(message.actor_name)(*message.args)
            self.consumer.ack(message)
        if self.profile:
            self.profile.disable()
        self.busy_s += time.thread_time() - began if message is not None else 0.0
        return message is not None

    def _people(self) -> None:
        documents = [document["id"] for document in DOCUMENTS]
        for what, customer_id, key in map(str.split, self.http.get("/told").json()):
            consent = {"act": "sign", "documents": documents, "by": "consent"}
            if nudge := self.ledger.wake(customer_id) if what == "approved" else self.ledger.act(key, consent):
                self.broker.send(nudge)


def main(customers: int = 100, functions: int = 25) -> None:
    """Measure and print."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        configure_logs("json", logging.INFO, nowhere)
        command = [sys.executable, "-m", "tests.bench.peers.iron"]
        iron = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert iron.stdout is not None
        url = f"http://127.0.0.1:{iron.stdout.readline().split()[0]}"
        try:
            with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
                line = Line(server, url)
                for name in ("warm", "plain", "profiled"):
                    line.http.post("/reset", content=json.dumps({"latency_s": 0}))
                    line.busy_s, line.profile = 0.0, cProfile.Profile(time.thread_time) if name == "profiled" else None
                    line.onboard([f"{name}-{number}" for number in range(customers)])
                    if name == "plain":
                        print(f"{line.busy_s / customers * 1000:.2f} ms of CPU time an onboarding, in one thread")
        finally:
            iron.kill()
    assert line.profile is not None
    _show(line.profile, functions)


def _show(profile: cProfile.Profile, functions: int) -> None:
    stats = pstats.Stats(profile)
    parts: Counter[str] = Counter()
    for (file, _, _), (_, _, own_s, _, callers) in stats.stats.items():  # type: ignore[attr-defined] -- undeclared
        if file == "~":
            for (caller, _, _), (_, _, share_s, _) in callers.items():
                parts[_part(caller)] += share_s
        else:
            parts[_part(file)] += own_s
    total = sum(parts.values())
    for part, seconds in parts.most_common():
        print(f"{part:<24}{seconds / total:6.1%}")
    if functions:
        stats.sort_stats("tottime").print_stats(functions)


def _part(file: str) -> str:
    for part, pieces in PARTS.items():
        if any(piece in file for piece in ((pieces,) if isinstance(pieces, str) else pieces)):
            return part
    return "the rest of Python"


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
