"""What others get from us, as `onboarding doctor` looks at it: events, answers to jobs, new identifications, links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pipelines.lifecycle import Phase
from pipelines.reidentification import InForce
from workers.budget.gate import Gate
from workers.events.endpoints import Endpoints, EndpointStatus
from workers.intake.rejections import Refusals
from workers.ledger import Ledger, Lists
from workers.operate.doctor.check import Check
from workers.reidentification.policy_store import in_force, overdue, summarised

#: An endpoint that has accepted nothing for longer than this, in seconds, is told: it is probed at least as often.
FAILING_S = 600.0
#: An event that has waited for longer than this, in seconds, is told where the endpoint does not fail.
BEHIND_S = 300.0
#: Refused jobs are told for so long, in ms: a day, in which somebody looks.
REFUSED_WITHIN_MS = 86_400_000
#: A new policy whose dates are not entered after so long, in seconds, is told: a million customers take some minutes.
MOVING_S = 1_800.0
#: A re-identification that has been due for longer than this, in seconds, is told: its lane has little of the budget.
LATE_S = 3_600.0

#: Phases in which the customer has something to do, for which the customer's link is handed out.
_CUSTOMERS = (
    Phase.IDENTIFICATION_PENDING,
    Phase.STEP_UP_REQUIRED,
    Phase.DECLINED,
    Phase.EXPIRED,
    Phase.SIGNINGS_REQUIRED,
)


def endpoints(ledger: Ledger, kept_s: float) -> Iterator[Check]:
    """Say whether every endpoint hears what it is to hear. `kept_s`: how long events are kept."""
    found = Endpoints(ledger)
    standings, now_ms = found.all(), ledger.now_ms()
    lags_s = found.lags_s(standings, now_ms)
    told = [text for one in standings for text in _of_endpoint(one, lags_s[one.endpoint.name], now_ms, kept_s)]
    yield from (Check("endpoints", "warning", text) for text in told)
    if not standings:
        yield Check("endpoints", "ok", "No endpoint is set up: events can be read, and are delivered nowhere.")
    elif not told:
        count = f"{len(standings)} endpoint{'' if len(standings) == 1 else 's'}"
        yield Check("endpoints", "ok", f"Events are delivered to {count}.")


def _of_endpoint(standing: EndpointStatus, lag_s: float, now_ms: int, kept_s: float) -> Iterator[str]:
    """Say what is wrong with the deliveries to an endpoint."""
    name, progress = standing.endpoint.name, standing.progress
    failing_s = (now_ms - progress.failing_since) / 1000 if progress.failing_since else 0.0
    if progress.paused:
        yield (
            f"The endpoint {name} is paused ({progress.paused}): its events wait, and those older than"
            f" {kept_s / 86_400:,.0f} days are dropped. `onboarding endpoints resume {name}` delivers them."
        )
    elif failing_s > FAILING_S:
        yield (
            f"The endpoint {name} has accepted nothing for {_span(failing_s)} ({progress.why}); after three days it is"
            f" paused. Fix the receiver, then `onboarding endpoints resume {name}`."
        )
    elif lag_s > BEHIND_S and not progress.failing_since:
        yield (
            f"Events for the endpoint {name} are {_span(lag_s)} late: no worker delivers, or the receiver is slow. See"
            f" that `onboarding worker` runs, and look at `onboarding endpoints show {name}`."
        )
    if standing.parked:
        count = len(standing.parked)
        yield (
            f"The endpoint {name} refuses events of {count:,} onboarding{'' if count == 1 else 's'}; each is given up"
            f" after three days. `onboarding endpoints show {name}` names them and what it answers."
        )


def refused(ledger: Ledger) -> Check:
    """Say whether jobs that came as messages were refused lately: nobody answers their producer."""
    count = Refusals(ledger).count(REFUSED_WITHIN_MS)
    if not count:
        return Check("refused", "ok", "No job that came as a message was refused in the last day.")
    text = (
        f"{count:,} job{' that came as a message was' if count == 1 else 's that came as messages were'} refused in the"
        " last day, and the producer does not know. `onboarding refused` says which and why: tell its team."
    )
    return Check("refused", "warning", text)


def reidentification(ledger: Ledger) -> Iterator[Check]:
    """Say whether those are identified again who are to be."""
    rule = in_force(ledger)
    if not rule.policy.enabled:
        yield Check("reidentification", "ok", "No policy is in force: nobody is identified again by date.")
        return
    told = list(_of_policy(ledger, rule))
    yield from (Check("reidentification", "warning", text) for text in told)
    if not told:
        now = summarised(ledger)
        text = (
            f"The policy of {datetime.fromtimestamp(rule.at_ms / 1000, UTC):%Y-%m-%d} is in force:"
            f" {now['started_today']:,} of at most {now['max_per_day']:,} started today, {now['waiting']:,} wait."
        )
        yield Check("reidentification", "ok", text)


def _of_policy(ledger: Ledger, rule: InForce) -> Iterator[str]:
    """Say what is behind of what the policy wants."""
    now, now_ms = summarised(ledger), ledger.now_ms()
    if now["moving"] and now_ms - rule.at_ms > MOVING_S * 1000:
        yield (
            f"The policy was changed {_span((now_ms - rule.at_ms) / 1000)} ago, and its dates are not entered for every"
            " active customer: those who are missing start late. See that `onboarding worker` runs."
        )
    late_s, pause = Lists(ledger).overdue_s("reidentify"), Gate(ledger).standing().paused.get("reidentify")
    if pause:
        yield (
            f"{pause.by} has paused the lane reidentify: nobody is identified again meanwhile."
            " `onboarding resume reidentify --yes` lets it go on."
        )
    elif late_s > LATE_S:
        yield (
            f"A re-identification has been due for {_span(late_s)} and nobody took it: no worker runs, or Iron's budget"
            " is used up. Look at `onboarding summary`, and start `onboarding worker`."
        )
    today = rule.policy.hours.day(now_ms)
    past = overdue(ledger, rule, today)
    if past and today >= rule.earliest + timedelta(days=rule.backlog_days):
        whose = "1 customer is" if past == 1 else f"{past:,} customers are"
        yield f"{whose} past the date of the policy: {_why_past(rule, capped=now['past_their_date'] > 0)}"


def _why_past(rule: InForce, *, capped: bool) -> str:
    """Say why customers are past their date, and what to do."""
    if capped:
        return (
            f"more fall due than the {rule.policy.max_per_day:,} that may start in a day."
            " `onboarding reidentify --calendar` shows for how long: raise max_per_day."
        )
    if not rule.policy.automatic:
        return (
            "it leaves the start to runs (automatic = false), and none has asked for them."
            " Let your scheduler call `onboarding reidentify --due`."
        )
    return (
        "they were not started in time. `onboarding reidentify --calendar` shows who; see that `onboarding worker`"
        " has run all the time."
    )


def links(ledger: Ledger, public_url: str | None) -> Check:
    """Say whether customers' links can be handed out, and go a safe way."""
    found = Lists(ledger).phases()
    waiting = sum(found[phase][0] for phase in _CUSTOMERS if phase in found)
    if public_url is None:
        if not waiting:
            return Check("links", "ok", "ONBOARDING_PUBLIC_URL is not set; no customer waits for a link.")
        text = (
            f"ONBOARDING_PUBLIC_URL is not set, and {waiting:,} customer{' has' if waiting == 1 else 's have'}"
            " something to do: there is no link of ours for them, and Iron's own run out. Set it to the https address"
            " at which customers reach the gateway."
        )
        return Check("links", "warning", text)
    parts = urlsplit(public_url)
    if parts.scheme == "https":
        return Check("links", "ok", f"Customers' links lead to {parts.hostname}, by https.")
    return Check("links", "ok", f"Customers' links lead to {parts.hostname}: to this machine alone.")


def _span(seconds: float) -> str:
    """Tell a length of time, in minutes or in hours."""
    hours = seconds / 3_600
    return f"{hours:,.1f} hours" if hours > 1 else f"{seconds / 60:,.0f} minutes"
