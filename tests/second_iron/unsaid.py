"""What the documents leave open, by question: what each stand-in answers, and where our code takes all of it.

`python -m tests.second_iron.unsaid` writes the table to ops/docs/iron-unsaid.md; a test compares it. A question has
switches of the sandbox, or a text that says what the sandbox always does, or both where the switches lack an answer
that the second stand-in gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.sandbox.lab.drawing import CHOICES, NO_CHOICE
from ops.sandbox.world.switches import Switches
from tests.second_iron.questions import QUESTIONS, Question

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "ops" / "docs" / "iron-unsaid.md"

CLIENT, ANSWERS, VALUES = (f"pipelines/iron/{name}.py" for name in ("client", "answers", "values"))
STEPS, NEXT = "pipelines/onboarding.py", "pipelines/advance.py"
READING, SIGNING = "pipelines/reading.py", "pipelines/signing.py"
KEYS, MODEL, ERRORS, TRY = "pipelines/keys.py", "pipelines/model.py", "pipelines/errors.py", "pipelines/attempt.py"
ENVELOPE, SIGNATURE = "ops/gateway/webhooks/envelope.py", "workers/secrets/signature.py"
SWEEP = "workers/reconcile/sweep.py"


@dataclass(frozen=True, slots=True)
class Unsaid:
    """How the sandbox answers a question, and which of our code takes every answer.

    `fixed`: what it always does, or what the second stand-in does and its switches cannot. `gap`: that is so, and it
    matters to our code. `ours`: a file and a name in it.
    """

    ours: tuple[str, str]
    switches: tuple[str, ...] = ()
    fixed: str = ""
    gap: bool = False


#: By the names of questions.py.
UNSAID: Mapping[str, Unsaid] = {
    # Ground rules
    "read_only_write": Unsaid((ERRORS, "AccessRefusedError"), ("refuse_all",), "no key is read-only"),
    "ids": Unsaid((CLIENT, "identifications"), fixed="by time; we order by created_at"),
    "timestamp": Unsaid((VALUES, "_instant"), ("times",)),
    "optional_member": Unsaid((VALUES, "optional"), ("optional_fields",)),
    "optional_value": Unsaid((VALUES, "optional"), ("left_out",)),
    "unknown_members": Unsaid((VALUES, "customer_of"), ("unknown_fields",)),
    "bad_version": Unsaid((ERRORS, "concerns_caller"), ("bad_version",)),
    "version_echo": Unsaid((ANSWERS, "answered_by"), ("version_echo",)),
    "key_scope": Unsaid((KEYS, "idempotency_key"), ("key_scope",)),
    "body_compared": Unsaid((KEYS, "canonical_json"), fixed="by bytes; we repeat the same bytes"),
    "stored_error": Unsaid((MODEL, "after"), ("stored_errors",)),
    "stored_fault": Unsaid((TRY, "_may_renew"), ("stored_errors",)),
    "replay_headers": Unsaid((ANSWERS, "answered_by"), ("replay_headers",), "a replay is not marked"),
    "missing_key": Unsaid((KEYS, "idempotency_key"), ("bad_request",), "we send one with each POST"),
    "odd_key": Unsaid((KEYS, "idempotency_key"), ("key_form",), "ours are UUIDs"),
    "fault": Unsaid((NEXT, "_after_weather"), fixed="by rules of `/_sandbox/faults`, and by the schedules"),
    "retry_after": Unsaid((ANSWERS, "retry_after_s"), ("retry_after",), "a date comes from the schedules"),
    "creation_limit": Unsaid((ANSWERS, "STATUS_ERRORS"), ("identifications_per_minute",), "for all customers together"),
    "page_end": Unsaid((CLIENT, "_pages"), ("optional_fields", "left_out")),
    "page_too_long": Unsaid((CLIENT, "PAGE_SIZE"), ("large_page", "bad_request"), "we ask for 100, no more"),
    "stale_cursor": Unsaid((SWEEP, "turn"), ("stale_cursor", "bad_request"), "never an empty page", gap=True),
    "list_order": Unsaid((CLIENT, "identifications"), ("list_order",)),
    "error_body": Unsaid((ANSWERS, "said_with"), ("error_bodies",)),
    "auth_error": Unsaid((ANSWERS, "said_with"), ("unauthorized_body",)),
    "fault_body": Unsaid((ANSWERS, "_trace"), ("error_bodies",), "an object for 500, a page for 502 to 504"),
    "bad_request": Unsaid((ERRORS, "RequestRefusedError"), ("bad_request",)),
    "bad_id": Unsaid((CLIENT, "_segment"), ("bad_request",), "we send ids that Iron gave us"),
    "content_type": Unsaid((CLIENT, "_request"), fixed="415; we name it"),
    # Objects
    "unknown_status": Unsaid(("pipelines/lifecycle.py", "UNKNOWN"), ("odd_reads", "renamed_statuses")),
    "review_path": Unsaid(("pipelines/lifecycle.py", "TABLE"), fixed="every step; a poll may miss any of them"),
    "customer_shown": Unsaid((READING, "_told_by"), ("left_out",)),
    "name_default": Unsaid((VALUES, "customer_of"), fixed="`Customer` and the id; we do not read it"),
    "ids_order": Unsaid((READING, "_says_enough"), ("ids_order",)),
    "step_status": Unsaid((VALUES, "identification_of"), ("step_status",)),
    # Customers
    "second_customer": Unsaid((TRY, "perform"), ("duplicate_external_id",)),
    "second_email": Unsaid((NEXT, "_after_refusal"), ("duplicate_email",)),
    "external_id_case": Unsaid((CLIENT, "customer_by_external_id"), ("external_case",)),
    "long_external_id": Unsaid((NEXT, "_after_refusal"), ("longest_external_id",)),
    "unknown_body_member": Unsaid((NEXT, "_after_refusal"), ("unknown_members",)),
    "found_among": Unsaid((CLIENT, "customer_by_external_id"), ("external_lookup",)),
    "archived_found": Unsaid((STEPS, "create_customer"), ("external_archived",)),
    "search_match": Unsaid((CLIENT, "customers"), fixed="parts; we do not search"),
    "put_answer": Unsaid((CLIENT, "update_customer"), ("update_status",)),
    "put_unknown": Unsaid((STEPS, "update_customer"), ("update_missing",)),
    "archive_again": Unsaid((CLIENT, "customers"), fixed="200; we do not archive"),
    # Identifications
    "pending_identification": Unsaid((STEPS, "create_identification"), ("pending_identification",)),
    "pending_means": Unsaid((STEPS, "create_identification"), ("pending_means",)),
    "closed_customer": Unsaid((NEXT, "_read_first"), ("blocked_customer",)),
    "wrong_type": Unsaid((NEXT, "_after_refusal"), fixed="400; the job's check refuses it before"),
    "data_complete": Unsaid((READING, "identified"), ("submitted_becomes",), "never Pending", gap=True),
    "link_ready_s": Unsaid((STEPS, "refresh"), ("url_delay_s",)),
    "foreign_identification": Unsaid((CLIENT, "identifications"), fixed="404; we do not read one by its id"),
    "url_on_read": Unsaid((READING, "identified"), ("url_rotates",)),
    "url_after_use": Unsaid((READING, "identified"), ("keep_url",), "never another one"),
    "archived_counts": Unsaid(("pipelines/lifecycle.py", "TABLE"), ("archiving_puts_back",)),
    "requirements_empty": Unsaid((VALUES, "objects"), ("requirements_empty",)),
    "requirements_before": Unsaid((STEPS, "_explained"), fixed="the identification; we do not ask before"),
    "retryable": Unsaid((VALUES, "requirement"), ("retryable_said",)),
    "final_in": Unsaid((CLIENT, "requirements"), fixed="always among the issues", gap=True),
    # Signatures
    "required_signings_outside": Unsaid((NEXT, "_read_first"), ("required_signings_otherwise",)),
    "required_signings_lag_s": Unsaid((STEPS, "_documents"), ("documents_lag_s", "signed_stay_listed")),
    "signing_again": Unsaid((STEPS, "submit_signings"), ("signing_again",)),
    "unknown_content": Unsaid((STEPS, "submit_signings"), ("unknown_document",)),
    "not_signed": Unsaid((CLIENT, "create_signing"), ("bad_signing",), "we send true"),
    "activation_delay_s": Unsaid((NEXT, "_what_to_sign"), ("activation_delay_s",)),
    "sandbox_decided": Unsaid((CLIENT, "identifications"), ("decided_again",), "we do not call it"),
    # Life
    "onboarding_order": Unsaid((READING, "after_reading"), ("order",)),
    "nothing_to_sign": Unsaid((STEPS, "_documents"), ("nothing_to_sign",)),
    "after_decline": Unsaid(("pipelines/lifecycle.py", "TABLE"), fixed="stays, unless it is moved by hand", gap=True),
    "after_expiry": Unsaid(("pipelines/lifecycle.py", "TABLE"), fixed="stays, unless it is moved by hand", gap=True),
    "step_up": Unsaid((READING, "_identification_now"), ("step_up",)),
    "webhook_message": Unsaid((ENVELOPE, "read_envelope"), ("webhook_message",)),
    "webhook_secret": Unsaid((SIGNATURE, "verify"), ("webhook_key",)),
    "webhook_signatures": Unsaid((SIGNATURE, "verify"), fixed="one", gap=True),
    "webhook_id": Unsaid((ENVELOPE, "read_envelope"), ("webhook_id",)),
    "webhook_delay_s": Unsaid(("workers/ledger/lua/news.lua", "status"), fixed="`delay_s` of `/_sandbox/webhooks`"),
    "webhook_of_begin": Unsaid((STEPS, "create_identification"), fixed="sent"),
    "webhook_unknown": Unsaid((ENVELOPE, "read_envelope"), fixed="none", gap=True),
    "approval_delay_s": Unsaid((STEPS, "refresh"), ("approval_delay_s",)),
    "lookup_lag_s": Unsaid((TRY, "perform"), ("lookup_lag_s",)),
    "list_lag_s": Unsaid((READING, "not_older"), ("lookup_lag_s", "record_lag_s")),
    "lag_share": Unsaid((READING, "not_older"), fixed="every record lags alike"),
    "listed_status": Unsaid((READING, "_just_begun"), ("status_lag_s",)),
    "sub_partner": Unsaid((CLIENT, "on_behalf_of"), ("wrong_sub_partner",), "never found"),
    "documents_replaced": Unsaid((SIGNING, "required"), fixed="never, unless new terms come by hand", gap=True),
    "new_terms_id": Unsaid((SIGNING, "required"), ("new_round_signs",), "new terms have an id of their own", gap=True),
    "content_ids": Unsaid((SIGNING, "required"), fixed="shared"),
    "read_spell": Unsaid((NEXT, "_read_first"), ("odd_reads",)),
}

INTRODUCTION = """# What Iron's documents leave open

