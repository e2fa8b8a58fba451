"""A rotation killed again and again beside live commits, real processes on a real Redis: nothing is lost by it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import redis

from ops.local.embedded import EmbeddedRedis
from pipelines.errors import InputLostError
from pipelines.job import parse_job
from pipelines.model import Next
from tests.world import PLENTY, a_job
from workers.intake.submit import FrontDoor
from workers.ledger import PREFIX, Claim, Ledger, connect
from workers.operate.audit import Auditor
from workers.secrets.rotation import Rotation
from workers.secrets.vault import Place, Vault, key_id, new_key

RECORDS = 4_000
KILLS = 3
DEADLINE_S = 120


def rotating(url: str, ring: str) -> subprocess.Popen[str]:
    """Start a rotation as a user does."""
    env = {**os.environ, "ONBOARDING_REDIS_URL": url, "ONBOARDING_ENCRYPTION_KEYS": ring}
    command = [sys.executable, "-m", "ops.cli", "keys", "rotate", "--json"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed_after(running: subprocess.Popen[str], client: redis.Redis, steps: int) -> bool:
    """Kill -9 as soon as the rotation has kept its place so many times more; False: it was through before."""
    deadline, seen = time.monotonic() + DEADLINE_S, {client.hget(f"{PREFIX}rotation", "cursor")}
    while len(seen) <= steps and running.poll() is None:
        seen.add(client.hget(f"{PREFIX}rotation", "cursor"))
        assert time.monotonic() < deadline
    running.send_signal(signal.SIGKILL)
    running.communicate()
    return running.returncode == -signal.SIGKILL


class Load(threading.Thread):
    """A worker that commits another value for one record after the other, and reads every second one back."""

    def __init__(self, url: str, vault: Vault, seed: int) -> None:
        super().__init__()
        self.vault = vault
        self.ledger = Ledger(connect(url), PLENTY)
        self.keys = [f"k-{number}" for number in range(RECORDS) if number % 2 == seed]
        self.dice = random.Random()
        self.committed: dict[str, int] = {}
        self.commits: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        """Go on until told to stop."""
        number = 0
        while not self.done.is_set():
            key, number = self.dice.choice(self.keys), number + 1
            try:
                self.commit(key, number)
                self.readable(self.dice.choice(self.keys))
            except InputLostError:
                self.wrong.append(key)
        self.ledger.client.close()

    def commit(self, key: str, number: int) -> None:
        """Commit a value that the test knows again."""
        read = self.ledger.read(key)
        assert read is not None
        claim = self.ledger.claim(key, read.record.version, read.record.step)
        assert isinstance(claim, Claim)
        place = Place("input", key, "customer")
        self.vault.open(place, claim.sealed_input)
        sealed = self.vault.seal(place, {"number": number})
        self.ledger.commit(claim, Next(claim.record, 3_600.0, "a commit"), {"customer": sealed})
        self.committed[key] = number
        self.commits[key] += 1

    def readable(self, key: str) -> None:
        """Open what is stored now, and find the last commit in it."""
        value: Any = self.vault.open(Place("input", key, "customer"), self.ledger.input(key)["customer"])
        if value.get("number") != self.committed.get(key):
            self.wrong.append(key)


def test_killed_three_times_beside_commits_then_to_the_end(tmp_path: Path) -> None:
    """Everything can be read at every moment, no commit is lost, and in the end the old key seals nothing."""
    old, new, dice = new_key(), new_key(), random.Random()
    with EmbeddedRedis(tmp_path / "redis") as server, connect(server.url) as client:
        ledger = Ledger(client, PLENTY)
        jobs = [parse_job(a_job(f"k-{number}", lane="bulk")) for number in range(RECORDS)]
        FrontDoor(ledger, Vault([old]), lambda _: None).submit_many(jobs)
        # One worker has the new ring already, the other has not been started again since the key was put last on it.
        loads = [Load(server.url, Vault(ring), seed) for seed, ring in enumerate(([new, old], [old, new]))]
        for load in loads:
            load.start()
        try:
            killed = [
                killed_after(rotating(server.url, f"{new},{old}"), client, dice.randint(1, 2)) for _ in range(KILLS)
            ]
            assert all(killed)
            loads[1].vault = loads[0].vault  # started again
            out, told = rotating(server.url, f"{new},{old}").communicate(timeout=DEADLINE_S)
        finally:
            for load in loads:
                load.done.set()
                load.join()
        assert (out, [load.wrong for load in loads]) == (out, [[], []]), told
        assert all(len(load.committed) > KILLS for load in loads)
        assert '"complete": true' in out, told
        assert Rotation(ledger, Vault([new])).count().counts == {key_id(new): RECORDS}
        for load in loads:
            load.vault, load.ledger = Vault([new]), ledger
            for key in load.keys:
                load.readable(key)
            assert load.wrong == []
            notes = {key: sum(one["note"] == "a commit" for one in ledger.history(key)) for key in load.commits}
            assert notes == load.commits
        assert [one.code for one in Auditor(ledger, wait=lambda: None).run() if one.counts] == []
