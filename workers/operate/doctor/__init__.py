"""What `onboarding doctor` looks at, one check after the other: what is wrong, what that endangers, how to mend it.

It only looks: two calls to Iron, a handful to Redis, nothing is written. Source: contract section 5, design section 7.

- `check`: what one look finds
- `lying`: messages that do not move
- `outward`: what others get from us
- `secrets`: each secret, tried on something real
- `surroundings`: variables, certificates, proxies, clock, limits
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import redis

from workers.budget.gate import BudgetStatus, Gate
from workers.engine.broker import NudgeBroker
from workers.engine.inventory import look
from workers.environment import certificates
from workers.ledger import Ledger, Lists, connect
from workers.operate.diagnosis import Diagnosis, diagnosed, rejects_all
from workers.operate.doctor.check import Check, State
from workers.operate.doctor.lying import messages
from workers.operate.doctor.outward import endpoints, links, refused, reidentification
from workers.operate.doctor.secrets import api_key, encryption_keys, registered, tokens, webhooks
from workers.operate.doctor.surroundings import limits, proxies, surroundings
from workers.operate.preflight import address, check_broker, check_ledger, product_of, unanswered
from workers.reconcile.cursor import SweepCursor
from workers.secrets.stored_tokens import StoredToken, TokenStore
from workers.settings import Settings, SettingsError

__all__ = ["Check", "State", "examined"]

#: Clocks that differ by more than this, in seconds, are told: webhooks are dated to within some minutes.
CLOCKS_APART_S = 5.0
#: An interactive record that has been due for longer than this, in seconds, should have been taken by a worker. The
#: other lanes wait for Iron's budget, as long as it takes.
OVERDUE_S = 60.0
#: Part of Redis' memory limit beyond which it is told.
MEMORY_FULL = 0.85


def examined(transport: httpx.BaseTransport | None = None) -> Iterator[Check]:
    """Make every check that the settings allow for. `transport` leads to Iron; None: as a worker gets there."""
    yield from surroundings()
    try:
        settings = Settings.load("ledger")
    except SettingsError as error:
        yield from (Check("settings", "broken", problem) for problem in error.problems)
        return
    yield from _of_settings()
    yield from limits(settings)
    yield from proxies(settings)
    with connect(settings.ledger_url) as client:
        ledger = Ledger(client, settings.budget)
        yield from _of_redis(client, settings)
        yield from _of_the_queue(settings, ledger)
        yield from _of_what_is_stored(settings, ledger)
        yield from _of_what_others_get(settings, ledger)
        stored = _good_tokens(ledger)
    yield from _of_iron(settings, transport)
    yield from webhooks(settings)
    yield from tokens(settings, stored)


def _good_tokens(ledger: Ledger) -> list[StoredToken]:
    """Return the tokens of the ledger that are good now; none where it does not answer, which is told elsewhere."""
    with contextlib.suppress(redis.RedisError):
        now_ms = ledger.now_ms()
        return [token for token in TokenStore(ledger).all() if token.state(now_ms) == "good"]
    return []


def _new(problems: Sequence[str]) -> Iterator[str]:
    """Leave out what is told as a part of the surroundings."""
    return (problem for problem in problems if not problem.startswith("SSL_CERT_") and "_PROXY" not in problem)


def _of_settings() -> Iterator[Check]:
    """Name what parts of the program lack."""
    missing: dict[str, list[str]] = {}
    for part in ("worker", "gateway"):
        try:
            Settings.load(part)
        except SettingsError as error:
            for problem in _new(error.problems):
                missing.setdefault(problem, []).append(part)
    for problem, parts in missing.items():
        yield Check("settings", "warning", f"{problem} Without it no {' and no '.join(parts)} starts here.")
    if not missing:
        yield Check("settings", "ok", "Every part of the program has what it needs.")


def _of_redis(client: redis.Redis, settings: Settings) -> Iterator[Check]:
    where = address(client)
    if "ssl_cert_reqs=none" in settings.ledger_url:
        text = (
            "ONBOARDING_REDIS_URL says ssl_cert_reqs=none, so somebody on the way can play the server: name its"
            " authority's certificate with ssl_ca_certs instead."
        )
        yield Check("redis", "warning", text)
    problems = check_ledger(client, settings.durability)
    yield from (Check("redis", "broken", problem) for problem in problems)
    try:
        facts: Mapping[str, Any] = client.info()
        seconds, micros = client.time()
    except redis.RedisError:
        return  # said above
    if not problems:
        yield Check("redis", "ok", f"{product_of(facts)} at {where} accepts writes and never evicts records.")
    yield _persistence(client, facts, settings)
    yield _memory(facts)
    apart_s = seconds + micros / 1e6 - time.time()
    yield _clock("Redis", apart_s, "due times and leases are Redis' own and unharmed, but histories are dated by it")


def _persistence(client: redis.Redis, facts: Mapping[str, Any], settings: Settings) -> Check:
    """Say what an acknowledged job would survive."""
    if facts.get("aof_enabled") and facts.get("aof_last_write_status", "ok") != "ok":
        text = "Redis could not write its append-only file: what is acknowledged is in memory alone. Look at its disk."
        return Check("durability", "broken", text)
    if facts.get("aof_enabled"):
        return Check("durability", *_of_append_only(_fsync(client), settings))
    saved = int(facts.get("rdb_last_save_time", 0))
    if facts.get("rdb_changes_since_last_save", 0) and saved:
        lost = f"everything since {datetime.fromtimestamp(saved, UTC):%Y-%m-%d %H:%M:%S} UTC would be lost"
    else:
        lost = "everything since the last snapshot would be lost"
    text = (
        f"Redis writes no append-only file: when it ends unexpectedly, {lost}, acknowledged jobs and actions of people"
        " included. Set `appendonly yes` in its configuration."
    )
    return Check("durability", "broken", text)


def _of_append_only(fsync: str, settings: Settings) -> tuple[State, str]:
    survives = "An acknowledged job survives a crash of Redis"
    if settings.ONBOARDING_WAITAOF == "replica":
        return "ok", f"{survives}, a power cut, and the loss of the machine: it waits for the disks of two servers."
    if settings.ONBOARDING_WAITAOF == "local":
        return "ok", f"{survives} and a power cut: it waits for the disk (ONBOARDING_WAITAOF)."
    if fsync == "always":
        return "ok", f"{survives} and a power cut (`appendfsync always`)."
    if fsync == "everysec":
        return "ok", (
            f"{survives}; of a power cut it survives all but the last second, actions of people as well"
            " (`appendfsync everysec`). ONBOARDING_WAITAOF=local waits for the disk, with Redis 7.2 and later."
        )
    if fsync == "no":
        return "warning", (
            f"{survives}; after a power cut the last half minute may be missing (`appendfsync no`):"
            " set `appendfsync everysec`."
        )
    return "ok", f"{survives}; how soon its file is synced to disk, the server does not say (CONFIG is not allowed)."


def _fsync(client: redis.Redis) -> str:
    try:
        found: Any = client.config_get("appendfsync")
    except redis.RedisError:
        return ""
    return str(found.get("appendfsync", ""))


def _memory(facts: Mapping[str, Any]) -> Check:
    used, limit = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    told = f"{used / 2**20:,.0f} MB"
    if limit and used > limit * MEMORY_FULL:
        text = f"Redis uses {told} of {limit / 2**20:,.0f} MB; when it is full, no job is accepted: give it more."
        return Check("memory", "broken" if used > limit else "warning", text)
    return Check("memory", "ok", f"Redis uses {told}" + (f" of {limit / 2**20:,.0f} MB." if limit else ", no limit."))


def _clock(whose: str, apart_s: float, endangers: str) -> Check:
    if abs(apart_s) <= CLOCKS_APART_S:
        return Check("clocks", "ok", f"The clocks here and of {whose} differ by {abs(apart_s):.1f} s.")
    ahead = "ahead of" if apart_s > 0 else "behind"
    text = f"The clock of {whose} is {abs(apart_s):.0f} s {ahead} the one here: {endangers}. Synchronise both (NTP)."
    return Check("clocks", "warning", text)


def _of_the_queue(settings: Settings, ledger: Ledger) -> Iterator[Check]:
    broker = NudgeBroker(settings.broker_url)
    try:
        if problems := check_broker(broker.client):
            yield from (Check("queue", "broken", problem) for problem in problems)
        else:
            yield _queues(broker, ledger)
            yield from messages(look(broker))
        yield _due(ledger)
        yield _calls(Gate(ledger).standing())
        yield _sweep(settings, ledger)
    except redis.RedisError as error:
        yield Check("queue", "broken", unanswered(ledger.client, error))
    finally:
        broker.close()
        broker.client.close()


def _queues(broker: NudgeBroker, ledger: Ledger) -> Check:
    lanes, queued = Lists(ledger).lanes(), broker.depths()
    told = (
        f"{lane}: {counts['due']:,} due, {counts['scheduled']:,} later, {queued.get(lane, 0):,} queued"
        for lane, counts in lanes.items()
    )
    return Check("queue", "ok", "; ".join(told) + ".")


def _due(ledger: Ledger) -> Check:
    """Return whether anybody takes what is due."""
    late_s = Lists(ledger).overdue_s("interactive")
    if late_s <= OVERDUE_S:
        return Check("workers", "ok", "No interactive onboarding waits for a worker.")
    text = (
        f"An interactive onboarding has been due for {late_s:,.0f} s and nobody took it: no worker runs, Iron's budget"
        " is used up, or Iron wants no calls. Look at `onboarding summary`, and start `onboarding worker`."
    )
    return Check("workers", "warning", text)


def _calls(standing: BudgetStatus) -> Check:
    """Return whether workers' calls to Iron leave, as the breaker stands."""
    if standing.refusal is not None:
        text = f"{rejects_all(standing.refusal)} So it answers the workers; when it accepts a call, all go on."
        return Check("calls", "broken", text)
    if standing.breaker != "closed":
        text = (
            "Connections to Iron failed or its answers were 5xx again and again: workers make one call every few"
            " seconds to find out when it is well again. Nothing is lost."
        )
        return Check("calls", "broken", text)
    return Check("calls", "ok", "The breaker is closed: workers' calls to Iron leave.")


