"""The command `doctor`: is everything well, and if not, what is wrong, what does it endanger, how is it repaired."""

from __future__ import annotations

import typer

from ops.cli import output
from ops.cli.exits import Status
from ops.cli.options import Json, add

#: What stands before a line, by the state of the check.
MARKS = {"ok": "ok      ", "warning": "warning ", "broken": "BROKEN  "}


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, doctor)


def doctor(json: Json = False) -> int:
    """Check settings, Redis, Iron, clocks and queues.

    A line each, with what is wrong and how to fix it.

    It looks at settings, certificates, proxies, Redis (release, eviction, persistence, memory), and at what an
    acknowledged job would survive. Then come clocks, queues, workers and their calls, the sweep, endpoints, refused
    jobs, re-identification, customers' links, Iron and tokens. Secrets are tried: the API key on Iron, encryption keys
    on what is stored, the webhook's secret on a sample. Nothing is changed. The exit status is 1 when something is
    broken.

    Example: onboarding doctor
    """
    from workers.operate.doctor import examined

    broken = False
    for check in examined():
        broken = broken or check.state == "broken"
        if json:
            output.give(check.as_json())
        else:
            output.say(f"{MARKS[check.state]}{check.name}: {check.text}")
    return Status.FAILED if broken else Status.DONE
