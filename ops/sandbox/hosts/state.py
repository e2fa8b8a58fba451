"""The sandbox's state in a file, so that a demo or a developer can stop it and go on another day.

Kept are the records, the effects, the stored answers, the scripts under way and the clock; not the counts of requests,
faults, webhooks and requests under way. What fell due in between happens at once, each at the time it was due.
The file is a pickle: load only what this program wrote, from a folder of your own.
"""

import os
import pickle
from collections.abc import Collection
from itertools import count
from pathlib import Path
from typing import Any

from ops.sandbox.front import Sandbox

#: Raised with every change of what is in the file.
FORMAT = 2


class StateError(Exception):
    """The file is not a state that this release can read; the text says what to do."""


def save(sandbox: Sandbox, path: Path) -> None:
    """Write the state, readable by its owner alone; a crash in the middle leaves the old file."""
    sandbox.run_due()
    if sandbox.dice:
        sandbox.dice.end_spells()
    state = {
        "format": FORMAT,
        "ahead_s": sandbox.clock.now() - sandbox.clock.wall(),
        "switches": sandbox.switches.model_dump(),
        # One pickle for all: a stored answer and the list of effects share their objects, an event and the records too.
        "parts": {name: vars(part) for name, part in _parts(sandbox).items()},
        "events": [
            (at, move.__name__, subject, script)
            for at, _, move, subject, script in sorted(vars(sandbox.provider.lifecycle)["_events"])
            if subject is not None  # a late request of a fault: its caller is gone
        ],
    }
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        pickle.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load(sandbox: Sandbox, path: Path, keep: Collection[str] = ()) -> None:
    """Bring a new sandbox to the state in the file; a file that does not exist is an empty state.

    `keep`: switches that stay as they are.

    Raises StateError.
    """
    try:
        state = dict(pickle.loads(path.read_bytes()))  # noqa: S301 -- written by `save`, in a private folder
    except FileNotFoundError:
        return
    except Exception as error:
        raise StateError(f"{path} is not a state of the sandbox: remove it to begin with nothing.") from error
    if state.get("format") != FORMAT:
        raise StateError(f"{path} is of another release of the sandbox: remove it to begin with nothing.")
    sandbox.clock.advance(max(0.0, state["ahead_s"]))
    for name, value in state["switches"].items():
        if name != "link_prefix" and name not in keep:  # hosted links lead to where it listens today
            setattr(sandbox.switches, name, value)
    for name, part in _parts(sandbox).items():
        vars(part).update(state["parts"][name])
    life = sandbox.provider.lifecycle
    vars(life)["_events"] = [
        (at, order, getattr(life, name), subject, script)
        for order, (at, name, subject, script) in enumerate(state["events"])
    ]
    vars(life)["_order"] = count(len(state["events"]))
    sandbox.run_due()


def _parts(sandbox: Sandbox) -> dict[str, Any]:
    provider = sandbox.provider
    return {"ids": provider.ids, "store": provider.store, "effects": provider.effects, "stored": sandbox.stored}