def _sweep(settings: Settings, ledger: Ledger) -> Check:
    interval_s = settings.ONBOARDING_SWEEP_INTERVAL_S
    if not interval_s:
        text = (
            "The sweep is off (ONBOARDING_SWEEP_INTERVAL_S=0): a change at Iron whose webhook is lost goes unnoticed"
            " for up to a day. Set it to 21600."
        )
        return Check("sweep", "warning", text)
    finished = SweepCursor(ledger).sweep_state().get("finished")
    if finished is None:
        return Check("sweep", "ok", "The sweep is on and has not been through yet.")
    age_s = (ledger.now_ms() - int(finished)) / 1000
    if age_s > 2 * interval_s:
        text = (
            f"The last sweep ended {age_s / 3600:,.1f} hours ago and should come every {interval_s / 3600:,.1f}:"
            " changes whose webhooks are lost go unnoticed. See that workers run and that Iron answers."
        )
        return Check("sweep", "warning", text)
    return Check("sweep", "ok", f"The last sweep ended {age_s / 60:,.0f} minutes ago.")


def _of_what_is_stored(settings: Settings, ledger: Ledger) -> Iterator[Check]:
    with contextlib.suppress(redis.RedisError):  # a ledger that is away is told already
        yield from encryption_keys(settings, ledger)


