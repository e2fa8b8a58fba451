"""Direct enqueueing: a job that comes as a message for the actor `start_onboarding`, from any Dramatiq producer.

It goes through the same door as every other job. It is the one message that carries input, so nothing of it may end in
a log or a dead letter: the actor never raises. What is refused is noted, with the reasons and without the input, and
acknowledged; so is whatever else lies in the queues and is neither a job nor a nudge (decision 0018). While the
ledger does not answer, the message is held, then put back on its queue, and acknowledged only after that. Delivery is
at least once, and so is this: the same job again changes nothing. Source: contract section 6.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import dramatiq
import redis
import structlog
from dramatiq.middleware import CurrentMessage

from pipelines.identification.fields import TEXTS
from pipelines.job import JobInvalidError, Problem
from pipelines.onboarding import STEPS
from workers.engine.broker import NudgeBroker
from workers.engine.decoding import ASKED, DOUBLED, LONGEST, MALFORMED, PROBLEM, TOO_LATE, TOO_LONG, TRIES, UNREADABLE
from workers.intake.rejections import Refusals, as_key
from workers.intake.submit import FrontDoor, Submitted
from workers.ledger import LANES

log = structlog.get_logger()

#: Does with a message what is to be done, or raises redis.RedisError.
Take = Callable[[Any], None]

ACTOR = "start_onboarding"
#: The actor for whatever is neither a job nor a nudge for a step of this release.
UNKNOWN_ACTOR = "unknown_actor"
#: What the actor of a step is called with, a key and a version. Whoever knows the step is sent it again by the pulse.
NUDGE = (str, int)

#: Pause between two attempts while the ledger does not answer, in seconds.
AWAY_S = 0.5
#: How long a thread holds a message while the ledger does not answer, in seconds: then others have their turn. Shorter
#: than the limit of a step, after which the watchdog would take it for one that hangs.
HOLD_S = 15.0
#: Times that a message may meet something unforeseen; after them it is refused, so that it does not come for ever.
MOST_TRIES = 5

_MALFORMED = Problem("", MALFORMED, "The message must have one argument, the job, and no named one.")
#: What is said of a message that could not be taken for a job, by what is wrong with it.
_PROBLEMS = {
    UNREADABLE: "The message is no JSON object in UTF-8, as Dramatiq's JSON encoder writes it.",
    MALFORMED: _MALFORMED.text,
    TOO_LONG: f"The message has more than {LONGEST:,} bytes.",
    DOUBLED: TEXTS["doubled_field"],
    TOO_LATE: "The message asks for a delay of more than a year; delays are in milliseconds.",
}
_UNFORESEEN = Problem("", "unexpected", "Internal error in the program. Its log says where.")


class DirectEnqueueing(dramatiq.Middleware):
    """The actors, and as middleware what tells it that the process ends. Needs dramatiq's CurrentMessage beside it."""

    def __init__(self, door: FrontDoor, refusals: Refusals) -> None:
        """Take where jobs are handed in, and where it is noted that one was refused."""
        self._door = door
        self._refusals = refusals
        self._stopped = threading.Event()
        self._broker: Any = None

    def declare(self, broker: NudgeBroker) -> None:
        """Declare the actors on the broker."""
        self._broker = broker
        dramatiq.actor(actor_name=ACTOR, queue_name=LANES[0], broker=broker)(self.start)
        dramatiq.actor(actor_name=UNKNOWN_ACTOR, queue_name=LANES[0], broker=broker)(self.unknown)
        broker.decide = self.decide

    def decide(self, message: dramatiq.Message[Any]) -> str:
        """Name the actor that is to take a message: the one place that decides what becomes of one."""
        if PROBLEM in message.options:
            return UNKNOWN_ACTOR
        if message.actor_name == ACTOR:
            return ACTOR
        return message.actor_name if _is_nudge(message) and message.actor_name in self._broker.actors else UNKNOWN_ACTOR

    def before_worker_shutdown(self, *_: Any) -> None:
        """Hold no message any longer."""
        self._stopped.set()

    def start(self, *_: Any, **__: Any) -> None:
        """Take a job: it is accepted, refused or put back. Never raises, whatever the message holds."""
        self._finish(self._take)

    def unknown(self, *_: Any, **__: Any) -> None:
        """Take a message that is no job: it is refused, or passed when it is a nudge. Never raises."""
        self._finish(self._pass_by)

    def _finish(self, take: Take) -> None:
        message: Any = CurrentMessage.get_current_message()
        until = time.monotonic() + HOLD_S
        while not self._through(message, take):
            over = self._stopped.wait(AWAY_S) or time.monotonic() > until
            if over and self._put_back(message):
                return
            if over:  # the broker is away as well: there is nothing to do but to wait, and not to acknowledge
                time.sleep(AWAY_S)

    def _through(self, message: Any, take: Take) -> bool:
        """Try once. False: the ledger does not answer."""
        try:
            take(message)
        except redis.RedisError as error:
            log.warning("job.interrupted", error=type(error).__name__)
            return False
        except Exception:
            log.exception("job.failed")
            return self._unforeseen(message)
        return True

    def _take(self, message: Any) -> None:
        """Hand the job in, or note why that cannot be. Raises redis.RedisError."""
        if len(message.args) != 1 or message.kwargs:
            self._refuse(message, [_MALFORMED])
            return
        try:
            job = self._door.judge(message.args[0])
        except JobInvalidError as error:
            self._refuse(message, error.problems)
            return
        submitted = self._door.submit(job)
        if submitted.accepted:
            log.info("job.accepted", key=job.idempotency_key, status=submitted.status)
        else:
            self._refuse(message, [_reason(submitted)])

    def _pass_by(self, message: Any) -> None:
        """Note what is no job, but for a nudge of a newer release's step. Raises redis.RedisError."""
        if _is_nudge(message):
            log.info("step.passed", key=message.args[0], version=message.args[1], reason=UNKNOWN_ACTOR)
            return
        problem = message.options.get(PROBLEM)
        known = Problem("", problem, _PROBLEMS[problem]) if problem in _PROBLEMS else _unknown(message)
        self._refuse(message, [known])

    def _refuse(self, message: Any, problems: Sequence[Problem]) -> None:
        """Note what is wrong with a message, and of its input only the key."""
        given = (*message.args, *message.kwargs.values())
        job = next((one for one in given if isinstance(one, dict)), None)
        key = self._refusals.note(message.message_id, job, problems)
        log.warning("job.refused", key=key, code=",".join(sorted({problem.code for problem in problems})))

    def _unforeseen(self, message: Any) -> bool:
        """Put a message back that meets something unforeseen, and refuse it after some times."""
        tries = message.options.get(TRIES, 0) + 1
        if tries < MOST_TRIES:
            return self._put_back(message, {TRIES: tries})
        try:
            self._refuse(message, [_UNFORESEEN])
        except redis.RedisError:
            return False
        except Exception:  # the last line of defence: raised further, the job would lie in the clear as a dead letter
            log.exception("job.lost")
        return True

    def _put_back(self, message: Any, options: dict[str, Any] | None = None) -> bool:
        """Put a copy at the end of the queue, so that this one can be acknowledged. False: the broker is away."""
        try:
            self._broker.enqueue(message.copy(options=options or {}))
        except redis.RedisError as error:
            log.warning("job.held", error=type(error).__name__)
            return False
        log.warning("job.put_back")
        return True


def _is_nudge(message: Any) -> bool:
    """Say whether a message is what the pulse sends: a key and a version."""
    nudge = tuple(map(type, message.args)) == NUDGE and not message.kwargs and PROBLEM not in message.options
    return nudge and as_key(message.args[0]) is not None


def _unknown(message: Any) -> Problem:
    """Say that no actor takes a message, and the name that it gives, if it is one."""
    asked = message.options.get(ASKED)
    name = f"the name {asked}" if asked else "the name that the message gives"
    if asked in STEPS:
        return Problem("", UNKNOWN_ACTOR, f"The actor {asked} takes no message from outside; a job goes to {ACTOR}.")
    return Problem("", UNKNOWN_ACTOR, f"No actor has {name}; a job goes to {ACTOR}.")


def _reason(submitted: Submitted) -> Problem:
    pointer = "/external_id" if submitted.holder is not None else "/idempotency_key"
    return Problem(pointer, submitted.status, submitted.sentence)
