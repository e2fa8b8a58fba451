"""Direct enqueueing: a job that comes as a message for the actor `start_onboarding`, from any Dramatiq producer.

It goes through the same door as every other job. It is the one message that carries input, so nothing of it may end in
a log or a dead letter: the actor never raises. What is refused is noted, with the reasons and without the input, and
acknowledged; so is a message for an actor that nobody knows, of which Dramatiq would make a dead letter. While the
ledger does not answer, the message is held, then put back on its queue, and acknowledged only after that. Delivery is
at least once, and so is this: the same job again changes nothing. Source: contract section 6.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import dramatiq
import redis
import structlog
from dramatiq.middleware import CurrentMessage

from pipelines import strict_json
from pipelines.identification.fields import TEXTS
from pipelines.job import JobInvalidError, Problem
from pipelines.strict_json import StrictJsonError
from workers.engine.broker import NudgeBroker
from workers.intake.rejections import Refusals
from workers.intake.submit import FrontDoor, Submitted
from workers.ledger import LANES

log = structlog.get_logger()

#: Does with a message, given its id, arguments and named ones, what is to be done, or raises redis.RedisError.
Take = Callable[[str, tuple[Any, ...], dict[str, Any]], None]

ACTOR = "start_onboarding"
#: The actor for all names that this release does not know.
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
#: Option of a message that counts these times.
TRIES = "onboarding_tries"

#: Option of a message that says why it is no job, as far as that can be seen without looking at the job.
PROBLEM = "onboarding_problem"

_DOUBLED = Problem("", "doubled_field", TEXTS["doubled_field"])
_MALFORMED = Problem("", "malformed_message", "The message must have one argument, the job, and no named one.")
_UNKNOWN = Problem("", UNKNOWN_ACTOR, f"No actor has the name that the message gives; a job goes to {ACTOR}.")
_UNFORESEEN = Problem("", "unexpected", "The program met something that it does not foresee; its log says where.")


class StrictEncoder(dramatiq.JSONEncoder):
    """Reads messages as strictly as every door reads JSON: a job in which a name comes twice is marked as none.

    Anything else that is wrong is Dramatiq's to say.
    """

    def decode(self, data: bytes) -> dict[str, Any]:
        """Read a message."""
        try:
            found: dict[str, Any] = strict_json.parse(data)
        except StrictJsonError as error:
            found = super().decode(data)
            if error.code == _DOUBLED.code and isinstance(found.get("options"), dict):
                found["options"][PROBLEM] = _DOUBLED.code
        return found


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
        broker.fallback = dramatiq.actor(actor_name=UNKNOWN_ACTOR, queue_name=LANES[0], broker=broker)(self.unknown)

    def before_worker_shutdown(self, *_: Any) -> None:
        """Hold no message any longer."""
        self._stopped.set()

    def start(self, *arguments: Any, **named: Any) -> None:
        """Take a job: it is accepted, refused or put back. Never raises, whatever the message holds."""
        message: Any = CurrentMessage.get_current_message()
        is_doubled = message.options.get(PROBLEM) == _DOUBLED.code
        self._finish(self._refuse_doubled if is_doubled else self._take, arguments, named)

    def unknown(self, *arguments: Any, **named: Any) -> None:
        """Take a message for an actor that nobody knows: it is refused, or passed when it is a nudge. Never raises."""
        self._finish(self._pass_by, arguments, named)

    def _finish(self, take: Take, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        message: Any = CurrentMessage.get_current_message()
        until = time.monotonic() + HOLD_S
        while not self._through(message, take, arguments, named):
            over = self._stopped.wait(AWAY_S) or time.monotonic() > until
            if over and self._put_back(message):
                return
            if over:  # the broker is away as well: there is nothing to do but to wait, and not to acknowledge
                time.sleep(AWAY_S)

    def _through(self, message: Any, take: Take, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Try once. False: the ledger does not answer."""
        try:
            take(message.message_id, arguments, named)
        except redis.RedisError as error:
            log.warning("job.interrupted", error=type(error).__name__)
            return False
        except Exception:
            log.exception("job.failed")
            return self._unforeseen(message)
        return True

    def _take(self, id_: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Hand the job in, or note why that cannot be. Raises redis.RedisError."""
        if len(arguments) != 1 or named:
            self._refuse(id_, arguments[0] if arguments else None, [_MALFORMED])
            return
        try:
            job = self._door.judge(arguments[0])
        except JobInvalidError as error:
            self._refuse(id_, arguments[0], error.problems)
            return
        submitted = self._door.submit(job)
        if submitted.accepted:
            log.info("job.accepted", key=job.idempotency_key, status=submitted.status)
        else:
            self._refuse(id_, arguments[0], [_reason(submitted)])

    def _refuse_doubled(self, id_: str, arguments: tuple[Any, ...], _: dict[str, Any]) -> None:
        """Note that a job has a name twice. Raises redis.RedisError."""
        self._refuse(id_, arguments[0] if arguments else None, [_DOUBLED])

    def _pass_by(self, id_: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Note a message that nobody is for, but for a nudge of a newer release's step. Raises redis.RedisError."""
        if not named and tuple(map(type, arguments)) == NUDGE:
            log.info("step.passed", key=arguments[0], version=arguments[1], reason=UNKNOWN_ACTOR)
        else:
            self._refuse(
                id_, next((one for one in (*arguments, *named.values()) if isinstance(one, dict)), None), [_UNKNOWN]
            )

    def _refuse(self, id_: str, job: Any, problems: Any) -> None:
        key = self._refusals.note(id_, job, problems)
        log.warning("job.refused", key=key, code=",".join(sorted({problem.code for problem in problems})))

    def _unforeseen(self, message: Any) -> bool:
        """Put a message back that meets something unforeseen, and refuse it after some times."""
        tries = int(message.options.get(TRIES, 0)) + 1
        if tries < MOST_TRIES:
            return self._put_back(message, {TRIES: tries})
        try:
            self._refuse(message.message_id, message.args[0] if message.args else None, [_UNFORESEEN])
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


def _reason(submitted: Submitted) -> Problem:
    pointer = "/external_id" if submitted.holder is not None else "/idempotency_key"
    return Problem(pointer, submitted.status, submitted.sentence)
