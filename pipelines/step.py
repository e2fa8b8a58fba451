"""A step as one row: the function, and all that the rest of the program has to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from pipelines.attempt import Attempt
from pipelines.iron import Iron
from pipelines.lifecycle import Phase
from pipelines.model import Outcome, Record


def always(record: Record) -> bool:  # noqa: ARG001 -- the signature of a row's rules
    """Return True, whatever the record is."""
    return True


def never(record: Record) -> bool:  # noqa: ARG001 -- the signature of a row's rules
    """Return False, whatever the record is."""
    return False


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table of steps. `run` and `sentence` are what every step has; the rest is by name."""

    run: Callable[[Record, Iron, Attempt], Outcome]
    #: What happens next, for people.
    sentence: str
    #: Phases in which a record that has a customer may stand at this step.
    stands_in: frozenset[Phase] = frozenset()
    #: Whether the record itself asks for the step, whatever its phase is.
    wanted: Callable[[Record], bool] = never
    #: The phase that leads to this step at once, however the record came there.
    at_once_in: Phase | None = None
    #: The phase whose beginning this step explains: once, when a record enters it.
    on_entering: Phase | None = None
    #: The part of the encrypted input that the step uses, if the record has it.
    part: str = ""
    #: Whether the step can be run without that part.
    does_without: Callable[[Record], bool] = never
    #: Which of the job's details its call carries: only a refusal of these counts against the job.
    carries: str = ""
    #: The class of Iron's budget that the step must be sure of before it begins: its look would be wasted otherwise.
    secures: str = ""
    #: Phases in which a call that is in doubt stays so. In any other one Iron went on without it. Steps that make calls
    #: under an idempotency key have some; no other step has.
    doubtful_in: frozenset[Phase] = frozenset()
    #: Whether it changes something at Iron without a key: a repetition changes nothing more.
    changes_iron: bool = False
    #: Whether it only reads what somebody else may have done: it waits behind everything else.
    only_reads: bool = False

    @property
    def name(self) -> str:
        """The name of the step: of its actor, its metric label, its log field."""
        return self.run.__name__

    @property
    def has_effect(self) -> bool:
        """Whether the step changes something at Iron under an idempotency key."""
        return bool(self.doubtful_in)

    def may_stand(self, record: Record) -> bool:
        """Return whether a record that has a customer may stand at this step."""
        return record.phase in self.stands_in or self.wanted(record)


def table(*steps: Step) -> MappingProxyType[str, Step]:
    """Return the rows by name. Raises ValueError where two have a name, a phase or its beginning in common."""
    for kind in ("name", "at_once_in", "on_entering"):
        had = [value for step in steps if (value := getattr(step, kind)) is not None]
        if len(had) != len(set(had)):
            message = f"two steps with the same {kind}"
            raise ValueError(message)
    return MappingProxyType({step.name: step for step in steps})
