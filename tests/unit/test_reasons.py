"""Iron's reasons: what is a code and what is a text, and how the texts read for those who may see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.codes import LONGEST, is_code, is_code_alone
from pipelines.lifecycle import Phase
from pipelines.model import Problem, Record
from pipelines.plain_reasons import CODES as REASONS
from pipelines.reasons import PARTS, iron_says

#: The labels of Iron's documents and a few of Sumsub's.
LABELS = ("SCREENSHOTS", "UNSATISFACTORY_PHOTOS", "FORGERY", "BAD_PROOF_OF_ADDRESS", "ID_INVALID")
TEXTS = (
    "",
    " kyc_selfie",
    "kyc_selfie\n",
    "the passport of Ada is blurred",
    "ada@example.com",
    "ada.lovelace",
    "C01X00T47",
    "12345678911",
    "+4930123456",
    "1990-12-31",
    "DE89370400440532013000",
    "Müller",
    "_",
    "a__b",
    "x" * (LONGEST + 1),
)


@pytest.mark.parametrize("code", [*REASONS, *LABELS, "unknown", "country_not_supported", "level_2", "kyc-data", "A1"])
def test_a_code_is_a_code(code: str) -> None:
    """Every code and label of Iron's that is documented passes, and what is built like one."""
    assert is_code(code)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_no_code(text: str) -> None:
    """Sentences, addresses, numbers of persons and documents, dates, and what is too long are texts."""
    assert not is_code(text)
    assert not is_code_alone(text)


@pytest.mark.parametrize("word", ["ada", "Lovelace", "FORGERY", "Country_Not_Supported", "level_2"])
def test_a_word_where_a_sentence_may_stand_is_no_code(word: str) -> None:
    """A whole text of one word or with capitals may be a name; as a code it would be one."""
    assert is_code(word)
    assert not is_code_alone(word)


PROBLEM = Problem("request_refused", "Iron rejected it.", retryable=False, first_seen_ms=1)
DECLINED = Record(key="k-1", phase=Phase.DECLINED)
OPENED: dict[str, Any] = {
    "customer": {"name": "Ada"},
    "iron_said": {"status": 400, "text": "no such street"},
    "requirements": {
        "open": [
            {"code": "kyc_selfie", "labels": ["BAD_FACE"], "description": "a beard", "questions": ["Why?"]},
            {"code": "unknown", "texts": ["a beard"]},
        ]
    },
    "review_comment": "please shave",
    "step_comments": {"identity": "blurred"},
}


def test_what_iron_says_reads_in_one_form() -> None:
    """Each statement says what it is about, and has a text; nothing of the customer's own data is among them."""
    assert iron_says(replace(DECLINED, problem=PROBLEM), OPENED) == [
        {"about": "refusal", "current": True, "status": 400, "text": "no such street"},
        {
            "about": "requirement",
            "current": True,
            "code": "kyc_selfie",
            "labels": ["BAD_FACE"],
            "questions": ["Why?"],
            "text": "a beard",
        },
        {"about": "requirement", "current": True, "code": "unknown", "texts": ["a beard"], "text": ""},
        {"about": "review", "current": True, "text": "please shave"},
        {"about": "step", "current": True, "step": "identity", "text": "blurred"},
    ]


@pytest.mark.parametrize("phase", Phase)
def test_what_is_over_is_told_as_over(phase: Phase) -> None:
    """Words of a refusal are current while there is a problem, words of a review while they are what has to be done."""
    said = iron_says(Record(key="k-1", phase=phase), OPENED)
    current = {one["about"] for one in said if one["current"]}
    explained = phase in (Phase.DECLINED, Phase.STEP_UP_REQUIRED)
    assert current == ({"requirement", "review", "step"} if explained else set())


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_gone_says_nothing(part: str) -> None:
    """Whatever is not stored any more leaves the rest as it is."""
    rest = {name: value for name, value in OPENED.items() if name != part}
    assert 0 < len(iron_says(DECLINED, rest)) < len(iron_says(DECLINED, OPENED))
    assert iron_says(DECLINED, {}) == []