Two stand-ins for Iron were written from the same documents by different hands: the sandbox (`ops/sandbox`) and the one
in `tests/second_iron`. Where the documents are silent, or contradict themselves, each had to choose. This page lists
every such question, so that a person with access to Iron can answer it, and so that our code takes every answer.

Sheets: A is iron-api, C is iron-conformance, with the section. The first value of a switch is its default. Both
stand-ins draw among their answers by seed, in the schedules of `tests/chaos` and in the tests of whole lives.

This page is written by `python -m tests.second_iron.unsaid`; `tests/unit/test_iron_unsaid.py` compares it.

## Questions

| question | sheet | the sandbox | the second stand-in | our code |
| --- | --- | --- | --- | --- |
"""

GAPS = """
## What the sandbox cannot do as the second stand-in does

These matter to our code, and only the second stand-in tries them.

| question | the sandbox | the second stand-in also |
| --- | --- | --- |
"""

MORE = """
## Switches of the sandbox that answer no question of the second stand-in

"""


def shown(value: Any) -> str:
    """Write one answer in code's letters."""
    return f"`{str(value).lower() if value is None or isinstance(value, bool) else value}`"


def values(name: str) -> str:
    """Write a switch: its name, its default, and what else is drawn."""
    default = getattr(Switches(), name)
    if name not in CHOICES:
        return f"`{name}` ({shown(default)})"
    choice = CHOICES[name]
    others = dict.fromkeys(map(str, (*choice.values, *choice.odd)))
    if len(others) > MANY or not all(
        isinstance(one, str | int | float | None) for one in (*choice.values, *choice.odd)
    ):
        return f"`{name}` ({shown(default) if isinstance(default, str | int | float) else 'none'}; by spells)"
    rest = [shown(one) for one in dict.fromkeys((*choice.values, *choice.odd)) if one != default]
    return f"`{name}` ({', '.join([shown(default), *rest])})"


