"""Where events are delivered to: endpoints by name, each with its address, filter and sealed secrets; and their acts.

What people do here is noted, with who did it, in one log that outlives the endpoint. A secret is shown once, when it is
made, and stored encrypted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from pipelines import events
from pipelines.errors import InputLostError
from pipelines.events import NAMES, Event, place
from pipelines.keys import canonical_json
from pipelines.times import timestamp
from workers.addresses import read_url
from workers.events.sender import new_secret
from workers.events.stream import STREAM
from workers.ledger import PREFIX, Ledger
from workers.secrets.vault import Place, Vault, as_text, of_text

#: Endpoints there can be: each has threads and connections of its own in one worker process.
MOST = 32
#: Secrets that sign at the same time at most.
MOST_SECRETS = 5
#: Characters that a name may have.
NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"

ALL = ("*",)


class EndpointError(Exception):
    """What was asked of an endpoint cannot be done; the text says why and how to fix it."""


class NoEndpointError(EndpointError):
    """There is no endpoint of this name."""

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f"There is no endpoint {name!r}: `onboarding endpoints list` shows those there are.")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What people set up. `sealed`: the encrypted secrets; `types`: patterns of which one must fit an event's type."""

    name: str
    url: str
    types: tuple[str, ...]
    sealed: str
    created_ms: int

    def wants(self, event: Event) -> bool:
        """Return whether this event is delivered here."""
        return any(fnmatchcase(event.type, pattern) for pattern in self.types)

    def stored(self) -> bytes:
        """Write it as the ledger keeps it."""
        return canonical_json(
            {"url": self.url, "types": list(self.types), "sealed": self.sealed, "created_ms": self.created_ms}
        )

    @classmethod
    def restored(cls, name: str, stored: bytes) -> Endpoint:
        """Read `stored()` back."""
        found = json.loads(stored)
        return cls(name, found["url"], tuple(found["types"]), found["sealed"], found["created_ms"])


