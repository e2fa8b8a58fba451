"""Lanes, and the due sets in which the records of a lane wait. Pure."""

from __future__ import annotations

import re

from pipelines.lifecycle import Phase
from pipelines.model import Next
from pipelines.onboarding import STEPS

LANES = ("interactive", "bulk", "reidentify")


#: Where an import's customer waits who is begun and has no identification yet; see workers/ledger/lua/base.lua.
BEGUN = "bulk/+"
#: Where a customer of the bulk lane waits who is only read again, in case something has changed.
READ_AGAIN = "bulk/~"
#: The phases in which steps that only read look whether somebody else has done something.
_WATCHED = frozenset(
    {Phase.IDENTIFICATION_PENDING, Phase.STEP_UP_REQUIRED, Phase.IN_REVIEW, Phase.SIGNINGS_REQUIRED},
)


#: Every place where records may wait: the lanes, the begun, the watched, and the imports, whose names look like this.
PLACES = re.compile(rf"{'|'.join(LANES)}|bulk/([+~]|[A-Za-z0-9][A-Za-z0-9._-]{{0,63}})")


def lane_of(place: str) -> str:
    """Return the lane of a place where records wait."""
    return place.partition("/")[0]


def place_of(following: Next) -> str:
    """Return where a record waits from now on.

    What an import has begun and only the budget holds up is kept apart: imports begin no more than this many. So is who
    is only read again: everything else goes before.
    """
    record = following.record
    if record.lane != "bulk" or record.problem is not None:
        return record.lane
    if record.import_name and record.phase in (Phase.RECEIVED, Phase.CUSTOMER_CREATED):
        return BEGUN
    read_again = bool(following.delay_s) and STEPS[record.step].only_reads and record.phase in _WATCHED
    return READ_AGAIN if read_again else record.lane
