"""What is to become of the sample's customers, by the tag in each one's e-mail, and whether it did.

The sandbox counts every effect by external id: a customer created twice, or an identification too many, shows there.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ops
from ops.sandbox.world.scripts import tag_of
from ops.sandbox.world.switches import DEFAULT_DOCUMENTS
from pipelines.intake import Row
from pipelines.lifecycle import Actor, Phase
from pipelines.model import Record

SAMPLE = Path(ops.__file__).parent / "sample" / "customers.csv"

#: Identifications that an unused link leads to before the pipeline asks an operator.
ROUNDS = 3

#: Counts by external id, as the sandbox gives them.
Effects = Mapping[str, Mapping[str, int]]

_NOTHING = {"customers": 0, "identifications": 0, "signings": 0}


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a tag's customers end, and what that takes on Iron."""

    phase: Phase
    who: Actor
    identifications: int = 1
    signings: int = 0

    def effects(self) -> dict[str, int]:
        """Return what the sandbox must have counted for such a customer."""
        return {"customers": 1, "identifications": self.identifications, "signings": self.signings}


ENDINGS = {
    "approve": Ending(Phase.ACTIVE, Actor.NOBODY, signings=len(DEFAULT_DOCUMENTS)),
    "slow": Ending(Phase.ACTIVE, Actor.NOBODY, signings=len(DEFAULT_DOCUMENTS)),
    "decline": Ending(Phase.DECLINED, Actor.CUSTOMER),
    "decline-final": Ending(Phase.DECLINED, Actor.OPERATOR),
    "expire": Ending(Phase.ON_HOLD, Actor.OPERATOR, identifications=ROUNDS),
    "manual": Ending(Phase.IDENTIFICATION_PENDING, Actor.CUSTOMER),
}


@dataclass(slots=True)
class Story:
    """Who is to end where. Kept in a file, so that a later run in the same folder knows all of them.

    `customers`: external id -> idempotency key and tag; none of it is personal.
    """

    path: Path
    customers: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def kept(cls, path: Path) -> Story:
        """Read what earlier runs expected."""
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return cls(path, {external_id: (key, tag) for external_id, (key, tag) in known.items()})

    def keep(self) -> None:
        """Write it down."""
        self.path.write_text(json.dumps(self.customers) + "\n", encoding="utf-8")

    def note(self, row: Row, result: str) -> None:
        """Take a row of the import into account."""
        if row.job is not None and result in ("create", "unchanged"):
            self.customers[row.job.external_id] = (row.job.idempotency_key, tag_of(row.job.customer.email))

    def keys(self) -> list[str]:
        """Return the idempotency keys."""
        return [key for key, _ in self.customers.values()]

    def phases(self) -> Counter[Phase]:
        """Count how many are to end in each phase."""
        return Counter(ENDINGS[tag].phase for _, tag in self.customers.values())

    def effects(self) -> Counter[str]:
        """Count what all of them take on Iron."""
        total: Counter[str] = Counter()
        for _, tag in self.customers.values():
            total.update(ENDINGS[tag].effects())
        return total

    def unfinished(self, records: Mapping[str, Record]) -> list[str]:
        """Name everybody who is not in the phase of the tag, or waits for somebody else than that."""
        wrong = []
        for key, tag in self.customers.values():
            record, ending = records.get(key), ENDINGS[tag]
            now = (record.phase, record.waiting_on()) if record else None
            if now != (ending.phase, ending.who):
                is_ = f"in {now[0]}, waiting on {now[1]}" if now else "not in the ledger"
                wrong.append(f"{key} is {is_}; it should be in {ending.phase}, waiting on {ending.who}.")
        return wrong

    def differences(self, effects: Effects) -> list[str]:
        """Compare what Iron has executed with what should have happened, customer by customer."""
        wanted = {external_id: ENDINGS[tag].effects() for external_id, (_, tag) in self.customers.items()}
        return [
            f"{external_id or 'Without an external id'}: the sandbox has {told(effects.get(external_id, _NOTHING))};"
            f" it should have {told(wanted.get(external_id, _NOTHING))}."
            for external_id in sorted(wanted.keys() | effects.keys())
            if effects.get(external_id, _NOTHING) != wanted.get(external_id, _NOTHING)
        ]

    def all_is_well(self, before: Effects) -> str:
        """Return the sentence that all went well; `before` is what the sandbox had already when this run began."""
        total = self.effects()
        text = f"Checked against the sandbox: {told(total)}. Every effect happened exactly once."
        earlier = sum(sum(counts.values()) for counts in before.values())
        if not earlier:
            return text
        new = total.total() - earlier
        return f"{text} {f'{new:,} of these effects are new.' if new else 'Nothing new was created.'}"


def told(counts: Mapping[str, int]) -> str:
    """Write counts for a sentence."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def more_of_the_sample(customers: int, path: Path) -> Path:
    """Write a file of this many rows: the sample's, again and again, with a suffix to key, external id and e-mail."""
    with SAMPLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for number in range(customers):
            row, turn = rows[number % len(rows)], number // len(rows)
            writer.writerow(_again(row, f"-{turn + 1}") if turn else row)
    return path


def _again(row: Mapping[str, str], suffix: str) -> dict[str, str]:
    local, at, host = row["email"].partition("@")
    name, plus, tag = local.partition("+")
    return {
        **row,
        "idempotency_key": row["idempotency_key"] + suffix,
        "external_id": row["external_id"] + suffix,
        "email": f"{name}{suffix}{plus}{tag}{at}{host}" if at else row["email"],
    }
