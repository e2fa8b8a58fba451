"""The record and its stored form."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.keys import canonical_json
from pipelines.lifecycle import Phase
from pipelines.model import Again, Effect, Policy, Problem, Record, Reminded, Signing

#: What the ledger's script keeps beside the JSON.
KEPT = ("key", "version", "lane", "phase", "step", "created_ms", "since_ms", "updated_ms")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MS = st.integers(0, 2**53)
#: How to draw a value for each annotation that a field of these classes has.
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXT,
    "int": MS,
    "bool": st.booleans(),
    "Phase": st.sampled_from(Phase),
    "tuple[str, ...]": st.lists(TEXT, max_size=3).map(tuple),
    "dict[str, str]": st.dictionaries(TEXT, TEXT, max_size=3),
}
DRAWN |= {f"{name} | None": st.none() | drawn for name, drawn in DRAWN.items()}


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Objects of a class with any value in any field; a field of a kind that is new here is a KeyError."""
    return st.builds(kind, **{item.name: DRAWN[str(item.type)] for item in fields(kind)})


DRAWN["tuple[Signing, ...]"] = st.lists(any_of(Signing), max_size=3).map(tuple)
DRAWN["Again | None"] = st.none() | any_of(Again)
DRAWN["Reminded | None"] = st.none() | any_of(Reminded)
DRAWN["Effect | None"] = st.none() | any_of(Effect)
DRAWN["Problem | None"] = st.none() | any_of(Problem)
RECORDS = any_of(Record)


def restored(record: Record, stored: dict[str, Any]) -> Record:
    """A record from its stored JSON and what the script keeps."""
    return Record.restored(stored, **{name: getattr(record, name) for name in KEPT})


@given(record=RECORDS)
def test_round_trip(record: Record) -> None:
    """What is stored as JSON comes back as it was, and what the script keeps is not stored twice."""
    stored = json.loads(canonical_json(record.stored()))
    assert restored(record, stored) == record
    assert not set(stored) & set(KEPT)


def test_defaults_are_left_out() -> None:
    """A new record stores nothing, and what nothing is stored of has the defaults."""
    assert Record("k-1").stored() == {}
    assert Record.restored({}, key="k-1") == Record("k-1")


def test_fields_of_a_later_release_are_ignored() -> None:
    """A field that this release does not know is left out."""
    assert Record.restored({"round": 2, "mood": "fine"}, key="k-1") == Record("k-1", round=2)


def test_fields_of_a_later_release_are_ignored_inside_too() -> None:
    """The same holds for what a signing, an effect or a problem has gained."""
    record = Record(
        "k-1",
        signings=(Signing("d-1", "Terms"),),
        effect=Effect("create_customer", ("k-1",), last_ms=3),
        problem=Problem("x", "X.", True, 1),
    )
    stored = json.loads(canonical_json(record.stored()))
    for part in (stored["signings"][0], stored["effect"], stored["problem"]):
        part["mood"] = "fine"
    assert Record.restored(stored, key="k-1") == record


def test_a_waiting_customer_is_small() -> None:
    """A record that waits for its customer stores less than 700 bytes of JSON."""
    uuid = "0199aaaa-0000-7000-8000-000000000001"
    record = Record(
        "crm-2026-000123",
        external_id="crm-000123",
        fingerprint="A" * 22,
        labels={"source": "crm", "country": "DE"},
        customer_id=uuid,
        customer_status="IdentificationRequired",
        identification_id=uuid,
        identification_status="Pending",
        link="https://verify.iron.xyz/start?token=" + "a" * 64,
        round=1,
        round_ms=1_768_471_200_000,
        reads=12,
        head="B" * 22,
    )
    size = len(canonical_json(record.stored()))
    print(f"a waiting record: {size} bytes of JSON")
    assert size < 700


def test_a_problem_counts_and_keeps_its_beginning() -> None:
    """The same problem again is counted; another one begins anew."""

    def problem(code: str, now_ms: int, before: Problem | None) -> Problem:
        return Problem.of(code, "text", retryable=True, operator=False, now_ms=now_ms, before=before)

    first = problem("a", 10, None)
    again = problem("a", 20, first)
    other = problem("b", 30, again)
    assert [(one.first_seen_ms, one.count) for one in (first, again, other)] == [(10, 1), (10, 2), (30, 1)]


@pytest.mark.parametrize(
    ("known", "in_doubt"),
    [
        ({}, False),
        ({"first_ms": 1}, False),
        ({"first_ms": 1, "last_ms": 2}, True),
        ({"abandoned": True}, True),
        ({"first_ms": 1, "last_ms": 2, "refused": True}, False),
        ({"first_ms": 1, "abandoned": True, "refused": True}, False),
    ],
)
def test_doubt_is_a_call_without_a_definite_answer(known: dict[str, Any], in_doubt: bool) -> None:
    """A call that was or may have been made is in doubt until Iron's answer is definite; a refusal is."""
    assert Effect("create_customer", ("x",), **known).in_doubt == in_doubt


@pytest.mark.parametrize(("passed_s", "forgotten"), [(0, False), (69_119.999, False), (69_120, True), (90_000, True)])
def test_a_key_is_relied_on_for_80_percent_of_the_retention(passed_s: float, forgotten: bool) -> None:
    """The limit counts from the first call; a key that was never called is not forgotten."""
    effect = Effect("create_customer", ("x",), first_ms=5_000)
    now_ms = 5_000 + int(passed_s * 1000)
    assert effect.forgotten(now_ms, Policy()) == forgotten
    assert not replace(effect, first_ms=None).forgotten(now_ms, Policy())


@pytest.mark.parametrize(("passed_s", "settled"), [(0, False), (119.999, False), (120, True)])
def test_the_settle_time_counts_from_the_last_call(passed_s: float, settled: bool) -> None:
    """Before it nothing is settled, nor without a call."""
    effect = Effect("create_customer", ("x",), first_ms=0, last_ms=5_000)
    now_ms = 5_000 + int(passed_s * 1000)
    assert effect.settled(now_ms, Policy()) == settled
    assert not replace(effect, last_ms=None).settled(now_ms, Policy())
