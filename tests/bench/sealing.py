"""What it costs to seal: bytes and microseconds a part, in the form of before and of now, in turns in one run.

And how long a rotation of many values takes while nothing else goes on.

    python -m tests.bench.sealing [records]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.fernet import Fernet, MultiFernet

from ops.local.embedded import EmbeddedRedis
from pipelines.job import parse_job
from pipelines.keys import canonical_json
from tests.given_details import PERSON
from tests.world import a_job
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect
from workers.secrets.rotation import Rotation
from workers.secrets.vault import Place, Vault, new_key

#: Rounds of each form, in turns, and values in each.
ROUNDS, EACH = 60, 100
KEY = "crm-2026-000123"
PARTS: dict[str, Any] = {
    "customer": a_job(KEY)["customer"],
    "identification": PERSON,
    "evidence": {
        "documents": [{"id": "3f2a9a52-9d35-4d6b-8a50-5d3f1d5bf1a0", "url": "https://example.com/terms"}],
        "signed_by": "Ada Example",
        "signed_at": "2026-01-22T10:00:00Z",
        "evidence": "consent-4711",
    },
}


def microseconds(work: Callable[[], object]) -> float:
    """Do it some times; answers the microseconds of CPU time of one."""
    started = time.process_time()
    for _ in range(EACH):
        work()
    return (time.process_time() - started) / EACH * 1e6


def compare(value: Any, place: Place, key: str) -> list[str]:
    """Seal and open one value in both forms; gives the cells of a row."""
    fernet, vault = MultiFernet([Fernet(key)]), Vault([key])
    before, now = fernet.encrypt(canonical_json([KEY, value])), vault.seal(place, value)
    ways: list[Callable[[], object]] = [
        lambda: fernet.encrypt(canonical_json([KEY, value])),
        lambda: vault.seal(place, value),
        lambda: json.loads(fernet.decrypt(before)),
        lambda: vault.open(place, now),
    ]
    rounds = [[microseconds(way) for way in ways] for _ in range(ROUNDS)]
    times = [median(one) for one in zip(*rounds, strict=True)]
    return [str(len(canonical_json(value))), str(len(before)), str(len(now)), *(f"{one:.1f}" for one in times)]


def rotate(records: int) -> None:
    """Seal many records anew and say how long it took, the walk included that finds nothing left."""
    old, new = new_key(), new_key()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        ledger = Ledger(connect(server.url_for(0)))
        door = FrontDoor(ledger, Vault([old]), lambda _: None)
        for start in range(0, records, 1_000):
            door.submit_many(
                [parse_job(a_job(f"k-{n}", lane="bulk")) for n in range(start, min(start + 1_000, records))]
            )
        started = time.monotonic()
        rotated = Rotation(ledger, Vault([new, old])).run()
        took_s = time.monotonic() - started
        assert rotated.complete
        print(f"rotation: {rotated.resealed:,} values in {took_s:.1f} s, {rotated.resealed / took_s:,.0f} a second")


def main(records: int = 20_000) -> None:
    """Measure and print."""
    key = new_key()
    widths = (7, 14, 7, 13, 7, 13, 7)
    names = ("JSON", "bytes before", "now", "seal before", "now", "open before", "now")
    print(f"{'part':<16}" + "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)))
    for name, value in PARTS.items():
        cells = compare(value, Place("evidence" if name == "evidence" else "input", KEY, name), key)
        print(f"{name:<16}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    rotate(records)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
