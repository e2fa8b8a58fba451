"""What the auditor calls fitting is what the pipeline does, and what it says of itself is true."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given

from pipelines import advance
from pipelines.attempt import Attempt
from pipelines.errors import OutcomeUnknownError
from pipelines.keys import canonical_json, chained
from pipelines.lifecycle import CustomerStatus, IdentificationStatus, Phase
from pipelines.model import Done, Policy, Record, Refused, Signing, Wait
from workers.operate import audit
from workers.operate.audit.records import fits, follows

CUSTOMERS = [None, *(status.value for status in CustomerStatus), "Newfangled"]
IDENTIFICATIONS = [None, *(status.value for status in IdentificationStatus), "Newfangled"]
SIGNINGS = [(), (Signing("d"),), (Signing("d", consented_ms=1),), (Signing("d", consented_ms=1, signed_ms=1),)]
ACTS = ["sign", "cancel", "restart", "retry", "read", "correct"]


def attempt() -> Attempt:
    return Attempt("default", Policy(), lambda: 10_000_000, dict)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """What a read of Iron may bring."""
    status = draw(st.sampled_from(CUSTOMERS[1:]))
    identification = draw(st.sampled_from(IDENTIFICATIONS))
    return {
        "customer_id": "c-1",
        "customer_status": status,
        "identification_id": identification and draw(st.sampled_from(["i-1", "i-2"])),
        "identification_status": identification,
        "link": draw(st.sampled_from([None, "https://link"])),
        "was_active": draw(st.booleans()),
        "may_retry": draw(st.booleans()),
        "round": draw(st.integers(0, 4)),
        "update": draw(st.booleans()),
        "signings": draw(st.sampled_from(SIGNINGS)),
        "restart": draw(st.booleans()),
    }


def act(name: str) -> bytes:
    """An act as the ledger stores it."""
    details = {"documents": ["d"], "external_id": "e", "risk_tier": "low", "labels": {}, "with_edd": False}
    return canonical_json({"act": name, "at_ms": 1, "identification_type": "Link", "fingerprint": "f", **details})


def moved(record: Record, draw: st.DrawFn) -> Record:
    """Let anything happen to a record that can happen to it."""
    kinds = ["act", "error"]
    if record.phase not in advance.FINISHED:
        kinds += ["done", "refused", "wait"]
    match draw(st.sampled_from(kinds)):
        case "done":
            return advance.after_outcome(record, Done(draw(changes())), attempt()).record
        case "refused":
            return advance.after_outcome(record, Refused("no", "No."), attempt()).record
        case "wait":
            assume(record.customer_id is not None)
            return advance.after_outcome(record, Wait("not yet"), attempt()).record
        case "error":
            return advance.after_error(record, OutcomeUnknownError(), attempt()).record
        case _:
            following = advance.after_acts(record, [act(draw(st.sampled_from(ACTS)))], attempt())
            return following.record if following else record


@given(st.data())
def test_whatever_the_pipeline_writes_fits(data: st.DataObject) -> None:
    """After any chain of outcomes, errors and acts, step and phase are ones that the auditor calls fitting."""
    record = Record(key="k", external_id="k")
    for _ in range(data.draw(st.integers(0, 6))):
        assert fits(record), (record.phase, record.step)
        assert follows(record), record
        record = moved(record, data.draw)
    assert fits(record), (record.phase, record.step)
    assert follows(record), record


@pytest.mark.parametrize(
    "changed",
    [
        {"step": "submit_signings"},
        {"step": "create_customer", "customer_id": "c-1"},
        {"step": "update_customer", "customer_id": "c-1", "phase": Phase.ACTIVE},
        {"step": "handle_step_up", "customer_id": "c-1", "phase": Phase.DECLINED},
        {"step": "create_identification", "customer_id": "c-1", "phase": Phase.IN_REVIEW},
        {"step": "create_identification", "customer_id": "c-1", "phase": Phase.CANCELLED},
    ],
)
def test_what_no_pipeline_writes(changed: dict[str, Any]) -> None:
    """A step that the phase does not lead to does not fit."""
    assert not fits(replace(Record(key="k"), **changed))


def test_the_list_of_kinds_is_whole() -> None:
    """The package's own list names every kind, with an asterisk where it can be mended, and nothing else."""
    listed = {
        word
        for line in (audit.__doc__ or "").splitlines()
        if line.startswith("    ")
        for word in line[20:].replace(",", " ").split()
        if "_" in word or word == "overdue"
    }
    assert listed == {kind.code + ("*" if kind.mend else "") for kind in audit.KINDS.values()}
    assert len(listed) >= 20


def test_every_kind_is_a_sentence() -> None:
    """Each kind says in a sentence what is wrong, and in another what is to be done."""
    texts = [text for kind in audit.KINDS.values() for text in (kind.sentence, kind.remedy)]
    assert [text for text in texts if not text.endswith(".") or "\n" in text] == []
    assert {
        kind.remedy.startswith("Repair") or "epair " in kind.remedy for kind in audit.KINDS.values() if kind.mend
    } == {True}


def a_history(*notes: str) -> list[str]:
    """A history as the ledger writes it."""
    stored, head = [], ""
    for number, note in enumerate(notes):
        entry = {"at_ms": number, "phase": "received", "note": note}
        head = chained(head, entry)
        stored.append(canonical_json({**entry, "digest": head}).decode())
    return stored


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4))
def test_a_chain_holds(notes: list[str]) -> None:
    """Whatever stands in its notes, a history as written is intact, however its JSON is spaced."""
    stored = a_history(*notes)
    chain = audit.chain(stored)
    assert chain.broken_at is None
    assert chain.head == json.loads(stored[-1])["digest"]
    spaced = [json.dumps(json.loads(line), indent=1) for line in stored]
    assert audit.chain(spaced).broken_at is None


@given(st.lists(st.text(max_size=8), min_size=2, max_size=4), st.data())
def test_a_changed_chain_breaks(notes: list[str], data: st.DataObject) -> None:
    """A text changed, an entry taken out of the middle or two exchanged break the chain."""
    stored = a_history(*notes)
    number = data.draw(st.integers(0, len(stored) - 2))
    other = json.loads(stored[number])
    changed = [*stored]
    changed[number] = json.dumps(other | {"note": other["note"] + "!"})
    assert audit.chain(changed).broken_at == number + 1
    assert audit.chain(stored[:number] + stored[number + 1 :]).broken_at == number + 1
    changed = [*stored]
    changed[number], changed[number + 1] = changed[number + 1], changed[number]
    assert audit.chain(changed).broken_at == number + 1


@pytest.mark.parametrize(
    "line", ["", "null", "[]", "{}", "{", '{"digest":null}', '{"digest":"x"}', "\udcff", '{"a":NaN,"digest":"y"}']
)
def test_what_is_no_entry_breaks_the_chain(line: str) -> None:
    """Whatever stands there instead of an entry is a break, never an error."""
    chain = audit.chain([line])
    assert chain.broken_at == 1
    assert isinstance(chain.phase, str)
