"""The demo's own check: what it expects of each tag, and that it notices whatever is not so."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ops.local.story import ENDINGS, SAMPLE, Story, more_of_the_sample
from ops.sandbox.world.scripts import tag_of
from pipelines.intake import read
from pipelines.lifecycle import Actor, Phase
from pipelines.model import Problem, Record

ACTIVE = Record("k-1", phase=Phase.ACTIVE, customer_id="c", customer_status="Active")
FINE = {"x-1": {"customers": 1, "identifications": 1, "signings": 2}}


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """One customer who is to become active."""
    return Story(tmp_path / "story.json", {"x-1": ("k-1", "approve")})


def test_every_tag_of_the_sample_has_an_ending() -> None:
    """No row of the sample is left to chance."""
    with SAMPLE.open(encoding="utf-8", newline="") as lines:
        assert {tag_of(row["email"]) for row in csv.DictReader(lines)} <= set(ENDINGS)


def test_all_is_well_is_said_with_the_counts(story: Story) -> None:
    """The first run, a run that went on, and one that had nothing to do are told apart."""
    assert story.unfinished({"k-1": ACTIVE}) == []
    assert story.differences(FINE) == []
    assert story.all_is_well({}).startswith("Checked against the sandbox: 1 customers, 1 identifications, 2 signings.")
    assert story.all_is_well({}).endswith("exactly once.")
    assert story.all_is_well(FINE).endswith("Nothing new was created.")
    begun = {"x-1": {"customers": 1, "identifications": 0, "signings": 0}}
    assert story.all_is_well(begun).endswith("3 of these effects are new.")


@pytest.mark.parametrize("name", ["customers", "identifications", "signings"])
@pytest.mark.parametrize("by", [-1, 1])
def test_an_effect_too_many_or_too_few_is_noticed(story: Story, name: str, by: int) -> None:
    """The sentence names the customer and both counts."""
    [sentence] = story.differences({"x-1": {**FINE["x-1"], name: FINE["x-1"][name] + by}})
    assert sentence.startswith("x-1: the sandbox has ")
    assert f"it should have {'1 customers, 1 identifications, 2 signings'}." in sentence


def test_a_missing_and_an_unknown_customer_are_noticed(story: Story) -> None:
    """Also one without an external id."""
    assert len(story.differences({})) == 1
    strangers = {"x-9": FINE["x-1"], "": FINE["x-1"]}
    assert [text.partition(":")[0] for text in story.differences(FINE | strangers)] == ["Without an external id", "x-9"]


@pytest.mark.parametrize(
    "record",
    [
        None,
        replace(ACTIVE, phase=Phase.SUSPENDED, customer_status="Suspended"),
        replace(ACTIVE, problem=Problem("x", "x", retryable=True, first_seen_ms=0, operator=True)),
    ],
)
def test_who_is_not_there_is_noticed(story: Story, record: Record | None) -> None:
    """Nowhere, in another phase, or in the right one but waiting for somebody else."""
    [sentence] = story.unfinished({} if record is None else {"k-1": record})
    assert sentence.startswith("k-1 is ")
    assert sentence.endswith(f"it should be in active, waiting on {Actor.NOBODY}.")


def test_it_is_kept_for_the_next_run(story: Story) -> None:
    """Keys and tags, nothing else."""
    story.keep()
    assert Story.kept(story.path).customers == story.customers
    assert Story.kept(story.path.with_name("none")).customers == {}


@pytest.mark.parametrize("customers", [1, 200, 450])
def test_more_customers_are_made_from_the_sample(customers: int, tmp_path: Path) -> None:
    """So many rows, with the sample's mistakes and no other: nobody has another's key, external id or address."""
    rows = list(read(more_of_the_sample(customers, tmp_path / "customers.csv")))
    assert len(rows) == customers
    jobs = [row.job for row in rows if row.job is not None]
    mistakes = sum(row.job is None for row in read(SAMPLE))
    assert len(rows) - len(jobs) == pytest.approx(mistakes * customers / 200, abs=mistakes)
    for values in (
        {job.idempotency_key for job in jobs},
        {job.external_id for job in jobs},
        {job.customer.email for job in jobs},
    ):
        assert len(values) == len(jobs)


def test_a_suffix_leaves_the_tag_alone(tmp_path: Path) -> None:
    """The second turn of a customer ends as the first."""
    emails = [row.fields["email"] for row in read(more_of_the_sample(400, tmp_path / "customers.csv"))]
    pairs = list(zip(emails[:200], emails[200:], strict=True))
    assert [tag_of(one) for one, _ in pairs] == [tag_of(other) for _, other in pairs]
    assert sum(one != other for one, other in pairs) > 190
