"""Bodies for every route that takes one, to the real application in this process.

    python -m tests.fuzz.bodies --inputs 10000 --seed 0

Each input comes from its seed. Found is: a status of 500 and more, a refusal that is no problem with a code, the code
`unexpected`, a traceback, and anything stored by what was refused.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz import running
from tests.fuzz.running import Try
from tests.fuzz.values import value
from tests.gateway import Gateway
from tests.given_details import WHOLE
from tests.hostile_requests import hostile
from tests.world import a_job, contents
from workers.secrets.tokens import Role

_ACTS = ("retry", "restart", "cancel", "reidentify", "revoke-links")
#: Route -> a body that it takes.
ROUTES: dict[str, Any] = {
    "/v1/onboardings": {},
    "/v1/find": {"text": "ada@example.com"},
    "/v1/onboardings/k-1/signings": {"documents": ["d"], "signed_by": "Ada", "signed_at": "2026-01-01T00:00:00Z"},
    "/v1/onboardings/k-1/actions/correct": {"reason": "r", "job": a_job()},
    **{f"/v1/onboardings/k-1/actions/{act}": {"reason": "r"} for act in _ACTS},
    "/v1/imports/none/actions/pause": {"reason": "r"},
    "/webhooks/iron": {"type": "customer_status"},
}


def fuzzed(seed: int) -> tuple[str, bytes, dict[str, str]]:
    """Give the route, the body and the headers of a seed."""
    dice = random.Random(seed)
    path = dice.choice([*ROUTES, *["/v1/onboardings"] * len(ROUTES)])
    body, headers = hostile(seed)
    if dice.random() < 0.7:
        body, headers = _bent(dice, path), {"Content-Type": "application/json"}
    if dice.random() < 0.05:
        headers["Content-Encoding"] = dice.choice(["gzip", "br", "identity", "", "gzip, identity", "\x7f"])
        body = gzip.compress(body) if dice.random() < 0.5 else body
    return path, body, headers


def _bent(dice: random.Random, path: str) -> bytes:
    """A body that its route takes, with values of the field in a few places, a name twice now and then."""
    body = copy.deepcopy(ROUTES[path]) or a_job(f"f-{dice.randrange(10**6)}")
    if not ROUTES[path] and dice.random() < 0.5:
        kind = dice.choice(sorted(WHOLE))
        body["identification"] = copy.deepcopy(WHOLE[kind])
        body["customer"]["customer_type"] = "Business" if kind == "Business" else "Person"
    for _ in range(dice.randrange(3)):
        place, key = dice.choice(list(_places(body)))
        place[key] = value(dice)
    text = json.dumps(body, ensure_ascii=dice.random() < 0.5)
    if dice.random() < 0.1:
        name = dice.choice([part for part in text.split('"')[1::2] if part] or ["a"])
        text = text.replace("{", "{" + json.dumps(name) + ": " + json.dumps(value(dice)) + ", ", 1)
    raw = text.encode("utf-8", "surrogatepass")
    if dice.random() < 0.1:
        at = dice.randrange(len(raw))
        raw = raw[:at] + dice.choice([b"\xff", b"\xc3", b"\x00", b"\xed\xa0\x80", b'"', b"}"]) + raw[at:]
    return raw


def _places(value_: Any) -> Any:
    """Every place of a body that holds a value."""
    for key, part in value_.items() if isinstance(value_, dict) else enumerate(value_):
        yield value_, key
        if isinstance(part, dict | list):
            yield from _places(part)


def tries(gateway: Gateway, _: Path) -> Try:
    """Make what tries one input; what is stored is a record under k-1, before each."""
    world = gateway.world
    before: dict[bytes, Any] = {}

    def fresh() -> None:
        world.client.flushdb()
        world.submit()
        before.clear()
        before.update(contents(world.client))

    def once(seed: int, counts: Counter[str]) -> str | None:
        if not before:
            fresh()
        path, body, headers = fuzzed(seed)
        answer = gateway.request("POST", path, role=Role.ADMIN, content=body, headers=headers)
        counts[str(answer.status_code)] += 1
        code = answer.json().get("code") if answer.headers.get("content-type") == "application/problem+json" else None
        stored = contents(world.client) != before
        if stored:
            fresh()
        if answer.status_code >= 500 and code != "webhook_secret_missing":
            return f"{path}: {answer.status_code} {code}"
        if answer.status_code >= 400 and not code:
            return f"{path}: {answer.status_code} without a code"
        if answer.status_code >= 400 and stored:
            return f"{path}: {answer.status_code} {code}, and something is stored"
        return f"{path}: a traceback" if "Traceback" in answer.text else None

    return once


if __name__ == "__main__":
    running.main("bodies", tries)
