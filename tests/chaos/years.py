"""Plays six years of re-identification: the real plan, the real places of a day on a real Redis, and what must hold.

    python -m tests.chaos.years [customers] [seed]

Three schedulers race for every customer who is due, each with a clock that is off by up to five seconds; once a month
all of them are down for a day; the policy is changed twice; leap days and both changes of the clocks come along. Iron
is played by a book of its own, which knows an identification by what it follows, as the idempotency key does. Whatever
is broken is named, and the exit status is 1.
"""

from __future__ import annotations

import heapq
import logging
import random
import sys
import tempfile
import time as clock
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import redis

from ops.local.embedded import EmbeddedRedis
from pipelines.attempt import Ask
from pipelines.model import Again
from pipelines.reidentification import (
    Doing,
    Hours,
    InForce,
    Interval,
    ReidentificationPolicy,
    announced,
    date_of,
    plan,
    turn_ms,
)
from pipelines.reidentification.days import DAY_MS
from tests.world import PLENTY
from workers.ledger import PREFIX, Ledger, connect
from workers.logs import configure_logs
from workers.reidentification.policy_store import Rules, store

BERLIN = ZoneInfo("Europe/Berlin")
HOURS = Hours("Europe/Berlin", (time(22), time(7)))
BEGINS = datetime(2026, 11, 23, 9, tzinfo=UTC)
YEARS = 6
#: How far a scheduler's clock is off at most, in ms.
SKEW_MS = 5_000
SCHEDULERS = 3
#: What an identification takes from its start until the customer is active again, in days.
TAKES_DAYS = (0.01, 20.0)

#: Each policy and the day of the simulation on which it comes into force. The second tightens, the third relaxes.
POLICIES = (
    (0, ReidentificationPolicy(enabled=True, max_per_day=1, hours=HOURS, tiers={
        "high": Interval(months=12), "standard": Interval(months=60), "low": Interval(months=60)})),
    (700, ReidentificationPolicy(enabled=True, max_per_day=1, hours=HOURS, notice_days=30, tiers={
        "high": Interval(months=6), "standard": Interval(months=36), "low": Interval(months=60)})),
    (1500, ReidentificationPolicy(enabled=True, max_per_day=1, hours=HOURS, notice_days=10, tiers={
        "high": Interval(months=12), "standard": Interval(months=60)})),
)  # fmt: skip


@dataclass(slots=True)
class Customer:
    """What the plan needs of a record, and the book of what Iron did for it."""

    key: str
    risk_tier: str
    identified_ms: int
    again: Again | None = None
    #: Due time; the entry in the heap that has another one is void.
    due_ms: int = 0
    busy_until_ms: int = 0
    #: The latest identification that began, as Iron counts them: what follows what.
    identification: int = 0
    starts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Findings:
    """What was broken, by name, and what else is worth knowing."""

    broken: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, words: str) -> None:
        self.broken[name] += 1
        self.examples.setdefault(name, words)


