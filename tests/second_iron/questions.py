"""Every question that the sheets leave open, as one table: where it stands, how long an answer holds, the answers.

`A` is the sheet iron-api, `C` the sheet iron-conformance, with the section. An answer holds for the whole `SEED`, for
one `OBJECT` (a record, a key, a record's member), or for one `REQUEST` (a request, a delivery or an occasion). A number
beside an answer is its weight. Answers that are numbers are HTTP statuses, or seconds where the name ends in `_s`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SEED, OBJECT, REQUEST = "seed", "object", "request"
#: The answer of a question about something rare: nothing of the kind happens now.
NONE = "none"


@dataclass(frozen=True, slots=True)
class Question:
    """Something that the sheets do not say, and what Iron may do."""

    sheet: str
    holds: str
    answers: Mapping[Any, int]
    asks: str


def _even(*answers: Any) -> dict[Any, int]:
    return dict.fromkeys(answers, 1)


Q = Question
QUESTIONS: dict[str, Question] = {
    # --- ground rules --------------------------------------------------------------------------------------------
    "read_only_write": Q(
        "A 1.1", SEED, _even(401, 403), "What does a key that begins with `read-only` get on a write?"
    ),
    "ids": Q("A 1.1", OBJECT, _even("random", "by_time"), "Do ids sort by time?"),
    "timestamp": Q(
        "A 1.1", REQUEST, _even("Z", "+00:00", "micro Z", "micro +00:00", "+02:00"), "How is a time written?"
    ),
    "optional_member": Q(
        "A 1.1", OBJECT, _even("null", "omitted"), "How does an optional member without a value look?"
    ),
    "optional_value": Q("A 1.1", OBJECT, {"shown": 6, "hidden": 1}, "Is an optional member shown that has a value?"),
    "unknown_members": Q("A 1.2", REQUEST, {NONE: 3, "some": 1}, "Does an object have members that nobody documented?"),
    "bad_version": Q("A 1.2", SEED, _even(400, 406, 422), "What does an unsupported X-API-Version get?"),
    "version_echo": Q("C 2", SEED, _even("echoed", "absent"), "Do answers name the version?"),
    "key_scope": Q("A 1.3", SEED, _even("key", "key and path"), "Within what is an idempotency key one key?"),
    "body_compared": Q("A 1.3", SEED, _even("bytes", "json"), "When is a repetition's body another one?"),
    "stored_error": Q("A 1.3", OBJECT, _even("replayed", "executed"), "What does a key get again that got a 4xx?"),
    "stored_fault": Q("A 1.3", OBJECT, _even("replayed", "executed"), "What does a key get again that got a 5xx?"),
    "replay_headers": Q("C 2", REQUEST, _even("same", "bare", "marked"), "Which headers has a replayed answer?"),
    "missing_key": Q("A 1.3", SEED, _even(400, 422, "executed"), "What does a POST without its key get?"),
    "odd_key": Q("A 1.3", SEED, {"taken": 3, 400: 1}, "Is a key taken that is no UUID?"),
    "fault": Q(
        "A 1.4", REQUEST, {NONE: 40, "429": 1, "before": 1, "after": 1}, "Does a call fail, and before its effect?"
    ),
    "retry_after": Q("A 1.4", REQUEST, _even("absent", "seconds", "date"), "Does a 429 say how long to wait?"),
    "creation_limit": Q("A 1.4", SEED, {NONE: 3, "5 an hour": 1}, "How many identifications may a customer begin?"),
    "page_end": Q("A 1.5", REQUEST, _even("null", "absent"), "How does the last page's cursor look?"),
    "page_too_long": Q("A 1.5", SEED, _even("cut", 400, 422), "What does a page_size above 100 get?"),
    "stale_cursor": Q("A 1.5", SEED, _even(400, 404, "empty"), "What does a cursor get that is of no list?"),
    "list_order": Q(
        "A 1.5", OBJECT, _even("oldest", "newest", "by id"), "In what order are a customer's records listed?"
    ),
    "error_body": Q(
        "A 1.6", REQUEST, _even("string", "text", "empty", "object"), "What does a refusal's body look like?"
    ),
    "auth_error": Q("C 3.2", REQUEST, _even("text", "string"), "What does a 401's body look like?"),
    "fault_body": Q("A 1.6", REQUEST, _even("object", "empty", "html"), "What does a 5xx's body look like?"),
    "bad_request": Q("A 1.6", REQUEST, _even(400, 422), "What does a body get that does not fit?"),
    "bad_id": Q("A 1.6", SEED, _even(400, 404, 422), "What does a path get whose id is no UUID?"),
    "content_type": Q("A 1.6", SEED, _even(415, 400, "taken"), "What does a body get that is not called JSON?"),
    # --- objects -------------------------------------------------------------------------------------------------
    "unknown_status": Q("A 1.2", REQUEST, {NONE: 40, "UnderWatch": 1, "Paused": 1}, "Is a status shown that is new?"),
    "review_path": Q(
        "A 2.3", OBJECT, _even("every step", "no review", "straight"), "Which statuses does a review pass?"
    ),
    "customer_shown": Q("A 2.4", REQUEST, {"whole": 12, "sample": 1}, "Has a customer all members, or a sample's few?"),
    "name_default": Q("A 2.4", SEED, _even("customer", "email", "empty"), "What is a customer called without a name?"),
    "ids_order": Q("A 2.4", OBJECT, _even("oldest", "newest"), "In what order are identification_ids?"),
    "step_status": Q("A 2.6", OBJECT, _even("whole", "partly", "absent"), "How much does step_status say?"),
    # --- customers -----------------------------------------------------------------------------------------------
    "second_customer": Q("A 3.1", REQUEST, _even("created", 400, 409), "What does a taken external_id get?"),
    "second_email": Q("A 3.1", SEED, {"created": 4, 400: 1}, "What does a taken e-mail get?"),
    "external_id_case": Q("A 7.2", SEED, {"exact": 2, "folded": 1}, "Does the case of an external id matter?"),
    "long_external_id": Q("A 3.1", SEED, _even("taken", 400), "What does an external id above 255 characters get?"),
    "unknown_body_member": Q("C 2", SEED, {"ignored": 3, 400: 1}, "What does a body get with a member too many?"),
    "found_among": Q("A 3.3", SEED, _even("first", "newest"), "Which of several with one external id is found?"),
    "archived_found": Q("A 3.3", SEED, _even("found", "hidden"), "Are archived customers found and listed?"),
    "search_match": Q("A 3.4", SEED, _even("part", "whole"), "Does search_term find parts?"),
    "put_answer": Q("A 3.5", REQUEST, _even(204, 200), "What does an update answer?"),
    "put_unknown": Q("A 3.5", SEED, _even(404, 400), "What does an update of nobody get?"),
    "archive_again": Q("A 3.6", REQUEST, _even(200, 400), "What does the archiving of an archived customer get?"),
    # --- identifications -----------------------------------------------------------------------------------------
    "pending_identification": Q("A 3.7", REQUEST, _even("conflict", "superseded"), "What if one is pending already?"),
    "pending_means": Q("A 3.7", SEED, _even("in flight", "Pending"), "Which statuses are pending?"),
    "closed_customer": Q(
        "A 3.7", REQUEST, _even(403, 409, 400), "What does one for a suspended or archived customer get?"
    ),
    "wrong_type": Q("A 3.7", SEED, _even(400, 422, "taken"), "What does Person for a Business get, or the reverse?"),
    "data_complete": Q(
        "A 5.2", OBJECT, _even("Processed", "Pending"), "Is what a Token, Person or Business has enough?"
    ),
    "link_ready_s": Q("A 2.5", OBJECT, {0: 4, 10: 1}, "When is a new identification's url there?"),
    "foreign_identification": Q("A 3.9", SEED, _even(404, 403), "What does an unknown identification get?"),
    "url_on_read": Q("A 3.9", OBJECT, {"stable": 2, "rotated": 1}, "Is the url another one on each read?"),
    "url_after_use": Q("A 7.5", OBJECT, _even("kept", "cleared", "rotated"), "What becomes of the url after its use?"),
    "archived_counts": Q("A 3.9b", OBJECT, _even("counts", "ignored"), "Does an archived newest one still count?"),
    "requirements_empty": Q("C 3.2", REQUEST, {"list": 2, "null": 1}, "How does an empty list of requirements look?"),
    "requirements_before": Q(
        "A 3.10", REQUEST, _even("nothing", "identification"), "What is due before the first one?"
    ),
    "retryable": Q("A 3.10", REQUEST, _even("said", "null"), "Is retryable said where the customer may retry?"),
    "final_in": Q("A 3.10", REQUEST, _even("issues", "missing"), "Where does a final refusal show?"),
    # --- signings ------------------------------------------------------------------------------------------------
    "required_signings_outside": Q(
        "A 7.13",
        REQUEST,
        _even("not in status", "not required", "not_found", "empty"),
        "What do required-signings answer when nothing is due? Two texts of 409, a 404, an empty list.",
    ),
    "required_signings_lag_s": Q("A 7.6", OBJECT, {0: 3, 5: 1, 60: 1}, "How long are required-signings behind?"),
    "signing_again": Q("A 3.12", REQUEST, _even("same", "second", 404, 409, 422), "What does a second signature get?"),
    "unknown_content": Q("A 3.12", REQUEST, _even(404, 422, 409), "What does a signature get that nobody asked for?"),
    "not_signed": Q("A 3.12", REQUEST, _even(422, 400), "What does signed=false get?"),
    "activation_delay_s": Q("A 7.6", OBJECT, {0: 2, 3: 1, 20: 1}, "How long from the last signature to Active?"),
    "sandbox_decided": Q("A 3.18", REQUEST, _even(404, 409, 201), "What does a sandbox approval of a decided one get?"),
    # --- life ----------------------------------------------------------------------------------------------------
    "onboarding_order": Q(
        "C 2", OBJECT, {"identify first": 2, "sign first": 1}, "Which order has a customer made under 2025-03-13?"
    ),
    "nothing_to_sign": Q("A 4.1", OBJECT, _even("Active", "SigningsRequired"), "Where to with nothing left to sign?"),
    "after_decline": Q("A 4.1", REQUEST, {"stays": 4, "Suspended": 1}, "Is a declined customer suspended for a while?"),
    "after_expiry": Q("A 4.1", REQUEST, {"stays": 4, "UserRequired": 1}, "Is another status shown for a while?"),
    "step_up": Q("A 7.7", REQUEST, _even("Pending", "Approved", "new record"), "On which record is the step-up's url?"),
    "webhook_message": Q("A 6.2", REQUEST, _even("wrapped", "bare"), "Has the message its wrapper?"),
    "webhook_secret": Q("A 6.3", SEED, _even("raw", "base64"), "What of the secret is the signature's key?"),
    "webhook_signatures": Q(
        "A 6.3", SEED, {"one": 3, "comma": 1, "space": 1}, "May a delivery have several signatures?"
    ),
    "webhook_id": Q("A 6.4", REQUEST, _even("new", "same"), "Has a second delivery a new id?"),
    "webhook_delay_s": Q(
        "A 6.1", REQUEST, {0: 6, 5: 2, 300: 1}, "How late is a delivery at most, and so out of order?"
    ),
    "webhook_of_begin": Q("A 6.2", SEED, _even("sent", "silent"), "Is a new identification's Pending told?"),
    "webhook_unknown": Q("A 6.2", REQUEST, {NONE: 20, "sent": 1}, "Are there types that nobody documented?"),
    "approval_delay_s": Q("A 7.6", OBJECT, {0.2: 2, 2: 2, 180: 1}, "How long from an approval to the next status?"),
    "lookup_lag_s": Q("A 7.6", SEED, {0: 2, 5: 1, 60: 1}, "How long is a look-up by external id behind at most?"),
    "list_lag_s": Q("A 7.6", SEED, {0: 2, 5: 1, 60: 1}, "How long are lists behind at most?"),
    "lag_share": Q("A 7.6", OBJECT, _even(0.0, 0.5, 1.0), "How much of that lag has this record?"),
    "listed_status": Q("A 7.6", SEED, {"true": 2, "behind": 1}, "Are the statuses in lists behind as well?"),
    "sub_partner": Q("A 7.10", SEED, _even(404, 403, "found"), "What does another sub-partner's customer get?"),
    "documents_replaced": Q("A 7.14", OBJECT, {"no": 5, "midway": 1}, "Is a document replaced before it is signed?"),
    "new_terms_id": Q(
        "A 7.14", OBJECT, _even("new", "same"), "Have new terms a new id, or come back under an old one?"
    ),
    "content_ids": Q("A 2.7", SEED, _even("shared", "own"), "Have customers the same documents, or each their own?"),
    "read_spell": Q(
        "C 1",
        REQUEST,
        {NONE: 300} | dict.fromkeys((400, 404, 409, 410, 422, "null", "[]", "{}", "member missing"), 1),
        "Is a read refused or rubbish for a while?",
    ),
}


class Draw:
    """The one place where chance is: answers the questions, each for as long as its answer holds."""

    def __init__(self, seed: int, choices: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Fix the answers of some questions to one of those given; ValueError for one that is not in the table."""
        self.random = random.Random(seed)
        self.choices = {name: tuple(answers) for name, answers in (choices or {}).items()}
        for name, answers in self.choices.items():
            if name not in QUESTIONS or not answers or not set(answers) <= set(QUESTIONS[name].answers):
                raise ValueError(f"no such question or answer: {name}")
        self._held: dict[tuple[str, Hashable], Any] = {}
        #: What was answered how often.
        self.drawn: Counter[tuple[str, Any]] = Counter()

    def __call__(self, name: str, about: Hashable = None) -> Any:
        """Answer a question; `about` names the object of a question that is answered for each."""
        holds = QUESTIONS[name].holds
        if (holds == OBJECT) != (about is not None):
            raise ValueError(f"{name} is answered for each {holds}")
        if holds == REQUEST:
            return self._fresh(name)
        place = name, about
        if place not in self._held:
            self._held[place] = self._fresh(name)
        return self._held[place]

    def _fresh(self, name: str) -> Any:
        weights = QUESTIONS[name].answers
        answers = self.choices.get(name) or tuple(weights)
        chosen = self.random.choices(answers, [weights[answer] for answer in answers])[0]
        self.drawn[name, chosen] += 1
        return chosen

    def between(self, low: float, high: float) -> float:
        """Draw a length of time, in seconds."""
        return self.random.uniform(low, high)
