"""The scripts, as data: what each tag in a customer's e-mail stands for, and how long each stretch takes.

All times are seconds at speed 1, as ranges in which every customer has a fixed place.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

Range = tuple[float, float]

#: A person opens the link and fills in the form; with the two below 3 to 6 s, short enough for a demo, long enough to
#: be seen.
TO_FINISH_S: Range = (2.2, 4.4)
TO_REVIEW_S: Range = (0.3, 0.6)
TO_DECISION_S: Range = (0.5, 1.0)
#: The provider moves an approved customer on asynchronously: this is the window in which required-signings still
#: answers 409.
APPROVAL_DELAY_S: Range = (0.2, 2.0)
#: A link that nobody opens.
EXPIRY_S = 8.0
#: From Active to what the tag has in store.
TWIST_S: Range = (2.0, 4.0)
SUSPENSION_S: Range = (3.0, 6.0)


@dataclass(frozen=True, slots=True)
class Story:
    """One script: the decision, what happens once after the first Active (`twist`), and a factor for its times."""

    ending: Literal["approve", "decline", "decline-final"] | None = "approve"
    twist: Literal["step_up", "new_terms", "suspend"] | None = None
    expires: bool = False
    stretch: float = 1.0


STORIES: dict[str, Story] = {
    "approve": Story(),
    "slow": Story(stretch=10.0),
    "decline": Story(ending="decline"),
    "decline-final": Story(ending="decline-final"),
    "expire": Story(ending=None, expires=True),
    "stepup": Story(twist="step_up"),
    "newterms": Story(twist="new_terms"),
    "suspend": Story(twist="suspend"),
    "manual": Story(ending=None),
}


def tag_of(email: str) -> str:
    """Return the script's name from `somebody+tag@...`; an unknown tag is no tag."""
    tag = email.partition("@")[0].partition("+")[2].lower()
    return tag if tag in STORIES else "approve"


def pace_of(name: str) -> float:
    """Return a customer's place in all ranges, from 0 to 1, from what identifies it."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") / 0xFFFFFFFF
