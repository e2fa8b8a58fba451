"""The meter: every effect that was executed, once, with how often its answer was replayed.

Counts by external id are kept as effects happen, so that 100,000 customers can be audited with one call.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: The operations counted by external id, and under which name.
COUNTED = {
    "create_customer": "customers",
    "create_identification": "identifications",
    "create_signing": "signings",
}


@dataclass(slots=True, eq=False)
class Effect:
    """One thing that a request has changed."""

    operation: str
    idempotency_key: str | None
    customer_id: str | None
    external_id: str | None
    subject: str | None
    at: float
    replays: int = 0

    def as_json(self) -> dict[str, object]:
        """Write the effect for the control interface."""
        return {
            "operation": self.operation,
            "idempotency_key": self.idempotency_key,
            "customer_id": self.customer_id,
            "external_id": self.external_id,
            "subject": self.subject,
            "at": self.at,
            "replays": self.replays,
        }


class Effects:
    """All effects in their order."""

    def __init__(self) -> None:
        self._all: list[Effect] = []
        self._groups: dict[str, dict[str, int]] = {}
        self._totals: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Effect]:
        return iter(self._all)

    def add(self, effect: Effect) -> None:
        """Count one executed effect."""
        self._all.append(effect)
        self._totals[effect.operation] = self._totals.get(effect.operation, 0) + 1
        counted = COUNTED.get(effect.operation)
        if counted is not None:
            group = self._groups.get(effect.external_id or "")
            if group is None:
                group = self._groups[effect.external_id or ""] = {"customers": 0, "identifications": 0, "signings": 0}
            group[counted] += 1

    def where(self, **wanted: str | None) -> list[Effect]:
        """Return the effects whose fields equal the wanted values."""
        asked = [(name, value) for name, value in wanted.items() if value is not None]
        return [one for one in self._all if all(getattr(one, name) == value for name, value in asked)]

    def group(self, only: Iterable[str] | None = None) -> dict[str, dict[str, int]]:
        """Return counts by external id; customers without one are under the empty name."""
        names = self._groups if only is None else only
        return {name: dict(self._groups[name]) for name in names if name in self._groups}

    def duplicates(self) -> dict[str, dict[str, int]]:
        """Return the external ids that have more than one customer."""
        return {name: dict(group) for name, group in self._groups.items() if name and group["customers"] > 1}

    def totals(self) -> dict[str, int]:
        """Return how often each operation had an effect."""
        return dict(self._totals)
