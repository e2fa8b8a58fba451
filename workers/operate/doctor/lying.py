"""What lies in the broker's database and does not move, as `onboarding doctor` looks at it: what it is, what to do."""

from __future__ import annotations

from collections.abc import Iterator

from workers.engine.inventory import Inventory, Lying
from workers.intake.messages import ACTOR
from workers.ledger import LANES
from workers.operate.doctor.check import Check

#: Places that are named, those with most messages first.
MOST_NAMED = 10

#: Where messages of our own queues lie that do not move -> why that is so; a running worker takes all of them.
_OURS = {
    "queue": "in the queue {queue}",
    "fetched": "fetched from the queue {queue} by a worker that died",
    "delayed": "sent with a delay to the queue {queue}, and the delay is over",
    "sent_delayed": "sent with a delay to the queue {queue}",
    "dead_letters": "among the dead letters of the queue {queue}",
    "unlisted": "of the queue {queue}, whose list does not name them",
}


def messages(found: Inventory) -> Iterator[Check]:
    """Say which messages do not move, and why."""
    stuck = found.stuck()
    yield from (Check("messages", "warning", _of(one)) for one in stuck[:MOST_NAMED])
    if len(stuck) > MOST_NAMED:
        count = sum(one.count for one in stuck[MOST_NAMED:])
        text = (
            f"{count:,} messages in {len(stuck) - MOST_NAMED:,} further places do not move; see `onboarding summary`."
        )
        yield Check("messages", "warning", text)
    if found.partial:
        text = (
            "The database of the queue has more keys than are looked at, so messages may be overlooked: give the queue"
            " a logical database of its own (ONBOARDING_BROKER_URL)."
        )
        yield Check("messages", "warning", text)
    if not stuck and not found.partial:
        yield Check("messages", "ok", f"Every message moves.{_beside(found)}")


def _beside(found: Inventory) -> str:
    """Say what else is there."""
    delayed = f" {found.delayed():,} wait until the delay that they were sent with is over." if found.delayed() else ""
    keys = f" {found.keys:,} keys of other programs are in the same database." if found.keys else ""
    return delayed + keys


def _of(one: Lying) -> str:
    subject = "Stuck: 1 message" if one.count == 1 else f"Stuck: {one.count:,} messages"
    return f"{subject} {_why(one)}{_since(one)}. {_remedy(one)}"


def _since(one: Lying) -> str:
    return "" if one.age_ms is None else f"; the oldest was sent {one.age_ms / 60_000:,.0f} minutes ago"


def _why(one: Lying) -> str:
    if one.queue in LANES:
        return _OURS.get(one.place, "at {queue}").format(queue=one.queue)
    place = "" if one.place in ("queue", "foreign") else f" ({one.place.replace('_', ' ')})"
    return f"on {one.queue}{place}, which no worker of this program reads"


def _remedy(one: Lying) -> str:
    if one.queue in LANES:
        return "Start `onboarding worker`: it takes them, or lists them in `onboarding refused`."
    return (
        f"A job goes to the actor {ACTOR} on the queue {LANES[0]}, in the namespace dramatiq, in JSON:"
        " correct the producer, send the jobs again, and delete these. What another program needs there should have a"
        " database of its own."
    )
