"""Iron's codes and labels in plain words: for us, and what of it a customer may be told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ops.gateway.pages.customer.situation import situation
from pipelines.codes import is_code
from pipelines.lifecycle import Phase
from pipelines.model import Record
from pipelines.plain_reasons import CODES, LABELS, explained, explanations, for_customer
from pipelines.view import read_view
from workers.ledger import Read

#: Labels that hint at a suspicion: whoever tells the customer may commit an offence.
SUSPICIONS = (
    *("FORGERY", "FRAUDULENT_PATTERNS", "FRAUDULENT_LIVENESS", "GRAPHIC_EDITOR", "DOCUMENT_TEMPLATE", "BLACKLIST"),
    *("PEP", "SANCTIONS", "ADVERSE_MEDIA", "CRIMINAL", "COMPROMISED_PERSONS", "DUPLICATE", "INCONSISTENT_PROFILE"),
    *("SELFIE_MISMATCH", "BAD_FACE_MATCHING"),
)
DECLINED = Record(
    key="k-1",
    phase=Phase.DECLINED,
    step="refresh",
    customer_id="c-1",
    customer_status="IdentificationRequired",
    identification_id="i-1",
    identification_status="Declined",
    reasons=("kyc_identity",),
    reasons_read=True,
    reject_labels=("SCREENSHOTS", "FORGERY", "SOMETHING_NEW"),
)


@pytest.mark.parametrize("name", [*CODES, *LABELS])
def test_each_has_its_words(name: str) -> None:
    """A phrase for us always; for the customer in every language or in none; no sentence, no name of ours."""
    found = (CODES | LABELS)[name]
    assert is_code(name)
    assert found.staff
    assert bool(found.en) == bool(found.de)
    for text in (found.staff, found.en, found.de):
        assert not text.endswith(".")
        for_us = text == found.staff
        assert for_us or not re.search(r"Iron|Sumsub|onboarding|label", text)


@pytest.mark.parametrize("name", SUSPICIONS)
def test_a_suspicion_is_not_told(name: str) -> None:
    """The customer hears nothing of it, in no language."""
    assert for_customer([name], "en") == for_customer([name], "de") == []
    assert explanations([name])[0]["customer"] is None


def test_what_is_new_stands_for_itself() -> None:
    """A code that this release does not know is shown as it is, to us and to nobody else."""
    assert explained("SOMETHING_NEW") == "SOMETHING_NEW"
    assert for_customer(["SOMETHING_NEW"], "en") == []
    assert explanations(["SOMETHING_NEW"]) == [{"code": "SOMETHING_NEW", "text": "SOMETHING_NEW", "customer": None}]


def test_the_record_explains_itself() -> None:
    """Codes and labels with their meanings, and after a decline whether the customer may try again."""
    view = read_view(DECLINED, None)
    assert [one["code"] for one in view["explanations"]] == ["kyc_identity", "SCREENSHOTS", "FORGERY", "SOMETHING_NEW"]
    assert view["explanations"][1]["customer"]["de"].startswith("es kam ein Bildschirmfoto")
    assert view["may_retry"] is True
    assert read_view(replace(DECLINED, phase=Phase.ACTIVE), None)["may_retry"] is None


def test_the_customer_reads_only_what_may_be_said() -> None:
    """Codes and labels with a text for the customer, once each; after a final decision nothing of why."""
    read = Read(DECLINED, None, 0, False, 1, 0, None)
    shown = for_customer(situation(read).reasons, "en")
    assert shown == ["your identity document", "a screenshot was sent: please take a photo of the document itself"]
    final = replace(DECLINED, may_retry=False)
    assert situation(replace(read, record=final)).reasons == ()
