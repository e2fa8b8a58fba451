"""Faults on request: which calls they hit, and what becomes of the call, its effect and its stored answer.

A rule's action is spelled out by four questions: is the effect executed (`when`), what is answered (`status`, `body`,
`odd`, `malformed`), does the answer arrive (`lost`, `delay_s`, `late_s`), and what does the idempotency store remember
(`stored`).
"""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import translate
from itertools import count
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ops.sandbox.wire.answers import Answer, Lost, encode, refuse
from ops.sandbox.world.switches import OddRead

#: Texts for injected statuses, as a real provider would put them.
TEXTS = {
    400: "invalid request",
    401: "authorization error",
    403: "forbidden",
    404: "not found",
    409: "conflict",
    422: "validation error",
    429: "rate limit exceeded",
}


class Fault(BaseModel):
    """One rule. Without `times` it stays until it is cleared; `skip` lets the first matching calls through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Which calls
    name: str | None = None
    method: str | None = None
    #: A glob over the path without `/api`, e.g. `/customers/*/signings`.
    path: str | None = None
    #: An operation's name as in the effects, e.g. `create_customer`.
    operation: str | None = None
    idempotency_key: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1, ge=0, le=1)

    # What becomes of them
    #: Whether the effect is executed before the fault strikes.
    when: Literal["before", "after"] = "before"
    status: int | None = Field(default=None, ge=200, le=599)
    #: A JSON value as body; absent: the form that belongs to the status (HTML for 502, 503, 504).
    body: JsonValue = None
    retry_after: float | None = Field(default=None, ge=0)
    #: A read answers this instead of what it should, as with the switch `odd_reads`.
    odd: OddRead | None = None
    #: Cuts the body in the middle.
    malformed: bool = False
    #: No answer arrives: the connection is closed, or stays silent until the caller gives up.
    lost: Lost | None = None
    #: The answer takes this long; the key is in flight meanwhile.
    delay_s: float = Field(default=0, ge=0)
    #: The request itself arrives this much later, and the caller hears nothing (`lost` says how).
    late_s: float = Field(default=0, ge=0)
    #: What the store remembers: the true answer if the effect happened, the injected one, or nothing at all.
    stored: Literal["true", "injected", "nothing"] | None = None

    @model_validator(mode="after")
    def _something_happens(self) -> "Fault":
        """Refuse a rule without a consequence."""
        if not (self.status or self.odd or self.malformed or self.lost or self.delay_s or self.late_s):
            raise ValueError("a fault needs one of status, odd, malformed, lost, delay_s, late_s")
        return self

    @property
    def executes(self) -> bool:
        """Whether the effect happens. A cut body or a slow answer without more has had its effect."""
        return self.when == "after" or not (self.status or self.lost or self.late_s)

    def answer(self) -> Answer | None:
        """Return the injected answer, None if the rule has none."""
        if self.status is None:
            return None
        headers = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        if self.body is not None:
            return Answer(self.status, encode(self.body).encode(), extra_headers=headers)
        return refuse(self.status, TEXTS.get(self.status, "internal error"), headers=headers)

    def spoil(self, answer: Answer) -> Answer:
        """Apply to an answer what happens to it on its way."""
        body = answer.body[: max(1, len(answer.body) // 2)] if self.malformed else answer.body
        lost = self.lost or ("timeout" if self.late_s else None)
        return replace(answer, body=body, delay_s=self.delay_s, lost=lost)


class _Rule:
    """A fault with its counters."""

    def __init__(self, fault: Fault, name: str) -> None:
        self.fault = fault
        self.name = name
        self.seen = 0
        self.hits = 0
        pattern = fault.path.removeprefix("/api") if fault.path else None
        self._path = re.compile(translate(pattern)) if pattern else None

    def matches(self, method: str, path: str, operation: str, key: str | None) -> bool:
        """Return whether the rule is about this call."""
        fault = self.fault
        return (
            (fault.method is None or fault.method.upper() == method)
            and (fault.operation is None or fault.operation == operation)
            and (fault.idempotency_key is None or fault.idempotency_key == key)
            and (self._path is None or self._path.match(path) is not None)
        )

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it should."""
        return self.fault.times is not None and self.hits >= self.fault.times


class Faults:
    """The rules in force, first match strikes."""

    def __init__(self, seed: int) -> None:
        self._rules: list[_Rule] = []
        self._random = random.Random(seed)
        self._names = count(1)

    def __iter__(self) -> Iterator[dict[str, object]]:
        for rule in self._rules:
            yield {**rule.fault.model_dump(exclude_unset=True), "name": rule.name, "seen": rule.seen, "hits": rule.hits}

    def add(self, fault: Fault) -> str:
        """Put a rule into force and return its name; a known name is replaced."""
        name = fault.name or f"fault-{next(self._names)}"
        self.clear(name)
        self._rules.append(_Rule(fault, name))
        return name

    def clear(self, name: str | None = None) -> int:
        """Remove one rule, or all; return how many."""
        before = len(self._rules)
        self._rules = [rule for rule in self._rules if name is not None and rule.name != name]
        return before - len(self._rules)

    def strike(self, method: str, path: str, operation: str, key: str | None) -> Fault | None:
        """Return the fault that hits this call, if any."""
        for rule in self._rules:
            if rule.spent or not rule.matches(method, path, operation, key):
                continue
            rule.seen += 1
            if rule.seen <= rule.fault.skip or self._random.random() >= rule.fault.probability:
                continue
            rule.hits += 1
            return rule.fault
        return None
