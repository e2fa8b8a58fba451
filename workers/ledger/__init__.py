"""Records in Redis; knows nothing above it. What the rest of the program uses of it stands here.

- `clock`: this process's own clock
- `connection`: connections, and how safe a write must be
- `hints`: what a webhook says, as a line of text
- `import_store`: what is kept of imports
- `ledger`: the life of each record
- `limits`: Iron's budget as values
- `lists`: lists and counts of records
- `pending_calls`: calls answered later
- `scripts`: calls of Lua scripts
- `values`: what the ledger takes and returns
- `wire`: what scripts are sent and answer
"""

from pipelines.lanes import LANES, lane_of
from workers.ledger.connection import DURABLE_WITHIN_MS, REDIS_TIMEOUT_S, Durability, NotDurableError, connect
from workers.ledger.ledger import Ledger, lua_parts
from workers.ledger.limits import Budget
from workers.ledger.lists import Lists
from workers.ledger.values import (
    CLOCK_TOLERANCE_MS,
    LEASE_MARGIN_S,
    LEASE_MS,
    POISON_CRASHES,
    PREFIX,
    RENEW_EVERY_S,
    STEP_LIMIT_S,
    Claim,
    Created,
    Listed,
    New,
    NotClaimed,
    Nudge,
    Read,
    Taken,
    WithheldError,
)
from workers.ledger.wire import decode

__all__ = [
    "CLOCK_TOLERANCE_MS",
    "DURABLE_WITHIN_MS",
    "LANES",
    "LEASE_MARGIN_S",
    "LEASE_MS",
    "POISON_CRASHES",
    "PREFIX",
    "REDIS_TIMEOUT_S",
    "RENEW_EVERY_S",
    "STEP_LIMIT_S",
    "Budget",
    "Claim",
    "Created",
    "Durability",
    "Ledger",
    "Listed",
    "Lists",
    "New",
    "NotClaimed",
    "NotDurableError",
    "Nudge",
    "Read",
    "Taken",
    "WithheldError",
    "connect",
    "decode",
    "lane_of",
    "lua_parts",
]