@dataclass(frozen=True, slots=True)
class Parked:
    """Events of one onboarding that wait because the endpoint does not accept the first of them."""

    ids: tuple[str, ...]
    #: Attempts at the first that failed.
    tries: int = 0
    next_ms: int = 0
    why: str = ""

    def stored(self) -> str:
        """Write it as the ledger keeps it."""
        return json.dumps({"ids": self.ids, "tries": self.tries, "next": self.next_ms, "why": self.why})

    @classmethod
    def restored(cls, stored: bytes) -> Parked:
        """Read `stored()` back."""
        found = json.loads(stored)
        return cls(tuple(found["ids"]), found["tries"], found["next"], found["why"])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an endpoint's deliveries are, as its courier keeps it. Times in ms; 0 where there is none."""

    cursor: str = "0-0"
    delivered: int = 0
    given_up: int = 0
    #: Attempts in a row with which the endpoint as a whole failed.
    tries: int = 0
    failing_since: int = 0
    next: int = 0
    accepted: int = 0
    why: str = ""
    #: The newest event that was dropped from the stream before it could be delivered.
    lost: str = ""
    #: Why nothing is delivered until somebody resumes it.
    paused: str = ""

    def stored(self) -> dict[str, str]:
        """Write the fields as the ledger keeps them; what is nothing is left out."""
        return {item.name: str(getattr(self, item.name) or "") for item in fields(self)}

    @classmethod
    def restored(cls, found: Mapping[bytes, bytes]) -> Progress:
        """Read the fields back."""
        texts = {name.decode(): value.decode() for name, value in found.items()}
        read: dict[str, Any] = {
            item.name: int(texts[item.name]) if isinstance(item.default, int) else texts[item.name]
            for item in fields(cls)
            if item.name in texts
        }
        return cls(**read)

    @property
    def state(self) -> str:
        """Return how it is in a word: active, failing or paused."""
        return "paused" if self.paused else "failing" if self.tries else "active"


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint with all that is known about its deliveries."""

    endpoint: Endpoint
    progress: Progress
    parked: dict[str, Parked]
    replays: dict[str, str]


def viewed(standing: EndpointStatus) -> dict[str, Any]:
    """Show an endpoint as everybody reads it: no secret, and no query of its address, which may hold one."""
    endpoint, progress = standing.endpoint, standing.progress
    return {
        "name": endpoint.name,
        "url": shown(endpoint.url),
        "types": list(endpoint.types),
        "state": progress.state,
        "paused": progress.paused or None,
        "failing_since": timestamp(progress.failing_since or None),
        "tries": progress.tries,
        "next_try": timestamp(progress.next or None),
        "why": progress.why or None,
        "last_accepted": timestamp(progress.accepted or None),
        "delivered": progress.delivered,
        "given_up": progress.given_up,
        "cursor": progress.cursor,
        "lost_up_to": progress.lost or None,
        "parked": [
            {
                "idempotency_key": key,
                "first_event": parked.ids[0],
                "waiting": len(parked.ids),
                "tries": parked.tries,
                "next_try": timestamp(parked.next_ms or None),
                "why": parked.why or None,
            }
            for key, parked in sorted(standing.parked.items())
        ],
        "replays": len(standing.replays),
        "created_at": timestamp(endpoint.created_ms),
    }


class Endpoints:
    """What people do with endpoints. Every method but `all`, `find` and `acts` is noted with who did it."""

    def __init__(self, ledger: Ledger, vault: Vault | None = None) -> None:
        """`vault` seals the secrets; without it endpoints can be shown, paused and removed."""
        self._ledger = ledger
        self._vault = vault
        self._client: Any = ledger.client

    def add(self, name: str, url: str, *, types: Sequence[str], after: str, by: str, private: bool) -> str:
        """Set up an endpoint that gets what comes after a cursor; answers its secret, which is not shown again.

        Raises AddressRefusedError when the address is not one that may be used, and EndpointError.
        """
        read_url(url, private=private)
        secret = new_secret()
        endpoint = Endpoint(name, url, checked_types(types), self._sealed(name, [(secret, 0)]), self._ledger.now_ms())
        act = self._act(name, "add", by, url=shown(url), types=list(endpoint.types))
        answer = self._ledger.call("endpoint_add", name, endpoint.stored(), after, MOST, *act)
        if answer == b"taken":
            raise EndpointError(f"There is an endpoint {name!r} already: choose another --name, or remove that one.")
        if answer == b"full":
            raise EndpointError(f"There are {MOST} endpoints already, and no more can be: remove one first.")
        return secret

    def rotate(self, name: str, *, overlap_s: float, by: str) -> str:
        """Give an endpoint a new secret; the former ones sign as well until the overlap is over. Answers the new one.

        Raises NoEndpointError, and EndpointError when the stored secrets cannot be opened.
        """
        now_ms, secret = self._ledger.now_ms(), new_secret()
        while True:
            endpoint = self.find(name).endpoint
            ends_ms = now_ms + int(overlap_s * 1000)
            former = [(key, min(ends or ends_ms, ends_ms)) for key, ends in self._opened(endpoint)]
            kept = [(key, ends) for key, ends in former if ends > now_ms][: MOST_SECRETS - 1]
            changed = replace(endpoint, sealed=self._sealed(name, [(secret, 0), *kept]))
            act = self._act(name, "rotate", by, overlap_s=overlap_s)
            answer = self._ledger.call("endpoint_change", name, endpoint.stored(), changed.stored(), *act)
            if answer == b"changed":
                return secret

    def pause(self, name: str, *, by: str, reason: str = "") -> None:
        """Deliver nothing here until it is resumed; nothing is lost meanwhile but what the stream drops of age."""
        why = f"by {by}" + (f": {reason}" if reason else "")
        self._need(name, self._ledger.call("endpoint_pause", name, why, *self._act(name, "pause", by, reason=reason)))

    def resume(self, name: str, *, by: str, reason: str = "") -> None:
        """Deliver again, from where it ended, and at once; also for one that is failing and waits for its next try."""
        self._need(name, self._ledger.call("endpoint_pause", name, "", *self._act(name, "resume", by, reason=reason)))

    def replay(self, name: str, first: str, last: str, *, by: str) -> None:
        """Deliver the events from one id to another again, both included, beside what is new."""
        act = self._act(name, "replay", by, first=first, last=last)
        self._need(name, self._ledger.call("endpoint_replay", name, act[0], f"{_before(first)} {last}", *act))

    def remove(self, name: str, *, by: str) -> None:
        """Deliver here no more; what was not delivered yet is not."""
        _, act = self._act(name, "remove", by)
        self._need(name, self._ledger.call("endpoint_remove", name, act))

    def tested(self, name: str, *, by: str, why: str) -> None:
        """Note that somebody sent a test event, and what came of it."""
        _, act = self._act(name, "test", by, result=why)
        self._ledger.call("endpoint_note", act)

    # --- reading -------------------------------------------------------------------------------------------------

    def all(self) -> list[EndpointStatus]:
        """Return every endpoint, by name."""
        stored = self._client.hgetall(f"{PREFIX}endpoints")
        endpoints = [Endpoint.restored(name.decode(), config) for name, config in sorted(stored.items())]
        with self._client.pipeline(transaction=False) as pipeline:
            for endpoint in endpoints:
                for kind in ("courier", "parked", "replays"):
                    pipeline.hgetall(f"{PREFIX}{kind}:{endpoint.name}")
            answers = pipeline.execute()
        parts = zip(*[iter(answers)] * 3, strict=True)
        return [_standing(endpoint, *part) for endpoint, part in zip(endpoints, parts, strict=True)]

    def lags_s(self, standings: Sequence[EndpointStatus], now_ms: int) -> dict[str, float]:
        """Return by name how far each endpoint is behind, in seconds: the age of the first event after its cursor.

        What is parked is not counted: it waits for an answer, and not for us. One round trip for all.
        """
        with self._client.pipeline(transaction=False) as pipeline:
            for standing in standings:
                pipeline.xrange(STREAM, f"({standing.progress.cursor}", "+", 1)
            pages = pipeline.execute()
        ages_ms = [max(0, now_ms - place(entries[0][0].decode())[0]) if entries else 0 for entries in pages]
        return {standing.endpoint.name: ms / 1000 for standing, ms in zip(standings, ages_ms, strict=True)}

    def find(self, name: str) -> EndpointStatus:
        """Return one endpoint. Raises NoEndpointError."""
        for standing in self.all():
            if standing.endpoint.name == name:
                return standing
        raise NoEndpointError(name)

    def acts(self, name: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest acts, oldest first, of one endpoint or of all."""
        found = (json.loads(act) for act in self._client.lrange(f"{PREFIX}endpoint_acts", 0, -1))
        return [act for act in found if name in (None, act["name"])][-limit:]

    def secrets(self, endpoint: Endpoint) -> list[str]:
        """Open the secrets that sign now, the newest first. Raises EndpointError."""
        now_ms = self._ledger.now_ms()
        return [key for key, ends in self._opened(endpoint) if not ends or ends > now_ms]

    # --- what all of them need -----------------------------------------------------------------------------------

    def _act(self, name: str, act: str, by: str, **details: Any) -> tuple[str, bytes]:
        """Return an epoch, and the act as it is noted."""
        epoch = secrets.token_urlsafe(9)
        told = {name_: value for name_, value in details.items() if value not in ("", None)}
        entry = {"id": epoch, "at_ms": self._ledger.now_ms(), "name": name, "act": act, "by": by, **told}
        return epoch, canonical_json(entry)

    def _need(self, name: str, there: int) -> None:
        if not there:
            raise NoEndpointError(name)

    def _sealed(self, name: str, keys: Sequence[tuple[str, int]]) -> str:
        return as_text(self._ring().seal(Place("endpoint", name), [list(key) for key in keys]))

    def _opened(self, endpoint: Endpoint) -> list[tuple[str, int]]:
        try:
            stored = self._ring().open(Place("endpoint", endpoint.name), of_text(endpoint.sealed))
        except InputLostError:
            raise EndpointError(
                f"No key in ONBOARDING_ENCRYPTION_KEYS opens the secrets of the endpoint {endpoint.name!r}: give back"
                " the key it was made with, or remove the endpoint and add it again."
            ) from None
        return [(key, ends) for key, ends in stored]

    def _ring(self) -> Vault:
        if self._vault is None:
            raise EndpointError("ONBOARDING_ENCRYPTION_KEYS is not set, and secrets are sealed with it: set it.")
        return self._vault


def checked_types(patterns: Sequence[str]) -> tuple[str, ...]:
    """Check a filter: each pattern must fit some type there is. Raises EndpointError."""
    types = sorted(events.PREFIX + name for name in NAMES)
    for pattern in patterns:
        if not any(fnmatchcase(type_, pattern) for type_ in types):
            raise EndpointError(f"No event has a type like {pattern!r}; the types are {', '.join(types)}.")
    return tuple(dict.fromkeys(patterns)) or ALL


def _standing(
    endpoint: Endpoint, courier: Mapping[bytes, bytes], parked: Mapping[bytes, bytes], replays: Mapping[bytes, bytes]
) -> EndpointStatus:
    return EndpointStatus(
        endpoint,
        Progress.restored(courier),
        {key.decode(): Parked.restored(stored) for key, stored in parked.items()},
        {id_.decode(): stored.decode() for id_, stored in replays.items()},
    )


def shown(url: str) -> str:
    """Write an address without its query, which may hold a token."""
    return url.partition("?")[0]


def _before(id_: str) -> str:
    """Return the cursor after which this id is the next."""
    ms, _, number = id_.partition("-")
    return f"{ms}-{int(number) - 1}" if int(number) else f"{int(ms) - 1}-9999999"
