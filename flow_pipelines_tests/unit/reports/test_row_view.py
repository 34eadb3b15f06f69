"""A night's rows and outputs as they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from flow_pipelines.model import Output, StoredFacts, Submission, SubmissionState
from flow_pipelines.model.submission import CostBasis
from flow_pipelines.reports.row_view import RowView, StoredPictures, night_views, whole_row_view
from flow_pipelines_tests.unit.storage.samples import output, submission

FOLDER = "flow/posters/2026-11-21"


def get(facts: StoredFacts) -> bytes:
    return facts.s3_key.encode()


PICTURES = StoredPictures(bucket="pictures", folder=FOLDER, get=get)


def views_of(
    *rows: Submission, outputs: Mapping[str, Sequence[Output]] | None = None
) -> list[RowView]:
    return list(night_views(rows, outputs or {}, PICTURES))


def views_with(row: Submission, *outputs: Output) -> list[RowView]:
    return views_of(row, outputs={row.submission_key: outputs})


def test_a_stored_picture_has_a_view_that_loads_and_links_it() -> None:
    [view] = views_with(submission(run_ms=9, flotime_ms=5), output())
    assert view.load is not None
    assert view.load() == f"{FOLDER}/{view.href}".encode()
    assert view.href.startswith("images/p1.0.")
    assert (view.state, view.size, view.is_problem) == ("succeeded", "768 × 512", False)
    assert (view.prompt, view.seed, view.provider) == ("a lighthouse", 7, "floyo")
    assert (view.run_ms, view.flotime_ms) == (9, 5)


def test_a_picture_in_another_bucket_or_folder_is_loaded_and_has_no_link() -> None:
    here = output()
    assert here.stored is not None
    moved = replace(here, stored=replace(here.stored, bucket="elsewhere"))
    other = replace(here, stored=replace(here.stored, s3_key="old/posters/images/p1.png"))
    for one in (moved, other):
        [view] = views_with(submission(), one)
        assert view.load is not None
        assert view.href == ""


def test_each_picture_of_a_run_has_its_share_of_the_cost() -> None:
    row = submission(cost_usd=Decimal("0.01"), cost_basis=CostBasis.ESTIMATED)
    views = views_with(row, output(0), output(1), output(2))
    assert [(view.image, view.images) for view in views] == [(1, 3), (2, 3), (3, 3)]
    costs = [view.cost_usd for view in views if view.cost_usd is not None]
    assert len(costs) == 3
    assert sum(costs) == Decimal("0.01")
    assert all(view.cost_estimated for view in views)


@pytest.mark.parametrize("state", SubmissionState)
def test_a_row_without_a_picture_has_a_view_that_says_where_it_stands(
    state: SubmissionState,
) -> None:
    [view] = views_of(submission(state=state, reason="because", cost_usd=Decimal(1)))
    under_way = {"planned", "submitting", "submitted", "queued", "running"}
    expected = "not ended" if state.value in under_way else state.value
    assert view.state == ("not stored" if state == "succeeded" else expected)
    assert (view.reason, view.load, view.href) == ("because", None, "")
    assert view.cost_usd == Decimal(1)
    assert view.is_problem is (view.state in {"failed", "canceled", "unresolved", "not stored"})


def test_the_providers_words_come_before_ours() -> None:
    failed = submission(state=SubmissionState.FAILED, error_message="out of memory", reason="x")
    assert views_of(failed)[0].reason == "out of memory"


def test_an_output_that_could_not_be_stored_has_a_view_of_its_own() -> None:
    row = submission(cost_usd=Decimal(1))
    good, bad = views_with(row, output(0), output(1, stored=None, problem="cut"))
    assert (good.state, good.cost_usd) == ("succeeded", Decimal(1))
    assert (bad.state, bad.reason, bad.cost_usd) == ("not stored", "cut", None)


def test_texts_are_no_pictures() -> None:
    [view] = views_with(submission(), replace(output(), kind="text"))
    assert (view.state, view.reason) == ("not stored", "the provider run ended without an output")


def test_what_waits_to_be_stored_says_so() -> None:
    assert views_with(submission(), output(stored=None))[0].reason == "not collected yet"


def cell_of(row: Submission, *outputs: Output) -> RowView:
    return whole_row_view(row, outputs, PICTURES)


def test_a_whole_row_is_its_first_picture_that_can_be_shown_with_all_of_the_cost() -> None:
    row = submission(cost_usd=Decimal(1))
    broken = output(0)
    assert broken.stored is not None
    damaged = replace(broken, stored=replace(broken.stored, verified="damaged"))
    cell = cell_of(row, damaged, output(1), output(2))
    assert cell.href.endswith(".1.png")
    assert (cell.cost_usd, cell.position, cell.state) == (Decimal(1), "1 of 2", "succeeded")
    assert (cell_of(row, damaged).state, cell_of(row, damaged).images) == ("damaged", 0)


@pytest.mark.case(
    "a comparison said of a picture that was not collected yet that it is too large, or gone",
    "it says `not stored` and why, as the gallery does, and counts the row among those without",
)
def test_a_whole_row_without_a_picture_says_why() -> None:
    waiting = cell_of(submission(), output(stored=None))
    assert (waiting.state, waiting.reason) == ("not stored", "not collected yet")
    assert waiting.is_problem
    assert waiting.run_succeeded
    under_way = cell_of(submission(state=SubmissionState.RUNNING))
    assert (under_way.state, under_way.run_succeeded) == ("not ended", False)


def test_a_failed_run_with_a_picture_shows_it_and_says_what_went_wrong() -> None:
    row = submission(state=SubmissionState.FAILED, error_message="out of memory")
    cell = cell_of(row, output())
    assert (cell.state, cell.run_succeeded, cell.load is not None) == ("failed", False, True)
    assert dict(cell.facts())["Reason"] == "out of memory"


def test_the_cost_of_what_may_have_been_bought_is_unknown_until_it_is_told() -> None:
    sent = submission(submitting_at=datetime(2026, 11, 21, tzinfo=UTC), provider_run_id="run_1")
    assert cell_of(sent).cost == "cost unknown"
    assert dict(cell_of(sent).facts())["Cost"] == "unknown"
    assert cell_of(replace(sent, cost_usd=Decimal(0))).cost == "$0.00"
    assert cell_of(submission(state=SubmissionState.SKIPPED)).cost == ""


def test_a_page_elsewhere_reaches_a_picture_by_its_own_path() -> None:
    top = StoredPictures(bucket="pictures", folder="flow", path="../../", get=get)
    view = whole_row_view(submission(), [output()], top)
    assert view.href.startswith("../../posters/2026-11-21/images/p1.0.")
    bare = replace(top, folder="")
    assert whole_row_view(submission(), [output()], bare).href.startswith("../../flow/posters/")
