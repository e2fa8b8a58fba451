"""The page for integrators: its commands, in their order, bring a customer to active on the parts of `dev`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_demo import free_pair

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "ops" / "docs" / "integrators.md"
PATIENCE_S = 90.0


def blocks() -> list[str]:
    """The commands of the page."""
    return re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def until(asked: Callable[[], Any], what: str) -> Any:
    """Ask until there is an answer."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not (answer := asked()):
        assert time.monotonic() < deadline, what
        pause.wait(0.1)
    return answer


def exported(file: Path) -> dict[str, str]:
    """Read the file that `dev` leaves for other shells."""
    listing = subprocess.run(["sh", "-c", f". '{file}' && env -0"], capture_output=True, text=True, check=True).stdout
    return {name: value for name, _, value in (line.partition("=") for line in listing.split("\0"))}


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
def test_the_page(tmp_path: Path) -> None:
    """Each command of the page succeeds and does what the page says; in the end the customer is active."""
    port = free_pair()
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("ONBOARDING_", "IRON_"))}
    command = [sys.executable, "-m", "ops.cli", "dev", "--folder", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(command, env={**bare, "PYTHONPATH": str(ROOT)}, cwd=ROOT, stderr=subprocess.DEVNULL) as dev:
        try:
            until((tmp_path / "env").exists, "dev is up")
            walk(exported(tmp_path / "env"), tmp_path)
        finally:
            dev.send_signal(signal.SIGTERM)


def walk(settings: dict[str, str], folder: Path) -> None:
    """Run the page's commands one after the other, as a reader would."""
    (folder / "onboarding").write_text(f'#!/bin/sh\nexec {sys.executable} -m ops.cli "$@"\n', encoding="utf-8")
    (folder / "onboarding").chmod(0o755)
    settings |= {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"}

    def run(text: str, **more: str) -> str:
        ended = subprocess.run(
            ["sh", "-ec", text],
            env={**settings, **more},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == 0, (text, ended.stdout, ended.stderr)
        return ended.stdout

    token, job, look, events, consent, files = blocks()
    assert run(token).startswith("onb_")
    assert json.loads(run(job))["idempotency_key"] == "crm-1"
    assert json.loads(run(job))["version"] >= 1  # the same again
    with httpx.Client(base_url=settings["GATEWAY"], trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {settings['TOKEN']}"

        def documents() -> list[str]:
            record = client.get("/v1/onboardings/crm-1").json()
            return [signing["id"] for signing in record["signings"] if not signing["consented_at"]]

        asked = until(documents, "documents to sign")
        shown = json.loads(run(look))
        assert (shown["phase"], shown["waiting_on"]) == ("signings_required", "customer")
        assert shown["customer_link"].startswith(settings["GATEWAY"])
        assert "onboarding." in run(events)
        run(consent, DOCUMENTS=json.dumps(asked))
        until(lambda: client.get("/v1/onboardings/crm-1").json()["phase"] == "active", "the customer is active")
    assert "crm-2" in run(files)
