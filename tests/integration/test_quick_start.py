"""The onboarding of Iron's own tutorial, call by call with curl, against a sandbox that approves when it is told to.

Source: iron-api 3.1, 3.7, 3.18, 3.11, 3.12: create a customer, ask for a hosted identification, approve it as only a
sandbox can, sign what is asked for, and find the customer Active.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial is told in curl, which is not here")

#: From the approval to the next status it may take 2 s, in seconds with some patience for a loaded machine.
PATIENCE_S = 20.0


@pytest.fixture
def base() -> Iterator[str]:
    """The address of a sandbox that approves nobody by itself, in the place of Iron's."""
    command = [sys.executable, "-m", "ops.sandbox", "--port", "0", "--speed", "10", "--by-call"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "ready on http://127.0.0.1:" in line, line
    yield line.split()[4]
    process.kill()
    process.communicate()


def curl(method: str, url: str, body: object = None) -> tuple[int, Any]:
    """Make a call as a reader of the tutorial does; answers status and JSON."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--request", method, url]
    command += ["--header", "X-API-Key: my-sandbox-key", "--header", "X-API-Version: 2026-10-15"]
    command += ["--write-out", "\n%{http_code}"]
    if method == "POST":
        command += ["--header", f"IDEMPOTENCY-KEY: {uuid.uuid4()}", "--header", "Content-Type: application/json"]
        command += ["--data", json.dumps(body)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    content, _, status = told.rpartition("\n")
    return int(status), json.loads(content)


def until_status(url: str, status: str) -> None:
    """Read a customer until its status is the awaited one, for as long as patience lasts."""
    ends = time.monotonic() + PATIENCE_S
    while (seen := curl("GET", url)[1]["status"]) != status:
        assert time.monotonic() < ends, seen


def test_a_reader_of_the_tutorial_arrives(base: str) -> None:
    """With the tutorial's calls alone, and a member that no document names, a customer becomes Active."""
    body = {"customer_type": "Person", "email": "ada@example.com", "name": "Ada Example", "first_name": "Ada"}
    status, customer = curl("POST", f"{base}/customers", body)
    assert (status, customer["status"]) == (201, "IdentificationRequired")
    here = f"{base}/customers/{customer['id']}"

    status, identification = curl("POST", f"{here}/identifications/v2", {"type": "Link"})
    assert (status, identification["status"]) == (201, "Pending")
    assert identification["url"]
    assert curl("GET", f"{here}/required-signings")[0] == 409

    approval = f"{base}/sandbox/identification/{identification['id']}"
    status, identification = curl("POST", approval, {"approved": True})
    assert (status, identification["status"]) == (201, "Approved")
    until_status(here, "SigningsRequired")

    status, documents = curl("GET", f"{here}/required-signings")
    assert (status, len(documents)) == (200, 2)
    for document in documents:
        signing = {"content_id": document["id"], "content_type": "Url", "signed": True}
        status, signed = curl("POST", f"{here}/signings", signing)
        assert (status, signed["content_id"]) == (201, document["id"])
    assert curl("GET", here)[1]["status"] == "Active"
    assert curl("POST", approval, {"approved": True})[0] == 404
