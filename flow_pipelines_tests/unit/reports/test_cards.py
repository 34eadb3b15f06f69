"""A night's rows and outputs as cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from flow_pipelines.model import Output, StoredFacts, Submission, SubmissionState
from flow_pipelines.model.submission import CostBasis
from flow_pipelines.reports.cards import Card, night_cards
from flow_pipelines_tests.unit.storage.samples import output, submission

FOLDER = "flow/posters/2026-11-21"


def get(facts: StoredFacts) -> bytes:
    return facts.s3_key.encode()


def cards_of(
    *rows: Submission, outputs: Mapping[str, Sequence[Output]] | None = None
) -> list[Card]:
    return list(night_cards(rows, outputs or {}, folder=FOLDER, bucket="pictures", get=get))


def cards_with(row: Submission, *outputs: Output) -> list[Card]:
    return cards_of(row, outputs={row.submission_key: outputs})


def test_a_stored_picture_has_a_card_that_loads_and_links_it() -> None:
    [card] = cards_with(submission(run_ms=9, flotime_ms=5), output())
    assert card.load is not None
    assert card.load() == f"{FOLDER}/{card.href}".encode()
    assert card.href.startswith("images/p1.0.")
    assert (card.state, card.size, card.in_vain) == ("succeeded", "768 × 512", False)
    assert (card.prompt, card.seed, card.provider) == ("a lighthouse", 7, "floyo")
    assert (card.run_ms, card.flotime_ms) == (9, 5)


def test_a_picture_in_another_bucket_or_folder_is_loaded_and_has_no_link() -> None:
    here = output()
    assert here.stored is not None
    moved = replace(here, stored=replace(here.stored, bucket="elsewhere"))
    other = replace(here, stored=replace(here.stored, s3_key="old/posters/images/p1.png"))
    for one in (moved, other):
        [card] = cards_with(submission(), one)
        assert card.load is not None
        assert card.href == ""


def test_each_picture_of_a_run_has_its_share_of_the_cost() -> None:
    row = submission(cost_usd=Decimal("0.01"), cost_basis=CostBasis.ESTIMATED)
    cards = cards_with(row, output(0), output(1), output(2))
    assert [(card.image, card.images) for card in cards] == [(1, 3), (2, 3), (3, 3)]
    costs = [card.cost_usd for card in cards if card.cost_usd is not None]
    assert len(costs) == 3
    assert sum(costs) == Decimal("0.01")
    assert all(card.cost_estimated for card in cards)


@pytest.mark.parametrize("state", SubmissionState)
def test_a_row_without_a_picture_has_a_card_that_says_where_it_stands(
    state: SubmissionState,
) -> None:
    [card] = cards_of(submission(state=state, reason="because", cost_usd=Decimal(1)))
    under_way = {"planned", "submitting", "submitted", "queued", "running"}
    expected = "not ended" if state.value in under_way else state.value
    assert card.state == ("not stored" if state == "succeeded" else expected)
    assert (card.reason, card.load, card.href) == ("because", None, "")
    assert card.cost_usd == Decimal(1)
    assert card.in_vain is (card.state in {"failed", "canceled", "unresolved", "not stored"})


def test_the_providers_words_come_before_ours() -> None:
    failed = submission(state=SubmissionState.FAILED, error_message="out of memory", reason="x")
    assert cards_of(failed)[0].reason == "out of memory"


def test_an_output_that_could_not_be_stored_has_a_card_of_its_own() -> None:
    row = submission(cost_usd=Decimal(1))
    good, bad = cards_with(row, output(0), output(1, stored=None, problem="cut"))
    assert (good.state, good.cost_usd) == ("succeeded", Decimal(1))
    assert (bad.state, bad.reason, bad.cost_usd) == ("not stored", "cut", None)


def test_texts_are_no_pictures() -> None:
    [card] = cards_with(submission(), replace(output(), kind="text"))
    assert (card.state, card.reason) == ("not stored", "the provider run ended without a picture")


def test_what_waits_to_be_stored_says_so() -> None:
    assert cards_with(submission(), output(stored=None))[0].reason == "not collected yet"
