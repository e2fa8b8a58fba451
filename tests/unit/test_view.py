"""The record as everybody reads it: contract section 4, for every phase there is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from pipelines.advance import after_acts, after_outcome
from pipelines.attempt import Attempt
from pipelines.begin import begin
from pipelines.job import parse_job
from pipelines.keys import canonical_json
from pipelines.lifecycle import FINISHED, TABLE, UNKNOWN, Actor, Phase
from pipelines.model import Done, Policy, Problem, Record, Refused, Signing
from pipelines.view import read_view

NOW_MS = 1_795_341_600_000
DUE_MS = NOW_MS + 300_000
#: Personal data of the job that every record here began with.
PERSONAL = ("ada-marker@example.com", "Ada Marker")
LINK = "https://verify.iron.test/start?token=1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
ATTEMPT = Attempt("default", Policy(), lambda: NOW_MS, dict)

JOB = parse_job(
    {
        "idempotency_key": "crm-2026-000123",
        "external_id": "crm-000123",
        "customer": {"customer_type": "Person", "email": PERSONAL[0], "name": PERSONAL[1]},
        "labels": {"source": "crm"},
    }
).canonical()
NEW = replace(begin(JOB), version=1, created_ms=NOW_MS, since_ms=NOW_MS, updated_ms=NOW_MS)
OPERATORS = Problem("access_refused", "Iron refuses access.", True, NOW_MS, 3, operator=True)

CANCEL = canonical_json({"act": "cancel", "by": "ops", "at_ms": NOW_MS})

#: The example of the contract, with ids in place of dots.
EXAMPLE: dict[str, Any] = json.loads("""{
  "idempotency_key": "crm-2026-000123", "external_id": "crm-000123", "lane": "interactive", "risk_tier": "standard",
  "phase": "identification_pending", "waiting_on": "customer",
  "since": "2026-11-22T10:00:00Z", "due": "2026-11-22T10:05:00Z",
  "needs": [{"code": "complete_identification", "text": "The customer opens the link and completes the identification.",
             "link": "https://verify.iron.test/start?token=1"}],
  "next": "We check again at 10:05 UTC, or as soon as Iron notifies us.",
  "round": 1, "revision": 0, "attempts": 0, "version": 7,
  "iron": {"customer_id": "c-1", "customer_status": "IdentificationRequired",
           "identification_id": "i-1", "identification_status": "Pending"},
  "signings": [{"id": "d-1", "display_name": "Terms and Conditions", "url": "https://d/1", "signed_at": null}],
  "problem": null,
  "created_at": "2026-11-22T10:00:00Z", "updated_at": "2026-11-22T10:00:00Z", "labels": {"source": "crm"}
}""")


def is_due(record: Record) -> bool:
    """Whether a record in this state is looked at again."""
    return record.phase not in FINISHED


def states() -> dict[str, Record]:
    """A record in every state that the table, the pipeline's own phases and an operator's problem can give."""
    found = {"received": NEW, "failed": after_outcome(NEW, Refused("request_refused", "Wrong."), ATTEMPT).record}
    found["cancelled"] = after_acts(NEW, [CANCEL], ATTEMPT).record
    for row in TABLE:
        newest = None if row.identification in (None, ("none",)) else row.identification[0]
        flags = {"was_active": bool(row.was_active), "may_retry": row.may_retry is not False}
        changes = {
            "customer_id": "c-1",
            "customer_status": "Frozen" if row.customer == UNKNOWN else row.customer,
            "identification_id": newest and "i-1",
            "identification_status": newest,
            "link": LINK if row.has_url or newest == "Pending" else None,
            "signings": (Signing("d-1", "Terms", "https://d/1"),) if row.customer == "SigningsRequired" else (),
        }
        record = after_outcome(NEW, Done(changes | flags), ATTEMPT).record
        assert record.phase is row.phase
        found[f"{row.phase.value}, {newest}, {row.customer}"] = record
    stuck = {f"{name}, stuck": replace(record, problem=OPERATORS) for name, record in found.items() if is_due(record)}
    return found | stuck


STATES = states()
EACH = pytest.mark.parametrize("record", STATES.values(), ids=STATES)


def due(record: Record) -> int | None:
    """When a record in this state is looked at next."""
    return DUE_MS if is_due(record) else None


def test_every_phase_and_every_actor_is_among_the_states() -> None:
    """What follows is said of all of them."""
    assert {record.phase for record in STATES.values()} == set(Phase)
    assert {record.waiting_on() for record in STATES.values()} == set(Actor)


@EACH
def test_every_state_says_what_happens_next(record: Record) -> None:
    """There is a sentence, with the time where something is due and without where nothing is."""
    sentence = read_view(record, due(record))["next"]
    assert re.fullmatch(r"[A-Z][^{}]{15,}\.", sentence)
    assert ("at 2026-11-22 10:05:00 UTC" in sentence) == is_due(record)
    assert sentence.startswith("Nothing") == (not is_due(record))


@EACH
def test_whoever_must_act_outside_is_told_what_to_do(record: Record) -> None:
    """Something is needed where a customer or an operator must act, and nothing where nobody outside can help."""
    view = read_view(record, due(record))
    assert bool(view["needs"]) == (view["waiting_on"] in ("customer", "operator"))
    for need in view["needs"]:
        assert set(need) <= {"code", "text", "link", "document"}
        assert re.fullmatch(r"[a-z_]+", need["code"])
        assert need["text"].endswith(".")


@EACH
def test_no_personal_data(record: Record) -> None:
    """A record as read by default holds none of what the job said about the customer."""
    shown = json.dumps(read_view(record, due(record)), ensure_ascii=False)
    assert not [secret for secret in PERSONAL if secret in shown]


@EACH
def test_the_shape_is_the_contracts(record: Record) -> None:
    """Every field of the contract is there with its type, in every state."""
    view = read_view(record, due(record))
    assert set(view) >= set(EXAMPLE)
    assert set(view["iron"]) == set(EXAMPLE["iron"])
    assert all(set(signing) >= set(EXAMPLE["signings"][0]) for signing in view["signings"])
    assert {type(view[name]) for name in ("round", "revision", "attempts", "version")} == {int}
    assert view["phase"] in set(Phase)
    assert view["waiting_on"] in set(Actor)
    assert all(TIME.fullmatch(view[name]) for name in ("since", "created_at", "updated_at"))
    assert view["due"] is None or TIME.fullmatch(view["due"])
    if view["problem"] is not None:
        assert set(view["problem"]) == {"code", "text", "retryable", "first_seen", "count"}
        assert TIME.fullmatch(view["problem"]["first_seen"])
    assert json.loads(json.dumps(view)) == view


def test_the_contracts_example() -> None:
    """The example of the contract is what a reader gets, but for the form of the time in `next`."""
    record = replace(
        NEW,
        phase=Phase.IDENTIFICATION_PENDING,
        step="refresh",
        version=7,
        round=1,
        customer_id="c-1",
        customer_status="IdentificationRequired",
        identification_id="i-1",
        identification_status="Pending",
        link=LINK,
        signings=(Signing("d-1", "Terms and Conditions", "https://d/1"),),
    )
    view = read_view(record, DUE_MS)
    shown = {name: view[name] for name in EXAMPLE} | {"next": EXAMPLE["next"]}
    shown["signings"] = [{name: one[name] for name in EXAMPLE["signings"][0]} for one in view["signings"]]
    assert shown == EXAMPLE
    assert view["next"] == EXAMPLE["next"].replace("10:05", "2026-11-22 10:05:00")


@pytest.mark.parametrize(
    ("signing", "asked"),
    [
        (Signing("d-1", "Terms", "u"), True),
        (Signing("d-1", "Terms", "u", consented_ms=1), False),
        (Signing("d-1", "Terms", "u", consented_ms=1, signed_ms=2), False),
    ],
)
def test_consent_is_asked_for_once(signing: Signing, asked: bool) -> None:
    """A document is needed until the customer has agreed to it."""
    state = next(record for name, record in STATES.items() if name.startswith("signings_required"))
    view = read_view(replace(state, signings=(signing,)), DUE_MS)
    needs = view["needs"]
    assert (view["waiting_on"] == "customer") == asked
    named = {"code": "sign_document", "document": "d-1", "link": "u"}
    assert [{name: need[name] for name in named} for need in needs] == ([named] if asked else [])


def test_an_operator_reads_the_problem() -> None:
    """What keeps the onboarding from moving is what the operator is told."""
    view = read_view(replace(NEW, problem=OPERATORS), DUE_MS)
    assert view["waiting_on"] == "operator"
    assert view["needs"] == [{"code": "access_refused", "text": "Iron refuses access."}]
    assert view["problem"] == {
        "code": "access_refused", "text": "Iron refuses access.", "retryable": True,
        "first_seen": "2026-11-22T10:00:00Z", "count": 3,
    }  # fmt: skip


def test_an_operators_problem_does_not_hide_the_customers_link() -> None:
    """While an operator has something to mend, the customer can go on, and is told with what."""
    for name in ("identification_pending", "step_up_required", "signings_required"):
        state = next(record for found, record in STATES.items() if found.startswith(name))
        view = read_view(replace(state, problem=OPERATORS), DUE_MS)
        alone = read_view(state, DUE_MS)
        assert view["waiting_on"] == "operator"
        assert [need["code"] for need in view["needs"]][:1] == ["access_refused"]
        assert view["needs"][1:] == alone["needs"]
        assert alone["needs"]
        assert "link" in view["needs"][1]


def test_an_operators_decision_is_not_handed_to_the_customer() -> None:
    """Where a person at the partner decides about a declined customer, only that is asked for."""
    final = next(record for name, record in STATES.items() if name.startswith("declined") and not record.may_retry)
    for record in (final, replace(final, problem=OPERATORS)):
        assert [need["code"] for need in read_view(record, DUE_MS)["needs"]] == [
            record.problem.code if record.problem else "review_case"
        ]


DECLINED = {"reasons": ("kyc_selfie", "kyc_data_new"), "reject_labels": ("BAD_FACE",)}


@pytest.mark.parametrize("may_retry", [True, False])
def test_everybody_reads_codes_and_labels(may_retry: bool) -> None:
    """Whether the customer or an operator is to act, it is said what it is about: by codes, by labels, in words."""
    state = next(one for name, one in STATES.items() if name.startswith("declined"))
    view = read_view(replace(state, may_retry=may_retry, **DECLINED), DUE_MS)
    assert view["waiting_on"] == ("customer" if may_retry else "operator")
    [need] = view["needs"]
    for told in (view, need):
        assert (told["reasons"], told["reject_labels"]) == (["kyc_selfie", "kyc_data_new"], ["BAD_FACE"])
    assert need["text"].endswith("Iron's reasons: a selfie, kyc_data_new.")


@EACH
def test_without_reasons_the_lists_are_there_and_empty(record: Record) -> None:
    """A reader need not ask whether the members exist."""
    view = read_view(record, due(record))
    assert (view["reasons"], view["reject_labels"]) == ([], [])


def test_a_refusals_code_comes_first_and_once() -> None:
    """Iron's code of a refused request stands before those of requirements."""
    refused = replace(OPERATORS, iron_code="country_not_supported")
    record = replace(NEW, problem=refused, reasons=("kyc_selfie", "country_not_supported"))
    view = read_view(record, DUE_MS)
    assert view["reasons"] == ["country_not_supported", "kyc_selfie"]
    assert view["needs"][0]["reasons"] == ["country_not_supported"]


@pytest.mark.parametrize("status", ["Pending", "Processed", "PendingReview", "Approved", "Declined", None])
def test_an_active_customer_is_never_shown_as_under_way(status: str | None) -> None:
    """Also a record that was adopted or stored with what a list said that lagged behind."""
    record = replace(NEW, phase=Phase.ACTIVE, customer_status="Active", identification_status=status)
    shown = read_view(record, None)["iron"]["identification_status"]
    assert shown == (status if status in ("Approved", "Declined", None) else "Approved")


def test_a_step_of_a_later_release_can_be_read() -> None:
    """A record whose step this release does not know is shown all the same."""
    view = read_view(replace(NEW, step="dance"), DUE_MS)
    assert view["next"] == "We check again at 2026-11-22 10:05:00 UTC."
