"""The seven calls of an onboarding, written as one would write them first; all peers share them.

One client a process, kept open; a key for each call that changes something; no look before a call, no record of what
was done. `Calls` is for threads, `AsyncCalls` for event loops.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import httpx

REDIS_URL = os.environ.get("PEERS_REDIS_URL", "")
IRON_URL = os.environ.get("PEERS_IRON_URL", "")
THREADS = int(os.environ.get("PEERS_THREADS", "32"))

#: Pause before a status that is not there yet is read again, in seconds. In the comparison it is there at once.
AGAIN_S = 5.0

Job = dict[str, Any]
SETTINGS: dict[str, Any] = {
    "base_url": IRON_URL,
    "headers": {"X-API-Key": "sandbox-key", "X-API-Version": "2026-07-01"},
    "timeout": 10.0,
    "limits": httpx.Limits(max_connections=None, max_keepalive_connections=THREADS),
}


def a_job(key: str) -> Job:
    """The job that everybody gets."""
    return {"external_id": key, "customer_type": "Person", "email": f"{key}@example.com", "name": "Ada Example"}


def _key() -> dict[str, str]:
    return {"IDEMPOTENCY-KEY": str(uuid4())}


class Calls:
    """The calls, made by threads."""

    def __init__(self) -> None:
        self._client = httpx.Client(**SETTINGS)

    def create_customer(self, job: Job) -> str:
        return self._answer(self._client.post("/customers", json=job, headers=_key()))["id"]

    def create_identification(self, customer_id: str) -> str:
        body = {"type": "Link", "with_edd": False}
        path = f"/customers/{customer_id}/identifications/v2"
        return self._answer(self._client.post(path, json=body, headers=_key()))["id"]

    def status(self, customer_id: str) -> str:
        return self._answer(self._client.get(f"/customers/{customer_id}"))["status"]

    def required_signings(self, customer_id: str) -> list[str]:
        found = self._answer(self._client.get(f"/customers/{customer_id}/required-signings"))
        return [document["id"] for document in found]

    def sign(self, customer_id: str, content_id: str) -> str:
        body = {"content_id": content_id, "signed": True}
        return self._answer(self._client.post(f"/customers/{customer_id}/signings", json=body, headers=_key()))["id"]

    def _answer(self, response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json()


class AsyncCalls:
    """The calls, made by tasks of an event loop."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(**SETTINGS)

    async def create_customer(self, job: Job) -> str:
        return self._answer(await self._client.post("/customers", json=job, headers=_key()))["id"]

    async def create_identification(self, customer_id: str) -> str:
        body = {"type": "Link", "with_edd": False}
        path = f"/customers/{customer_id}/identifications/v2"
        return self._answer(await self._client.post(path, json=body, headers=_key()))["id"]

    async def status(self, customer_id: str) -> str:
        return self._answer(await self._client.get(f"/customers/{customer_id}"))["status"]

    async def required_signings(self, customer_id: str) -> list[str]:
        found = self._answer(await self._client.get(f"/customers/{customer_id}/required-signings"))
        return [document["id"] for document in found]

    async def sign(self, customer_id: str, content_id: str) -> str:
        body = {"content_id": content_id, "signed": True}
        path = f"/customers/{customer_id}/signings"
        return self._answer(await self._client.post(path, json=body, headers=_key()))["id"]

    def _answer(self, response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json()