def _of_what_others_get(settings: Settings, ledger: Ledger) -> Iterator[Check]:
    with contextlib.suppress(redis.RedisError):  # a ledger that is away is told already
        yield from endpoints(ledger, settings.ONBOARDING_EVENTS_KEPT_S)
        yield refused(ledger)
        yield from reidentification(ledger)
        yield links(ledger, settings.ONBOARDING_PUBLIC_URL)


class _Dated(httpx.BaseTransport):
    """A transport that notes the date of the last answer."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.date: datetime | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.inner.handle_request(request)
        try:
            self.date = parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError):
            self.date = None
        return response


def _of_iron(settings: Settings, transport: httpx.BaseTransport | None) -> Iterator[Check]:
    if not settings.IRON_BASE_URL or not settings.IRON_API_KEY:
        yield Check("iron", "warning", "IRON_BASE_URL or IRON_API_KEY is not set here, so Iron was not asked.")
        return
    yield from api_key(settings)
    if transport is None and settings.IRON_BASE_URL.startswith("https:") and certificates():
        yield Check("iron", "broken", "Iron was not asked, because no https call can be made here: see certificates.")
        return
    with settings.transport() if transport is None else transport as opened:
        yield from _asked(settings, opened)


def _asked(settings: Settings, transport: httpx.BaseTransport) -> Iterator[Check]:
    iron = settings.iron(dated := _Dated(transport))
    # The only calls of the program that ask nobody for leave: they must tell how Iron is also while the ledger is away,
    # a lane paused or the breaker open, and a person makes them, now and then, once.
    found = diagnosed(lambda call: call(iron), iron.api_version)
    yield _diagnosis(found, settings)
    if found.outcome == "accepted":
        yield from registered(iron, settings)
    if dated.date is not None:
        apart_s = (dated.date - datetime.now(UTC)).total_seconds()
        yield _clock("Iron", apart_s, "its webhooks are refused when they are dated too far from now")


def _diagnosis(found: Diagnosis, settings: Settings) -> Check:
    """Say how Iron takes our calls: what came back, the setting that it is likely about, and what to do."""
    where = f"Iron at {_without_password(str(settings.IRON_BASE_URL))}"
    if found.outcome == "accepted" and found.cause:
        return Check("iron", "warning", f"{where} accepts our calls. {found.cause.remedy}")
    if found.outcome == "accepted":
        version = f", by version {found.api_version}" if found.api_version else ""
        return Check("iron", "ok", f"{where} answers and accepts the API key{version}.")
    if found.cause:
        text = f"{where} takes no call of ours: {found.text} {found.cause.remedy} Customers wait; nothing is lost."
        return Check("iron", "broken", text)
    text = f"{where} does not answer properly: {found.text} Customers wait; nothing is lost."
    return Check("iron", "broken", text)


def _without_password(url: str) -> str:
    """Return an address without what stands before its host."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
