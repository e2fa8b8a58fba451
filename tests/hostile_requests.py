"""Random and hostile requests: bodies that are no JSON, no job, too deep or too much, and jobs that are nearly right.

Each comes from a seed, so that one that does harm can be sent again. Used by the tests and, in thousands, by
`python -m tests.bench.hostile`.
"""

from __future__ import annotations

import copy
import json
import random
import string
from typing import Any

from tests.given_details import WHOLE
from tests.world import a_job

#: Characters that programs stumble over: control characters, halves of pairs, marks that turn the direction.
ODD = [
    "\x00",
    "\x1f",
    "\x7f",
    "\u200b",
    "\u202e",
    "\ufeff",
    "\ufffe",
    "\U0001f600",
    "\ud800",
    "\\",
    '"',
    "\n",
    "é",
    "٣",
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 2**63, 10**400, 1e308, 0.1, "", " ", "x" * 300, [], {}, [[]], {"": ""}),
    *("null", "__proto__", "../../etc/passwd", "'; DROP TABLE x; --", "${jndi:ldap://x}", "{{7*7}}", "%00", "\r\nX: y"),
]
RAW = [
    *(b"", b" ", b"{", b"}", b"[]", b"null", b'""', b"0", b"nul", b"\x00", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b"-", b"1e999", b"NaN", b'{"a":1,"a":2}', b'"\\ud800"'),
    *(b'{"idempotency_key": "k", "idempotency_key": "k"}', b"\x1f\x8b\x08\x00", b"<?xml version='1.0'?><a/>"),
]
KINDS = ["application/json", "application/json; charset=utf-16", "text/plain", "application/xml", "", "a/b", "json"]


def hostile(seed: int) -> tuple[bytes, dict[str, str]]:
    """Give a body and headers."""
    dice = random.Random(seed)
    body = dice.choice([_raw, _bytes, _mutated, _mutated, _mutated, _whole])(dice)
    headers = {"Content-Type": dice.choice(KINDS) if dice.random() < 0.2 else "application/json"}
    if dice.random() < 0.3:
        headers["Idempotency-Key"] = dice.choice(['"k-1"', "k-1", '"', '""', "a" * 300, '"a\\"', "k\tk", '"k";;;'])
    if dice.random() < 0.1:
        headers["X-Request-ID"] = dice.choice(["r-1", "x" * 500, "a b", "<script>"])
    return body, headers


def _raw(dice: random.Random) -> bytes:
    return dice.choice(RAW)


def _bytes(dice: random.Random) -> bytes:
    return dice.randbytes(dice.randrange(200))


def _mutated(dice: random.Random) -> bytes:
    """Spoil a few places of a job that is right."""
    return _written(dice, _spoiled(dice, a_job(f"h-{dice.randrange(10**9)}"), dice.randrange(1, 4)))


def _whole(dice: random.Random) -> bytes:
    """Spoil a job with the data of a person or a company."""
    kind = dice.choice(sorted(WHOLE))
    customer = {"customer_type": "Business" if kind == "Business" else "Person", "email": "a@example.com"}
    job = {"idempotency_key": f"h-{dice.randrange(10**9)}", "customer": customer, "identification": WHOLE[kind]}
    return _written(dice, _spoiled(dice, copy.deepcopy(job), dice.randrange(1, 6)))


def _spoiled(dice: random.Random, job: Any, times: int) -> Any:
    for _ in range(times):
        place: Any = job
        while isinstance(place, dict | list) and place and dice.random() < 0.7:
            key = dice.choice(sorted(place)) if isinstance(place, dict) else dice.randrange(len(place))
            if not isinstance(place[key], dict | list) or not place[key] or dice.random() < 0.3:
                _spoil(dice, place, key)
                break
            place = place[key]
    return job


def _spoil(dice: random.Random, place: Any, key: Any) -> None:
    what = dice.randrange(4)
    if what == 0:
        place[key] = dice.choice(VALUES)
    elif what == 1:
        place[key] = "".join(dice.choice([*ODD, *string.ascii_letters]) for _ in range(dice.randrange(1, 40)))
    elif what == 2 and isinstance(place, dict):
        del place[key]
    elif isinstance(place, dict):
        place[dice.choice(["extra", "", "a" * 500, *ODD])] = dice.choice(VALUES)


def _written(dice: random.Random, value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=dice.random() < 0.5)
    raw = text.encode("utf-8", "surrogatepass")
    if dice.random() < 0.1:
        raw = text.encode("utf-16", "surrogatepass")
    if dice.random() < 0.1:
        at = dice.randrange(len(raw))
        raw = raw[:at] + dice.randbytes(2) + raw[at + 1 :]
    return raw[: dice.randrange(len(raw))] if dice.random() < 0.05 else raw
