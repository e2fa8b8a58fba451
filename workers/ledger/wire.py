"""What is written to the ledger's scripts and read from their answers: records, history entries, rows, tokens."""

from __future__ import annotations

import json
import os
import random
import secrets
import struct
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines import events
from pipelines.errors import ClockJumpedError, StaleClaimError
from pipelines.keys import canonical_json, chained
from pipelines.lanes import lane_of
from pipelines.lifecycle import Phase
from pipelines.model import Next, Record
from pipelines.stages.clock import stage_of, stage_since_ms
from workers.ledger.values import Claim, Created, New, Nudge, Read, WithheldError

#: Draws what calls are recognised by: one of a kind and no secret, so without a system call for each.
_TOKENS = random.Random()  # noqa: S311


def _begin_tokens() -> None:
    """Begin a row of tokens that no other process has."""
    _TOKENS.seed(secrets.token_bytes(32))


_begin_tokens()
os.register_at_fork(after_in_child=_begin_tokens)


def call_token() -> str:
    """Draw what a call is recognised by."""
    return urlsafe_b64encode(_TOKENS.randbytes(12)).decode()


_PHASES = frozenset(Phase)


def decode(key: str, raw: bytes) -> Record:
    """Read a stored record."""
    header, _, body = raw.partition(b"\n")
    _, version, _, place, phase, step, created, since, updated = header.decode().split(" ")
    return Record.restored(
        json.loads(body),
        key=key,
        version=int(version),
        lane=lane_of(place),
        phase=Phase(phase) if phase in _PHASES else Phase.ON_HOLD,
        step=step,
        created_ms=int(created),
        since_ms=int(since),
        updated_ms=int(updated),
    )


#: The arguments of the operations that take the most, in the order of their scripts. A test compares both.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "commit": (
        *("key", "fence", "at_ms", "tolerance_ms", "place", "step", "phase", "format", "json", "history", "told"),
        *("scheduled", "reminders", "turned", "delay_ms", "applied", "customer_id", "external_id", "ttl_ms", "import"),
        *("good", "bad", "verdict"),
    ),
    "join": (
        *("old_key", "version", "token", "key", "lane", "step", "format", "json", "history", "told"),
        *("external_id", "customer_id", "email", "ttl_ms", "import"),
    ),
}


def in_order(operation: str, given: Mapping[str, Any], rest: Mapping[str, Any]) -> list[Any]:
    """Return the arguments of an operation as its script takes them, and after them the pairs of `rest`."""
    return [*(given[name] for name in ARGUMENTS[operation]), *flat(rest)]


def flat(pairs: Mapping[str, Any]) -> list[Any]:
    """Return the names and values of a mapping, one after the other."""
    return [part for pair in pairs.items() for part in pair]


def scheduled(following: Next) -> str:
    """Write for the schedule of re-identification since when an active customer is identified, and by which policy."""
    record = following.record
    if record.phase is not Phase.ACTIVE or record.identified_ms is None:
        return ""
    return f"{record.risk_tier} {record.identified_ms} {'-' if following.rule is None else following.rule}"


def turned(before: Record, record: Record) -> str:
    """Say for the clocks of stages which one ended with a commit, since when it was, and which began; "": none did."""
    ended, began = stage_of(before), stage_of(record)
    return "" if ended == began else f"{ended} {stage_since_ms(before)} {began}"


def looked_by(following: Next) -> str:
    """Say by which version of the policy of reminders it was looked whether one is due; "-": nobody can be reminded."""
    return "-" if following.reminders is None or not following.delay_s else str(following.reminders)


def packed(acts: Sequence[bytes]) -> str:
    """Write the acts that were applied as one JSON list of strings, which the script takes apart again."""
    return json.dumps([act.decode() for act in acts])


def verdict(claim: Claim) -> str:
    """Return for the breaker whether Iron takes our calls: "+", the status of its refusal, or "" for neither."""
    return "+" if claim.granted else str(claim.refusal or "")


def history_entry(record: Record, at_ms: int, step: str, note: str) -> tuple[bytes, str]:
    """Write a history entry and the digest that chains it to the one before."""
    entry = {"at_ms": at_ms, "phase": record.phase.value} | {
        name: value for name, value in (("step", step), ("note", note)) if value
    }
    digest = chained(record.head, entry)
    return canonical_json({**entry, "digest": digest}), digest


#: Before each field of a row its length, as the script reads it; see workers/ledger/lua/loading.lua.
_LENGTH = struct.Struct("<I").pack


def _packed_row(*fields: bytes) -> bytes:
    """Write a row's fields as the script takes them, many rows in one argument."""
    return b"".join([part for field in fields for part in (_LENGTH(len(field)), field)])


def new_row(new: New, token: str, at_ms: int) -> bytes:
    """Write a new record as `create` takes it."""
    record, parts = new.record, new.parts
    entry, head = history_entry(record, at_ms, "", new.note)
    texts = (
        *(record.key, token, record.external_id, record.customer_id or "", record.sub_partner_id or "", record.lane),
        *(record.step, record.phase.value, events.beginning(record)),
    )
    return _packed_row(
        *(text.encode() for text in texts),
        *(new.email, canonical_json({**record.stored(), "head": head}), entry),
        *(parts.get("customer", b""), parts.get("identification", b"")),
    )


def import_row(new: New, head: str) -> bytes:
    """Write a new record as `load` takes it. `head`: digest of its first history entry, which all rows share."""
    record, parts = new.record, new.parts
    return _packed_row(
        record.key.encode(),
        record.external_id.encode(),
        (record.sub_partner_id or "").encode(),
        new.email,
        record.lane.encode(),
        canonical_json({**record.stored(), "head": head}),
        parts.get("customer", b""),
        parts.get("identification", b""),
    )


def created_of(record: Record, answer: Any) -> Created:
    """Read what became of a new job."""
    match answer[0]:
        case b"created":
            _, version, now_ms, due = answer
            times = {"created_ms": now_ms, "since_ms": now_ms, "updated_ms": now_ms}
            return Created("created", record.evolve(version=version, **times), ms_of(due))
        case b"exists":
            _, raw, due, serial = answer
            return Created("exists", decode(record.key, raw), ms_of(due), link_serial=serial)
        case _:
            return Created("external_id_taken", holder=answer[1].decode())


def committed(following: Next, answer: Any) -> Nudge | None:
    """Read the answer of a commit: the nudge to send now, if any.

    Raises StaleClaimError, ClockJumpedError, WithheldError.
    """
    if answer[0] == b"stale":
        raise StaleClaimError
    if answer[0] == b"jumped":
        raise ClockJumpedError
    if answer[0] == b"withheld":
        raise WithheldError
    _, version, _, nudge, _, step = answer
    record = following.record
    return Nudge(record.lane, step.decode(), record.key, version) if nudge else None


def read_of(key: str, answer: Any) -> Read | None:
    """Read a record as an operation returns it; None: it is gone."""
    if not answer:
        return None
    raw, due, acts, claimed, now_ms, serial, abandoned = answer
    return Read(decode(key, raw), ms_of(due), acts, bool(claimed), now_ms, serial, ms_of(abandoned))


def ms_of(score: bytes | None) -> int | None:
    """Read a due time."""
    return None if score is None else int(float(score))


def nudge_of(answer: Any) -> Nudge | None:
    """Read a nudge; None: nothing is to be sent."""
    if answer[0] != b"nudge":
        return None
    _, lane, step, version, key = answer
    return Nudge(lane.decode(), step.decode(), key.decode(), version)
