"""What the customer's page says: something for every record there can be, in every language."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from string import Formatter
from typing import Any, get_args

import pytest

from ops.gateway.pages.customer.situation import SOON_MS, Name, situation
from ops.gateway.pages.customer.texts import LANGUAGES, NOBODY, PHRASES, SITUATIONS, language
from pipelines.acts import MAX_ROUNDS_ASKED
from pipelines.lifecycle import TABLE, UNKNOWN, Phase
from pipelines.model import Problem, Record, Signing
from workers.ledger import Read

NOW_MS = 1_795_341_600_000
LINK = "https://verify.iron.test/start?token=1"
OPERATORS = Problem("access_refused", "Iron refuses access.", True, NOW_MS, operator=True)
EXHAUSTED = replace(OPERATORS, code="rounds_exhausted")


def read(record: Record, *, due_s: float | None = 3_600, acts: int = 0) -> Read:
    """A record as the ledger gives it."""
    due_ms = None if due_s is None else NOW_MS + round(due_s * 1000)
    return Read(record, due_ms, acts, claimed=False, now_ms=NOW_MS)


def a_record(phase: Phase, **changes: Any) -> Record:
    """A record in this phase that the pipeline could have written."""
    row = next((row for row in TABLE if row.phase is phase), None)
    newest = row.identification[0] if row and row.identification else None
    known: dict[str, Any] = {
        "customer_id": "c-1",
        "customer_status": "Frozen" if row and row.customer == UNKNOWN else row and row.customer,
        "identification_id": "i-1",
        "identification_status": None if newest == "none" else newest,
        "link": LINK if newest == "Pending" else None,
        "step": "refresh",
    }
    return Record("k-1", phase=phase, **(known | changes))


#: What is the case -> the situation, its button, and whether the page looks again by itself.
CASES = [
    (read(a_record(Phase.RECEIVED)), "preparing", None, True),
    (read(a_record(Phase.RECEIVED, problem=OPERATORS)), "delayed", None, False),
    (read(a_record(Phase.CUSTOMER_CREATED)), "preparing", None, True),
    (read(a_record(Phase.CUSTOMER_CREATED, adopted=True)), "delayed", None, False),
    (read(a_record(Phase.IDENTIFICATION_PENDING)), "identify", "open", False),
    (read(a_record(Phase.IDENTIFICATION_PENDING, problem=OPERATORS)), "identify", "open", False),
    (read(a_record(Phase.IDENTIFICATION_PENDING, link=None)), "review", None, False),
    (read(a_record(Phase.STEP_UP_REQUIRED)), "step_up", "open", False),
    (read(a_record(Phase.STEP_UP_REQUIRED, link=None)), "review", None, False),
    (read(a_record(Phase.IN_REVIEW)), "review", None, False),
    (read(a_record(Phase.EXPIRED)), "expired", "renew", False),
    (read(a_record(Phase.EXPIRED), due_s=SOON_MS / 1000 - 1), "preparing", None, True),
    (read(a_record(Phase.EXPIRED), acts=1), "preparing", None, True),
    (read(a_record(Phase.EXPIRED, restart=True)), "preparing", None, True),
    (read(a_record(Phase.EXPIRED, rounds_asked=MAX_ROUNDS_ASKED)), "expired_for_good", None, False),
    (read(a_record(Phase.EXPIRED, adopted=True), due_s=1), "expired", "renew", False),
    (read(a_record(Phase.DECLINED)), "declined", "renew", False),
    (read(a_record(Phase.DECLINED, step="explain_decline")), "preparing", None, True),
    (read(a_record(Phase.DECLINED, may_retry=False)), "declined_final", None, False),
    (read(a_record(Phase.DECLINED, rounds_asked=MAX_ROUNDS_ASKED)), "declined_final", None, False),
    (read(a_record(Phase.ON_HOLD, problem=OPERATORS)), "delayed", None, False),
    (read(a_record(Phase.ON_HOLD, problem=EXHAUSTED, identification_status="Expired")), "expired", "renew", False),
    (read(a_record(Phase.SIGNINGS_REQUIRED, signings=(Signing("d"),))), "signings", None, False),
    (read(a_record(Phase.SIGNINGS_REQUIRED)), "finishing", None, True),
    (read(a_record(Phase.SIGNINGS_REQUIRED, signings=(Signing("d", signed_ms=1),))), "finishing", None, True),
    (read(a_record(Phase.SIGNINGS_REQUIRED, problem=OPERATORS)), "finishing", None, False),
    (read(a_record(Phase.ACTIVE)), "active", None, False),
    (read(a_record(Phase.SUSPENDED)), "suspended", None, False),
    (read(a_record(Phase.ARCHIVED), due_s=None), "closed", None, False),
    (read(a_record(Phase.CANCELLED), due_s=None), "closed", None, False),
    (read(a_record(Phase.FAILED, problem=OPERATORS), due_s=None), "delayed", None, False),
]


@pytest.mark.parametrize(
    ("found", "name", "button", "changing"), CASES, ids=[f"{found.record.phase}-{name}" for found, name, *_ in CASES]
)
def test_what_is_the_case(found: Read, name: str, button: str | None, changing: bool) -> None:
    """Each record leads to what a person would say of it, and to a button only where pressing it makes sense."""
    result = situation(found)
    assert (result.name, result.button, result.changing) == (name, button, changing)
    assert (result.link is not None) == (button == "open")


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_says_something(phase: Phase) -> None:
    """Whatever else is the case in a phase, there is a page for it."""
    flags = (False, True)
    for adopted, restart, linked, stuck, acts, due_s in product(flags, flags, flags, flags, (0, 1), (None, 1, 9_999)):
        problem = OPERATORS if stuck else None
        record = a_record(phase, adopted=adopted, restart=restart, link=LINK if linked else None, problem=problem)
        assert situation(read(record, due_s=due_s, acts=acts)).name in SITUATIONS


def test_documents_are_named() -> None:
    """The names of the documents to be signed are shown, and only of those."""
    signings = (Signing("1", "Terms"), Signing("2", "Old terms", signed_ms=1), Signing("3", "Other", consented_ms=1))
    assert situation(read(a_record(Phase.SIGNINGS_REQUIRED, signings=signings))).documents == ("Terms",)


# --- texts -----------------------------------------------------------------------------------------------------------


def test_every_text_is_in_every_language() -> None:
    """Each situation and phrase has its words in each language, with the same places for names."""
    assert set(SITUATIONS) == set(get_args(Name))
    for table in (SITUATIONS, PHRASES, {"nobody": NOBODY}):
        for name, texts in table.items():
            assert set(texts) == set(LANGUAGES), name
            places = {
                frozenset(place for _, place, _, _ in Formatter().parse(" ".join(text)) if place)
                for text in ([words] if isinstance(words, str) else words for words in texts.values())
            }
            assert len(places) == 1, name


def test_texts_are_plain() -> None:
    """No text speaks in our own words, and each sentence ends as one."""
    ours = re.compile(r"onboarding|record|phase|webhook|token|lane|Iron\b|API|session", re.IGNORECASE)
    for situations in SITUATIONS.values():
        for heading, *paragraphs in situations.values():
            assert not heading.endswith(".")
            for paragraph in paragraphs:
                assert paragraph.endswith((".", "?"))
                assert not ours.search(paragraph)


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        (None, "", "en"),
        (None, "de", "de"),
        (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "en-GB;q=0.5, DE;q=0.7", "de"),
        (None, "fr,es;q=0.9", "en"),
        (None, "fr, de;q=0.1", "de"),
        (None, "de;q=0, en;q=0.1", "en"),
        (None, ";;;,,=q,de;q=x", "en"),
        (None, "de;q=1," * 100_000, "de"),
        ("de", "en", "de"),
        ("en", "de", "en"),
        ("xx", "de", "de"),
    ],
)
def test_the_language(asked: str | None, accepted: str, chosen: str) -> None:
    """What is asked for, else what the browser prefers, else English; nonsense is no preference."""
    assert language(asked, accepted) == chosen
