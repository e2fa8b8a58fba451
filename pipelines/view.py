"""A record as everybody reads it: phase, who must act, what exactly is needed, and what happens next, in plain words.

This is the shape of contract section 4. It holds no personal data but the hosted link, which only authorised readers
get to see. Of Iron's reasons it holds codes and labels; the texts are in pipelines/reasons.py. Every phase has a
sentence; a table test proves that there is no combination without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.lifecycle import IN_FLIGHT, Actor, IdentificationStatus, Phase
from pipelines.model import Problem, Record
from pipelines.onboarding import STEPS
from pipelines.plain_reasons import explained, explanations
from pipelines.times import timestamp

#: What is needed in a phase: a stable code and a sentence. Phases without a line need nothing from anybody outside.
NEEDS = {
    Phase.IDENTIFICATION_PENDING: (
        "complete_identification",
        "The customer opens the link and completes the identification.",
    ),
    Phase.STEP_UP_REQUIRED: ("complete_step_up", "The customer opens the link and provides what Iron asks for."),
    Phase.DECLINED: ("request_new_round", "Iron declined the identification. The customer may try again."),
}

#: What happens next in a phase that ends the work.
ENDED = {
    Phase.ARCHIVED: "Nothing. Iron closed this customer. This is final.",
    Phase.FAILED: "Nothing happens until somebody corrects the details.",
    Phase.CANCELLED: "Nothing. This customer was cancelled.",
}


def read_view(record: Record, due_ms: int | None, customer_link: str | None = None) -> dict[str, Any]:
    """Show a record; `due_ms` is when it is looked at next, None where nothing is due.

    `customer_link`: the address for the customer that stays the same; it is as secret as a hosted link.
    """
    return {
        "idempotency_key": record.key,
        "external_id": record.external_id,
        "lane": record.lane,
        "risk_tier": record.risk_tier,
        "phase": record.phase.value,
        "waiting_on": record.waiting_on().value,
        "since": timestamp(record.since_ms),
        "due": timestamp(due_ms),
        "needs": needs(record),
        "customer_link": customer_link,
        "next": next_sentence(record, due_ms),
        "round": record.round,
        "revision": record.revision,
        "attempts": record.attempts,
        "version": record.version,
        "sub_partner_id": record.sub_partner_id,
        "iron": {
            "customer_id": record.customer_id,
            "customer_status": record.customer_status,
            "identification_id": record.identification_id,
            "identification_status": _identification_status(record),
        },
        "reasons": reasons(record),
        "reject_labels": list(record.reject_labels),
        "explanations": explanations([*reasons(record), *record.reject_labels]),
        "may_retry": record.may_retry if record.phase is Phase.DECLINED else None,
        "signings": [
            {
                "id": signing.id,
                "display_name": signing.display_name,
                "url": signing.url,
                "consented_at": timestamp(signing.consented_ms),
                "signed_at": timestamp(signing.signed_ms),
            }
            for signing in record.signings
        ],
        "problem": _problem(record.problem),
        "created_at": timestamp(record.created_ms),
        "updated_at": timestamp(record.updated_ms),
        "labels": record.labels,
        "import": record.import_name or None,
    }


def _identification_status(record: Record) -> str | None:
    """Return Iron's status of the newest identification; one that made the customer active is under way no more.

    Iron's lists lag behind its decisions, so that what was read last may be older than the customer's status.
    """
    status = record.identification_status
    return IdentificationStatus.APPROVED.value if record.phase is Phase.ACTIVE and status in IN_FLIGHT else status


def reasons(record: Record) -> list[str]:
    """Return Iron's codes of why it goes no further: of a refused request, and of what is required of the customer."""
    return list(dict.fromkeys([*_refused_for(record.problem), *record.reasons]))


def _refused_for(problem: Problem | None) -> list[str]:
    return [problem.iron_code] if problem and problem.iron_code else []


def needs(record: Record) -> list[dict[str, Any]]:
    """Return what exactly is needed, from whom it can be had."""
    if record.waiting_on() is not Actor.OPERATOR:
        return _of_the_customer(record)
    also_the_customers = record.problem is not None and record.phase is not Phase.DECLINED
    return [_of_the_operator(record), *(_of_the_customer(record) if also_the_customers else [])]


def _of_the_operator(record: Record) -> dict[str, Any]:
    """Return what an operator has to look after."""
    problem = record.problem
    if problem is None:
        text = "Iron's decision is final. Cancel this customer, or ask Iron about it."
        return _about({"code": "review_case", "text": text}, record)
    refused_for = _refused_for(problem)
    return {"code": problem.code, "text": problem.text} | ({"reasons": refused_for} if refused_for else {})


def _of_the_customer(record: Record) -> list[dict[str, Any]]:
    """Return what the customer can do in this phase."""
    if record.phase is Phase.SIGNINGS_REQUIRED:
        return [
            {
                "code": "sign_document",
                "text": f"The customer reads and accepts “{signing.display_name}”.",
                "document": signing.id,
                "link": signing.url,
            }
            for signing in record.signings
            if not signing.signed_ms and not signing.consented_ms
        ]
    if record.phase not in NEEDS:
        return []
    code, text = NEEDS[record.phase]
    need = _about({"code": code, "text": text}, record)
    return [need | ({"link": record.link} if record.link else {})]


def _about(need: dict[str, Any], record: Record) -> dict[str, Any]:
    """Let a need say what it is about, by Iron's codes and labels."""
    if record.reasons:
        need |= {"text": f"{need['text']} Iron's reasons: {', '.join(map(explained, record.reasons))}."}
        need |= {"reasons": list(record.reasons)}
    return need | ({"reject_labels": list(record.reject_labels)} if record.reject_labels else {})


def in_words(said: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Write one of Iron's statements for people: what it is about, and its sentences."""
    code, labels, step = said.get("code", ""), said.get("labels", ()), said.get("step", "")
    about = {
        "refusal": f"rejection (HTTP {said.get('status')})",
        "requirement": f"requires {explained(code)}{', '.join(['', *labels])}",
        "review": "review",
        "step": f"step {step}",
    }
    reasons = [": ".join(filter(None, (one.get("code"), one.get("text")))) for one in said.get("reasons", ())]
    questions = [f"Not answered: {question}" for question in said.get("questions", ())]
    sentences = [said["text"], *said.get("texts", ()), *reasons, *questions]
    over = "" if said["current"] else " (earlier)"
    return f"{about[said['about']]}{over}", list(dict.fromkeys(filter(None, sentences)))


def next_sentence(record: Record, due_ms: int | None) -> str:
    """Return what happens next, and when."""
    if due_ms is None:
        return ENDED.get(record.phase, "Nothing.")
    step = STEPS.get(record.step)
    sentence = f"{step.sentence if step else 'We check again'} at {_clock(due_ms)} UTC"
    return sentence + (", or as soon as Iron notifies us." if record.step == "refresh" else ".")


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _problem(problem: Problem | None) -> dict[str, Any] | None:
    if problem is None:
        return None
    return {
        "code": problem.code,
        "text": problem.text,
        "retryable": problem.retryable,
        "first_seen": timestamp(problem.first_seen_ms),
        "count": problem.count,
    }
