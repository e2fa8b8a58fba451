"""A stand-in for Iron that costs next to nothing, so that a comparison measures who calls it.

It answers the calls of an onboarding with the sandbox's fields (tests/integration/test_peers.py compares them),
approves each customer at once, and counts whatever is done twice. The sandbox itself checks and remembers as Iron
does, which costs several times as much as the fastest of the clients compared here.

    python -m tests.bench.peers.iron          prints its port, answers until its standard input ends
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

#: What every customer has to sign.
DOCUMENTS = [
    {"id": f"doc-{name}", "display_name": name, "url": f"https://documents.iron.test/{name}.pdf"}
    for name in ("terms", "privacy")
]
#: A moment for fields that nobody reads.
STAMP = "2026-11-22T10:00:00.000000Z"
PARTNER = "00000000-0000-4000-8000-000000000000"


@dataclass(slots=True)
class Customer:
    """What is known of a customer."""

    id: str
    fields: dict[str, Any]
    identification: str = ""
    signed: list[str] = field(default_factory=list)
    shown: bool = False
    finished: bool = False

    @property
    def status(self) -> str:
        if not self.identification:
            return "IdentificationRequired"
        return "Active" if len(self.signed) == len(DOCUMENTS) else "SigningsRequired"


class Iron:
    """The customers, and what the comparison wants to know about them."""

    def __init__(self) -> None:
        self.reset(0.0)

    def reset(self, latency_s: float) -> None:
        """Forget everything; answers take so long from now on."""
        self.latency_s = latency_s
        self.customers: dict[str, Customer] = {}
        self.by_external_id: dict[str, Customer] = {}
        self.keys: set[str] = set()
        self.calls = 0
        self.doubles = 0
        self.finished = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self.told: list[str] = []

    def answer(self, method: str, path: str, key: str | None, body: bytes) -> tuple[int, Any]:
        """Give status and body."""
        self.calls += 1
        if self.calls == 1:
            self.first_s = time.monotonic()
        if method == "POST":
            if not key or key in self.keys:
                self.doubles += 1
                return 409, {"error": "the key is missing or was used"}
            self.keys.add(key)
        match method, path.partition("?")[0].split("/")[2:]:
            case "POST", ["customers"]:
                return self._create(json.loads(body))
            case "GET", ["customers"]:
                return 200, {"items": [], "cursor": None, "prev_cursor": None}
            case "GET", ["customers", external_id, "external"]:
                found = self.by_external_id.get(external_id)
                return (200, self._customer(found)) if found else (404, {"error": "not found"})
            case verb, ["customers", customer_id, *rest] if customer_id in self.customers:
                return self._of(self.customers[customer_id], verb, rest, body)
            case _:
                return 404, {"error": "not found"}

    def _of(self, customer: Customer, verb: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        match verb, rest:
            case "GET", []:
                if customer.status == "Active" and not customer.finished:
                    customer.finished = True
                    self.finished += 1
                    self.last_s = time.monotonic()
                return 200, self._customer(customer)
            case "POST", ["identifications", "v2"]:
                self.doubles += bool(customer.identification)
                customer.identification = str(uuid.uuid4())
                self.told.append(f"approved {customer.id} {customer.fields['external_id']}")
                return 201, self._identification(customer)
            case "GET", ["identifications"]:
                items = [self._identification(customer)] if customer.identification else []
                return 200, {"items": items, "cursor": None, "prev_cursor": None}
            case "GET", ["required-signings"]:
                if not customer.shown:
                    customer.shown = True
                    self.told.append(f"documents {customer.id} {customer.fields['external_id']}")
                return 200, [document for document in DOCUMENTS if document["id"] not in customer.signed]
            case "POST", ["signings"]:
                content = json.loads(body)["content_id"]
                self.doubles += content in customer.signed
                customer.signed.append(content)
                return 201, self._signing(customer, content)
            case _:
                return 404, {"error": "not found"}

    def _create(self, fields: dict[str, Any]) -> tuple[int, Any]:
        external_id = fields["external_id"]
        self.doubles += external_id in self.by_external_id
        customer = Customer(str(uuid.uuid4()), fields)
        self.customers[customer.id] = self.by_external_id[external_id] = customer
        return 201, self._customer(customer)

    def _customer(self, customer: Customer) -> dict[str, Any]:
        fields = customer.fields
        return {
            "id": customer.id,
            "customer_type": fields["customer_type"],
            "email": fields["email"],
            "name": fields["name"],
            "status": customer.status,
            "identification_ids": [customer.identification] if customer.identification else [],
            "signing_ids": customer.signed,
            "partner_id": PARTNER,
            "created_at": STAMP,
            "updated_at": STAMP,
            "external_id": fields["external_id"],
            "identification_status": "Approved" if customer.identification else None,
            "active_email": None,
            "spending_limit_euro": None,
        }

    def _identification(self, customer: Customer) -> dict[str, Any]:
        return {
            "id": customer.identification,
            "status": "Approved",
            "created_at": STAMP,
            "updated_at": STAMP,
            "customer_id": customer.id,
            "partner_id": None,
            "url": None,
            "review_comment": None,
            "step_status": None,
            "with_edd": False,
            "residence_country": None,
        }

    def _signing(self, customer: Customer, content: str) -> dict[str, Any]:
        signing = {"id": f"signing-{content}", "customer_id": customer.id, "created_at": STAMP, "updated_at": STAMP}
        return {**signing, "content_id": content, "document_id": None}

    def seen(self) -> dict[str, Any]:
        """Say what has happened so far."""
        complete = sum(customer.status == "Active" for customer in self.customers.values())
        return {
            "customers": len(self.customers),
            "complete": complete,
            "finished": self.finished,
            "doubles": self.doubles,
            "calls": self.calls,
            "elapsed_s": self.last_s - self.first_s,
            "cpu_s": time.process_time(),
        }


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered after the latency."""

    def __init__(self, iron: Iron) -> None:
        self._iron = iron
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while request := self._request():
            self._answer(*request)

    def _request(self) -> tuple[str, str, str | None, bytes] | None:
        """Take a whole request from what was received, if there is one."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        lowered = head.lower()
        length = int(_header(lowered, b"content-length") or 0)
        if len(rest) < length:
            return None
        self._received = rest[length:]
        method, path, _ = head.partition(b"\r\n")[0].decode().split(" ")
        key = _header(lowered, b"idempotency-key")
        return method, path, key.decode() if key else None, rest[:length]

    def _answer(self, method: str, path: str, key: str | None, body: bytes) -> None:
        iron, latency_s = self._iron, 0.0
        if path.startswith("/api/"):
            status, answer = iron.answer(method, path, key, body)
            latency_s = iron.latency_s
        elif method == "POST":
            iron.reset(json.loads(body)["latency_s"])
            status, answer = 200, {}
        elif path == "/told":
            told, iron.told = iron.told, []
            status, answer = 200, told
        else:
            status, answer = 200, iron.seen()
        content = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        if latency_s:
            asyncio.get_running_loop().call_later(latency_s, self._transport.write, head.encode() + content)
        else:
            self._transport.write(head.encode() + content)


def _header(head: bytes, name: bytes) -> bytes | None:
    _, found, rest = head.partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0] if found else None


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    iron = Iron()
    server = await loop.create_server(lambda: Connection(iron), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], os.getpid(), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
