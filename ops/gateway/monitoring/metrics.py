"""`GET /metrics` for Prometheus: what the ledger knows of the whole fleet, and what this gateway answered.

The ledger's part is read again at each scrape, in a handful of round trips, so that any number of worker processes and
gateways shows the same values: aggregate them with max. Names are promises; labels come from closed sets only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import redis
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ops.gateway.http.access import Door, identified, refusals
from pipelines.lanes import READ_AGAIN
from pipelines.lifecycle import Phase
from pipelines.stages.percentiles import SHOWN
from workers.budget.gate import PAUSABLE, Gate
from workers.engine.broker import NudgeBroker
from workers.engine.inventory import counted, look
from workers.events.endpoints import Endpoints
from workers.ledger import LANES, PREFIX, Ledger, Lists, lane_of
from workers.process.counters import BUCKETS_S, Durations, Labels, told
from workers.reconcile.cursor import SweepCursor
from workers.reidentification import policy_store
from workers.stages import ages

#: Methods that are counted by their name.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: What workers count -> its name here, and what it says.
_COUNTERS = {
    "steps": ("onboarding_steps", "Steps committed, by lane and by the code of the problem they ended in, if any."),
    "steps_interrupted": (
        "onboarding_steps_interrupted",
        "Steps that ended without a commit: the claim was not theirs any more, or Redis was away.",
    ),
    "nudges_passed": ("onboarding_nudges_passed", "Nudges for which there was nothing to do, by reason."),
    "iron_calls": ("onboarding_iron_calls", "Calls to Iron, by the step that made them."),
    "deliveries": ("onboarding_deliveries", "Attempts to deliver an event to an endpoint, by what came of them."),
    "reminders_withheld": (
        "onboarding_reminders_withheld",
        "Reminders not written because a person acted, or a webhook came, at that moment.",
    ),
    "events_given_up": ("onboarding_events_given_up", "Events that an endpoint refused until they were given up."),
}
_DURATIONS = {"step_duration": ("onboarding_step_duration_seconds", "How long steps took, waiting for Iron included.")}


class Traffic:
    """Counts what this gateway answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counters."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time of creation beside each would double them
        self._requests = Counter(
            "onboarding_http_requests",
            "Requests answered by this gateway, by the pattern of their route.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._durations = Histogram(
            "onboarding_http_request_duration_seconds",
            "How long answers of this gateway took.",
            ("route",),
            registry=registry,
            buckets=BUCKETS_S,
        )

        self._refused = Counter(
            "onboarding_auth_refused",
            "Wrong API tokens that this gateway was given, by where: the API or the console's sign-in.",
            ("where",),
            registry=registry,
        )
        for door in ("api", "console"):
            self._refused.labels(door)

    def refused(self, door: str) -> None:
        """Count a wrong token."""
        self._refused.labels(door).inc()

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count an answer. Addresses without a route are one, whatever somebody tries."""
        name = route or "none"
        self._requests.labels(name, method if method in _METHODS else "other", str(status)).inc()
        self._durations.labels(name).observe(seconds)


class Fleet(Collector):
    """Reads the ledger and the queues when it is asked."""

    def __init__(self, ledger: Ledger, broker: NudgeBroker) -> None:
        """Take what is read."""
        self._ledger = ledger
        self._broker = broker

    def collect(self) -> Iterator[Any]:
        """Return what can be had, and which part did not answer."""
        up = GaugeMetricFamily("onboarding_part_up", "Whether a part answered this scrape.", labels=["part"])
        for part, families in (("ledger", self._of_ledger), ("broker", self._of_broker)):
            try:
                found = list(families())
            except redis.RedisError:
                found = []
            up.add_metric([part], float(bool(found)))
            yield from found
        yield up

    def _of_ledger(self) -> Iterator[Any]:
        now_ms = self._ledger.now_ms()
        yield from self._phases(now_ms)
        yield from self._lanes(now_ms)
        yield from self._sweep(now_ms)
        yield from self._pace()
        yield from self._reidentification(now_ms)
        yield from self._stages()
        yield from self._endpoints(now_ms)
        yield from self._redis()
        yield from _counted(self._ledger.counters())

    def _of_broker(self) -> Iterator[Any]:
        yield _by_lane("queued", "Nudges in a lane's queue that no worker has fetched yet.", self._broker.depths())
        counts = counted(look(self._broker).stuck())
        text = "Messages anywhere in the broker's database that do not move, by the queue that they are of."
        stuck = GaugeMetricFamily("onboarding_messages_stuck", text, labels=["queue"])
        text = "How long ago the oldest of them was sent, as far as they say so."
        oldest = GaugeMetricFamily("onboarding_messages_stuck_oldest_age_seconds", text, labels=["queue"])
        for queue, (count, age_ms) in counts.items():
            stuck.add_metric([queue], count)
            oldest.add_metric([queue], _seconds(age_ms))
        yield from (stuck, oldest)

    def _phases(self, now_ms: int) -> Iterator[Any]:
        found = Lists(self._ledger).phases()
        count = GaugeMetricFamily("onboarding_records", "Onboardings in each phase.", labels=["phase"])
        oldest = GaugeMetricFamily(
            "onboarding_phase_oldest_age_seconds",
            "For how long the onboarding that is longest in a phase has been in it.",
            labels=["phase"],
        )
        for phase in Phase:
            n, since_ms = found.get(phase, (0, now_ms))
            count.add_metric([phase.value], n)
            oldest.add_metric([phase.value], _seconds(now_ms - since_ms))
        yield count
        yield oldest

    def _lanes(self, now_ms: int) -> Iterator[Any]:
        client, places = self._ledger.client, (*LANES, READ_AGAIN)  # rows of imports wait as long as they must
        with client.pipeline(transaction=False) as pipeline:
            for place in places:
                pipeline.zrange(f"{PREFIX}due:{place}", 0, 0, withscores=True)
            pipeline.hlen(f"{PREFIX}claims")
            *heads, claims = pipeline.execute()
        lanes = Lists(self._ledger).lanes()
        overdue = dict.fromkeys(LANES, 0.0)
        for place, head in zip(places, heads, strict=True):
            if head:
                overdue[lane_of(place)] = max(overdue[lane_of(place)], _seconds(now_ms - head[0][1]))
        yield _by_lane("due", "Onboardings of a lane that are due now.", {lane: lanes[lane]["due"] for lane in LANES})
        later = {lane: lanes[lane]["scheduled"] for lane in LANES}
        yield _by_lane("scheduled", "Onboardings of a lane that are due later.", later)
        yield _by_lane("overdue_seconds", "For how long what is longest due in a lane has been due.", overdue)
        text = "Onboardings that workers hold, and those whose worker ended before its step did."
        yield GaugeMetricFamily("onboarding_claims", text, value=claims)

    def _sweep(self, now_ms: int) -> Iterator[Any]:
        state = SweepCursor(self._ledger).sweep_state()
        yield GaugeMetricFamily(
            "onboarding_sweep_running", "Whether a sweep is under way.", value=float("place" in state)
        )
        if "finished" in state:
            text = "Seconds since the last sweep ended."
            yield GaugeMetricFamily(
                "onboarding_sweep_age_seconds", text, value=_seconds(now_ms - int(state["finished"]))
            )
            read = GaugeMetricFamily("onboarding_sweep_customers", "Customers of the last sweep.", labels=["result"])
            for result in ("read", "differ", "unknown"):
                read.add_metric([result], int(state[f"last_{result}"]))
            yield read

    def _pace(self) -> Iterator[Any]:
        standing = Gate(self._ledger).standing()
        text = "Whether the breaker keeps calls from leaving, except a probe, because Iron is in trouble."
        yield GaugeMetricFamily("onboarding_breaker_open", text, value=float(standing.breaker != "closed"))
        text = "Whether Iron has asked for a pause of all calls (429)."
        yield GaugeMetricFamily("onboarding_tap_closed", text, value=float(standing.closed_until_ms is not None))
        text = "The part of a class's rate, as it is set, that is used now: less after 429s, trouble, and late calls."
        part = GaugeMetricFamily("onboarding_budget_ratio", text, labels=["class"])
        for class_, now in standing.parts.items():
            part.add_metric([class_], now)
        yield part
        paused = GaugeMetricFamily("onboarding_lane_paused", "Whether a person has paused a lane.", labels=["lane"])
        for lane in PAUSABLE:
            paused.add_metric([lane], float(lane in standing.paused))
        yield paused

    def _reidentification(self, now_ms: int) -> Iterator[Any]:
        now = policy_store.summarised(self._ledger, now_ms)
        for name, text, value in (
            ("onboarding_reidentification_enabled", "Whether the policy in force starts any.", now["enabled"]),
            ("onboarding_reidentification_started_today", "Starts of this day so far.", now["started_today"]),
            ("onboarding_reidentification_waiting", "Customers who wait for room in a day's cap.", now["waiting"]),
            ("onboarding_reidentification_past_date", "Those of them whose date is over.", now["past_their_date"]),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))

    def _stages(self) -> Iterator[Any]:
        """Tell how long stages took, and which are over their limit, of the stages that there were."""
        labels = ["phase", "waiting_on"]
        text = "How long stages took that ended in a window of time (percentiles, at most a fifth too long)."
        lengths = GaugeMetricFamily("onboarding_stage_seconds", text, labels=[*labels, "window", "quantile"])
        text = "Stages that ended in a window of time, without those in which somebody had paused them."
        ended = GaugeMetricFamily("onboarding_stages_ended", text, labels=[*labels, "window"])
        text = "Onboardings that are over the limit of their stage."
        over = GaugeMetricFamily("onboarding_stage_overdue", text, labels=labels)
        for stage in ages.summarised(self._ledger):
            names = [stage["phase"], stage["waiting_on"]]
            if stage["limit_s"] is not None:
                over.add_metric(names, stage["overdue"])
            for name in ages.WINDOWS:
                window = stage[name] or {"count": 0}
                ended.add_metric([*names, name.removeprefix("last_")], window["count"])
                for hundredths in SHOWN if stage[name] else ():
                    labels_of = [*names, name.removeprefix("last_"), f"{hundredths / 100:g}"]
                    lengths.add_metric(labels_of, window[f"p{hundredths}_s"])
        yield from (lengths, ended, over)

    def _endpoints(self, now_ms: int) -> Iterator[Any]:
        """Return figures of the endpoints there are now, which are few: one that is removed leaves no series."""
        endpoints = Endpoints(self._ledger)
        standings = endpoints.all()
        lags = endpoints.lags_s(standings, now_ms)
        lag, paused, parked = (
            GaugeMetricFamily(name, text, labels=["endpoint"])
            for name, text in (
                (
                    "onboarding_endpoint_lag_seconds",
                    "Age of the next event for an endpoint; 0: it has all.",
                ),
                ("onboarding_endpoint_paused", "Whether nothing is delivered until somebody resumes the endpoint."),
                ("onboarding_endpoint_parked", "Onboardings whose events wait because the endpoint refuses one."),
            )
        )
        for standing in standings:
            name = standing.endpoint.name
            lag.add_metric([name], lags[name])
            paused.add_metric([name], float(bool(standing.progress.paused)))
            parked.add_metric([name], len(standing.parked))
        yield from (lag, paused, parked)

    def _redis(self) -> Iterator[Any]:
        client = self._ledger.client
        with client.pipeline(transaction=False) as pipeline:
            pipeline.info("memory")
            pipeline.info("persistence")
            memory, persistence = pipeline.execute()
        written = persistence.get("aof_last_write_status") == "ok" and persistence.get("rdb_last_bgsave_status") == "ok"
        text = "Memory that the ledger's Redis uses."
        yield GaugeMetricFamily("onboarding_redis_memory_bytes", text, value=memory["used_memory"])
        text = "The most that the ledger's Redis may use; 0: as much as there is."
        yield GaugeMetricFamily("onboarding_redis_memory_limit_bytes", text, value=memory.get("maxmemory", 0))
        text = "Whether the ledger's Redis last wrote its files without an error."
        yield GaugeMetricFamily("onboarding_redis_persistence_ok", text, value=float(written))


def routes(registry: CollectorRegistry, door: Door) -> APIRouter:
    """Make the route. Any token may read it: how many customers a company has is nobody else's affair."""
    router = APIRouter(tags=["probes"])

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **refusals()},
    )
    def metrics(request: Request) -> Response:
        """Return all metrics in Prometheus's text format. Wants a bearer token of any role."""
        identified(request, door)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _by_lane(name: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"onboarding_lane_{name}", text, labels=["lane"])
    for lane in LANES:
        family.add_metric([lane], values[lane])
    return family


def _counted(counts: dict[str, int]) -> Iterator[Any]:
    """Return what the workers have counted."""
    plain, durations = told(counts)
    for name, (metric, text) in _COUNTERS.items():
        yield _counter(metric, text, plain.get(name, {}))
    for name, (metric, text) in _DURATIONS.items():
        yield _histogram(metric, text, durations.get(name, {}))


def _counter(name: str, text: str, values: dict[Labels, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=_names(values))
    for labels, n in sorted(values.items()):
        family.add_metric([value for _, value in labels], n)
    return family


def _histogram(name: str, text: str, values: dict[Labels, Durations]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=_names(values))
    ends = [*(f"{end:g}" for end in BUCKETS_S), "+Inf"]
    for labels, found in sorted(values.items(), key=lambda item: item[0]):
        total, buckets = 0, []
        for end, n in zip(ends, found.buckets, strict=True):
            total += n
            buckets.append((end, float(total)))
        family.add_metric([value for _, value in labels], buckets, found.seconds)
    return family


def _names(values: Iterable[Labels]) -> list[str]:
    return [name for name, _ in next(iter(values), ())]


def _seconds(ms: float) -> float:
    return round(ms / 1000, 3)
