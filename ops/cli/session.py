"""What most commands begin with: settings, a ledger that answers, the front door; every problem of theirs in words.

Nothing of Redis, Dramatiq or pydantic is imported before a command asks for it, so that `--help` is quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ops.cli.exits import CommandError, Status, usage
from ops.cli.output import say

if TYPE_CHECKING:
    import redis

    from pipelines.job import JobRules
    from workers.engine.broker import NudgeBroker
    from workers.intake.submit import FrontDoor
    from workers.ledger import Durability, Ledger, Nudge
    from workers.secrets.vault import Vault
    from workers.settings import Settings


@dataclass
class Session:
    """A ledger that answers, and what depends on it."""

    settings: Settings
    ledger: Ledger
    allow_odd_ids: bool = False
    _warned: bool = field(default=False, init=False)

    @cached_property
    def rules(self) -> JobRules:
        """What jobs may hold here."""
        return job_rules(self.settings, allow_odd_ids=self.allow_odd_ids)

    @cached_property
    def vault(self) -> Vault:
        """What seals input and evidence; a ring without the key that seals now is refused."""
        from workers.secrets.key_ids import KeyIds

        vault = self.settings.vault
        if problems := KeyIds(self.ledger).problems(vault):
            raise usage(*problems)
        return vault

    @cached_property
    def broker(self) -> NudgeBroker:
        """The queues."""
        from workers.engine.broker import NudgeBroker

        return NudgeBroker(self.settings.broker_url)

    @cached_property
    def door(self) -> FrontDoor:
        """Where jobs are submitted."""
        from workers.intake.submit import FrontDoor

        return FrontDoor(self.ledger, self.vault, self.send, self.rules)

    def close(self) -> None:
        """Let go of the queues; the ledger's client belongs to the code that opened it."""
        if "broker" in vars(self):
            self.broker.close()
            self.broker.client.close()

    def send(self, nudge: Nudge) -> None:
        """Put a nudge on the queue. A queue that does not answer costs a delay and no more, so it is only mentioned."""
        import redis

        try:
            self.broker.send(nudge)
        except redis.RedisError:
            if not self._warned:
                say("The queue is not reachable. Your change is stored; workers pick it up within seconds.")
            self._warned = True


@contextmanager
def opened(need: str = "ledger", *, check: bool = False, allow_odd_ids: bool = False) -> Iterator[Session]:
    """Open the ledger that the settings name. `need` is a name of workers.settings.NEEDS.

    `check`: refuse a server that does not keep what it is given; commands that store something new ask for it.
    `allow_odd_ids`: let ids pass that look like a mistake.
    """
    from workers.ledger import Ledger, connect

    settings = load_settings(need)
    try:
        client = connect(settings.ledger_url)
    except ValueError:
        raise usage("ONBOARDING_REDIS_URL is malformed. Write it like redis://:password@host:6379/0.") from None
    ledger = Ledger(client, settings.budget, durability=settings.durability)
    session = Session(settings, ledger, allow_odd_ids)
    with client, answering(client):
        try:
            if check:
                require(client, settings.durability)
            yield session
        finally:
            session.close()


def load_settings(need: str) -> Settings:
    """Read the settings; each problem is a line."""
    from workers.settings import Settings, SettingsError

    try:
        return Settings.load(need)
    except SettingsError as error:
        raise usage(*error.problems) from None


def job_rules(settings: Settings | None = None, *, allow_odd_ids: bool = False) -> JobRules:
    """Read what jobs may hold here. A job is judged before it is known whether there is a ledger to hand it to."""
    rules = (settings or load_settings("nothing")).job_rules
    return replace(rules, odd_ids="pass") if allow_odd_ids else rules


@contextmanager
def answering(client: redis.Redis) -> Iterator[None]:
    """Turn whatever Redis raises inside the block into a sentence."""
    import redis as redis_py

    from workers.operate.preflight import unanswered

    try:
        yield
    except redis_py.AuthenticationError as error:
        raise CommandError(unanswered(client, error), status=Status.NOT_AUTHORISED) from None
    except redis_py.RedisError as error:
        raise CommandError(unanswered(client, error)) from None


def require(client: redis.Redis, durability: Durability | None = None) -> None:
    """Refuse a ledger's server that is not fit for it. One that does not answer raises redis-py's own error."""
    from workers.operate.preflight import check_ledger

    client.ping()
    problems = check_ledger(client, durability)
    if problems:
        raise usage(*problems)
