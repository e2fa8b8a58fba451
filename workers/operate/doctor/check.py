"""What one look of the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found. `text` says what is the case and, where that is not well, what it endangers and the mend."""

    name: str
    state: State
    text: str

    def as_json(self) -> dict[str, str]:
        """Give it as `doctor --json` does."""
        return {"check": self.name, "state": self.state, "text": self.text}
