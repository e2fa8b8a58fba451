"""An import killed again and again, a real process on a real Redis: it ends as if it had run once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import redis

from ops.local.embedded import EmbeddedRedis
from tests.world import a_job
from workers.imports.imports import Imports
from workers.ledger import PREFIX, Ledger, connect
from workers.ledger.import_store import ImportStore
from workers.operate.audit import Auditor
from workers.secrets.vault import Vault, new_key

ROWS = 6_000
KILLS = 3


def importer(url: str, key: str, file: Path) -> subprocess.Popen[str]:
    """Start an import as a user does."""
    env = {**os.environ, "ONBOARDING_REDIS_URL": url, "ONBOARDING_ENCRYPTION_KEYS": key}
    command = [sys.executable, "-m", "ops.cli", "import", str(file), "--json"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed_after(running: subprocess.Popen[str], client: redis.Redis, records: int) -> bool:
    """Kill -9 as soon as the ledger has so many records; False: it was through before."""
    deadline = time.monotonic() + 120
    while client.hlen(f"{PREFIX}external") < records and running.poll() is None:
        assert time.monotonic() < deadline
    running.send_signal(signal.SIGKILL)
    running.communicate()
    return running.returncode == -signal.SIGKILL


def test_killed_three_times_then_to_the_end(tmp_path: Path) -> None:
    """Nobody is missing and nobody doubled; each has one history entry, one event and a place in the list."""
    file = tmp_path / "customers.jsonl"
    file.write_text("".join(json.dumps(a_job(f"k-{n}", lane="bulk")) + "\n" for n in range(ROWS)), encoding="utf-8")
    key, dice = new_key(), random.Random()
    with EmbeddedRedis(tmp_path / "redis") as server, connect(server.url) as client:
        points = sorted(dice.sample(range(1, ROWS - 1_500), KILLS))
        killed = [killed_after(importer(server.url, key, file), client, records) for records in points]
        assert all(killed), points
        ledger = Ledger(client)
        imports = Imports(ledger, Vault([key]))
        assert imports.get("customers").state == "loading"
        out, _ = importer(server.url, key, file).communicate(timeout=120)
        result = json.loads(out)
        assert (result["create"], result["unchanged"], result["error"]) == (ROWS, 0, 0), points
        keys = [read.record.key for read in ImportStore(ledger).imported("customers")]
        assert sorted(keys) == sorted(f"k-{n}" for n in range(ROWS)), points
        one = imports.get("customers")
        assert (one.state, one.create, one.waiting, one.phases) == ("running", ROWS, ROWS, {"received": ROWS})
        assert client.xlen(f"{PREFIX}events") == ROWS
        assert {client.llen(f"{PREFIX}history:{key}") for key in keys[:: ROWS // 100]} == {1}
        assert list(Auditor(ledger, wait=lambda: None).run()) == []