class Years:
    """The simulation. Its time is the server's, moved on; each scheduler sees it through a clock of its own."""

    def __init__(self, client: redis.Redis, customers: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.begin_ms = round(BEGINS.timestamp() * 1000)
        self.now_ms = self.begin_ms
        self.client = client
        self.ledger = Ledger(client, PLENTY, lambda: self.now_ms - round(clock.time() * 1000))
        self.rules = Rules(self.ledger)
        self.customers = {f"c-{n}": self.customer(n, customers) for n in range(customers)}
        self.heap: list[tuple[int, str]] = []
        self.found = Findings()
        #: Wall-clock day in Berlin -> starts; and -> whether somebody was turned away for the cap.
        self.days: Counter[date] = Counter()
        self.delayed: set[str] = set()
        self.rule = InForce()
        self.schedulers = [self.random.randint(-SKEW_MS, SKEW_MS) for _ in range(SCHEDULERS)]
        self.size = customers

    def customer(self, n: int, customers: int) -> Customer:
        """Somebody who was identified in the five years before, some on a leap day."""
        tier = self.random.choices(["high", "standard", "low"], [2, 6, 2])[0]
        age_ms = self.random.randrange(5 * 365 * DAY_MS)
        identified = self.begin_ms - age_ms
        if n % 50 == 0:
            identified = round(datetime(2024, 2, 29, self.random.randrange(24), tzinfo=UTC).timestamp() * 1000)
        return Customer(f"c-{n}", tier, identified)

    # --- time ----------------------------------------------------------------------------------------------------

    def run(self) -> Findings:
        """Play all of it."""
        changes = [(self.begin_ms + day * DAY_MS, policy) for day, policy in POLICIES]
        end_ms = self.begin_ms + YEARS * 365 * DAY_MS
        while changes and not self.heap:
            self.change(changes.pop(0)[1])
        while self.heap and self.heap[0][0] <= end_ms:
            if changes and self.heap[0][0] >= changes[0][0]:
                at_ms, policy = changes.pop(0)
                self.now_ms = max(self.now_ms, at_ms)
                self.change(policy)
                continue
            due_ms, key = heapq.heappop(self.heap)
            customer = self.customers[key]
            if due_ms != customer.due_ms:
                continue
            up_ms = self.up_again(due_ms)
            if up_ms != due_ms:
                self.wait(customer, up_ms + self.random.randrange(60_000))
                continue
            self.now_ms = max(self.now_ms, due_ms)
            self.look(customer)
        self.finish(end_ms)
        return self.found

    def up_again(self, at_ms: int) -> int:
        """Give the instant at which schedulers run again: the tenth of each month they are down for a whole day."""
        shown = datetime.fromtimestamp(at_ms / 1000, UTC)
        return at_ms + DAY_MS - at_ms % DAY_MS if shown.day == 10 else at_ms

    def wait(self, customer: Customer, until_ms: int) -> None:
        customer.due_ms = until_ms
        heapq.heappush(self.heap, (until_ms, customer.key))

    def change(self, policy: ReidentificationPolicy) -> None:
        """Put a policy in force and move everybody's due time to it."""
        if policy.max_per_day == 1:  # as many as the tightest policy needs on an average day, and half as many again
            policy = replace(policy, max_per_day=max(3, self.size // 330))
        rule = self.rule.changed_to(policy, at_ms=self.now_ms, by="a test")
        late = sum(
            (day := date_of(customer, rule)) is not None and day < rule.earliest for customer in self.customers.values()
        )
        self.rule = rule.spread_over(late)
        store(self.ledger, self.rule)
        for customer in self.customers.values():
            if self.now_ms >= customer.busy_until_ms:
                self.wait(customer, self.now_ms)

    # --- what schedulers do ------------------------------------------------------------------------------------------

    def look(self, customer: Customer) -> None:
        """Let all schedulers look at somebody who is due, each by its own clock, and each as if it were alone."""
        if self.now_ms < customer.busy_until_ms:
            self.wait(customer, customer.busy_until_ms)
            return
        seen = replace(customer)  # what every one of them read before any of them wrote
        later: int | None = None
        for skew_ms in self.random.sample(self.schedulers, SCHEDULERS):
            wait_ms = self.act(customer, seen, self.now_ms + skew_ms)
            later = wait_ms if later is None else min(later, wait_ms)
        if later is not None:
            self.wait(customer, max(later, self.now_ms + 1))

    def act(self, customer: Customer, seen: Customer, shown_ms: int) -> int:
        """Do what the plan says by a clock that may be wrong; answers when to look again."""
        far_ms = self.now_ms + 365 * DAY_MS
        rule = self.rules.at(self.rule.version)
        found = plan(seen, rule, shown_ms)
        if found is None or found.at_ms is None:
            return far_ms
        if found.doing is Doing.WAIT:
            return self.now_ms + max(found.at_ms - shown_ms, 1)
        if found.doing is Doing.NOTICE:
            told = Again(noticed_ms=shown_ms, announced_ms=announced(seen, rule, shown_ms))
            if customer.again == seen.again:  # the commit of the first; the others' are stale
                customer.again = told
                self.found.counts["notices"] += 1
            return self.now_ms + 1
        return self.start(customer, seen, rule, shown_ms)

    def start(self, customer: Customer, seen: Customer, rule: InForce, shown_ms: int) -> int:
        today, due = HOURS.day(shown_ms), date_of(seen, rule)
        assert due is not None
        ask = Ask(customer.key, today.isoformat(), today, HOURS.moment(due, 0), rule.policy.max_per_day)
        place = self.rules.place(ask)
        if place.answer == "full":
            self.delayed.add(customer.key)
            self.found.counts["turned away for the cap"] += 1
            return turn_ms(rule, self.now_ms, place.ahead + place.taken - ask.cap)
        self.create(customer, seen, due)
        return customer.busy_until_ms

    def create(self, customer: Customer, seen: Customer, due: date) -> None:
        """Iron begins an identification that follows the one that was seen; a second call with its key is replayed."""
        if customer.identification != seen.identification:
            self.found.counts["calls replayed by their key"] += 1
            return
        customer.identification += 1
        self.check(customer, due)
        customer.starts.append(self.now_ms)
        customer.identified_ms = self.now_ms
        customer.again = None
        customer.busy_until_ms = self.now_ms + int(self.random.uniform(*TAKES_DAYS) * DAY_MS)
        self.client.zrem(f"{PREFIX}waiting:start", customer.key)
        self.delayed.discard(customer.key)

    # --- what must hold ------------------------------------------------------------------------------------------

    def check(self, customer: Customer, due: date) -> None:
        """Look at a start with an eye of its own: wall clocks and plain differences."""
        self.found.counts["starts"] += 1
        wall = datetime.fromtimestamp(self.now_ms / 1000, BERLIN)
        self.days[wall.date()] += 1
        if self.days[wall.date()] > self.rule.policy.max_per_day:
            self.found.note("a day with more starts than the cap", f"{wall.date()}")
        if wall.time() >= time(22) or wall.time() < time(7):
            self.found.note("a start in quiet hours", f"{customer.key} at {wall}")
        again = customer.again
        if again is None or again.noticed_ms is None:
            self.found.note("a start without notice", customer.key)
        elif self.now_ms - again.noticed_ms < (10 if self.rule.version == 3 else 14) * DAY_MS - SKEW_MS:
            self.found.note("a notice that was too short", customer.key)
        if customer.starts:
            shortest = min(interval.shortest_days for interval in self.rule.policy.tiers.values())
            if self.now_ms - customer.starts[-1] < (shortest - self.rule.policy.lead_days) * DAY_MS:
                self.found.note("twice in a period", f"{customer.key} at {wall}")
        if wall.date() > due:
            self.late(customer, wall.date(), due)

    def late(self, customer: Customer, today: date, due: date) -> None:
        """Somebody passed the date: because of the cap, because the policy came too late for it, or by a fault."""
        backlog = due < self.rule.earliest
        if customer.key in self.delayed:
            self.found.counts["past the date, delayed by the cap"] += 1
        elif backlog and today <= self.rule.earliest + timedelta(days=self.rule.backlog_days):
            self.found.counts["past the date, which was over when the policy came"] += 1
        else:
            self.found.note("past the date", f"{customer.key}: {today} instead of {due}")

    def finish(self, end_ms: int) -> None:
        """Nobody is forgotten: whoever should have been identified by the end was, or waits for the cap."""
        today = HOURS.day(end_ms)
        for customer in self.customers.values():
            due = date_of(customer, self.rule)
            if due is not None and due < today and customer.busy_until_ms < end_ms and customer.key not in self.delayed:
                self.found.note("forgotten", f"{customer.key}, due by {due}")


def figures(found: Findings, years: Years) -> Iterator[tuple[str, object]]:
    """Name what is printed."""
    yield "customers", years.size
    yield from found.counts.items()
    yield "most starts on a day", max(years.days.values(), default=0)
    yield "the cap", years.rule.policy.max_per_day
    per_year: defaultdict[int, int] = defaultdict(int)
    for day, count in years.days.items():
        per_year[day.year] += count
    yield "starts by year", ", ".join(f"{year}: {count:,}" for year, count in sorted(per_year.items()))
    yield "deviations", sum(found.broken.values())


def main(customers: int = 50_000, seed: int = 1) -> int:
    """Play, print, and say with the exit status whether all held."""
    configure_logs("json", logging.WARNING)
    began = clock.monotonic()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        years = Years(connect(server.url_for(0)), customers, seed)
        found = years.run()
    for name, value in figures(found, years):
        print(f"{name:<56}{value:>16,}" if isinstance(value, int) else f"{name:<56}{value}")
    print(f"{'seconds':<56}{clock.monotonic() - began:>16,.0f}")
    for name, count in found.broken.items():
        print(f"BROKEN: {name}: {count:,}, such as {found.examples[name]}")
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
