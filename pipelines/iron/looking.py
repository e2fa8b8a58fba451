"""What people ask Iron for: all that it holds of a customer, its webhooks, and decisions of its sandbox.

No step uses this: it never decides what happens to a record. Members are taken as Iron shows them, so that new ones are
seen at once; what cannot be had says why. Source: iron-api 3.9c and 3.13 to 3.19.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

from pipelines.errors import AnswerUnreadableError, IronError, RateLimitedError
from pipelines.iron.client import Iron
from pipelines.iron.values import mapping_of, optional, strings, text_of

#: Topics without which a customer's progress is only noticed by polling.
NEEDED_TOPICS = ("CustomerStatus", "IdentificationStatus")
#: Members of Iron's answers that are personal data, or were written by or about the customer; links are secrets.
PERSONAL = frozenset({"name", "email", "active_email", "review_comment", "comment", "description", "url", "title"})

#: Makes one call when it may leave.
Ask = Callable[[Callable[[Iron], Any]], Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what Iron holds. `value`: as Iron shows it; None where it could not be had, and `why` says why."""

    name: str
    value: Any = None
    why: str = ""


def held(ask: Ask, customer_id: str, *, personal: bool = False) -> Iterator[Part]:
    """Read all that Iron holds of a customer, part by part.

    A part that Iron does not have, or does not show, says so, and the others follow. Without `personal` the members
    that are personal data are left out, and the questionnaire is not read. Raises what means that no call may leave.
    """
    customer = f"/customers/{quote(customer_id, safe='')}"
    seen = _shown if personal else _without_personal
    yield _part(ask, "customer", partial(_get, customer), seen)
    identifications = _part(ask, "identifications", partial(_all, f"{customer}/identifications"), seen)
    yield identifications
    yield _part(ask, "requirements", partial(_get, f"{customer}/requirements"), seen)
    yield _part(ask, "signatures", partial(_all, f"{customer}/signings"), seen)
    yield _part(ask, "abilities", partial(_get, f"{customer}/abilities"), seen)
    yield _part(ask, "spending_limit", partial(_get, f"{customer}/spending-limit"), seen)
    if personal and identifications.value:
        newest = max(identifications.value, key=lambda item: str(item.get("created_at") or ""))
        path = f"/identifications/{quote(str(newest.get('id')), safe='')}/compliance-questionnaire"
        yield _part(ask, "questionnaire", partial(_get, path), seen)


def _get(path: str, iron: Iron) -> Any:
    return iron.shown(path)


def _all(path: str, iron: Iron) -> Any:
    return iron.listed(path)


def _part(ask: Ask, name: str, call: Callable[[Iron], Any], seen: Callable[[Any], Any]) -> Part:
    try:
        return Part(name, seen(ask(call)))
    except RateLimitedError:
        raise
    except IronError as error:
        if error.status is None:
            raise  # Iron does not answer: nor will it for the other parts
        return Part(name, why=f"{error} (HTTP {error.status})")


def _shown(value: Any) -> Any:
    return value


def _without_personal(value: Any) -> Any:
    """Leave out members that are personal data, at any depth."""
    if isinstance(value, dict):
        return {name: _without_personal(member) for name, member in value.items() if name not in PERSONAL}
    return [_without_personal(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as Iron has it registered. Source: iron-api 3.19."""

    id: str
    url: str
    enabled: bool
    topics: tuple[str, ...]
    last_failure: str = ""
    last_failure_reason: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The topics that we need and that it does not have."""
        return tuple(topic for topic in NEEDED_TOPICS if topic not in self.topics)


def webhooks(iron: Iron) -> list[Webhook]:
    """GET /webhooks: what is registered in Iron's dashboard."""
    return [_webhook(item) for item in iron.listed("/webhooks")]


def _webhook(item: Mapping[str, Any]) -> Webhook:
    return Webhook(
        id=text_of(item, "id"),
        url=optional(item.get("url")),
        enabled=item.get("enabled") is not False,
        topics=strings(item.get("topics")),
        last_failure=optional(item.get("last_failure")),
        last_failure_reason=optional(item.get("last_failure_reason")),
    )


def faults(found: list[Webhook], ours: str | None) -> Iterator[str]:
    """Return in sentences what keeps news from us. `ours`: the address where our gateway takes webhooks, if known."""
    fitting = [hook for hook in found if ours is None or _same(hook.url, ours)]
    if not found:
        yield "Iron has no webhook registered: customers are only followed by polling. Add one in Iron's dashboard."
    elif not fitting:
        yield f"None of the {len(found)} webhooks that Iron has leads to {ours}. Correct the address in the dashboard."
    for hook in fitting:
        where = urlsplit(hook.url).hostname or "an address without a host"
        if not hook.enabled:
            yield f"The webhook to {where} is switched off at Iron. Enable it in the dashboard."
        if hook.missing:
            yield f"The webhook to {where} does not send {' and '.join(hook.missing)}. Add that in the dashboard."
        if hook.last_failure:
            why = f": {hook.last_failure_reason}" if hook.last_failure_reason else ""
            yield f"Iron's last failure to deliver to {where} was at {hook.last_failure}{why}."


def _same(one: str, other: str) -> bool:
    first, second = urlsplit(one), urlsplit(other)
    return (first.hostname, first.path.rstrip("/")) == (second.hostname, second.path.rstrip("/"))


def ping(iron: Iron, webhook_id: str, customer_id: str, key: str) -> None:
    """POST /webhooks/{id}/ping: let Iron send one event about this customer."""
    iron.asked("POST", f"/webhooks/{quote(webhook_id, safe='')}/ping", {"customer_id": customer_id}, key)


def is_sandbox(base_url: str) -> bool:
    """Return whether an address is one where nobody real is decided about: Iron's sandbox, or this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or "sandbox" in host.split(".")


def decide(iron: Iron, identification_id: str, key: str, *, approved: bool) -> str:
    """POST /sandbox/identification/{id}: approve or decline without the customer. Returns the status after it.

    Raises ValueError where the address is not a sandbox's. Source: iron-api 3.18.
    """
    if not is_sandbox(iron.base_url):
        message = "not a sandbox"
        raise ValueError(message)
    path = f"/sandbox/identification/{quote(identification_id, safe='')}"
    answer = mapping_of(iron.asked("POST", path, {"approved": approved}, key))
    status = optional(answer.get("status"))
    if not status:
        raise AnswerUnreadableError
    return status