#: Values of a switch that fit into a row.
MANY = 10


def sandbox(unsaid: Unsaid) -> str:
    """Say what the sandbox answers."""
    parts = [*map(values, unsaid.switches), *([unsaid.fixed] if unsaid.fixed else [])]
    return "; ".join(parts)


def answers(question: Question) -> str:
    """Say what the second stand-in answers, the likeliest first."""
    ordered = sorted(question.answers, key=lambda answer: -question.answers[answer])
    return ", ".join(map(shown, ordered))


def page() -> str:
    """Write the whole page."""
    rows = [
        f"| `{name}`: {question.asks} | {question.sheet} | {sandbox(UNSAID[name])} | {answers(question)} | "
        f"`{UNSAID[name].ours[0]}`: `{UNSAID[name].ours[1]}` |\n"
        for name, question in QUESTIONS.items()
    ]
    gaps = [
        f"| `{name}` | {unsaid.fixed} | {answers(QUESTIONS[name])} |\n" for name, unsaid in UNSAID.items() if unsaid.gap
    ]
    asked = {switch for unsaid in UNSAID.values() for switch in unsaid.switches}
    more = [
        f"- {values(name)}{f': {NO_CHOICE[name]}' if name in NO_CHOICE else ''}\n"
        for name in Switches.model_fields
        if name not in asked
    ]
    return INTRODUCTION + "".join(rows) + GAPS + "".join(gaps) + MORE + "".join(more)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
