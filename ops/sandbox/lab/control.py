"""The control interface under `/_sandbox/`: JSON in, JSON out, no API key. `GET /_sandbox/` lists it.

Everything here can be done in Python on a `Sandbox` as well; this is the same for other processes and other languages.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.sandbox.api.answers import Answer, RefusalError, answer_json
from ops.sandbox.api.calls import first_problem
from ops.sandbox.lab.drawing import CHOICES
from ops.sandbox.lab.faults import Fault
from ops.sandbox.world.clock import stamp
from ops.sandbox.world.outbox import WebhookSettings

if TYPE_CHECKING:
    from ops.sandbox.core import Sandbox

#: Effects in one answer unless the caller asks for another number.
EFFECTS_PAGE = 1000

INDEX = {
    "GET /_sandbox/": "this list",
    "GET /_sandbox/summary": "records by status, effects by operation, what is scheduled",
    "GET /_sandbox/effects": (
        "executed effects in their order; filters operation, external_id, customer_id, idempotency_key, subject; "
        "after (number), limit"
    ),
    "GET /_sandbox/effects?group=external_id": "counts of customers, identifications, signings by external id",
    "GET /_sandbox/effects?duplicates=1": "the same, only external ids with more than one customer",
    "GET /_sandbox/requests": (
        "totals by endpoint and status; log=seconds: counts by second; log=times: arrival times; since (Unix seconds)"
    ),
    "GET /_sandbox/faults": "the rules in force, with how often each was seen and struck",
    "POST /_sandbox/faults": {
        "which": "method, path (glob, without /api), operation, idempotency_key, skip, times, probability, name",
        "what": (
            "when before|after, status, body, odd, retry_after, malformed, lost reset|timeout, delay_s, late_s, "
            "stored true|injected|nothing"
        ),
    },
    "DELETE /_sandbox/faults[/{name}]": "clear one rule or all",
    "GET /_sandbox/switches": "the provider's undocumented choices",
    "POST /_sandbox/switches": "set some of them",
    "GET /_sandbox/choices": "which values of each are plausible, and how often a request may meet another one",
    "POST /_sandbox/dice": (
        'draw the provider of a seed, and let requests meet another one now and then: {"seed": 7, "keep": ["order"]}'
    ),
    "DELETE /_sandbox/dice": "draw nothing any more; what was drawn for good stays",
    "POST /_sandbox/identifications/{id}/{step}": (
        'process, review, approve, decline, decline-final, expire, stepup, archive, optionally {"comment": "..."}; '
        'status {"status": "any word"}'
    ),
    "POST /_sandbox/customers/{id or external id}/{step}": (
        'suspend, restore, newterms, archive, userrequired; status {"status": "any word"}; '
        "the steps of an identification move the newest one"
    ),
    "POST /_sandbox/advance": {"seconds": 3600},
    "GET /_sandbox/clock": "the sandbox clock",
    "GET /_sandbox/webhooks": "the settings, and what waits",
    "POST /_sandbox/webhooks": (
        "url, secret, unwrapped, drop, duplicate, bad_signature (chances 0 to 1), reorder, delay_s, stale_s, "
        "backoff_s, max_attempts"
    ),
    "DELETE /_sandbox/webhooks": "switch them off",
    "POST /_sandbox/webhooks/replay": 'send past events again: {"customer_id": "..."} or {"last": 10}',
    "POST /_sandbox/webhooks/reorder": "shuffle what waits",
    "POST /_sandbox/webhooks/drop": 'throw away what waits, all or {"customer_id": "..."}',
    "POST /_sandbox/reset": "forget everything",
}


class _Form(BaseModel):
    """A control body."""

    model_config = ConfigDict(extra="forbid")


class _Advance(_Form):
    seconds: float = Field(ge=0)


class _Seed(_Form):
    seed: int
    keep: tuple[str, ...] = ()


class _Move(_Form):
    status: str | None = None
    comment: str | None = None


class _Chosen(_Form):
    customer_id: str | None = None
    last: int | None = Field(default=None, ge=0)


class Control:
    """One control call."""

    def __init__(self, sandbox: "Sandbox", query: str, body: bytes) -> None:
        self.sandbox = sandbox
        self.query = {name: values[-1] for name, values in parse_qs(query).items()}
        self.body = body or b"{}"

    def index(self) -> object:
        """List what can be done."""
        return INDEX

    def summary(self) -> object:
        """Count the records."""
        store = self.sandbox.provider.store
        statuses: dict[str, dict[str, int]] = {"customers": {}, "identifications": {}}
        for name, records in (("customers", store.customers), ("identifications", store.identifications)):
            counts = statuses[name]
            for record in records.values():
                counts[record.status] = counts.get(record.status, 0) + 1
        next_at = self.sandbox.provider.lifecycle.next_event_at
        return {
            **statuses,
            "signings": len(store.signings),
            "effects": self.sandbox.effects.totals(),
            "duplicates": len(self.sandbox.effects.duplicates()),
            "next_event_at": None if next_at is None else stamp(next_at),
        }

    def effects(self) -> object:
        """List or count effects."""
        effects = self.sandbox.effects
        if "duplicates" in self.query:
            return effects.duplicates()
        if self.query.get("group") == "external_id":
            only = self.query.get("external_id")
            return effects.group(None if only is None else [only])
        names = ("operation", "external_id", "customer_id", "idempotency_key", "subject")
        found = effects.where(**{name: self.query.get(name) for name in names})
        after, limit = self._number("after", 0), self._number("limit", EFFECTS_PAGE)
        page = found[after : after + limit]
        following = after + len(page) if after + len(page) < len(found) else None
        return {"effects": [one.as_json() for one in page], "total": len(found), "next": following}

    def requests(self) -> object:
        """Count requests."""
        traffic = self.sandbox.traffic
        since = float(self.query.get("since", "0"))
        extra: dict[str, object] = {}
        if self.query.get("log") == "seconds":
            extra["per_second"] = traffic.per_second(since)
        elif self.query.get("log") == "times":
            extra["times"] = traffic.times(since)
        return {**traffic.as_json(), "busiest_second": traffic.busiest(), **extra}

    def faults(self) -> object:
        """List the rules."""
        return list(self.sandbox.faults)

    def add_fault(self) -> object:
        """Put a rule into force."""
        return {"name": self.sandbox.faults.add(Fault.model_validate_json(self.body))}

    def clear_faults(self, name: str | None = None) -> object:
        """Clear rules."""
        return {"cleared": self.sandbox.faults.clear(name)}

    def switches(self) -> object:
        """Show the switches."""
        return self.sandbox.switches.model_dump()

    def set_switches(self) -> object:
        """Set switches, all or none of those given."""
        switches = self.sandbox.switches
        wanted = type(switches).model_validate({**switches.model_dump(), **json.loads(self.body)})
        for name in wanted.model_fields_set:
            setattr(switches, name, getattr(wanted, name))
        return switches.model_dump()

    def choices(self) -> object:
        """Show what could be drawn."""
        return {name: asdict(choice) for name, choice in CHOICES.items()}

    def throw_dice(self) -> object:
        """Become the provider of a seed."""
        form = _Seed.model_validate_json(self.body)
        self.sandbox.draw(form.seed, form.keep)
        return self.switches()

    def stop_dice(self) -> object:
        """Draw nothing any more."""
        self.sandbox.calm()
        return self.switches()

    def move(self, subject: str, step: str) -> object:
        """Move a record."""
        form = _Move.model_validate_json(self.body)
        self.sandbox.move(subject, step, status=form.status, comment=form.comment)
        return {"moved": True}

    def clock(self) -> object:
        """Show the time."""
        clock = self.sandbox.clock
        return {"now": stamp(clock.now()), "ahead_s": clock.now() - clock.wall(), "speed": self.sandbox.speed}

    def advance(self) -> object:
        """Move time."""
        self.sandbox.advance(_Advance.model_validate_json(self.body).seconds)
        return self.clock()

    def webhooks(self) -> object:
        """Show the webhooks."""
        outbox = self.sandbox.webhooks
        waiting = [
            {"number": one.number, "attempt": one.attempt, "due": one.due, "body": json.loads(one.body)}
            for one in outbox.waiting()
        ]
        return {"settings": outbox.settings.model_dump() if outbox.settings else None, "waiting": waiting}

    def set_webhooks(self) -> object:
        """Switch webhooks on, or change some of their settings."""
        outbox = self.sandbox.webhooks
        known = outbox.settings.model_dump() if outbox.settings else {}
        outbox.settings = WebhookSettings.model_validate({**known, **json.loads(self.body)})
        return outbox.settings.model_dump()

    def stop_webhooks(self) -> object:
        """Switch webhooks off."""
        self.sandbox.webhooks.settings = None
        return {"dropped": self.sandbox.webhooks.drop()}

    def replay_webhooks(self) -> object:
        """Send past events again."""
        form = _Chosen.model_validate_json(self.body)
        now = self.sandbox.clock.now()
        return {"replayed": self.sandbox.webhooks.replay(now, customer_id=form.customer_id, last=form.last)}

    def reorder_webhooks(self) -> object:
        """Shuffle what waits."""
        return {"waiting": self.sandbox.webhooks.shuffle()}

    def drop_webhooks(self) -> object:
        """Throw away what waits."""
        return {"dropped": self.sandbox.webhooks.drop(customer_id=_Chosen.model_validate_json(self.body).customer_id)}

    def reset(self) -> object:
        """Forget everything."""
        self.sandbox.reset()
        return {"reset": True}

    def _number(self, name: str, default: int) -> int:
        """Read a number from the query."""
        text = self.query.get(name, str(default))
        if not text.isdecimal():
            raise RefusalError(400, f"{name} must be a number")
        return int(text)


ROUTES: dict[tuple[str, ...], Callable[..., object]] = {
    ("GET",): Control.index,
    ("GET", "summary"): Control.summary,
    ("GET", "effects"): Control.effects,
    ("GET", "requests"): Control.requests,
    ("GET", "faults"): Control.faults,
    ("POST", "faults"): Control.add_fault,
    ("DELETE", "faults"): Control.clear_faults,
    ("DELETE", "faults", "*"): Control.clear_faults,
    ("GET", "switches"): Control.switches,
    ("POST", "switches"): Control.set_switches,
    ("GET", "choices"): Control.choices,
    ("POST", "dice"): Control.throw_dice,
    ("DELETE", "dice"): Control.stop_dice,
    ("POST", "identifications", "*", "*"): Control.move,
    ("POST", "customers", "*", "*"): Control.move,
    ("GET", "clock"): Control.clock,
    ("POST", "advance"): Control.advance,
    ("GET", "webhooks"): Control.webhooks,
    ("POST", "webhooks"): Control.set_webhooks,
    ("DELETE", "webhooks"): Control.stop_webhooks,
    ("POST", "webhooks", "replay"): Control.replay_webhooks,
    ("POST", "webhooks", "reorder"): Control.reorder_webhooks,
    ("POST", "webhooks", "drop"): Control.drop_webhooks,
    ("POST", "reset"): Control.reset,
}


def handle(sandbox: "Sandbox", method: str, path: str, query: str, body: bytes) -> Answer:
    """Answer one control call; problems are `{"error": "..."}`."""
    parts = [unquote(part) for part in path.removeprefix("/_sandbox").strip("/").split("/") if part]
    try:
        for fixed in range(len(parts), -1, -1):
            arguments = parts[fixed:]
            route = ROUTES.get((method, *parts[:fixed], *("*" for _ in arguments)))
            if route is not None:
                return answer_json(200, route(Control(sandbox, query, body), *arguments))
        return answer_json(404, {"error": "no such control call; GET /_sandbox/ lists them"})
    except RefusalError as refusal:
        return answer_json(refusal.status, {"error": refusal.text})
    except ValidationError as error:
        return answer_json(400, {"error": first_problem(error)})
    except (ValueError, TypeError) as error:
        return answer_json(400, {"error": str(error)})
