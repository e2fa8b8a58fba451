"""Imports over HTTP: a file is sent, followed and reported; what is wrong with it is told."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway import Gateway
from tests.world import World, a_job

HEADER = "idempotency_key,email,customer_type,name\n"


@pytest.fixture
def gateway(world: World, broker_url: str) -> Iterator[Gateway]:
    """A gateway with a token for each role."""
    made = Gateway(world, broker_url)
    yield made
    made.close()


def send(gateway: Gateway, content: str, name: str = "first", kind: str = "text/csv", **query: Any) -> httpx.Response:
    """Send a file."""
    return gateway.request(
        "POST",
        "/v1/imports",
        role="submitter",
        params={"name": name, **query},
        content=content,
        headers={"Content-Type": kind},
    )


def loaded(gateway: Gateway, name: str = "first") -> dict[str, Any]:
    """The import, once it is loaded."""
    deadline = time.monotonic() + 20
    while True:
        found: dict[str, Any] = gateway.get(f"/v1/imports/{name}", role="viewer").json()
        if found["loaded_at"]:
            return found
        assert time.monotonic() < deadline, found


def rows(count: int) -> str:
    """A file of so many customers."""
    return HEADER + "".join(f"k-{number},k{number}@example.com,Person,Ada\n" for number in range(count))


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8", "application/jsonl", "application/x-ndjson"])
def test_a_file_is_loaded(kind: str, gateway: Gateway) -> None:
    """Each row is a record, under the name of the import and of whoever sent it."""
    lines = "".join(json.dumps(a_job(f"k-{number}")) + "\n" for number in range(1_200))
    answer = send(gateway, rows(1_200) if "csv" in kind else lines, kind=kind)
    assert (answer.status_code, answer.headers["location"]) == (202, "/v1/imports/first")
    found = loaded(gateway)
    assert (found["rows"], found["create"], found["by"]) == (1_200, 1_200, "the-submitter")
    assert [one["name"] for one in gateway.get("/v1/imports", role="viewer").json()["imports"]] == ["first"]
    assert gateway.world.record("k-7").import_name == "first"


def test_again_changes_nothing_and_another_file_is_refused(gateway: Gateway) -> None:
    """One name, one file: the same again is taken, another one is 409."""
    send(gateway, rows(3))
    before = loaded(gateway)
    assert send(gateway, rows(3)).status_code == 202
    assert loaded(gateway)["create"] == before["create"] == 3
    answer = send(gateway, rows(4))
    assert (answer.status_code, answer.json()["code"]) == (409, "import_name_taken")


def test_refused_rows_are_reported_to_who_may_see_them(gateway: Gateway) -> None:
    """The report has the rows as they came and what is wrong; another submitter and viewers do not get it."""
    send(gateway, rows(2) + "k-9,nobody,Person,Ada\n")
    assert loaded(gateway)["error"] == 1
    answer = gateway.get("/v1/imports/first/report", role="submitter")
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["idempotency_key"], row["column"], row["code"]) == ("k-9", "email", "not_an_email")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["cache-control"] == "no-store"
    assert gateway.get("/v1/imports/first/report", role="viewer").status_code == 403
    assert gateway.get("/v1/imports/first/report", role="compliance").text == answer.text
    gateway.world.client.hset("onboarding:import:first", "by", "somebody")
    refused = gateway.get("/v1/imports/first/report", role="submitter")
    assert (refused.status_code, refused.json()["code"]) == (403, "import_of_another")


@pytest.mark.parametrize(
    ("content", "kind", "query", "status", "code"),
    [
        ("", "text/csv", {}, 422, "invalid_file"),
        ("a;b\n1;2\n", "text/csv", {}, 422, "invalid_file"),
        ("\x00\x01\x02", "application/jsonl", {}, 422, "invalid_file"),
        (HEADER, "application/pdf", {}, 415, "media_type_unsupported"),
        (HEADER, "text/csv", {"name": "a b"}, 422, "invalid_request"),
        (HEADER, "text/csv", {"lane": "fast"}, 422, "invalid_request"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(
    content: str, kind: str, query: dict[str, str], status: int, code: str, gateway: Gateway
) -> None:
    """A file that cannot be imported is refused as a whole, and makes no record."""
    answer = send(gateway, content, kind=kind, **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert not gateway.world.records()


def test_pause_and_resume(gateway: Gateway) -> None:
    """An operator pauses an import and lets it go on; the state tells who did it and why."""
    send(gateway, rows(3))
    loaded(gateway)
    body = {"reason": "too early"}
    paused = gateway.request("POST", "/v1/imports/first/actions/pause", role="operator", json=body)
    assert (paused.status_code, paused.json()["state"]) == (200, "paused")
    assert (paused.json()["halted"]["by"], paused.json()["halted"]["reason"]) == ("the-operator", "too early")
    resumed = gateway.request("POST", "/v1/imports/first/actions/resume", role="operator", json=body)
    assert resumed.json()["state"] == "running"


def test_an_unknown_import_is_404(gateway: Gateway) -> None:
    """Whatever is asked of an import that is not there is answered 404 with its code."""
    for path in ("", "/report"):
        answer = gateway.get(f"/v1/imports/nothing{path}", role="admin")
        assert (answer.status_code, answer.json()["code"]) == (404, "import_unknown")
    answer = gateway.request("POST", "/v1/imports/nothing/actions/pause", role="admin", json={"reason": "r"})
    assert (answer.status_code, answer.json()["code"]) == (404, "import_unknown")


def test_no_more_files_than_can_be_loaded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the answer is 503 with Retry-After, and a place is free again afterwards."""
    from ops.gateway.api import uploads

    taken = uploads.Uploads.take

    async def full(self: Any, *arguments: Any, **named: Any) -> None:
        while self._room.acquire(blocking=False):
            pass
        await taken(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(uploads.Uploads, "take", full)
        answer = send(gateway, rows(1))
    assert (answer.status_code, answer.json()["code"]) == (503, "imports_busy")
    assert "retry-after" in answer.headers
